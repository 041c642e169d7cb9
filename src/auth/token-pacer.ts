import type { Clock } from "../model/ports.ts";
import { SerialQueue } from "../model/serial-queue.ts";

/**
 * Spreads token requests of all customers: a restart of 2,000 customers must not look like an attack to the
 * sign-in service.
 */
export interface TokenPacer {
  /**
   * Resolves when this request may go out; in the order of asking, which is the order in which customers are
   * due.
   */
  turn(): Promise<void>;
}

/**
 * A bucket of `perSecond` tokens that starts full and may be spent at once.
 */
export function createTokenPacer(clock: Clock, perSecond: number): TokenPacer {
  let tokens = perSecond;
  let filledAtMs = clock.monotonicMs();
  const queue = new SerialQueue();

  async function take(): Promise<void> {
    for (;;) {
      const nowMs = clock.monotonicMs();
      tokens = Math.min(perSecond, tokens + ((nowMs - filledAtMs) * perSecond) / 1000);
      filledAtMs = nowMs;
      // A thousandth of slack: fractions of a millisecond must not cost a second pause.
      if (tokens >= 0.999) {
        tokens -= 1;
        return;
      }
      await clock.pause(Math.ceil(((1 - tokens) * 1000) / perSecond));
    }
  }

  return {
    turn: () => queue.run(take),
  };
}
