import { Failure, isFailure } from "../model/failure.ts";
import type { PacketPlace, PacketReceiver } from "../model/fleet.ts";
import type { KafkaClient, KafkaParts, KafkaTransactions } from "./kafka.ts";
import { KafkaTooLarge } from "./kafka-error.ts";
import { KafkaLargeEvents } from "./kafka-large-events.ts";
import { type KafkaLine, linesOf, withKeyPerLine } from "./kafka-lines.ts";
import { KafkaRetry } from "./kafka-retry.ts";
import type { Batch, Output, OutputCondition, OutputListener, OutputSecrets, ShardPackets } from "./output.ts";
import { OutputReports } from "./output-reports.ts";
import { Renewal } from "./renewal.ts";
import { Wakeup } from "./wakeup.ts";

/** While Kafka cannot be reached, so often it is looked whether a shard is still this member's. */
const WANTED_LOOK_MS = 1_000;
/** Health waits in memory: it is repeated each hour. */
const HEALTH_MOST_BYTES = 16 << 20;
const HEALTH_AT_ONCE_BYTES = 1 << 20;
const CLOSE_LOOK_MS = 50;

export interface KafkaShardsParts
  extends Pick<
    KafkaParts,
    | "name"
    | "where"
    | "topic"
    | "watermarkTopic"
    | "recordFormat"
    | "compression"
    | "access"
    | "client"
    | "spoolBytes"
    | "rejected"
    | "stateName"
    | "clock"
    | "random"
    | "log"
  > {
  /** The same on every member; each shard's id is made of it. */
  readonly transactionalId: string;
  /** Names this member among the others. */
  readonly member: string;
  /** Of the fleet. */
  readonly shards: number;
}

/** One transactional id: that of a shard, or of this member's health. */
interface Lane {
  readonly id: string;
  /** Undefined: health, whose watermark says nothing. */
  readonly partition: number | undefined;
  readonly retry: KafkaRetry;
  client: KafkaClient | undefined;
  writer: KafkaTransactions | undefined;
  notBeforeMs: number;
  failure: Failure | undefined;
  failedTo: "open" | "commit" | undefined;
  /** Of each stream: packets that Kafka has and the store may not know to be confirmed. */
  has: ReadonlyMap<number, readonly PacketPlace[]>;
  /** New forms of events that are too large, by place in the events of its key; undefined: parked. */
  readonly changed: Map<string, KafkaLine | undefined>;
}

/**
 * A topic of Kafka as the output of a fleet. Each shard has a transactional id and a partition of the topic
 * of watermarks. One transaction holds events and the watermark: the packets of the store that hold them.
 *
 * The member that takes a shard over shuts out every writer before it and reads the watermark, and only then
 * asks the store what waits. So whatever another member committed is in the watermark, or the store knows it
 * to be confirmed. A member that was suspended and goes on is refused by Kafka, and so are its late requests.
 * After any error the same is done again: nothing is sent blindly.
 */
export class KafkaShards implements Output {
  readonly kind = "durable";
  readonly name: string;
  readonly where: string;
  readonly packets: PacketReceiver;
  readonly #p: KafkaShardsParts;
  readonly #reports: OutputReports;
  readonly #large: KafkaLargeEvents;
  readonly #lanes = new Map<number, Lane>();
  readonly #health: Lane;
  readonly #healthLines: Buffer[] = [];
  #healthBytes = 0;
  readonly #news = new Wakeup();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #reported: Failure | undefined;
  #bytes = 0;
  #events = 0;
  #access: KafkaShardsParts["access"];
  /** Ends the pause after a refused sign-in. */
  readonly #renewal = new Renewal();

  constructor(parts: KafkaShardsParts) {
    this.#p = parts;
    this.name = parts.name;
    this.where = parts.where;
    this.#access = parts.access;
    this.#reports = new OutputReports(this, parts.log);
    this.#large = new KafkaLargeEvents({ ...parts, reports: this.#reports });
    this.#health = this.#newLane(`health.${parts.member.replaceAll(/[^A-Za-z0-9._-]/g, "_")}`, undefined);
    this.packets = {
      isOpen: (shard) => this.#lanes.get(shard)?.writer?.isUsable === true,
      takeOver: (shard, isWanted) => this.#open(this.#laneOf(shard), isWanted),
      has: (shard, packet) => hasPacket(this.#lanes.get(shard)?.has, packet),
      leave: (shard) => this.#leave(shard),
    };
    this.#running = this.#sendHealth();
  }

  /** The watermark says what Kafka has. */
  wants(): boolean {
    return true;
  }

  /**
   * Events of a shard: resolves when they are committed with the watermark. Rejects when nothing can be said
   * of them before the shard is taken over anew. Health: resolves at once.
   */
  write(batch: Batch): Promise<void> {
    if (batch.from !== undefined) return this.#commitPackets(batch, batch.from);
    if (this.#healthBytes + batch.bytes.length > HEALTH_MOST_BYTES) return Promise.reject(this.#healthDropped());
    this.#healthBytes += batch.bytes.length;
    this.#healthLines.push(Buffer.from(batch.bytes));
    this.#news.wake();
    return Promise.resolve();
  }

  condition(): OutputCondition {
    const lanes = this.#allLanes();
    const failure = lanes.find((one) => one.failure !== undefined)?.failure;
    const isUp = failure === undefined || lanes.some((one) => one.failure === undefined && one.writer?.isUsable);
    return {
      state: isUp ? "up" : "down",
      ...(failure === undefined ? {} : { failure }),
      spooledBytes: this.#bytes + this.#healthBytes,
      spoolLimitBytes: this.#p.spoolBytes,
      unconfirmed: this.#events,
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
    for (const lane of this.#allLanes()) lane.notBeforeMs = Number.NEGATIVE_INFINITY;
    this.#renewal.renewed();
  }

  async close(withinMs: number): Promise<void> {
    const { clock } = this.#p;
    const giveUp = clock.monotonicMs() + withinMs;
    const isBusy = () => this.#bytes + this.#healthBytes > 0 && this.condition().state === "up";
    while (isBusy() && clock.monotonicMs() < giveUp) await clock.pause(CLOSE_LOOK_MS);
    this.#stop.abort();
    this.#news.wake();
    await this.#running;
    for (const { writer } of this.#allLanes()) writer?.close();
  }

  async #commitPackets(batch: Batch, { shard, packets }: ShardPackets): Promise<void> {
    const lane = this.#laneOf(shard);
    const { writer } = lane;
    if (writer?.isUsable !== true) throw this.#unsettled();
    const { bytes, keys } = withKeyPerLine(batch);
    const lines = placed(linesOf({ lines: bytes, keys }), lane.changed);
    const has = withPackets(lane.has, packets);
    this.#bytes += bytes.length;
    this.#events += lines.length;
    try {
      await this.#commit(lane, writer, lines, watermarkOf(has));
    } finally {
      this.#bytes -= bytes.length;
      this.#events -= lines.length;
    }
    lane.has = has;
    lane.changed.clear();
  }

  /** Throws Failure `fleet-unsettled`, and the writer is gone then. */
  async #commit(lane: Lane, writer: KafkaTransactions, lines: readonly PlacedLine[], watermark: Buffer): Promise<void> {
    try {
      await writer.commit(lines, watermark, this.#large.sliceMostBytes);
    } catch (error) {
      const left = error instanceof KafkaTooLarge ? await this.#leftOf(lane, lines, error) : error;
      // What fails because the shard was given up meanwhile is the next owner's, and does not count here.
      if (left !== undefined && lane.writer === writer) this.#failed(lane, "commit", left);
      throw this.#unsettled(lane.failure);
    } finally {
      if (!writer.isUsable) writer.close();
    }
    lane.retry.succeeded();
    this.#recovered(lane);
  }

  /**
   * Opens the lane's writer. False as soon as that is not wanted any more. Throws Failure when the output
   * closes.
   */
  async #open(lane: Lane, isWanted: () => boolean): Promise<boolean> {
    const { clock } = this.#p;
    for (;;) {
      if (this.#stop.signal.aborted) throw this.#unsettled();
      if (!isWanted()) {
        this.#recovered(lane);
        return false;
      }
      const waitMs = lane.notBeforeMs - clock.monotonicMs();
      if (waitMs > 0) {
        const woken = AbortSignal.any([this.#stop.signal, this.#renewal.signal]);
        await clock.pause(Math.min(waitMs, WANTED_LOOK_MS), woken);
        continue;
      }
      lane.writer?.close();
      lane.writer = undefined;
      try {
        lane.client ??= await this.#p.client(lane.id);
        const writer = await this.#writerOf(lane, lane.client);
        try {
          lane.has = packetsIn(lane.partition === undefined ? undefined : writer.watermark);
        } catch (error) {
          writer.close();
          throw error;
        }
        lane.writer = writer;
        if (lane.failedTo === "open") this.#recovered(lane);
        return true;
      } catch (error) {
        if (!this.#stop.signal.aborted) this.#failed(lane, "open", error);
      }
    }
  }

  #writerOf(lane: Lane, client: KafkaClient): Promise<KafkaTransactions> {
    const { topic, watermarkTopic, compression, clock, shards } = this.#p;
    return client.open({
      access: this.#access,
      topic,
      watermarkTopic,
      watermarkPartition: lane.partition,
      watermarkPartitions: shards,
      transactionalId: lane.id,
      watermarkKey: lane.id,
      compression,
      clock,
      stop: this.#stop.signal,
    });
  }

  /** Throws the error when it is a defect. */
  #failed(lane: Lane, failedTo: "open" | "commit", error: unknown): void {
    const { failure, waitMs, isReported } = lane.retry.failed(lane.client, error);
    lane.notBeforeMs = this.#p.clock.monotonicMs() + waitMs;
    if (!isReported) {
      this.#p.log.info("a transaction was not committed; what was committed is read, and the rest sent", {
        output: this.name,
        say: failure.say,
      });
      return;
    }
    lane.failure = failure;
    lane.failedTo = failedTo;
    // Of many shards that fail for one reason, one says so.
    this.#reports.logFailure(failure, this.#reported);
    this.#reported = failure;
    this.#reports.changed();
  }

  #leave(shard: number): void {
    const lane = this.#lanes.get(shard);
    if (lane === undefined) return;
    lane.writer?.close();
    lane.writer = undefined;
    this.#recovered(lane);
  }

  #recovered(lane: Lane): void {
    if (lane.failure === undefined) return;
    lane.failure = undefined;
    lane.failedTo = undefined;
    if (this.#reported !== undefined && this.#allLanes().every(({ failure }) => failure === undefined)) {
      this.#reports.logRecovery(this.where, 0);
      this.#reported = undefined;
    }
    this.#reports.changed();
  }

  /** What is left of the error; undefined where the same events may come again, as they are smaller then. */
  async #leftOf(lane: Lane, lines: readonly PlacedLine[], error: KafkaTooLarge): Promise<unknown> {
    try {
      await this.#makeSmaller(lane, lines, error);
      return undefined;
    } catch (parking) {
      return parking;
    }
  }

  /** Throws Failure `output-unwritable` when the disk takes no rejected event. */
  async #makeSmaller(lane: Lane, lines: readonly PlacedLine[], error: KafkaTooLarge): Promise<void> {
    if (error.alone.length === 0) await this.#large.makeSmaller([], error);
    for (const event of error.alone) {
      const line = lines.find((one) => one === event);
      if (line === undefined) throw new Error("Kafka refused an event that is not in the transaction");
      const one: KafkaLine[] = [line];
      await this.#large.makeSmaller(one, new KafkaTooLarge([line]));
      lane.changed.set(line.place, one[0]);
    }
  }

  /** Health after health, until the stop. What is not committed by then is lost: it is repeated each hour. */
  async #sendHealth(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (this.#healthLines.length === 0) {
        await this.#news.woken(signal);
        continue;
      }
      try {
        if (this.#health.writer?.isUsable !== true) await this.#open(this.#health, () => true);
        const writer = this.#health.writer as KafkaTransactions;
        const sent = firstOf(this.#healthLines, HEALTH_AT_ONCE_BYTES);
        const bytes = Buffer.concat(sent);
        const lines = placed(linesOf({ lines: bytes, keys: [] }), this.#health.changed);
        await this.#commit(this.#health, writer, lines, Buffer.from("{}"));
        this.#health.changed.clear();
        this.#healthLines.splice(0, sent.length);
        this.#healthBytes -= bytes.length;
      } catch (error) {
        // It is said already, or the output closes.
        if (!isFailure(error)) throw error;
      }
    }
  }

  #laneOf(shard: number): Lane {
    const known = this.#lanes.get(shard);
    if (known !== undefined) return known;
    const lane = this.#newLane(String(shard), shard);
    this.#lanes.set(shard, lane);
    return lane;
  }

  #newLane(name: string, partition: number | undefined): Lane {
    const { transactionalId, clock, random } = this.#p;
    return {
      id: `${transactionalId}.${name}`,
      partition,
      retry: new KafkaRetry(clock, random),
      client: undefined,
      writer: undefined,
      notBeforeMs: Number.NEGATIVE_INFINITY,
      failure: undefined,
      failedTo: undefined,
      has: new Map(),
      changed: new Map(),
    };
  }

  #allLanes(): readonly Lane[] {
    return [...this.#lanes.values(), this.#health];
  }

  #unsettled(why?: Failure): Failure {
    return new Failure("fleet-unsettled", {
      actor: "us",
      retry: { when: "later" },
      say:
        why?.say ??
        `${this.name}: ${this.where} did not confirm a transaction. What it has is read before anything is sent again.`,
      ...(why === undefined ? {} : { nextStep: why.nextStep, cause: why }),
    });
  }

  #healthDropped(): Failure {
    return new Failure("output-full", {
      actor: "operator",
      retry: { when: "later" },
      say: `${this.name}: ${this.where} accepts no events, and ${HEALTH_MOST_BYTES >> 20} MiB of health events wait in memory. Newer ones are dropped.`,
      nextStep: "Start the receiver again. Health is repeated each hour.",
    });
  }
}

/** The first, of so many bytes; at least one. */
function firstOf(all: readonly Buffer[], mostBytes: number): readonly Buffer[] {
  let bytes = 0;
  const end = all.findIndex((one, i) => {
    bytes += one.length;
    return i > 0 && bytes > mostBytes;
  });
  return end === -1 ? [...all] : all.slice(0, end);
}

/** A line of the transaction, with its place among the lines of its event. */
interface PlacedLine extends KafkaLine {
  readonly place: string;
}

/** Leaves out what is parked, and takes what was made smaller. */
function placed(
  lines: readonly KafkaLine[],
  changed: ReadonlyMap<string, KafkaLine | undefined>,
): readonly PlacedLine[] {
  const counts = new Map<string, number>();
  return lines.flatMap((line) => {
    const count = counts.get(line.fullKey) ?? 0;
    counts.set(line.fullKey, count + 1);
    const place = `${count} ${line.fullKey}`;
    const now = changed.has(place) ? changed.get(place) : line;
    return now === undefined ? [] : [{ ...now, place }];
  });
}

function hasPacket(
  has: ReadonlyMap<number, readonly PacketPlace[]> | undefined,
  { stream, seq, epoch }: PacketPlace,
): boolean {
  return has?.get(stream)?.some((one) => one.seq === seq && one.epoch === epoch) === true;
}

/**
 * A stream's packets before the first of this round are confirmed in the store, so they can be forgotten. All
 * others stay: also those that Kafka has and that were not sent in this round.
 */
function withPackets(
  has: ReadonlyMap<number, readonly PacketPlace[]>,
  packets: readonly PacketPlace[],
): ReadonlyMap<number, readonly PacketPlace[]> {
  const next = new Map(has);
  const first = new Map<number, bigint>();
  for (const { stream, seq } of packets) {
    const before = first.get(stream);
    if (before === undefined || seq < before) first.set(stream, seq);
  }
  for (const [stream, from] of first)
    next.set(
      stream,
      (has.get(stream) ?? []).filter(({ seq }) => seq >= from),
    );
  for (const packet of packets)
    if (!hasPacket(next, packet)) next.set(packet.stream, [...(next.get(packet.stream) ?? []), packet]);
  return next;
}

/** Each stream with its packets: number and epoch. */
function watermarkOf(has: ReadonlyMap<number, readonly PacketPlace[]>): Buffer {
  const streams = Array.from(has, ([stream, packets]) => [
    stream,
    packets.map(({ seq, epoch }) => [String(seq), String(epoch)]),
  ]);
  return Buffer.from(JSON.stringify({ streams }));
}

/** Throws when it is not a watermark: what Kafka has is not known then, and nothing may be sent. */
function packetsIn(watermark: Buffer | undefined): ReadonlyMap<number, readonly PacketPlace[]> {
  if (watermark === undefined) return new Map();
  const { streams } = JSON.parse(watermark.toString("utf8")) as {
    readonly streams: readonly (readonly [number, readonly (readonly [string, string])[]])[];
  };
  return new Map(
    streams.map(([stream, packets]) => [
      stream,
      packets.map(([seq, epoch]) => ({ stream, seq: BigInt(seq), epoch: BigInt(epoch) })),
    ]),
  );
}
