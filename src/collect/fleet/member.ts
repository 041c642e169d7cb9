import { aborted } from "../../model/aborted.ts";
import { type Backoff, backoffMs } from "../../model/backoff.ts";
import { asFailure, type Failure } from "../../model/failure.ts";
import type { FleetStore, Lease, MemberIdentity, Standing } from "../../model/fleet.ts";
import type { Clock, Log, Random } from "../../model/ports.ts";
import {
  clockDiffers,
  configurationDiffers,
  keyDiffers,
  missing,
  outputHangs,
  packetsSetAside,
  starved,
  undeliverable,
} from "./failures.ts";

const RENEW_EVERY_MS = 1_000;
const BALANCE_EVERY_MS = 500;
/** Shorter than the lease in the store: this member counts as gone here before it does there. */
const TRUSTED_FOR_MS = 5_000;
/** Saving and the last delivery may take so long; an output that hangs must not keep its customers. */
const DROP_WITHIN_MS = 10_000;
const KEEP_HOUSE_EVERY_MS = 600_000;
/** A member whose place expired may be taken over within this time; then nobody has to hear of it. */
const MISSING_AFTER_MS = 30_000;
/** A shard that is lost more often than this is released after a pause: its page may fail for ever. */
const LOSSES_WITHOUT_PAUSE = 2;
const LOST_AGAIN: Backoff = { firstMs: 2_000, longestMs: 60_000 };
/** What was held for so long is well again. */
const LOSS_REMEMBERED_FOR_MS = 600_000;
/** How long a member that has never joined waits until it tries again. */
const JOIN_AGAIN: Backoff = { firstMs: 1_000, longestMs: 10_000 };
/** A pause that ends so much too late: this process had no processor time, or was suspended. */
const STALLED_MS = 1_000;
const STALL_LOOK_EVERY_MS = 1_000;
/** A stall explains a place that expired within this time after it. */
const STALL_EXPLAINS_FOR_MS = 10_000;
/** A member whose place expired more often for lack of processor time stays out for a pause. */
const STARVED_WITHOUT_PAUSE = 2;
const STARVED_AGAIN: Backoff = { firstMs: 5_000, longestMs: 600_000 };
/** Longer than the longest pause. */
const STARVED_REMEMBERED_FOR_MS = 1_800_000;
/** Times of hosts that differ by more confuse whoever compares events, and tokens fail. */
const CLOCKS_DIFFER_MS = 60_000;

export interface FleetMemberParts {
  readonly store: FleetStore;
  readonly identity: MemberIdentity;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** How many shards there are: a member that never joined can collect none of them. */
  readonly shardCount: number;
  /** Customers of which events wait here because this program fails to deliver them. */
  readonly held: () => readonly string[];
}

/** What begins and ends the collection of a shard's customers. */
export interface ShardCustomers {
  take(lease: Lease): void;
  /**
   * Resolves when nothing of the shard runs here.
   *
   * @param options `saves`: false when the shard may be another member's by now.
   */
  drop(lease: Lease, options: { readonly saves: boolean }): Promise<void>;
  /** Why nothing is collected, or what a person should know; undefined: all is well. */
  report(failure: Failure | undefined): void;
  /** Nothing of these shards is collected here any more, and this member cannot know whether elsewhere. */
  miss(shards: readonly number[], failure: Failure): void;
  /** What `miss` said is over: the store knows who collects them. */
  found(): void;
}

/**
 * One process of a fleet: renews its place, claims its fair share of the shards and gives up what is too
 * much. Only the store decides who owns a shard. What this class believes saves requests and copies, and
 * nothing depends on it.
 */
export class FleetMember {
  readonly #p: FleetMemberParts;
  readonly #held = new Map<number, Lease>();
  /** Given up here, but perhaps not in the store yet. */
  readonly #unreleased = new Map<number, Lease>();
  readonly #dropping = new Set<Promise<void>>();
  /** Of the unreleased: nothing of them runs here any more, or it hangs, and what it commits is refused. */
  readonly #dropped = new Set<Lease>();
  readonly #hanging = new Set<Promise<void>>();
  /** Of each shard that was lost, how often and when last. */
  readonly #losses = new Map<number, { readonly count: number; readonly atMs: number }>();
  /** Of leases that were lost: not released in the store before this time. */
  readonly #releasedFromMs = new WeakMap<Lease, number>();
  readonly #left = new AbortController();
  #customers: ShardCustomers | undefined;
  #isMember = false;
  /** Of the store, as it said last. */
  #timeline: string | undefined;
  #members = 0;
  #clockAheadMs = 0;
  #lostShards = 0;
  #trustedUntilMs = Number.NEGATIVE_INFINITY;
  #failure: Failure | undefined;
  #housedAtMs: number;
  #renewing: Promise<void> = Promise.resolve();
  #watching: Promise<void> = Promise.resolve();
  #wasDraining = false;
  #hasJoined = false;
  /** What a member that has never joined cannot wait for. */
  #final: Failure | undefined;
  #stallLookDueAtMs = Number.POSITIVE_INFINITY;
  #stalled: { readonly forMs: number; readonly untilMs: number } | undefined;
  #lapses = 0;
  /** How often this member's place expired for lack of processor time, and until when it stays out. */
  #starved:
    | { readonly count: number; readonly atMs: number; readonly outUntilMs: number; readonly why: Failure }
    | undefined;
  /** When nothing could be collected here any more, and what was collected until then. */
  #lapsed: { readonly atMs: number; readonly shards: readonly number[]; isMissed: boolean } | undefined;

  constructor(parts: FleetMemberParts) {
    this.#p = parts;
    this.#housedAtMs = parts.clock.monotonicMs();
  }

  /**
   * Becomes a member; renews that until `leave`. Where the database does not answer, it becomes one later.
   * Throws Failure as the store when waiting cannot help.
   * Throws the reason of `stop` too, at once: a stop waits for no answer.
   */
  async begin(stop: AbortSignal): Promise<void> {
    try {
      await Promise.race([this.#register(), aborted(stop)]);
    } catch (error) {
      const failure = asFailure(error);
      if (!mayEndByItself(failure)) throw failure;
      this.#report(failure);
      this.#p.log.warn("this member waits for the fleet's database; nothing is collected here until it answers");
      const shards = Array.from({ length: this.#p.shardCount }, (_, shard) => shard);
      this.#lapsed = { atMs: this.#p.clock.monotonicMs(), shards, isMissed: false };
    }
    stop.throwIfAborted();
    this.#renewing = this.#renewUntilLeft();
    this.#watching = this.#watchStalls();
  }

  /** False as soon as others may take this member for gone. */
  isAlive(): boolean {
    return this.#isMember && this.#p.clock.monotonicMs() < this.#trustedUntilMs;
  }

  leaseOf(shard: number): Lease | undefined {
    return this.#held.get(shard);
  }

  get shards(): number {
    return this.#held.size;
  }

  /** Live members that share the customers, as the store said last. */
  get members(): number {
    return this.#members;
  }

  /** The store's clock as far as it is known here, ms since 1970: all members share it. */
  nowMs(): number {
    return this.#p.clock.nowMs() - this.#clockAheadMs;
  }

  /** Shards that were lost since the process began. */
  get lostShards(): number {
    return this.#lostShards;
  }

  /** How often this member's place expired since the process began. */
  get lapses(): number {
    return this.#lapses;
  }

  /**
   * Claims and gives up shards until `stop`. Rejects for a defect, because what it left undone would be
   * silent, and for what a member that never joined cannot wait for.
   */
  async run(customers: ShardCustomers, stop: AbortSignal): Promise<void> {
    this.#customers = customers;
    // Before anybody listened.
    if (this.#failure !== undefined) customers.report(this.#failure);
    while (!stop.aborted) {
      if (this.#final !== undefined) throw this.#final;
      try {
        this.#report(await this.#balance(customers));
      } catch (error) {
        const failure = asFailure(error);
        if (failure.code === "defect") throw error;
        this.#report(failure);
        this.#miss(customers, failure);
      }
      await this.#p.clock.pause(BALANCE_EVERY_MS, stop);
    }
  }

  /** The shard is another's, or nobody knows: it is forgotten, and any member may claim it anew. */
  lost(lease: Lease): void {
    const held = this.#held.get(lease.shard);
    if (held?.epoch !== lease.epoch) return;
    this.#p.log.info("a part of the customers is left to whoever claims it", { shard: lease.shard });
    this.#lostShards += 1;
    this.#pauseAfterLosses(held);
    this.#drop([held], { saves: false });
  }

  /** Whoever claims a shard reads all of its customers, which helps nobody while each of its pages fails. */
  #pauseAfterLosses(lease: Lease): void {
    const { clock, random, log } = this.#p;
    const nowMs = clock.monotonicMs();
    const before = this.#losses.get(lease.shard);
    const isRecent = before !== undefined && nowMs - before.atMs < LOSS_REMEMBERED_FOR_MS;
    const count = isRecent ? before.count + 1 : 1;
    this.#losses.set(lease.shard, { count, atMs: nowMs });
    if (count <= LOSSES_WITHOUT_PAUSE) return;
    const pauseMs = backoffMs(LOST_AGAIN, count - LOSSES_WITHOUT_PAUSE, random);
    this.#releasedFromMs.set(lease, nowMs + pauseMs);
    log.warn("a part of the customers was lost again and again; members claim it after a pause", {
      shard: lease.shard,
      losses: count,
      pause_s: Math.round(pauseMs / 1_000),
    });
  }

  /** Gives everything up. Never rejects: a member that cannot say goodbye expires. */
  async leave(): Promise<void> {
    this.#left.abort();
    await this.#renewing;
    await this.#watching;
    await Promise.all(this.#dropping);
    const { store, log } = this.#p;
    try {
      if (this.#isMember) await store.leave();
    } catch (error) {
      log.warn("this member could not leave the fleet; others take over when its place expires", {
        failure: asFailure(error).say,
      });
    }
    this.#isMember = false;
    await store.close();
  }

  async #register(): Promise<void> {
    const { store, identity, clock } = this.#p;
    const beganMs = clock.monotonicMs();
    await store.register(identity);
    this.#isMember = true;
    this.#hasJoined = true;
    this.#trustedUntilMs = beganMs + TRUSTED_FOR_MS;
  }

  /** A customer must not be silent for as long as the database is gone. */
  #miss(customers: ShardCustomers, failure: Failure): void {
    const lapsed = this.#lapsed;
    if (lapsed === undefined || lapsed.isMissed) return;
    if (this.#p.clock.monotonicMs() - lapsed.atMs < MISSING_AFTER_MS) return;
    lapsed.isMissed = true;
    customers.miss(lapsed.shards, missing(failure));
  }

  async #renewUntilLeft(): Promise<void> {
    const { store, clock, log } = this.#p;
    let refusals = this.#hasJoined ? 0 : 1;
    while (!this.#left.signal.aborted) {
      const pauseMs = refusals > 0 ? backoffMs(JOIN_AGAIN, refusals, this.#p.random) : RENEW_EVERY_MS;
      await clock.pause(pauseMs, this.#left.signal);
      if (this.#left.signal.aborted) return;
      const beganMs = clock.monotonicMs();
      try {
        // Whoever was silent for too long owns nothing: all of it is claimed anew, under a new identity.
        if (!this.#isMember) {
          await Promise.all(this.#dropping);
          // Others would leave it a part that it does not claim.
          if (this.#hanging.size > 0) throw outputHangs();
          if (await this.#staysOut()) continue;
          const isFirst = !this.#hasJoined;
          await this.#register();
          refusals = 0;
          log.info(isFirst ? "this member joined the fleet" : "this member joined the fleet again");
        } else if (await store.renew()) this.#trustedUntilMs = beganMs + TRUSTED_FOR_MS;
        else this.#lapse();
      } catch (error) {
        const failure = asFailure(error);
        this.#report(failure);
        if (this.#hasJoined) continue;
        refusals += 1;
        if (!mayEndByItself(failure)) {
          this.#final = failure;
          return;
        }
      }
    }
  }

  async #watchStalls(): Promise<void> {
    const { clock } = this.#p;
    const { signal } = this.#left;
    while (!signal.aborted) {
      this.#stallLookDueAtMs = clock.monotonicMs() + STALL_LOOK_EVERY_MS;
      await clock.pause(STALL_LOOK_EVERY_MS, signal);
      this.#noteStall();
    }
  }

  /** Also called by whoever wakes up first after it. */
  #noteStall(): void {
    const nowMs = this.#p.clock.monotonicMs();
    const forMs = nowMs - this.#stallLookDueAtMs;
    if (forMs >= STALLED_MS) this.#stalled = { forMs, untilMs: nowMs };
  }

  /** A place that expires again and again for lack of processor time costs more than it collects. */
  #noteStarved(): void {
    const { clock, random, log } = this.#p;
    const nowMs = clock.monotonicMs();
    this.#noteStall();
    if (this.#stalled === undefined || nowMs - this.#stalled.untilMs > STALL_EXPLAINS_FOR_MS) return;
    const before = this.#starved;
    const isRecent = before !== undefined && nowMs - before.atMs < STARVED_REMEMBERED_FOR_MS;
    const count = isRecent ? before.count + 1 : 1;
    const excess = count - STARVED_WITHOUT_PAUSE;
    const pauseMs = excess > 0 ? backoffMs(STARVED_AGAIN, excess, random) : 0;
    const why = starved(count, this.#stalled.forMs, pauseMs);
    this.#starved = { count, atMs: nowMs, outUntilMs: nowMs + pauseMs, why };
    if (pauseMs > 0)
      log.warn(
        "this member had no processor time again and again; while others live, it joins the fleet after a pause",
        {
          expired: count,
          pause_s: Math.round(pauseMs / 1_000),
        },
      );
  }

  /** Not where nobody else collects. */
  async #staysOut(): Promise<boolean> {
    const starvedNow = this.#starved;
    if (starvedNow === undefined || this.#p.clock.monotonicMs() >= starvedNow.outUntilMs) return false;
    const { members } = await this.#p.store.standing();
    if (members === 0) return false;
    this.#members = members;
    // The others have its customers.
    if (this.#lapsed?.isMissed === true) this.#customers?.found();
    this.#lapsed = undefined;
    this.#report(starvedNow.why);
    return true;
  }

  /** Returns what a person should know although the fleet works. */
  async #balance(customers: ShardCustomers): Promise<Failure | undefined> {
    const { store, clock, log } = this.#p;
    if (this.#isMember && !this.isAlive()) this.#lapse();
    if (!this.#isMember) {
      if (this.#failure !== undefined) throw this.#failure;
      return undefined;
    }
    await this.#release();
    const standing = await store.standing();
    const { members, shares, shards, isDraining } = standing;
    this.#members = members;
    this.#clockAheadMs = standing.clockAheadMs;
    if (this.#lapsed?.isMissed === true) customers.found();
    this.#lapsed = undefined;
    this.#followTimeline(standing);
    this.#compare(standing, customers);
    const share = shares ? Math.ceil(shards / Math.max(1, members)) : 0;
    const held = this.#held.size + this.#unreleased.size;
    // Behind a drop that hangs, customers that are claimed now would wait and be silent.
    if (held < share && this.#hanging.size === 0) {
      const claimed = await store.claim(share - held);
      for (const lease of claimed) this.#held.set(lease.shard, lease);
      for (const lease of claimed) customers.take(lease);
      if (claimed.length > 0) log.info("customers were claimed", { shards: claimed.length, held: this.#held.size });
    } else if (this.#held.size > share) {
      const given = [...this.#held.values()].slice(share);
      log.info("customers are given up to other members", { shards: given.length, members });
      this.#drop(given, { saves: true });
    }
    if (isDraining !== this.#wasDraining)
      log.info(isDraining ? "this member is drained" : "this member is drained no more");
    this.#wasDraining = isDraining;
    if (clock.monotonicMs() - this.#housedAtMs >= KEEP_HOUSE_EVERY_MS) {
      this.#housedAtMs = clock.monotonicMs();
      await store.keepHouse();
    }
    return held < share && this.#hanging.size > 0 ? outputHangs() : this.#notice(standing);
  }

  /** The gravest first: health has room for one. */
  #notice({ setAside, otherConfigurations, shares, clockAheadMs, hasOtherKey }: Standing): Failure | undefined {
    if (hasOtherKey) return keyDiffers();
    if (setAside > 0) return packetsSetAside(setAside);
    const held = this.#p.held();
    if (held.length > 0) return undeliverable(held);
    if (this.#starved !== undefined && this.#starved.count > STARVED_WITHOUT_PAUSE) {
      if (this.#p.clock.monotonicMs() - this.#starved.atMs < STARVED_REMEMBERED_FOR_MS) return this.#starved.why;
    }
    if (otherConfigurations.length > 0) return configurationDiffers(otherConfigurations, shares);
    return Math.abs(clockAheadMs) > CLOCKS_DIFFER_MS ? clockDiffers(clockAheadMs) : undefined;
  }

  /**
   * After a failover the store may lack what it had confirmed. A stream without new events would notice that
   * with its next commit only, and what it had committed last waits for no output any more.
   */
  #followTimeline({ timeline = this.#timeline }: Standing): void {
    const before = this.#timeline;
    this.#timeline = timeline;
    if (before === undefined || timeline === before || this.#held.size === 0) return;
    this.#p.log.warn(
      "the fleet's database was failed over or restored; all customers of this member are read from it again",
      {
        shards: this.#held.size,
      },
    );
    this.#lostShards += this.#held.size;
    this.#drop([...this.#held.values()], { saves: false });
  }

  /**
   * Only the store decides. A claim without an answer may have given something to this member, and a restored
   * database may have forgotten that it did.
   */
  #compare({ owned }: Standing, customers: ShardCustomers): void {
    const inStore = new Map(owned.map((lease) => [lease.shard, lease]));
    for (const lease of this.#held.values()) if (inStore.get(lease.shard)?.epoch !== lease.epoch) this.lost(lease);
    for (const lease of owned) {
      if (this.#held.has(lease.shard) || this.#unreleased.has(lease.shard)) continue;
      this.#held.set(lease.shard, lease);
      customers.take(lease);
    }
  }

  /** Others may own everything by now, or soon. */
  #lapse(): void {
    if (!this.#isMember) return;
    this.#isMember = false;
    this.#lapses += 1;
    this.#noteStarved();
    this.#lostShards += this.#held.size;
    this.#p.log.warn("the fleet's database did not confirm this member in time; it stops collecting until it does", {
      shards: this.#held.size,
    });
    this.#lapsed ??= { atMs: this.#p.clock.monotonicMs(), shards: [...this.#held.keys()], isMissed: false };
    // Nothing of the old identity can be given up any more: it expires.
    this.#drop([...this.#held.values()], { saves: false, releases: false });
    this.#unreleased.clear();
    this.#dropped.clear();
  }

  #drop(leases: readonly Lease[], options: { readonly saves: boolean; readonly releases?: false }): void {
    for (const lease of leases) {
      this.#held.delete(lease.shard);
      if (options.releases !== false) this.#unreleased.set(lease.shard, lease);
    }
    const dropped = this.#dropAll(leases, options.saves).finally(() => this.#dropping.delete(dropped));
    this.#dropping.add(dropped);
  }

  async #dropAll(leases: readonly Lease[], saves: boolean): Promise<void> {
    let isLate = false;
    for (const lease of leases) {
      const dropped = this.#dropOne(lease, saves);
      if (!isLate) isLate = !(await this.#inTime(dropped));
      if (isLate) {
        this.#hanging.add(dropped);
        void dropped.then(() => this.#hanging.delete(dropped));
      }
      if (this.#unreleased.has(lease.shard)) this.#dropped.add(lease);
    }
  }

  /** Never rejects. */
  async #dropOne(lease: Lease, saves: boolean): Promise<void> {
    try {
      await this.#customers?.drop(lease, { saves });
    } catch (error) {
      // What could not be saved is read again by the next owner.
      this.#p.log.warn("a part of the customers was given up without saving", { failure: asFailure(error).say });
    }
  }

  async #inTime(dropped: Promise<void>): Promise<boolean> {
    const { clock, log } = this.#p;
    const done = new AbortController();
    const timeUp = clock.pause(DROP_WITHIN_MS, done.signal).then(() => false);
    const isInTime = await Promise.race([dropped.then(() => true), timeUp]);
    done.abort();
    if (!isInTime)
      log.warn("customers are given up although an output hangs; events that it took may be delivered again");
    return isInTime;
  }

  /** In the store too, once nothing of them runs here. */
  async #release(): Promise<void> {
    const nowMs = this.#p.clock.monotonicMs();
    const leases = [...this.#dropped].filter((lease) => (this.#releasedFromMs.get(lease) ?? nowMs) <= nowMs);
    if (leases.length === 0) return;
    await this.#p.store.release(leases);
    for (const lease of leases) {
      this.#dropped.delete(lease);
      this.#unreleased.delete(lease.shard);
    }
  }

  #report(failure: Failure | undefined): void {
    const before = this.#failure;
    this.#failure = failure;
    if (failure !== undefined && failure.code !== before?.code)
      this.#p.log.error(failure.say, { failure: failure.code, next_step: failure.nextStep || undefined });
    // The sentence names others by now, perhaps: each hour's health has the newest.
    if (failure?.say !== before?.say) this.#customers?.report(failure);
  }
}

function mayEndByItself({ retry, code }: Failure): boolean {
  return retry.when !== "never" && code !== "defect";
}
