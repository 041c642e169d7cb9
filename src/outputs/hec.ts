import { backoffMs, spread } from "../model/backoff.ts";
import { asFailure, Failure, isFailure } from "../model/failure.ts";
import type { Clock, Log, Random } from "../model/ports.ts";
import type { Disk } from "../stores/disk/disk.ts";
import { CommitQueue } from "./commit-queue.ts";
import { type HecReason, type HecVerdict, inWords } from "./hec-answer.ts";
import { type HecBatch, HecBatches, type TakenBatch } from "./hec-batches.ts";
import { type HecAnswered, type HecClient, hecSilent, hecStopped, hecWithoutAck } from "./hec-client.ts";
import type { Batch, Output, OutputCondition, OutputListener, OutputSecrets } from "./output.ts";
import { outputUnwritable, spoolReports } from "./output-failures.ts";
import { OutputReports } from "./output-reports.ts";
import { RecentKeys } from "./recent-keys.ts";
import type { RejectedEvents } from "./rejected.ts";
import { Renewal } from "./renewal.ts";
import { Spool } from "./spool.ts";
import { SpoolIntake } from "./spool-intake.ts";
import { type ConfirmedQueue, UnconfirmedBatches } from "./unconfirmed-batches.ts";
import { withoutStanza } from "./version-key.ts";
import { Wakeup } from "./wakeup.ts";

const SOCKETS_PER_LANE = 4;
const BACKOFF = { firstMs: 1_000, longestMs: 60_000 };
/** Somebody has to change something in Splunk; this program does not hear when. */
const STOPPED_FOR_MS = 60_000;
const FIRST_ASK_MS = 1_000;
const ASK_GROWTH = 1.5;
const LONGEST_ASK_MS = 10_000;
/** While the program stops, an acknowledgement saves a copy at the next start. */
const STOPPING_ASK_MS = 250;
/** Without an acknowledgement for this long a batch is sent again, on another channel. */
const UNACKNOWLEDGED_AFTER_MS = 300_000;
/**
 * An indexer that was gone may have lost what it took. What it kept it mostly acknowledges within this long.
 * The wait doubles with each return, until it acknowledges so soon again.
 */
const RETURNED_FOR_MS = 30_000;
/** The wait doubles with each repeat, up to this. */
const LONGEST_UNACKNOWLEDGED_MS = 3_600_000;
/** More channels of which acknowledgements may still come are not asked for: each costs a request. */
const OLD_CHANNELS_MOST = 8;
/** A lane whose acknowledgements come again sends without this limit. */
const WINDOW_MOST = 64;
/** A balancer that sets another cookie each time does not say that the indexer changed. */
const COOKIE_CHANGES_MOST = 3;
/**
 * No indexer restarts so often in so long a time: several answer under one address, and each counts its own
 * ids.
 */
const NEW_COUNTS = { most: 5, withinMs: 600_000, saidAgainAfterMs: 3_600_000 };
const SEGMENT_BYTES = 8 << 20;
const SMALL_SEGMENT_BYTES = 1 << 20;
/**
 * What lanes that keep up take next is still in memory; while HEC is down it is at most this and the memory
 * of one record.
 */
const FRESH_BYTES = 2 << 20;
/** Health events in memory while the receiver is down, where there is no spool. */
const HEALTH_MOST_BYTES = 16 << 20;

export interface HecParts {
  readonly name: string;
  readonly urls: readonly string[];
  readonly ack: "auto" | "on" | "off";
  readonly client: HecClient;
  readonly spoolBytes: number;
  /**
   * The writer keeps what it writes until that is confirmed, as the database of a fleet does: nothing goes to
   * a spool, and `write` resolves when Splunk has confirmed the events.
   */
  readonly withoutSpool?: boolean;
  readonly stateFolder: string;
  readonly rejected: RejectedEvents;
  /** Names the folder of rejected events. */
  readonly stateName: string;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  /** A new channel's GUID. */
  readonly newChannel: () => string;
  readonly log: Log;
}

interface OpenBatch extends TakenBatch {
  readonly atMs: number;
  /** Without an acknowledgement for this long it is sent again. */
  waitMs: number;
  /** An acknowledgement of this sending counts all the same. */
  isSentAgain: boolean;
}

/** What one indexer acknowledges under one GUID. */
interface Channel {
  readonly id: string;
  cookie: string | undefined;
  highestAckId: number;
  /** Taken, and not confirmed yet, by acknowledgement id. */
  readonly open: Map<number, OpenBatch>;
}

/** HEC takes events and acknowledges none of them. A new channel does not end it. */
interface Silence {
  /** Time that was spent waiting for acknowledgements, pauses without open events left out. */
  forMs: number;
  /** What the last question for acknowledgements was answered with, where that is of no use. */
  answer: string | undefined;
  /** Once it has lasted so long that somebody must hear of it. */
  failure: Failure | undefined;
}

/** What a request was sent with. */
interface BeforeAnswer {
  readonly channel: Channel;
  readonly highestAckId: number;
}

/** One URL with its present channel. */
interface Lane {
  readonly url: string;
  channel: Channel;
  /**
   * Nothing is sent on these any more. Their acknowledgements are still asked for, because an indexer may be
   * late; oldest first.
   */
  oldChannels: Channel[];
  cookieChanges: number;
  /** When acknowledgement ids began anew, lately. */
  newCountsAtMs: readonly number[];
  saidSeveralAtMs: number;
  usesAck: boolean;
  /** What is sent now waits this long for its acknowledgement. */
  waitMs: number;
  /** How long the slowest of the last acknowledgements took, if that was too long; else 0. */
  lateMs: number;
  /** What is open when it is back after it was gone waits this long. */
  returnedForMs: number;
  /**
   * Of the last question for acknowledgements: it had no answer, so the indexer may have restarted since; or
   * there was no connection at all.
   */
  wasUnreachable: "no" | "unanswered" | "gone";
  /** Requests whose answers are not worked through yet. */
  readonly sending: Set<Promise<void>>;
  askAfterMs: number;
  /** While events are open and none is acknowledged. */
  silence: Silence | undefined;
  /**
   * So many batches may be open. One after a restart of the indexer, twice as many after each confirmation:
   * one that restarts often would otherwise lose all batches again before one of them is confirmed.
   */
  window: number;
  /** Something was taken since the last failure: all sockets may be used. */
  isProved: boolean;
  failures: number;
  notBeforeMs: number;
  failure: Failure | undefined;
}

/**
 * Splunk's HTTP Event Collector. Every event goes to the spool on disk first and stays there until Splunk
 * has confirmed it, so it is delivered even if Microsoft has replaced it meanwhile.
 *
 * There are two promises. With acknowledgement (`ackId`), confirmed means that the indexer has indexed it.
 * Without (Splunk Cloud), it means that HEC took it into its queue: what was confirmed in the last hour is
 * kept, 16 MiB of it at most, and sent again after a crash of this program.
 */
export class HecOutput implements Output {
  readonly kind = "durable";
  readonly name: string;
  readonly where: string;
  readonly #p: HecParts;
  readonly #reports: OutputReports;
  readonly #recent = new RecentKeys();
  /** The spool on disk, or what is on its way. */
  readonly #spool: ConfirmedQueue;
  /** Undefined: there is a spool. */
  readonly #unconfirmed: UnconfirmedBatches | undefined;
  /** Of health events that nobody has confirmed yet; counted without a spool. */
  #healthBytes = 0;
  readonly #intake: SpoolIntake | undefined;
  readonly #batches: HecBatches;
  readonly #commits: CommitQueue<Batch>;
  readonly #lanes: readonly Lane[];
  readonly #stop = new AbortController();
  /** Fires when the stop begins: nothing waits for room in the spool, and acknowledgements are asked for. */
  readonly #hurry = new AbortController();
  /** Something changed that may give a loop work. */
  readonly #news = new Wakeup();
  readonly #running: Promise<unknown>;
  #rejectedCount = 0;
  /** Ends the pauses of lanes that the old token stopped; another one with each new token. */
  readonly #renewal = new Renewal();

  /** Begins to send at once. Throws Failure `state-unwritable`, `state-unreadable`. */
  constructor(parts: HecParts) {
    this.#p = parts;
    this.name = parts.name;
    this.#reports = new OutputReports(this, parts.log);
    this.where = parts.urls.join(", ");
    if (parts.withoutSpool === true) {
      this.#unconfirmed = new UnconfirmedBatches(parts.clock);
      this.#spool = this.#unconfirmed;
    } else {
      const { spool, keys } = this.#openSpool();
      this.#spool = spool;
      this.#recent.took(keys);
      this.#intake = new SpoolIntake({
        ...parts,
        where: this.where,
        reports: this.#reports,
        append: (group) => spool.appendAll(group),
        isReceiverUp: () => this.#lanes.some((lane) => failureOf(lane) === undefined),
        hurry: this.#hurry.signal,
      });
    }
    this.#batches = new HecBatches(this.#spool);
    this.#commits = new CommitQueue(
      (group) => this.#commit(group),
      ({ bytes }) => bytes.length,
    );
    this.#lanes = parts.urls.map((url) => ({
      url,
      channel: this.#newChannel(),
      oldChannels: [],
      cookieChanges: 0,
      newCountsAtMs: [],
      saidSeveralAtMs: Number.NEGATIVE_INFINITY,
      usesAck: parts.ack !== "off",
      waitMs: UNACKNOWLEDGED_AFTER_MS,
      lateMs: 0,
      returnedForMs: RETURNED_FOR_MS,
      wasUnreachable: "no",
      sending: new Set(),
      askAfterMs: FIRST_ASK_MS,
      silence: undefined,
      window: Number.POSITIVE_INFINITY,
      isProved: false,
      failures: 0,
      notBeforeMs: Number.NEGATIVE_INFINITY,
      failure: undefined,
    }));
    if (parts.ack === "off")
      parts.log.warn(WITHOUT_ACK_BY_SETTING, { output: this.name, to: this.where, next_step: ENABLE_ACK });
    this.#running = Promise.all(
      this.#lanes.flatMap((lane) => [
        this.#askForAcks(lane),
        ...Array.from({ length: SOCKETS_PER_LANE }, (_, socket) => this.#sendFrom(lane, socket === 0)),
      ]),
    );
  }

  wants(key: string): boolean {
    return this.#recent.wants(key);
  }

  /**
   * Resolves when the events are on this machine's disk: from then on they are delivered. Without a spool it
   * resolves when Splunk has confirmed them, and rejects when the output closes before.
   */
  write(batch: Batch): Promise<void> {
    return this.#unconfirmed === undefined ? this.#commits.write(batch) : this.#writeThrough(this.#unconfirmed, batch);
  }

  condition(): OutputCondition {
    const failures = this.#lanes.map(failureOf);
    const failure = failures.find((one) => one !== undefined);
    const isDown = failures.every((one) => one !== undefined);
    const { waitingSinceMs } = this.#spool;
    return {
      state: this.#reports.isRefusing ? "refusing" : isDown ? "down" : "up",
      ...(failure ? { failure } : {}),
      spooledBytes: this.#spool.waitingBytes,
      ...(waitingSinceMs === undefined ? {} : { waitingSinceMs }),
      spoolLimitBytes: this.#p.spoolBytes,
      ...(this.#lanes.some(({ usesAck }) => usesAck) ? { unconfirmed: this.#openEvents() } : {}),
      rejected: this.#rejectedCount,
    };
  }

  listen(listener: OutputListener): void {
    this.#reports.listen(listener);
  }

  renew({ token }: OutputSecrets): void {
    if (token === undefined) return;
    this.#p.client.useToken(token);
    for (const lane of this.#lanes)
      if (lane.failure?.code === "output-broken") lane.notBeforeMs = Number.NEGATIVE_INFINITY;
    this.#renewal.renewed();
  }

  async close(withinMs: number): Promise<void> {
    const { clock } = this.#p;
    const giveUp = clock.monotonicMs() + withinMs;
    // First: a write that waits for room in a full spool must not hold up the stop.
    this.#hurry.abort();
    await this.#commits.idle();
    this.#news.wake();
    while (this.#spool.waitingBytes > 0 && this.condition().state === "up" && clock.monotonicMs() < giveUp)
      await clock.pause(50);
    this.#stop.abort();
    this.#news.wake();
    await this.#running;
    if (this.#unconfirmed === undefined) this.#spool.close();
    else this.#unconfirmed.close(notConfirmed(this.name, this.where));
  }

  #openSpool() {
    const { stateFolder, spoolBytes, disk, clock, log } = this.#p;
    const folder = `${stateFolder}/spool`;
    return Spool.open({
      folder,
      limitBytes: spoolBytes,
      disk,
      clock,
      until: "confirmed",
      segmentBytes: Math.max(SMALL_SEGMENT_BYTES, Math.min(SEGMENT_BYTES, spoolBytes / 16)),
      freshBytes: FRESH_BYTES,
      ...spoolReports({ name: this.name, where: this.where, log }, folder),
    });
  }

  async #writeThrough(unconfirmed: UnconfirmedBatches, batch: Batch): Promise<void> {
    if (batch.keys.length === 0) return this.#writeHealth(unconfirmed, batch);
    const confirmed = unconfirmed.add(batch);
    this.#news.wake();
    await confirmed;
    // Not before: an event that only was on its way must be written when it comes again.
    this.#recent.took(batch.keys);
  }

  /** Health is repeated each hour: nobody keeps it, and whoever sends it does not wait for a receiver. */
  #writeHealth(unconfirmed: UnconfirmedBatches, { bytes }: Batch): void {
    if (this.#healthBytes + bytes.length > HEALTH_MOST_BYTES) throw healthDropped(this.name, this.where);
    this.#healthBytes += bytes.length;
    const forget = () => void (this.#healthBytes -= bytes.length);
    unconfirmed.add({ bytes: Uint8Array.from(bytes), keys: [], ends: [] }).then(forget, forget);
    this.#news.wake();
  }

  async #commit(group: readonly Batch[]): Promise<void> {
    await this.#intake?.take(group);
    for (const { keys } of group) this.#recent.took(keys);
    this.#news.wake();
    this.#reports.changed();
  }

  /** One socket's work: batch after batch, until the stop. */
  async #sendFrom(lane: Lane, isFirst: boolean): Promise<void> {
    const { clock } = this.#p;
    const { signal } = this.#stop;
    const waitMs = () => lane.notBeforeMs - clock.monotonicMs();
    while (!signal.aborted) {
      // A lane that has not proved itself gets one request at a time: its answer may change the channel.
      const mayTry = waitMs() <= 0 && (isFirst || lane.isProved) && this.#hasRoom(lane);
      const batch = mayTry ? this.#nextBatch() : undefined;
      if (batch !== undefined) {
        const sending = this.#send(lane, batch).finally(() => lane.sending.delete(sending));
        lane.sending.add(sending);
        await sending;
      } else if (isFirst && waitMs() > 0) await clock.pause(waitMs(), AbortSignal.any([signal, this.#renewal.signal]));
      else await this.#news.woken(signal);
    }
  }

  #hasRoom({ usesAck, channel, sending, window }: Lane): boolean {
    return !usesAck || channel.open.size + sending.size < window;
  }

  #nextBatch(): HecBatch | undefined {
    try {
      return this.#batches.next();
    } catch (error) {
      // The next batch that HEC takes shows that the spool can be read again.
      for (const lane of this.#lanes) {
        this.#note(lane, asFailure(error));
        this.#pauseLane(lane, STOPPED_FOR_MS);
      }
      return undefined;
    }
  }

  async #send(lane: Lane, batch: HecBatch): Promise<void> {
    const { channel } = lane;
    const { highestAckId } = channel;
    const { signal: renewed } = this.#renewal;
    let answered: HecAnswered<HecVerdict>;
    try {
      answered = await this.#p.client.send(this.#conversation(lane, channel), batch.bytes, this.#stop.signal);
    } catch (error) {
      this.#batches.putBack(batch);
      if (this.#stop.signal.aborted) return;
      // It may have arrived: it is sent again, with equal keys.
      this.#fail(lane, asFailure(error));
      this.#giveUpChannel(lane, channel, "the connection broke");
      return;
    }
    const isLate = lane.channel !== channel;
    const changed = this.#noteCookie(lane, answered.cookie, isLate);
    await this.#act(lane, batch, answered.verdict, { channel, isLate, highestAckId, hadOldToken: renewed.aborted });
    if (changed && lane.channel === channel) this.#giveUpChannel(lane, channel, "another indexer answers");
    this.#news.wake();
  }

  /**
   * @param before the channel that it was sent on, whether that or the token changed while the request was
   *   under way, and the highest id when it was sent: several are under way at once.
   */
  async #act(
    lane: Lane,
    batch: HecBatch,
    verdict: HecVerdict,
    before: BeforeAnswer & { readonly isLate: boolean; readonly hadOldToken: boolean },
  ): Promise<void> {
    const { name } = this;
    switch (verdict.is) {
      case "taken":
        if (verdict.ackId === undefined && lane.usesAck) return this.#withoutAck(lane, batch, true);
        this.#recovered(lane);
        this.#batches.taken(batch);
        if (!lane.usesAck || verdict.ackId === undefined) return this.#confirm(batch, { isIndexed: false });
        this.#awaitAck(lane, batch, verdict.ackId, before);
        return;
      case "ack-off":
        return this.#withoutAck(lane, batch, false);
      case "event-refused":
      case "too-large": {
        // Another sending of it was indexed meanwhile.
        if (this.#batches.isConfirmed(batch)) return this.#batches.taken(batch);
        const index = verdict.is === "too-large" ? undefined : verdict.index;
        if (index !== undefined && index < batch.count) await this.#park(lane, batch, index, verdict.reason);
        else if (batch.count > 1) this.#halve(lane, batch);
        else await this.#park(lane, batch, 0, verdict.reason);
        return;
      }
      case "channel-refused":
        this.#batches.putBack(batch);
        if (!lane.usesAck && verdict.reason.code === 10)
          return this.#stopLane(
            lane,
            hecStopped(name, lane.url, verdict.reason, "Set .ack to auto: this token wants a channel."),
          );
        this.#giveUpChannel(lane, before.channel, inWords(verdict.reason));
        this.#pauseLane(lane, this.#backoff(lane));
        return;
      case "stopped":
        this.#batches.putBack(batch);
        // The refusal may be of the old token, and the new one must not wait for it.
        if (before.hadOldToken) return this.#pauseLane(lane, this.#backoff(lane));
        return this.#stopLane(lane, hecStopped(name, lane.url, verdict.reason, verdict.nextStep));
      case "busy":
        this.#batches.putBack(batch);
        this.#fail(lane, this.#busy(lane, verdict.reason), verdict.waitMs);
        if (!lane.usesAck || !mayBeTaken(verdict.reason)) return;
        this.#giveUpChannel(lane, before.channel, inWords(verdict.reason));
        // A proxy that says so often must not make all open events come again each time.
        lane.window = 1;
        return;
      case "unclear":
        this.#batches.putBack(batch);
        this.#fail(lane, this.#busy(lane, verdict.reason));
        this.#giveUpChannel(lane, before.channel, "the answer cannot be read");
    }
  }

  #awaitAck(lane: Lane, { slices, count }: HecBatch, ackId: number, { channel, highestAckId }: BeforeAnswer): void {
    const isOld = lane.oldChannels.includes(channel);
    if (lane.channel !== channel && !isOld) {
      this.#batches.sendAgain([{ slices, count }]);
      return;
    }
    // An indexer that restarted begins its ids at 0: what was open before may be lost, and an old id would
    // confirm a new batch.
    if (ackId <= highestAckId || channel.open.has(ackId)) {
      this.#batches.sendAgain([{ slices, count }]);
      this.#giveUpChannel(lane, channel, "the indexer restarted");
      this.#noteNewCount(lane);
      if (isOld) return;
      lane.window = 1;
      // One that gives each batch the same id must not get the same events again and again without a pause.
      this.#pauseLane(lane, this.#backoff(lane));
      return;
    }
    channel.highestAckId = Math.max(channel.highestAckId, ackId);
    const [atMs, waitMs] = [this.#p.clock.monotonicMs(), lane.waitMs];
    channel.open.set(ackId, { slices, count, atMs, waitMs, isSentAgain: false });
  }

  /** Acknowledgement ids began anew. A balancer that keeps nobody at one indexer makes copies for ever. */
  #noteNewCount(lane: Lane): void {
    const nowMs = this.#p.clock.monotonicMs();
    lane.newCountsAtMs = [...lane.newCountsAtMs, nowMs].filter((atMs) => nowMs - atMs <= NEW_COUNTS.withinMs);
    if (lane.newCountsAtMs.length < NEW_COUNTS.most) return;
    lane.newCountsAtMs = [];
    if (nowMs - lane.saidSeveralAtMs < NEW_COUNTS.saidAgainAfterMs) return;
    lane.saidSeveralAtMs = nowMs;
    this.#p.log.warn(SEVERAL_INDEXERS, { output: this.name, to: lane.url, next_step: KEEP_AT_ONE });
  }

  #confirm(batch: TakenBatch, { isIndexed }: { readonly isIndexed: boolean }): void {
    this.#batches.confirm(batch, { keepsAWhile: !isIndexed });
    this.#intake?.released();
    this.#reports.changed();
  }

  /** HEC acknowledges nothing here: the weaker promise, which somebody must hear of. */
  #withoutAck(lane: Lane, batch: HecBatch, isTaken: boolean): void {
    if (this.#p.ack === "on") {
      // Whether it was taken does not matter: nobody would ever confirm it.
      this.#batches.putBack(batch);
      this.#stopLane(lane, hecWithoutAck(this.name, lane.url));
      return;
    }
    this.#weaken(lane);
    if (!isTaken) {
      this.#batches.putBack(batch);
      return;
    }
    this.#recovered(lane);
    this.#batches.taken(batch);
    this.#confirm(batch, { isIndexed: false });
  }

  #weaken(lane: Lane): void {
    if (!lane.usesAck) return;
    lane.usesAck = false;
    this.#endSilence(lane);
    for (const channel of [...lane.oldChannels, lane.channel])
      this.#giveUpChannel(lane, channel, "it acknowledges nothing");
    this.#p.log.warn(WITHOUT_ACK, { output: this.name, to: lane.url, next_step: ENABLE_ACK });
    this.#reports.notice(
      "output-unacknowledged",
      `${this.name}: HEC at ${lane.url} does not acknowledge events. ${WEAKER_PROMISE}`,
    );
  }

  #halve(lane: Lane, batch: HecBatch): void {
    try {
      this.#batches.halve(batch);
    } catch (error) {
      this.#batches.putBack(batch);
      this.#fail(lane, asFailure(error));
    }
  }

  async #park(lane: Lane, batch: HecBatch, index: number, reason: HecReason): Promise<void> {
    const { rejected, stateName, log } = this.#p;
    let path: string;
    let ofVersion: string;
    let takeOut: () => void;
    try {
      const event = this.#batches.eventAt(batch, index);
      takeOut = event.takeOut;
      ofVersion = withoutStanza(event.key);
      path = await rejected.park(stateName, {
        output: this.name,
        where: lane.url,
        key: ofVersion,
        reason: inWords(reason),
        event: event.line,
      });
    } catch (error) {
      this.#batches.putBack(batch);
      const failure = isFailure(error) ? error : outputUnwritable(this.name, "the folder of rejected events", error);
      if (!isFailure(failure)) throw failure;
      this.#fail(lane, failure);
      return;
    }
    takeOut();
    this.#rejectedCount += 1;
    const say = `${this.name}: Splunk refuses one event for good (${inWords(reason)}): ${ofVersion || "health"}. It is kept in ${path}.`;
    log.error(say, { output: this.name, key: ofVersion, next_step: RESEND });
    this.#reports.notice("event-rejected", `${say} ${RESEND}`);
  }

  async #askForAcks(lane: Lane): Promise<void> {
    const { clock } = this.#p;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#forgetConfirmed(lane);
      if (channelsToAsk(lane).length === 0) {
        lane.askAfterMs = FIRST_ASK_MS;
        await this.#news.woken(signal);
        continue;
      }
      const isWaiting = this.#openBatches(lane).length > 0;
      const beganMs = clock.monotonicMs();
      if (this.#hurry.signal.aborted) await clock.pause(STOPPING_ASK_MS, signal);
      else await clock.pause(lane.askAfterMs, this.#hurry.signal);
      if (signal.aborted) continue;
      const progressed = await this.#ask(lane);
      if (!progressed && isWaiting) this.#noteSilence(lane, clock.monotonicMs() - beganMs);
      lane.askAfterMs = progressed ? FIRST_ASK_MS : Math.min(LONGEST_ASK_MS, lane.askAfterMs * ASK_GROWTH);
      this.#sendOverdueAgain(lane);
    }
  }

  /** True when something was confirmed. */
  async #ask(lane: Lane): Promise<boolean> {
    let progressed = false;
    for (const channel of channelsToAsk(lane)) {
      progressed = (await this.#askChannel(lane, channel)) || progressed;
      // The same address would let each of the others wait as long.
      if (lane.wasUnreachable !== "no") break;
    }
    return progressed;
  }

  async #askChannel(lane: Lane, channel: Channel): Promise<boolean> {
    const { client, clock } = this.#p;
    try {
      const ids = [...channel.open.keys()];
      const verdict = await client.askAcks(this.#conversation(lane, channel), ids, this.#stop.signal);
      // After a restart of the indexer an answer on its way may hold one of these ids again: then the id says
      // nothing of the batch that had it before, and the channel changes.
      await Promise.all(lane.sending);
      // What was given up meanwhile is sent again, and its ids say nothing any more.
      if (lane.channel !== channel && !lane.oldChannels.includes(channel)) return false;
      if (verdict.is === "ack-off") {
        if (this.#p.ack === "on") this.#stopLane(lane, hecWithoutAck(this.name, lane.url));
        else this.#weaken(lane);
        return false;
      }
      if (verdict.is === "unusable") {
        this.#unanswered(lane, inWords(verdict.reason));
        return false;
      }
      let slowestMs = 0;
      for (const id of verdict.indexed) {
        const batch = channel.open.get(id);
        if (batch === undefined) continue;
        channel.open.delete(id);
        lane.cookieChanges = 0;
        lane.failures = 0;
        slowestMs = Math.max(slowestMs, clock.monotonicMs() - batch.atMs);
        this.#confirm(batch, { isIndexed: true });
      }
      if (verdict.indexed.size === 0) {
        this.#unanswered(lane, undefined);
        if (lane.wasUnreachable !== "no") this.#waitAnew(lane);
        return false;
      }
      this.#noteAckTime(lane, slowestMs);
      this.#endSilence(lane);
      lane.window = lane.window < WINDOW_MOST ? lane.window * 2 : Number.POSITIVE_INFINITY;
      this.#news.wake();
      return true;
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#unanswered(lane, error.say);
      if (lane.wasUnreachable !== "gone") lane.wasUnreachable = wasGone(error) ? "gone" : "unanswered";
      return false;
    }
  }

  /** An indexer that acknowledges late is waited for longer, so that it is not sent everything twice. */
  #noteAckTime(lane: Lane, slowestMs: number): void {
    const wasLate = lane.lateMs > 0;
    lane.lateMs = slowestMs > UNACKNOWLEDGED_AFTER_MS ? slowestMs : 0;
    lane.waitMs = lateWaitMs(lane);
    lane.wasUnreachable = "no";
    if (slowestMs <= RETURNED_FOR_MS) lane.returnedForMs = RETURNED_FOR_MS;
    if (wasLate || lane.lateMs === 0) return;
    const [tookS, waitS] = [lane.lateMs, lane.waitMs].map((ms) => Math.round(ms / 1000));
    this.#p.log.warn(`HEC acknowledges events late, after ${tookS} s. They are waited for up to ${waitS} s now.`, {
      output: this.name,
      to: lane.url,
      next_step: "Check the indexing queues of Splunk's indexers.",
    });
  }

  /** One that may have restarted is waited for as at first, one that was gone for a shorter time. */
  #waitAnew(lane: Lane): void {
    const isBack = lane.wasUnreachable === "gone";
    const nowMs = this.#p.clock.monotonicMs();
    lane.wasUnreachable = "no";
    lane.lateMs = 0;
    lane.waitMs = UNACKNOWLEDGED_AFTER_MS;
    for (const batch of this.#openBatches(lane))
      batch.waitMs = Math.min(
        batch.waitMs,
        UNACKNOWLEDGED_AFTER_MS,
        isBack ? nowMs - batch.atMs + lane.returnedForMs : Number.POSITIVE_INFINITY,
      );
    if (isBack) lane.returnedForMs = Math.min(UNACKNOWLEDGED_AFTER_MS, 2 * lane.returnedForMs);
  }

  /** What waited too long for its acknowledgement goes to whichever lane is free, on another channel. */
  #sendOverdueAgain(lane: Lane): void {
    const nowMs = this.#p.clock.monotonicMs();
    // What was sent before the indexer was known to be late waits as long as what follows.
    const waitOf = ({ waitMs }: OpenBatch): number => (lane.lateMs > 0 ? Math.max(waitMs, lateWaitMs(lane)) : waitMs);
    const overdue = this.#openBatches(lane).filter((batch) => nowMs - batch.atMs >= waitOf(batch));
    if (overdue.length === 0) return;
    const waitedMs = Math.max(...overdue.map(waitOf));
    lane.waitMs = Math.min(LONGEST_UNACKNOWLEDGED_MS, Math.max(lane.waitMs, waitedMs * 2));
    const why = `no acknowledgement for ${Math.round(waitedMs / 1000)} s`;
    const { channel } = lane;
    const isOverdue = new Set(overdue);
    if ([...channel.open.values()].some((batch) => isOverdue.has(batch))) {
      lane.channel = this.#newChannel();
      lane.isProved = false;
      lane.oldChannels.push(channel);
    }
    this.#sendAgain(lane, overdue, why);
    for (const old of lane.oldChannels.slice(0, -OLD_CHANNELS_MOST)) this.#giveUpChannel(lane, old, why);
  }

  /**
   * What another sending confirmed is not asked for any more. While a request is under way an id has to stay:
   * its answer may bring that id again, and only then is it known to mean two batches.
   */
  #forgetConfirmed(lane: Lane): void {
    if (lane.sending.size > 0) return;
    for (const { open } of [lane.channel, ...lane.oldChannels])
      for (const [id, batch] of open) if (this.#batches.isConfirmed(batch)) open.delete(id);
    lane.oldChannels = lane.oldChannels.filter(({ open }) => open.size > 0);
  }

  /** What was taken, is not confirmed, and was not sent again since. */
  #openBatches({ channel, oldChannels }: Lane): OpenBatch[] {
    return [...oldChannels, channel].flatMap(({ open }) =>
      [...open.values()].filter((batch) => !batch.isSentAgain && !this.#batches.isConfirmed(batch)),
    );
  }

  #openEvents(): number {
    return sum(this.#lanes.flatMap((lane) => this.#openBatches(lane)).map(({ count }) => count));
  }

  #newChannel(): Channel {
    return { id: this.#p.newChannel(), cookie: undefined, highestAckId: -1, open: new Map() };
  }

  /** @param answer why the answer about acknowledgements is of no use; undefined: it is one. */
  #unanswered(lane: Lane, answer: string | undefined): void {
    lane.silence ??= { forMs: 0, answer, failure: undefined };
    lane.silence.answer = answer;
    if (answer === undefined) return;
    this.#p.log.debug("the answer about acknowledgements is of no use", { output: this.name, say: answer });
  }

  /** Events were open for another `forMs`, and none was acknowledged. */
  #noteSilence(lane: Lane, forMs: number): void {
    if (!lane.usesAck) return;
    lane.silence ??= { forMs: 0, answer: undefined, failure: undefined };
    const { silence } = lane;
    silence.forMs += forMs;
    if (silence.failure !== undefined || silence.forMs < Math.max(UNACKNOWLEDGED_AFTER_MS, lateWaitMs(lane))) return;
    silence.failure = hecSilent(this.name, lane.url, silence.answer);
    // It may index everything all the same, so each try makes copies.
    lane.window = 1;
    this.#reports.logFailure(silence.failure, undefined);
    this.#reports.changed();
  }

  #endSilence(lane: Lane): void {
    const { silence } = lane;
    lane.silence = undefined;
    if (silence?.failure === undefined) return;
    this.#reports.logRecovery(lane.url, this.#spool.waitingBytes);
    this.#reports.changed();
  }

  /**
   * Nothing that is acknowledged on this channel counts any more, because an id may mean two batches: a
   * request may have been taken under an id that nobody was told, and an indexer that restarted gives old ids
   * again.
   * What was taken and not confirmed is sent again on whichever lane is free.
   */
  #giveUpChannel(lane: Lane, channel: Channel, why: string): void {
    const open = [...channel.open.values()].filter(({ isSentAgain }) => !isSentAgain);
    if (channel === lane.channel) {
      lane.channel = this.#newChannel();
      lane.isProved = false;
    } else if (lane.oldChannels.includes(channel)) lane.oldChannels = lane.oldChannels.filter((old) => old !== channel);
    else return;
    this.#sendAgain(lane, open, why);
  }

  #sendAgain(lane: Lane, open: readonly OpenBatch[], why: string): void {
    if (open.length === 0) return;
    for (const batch of open) batch.isSentAgain = true;
    this.#batches.sendAgain(open);
    this.#p.log.warn("events without an acknowledgement are sent again, with the same keys", {
      output: this.name,
      to: lane.url,
      say: why,
      events: sum(open.map(({ count }) => count)),
    });
    this.#news.wake();
  }

  /** True when another indexer answers. */
  #noteCookie(lane: Lane, cookie: string | undefined, isLate: boolean): boolean {
    const { channel } = lane;
    if (cookie === undefined || isLate || cookie === channel.cookie) return false;
    const changed = channel.cookie !== undefined;
    channel.cookie = cookie;
    if (changed) lane.cookieChanges += 1;
    return changed && lane.usesAck && lane.cookieChanges <= COOKIE_CHANGES_MOST;
  }

  #conversation({ url, usesAck }: Lane, { id, cookie }: Channel) {
    return { url, channel: usesAck ? id : undefined, cookie };
  }

  #recovered(lane: Lane): void {
    if (lane.failure !== undefined) {
      this.#reports.logRecovery(lane.url, this.#spool.waitingBytes);
      lane.failure = undefined;
      this.#reports.changed();
    }
    if (!lane.usesAck) lane.failures = 0;
    if (lane.isProved) return;
    lane.isProved = true;
    this.#news.wake();
  }

  #fail(lane: Lane, failure: Failure, waitMs?: number): void {
    const ownMs = this.#backoff(lane);
    this.#note(lane, failure);
    this.#pauseLane(lane, waitMs === undefined ? ownMs : Math.max(waitMs, ownMs));
  }

  #stopLane(lane: Lane, failure: Failure): void {
    this.#note(lane, failure);
    this.#pauseLane(lane, spread(STOPPED_FOR_MS, this.#p.random));
  }

  #backoff(lane: Lane): number {
    lane.failures += 1;
    return backoffMs(BACKOFF, lane.failures, this.#p.random);
  }

  #pauseLane(lane: Lane, forMs: number): void {
    lane.isProved = false;
    lane.notBeforeMs = Math.max(lane.notBeforeMs, this.#p.clock.monotonicMs() + forMs);
    this.#news.wake();
  }

  #note(lane: Lane, failure: Failure): void {
    this.#reports.logFailure(failure, lane.failure);
    lane.failure = failure;
    this.#reports.changed();
  }

  #busy(lane: Lane, reason: HecReason): Failure {
    return new Failure("output-unreachable", {
      actor: "operator",
      retry: { when: "later" },
      say: `${this.name}: HEC at ${lane.url} takes nothing now (${inWords(reason)}). Events wait.`,
      nextStep: "Check the health of Splunk's indexers if this lasts. Delivery resumes by itself.",
    });
  }
}

function notConfirmed(name: string, where: string): Failure {
  return new Failure("output-unreachable", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: HEC at ${where} did not confirm events before this program stopped. They are sent again.`,
    nextStep: "Check the health of Splunk's indexers if this happens at each stop.",
  });
}

function healthDropped(name: string, where: string): Failure {
  return new Failure("output-full", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: HEC at ${where} takes nothing, so health events are no longer kept for it. No alert is lost.`,
    nextStep: "Start Splunk, or check .urls and the network. Delivery resumes by itself.",
  });
}

/** Why nothing of what this lane is given is delivered. */
function failureOf({ failure, silence }: Lane): Failure | undefined {
  return failure ?? silence?.failure;
}

function channelsToAsk({ channel, oldChannels }: Lane): readonly Channel[] {
  return [channel, ...oldChannels].filter(({ open }) => open.size > 0);
}

/** Twice the time that the indexer took at last, if that was too long. */
function lateWaitMs({ lateMs }: Pick<Lane, "lateMs">): number {
  return Math.min(LONGEST_UNACKNOWLEDGED_MS, Math.max(UNACKNOWLEDGED_AFTER_MS, 2 * lateMs));
}

/** Connection refused, as while it restarts. A busy one answers late; any server closes idle connections. */
function wasGone({ cause }: Failure): boolean {
  return isFailure(cause) && cause.code === "network-unreachable";
}

/** It is a proxy's word: HEC may have taken the events under an id that nobody was told. */
function mayBeTaken({ status, code }: HecReason): boolean {
  return code === undefined && status >= 500;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

const WEAKER_PROMISE =
  "An event counts as delivered when HEC has taken it into its queue; one that Splunk then loses is not sent again.";
const WITHOUT_ACK = `HEC does not acknowledge events. ${WEAKER_PROMISE}`;
const WITHOUT_ACK_BY_SETTING = `.ack is off. ${WEAKER_PROMISE}`;
const ENABLE_ACK =
  "Enable indexer acknowledgement for the token and set .ack to on, where Splunk offers it. Splunk Cloud does not.";
const SEVERAL_INDEXERS =
  "HEC counts its acknowledgements anew again and again: a load balancer sends requests to several indexers, or the indexer keeps restarting. Nothing is lost, but delivery is slow, and events are sent again with the same keys.";
const KEEP_AT_ONE =
  "Turn on sticky sessions (by cookie) at the load balancer, or name every indexer in .urls instead of its address.";
const RESEND =
  "Run `defender-mssp rejected list`, correct the cause in Splunk, then run `defender-mssp rejected resend`.";
