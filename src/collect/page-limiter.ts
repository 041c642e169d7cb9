import { ConcurrencyLimiter } from "../model/concurrency-limiter.ts";
import type { Clock } from "../model/ports.ts";
import type { Budget } from "./budget.ts";
import { stopped } from "./failures.ts";

/** A page that takes longer loses its slot to the next request in line. */
const SLOW_AFTER_MS = 3_000;
/** How many slow pages may be read without a slot, in multiples of the slots: each holds buffers. */
const SLOW_MOST = 8;
/** Without a reason a signal makes an error with its stack: 3 % of an idle program's processor time. */
const ENDED = "the page has ended";

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

  async acquire(): Promise<Slot> {
    await this.#slots.acquire();
    let slow: AbortController;
    /** `lost`: by a request without an answer, which holds a connection and nothing else. */
    let state: "held" | "lost" | "slow" | "released" = "held";
    let isAnswered = false;
    const releaseWhenSlow = async (): Promise<void> => {
      slow = new AbortController();
      await this.#clock.pause(SLOW_AFTER_MS, slow.signal);
      if (slow.signal.aborted || state !== "held") return;
      if (isAnswered) {
        if (this.#slow >= this.#slowMost) return;
        this.#slow += 1;
      }
      state = isAnswered ? "slow" : "lost";
      this.#slots.release();
    };
    void releaseWhenSlow();
    return {
      answered: async () => {
        isAnswered = true;
        if (state !== "lost") return;
        await this.#slots.acquire();
        state = "held";
        void releaseWhenSlow();
      },
      release: () => {
        slow.abort(ENDED);
        if (state === "slow") this.#slow -= 1;
        else if (state === "held") this.#slots.release();
        state = "released";
      },
    };
  }
}

/** A slot for one page. */
export interface Slot {
  /**
   * The answer begins. A request that waited long for its answer lost its slot meanwhile, and waits for
   * another one before its page is read.
   */
  answered(): Promise<void>;
  /** May be called more than once. */
  release(): void;
}

/**
 * Waits until both budget and limiter allow one request; resolves to its slot. The request is counted when it
 * has its slot: if it were counted earlier, a long wait for the slot could let more requests leave in one
 * minute than the budget allows. No slot is held while waiting for the budget. Throws Failure `stopped`.
 */
export async function acquireWithinBudget(budget: Budget, limiter: PageLimiter, stop: AbortSignal): Promise<Slot> {
  while (await budget.ready(stop)) {
    const slot = await limiter.acquire();
    if (!stop.aborted && budget.tryConsume()) return slot;
    slot.release();
  }
  throw stopped();
}
