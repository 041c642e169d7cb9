import { ConcurrencyLimiter } from "../model/concurrency-limiter.ts";
import type { Clock } from "../model/ports.ts";
import type { Budget } from "./budget.ts";
import { stopped } from "./failures.ts";

/** A page that takes longer no longer holds a place: its place goes to the next in line. */
const SLOW_AFTER_MS = 3_000;
/** Slow pages that may go on beside the others, in multiples of the places: each holds a connection and buffers. */
const SLOW_MOST = 8;

/**
 * How many pages are read at once over all customers. A place is held for one page, never for a walk, and places
 * are given in the order they were asked for: a customer with a burst of 100,000 alerts waits after each page
 * behind everybody who is due, and customers whose service hangs do not use up the places.
 */
export class PageLimiter {
  readonly #clock: Clock;
  readonly #slowMost: number;
  readonly #places: ConcurrencyLimiter;
  #slow = 0;

  constructor(atOnce: number, clock: Clock) {
    this.#places = new ConcurrencyLimiter(atOnce);
    this.#slowMost = atOnce * SLOW_MOST;
    this.#clock = clock;
  }

  /** Resolves to a function that releases the place (once). */
  async acquire(): Promise<() => void> {
    await this.#places.acquire();
    const released = new AbortController();
    let isSlow = false;
    const releaseWhenSlow = async (): Promise<void> => {
      await this.#clock.pause(SLOW_AFTER_MS, released.signal);
      if (released.signal.aborted || this.#slow >= this.#slowMost) return;
      isSlow = true;
      this.#slow += 1;
      this.#places.release();
    };
    void releaseWhenSlow();
    return () => {
      if (released.signal.aborted) return;
      released.abort();
      if (isSlow) this.#slow -= 1;
      else this.#places.release();
    };
  }
}

/**
 * A place for one request that both budget and limiter allow now; resolves to a function that releases the place.
 * The request is counted when it has its place: counted before, a long wait for the place would let more through
 * in a minute than the budget allows. No place is held while the budget is waited for. Throws Failure `stopped`.
 */
export async function acquireWithinBudget(
  budget: Budget,
  limiter: PageLimiter,
  stop: AbortSignal,
): Promise<() => void> {
  while (await budget.ready(stop)) {
    const release = await limiter.acquire();
    if (!stop.aborted && budget.tryConsume()) return release;
    release();
  }
  throw stopped();
}
