import { type Failure, isFailure } from "../model/failure.ts";
import type { Clock, Log, Random } from "../model/ports.ts";
import type { DiskPorts } from "../stores/disk/disk.ts";
import { CommitQueue } from "./commit-queue.ts";
import { KafkaTooLarge } from "./kafka-error.ts";
import { KafkaLane } from "./kafka-lane.ts";
import { KafkaLargeEvents } from "./kafka-large-events.ts";
import { type KafkaLine, linesOf, withKeyPerLine } from "./kafka-lines.ts";
import { KafkaRetry, STOPPED_FOR_MS } from "./kafka-retry.ts";
import type { KafkaWriter, KafkaWriterParts } from "./kafka-writer.ts";
import type { Batch, Output, OutputCondition, OutputListener, OutputSecrets } from "./output.ts";
import { spoolReports } from "./output-failures.ts";
import { OutputReports } from "./output-reports.ts";
import { RecentKeys } from "./recent-keys.ts";
import type { RejectedEvents } from "./rejected.ts";
import { Renewal } from "./renewal.ts";
import { Spool, type Spooled, type SpoolPlace } from "./spool.ts";
import { SpoolIntake } from "./spool-intake.ts";
import { Wakeup } from "./wakeup.ts";
import { WrittenLog } from "./written-log.ts";

const TRANSACTION_BYTES = 4 << 20;
const TRANSACTION_EVENTS = 2_000;
const SEGMENT_BYTES = 8 << 20;
const SMALL_SEGMENT_BYTES = 1 << 20;

/** What the output needs of the part that speaks to Kafka, which is loaded when it is first used. */
export interface KafkaClient {
  open(parts: KafkaWriterParts): Promise<KafkaTransactions>;
  isFenced(error: unknown): boolean;
  failure(error: unknown): { readonly failure: Failure; readonly needsPerson: boolean };
  sharedId(): Failure;
}

/** A writer of transactions, without how it does it. */
export type KafkaTransactions = Pick<KafkaWriter, keyof KafkaWriter>;

export interface KafkaParts {
  readonly name: string;
  readonly where: string;
  readonly topic: string;
  readonly watermarkTopic: string;
  /** Undefined: made of the GUID in the state folder. */
  readonly transactionalId: string | undefined;
  readonly recordFormat: "cef" | "json";
  readonly compression: KafkaWriterParts["compression"];
  readonly access: KafkaWriterParts["access"];
  /** Loads the client. The transactional id is known when it is asked for. */
  readonly client: (transactionalId: string) => Promise<KafkaClient>;
  readonly spoolBytes: number;
  readonly stateFolder: string;
  readonly rejected: RejectedEvents;
  /** Names the folder of rejected events. */
  readonly stateName: string;
  readonly ports: DiskPorts;
  readonly clock: Clock;
  readonly random: Random;
  readonly newId: () => string;
  readonly log: Log;
}

/** Records of the spool that are committed together. */
interface Group {
  readonly records: readonly Spooled[];
  lines: KafkaLine[];
}

/**
 * A topic of Kafka. Every event goes to the spool on disk first and stays there until Kafka has committed it.
 *
 * One transaction holds events and the watermark: the place in the spool up to which all is committed. Who
 * opens the writer reads the watermark and leaves out what lies before it. So an event is committed once,
 * whenever this program, its host or Kafka fails: there is no moment at which one of the two is known to
 * Kafka and the other is not.
 */
export class KafkaOutput implements Output {
  readonly kind = "durable";
  readonly name: string;
  readonly where: string;
  readonly #p: KafkaParts;
  readonly #reports: OutputReports;
  readonly #recent = new RecentKeys();
  readonly #spool: Spool;
  readonly #intake: SpoolIntake;
  /** What was committed and left the spool: the engine's own journal comes later, and a crash may lose it. */
  readonly #committed: WrittenLog;
  readonly #commits: CommitQueue<Batch>;
  readonly #stop = new AbortController();
  /** Fires when the stop begins: nothing new waits for room in the spool. */
  readonly #hurry = new AbortController();
  readonly #lane: KafkaLane;
  /** Undefined: it failed. */
  #ready: Promise<void> | undefined;
  readonly #running: Promise<void>;
  readonly #retry: KafkaRetry;
  #writer: KafkaTransactions | undefined;
  #group: Group | undefined;
  /**
   * As far as the spool survives a crash of the host. What lies behind it is not sent yet: the engine would
   * bring it again after such a crash, and Kafka would have it twice.
   */
  #flushedTo: Pick<SpoolPlace, "segment" | "endsAt"> | undefined;
  /** Something came that may be sent. */
  readonly #news = new Wakeup();
  #hasNews = false;
  #failure: Failure | undefined;
  #isFailing = false;
  #unconfirmed = 0;
  readonly #large: KafkaLargeEvents;
  #access: KafkaParts["access"];
  /** Ends the pause after a refused sign-in. */
  readonly #renewal = new Renewal();

  /** Connects at once. Throws Failure `state-unwritable`, `state-unreadable`. */
  constructor(parts: KafkaParts) {
    this.#p = parts;
    this.#access = parts.access;
    this.name = parts.name;
    this.#reports = new OutputReports(this, parts.log);
    this.where = parts.where;
    this.#retry = new KafkaRetry(parts.clock, parts.random);
    this.#large = new KafkaLargeEvents({ ...parts, reports: this.#reports });
    const { ports, clock, stateFolder } = parts;
    const opened = Spool.open({
      folder: `${stateFolder}/spool`,
      limitBytes: parts.spoolBytes,
      disk: ports.disk,
      clock,
      until: "confirmed",
      segmentBytes: Math.max(SMALL_SEGMENT_BYTES, Math.min(SEGMENT_BYTES, parts.spoolBytes / 16)),
      ...spoolReports({ name: this.name, where: this.where, log: parts.log }, `${stateFolder}/spool`),
    });
    this.#spool = opened.spool;
    this.#flushedTo = opened.spool.end;
    this.#intake = new SpoolIntake({
      ...parts,
      reports: this.#reports,
      append: (group) => this.#append(group),
      isReceiverUp: () => !this.#isFailing,
      hurry: this.#hurry.signal,
    });
    const committed = WrittenLog.open(parts.name, ports.disk, `${stateFolder}/committed`, () => undefined);
    this.#committed = committed.log;
    this.#recent.took(committed.keys);
    this.#recent.took(opened.keys.filter((key) => key !== ""));
    this.#lane = KafkaLane.open(`${stateFolder}/lane`, ports, parts.newId, this.#spool);
    // Whoever writes or sends waits for it, and gets its error.
    this.#whenReady().catch(() => undefined);
    this.#commits = new CommitQueue(
      (group) => this.#commit(group),
      ({ bytes }) => bytes.length,
    );
    this.#running = this.#run();
  }

  wants(key: string): boolean {
    return this.#recent.wants(key);
  }

  /** Resolves when the events are on this machine's disk: from then on they are delivered. */
  write(batch: Batch): Promise<void> {
    return this.#commits.write(withKeyPerLine(batch));
  }

  condition(): OutputCondition {
    const { waitingSinceMs } = this.#spool;
    return {
      state: this.#reports.isRefusing ? "refusing" : this.#failure === undefined ? "up" : "down",
      ...(this.#failure ? { failure: this.#failure } : {}),
      spooledBytes: this.#spool.waitingBytes,
      ...(waitingSinceMs === undefined ? {} : { waitingSinceMs }),
      spoolLimitBytes: this.#p.spoolBytes,
      unconfirmed: this.#unconfirmed,
      rejected: this.#large.rejected,
    };
  }

  listen(listener: OutputListener): void {
    this.#reports.listen(listener);
  }

  /** A connection that is open stays open: Kafka asks for the password only at the next one. */
  renew({ password }: OutputSecrets): void {
    if (password === undefined) return;
    this.#access = { ...this.#access, password };
    this.#renewal.renewed();
  }

  async close(withinMs: number): Promise<void> {
    const { clock } = this.#p;
    const giveUp = clock.monotonicMs() + withinMs;
    // First: a write that waits for room in a full spool must not hold up the stop.
    this.#hurry.abort();
    await this.#commits.idle();
    this.#wake();
    while (this.#spool.waitingBytes > 0 && !this.#isFailing && clock.monotonicMs() < giveUp) await clock.pause(50);
    this.#stop.abort();
    this.#wake();
    await this.#running;
    this.#writer?.close();
    this.#committed.close();
    this.#spool.close();
  }

  async #commit(group: readonly Batch[]): Promise<void> {
    await this.#intake.take(group);
    for (const { keys } of group) this.#recent.took(keys.filter((key) => key !== ""));
    this.#wake();
    this.#reports.changed();
  }

  /** Resolves when the lane's file holds this run: a watermark of it means nothing before. Tries again. */
  #whenReady(): Promise<void> {
    this.#ready ??= this.#lane.save().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #append(group: readonly Batch[]): Promise<boolean> {
    await this.#whenReady();
    const kept = await this.#spool.appendAll(group);
    this.#flushedTo = this.#spool.end;
    return kept;
  }

  #isFlushed({ segment, endsAt }: SpoolPlace): boolean {
    const to = this.#flushedTo;
    return to !== undefined && (segment < to.segment || (segment === to.segment && endsAt <= to.endsAt));
  }

  /** Transaction after transaction, until the stop. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let client: KafkaClient | undefined;
    while (!signal.aborted) {
      try {
        await this.#whenReady();
        client ??= await this.#p.client(this.#transactionalId);
        // A connection that was idle for long is closed by the broker; that is not a failure.
        if (this.#writer?.isUsable !== true) this.#writer = await this.#takeOver(client);
        this.#hasNews = false;
        this.#group ??= await this.#nextGroup();
        if (this.#group === undefined) {
          this.#recovered();
          // Something may have come while the disk was waited for.
          if (!this.#hasNews) await this.#news.woken(signal);
          continue;
        }
        await this.#send(this.#writer, this.#group);
      } catch (error) {
        if (signal.aborted) break;
        await this.#failed(client, error);
      }
    }
  }

  get #transactionalId(): string {
    return this.#p.transactionalId ?? `defender-mssp.${this.#lane.id}`;
  }

  /** Shuts out every writer before this one, and learns what is committed. */
  async #takeOver(client: KafkaClient): Promise<KafkaTransactions> {
    this.#writer?.close();
    const { topic, watermarkTopic, compression, clock } = this.#p;
    const writer = await client.open({
      access: this.#access,
      topic,
      watermarkTopic,
      watermarkPartition: this.#lane.watermarkPartition,
      transactionalId: this.#transactionalId,
      watermarkKey: this.#lane.id,
      compression,
      clock,
      stop: this.#stop.signal,
    });
    try {
      await this.#lane.keepPartition(writer.watermarkPartition);
      this.#lane.committedUpTo(writer.watermark);
      const group = this.#group;
      const last = group?.records.at(-1);
      // The transaction whose outcome was unknown is committed as a whole, or not at all.
      if (group !== undefined && last !== undefined && this.#lane.isCommitted(last)) await this.#confirm(group);
    } catch (error) {
      writer.close();
      throw error;
    }
    return writer;
  }

  async #send(writer: KafkaTransactions, group: Group): Promise<void> {
    const last = group.records.at(-1) as Spooled;
    this.#unconfirmed = group.lines.length;
    await writer.commit(group.lines, this.#lane.watermarkAt(last), this.#large.sliceMostBytes);
    this.#recovered();
    await this.#confirm(group);
  }

  /** The group is committed: it leaves the spool, and its keys stay known. */
  async #confirm(group: Group): Promise<void> {
    await this.#keepKeys(group.records);
    for (const record of group.records) this.#spool.confirm(record, { keepsAWhile: false });
    this.#group = undefined;
    this.#unconfirmed = 0;
    this.#intake.released();
    this.#reports.changed();
  }

  async #keepKeys(records: readonly Spooled[]): Promise<void> {
    const keys = records.flatMap((record) => record.keys.filter((key) => key !== ""));
    if (keys.length === 0) return;
    this.#committed.note(
      "spool",
      keys.map((key) => ({ size: 0, key })),
    );
    await this.#committed.sync();
  }

  async #nextGroup(): Promise<Group | undefined> {
    const records: Spooled[] = [];
    const lines: KafkaLine[] = [];
    const before: Spooled[] = [];
    let byteLength = 0;
    let first: Spooled | undefined;
    try {
      while (byteLength < TRANSACTION_BYTES && lines.length < TRANSACTION_EVENTS) {
        const record = this.#spool.next();
        if (record === undefined || !this.#isFlushed(record)) break;
        first ??= record;
        this.#spool.pass(record);
        if (this.#lane.isCommitted(record)) {
          before.push(record);
          continue;
        }
        records.push(record);
        byteLength += record.lines.length;
        lines.push(...linesOf(record));
      }
      if (before.length > 0) {
        await this.#keepKeys(before);
        for (const record of before) this.#spool.confirm(record, { keepsAWhile: false });
      }
    } catch (error) {
      // They are in no group: a later watermark would count them as committed.
      if (first !== undefined) this.#spool.pass({ ...first, endsAt: first.startsAt });
      throw error;
    }
    return records.length === 0 ? undefined : { records, lines };
  }

  async #failed(client: KafkaClient | undefined, error: unknown): Promise<void> {
    this.#writer?.close();
    this.#writer = undefined;
    this.#unconfirmed = 0;
    if (error instanceof KafkaTooLarge && this.#group !== undefined) {
      try {
        return await this.#large.makeSmaller(this.#group.lines, error);
      } catch (parking) {
        if (!isFailure(parking)) throw parking;
        return await this.#pauseWith(parking, STOPPED_FOR_MS);
      }
    }
    const { failure, waitMs, isReported } = this.#retry.failed(client, error);
    if (isReported) return await this.#pauseWith(failure, waitMs);
    this.#p.log.info("a transaction was not committed; what was committed is read, and the rest sent", {
      output: this.name,
      say: failure.say,
    });
    await this.#p.clock.pause(waitMs, this.#stop.signal);
  }

  async #pauseWith(failure: Failure, waitMs: number): Promise<void> {
    this.#isFailing = true;
    this.#reports.logFailure(failure, this.#failure);
    this.#failure = failure;
    this.#reports.changed();
    await this.#p.clock.pause(waitMs, AbortSignal.any([this.#stop.signal, this.#renewal.signal]));
  }

  #recovered(): void {
    this.#retry.succeeded();
    this.#isFailing = false;
    if (this.#failure === undefined) return;
    this.#reports.logRecovery(this.where, this.#spool.waitingBytes);
    this.#failure = undefined;
    this.#reports.changed();
  }

  #wake(): void {
    this.#hasNews = true;
    this.#news.wake();
  }
}
