import { IS_CONTROL, IS_TRANSACTIONAL, NumericMap } from "@platformatic/kafka";
import type { Clock } from "../model/ports.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import type { Target } from "./connection.ts";
import {
  APIS,
  BrokerConnection,
  type FetchedPartition,
  type KafkaAccess,
  targetAt,
  targetOf,
} from "./kafka-connection.ts";
import {
  codesOf,
  isOnly,
  KafkaError,
  type KafkaEvent,
  type KafkaStep,
  KafkaTooLarge,
  TooFewPartitions,
} from "./kafka-error.ts";
import { murmur2 } from "./murmur2.ts";

/** Kafka ends a transaction that is open for longer. */
const TRANSACTION_MS = 30_000;
/** How long Kafka may take to end the transaction before, or to find the coordinator of this one. */
const SETTLES_WITHIN_MS = 60_000;
const SETTLE_PAUSE_MS = 20;
const AGAIN_PAUSE_MS = 5;
/** A created topic is known to every broker within moments. */
const CREATED_WITHIN_MS = 15_000;
const CREATED_PAUSE_MS = 100;
const WATERMARK_PARTITIONS = 16;
/** Kafka's smallest allowed size is 1 MiB: the compaction leaves the segment that is written to alone. */
const WATERMARK_SEGMENT_BYTES = 4 << 20;
const FETCH_MOST_BYTES = 4 << 20;
const FETCH_WAIT_MS = 200;
const READ_UNCOMMITTED = 0;
const READ_COMMITTED = 1;
const LATEST = -1n;
const EARLIEST = -2n;
const ALL_REPLICAS = -1;
const TRANSACTION_COORDINATOR = 1;
/** The topic's or the cluster's own number of replicas. */
const DEFAULT_REPLICAS = -1;
/** What a record costs beside its key and value. */
const RECORD_HEAD_BYTES = 100;

export interface KafkaWriterParts {
  readonly access: KafkaAccess;
  readonly topic: string;
  readonly watermarkTopic: string;
  /** Where the watermark lies, when that is known; else it follows from the id. */
  readonly watermarkPartition: number | undefined;
  /** The topic of watermarks must have at least so many partitions. Absent: any number will do. */
  readonly watermarkPartitions?: number;
  readonly transactionalId: string;
  /** Names the watermark. Another collector with the same transactional id must not read it as its own. */
  readonly watermarkKey: string;
  readonly compression: "zstd" | "gzip" | "snappy" | "lz4" | "none";
  readonly clock: Clock;
  readonly stop: AbortSignal;
}

interface Message {
  readonly topic: string;
  readonly partition: number;
  readonly key?: Buffer;
  readonly value: Buffer;
  readonly headers?: Map<Buffer, Buffer>;
  readonly timestamp: bigint;
}

type Partition = Pick<Message, "topic" | "partition">;

/**
 * Commits events and the watermark in one transaction. To open it fences every earlier writer of this
 * transactional id: what that one had not committed is aborted, and its late requests are refused. The
 * watermark that is read then is the last one committed, and stays so.
 *
 * After any error it is unknown what Kafka has: the writer is of no use any more, and the next one reads what
 * was committed. Nothing is sent again blindly: a late EndTxn of the old protocol can commit the transaction
 * behind it.
 */
export class KafkaWriter {
  /** The last committed one; undefined when this collector has committed nothing yet. */
  readonly watermark: Buffer | undefined;
  readonly watermarkPartition: number;
  readonly #p: KafkaWriterParts;
  readonly #cluster: Cluster;
  readonly #coordinator: BrokerConnection;
  readonly #isV2: boolean;
  #producerId: bigint;
  #epoch: number;
  readonly #sequences = new NumericMap();
  /** Where the events of the last transaction lie: the first record of each batch. */
  #placed: Placed[] = [];
  #isBroken = false;

  private constructor(
    parts: KafkaWriterParts,
    cluster: Cluster,
    { coordinator, producerId, epoch, watermark, watermarkPartition }: Opened,
  ) {
    this.#p = parts;
    this.#cluster = cluster;
    this.#coordinator = coordinator;
    this.#isV2 = coordinator.hasTransactionsV2;
    this.#producerId = producerId;
    this.#epoch = epoch;
    this.watermark = watermark;
    this.watermarkPartition = watermarkPartition;
  }

  /** Throws KafkaError, or Failure `output-untrusted`. */
  static async open(parts: KafkaWriterParts): Promise<KafkaWriter> {
    const { transactionalId, watermarkTopic, watermarkKey, stop } = parts;
    const cluster = new Cluster(parts);
    const onStop = () => cluster.close();
    stop.addEventListener("abort", onStop, { once: true });
    try {
      await cluster.begin();
      await cluster.learn(parts.topic, "topic");
      await cluster.learnOrCreate(watermarkTopic, parts.watermarkPartitions);
      const fenced = await cluster.fence(transactionalId);
      const watermarkPartition =
        parts.watermarkPartition ?? partitionOf(watermarkKey, cluster.partitionCount(watermarkTopic));
      const watermark = await cluster.lastCommitted(watermarkTopic, watermarkPartition, watermarkKey);
      return new KafkaWriter(parts, cluster, { ...fenced, watermark, watermarkPartition });
    } catch (error) {
      cluster.close();
      throw error;
    } finally {
      stop.removeEventListener("abort", onStop);
    }
  }

  /** False after an error, or when a connection ended meanwhile. */
  get isUsable(): boolean {
    return !this.#isBroken && this.#cluster.isOpen;
  }

  /**
   * Resolves when the events and the watermark are committed. Throws KafkaTooLarge or KafkaError: nothing can
   * be said of the events then before the next writer is open.
   *
   * @param sliceMostBytes of one partition so much goes in one request; a larger event goes alone.
   */
  async commit(events: readonly KafkaEvent[], watermark: Buffer, sliceMostBytes: number): Promise<void> {
    const { topic, watermarkTopic, watermarkKey, clock, stop } = this.#p;
    this.#placed = [];
    const timestamp = BigInt(clock.nowMs());
    const count = this.#cluster.partitionCount(topic);
    const messages = events.map((event) => messageOf(event, topic, count, timestamp));
    const watermarkMessage = {
      topic: watermarkTopic,
      partition: this.watermarkPartition,
      key: Buffer.from(watermarkKey),
      value: watermark,
      timestamp,
    };
    const onStop = () => this.close();
    stop.addEventListener("abort", onStop, { once: true });
    try {
      const all = [...messages, watermarkMessage];
      if (!this.#isV2) await this.#addPartitions(all);
      const eventOf = new Map<Message, KafkaEvent>(messages.map((message, i) => [message, events[i] as KafkaEvent]));
      await Promise.all(
        Array.from(this.#cluster.byLeader(all), ([leader, those]) =>
          this.#produce(leader, those, sliceMostBytes, eventOf),
        ),
      );
      await this.#end();
    } catch (error) {
      this.#isBroken = true;
      throw error;
    } finally {
      stop.removeEventListener("abort", onStop);
    }
  }

  /**
   * Reads this event of the last transaction back, as a reader of the topic does. False when this user may
   * not read the topic. Throws KafkaError.
   */
  async canRead(value: Buffer): Promise<boolean> {
    const { topic } = this.#p;
    try {
      for (const place of this.#placed.filter((one) => one.topic === topic)) {
        const reader = new CommittedReader(value);
        await this.#cluster.readCommitted(reader, place, place.offset, "topic");
        if (reader.hasWanted) return true;
      }
    } catch (error) {
      if (codesOf(error).includes("TOPIC_AUTHORIZATION_FAILED")) return false;
      throw error;
    }
    throw new KafkaError("read-back", this.#coordinator.target, new Error("the event is not there"));
  }

  close(): void {
    this.#isBroken = true;
    this.#cluster.close();
  }

  /** Before transactions of version 2 the coordinator must hear of each partition first. */
  async #addPartitions(partitions: readonly Partition[]): Promise<void> {
    const byTopic = new Map<string, Set<number>>();
    for (const { topic, partition } of partitions)
      byTopic.set(topic, (byTopic.get(topic) ?? new Set<number>()).add(partition));
    const topics = Array.from(byTopic, ([name, those]) => ({ name, partitions: [...those] }));
    await this.#whenBeforeEnded("transaction", this.#coordinator.target, () =>
      this.#coordinator.ask(APIS.addPartitions, [
        {
          transactionalId: this.#p.transactionalId,
          producerId: this.#producerId,
          producerEpoch: this.#epoch,
          verifyOnly: false,
          topics,
        },
      ]),
    );
  }

  async #produce(
    leader: Target,
    messages: readonly Message[],
    sliceMostBytes: number,
    eventOf: ReadonlyMap<Message, KafkaEvent>,
  ): Promise<void> {
    const { compression, transactionalId, access } = this.#p;
    const connection = await this.#cluster.connect(leader, "produce");
    for (let from = 0; from < messages.length; ) {
      const { slice, sequences } = this.#slice(messages, from, sliceMostBytes);
      from += slice.length;
      try {
        const answer = await this.#whenBeforeEnded("produce", leader, () =>
          connection.ask(
            this.#isV2 ? APIS.produceV2 : APIS.produceV1,
            ALL_REPLICAS,
            access.requestMs ?? TIME_LIMITS.kafkaRequest.ms,
            [...slice],
            { transactionalId, producerId: this.#producerId, producerEpoch: this.#epoch, sequences, compression },
          ),
        );
        for (const { name, partitionResponses } of typeof answer === "boolean" ? [] : answer.responses)
          for (const { index, baseOffset } of partitionResponses)
            this.#placed.push({ topic: name, partition: index, offset: baseOffset });
      } catch (error) {
        throw tooLargeIn(error, slice, eventOf) ?? error;
      }
    }
  }

  /** The next messages that one request may carry, with the first sequence number of each partition. */
  #slice(messages: readonly Message[], from: number, mostBytes: number) {
    const bytes = new Map<string, number>();
    const sequences = new NumericMap();
    let to = from;
    for (; to < messages.length; to += 1) {
      const message = messages[to] as Message;
      const place = `${message.topic}:${message.partition}`;
      const before = bytes.get(place);
      const size = (before ?? 0) + message.value.length + (message.key?.length ?? 0) + RECORD_HEAD_BYTES;
      if (before !== undefined && size > mostBytes) break;
      if (before === undefined) sequences.set(place, this.#sequences.get(place) ?? 0);
      bytes.set(place, size);
      this.#sequences.set(place, (this.#sequences.get(place) ?? 0) + 1);
    }
    return { slice: messages.slice(from, to), sequences };
  }

  /**
   * While Kafka still ends the transaction before, it refuses the first request of this one. That is a
   * definite answer, so the same request is sent again.
   */
  async #whenBeforeEnded<T>(step: KafkaStep, target: Target, ask: () => Promise<T>): Promise<T> {
    const { clock, stop } = this.#p;
    const until = clock.monotonicMs() + TRANSACTION_MS;
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        const mayPass = isOnly(error, "CONCURRENT_TRANSACTIONS") && clock.monotonicMs() < until && !stop.aborted;
        if (!mayPass) throw new KafkaError(step, target, error);
        await clock.pause(AGAIN_PAUSE_MS, stop);
      }
    }
  }

  async #end(): Promise<void> {
    const { transactionalId } = this.#p;
    const ours = [transactionalId, this.#producerId, this.#epoch, true] as const;
    try {
      if (!this.#isV2) {
        await this.#coordinator.ask(APIS.endTransactionV1, ...ours);
        return;
      }
      const next = await this.#coordinator.ask(APIS.endTransactionV2, ...ours);
      this.#producerId = next.producerId;
      this.#epoch = next.producerEpoch;
      this.#sequences.clear();
    } catch (error) {
      throw new KafkaError("commit", this.#coordinator.target, error);
    }
  }
}

interface Placed extends Partition {
  readonly offset: bigint;
}

interface Fenced {
  readonly coordinator: BrokerConnection;
  readonly producerId: bigint;
  readonly epoch: number;
}

interface Opened extends Fenced {
  readonly watermark: Buffer | undefined;
  readonly watermarkPartition: number;
}

/** The brokers that are connected, and who leads which partition. */
class Cluster {
  readonly #p: Pick<KafkaWriterParts, "access" | "transactionalId" | "clock" | "stop">;
  readonly #connections = new Map<string, Promise<BrokerConnection>>();
  readonly #open: BrokerConnection[] = [];
  readonly #leaders = new Map<string, Target>();
  readonly #counts = new Map<string, number>();
  #first: BrokerConnection | undefined;
  #isClosed = false;

  constructor(parts: Pick<KafkaWriterParts, "access" | "transactionalId" | "clock" | "stop">) {
    this.#p = parts;
  }

  get isOpen(): boolean {
    return !this.#isClosed && this.#open.every(({ isOpen }) => isOpen);
  }

  /** Connects to the first broker of the settings that can be reached. */
  async begin(): Promise<void> {
    const { access } = this.#p;
    const failed: unknown[] = [];
    for (const broker of access.brokers) {
      try {
        this.#first = await this.connect(targetOf(broker, access), "connect");
        return;
      } catch (error) {
        failed.push(error);
      }
    }
    throw failed[0];
  }

  connect(target: Target, step: KafkaStep): Promise<BrokerConnection> {
    const name = `${target.host}:${target.port}`;
    const known = this.#connections.get(name);
    if (known !== undefined) return known;
    const connecting = this.#connect(target, step);
    this.#connections.set(name, connecting);
    return connecting;
  }

  /** Learns who leads the topic's partitions. */
  async learn(topic: string, step: KafkaStep): Promise<void> {
    const first = this.#begun;
    try {
      const { brokers, topics } = await first.ask(APIS.metadata, [topic], false, false);
      const byId = new Map(brokers.map((broker) => [broker.nodeId, broker]));
      for (const { name, partitions } of topics) {
        if (name === null || name === undefined) continue;
        this.#counts.set(name, partitions.length);
        for (const { partitionIndex, leaderId } of partitions) {
          const leader = byId.get(leaderId);
          if (leader !== undefined)
            this.#leaders.set(`${name}:${partitionIndex}`, targetAt(leader.host, leader.port, this.#p.access));
        }
      }
    } catch (error) {
      throw new KafkaError(step, first.target, error);
    }
  }

  /** @param partitions that it has at least. Throws KafkaError also when it has fewer. */
  async learnOrCreate(topic: string, partitions: number | undefined): Promise<void> {
    await this.#learnOrCreate(topic, partitions ?? WATERMARK_PARTITIONS);
    if (partitions !== undefined && this.partitionCount(topic) < partitions)
      throw new KafkaError("watermark-topic", this.#begun.target, new TooFewPartitions(partitions));
  }

  async #learnOrCreate(topic: string, partitions: number): Promise<void> {
    try {
      await this.learn(topic, "watermark-topic");
      return;
    } catch (error) {
      if (!codesOf(error).includes("UNKNOWN_TOPIC_OR_PARTITION")) throw error;
    }
    await this.#create(topic, partitions);
    const { clock, stop } = this.#p;
    const until = clock.monotonicMs() + CREATED_WITHIN_MS;
    for (;;) {
      try {
        await this.learn(topic, "watermark-topic");
        return;
      } catch (error) {
        const isNew = ["UNKNOWN_TOPIC_OR_PARTITION", "LEADER_NOT_AVAILABLE"].some((one) =>
          codesOf(error).includes(one),
        );
        if (!isNew || stop.aborted || clock.monotonicMs() > until) throw error;
        await clock.pause(CREATED_PAUSE_MS, stop);
      }
    }
  }

  partitionCount(topic: string): number {
    return this.#counts.get(topic) ?? 0;
  }

  byLeader(messages: readonly Message[]): ReadonlyMap<Target, readonly Message[]> {
    const by = new Map<Target, Message[]>();
    const targets = new Map<string, Target>();
    for (const message of messages) {
      const leader = this.#leaderOf(message);
      const name = `${leader.host}:${leader.port}`;
      const target = targets.get(name) ?? leader;
      targets.set(name, target);
      const those = by.get(target) ?? [];
      those.push(message);
      by.set(target, those);
    }
    return by;
  }

  /** Ends what an earlier writer of this id left open, and shuts it out. */
  async fence(transactionalId: string): Promise<Fenced> {
    const { clock, stop } = this.#p;
    const until = clock.monotonicMs() + SETTLES_WITHIN_MS;
    for (;;) {
      try {
        return await this.#fenceOnce(transactionalId);
      } catch (error) {
        const mayPass = codesOf(error).some((code) => SETTLING.has(code));
        if (!mayPass || stop.aborted || clock.monotonicMs() > until) throw error;
        await clock.pause(SETTLE_PAUSE_MS, stop);
      }
    }
  }

  /** The newest committed value with this key. */
  async lastCommitted(topic: string, partition: number, key: string): Promise<Buffer | undefined> {
    const reader = new CommittedReader();
    await this.readCommitted(reader, { topic, partition }, undefined, "watermark-topic");
    return reader.last(key);
  }

  /**
   * Reads as far as the partition goes now. Another writer's open transaction hides what lies behind it, so
   * its end is waited for.
   *
   * @param from undefined: the partition's beginning.
   */
  async readCommitted(
    reader: CommittedReader,
    { topic, partition }: Partition,
    from: bigint | undefined,
    step: KafkaStep,
  ): Promise<void> {
    const leader = this.#leaderOf({ topic, partition });
    const connection = await this.connect(leader, step);
    try {
      const source = {
        earliest: () => this.#offsetAt(connection, { topic, partition }, EARLIEST),
        latest: () => this.#offsetAt(connection, { topic, partition }, LATEST),
        fetchFrom: (offset: bigint) => this.#fetchFrom(connection, { topic, partition }, offset),
      };
      await readAll(reader, source, from, this.#p);
    } catch (error) {
      throw new KafkaError(step, leader, error);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const connection of this.#open) connection.close();
  }

  get #begun(): BrokerConnection {
    if (this.#first === undefined) throw new Error("no broker is connected");
    return this.#first;
  }

  async #connect(target: Target, step: KafkaStep): Promise<BrokerConnection> {
    try {
      const connection = await BrokerConnection.open(target, this.#p.access, this.#p.transactionalId, this.#p.stop);
      this.#open.push(connection);
      if (this.#isClosed) connection.close();
      return connection;
    } catch (error) {
      throw new KafkaError(step === "connect" ? step : "reconnect", target, error);
    }
  }

  #leaderOf({ topic, partition }: Partition): Target {
    const leader = this.#leaders.get(`${topic}:${partition}`);
    if (leader === undefined) throw new KafkaError("leader", this.#begun.target, new Error(`${topic}:${partition}`));
    return leader;
  }

  async #create(topic: string, partitions: number): Promise<void> {
    const first = this.#begun;
    const configs = {
      "cleanup.policy": "compact",
      "segment.bytes": String(WATERMARK_SEGMENT_BYTES),
      "min.cleanable.dirty.ratio": "0.1",
    };
    try {
      await first.ask(
        APIS.createTopics,
        [
          {
            name: topic,
            numPartitions: partitions,
            replicationFactor: DEFAULT_REPLICAS,
            assignments: [],
            configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
          },
        ],
        TIME_LIMITS.kafkaRequest.ms / 2,
        false,
      );
    } catch (error) {
      // Another collector was faster.
      if (!codesOf(error).includes("TOPIC_ALREADY_EXISTS")) throw new KafkaError("create-topic", first.target, error);
    }
  }

  async #fenceOnce(transactionalId: string): Promise<Fenced> {
    const first = this.#begun;
    let target = first.target;
    try {
      const { coordinators } = await first.ask(APIS.findCoordinator, TRANSACTION_COORDINATOR, [transactionalId]);
      const found = coordinators[0];
      if (found === undefined) throw new Error("Kafka names no coordinator");
      target = targetAt(found.host, found.port, this.#p.access);
      const coordinator = await this.connect(target, "transaction");
      // The library's own 0 and 0 would be refused for an id that exists.
      const { producerId, producerEpoch } = await coordinator.ask(
        APIS.initProducerId,
        transactionalId,
        TRANSACTION_MS,
        -1n,
        -1,
      );
      return { coordinator, producerId, epoch: producerEpoch };
    } catch (error) {
      throw error instanceof KafkaError ? error : new KafkaError("transaction", target, error);
    }
  }

  async #fetchFrom(
    connection: BrokerConnection,
    { topic, partition }: Partition,
    offset: bigint,
  ): Promise<FetchedPartition> {
    const { responses } = await connection.ask(
      APIS.fetch,
      FETCH_WAIT_MS,
      1,
      FETCH_MOST_BYTES,
      READ_COMMITTED,
      0,
      -1,
      [
        {
          topicId: topic,
          partitions: [
            {
              partition,
              currentLeaderEpoch: -1,
              fetchOffset: offset,
              lastFetchedEpoch: -1,
              partitionMaxBytes: FETCH_MOST_BYTES,
            },
          ],
        },
      ],
      [],
      "",
    );
    const found = responses[0]?.partitions[0];
    if (found === undefined) throw new Error("the answer to a fetch holds no partition");
    return found;
  }

  async #offsetAt(connection: BrokerConnection, { topic, partition }: Partition, timestamp: bigint): Promise<bigint> {
    const { topics } = await connection.ask(APIS.listOffsets, -1, READ_UNCOMMITTED, [
      { name: topic, partitions: [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp }] },
    ]);
    const found = topics[0]?.partitions[0];
    if (found === undefined) throw new Error("the answer about offsets holds no partition");
    return found.offset;
  }
}

/** Answers that mean: soon. */
const SETTLING: ReadonlySet<string> = new Set([
  "CONCURRENT_TRANSACTIONS",
  "COORDINATOR_LOAD_IN_PROGRESS",
  "COORDINATOR_NOT_AVAILABLE",
  "NOT_COORDINATOR",
]);

/** A partition, as its leader answers. */
export interface PartitionSource {
  earliest(): Promise<bigint>;
  /** Where it ends, with what is not committed. Throws while a new leader does not know that yet. */
  latest(): Promise<bigint>;
  fetchFrom(offset: bigint): Promise<FetchedPartition>;
}

/**
 * Reads as far as the partition goes now. Throws when another transaction stays open and hides the rest.
 *
 * @param from undefined: the partition's beginning.
 */
export async function readAll(
  reader: CommittedReader,
  source: PartitionSource,
  from: bigint | undefined,
  { clock, stop }: Pick<KafkaWriterParts, "clock" | "stop">,
): Promise<void> {
  let offset = from ?? (await source.earliest());
  // Not the high watermark of a fetch: that of a new leader may be behind what was committed before.
  const end = await source.latest();
  let until = clock.monotonicMs() + SETTLES_WITHIN_MS;
  while (offset < end) {
    const next = reader.read(await source.fetchFrom(offset), offset);
    // A long partition takes its time: only one that gives nothing more is given up.
    if (next > offset) until = clock.monotonicMs() + SETTLES_WITHIN_MS;
    offset = next;
    if (offset < end && (stop.aborted || clock.monotonicMs() > until))
      throw new Error("another transaction stays open");
  }
}

/** Leaves out what was aborted, as every reader with `read_committed` does by itself. */
export class CommittedReader {
  /** The value that was looked for was there. */
  hasWanted = false;
  readonly #wanted: Buffer | undefined;
  readonly #byKey = new Map<string, Buffer>();

  constructor(wanted?: Buffer) {
    this.#wanted = wanted;
  }

  /** Returns the offset behind what was read. */
  read({ records, abortedTransactions }: FetchedPartition, from: bigint): bigint {
    const aborts = [...(abortedTransactions ?? [])].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
    const aborted = new Set<bigint>();
    let next = from;
    for (const batch of records ?? []) {
      const last = batch.firstOffset + BigInt(batch.lastOffsetDelta);
      if (last < from) continue;
      while (aborts[0] !== undefined && aborts[0].firstOffset <= last)
        aborted.add((aborts.shift() as Abort).producerId);
      next = last + 1n;
      if ((batch.attributes & IS_CONTROL) !== 0) {
        aborted.delete(batch.producerId);
        continue;
      }
      if ((batch.attributes & IS_TRANSACTIONAL) !== 0 && aborted.has(batch.producerId)) continue;
      for (const { key, value } of batch.records) {
        if (value === null) continue;
        if (this.#wanted?.equals(value) === true) this.hasWanted = true;
        if (key !== null) this.#byKey.set(key.toString("utf8"), Buffer.from(value));
      }
    }
    return next;
  }

  last(key: string): Buffer | undefined {
    return this.#byKey.get(key);
  }
}

type Abort = NonNullable<FetchedPartition["abortedTransactions"]>[number];

function messageOf(
  { key, value, leftOut }: KafkaEvent,
  topic: string,
  partitionCount: number,
  timestamp: bigint,
): Message {
  return {
    topic,
    // Of health there is little, and none belongs to an object.
    partition: key === undefined ? 0 : partitionOf(key, partitionCount),
    ...(key === undefined ? {} : { key: Buffer.from(key) }),
    value,
    ...(leftOut === undefined ? {} : { headers: new Map([[Buffer.from("left_out"), Buffer.from(leftOut)]]) }),
    timestamp,
  };
}

/** As Kafka's own clients choose, so that other producers of the topic agree. */
function partitionOf(key: string, partitionCount: number): number {
  return (murmur2(Buffer.from(key)) & 0x7fff_ffff) % Math.max(1, partitionCount);
}

/** Which events the broker refused for their size; undefined when that is not the reason. */
function tooLargeIn(
  error: unknown,
  slice: readonly Message[],
  eventOf: ReadonlyMap<Message, KafkaEvent>,
): KafkaTooLarge | undefined {
  const codes = codesOf(error);
  if (!codes.includes("MESSAGE_TOO_LARGE") && !codes.includes("RECORD_LIST_TOO_LARGE")) return undefined;
  const refused = error instanceof KafkaError ? error.refusedPartitions : [];
  const batches = refused.map((one) =>
    slice.filter(({ topic, partition }) => one.topic === topic && one.partition === partition),
  );
  return new KafkaTooLarge(
    batches.flatMap((batch) => (batch.length === 1 ? batch.flatMap((message) => eventOf.get(message) ?? []) : [])),
  );
}
