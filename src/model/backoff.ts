import type { Random } from "./ports.ts";

/** How long one who waits after failures waits: the first time, and at most. */
export interface Backoff {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** Doublings beyond this do not change anything: every `longestMs` is reached long before. */
const DOUBLINGS_MOST = 30;
const SPREAD = 0.25;

/**
 * The wait after so many failures in a row (1 for the first), ms: doubled each time, ±25 %, so that many who failed
 * together do not come back together. Never longer than `longestMs`.
 */
export function backoffMs({ firstMs, longestMs }: Backoff, failures: number, random: Random): number {
  const waitMs = firstMs * 2 ** Math.min(failures - 1, DOUBLINGS_MOST);
  return Math.min(longestMs, spread(Math.min(longestMs, waitMs), random));
}

/** ±25 %. */
export function spread(ms: number, random: Random): number {
  return Math.round(ms * (1 - SPREAD + 2 * SPREAD * random.next()));
}
