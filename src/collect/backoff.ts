import { type Backoff, backoffMs, spread } from "../model/backoff.ts";
import type { Failure } from "../model/failure.ts";
import type { Random } from "../model/ports.ts";

const SHORT_PAUSES_MS = [1_000, 2_000, 4_000];
/** A customer with failures. */
const CUSTOMER: Backoff = { firstMs: 30_000, longestMs: 900_000 };

/**
 * The pause before a walk requests the same page again: 1, 2 and 4 s, each ±25 %. Undefined when no more
 * retries are due.
 */
export function shortPauseMs(failed: number, random: Random): number | undefined {
  const pauseMs = SHORT_PAUSES_MS[failed];
  return pauseMs === undefined ? undefined : spread(pauseMs, random);
}

const WAITS_AS_ASKED = 3;
const LONGEST_UNASKED_MS = 900_000;

/**
 * The pause before a throttled request is sent again. The first three times it is what the service asks for.
 * After that it is at least 2 s, doubling up to 15 min: a service that asks for one second for ever would
 * otherwise get a request each second.
 *
 * @param throttled how often this request was throttled before.
 */
export function throttledPauseMs(throttled: number, askedMs: number): number {
  const least = throttled < WAITS_AS_ASKED ? 0 : 1_000 * 2 ** Math.min(throttled - WAITS_AS_ASKED + 1, 20);
  return Math.max(0, askedMs, Math.min(least, LONGEST_UNASKED_MS));
}

/**
 * How long a customer with failures waits: 30 s, doubling up to 15 min. Longer only when the service named a
 * later time, and then exactly until that time.
 */
export function customerBackoffMs(failures: number, failure: Failure, nowMs: number, random: Random): number {
  if (failure.retry.when !== "at") return backoffMs(CUSTOMER, failures, random);
  const { firstMs, longestMs } = CUSTOMER;
  return Math.max(Math.min(longestMs, firstMs * 2 ** (failures - 1)), failure.retry.atMs - nowMs);
}
