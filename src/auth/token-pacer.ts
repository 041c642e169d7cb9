import type { Clock } from "../model/ports.ts";
import { SerialQueue } from "../model/serial-queue.ts";

/**
 * Spreads the token requests of all customers, so that a restart with 2,000 customers does not look like an
 * attack to the sign-in service.
 */
export interface TokenPacer {
  /**
   * Resolves when the request may be sent. Callers are served in the order of their calls, which is the order
   * in which customers are due.
   */
  acquire(): Promise<void>;
}

/**
 * A token bucket that refills at `perSecond`, starts full and allows a burst of all its tokens.
 */
export function createTokenPacer(clock: Clock, perSecond: number): TokenPacer {
  let tokens = perSecond;
  let filledAtMs = clock.monotonicMs();
  const queue = new SerialQueue();

  async function acquireOne(): Promise<void> {
    for (;;) {
      const nowMs = clock.monotonicMs();
      tokens = Math.min(perSecond, tokens + ((nowMs - filledAtMs) * perSecond) / 1000);
      filledAtMs = nowMs;
      // A tolerance of a thousandth, so that a fraction of a millisecond does not cause a second pause.
      if (tokens >= 0.999) {
        tokens -= 1;
        return;
      }
      await clock.pause(Math.ceil(((1 - tokens) * 1000) / perSecond));
    }
  }

  return {
    acquire: () => queue.run(acquireOne),
  };
}
