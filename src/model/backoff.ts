import type { Random } from "./ports.ts";

/** The wait after the first failure, and the longest wait. */
export interface Backoff {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** More doublings change nothing: every `longestMs` is reached long before. */
const DOUBLINGS_MOST = 30;
const SPREAD = 0.25;

/**
 * The wait after this many failures in a row (1 for the first), ms. It doubles each time, ±25 %, so that
 * callers that failed together do not retry together. Never longer than `longestMs`.
 */
export function backoffMs({ firstMs, longestMs }: Backoff, failures: number, random: Random): number {
  const waitMs = firstMs * 2 ** Math.min(failures - 1, DOUBLINGS_MOST);
  return Math.min(longestMs, spread(Math.min(longestMs, waitMs), random));
}

/** ±25 %. */
export function spread(ms: number, random: Random): number {
  return Math.round(ms * (1 - SPREAD + 2 * SPREAD * random.next()));
}
