import { ConcurrencyLimiter } from "../model/concurrency-limiter.ts";
import type { Clock } from "../model/ports.ts";
import type { Budget } from "./budget.ts";
import { stopped } from "./failures.ts";

/** A page that takes longer loses its slot to the next request in line. */
const SLOW_AFTER_MS = 3_000;
/**
 * How many slow pages may continue without a slot, in multiples of the slots: each holds a connection and
 * buffers.
 */
const SLOW_MOST = 8;

/**
 * Limits how many pages are read at once over all customers. A slot is held for one page, never for a walk,
 * and slots are given in the order of the requests. A customer with a burst of 100,000 alerts therefore waits
 * after each page behind every customer that is due. Customers whose service hangs do not use up the slots.
 */
export class PageLimiter {
  readonly #clock: Clock;
  readonly #slowMost: number;
  readonly #slots: ConcurrencyLimiter;
  #slow = 0;

  constructor(atOnce: number, clock: Clock) {
    this.#slots = new ConcurrencyLimiter(atOnce);
    this.#slowMost = atOnce * SLOW_MOST;
    this.#clock = clock;
  }

  /** Resolves to a function that releases the slot (once). */
  async acquire(): Promise<() => void> {
    await this.#slots.acquire();
    const released = new AbortController();
    let isSlow = false;
    const releaseWhenSlow = async (): Promise<void> => {
      await this.#clock.pause(SLOW_AFTER_MS, released.signal);
      if (released.signal.aborted || this.#slow >= this.#slowMost) return;
      isSlow = true;
      this.#slow += 1;
      this.#slots.release();
    };
    void releaseWhenSlow();
    return () => {
      if (released.signal.aborted) return;
      released.abort();
      if (isSlow) this.#slow -= 1;
      else this.#slots.release();
    };
  }
}

/**
 * Waits until both budget and limiter allow one request; resolves to a function that releases the slot. The
 * request is counted when it has its slot: if it were counted earlier, a long wait for the slot could let
 * more requests leave in one minute than the budget allows. No slot is held while waiting for the budget.
 * Throws Failure `stopped`.
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
