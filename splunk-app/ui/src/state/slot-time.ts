/** When a secret is typed, by splunkd's clock: the browser's may be hours off. */
import type { SlotClock } from "../../../../src/config/intake-slot.ts";

export interface SlotTime {
  readonly atMs: number;
  readonly clock: SlotClock;
}

/**
 * splunkd says whole seconds. The browser's part of the second keeps slots apart that two people type for one
 * setting in the same second: else the pieces of both would be mixed.
 *
 * @param answer of search/timeparser to `now` in seconds; undefined where splunkd gave none. Then the
 * browser's clock has to do.
 * @param lastMs of the slot before: each of this page is later, so that the last one counts.
 */
export function slotTime(answer: unknown, browserMs: number, lastMs: number): SlotTime {
  const seconds = Number((answer as { readonly now?: unknown } | undefined)?.now ?? Number.NaN);
  const isKnown = Number.isFinite(seconds) && seconds > 0;
  const atMs = isKnown ? Math.floor(seconds) * 1_000 + (browserMs % 1_000) : browserMs;
  return { atMs: Math.max(atMs, lastMs + 1), clock: isKnown ? "splunkd" : "browser" };
}
