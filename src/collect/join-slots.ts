import type { Clock } from "../model/ports.ts";

interface Waiting {
  readonly dueMs: number;
  readonly askedMs: number;
  readonly begin: () => void;
}

/**
 * When customers that were taken over together are polled first: one in each slot, whoever is due longest.
 * Nobody who is due waits for those that are due later.
 */
export class JoinSlots {
  readonly #clock: Clock;
  readonly #slotMs: number;
  /** Who is due first is first. */
  readonly #waiting: Waiting[] = [];
  #freeFromMs = Number.NEGATIVE_INFINITY;
  #isServing = false;
  #change = new AbortController();

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#slotMs = 1_000 / perSecond;
  }

  /**
   * Resolves in the slot of a customer, or when it stops.
   *
   * @param dueMs on the clock that never steps; it may have passed.
   */
  acquire(dueMs: number, stop: AbortSignal): Promise<void> {
    if (stop.aborted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const leave = () => {
      const at = this.#waiting.indexOf(waiting);
      if (at >= 0) this.#waiting.splice(at, 1);
      if (at === 0) this.#change.abort();
      resolve();
    };
    const begin = () => {
      stop.removeEventListener("abort", leave);
      resolve();
    };
    const waiting = { dueMs, askedMs: this.#clock.monotonicMs(), begin };
    stop.addEventListener("abort", leave, { once: true });
    const at = this.#placeFor(dueMs);
    this.#waiting.splice(at, 0, waiting);
    if (at === 0) this.#change.abort();
    if (!this.#isServing) void this.#serve();
    return promise;
  }

  /** Behind all that are due at the same time. */
  #placeFor(dueMs: number): number {
    let [from, to] = [0, this.#waiting.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#waiting[middle] as Waiting).dueMs <= dueMs) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  async #serve(): Promise<void> {
    this.#isServing = true;
    // Whoever asks in the same moment counts too.
    await Promise.resolve();
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      // Slots are counted by the times that they should have: a process that wakes up late makes up for it.
      const slotMs = Math.max(first.dueMs, first.askedMs, this.#freeFromMs);
      const waitMs = slotMs - this.#clock.monotonicMs();
      if (waitMs > 0) {
        this.#change = new AbortController();
        await this.#clock.pause(waitMs, this.#change.signal);
        continue;
      }
      this.#waiting.shift();
      this.#freeFromMs = slotMs + this.#slotMs;
      first.begin();
    }
    this.#isServing = false;
  }
}
