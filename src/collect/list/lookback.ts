import type { Ticks } from "../../model/instant.ts";
import { TICKS_PER_SECOND, ticksFromMs } from "../../model/instant.ts";

/** Every poll starts this far before the checkpoint. */
const SHORT_LOOKBACK_MS = 120_000;
const FULL_LOOKBACK_EVERY_POLLS = 5;
const FULL_LOOKBACK_AT_LEAST_EVERY_MS = 1_800_000;
const LEDGER_BEYOND_MS = 3_600_000;
const SWEEP_AT_MOST_EVERY_MS = 3_600_000;
/** So many customers of one process are swept each hour. */
const CUSTOMERS_SWEPT_HOURLY = 5_000;

/** How much update time the ledger covers. */
export function ledgerSpanMs(settings: { readonly overlapMinutes: number; readonly sweepHours: number }): number {
  return Math.max(settings.overlapMinutes * 60_000, settings.sweepHours * 3_600_000) + LEDGER_BEYOND_MS;
}

/**
 * The time between two sweeps of a stream. A sweep reads a day's rows again, so with more than 5,000
 * customers the period grows with them, and their sweeps together take no more requests than those of 5,000.
 * It stays within half of what a sweep looks back, so that each row is looked at by two sweeps.
 *
 * A longer period loses nothing: a sweep counts back from where the last complete one ended, and the ledger
 * forgets nothing within its span before that.
 *
 * @param customers those of this process alone, where several share them.
 */
export function sweepEveryMs({ customers, sweepHours }: { readonly customers: number; readonly sweepHours: number }) {
  const grown = (SWEEP_AT_MOST_EVERY_MS * customers) / CUSTOMERS_SWEPT_HOURLY;
  return Math.max(SWEEP_AT_MOST_EVERY_MS, Math.min(grown, longestSweepEveryMs(sweepHours)));
}

/** No sweep is planned further ahead, however many customers there are. */
export function longestSweepEveryMs(sweepHours: number): number {
  return Math.max(SWEEP_AT_MOST_EVERY_MS, (sweepHours * 3_600_000) / 2);
}

/**
 * Whether this poll looks back over the whole overlap: every fifth, less often when that would take more
 * than half of the request budget, but at least every 30 minutes.
 * @param requestsOfFullLookback how many requests the last poll with full lookback took.
 */
export function looksBackFully(poll: {
  readonly pollsSinceFullLookback: number;
  readonly pollSeconds: number;
  readonly requestsOfFullLookback: number;
  readonly perMinute: number;
}): boolean {
  const pollMs = poll.pollSeconds * 1000;
  const affordable = (polls: number) => poll.requestsOfFullLookback <= (poll.perMinute * polls * pollMs) / 60_000 / 2;
  const polls = poll.pollsSinceFullLookback + 1;
  if (polls * pollMs >= FULL_LOOKBACK_AT_LEAST_EVERY_MS) return true;
  return polls >= FULL_LOOKBACK_EVERY_POLLS && affordable(polls);
}

/**
 * Where a poll begins. Never before `start`, never after a version that still awaits its replay. A full
 * lookback counts from where the last one ended. Otherwise rows that appeared late during a stop, an outage
 * or the polls in between would never be requested.
 */
export function pollFrom(poll: {
  readonly upTo: Ticks | undefined;
  readonly reachedUpTo: Ticks | undefined;
  readonly start: Ticks;
  readonly full: boolean;
  readonly overlapMinutes: number;
  readonly oldestReplay: Ticks | undefined;
}): Ticks {
  const lookbackMs = poll.full
    ? Math.max(poll.overlapMinutes * 60_000, SHORT_LOOKBACK_MS)
    : Math.min(SHORT_LOOKBACK_MS, poll.overlapMinutes * 60_000);
  let from = poll.start;
  if (poll.upTo !== undefined) {
    const stood = stoodAt(poll.upTo, poll.reachedUpTo);
    from = minimum(poll.upTo, (poll.full ? minimum(stood, poll.reachedUpTo) : stood) - ticksFromMs(lookbackMs));
  }
  if (poll.oldestReplay !== undefined && poll.oldestReplay < from) from = poll.oldestReplay;
  return from < poll.start ? minimum(poll.start, poll.oldestReplay) : from;
}

/**
 * The checkpoint after a complete walk: the newest version seen, but never ahead of the service's clock. An
 * empty walk moves it too, but never into the overlap before the service's present time, where late rows may
 * still appear. This machine's clock limits it in the same way: otherwise one answer with a date far ahead
 * would hide everything until that date. The checkpoint never moves back.
 */
export function checkpointAfter(walk: {
  readonly upTo: Ticks | undefined;
  readonly newestSeen: Ticks | undefined;
  readonly serverNowMs: number;
  readonly ownNowMs: number;
  readonly overlapMinutes: number;
  readonly start: Ticks;
}): Ticks {
  const now = ticksFromMs(walk.serverNowMs);
  const settled = minimum(now, ticksFromMs(walk.ownNowMs)) - BigInt(walk.overlapMinutes) * 60n * TICKS_PER_SECOND;
  const seen = walk.newestSeen === undefined ? settled : minimum(walk.newestSeen, now);
  let checkpoint = seen > settled ? seen : settled;
  if (walk.upTo !== undefined && walk.upTo > checkpoint) checkpoint = walk.upTo;
  return checkpoint;
}

/**
 * Where the checkpoint stood when it was saved. Provisional versions hold the saved `upTo` back, by up to a
 * whole sweep. A full lookback counted from there would request versions that the ledger has forgotten since.
 */
export function stoodAt(upTo: Ticks, reachedUpTo: Ticks | undefined): Ticks {
  return reachedUpTo !== undefined && reachedUpTo > upTo ? reachedUpTo : upTo;
}

/** The smaller one; an undefined `b` is ignored. */
export function minimum(a: Ticks, b: Ticks | undefined): Ticks {
  return b !== undefined && b < a ? b : a;
}
