import { isFailure } from "../model/failure.ts";
import type { Clock, Random } from "../model/ports.ts";
import { shortPauseMs, throttledPauseMs } from "./backoff.ts";
import type { Budget } from "./budget.ts";
import type { StreamReport } from "./report.ts";

export interface ReadWithBackoffParts {
  readonly budget: Budget;
  readonly report: StreamReport;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * One request, retried with a walk's short pauses: 1, 2 and 4 s after failures that may pass soon. After a
 * Retry-After it waits as long as the service asks for, and so does everything that shares the budget. A
 * service that asks for short waits again and again gets growing ones. Throws the last failure.
 */
export async function readWithBackoff<T>(
  { budget, report, clock, random }: ReadWithBackoffParts,
  stop: AbortSignal,
  read: () => Promise<T>,
): Promise<T> {
  for (let failed = 0, throttled = 0; ; ) {
    try {
      return await read();
    } catch (error) {
      if (stop.aborted || !isFailure(error)) throw error;
      let pauseMs: number | undefined;
      if (error.retry.when === "at") {
        const nowMs = clock.nowMs();
        pauseMs = throttledPauseMs(throttled, error.retry.atMs - nowMs);
        throttled += 1;
        report.count("throttled");
        budget.block(pauseMs);
        report.be("throttled", error, nowMs + pauseMs);
      } else if (error.retry.when === "soon") {
        pauseMs = shortPauseMs(failed, random);
        failed += 1;
      }
      if (pauseMs === undefined) throw error;
      await clock.pause(pauseMs, stop);
      if (stop.aborted) throw error;
      report.retried();
    }
  }
}

/** One request whose failure is counted by its status; a request that the stop ended is not. */
export async function askCounted<T>(report: StreamReport, stop: AbortSignal, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (isFailure(error) && !stop.aborted) report.failed(error);
    throw error;
  }
}
