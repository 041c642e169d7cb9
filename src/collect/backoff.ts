import type { Failure } from "../model/failure.ts";
import type { Random } from "../model/ports.ts";

const SHORT_PAUSES_MS = [1_000, 2_000, 4_000];
const BACKOFF_FIRST_MS = 30_000;
const BACKOFF_LONGEST_MS = 900_000;
const SPREAD = 0.25;

/**
 * The pause before a walk asks the same page again: 1, 2 and 4 s, each ±25 %. Undefined when it has been
 * asked often enough.
 */
export function shortPauseMs(failed: number, random: Random): number | undefined {
  const pauseMs = SHORT_PAUSES_MS[failed];
  return pauseMs === undefined ? undefined : spread(pauseMs, random);
}

/**
 * How long a customer with failures waits: 30 s, doubling to 15 min; longer only when the service named a later
 * time.
 */
export function backoffMs(failures: number, failure: Failure, nowMs: number, random: Random): number {
  const steadyMs = Math.min(BACKOFF_LONGEST_MS, BACKOFF_FIRST_MS * 2 ** (failures - 1));
  if (failure.retry.when === "at") return Math.max(steadyMs, failure.retry.atMs - nowMs);
  return Math.min(BACKOFF_LONGEST_MS, spread(steadyMs, random));
}

function spread(ms: number, random: Random): number {
  return Math.round(ms * (1 - SPREAD + 2 * SPREAD * random.next()));
}
