import type { Ticks } from "../../model/instant.ts";
import { TICKS_PER_SECOND, ticksFromMs } from "../../model/instant.ts";

/** Every poll reaches back this far behind the checkpoint. */
const SHORT_LOOKBACK_MS = 120_000;
const FULL_LOOKBACK_EVERY_POLLS = 5;
const FULL_REACH_AT_LEAST_EVERY_MS = 1_800_000;
const LEDGER_BEYOND_MS = 3_600_000;

/** How much update time the ledger covers. */
export function ledgerSpanMs(settings: { readonly overlapMinutes: number; readonly sweepHours: number }): number {
  return Math.max(settings.overlapMinutes * 60_000, settings.sweepHours * 3_600_000) + LEDGER_BEYOND_MS;
}

/**
 * Whether this poll reaches back over the whole overlap: every fifth, less often when that would take more
 * than half of the request budget, but at least every 30 minutes.
 * @param requestsOfFullLookback what the last poll with full lookback took.
 */
export function looksBackFully(poll: {
  readonly pollsSinceFullReach: number;
  readonly pollSeconds: number;
  readonly requestsOfFullLookback: number;
  readonly perMinute: number;
}): boolean {
  const pollMs = poll.pollSeconds * 1000;
  const affordable = (polls: number) => poll.requestsOfFullLookback <= (poll.perMinute * polls * pollMs) / 60_000 / 2;
  const polls = poll.pollsSinceFullReach + 1;
  if (polls * pollMs >= FULL_REACH_AT_LEAST_EVERY_MS) return true;
  return polls >= FULL_LOOKBACK_EVERY_POLLS && affordable(polls);
}

/**
 * Where a poll begins. Never before `start`, never after what is still awaiting its replay. A full lookback
 * counts from where the last one ended, or what appeared late while nobody could look (a stop, an outage, the
 * polls between) would never be asked for.
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
 * The checkpoint after a complete walk: the newest version seen, but never ahead of the service's clock; an empty
 * walk moves it too, though never past the service's now less the overlap, where late rows may still appear,
 * nor past ours: one answer with a date far ahead would hide everything until then. It never moves back.
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
 * Where the checkpoint stood when it was saved. What was provisional held `upTo` back, by a whole sweep when a
 * sweep found it: counted from there, a second reach would ask for what the ledger has forgotten since.
 */
export function stoodAt(upTo: Ticks, reachedUpTo: Ticks | undefined): Ticks {
  return reachedUpTo !== undefined && reachedUpTo > upTo ? reachedUpTo : upTo;
}

/** The smaller one; what is undefined bounds nothing. */
export function minimum(a: Ticks, b: Ticks | undefined): Ticks {
  return b !== undefined && b < a ? b : a;
}
