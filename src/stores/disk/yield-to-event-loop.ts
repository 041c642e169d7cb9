import type { Clock } from "../../model/ports.ts";

const LONGEST_HOLD_MS = 5;

/** Lets other work run once this has run for 5 ms: opening 4,000 files must not delay other customers. */
export class EventLoopYielder {
  readonly #clock: Clock;
  #since: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.monotonicMs();
  }

  async take(): Promise<void> {
    if (this.#clock.monotonicMs() - this.#since < LONGEST_HOLD_MS) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#since = this.#clock.monotonicMs();
  }
}
