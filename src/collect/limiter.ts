import type { Clock } from "../model/ports.ts";
import type { Budget } from "./budget.ts";
import { stopped } from "./failures.ts";

/** A page that takes longer holds up nobody any more: its place is lent to the next in line. */
const SLOW_AFTER_MS = 3_000;
/**
 * How many slow pages, in multiples of the places, may go on beside the others: each holds a connection and
 * its buffers.
 */
const SLOW_MOST = 8;

/**
 * How many pages are read at once over all customers. A turn is held for one page, never for a walk, and
 * turns are given in the order they were asked for: a customer with a burst of 100,000 alerts waits after
 * each page behind everybody who is due, and customers whose service hangs do not use up the turns.
 */
export class PageLimiter {
  readonly #clock: Clock;
  readonly #slowMost: number;
  #free: number;
  #slow = 0;
  readonly #waiting: (() => void)[] = [];
  #next = 0;

  constructor(atOnce: number, clock: Clock) {
    this.#free = atOnce;
    this.#slowMost = atOnce * SLOW_MOST;
    this.#clock = clock;
  }

  /** Resolves to a function that gives the turn back (once). */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const given = new AbortController();
    let isSlow = false;
    const lendWhenSlow = async (): Promise<void> => {
      await this.#clock.pause(SLOW_AFTER_MS, given.signal);
      if (given.signal.aborted || this.#slow >= this.#slowMost) return;
      isSlow = true;
      this.#slow += 1;
      this.#giveBack();
    };
    void lendWhenSlow();
    return () => {
      if (given.signal.aborted) return;
      given.abort();
      if (isSlow) this.#slow -= 1;
      else this.#giveBack();
    };
  }

  #giveBack(): void {
    const next = this.#waiting[this.#next];
    if (!next) {
      this.#free += 1;
      return;
    }
    this.#next += 1;
    if (this.#next > 256 && this.#next * 2 > this.#waiting.length) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    next();
  }
}

/**
 * A turn for one request that both budget and turns let go now; resolves to a function that gives the turn
 * back. The request is counted when its turn has come: had it been counted before, a long wait for the turn
 * would let more through in a minute than the budget allows. No turn is held while the budget is waited for.
 * Throws Failure `stopped`.
 */
export async function acquireWithinBudget(
  budget: Budget,
  limiter: PageLimiter,
  stop: AbortSignal,
): Promise<() => void> {
  while (await budget.ready(stop)) {
    const giveBack = await limiter.take();
    if (!stop.aborted && budget.leave()) return giveBack;
    giveBack();
  }
  throw stopped();
}
