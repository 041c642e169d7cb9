import { createHash } from "node:crypto";
import type { LostOwner } from "../model/lost-owner.ts";
import type { TenantId } from "../model/tenant.ts";

/** A round that begins so little before its time counts as that one's: clocks are never known exactly. */
const EARLY_MOST_MS = 1_000;
const EARLY_MOST_PART = 10;
/** A round that was due so shortly before its member was lost may not have ended. */
const ROUND_MAY_TAKE_MS = 2_000;

/** What collectors that share customers know of them. */
export interface SharedCustomers {
  /** The clock that all of them share, ms since 1970. */
  nowMs(): number;
  /** Whose place expired while it had the customer; undefined: nobody's did, or nobody knows. */
  lostOwnerOf(tenantId: TenantId): LostOwner | undefined;
}

/**
 * When a customer is polled that several collectors share: once in each interval, at the same time in it for
 * ever. So each of them knows when a lost one would have polled its customers, although an idle poll writes
 * nothing. Order and load depend on it, safety never does.
 */
export class PollTimes {
  readonly #everyMs: number;
  readonly #phaseMs: number;
  readonly #clock: Pick<SharedCustomers, "nowMs">;

  constructor(tenantId: TenantId, everyMs: number, clock: Pick<SharedCustomers, "nowMs">) {
    this.#everyMs = everyMs;
    // Other bytes than those that choose the shard: its customers must not all have the same time.
    const place = createHash("sha256").update(tenantId).digest().readUInt32BE(4) / 2 ** 32;
    this.#phaseMs = Math.floor(place * everyMs);
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  firstAfter(ms: number): number {
    const { floor } = Math;
    return (floor((ms - this.#phaseMs) / this.#everyMs) + 1) * this.#everyMs + this.#phaseMs;
  }

  /** How long to wait after a round that took so long; rounds begin no further apart than the interval. */
  pauseMs(tookMs: number): number {
    const endedMs = this.nowMs();
    const beganMs = endedMs - tookMs;
    const earlyMs = Math.min(EARLY_MOST_MS, this.#everyMs / EARLY_MOST_PART);
    const nextMs = this.firstAfter(Math.max(endedMs, beganMs + earlyMs));
    return Math.max(0, Math.min(nextMs, beganMs + this.#everyMs) - endedMs);
  }

  /**
   * When a customer is due that was just taken over; it may be long ago.
   *
   * @param storedMs what its stream's checkpoint says: who gives a customer up in order writes it.
   * @param isInterrupted a walk is to be continued.
   */
  dueMs(storedMs: number, lost: LostOwner | undefined, { isInterrupted }: { readonly isInterrupted: boolean }): number {
    const nowMs = this.nowMs();
    const latestMs = nowMs + this.#everyMs;
    if (storedMs > nowMs && (lost === undefined || storedMs <= latestMs)) return Math.min(storedMs, latestMs);
    // One that is lost in the future only: a clock was set back, so nobody knows.
    if (lost === undefined || lost.untilMs > nowMs) return Math.min(storedMs, nowMs);
    // One that had them for a shorter time may not have polled all those that it took over itself.
    const knowsAll = lost.untilMs - lost.sinceMs >= this.#everyMs && !isInterrupted;
    return this.firstAfter(lost.untilMs - ROUND_MAY_TAKE_MS - (knowsAll ? 0 : this.#everyMs));
  }
}
