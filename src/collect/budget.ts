import type { Clock } from "../model/ports.ts";
import { SerialQueue } from "../model/serial-queue.ts";

export interface BudgetLimits {
  readonly perMinute: number;
  readonly perHour?: number;
}

/**
 * The service counts a request when it arrives, this program when it leaves. Two requests that leave a minute
 * apart may arrive in less than a minute.
 */
const MARGIN_MS = 1_500;
const MINUTE_MS = 60_000 + MARGIN_MS;
const HOUR_MS = 3_600_000 + MARGIN_MS;

/**
 * Requests that may be sent for one app, tenant and API: never more than `perMinute` in any minute nor
 * `perHour` in any hour. It starts full and may be spent in a burst. A token bucket would allow twice the
 * limit in its first minute.
 */
export class Budget {
  readonly limits: BudgetLimits;
  readonly #clock: Clock;
  /** When the latest requests left, oldest first; a ring over the largest window. */
  readonly #sentAtMs: number[] = [];
  #first = 0;
  #blockedUntilMs = 0;
  readonly #line = new SerialQueue();

  constructor(limits: BudgetLimits, clock: Clock) {
    this.limits = limits;
    this.#clock = clock;
  }

  /** Milliseconds until the next request may leave; 0 now. */
  waitMs(): number {
    const now = this.#clock.monotonicMs();
    this.#forget(now);
    let at = Math.max(now, this.#blockedUntilMs);
    const sent = this.#sentAtMs.length - this.#first;
    if (sent >= this.limits.perMinute)
      at = Math.max(at, this.#sentAtMs[this.#sentAtMs.length - this.limits.perMinute]! + MINUTE_MS);
    if (this.limits.perHour !== undefined && sent >= this.limits.perHour) {
      at = Math.max(at, this.#sentAtMs[this.#sentAtMs.length - this.limits.perHour]! + HOUR_MS);
    }
    return at - now;
  }

  /** Waits in line until one request may be sent, and counts it. Returns false when `stop` fired first. */
  async consume(stop: AbortSignal): Promise<boolean> {
    while (await this.ready(stop)) if (this.tryConsume()) return true;
    return false;
  }

  /**
   * Waits in line until a request may leave, but does not count it: another one may leave first. Returns
   * false when `stop` fired first.
   */
  ready(stop: AbortSignal): Promise<boolean> {
    return this.#line.run(() => this.#whenAllowed(stop));
  }

  async #whenAllowed(stop: AbortSignal): Promise<boolean> {
    for (;;) {
      if (stop.aborted) return false;
      const waitMs = this.waitMs();
      if (waitMs <= 0) return true;
      await this.#clock.pause(waitMs, stop);
    }
  }

  /** Counts a request that leaves now. False when it may not leave yet. */
  tryConsume(): boolean {
    if (this.waitMs() > 0) return false;
    this.#sentAtMs.push(this.#clock.monotonicMs());
    return true;
  }

  /**
   * Blocks all requests of this budget for a time, because the service said so (Retry-After).
   */
  block(forMs: number): void {
    this.#blockedUntilMs = Math.max(this.#blockedUntilMs, this.#clock.monotonicMs() + forMs);
  }

  #forget(now: number): void {
    const keepMs = this.limits.perHour === undefined ? MINUTE_MS : HOUR_MS;
    while (this.#first < this.#sentAtMs.length && this.#sentAtMs[this.#first]! + keepMs <= now) this.#first += 1;
    if (this.#first > 64 && this.#first * 2 > this.#sentAtMs.length) {
      this.#sentAtMs.splice(0, this.#first);
      this.#first = 0;
    }
  }
}

/** One budget per key, shared by everything that uses the same app against the same tenant and API. */
export class Budgets {
  readonly #byKey = new Map<string, Budget>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(key: string, limits: BudgetLimits): Budget {
    const held = this.#byKey.get(key);
    if (held) return held;
    const made = new Budget(limits, this.#clock);
    this.#byKey.set(key, made);
    return made;
  }
}
