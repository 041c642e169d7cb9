import type { ConcurrencyLimiter } from "../../model/concurrency-limiter.ts";
import type { Delivery } from "../../model/event.ts";
import { asFailure, type Failure, isFailure } from "../../model/failure.ts";
import type {
  FleetStore,
  Lease,
  PacedReceiver,
  PacketPlace,
  PacketReceiver,
  UnacknowledgedReceiver,
  WaitingPacket,
} from "../../model/fleet.ts";
import type { Clock, Log } from "../../model/ports.ts";
import { type TakenTo, UnconfirmedRounds } from "./unconfirmed-rounds.ts";

/** Streams asked for at once, and bytes of packets held at once. */
const STREAMS_AT_ONCE = 256;
const BYTES_AT_ONCE = 640 << 10;
/** At least one packet comes, however large it is. */
const ONE_PACKET = 1;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const ROOM_LOOK_MS = 100;
/** After a packet of a stream could not be delivered for a reason of this program. */
const HELD_FOR_MS = 60_000;
/** Of the database, one after another: a member that has its own in order would not say them. */
const FAILURES_LEFT_TO_MEMBER = 3;
/** A receiver that was busy until now still gets this long to read what it took. */
const SETTLE_AT_LEAST_MS = 1_000;

/** Where a lane delivers to. */
export interface LaneSink {
  /**
   * Resolved means delivered. A number says how many bytes that were.
   *
   * @param from the packets that hold the events, and those of the same round that the receiver has.
   */
  write(
    batch: readonly Delivery[],
    from?: { readonly shard: number; readonly packets: readonly PacketPlace[] },
  ): Promise<unknown>;
  /** Of a receiver that keeps which packets it has: all streams of the lane are of one shard then. */
  readonly packets?: PacketReceiver | undefined;
  /** Of a receiver that acknowledges nothing: delivered only means taken. */
  readonly unacknowledged?: UnacknowledgedReceiver | undefined;
  /** Of a receiver that gets at most so many events in a second. */
  readonly pace?: PacedReceiver | undefined;
}

export interface DeliveryLaneParts {
  /** Names the output in the store; the same on every member. */
  readonly output: string;
  readonly sink: LaneSink;
  /** Bounds what lanes hold in memory together. Absent: a lane waits for no other one. */
  readonly limiter?: ConcurrencyLimiter;
  /** Of packets that were committed here and wait for the output: beyond this, collection waits. */
  readonly backlogMostBytes: number;
  /** Of a receiver that acknowledges nothing: at most so much is sent again after a crash. */
  readonly replayBytes?: number;
  /** Why nothing is delivered while the sink waits for its receiver; undefined: all is well. */
  readonly receiverFailure?: () => Failure | undefined;
  /** Gets the customers whose commits failed because of this output, once there is room for them again. */
  readonly accepts: (stanzas: ReadonlySet<string>) => void;
  /** A stream that is given up is waited for so long. Absent: until nothing of it is on its way. */
  readonly removeWithinMs?: number;
  readonly store: Pick<FleetStore, "waiting" | "confirm" | "setAside">;
  /** False as soon as others may take this member for gone: nothing is sent then, which only saves copies. */
  readonly isAlive: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a round knew before it asked the store. */
interface Round {
  readonly asked: readonly number[];
  readonly again: () => void;
  readonly release: () => void;
  readonly isOpen: boolean;
  readonly breaks: number | undefined;
}

/**
 * Delivers the packets of this member's streams to one output, each stream's in the order of its commits, and
 * moves the output's progress after it. A confirmation that fails is tried again before anything else is
 * delivered. What was delivered and never confirmed is delivered again by the next owner, with equal keys.
 * A packet that is damaged is set aside in the store. One that this program fails to deliver holds up its own
 * stream alone.
 */
export class DeliveryLane {
  readonly #p: DeliveryLaneParts;
  readonly #streams = new Map<number, { readonly lease: Lease; readonly stanza: string }>();
  /** Of the stream that was added last: where the receiver keeps which packets it has, of all of them. */
  #shard: number | undefined;
  /** Streams that may have packets. */
  readonly #dirty = new Set<number>();
  /** Delivered, and not confirmed in the store yet: how far, under which lease. */
  readonly #unconfirmed = new Map<number, TakenTo>();
  /** Of a receiver that acknowledges nothing: taken, and too new to be confirmed. */
  readonly #rounds: UnconfirmedRounds | undefined;
  /** Of a batch that failed for a reason of this program: each is alone up to its last packet there. */
  readonly #suspected = new Map<number, bigint>();
  /** Streams whose next packet this program fails to deliver. */
  readonly #held = new Map<number, { readonly failure: Failure; readonly untilMs: number }>();
  /** Damaged packets of each stream that the log has named: a batch that is refused comes again and again. */
  readonly #named = new Map<number, Set<bigint>>();
  /** Bytes of each stream's packets that were committed here and wait. */
  readonly #backlog = new Map<number, number>();
  #waiting = 0;
  /** Customers of which a commit found no room, by stream. */
  readonly #refusedStreams = new Map<number, string>();
  /** How many packets these are, of each stream. */
  readonly #packets = new Map<number, number>();
  #failure: Failure | undefined;
  #failures = 0;
  /** Of those in a row what a database said that could be reached. */
  #refusals = 0;
  #round: Promise<void> = Promise.resolve();
  #wake = new AbortController();
  #closing = false;
  readonly #hurry = new AbortController();
  /** Ends the wait for a slot to send in. */
  #waitingForSlot = new AbortController();
  readonly #running: Promise<void>;

  constructor(parts: DeliveryLaneParts) {
    this.#p = parts;
    const { sink, replayBytes = 0, clock } = parts;
    if (sink.unacknowledged !== undefined) {
      this.#rounds = new UnconfirmedRounds(replayBytes, clock);
      sink.unacknowledged.onBroken(() => this.#sendAgain());
    }
    this.#running = this.#run();
  }

  /** Why nothing is delivered now. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  /** Customers of which something waits because this program fails to deliver it. */
  get held(): readonly string[] {
    return [...this.#held.keys()].flatMap((stream) => this.#streams.get(stream)?.stanza ?? []);
  }

  get output(): string {
    return this.#p.output;
  }

  /** Of what was committed here and waits. */
  get waiting(): { readonly packets: number; readonly bytes: number } {
    return { packets: [...this.#packets.values()].reduce((sum, count) => sum + count, 0), bytes: this.#waiting };
  }

  /** @param stanza the customer's present name: what waits may have been committed under an older one. */
  add(stream: number, lease: Lease, stanza: string): void {
    this.#shard = lease.shard;
    this.#streams.set(stream, { lease, stanza });
    this.#enqueue(stream);
  }

  committed(stream: number, bytes: number): void {
    if (!this.#streams.has(stream)) return;
    this.#waits(stream, bytes);
    this.#enqueue(stream);
  }

  /**
   * Resolves when nothing of these streams is on its way any more, or `removeWithinMs` have passed.
   *
   * @param options `settles`: their next owner is not to send again what the receiver has read.
   */
  async remove(streams: readonly number[], { settles = false }: { readonly settles?: boolean } = {}): Promise<void> {
    for (const stream of streams) {
      this.#streams.delete(stream);
      this.#rounds?.forget(stream);
      this.#dirty.delete(stream);
      this.#unconfirmed.delete(stream);
      this.#refusedStreams.delete(stream);
      this.#named.delete(stream);
      this.#deliverable(stream);
      this.#waits(stream, Number.NEGATIVE_INFINITY);
    }
    // What waits for a slot is not on its way: the next owner sends it.
    this.#waitingForSlot.abort();
    const { removeWithinMs, clock, sink } = this.#p;
    if (removeWithinMs === undefined) return this.#round;
    const giveUpMs = clock.monotonicMs() + removeWithinMs;
    const arrived = new AbortController();
    await Promise.race([this.#round, clock.pause(removeWithinMs, arrived.signal)]);
    arrived.abort();
    if (settles && this.#rounds?.concerns(streams) === true) await this.#settle(giveUpMs - clock.monotonicMs());
    if (this.#shard !== undefined && this.#streams.size === 0) sink.packets?.leave(this.#shard);
  }

  /**
   * Waits while too much waits for this output. Throws the output's Failure while it refuses, or cannot reach
   * its receiver and has no room, and the stream's own while it is held up.
   */
  async room(stream: number): Promise<void> {
    for (;;) {
      // The store refuses a commit for a stream that was given up.
      const stanza = this.#streams.get(stream)?.stanza;
      if (stanza === undefined) return;
      const failure = this.#obstacle(stream);
      if (failure !== undefined) {
        this.#refusedStreams.set(stream, stanza);
        throw failure;
      }
      if (this.#hasRoom || this.#closing) return;
      await this.#p.clock.pause(ROOM_LOOK_MS, this.#hurry.signal);
    }
  }

  get #hasRoom(): boolean {
    return this.#waiting < this.#p.backlogMostBytes;
  }

  /** Why a commit for the stream fails now. */
  #obstacle(stream: number): Failure | undefined {
    const failure = this.#held.get(stream)?.failure ?? this.#failure;
    return failure ?? (this.#hasRoom || this.#closing ? undefined : this.#p.receiverFailure?.());
  }

  /** Whoever was refused would otherwise wait as after any failure, although there is room. */
  #tellRefused(): void {
    if (this.#refusedStreams.size === 0 || !this.#hasRoom) return;
    const accepted = [...this.#refusedStreams].filter(([stream]) => this.#obstacle(stream) === undefined);
    for (const [stream] of accepted) this.#refusedStreams.delete(stream);
    if (accepted.length > 0) this.#p.accepts(new Set(accepted.map(([, stanza]) => stanza)));
  }

  /**
   * Delivers what waits, as far as that takes no longer. What is left waits in the store. What the sink has
   * then may be on its way until the sink is closed: `ended` waits for that.
   */
  async close(withinMs: number): Promise<void> {
    const { clock } = this.#p;
    const giveUpMs = clock.monotonicMs() + withinMs;
    this.#closing = true;
    this.#wake.abort();
    await Promise.race([this.#running, clock.pause(withinMs, this.#hurry.signal)]);
    this.#hurry.abort();
    this.#wake.abort();
    await this.#settle(giveUpMs - clock.monotonicMs());
  }

  /** Resolves when nothing is on its way any more, after `close`. */
  ended(): Promise<void> {
    return this.#running;
  }

  /** What waited when a stream was opened was not counted, so a stream's count ends at none. */
  #waits(stream: number, more: number): void {
    const before = this.#backlog.get(stream) ?? 0;
    const after = Math.max(0, before + more);
    this.#waiting += after - before;
    if (after === 0) {
      this.#backlog.delete(stream);
      this.#packets.delete(stream);
    } else {
      this.#backlog.set(stream, after);
      this.#packets.set(stream, Math.max(1, (this.#packets.get(stream) ?? 0) + Math.sign(more)));
    }
    this.#tellRefused();
  }

  #enqueue(stream: number): void {
    this.#dirty.add(stream);
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    for (;;) {
      this.#tryHeldAgain();
      if (this.#hurry.signal.aborted || (this.#closing && this.#next().length === 0)) return;
      for (const [stream, taken] of this.#rounds?.due() ?? []) this.#unconfirmed.set(stream, taken);
      if (this.#next().length === 0 && this.#unconfirmed.size === 0) {
        // What the output refused is another member's by now, so only the next commit can try it again.
        this.#failure = undefined;
        this.#tellRefused();
        await this.#rest(FIRST_PAUSE_MS);
        continue;
      }
      let failed = false;
      this.#round = this.#deliver().catch((error: unknown) => {
        failed = true;
        this.#refused(asFailure(error));
      });
      await this.#round;
      if (failed) await this.#p.clock.pause(this.#pauseMs(), this.#hurry.signal);
    }
  }

  /** Until something is committed, or for so long. */
  async #rest(forMs: number): Promise<void> {
    this.#wake = new AbortController();
    await this.#p.clock.pause(forMs, this.#wake.signal);
  }

  async #deliver(): Promise<void> {
    const asked = this.#next();
    // Before anything is waited for: customers may be given up before the wait for a slot begins.
    this.#waitingForSlot = new AbortController();
    for (const stream of asked) this.#dirty.delete(stream);
    const again = () => {
      for (const stream of asked) if (this.#streams.has(stream)) this.#dirty.add(stream);
    };
    try {
      await this.#confirm();
      if (asked.length === 0) return;
      if (!(await this.#isLetIn(asked))) {
        again();
        await this.#rest(FIRST_PAUSE_MS);
        return;
      }
      const release = await this.#slot();
      if (release === undefined) return again();
      try {
        await this.#withinLimit(() => this.#deliverOf(asked, again, release));
      } finally {
        release();
      }
    } catch (error) {
      again();
      throw error;
    }
  }

  #withinLimit<T>(work: () => Promise<T>): Promise<T> {
    const { limiter } = this.#p;
    return limiter === undefined ? work() : limiter.run(work);
  }

  /** To send in, of a receiver with a pace. Undefined: the wait ended before. */
  async #slot(): Promise<(() => void) | undefined> {
    const { pace } = this.#p.sink;
    if (pace === undefined) return () => undefined;
    return pace.acquireSlot(AbortSignal.any([this.#hurry.signal, this.#waitingForSlot.signal]));
  }

  /** Holds nothing in memory while it waits for a receiver, and shuts nobody out before something waits. */
  async #isLetIn(asked: readonly number[]): Promise<boolean> {
    const { output, sink, store, isAlive } = this.#p;
    const shard = this.#shard;
    if (sink.unacknowledged?.isUp() === false) return false;
    if (sink.packets === undefined || shard === undefined || sink.packets.isOpen(shard)) return true;
    const first = await this.#withinLimit(() => store.waiting(output, asked, ONE_PACKET));
    for (const packet of first) packet.done?.();
    if (first.length === 0) return true;
    const isWanted = () =>
      !this.#hurry.signal.aborted && isAlive() && asked.some((stream) => this.#streams.has(stream));
    return isWanted() && (await sink.packets.takeOver(shard, isWanted));
  }

  async #deliverOf(asked: readonly number[], again: () => void, release: () => void): Promise<void> {
    const { output, sink, store } = this.#p;
    const shard = this.#shard;
    // Before the store is asked: what it says after that was not delivered by another one unnoticed.
    const isOpen = sink.packets === undefined || (shard !== undefined && sink.packets.isOpen(shard));
    const atOnce = Math.min(BYTES_AT_ONCE, sink.pace?.bytesAtOnce ?? BYTES_AT_ONCE);
    const mostBytes = this.#suspected.has(asked[0] as number) ? ONE_PACKET : atOnce;
    const breaks = this.#rounds?.breaks;
    const found = await store.waiting(output, asked, mostBytes, this.#rounds?.takenTo);
    try {
      await this.#deliverFound(found, { asked, again, release, isOpen, breaks });
    } finally {
      for (const packet of found) packet.done?.();
    }
  }

  async #deliverFound(
    found: readonly WaitingPacket[],
    { asked, again, release, isOpen, breaks }: Round,
  ): Promise<void> {
    const { sink, isAlive } = this.#p;
    const shard = this.#shard;
    if (found.length === 0) {
      for (const stream of asked) {
        this.#deliverable(stream);
        this.#waits(stream, Number.NEGATIVE_INFINITY);
      }
      this.#accepted();
      return;
    }
    again();
    if (!isOpen) return;
    // Where all of them were given up meanwhile, they may have hidden what waits of the others.
    const packets = found.filter(({ stream }) => this.#streams.has(stream));
    if (packets.length === 0) return;
    if (!isAlive()) {
      await this.#rest(FIRST_PAUSE_MS);
      return;
    }
    const streams = new Map(this.#streams);
    await this.#setAside(packets.filter(({ damage }) => damage !== undefined));
    const whole = packets.filter(({ damage }) => damage === undefined);
    const missing = whole.filter((one) => shard === undefined || sink.packets?.has(shard, one) !== true);
    const batch = missing.flatMap(({ stream, deliveries }) =>
      deliveries.map((one) => ({ ...one, stanza: streams.get(stream)?.stanza ?? one.stanza })),
    );
    let written: unknown;
    try {
      if (batch.length > 0) {
        const from = sink.packets === undefined || shard === undefined ? undefined : { shard, packets: whole };
        const writing = from === undefined ? sink.write(batch) : sink.write(batch, from);
        release();
        written = await writing;
      }
    } catch (error) {
      // It waits for the next connection as what comes now does, and holds nobody up before that is too much.
      if (sink.unacknowledged?.isUp() === false) return;
      if (isFailure(error) && error.code !== "defect") throw error;
      this.#failedHere(new Map(packets.map(({ stream, seq }) => [stream, seq])), asFailure(error));
      return;
    }
    // What the old connection took may be lost, and was read from the store before that was known.
    if (this.#rounds?.breaks !== breaks) return;
    this.#accepted();
    const taken = new Map<number, TakenTo>();
    for (const { stream, seq, bytes } of packets) {
      const lease = streams.get(stream)?.lease;
      if (lease !== undefined) taken.set(stream, { lease, seq });
      this.#waits(stream, -bytes);
      this.#named.delete(stream);
      this.#held.delete(stream);
      if ((this.#suspected.get(stream) ?? seq + 1n) <= seq) this.#suspected.delete(stream);
    }
    if (this.#rounds === undefined) for (const [stream, one] of taken) this.#unconfirmed.set(stream, one);
    else this.#took(this.#rounds, taken, typeof written === "number" ? written : 0);
    await this.#confirm();
  }

  #took(rounds: UnconfirmedRounds, taken: ReadonlyMap<number, TakenTo>, bytes: number): void {
    rounds.took(taken, bytes);
    // Given up meanwhile: when it comes back, only the store knows how far it is.
    for (const [stream, { lease }] of taken)
      if (this.#streams.get(stream)?.lease.epoch !== lease.epoch) rounds.forget(stream);
  }

  /** Streams for the next batch; one that is suspected alone. */
  #next(): readonly number[] {
    for (const stream of this.#suspected.keys()) if (this.#dirty.has(stream)) return [stream];
    return [...this.#dirty].filter((stream) => !this.#held.has(stream)).slice(0, STREAMS_AT_ONCE);
  }

  /** Kept in the store before the output's progress passes them. */
  async #setAside(damaged: readonly WaitingPacket[]): Promise<void> {
    const found = damaged.flatMap(({ stream, seq, damage = "" }) => {
      const at = this.#streams.get(stream);
      return at === undefined ? [] : [{ stream, seq, damage, epoch: at.lease.epoch, customer: at.stanza }];
    });
    if (found.length === 0) return;
    await this.#p.store.setAside(found);
    for (const { stream, customer, seq, damage } of found) {
      const named = this.#named.get(stream) ?? new Set();
      if (named.has(seq)) continue;
      this.#named.set(stream, named.add(seq));
      this.#p.log.error("a packet of events is damaged in the fleet's database; it was set aside and not delivered", {
        customer,
        output: this.#p.output,
        packet: String(seq),
        damage,
      });
    }
  }

  /**
   * The output refused nothing: one packet must not hold up the streams of all others.
   *
   * @param batch of each stream the last packet.
   */
  #failedHere(batch: ReadonlyMap<number, bigint>, failure: Failure): void {
    const [only, ...others] = batch.keys();
    if (only === undefined) return;
    if (others.length > 0 || !this.#suspected.has(only)) {
      for (const [stream, last] of batch) this.#suspected.set(stream, last);
      return;
    }
    this.#suspected.delete(only);
    const wasHeld = this.#held.has(only);
    this.#held.set(only, { failure, untilMs: this.#p.clock.monotonicMs() + HELD_FOR_MS });
    if (wasHeld) return;
    this.#p.log.error("events of a customer cannot be delivered; they wait in the fleet's database", {
      customer: this.#streams.get(only)?.stanza,
      output: this.#p.output,
      failure: failure.say,
    });
  }

  #deliverable(stream: number): void {
    this.#suspected.delete(stream);
    this.#held.delete(stream);
  }

  #tryHeldAgain(): void {
    const nowMs = this.#p.clock.monotonicMs();
    for (const [stream, { untilMs }] of this.#held) if (untilMs <= nowMs) this.#suspected.set(stream, 0n);
  }

  /** The connection broke: from the store it is sent again, with equal keys. */
  #sendAgain(): void {
    const streams = (this.#rounds?.broke() ?? []).filter((stream) => this.#streams.has(stream));
    for (const stream of streams) this.#dirty.add(stream);
    if (streams.length === 0) return;
    this.#p.log.warn("the connection broke: what the receiver may not have read is sent again, with the same keys", {
      output: this.#p.output,
      streams: streams.length,
    });
    this.#wake.abort();
  }

  /** Never rejects: what is not confirmed is sent again by the next owner. */
  async #settle(leftMs: number): Promise<void> {
    const { clock, sink } = this.#p;
    const { unacknowledged } = sink;
    if (unacknowledged === undefined || this.#rounds === undefined) return;
    if (this.#rounds.isEmpty || !unacknowledged.isUp()) return;
    const withinMs = Math.max(SETTLE_AT_LEAST_MS, leftMs);
    const settled = new AbortController();
    // Before it can close the connection, the receiver may hold up what is being sent.
    const late = clock.pause(withinMs, settled.signal).then(() => false);
    try {
      const read = await this.#rounds.settled(() => Promise.race([unacknowledged.settle(withinMs), late]));
      for (const [stream, taken] of read) this.#unconfirmed.set(stream, taken);
      await this.#confirm();
    } catch (error) {
      const { say } = asFailure(error);
      this.#p.log.warn("what the receiver has read is not in the database; it is sent again", {
        output: this.#p.output,
        say,
      });
    } finally {
      settled.abort();
    }
  }

  /** What the store does not take is another member's by now, who delivers what waits. */
  async #confirm(): Promise<void> {
    if (this.#unconfirmed.size === 0) return;
    const { output, store } = this.#p;
    const sent = [...this.#unconfirmed];
    const taken = new Set(
      await store.confirm(
        output,
        sent.map(([stream, { lease, seq }]) => ({ stream, seq, epoch: lease.epoch })),
      ),
    );
    for (const [stream, one] of sent) {
      if (this.#unconfirmed.get(stream) === one) this.#unconfirmed.delete(stream);
      if (taken.has(stream) || this.#streams.get(stream)?.lease.epoch !== one.lease.epoch) continue;
      this.#streams.delete(stream);
      this.#dirty.delete(stream);
      this.#deliverable(stream);
      this.#waits(stream, Number.NEGATIVE_INFINITY);
    }
  }

  #accepted(): void {
    if (this.#failure !== undefined) this.#p.log.info("the output takes events again", { output: this.#p.output });
    this.#failure = undefined;
    this.#failures = 0;
    this.#refusals = 0;
  }

  /**
   * The database's failures are said by the member. One that lasts may be this lane's alone, as where the
   * database cannot read a page of packets; it holds up collection as a failure of the output does.
   */
  #refused(failure: Failure): void {
    this.#failures += 1;
    // The sink was closed while it waited for its receiver: the next owner delivers it.
    if (this.#hurry.signal.aborted) return;
    if (this.#isLeftToMember(failure)) return;
    if (this.#failure?.say !== failure.say)
      this.#p.log.error(failure.say, { output: this.#p.output, failure: failure.code, next_step: failure.nextStep });
    this.#failure = failure;
  }

  #isLeftToMember({ code }: Failure): boolean {
    if (!code.startsWith("fleet-")) return false;
    this.#refusals = code === "fleet-unreachable" ? 0 : this.#refusals + 1;
    return this.#refusals <= FAILURES_LEFT_TO_MEMBER;
  }

  #pauseMs(): number {
    return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
  }
}
