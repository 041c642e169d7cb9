import type { Totals } from "./judge.ts";

/** What a run may have at most. A limit of undefined is not judged. */
export interface Limit {
  /** The flag without its dashes. */
  readonly flag: string;
  readonly count: keyof Totals;
  readonly default: number | undefined;
  readonly help: string;
}

export const LIMITS: readonly Limit[] = [
  { flag: "max-lost", count: "lost", default: 0, help: "versions that never arrived and that nothing newer covers" },
  { flag: "max-stale", count: "stale", default: 0, help: "objects that arrived, but not in their newest version" },
  { flag: "max-duplicated", count: "duplicated", default: 0, help: "repeats that do not say found: replay" },
  {
    flag: "max-out-of-order",
    count: "out_of_order",
    default: 0,
    help: "events older than one of their object before them",
  },
  {
    flag: "max-changed-bytes",
    count: "changed_bytes",
    default: 0,
    help: "events with a member that is not what was shown",
  },
  { flag: "max-unknown", count: "unknown", default: 0, help: "events about something that was never shown" },
  { flag: "max-unidentified", count: "unidentified", default: 0, help: "events that do not say what they are about" },
  {
    flag: "max-superseded",
    count: "superseded",
    default: undefined,
    help: "versions that only a newer one covers; for runs without a crash",
  },
  { flag: "max-replayed", count: "replayed", default: undefined, help: "repeats marked found: replay" },
  { flag: "max-torn", count: "torn", default: undefined, help: "half events at the end of a killed run" },
  {
    flag: "max-lag-ms-p99",
    count: "lag_ms_p99",
    default: undefined,
    help: "99th percentile of arrival minus shown_at, in ms",
  },
];

export interface Excess {
  readonly limit: string;
  readonly allowed: number;
  readonly found: number | null;
}

/**
 * Limits that the totals break. A figure that is not known (null) breaks a limit only if that limit was asked
 * for.
 */
export function excesses(totals: Totals, given: Readonly<Record<string, number | undefined>>): Excess[] {
  const broken: Excess[] = [];
  for (const limit of LIMITS) {
    const asked = given[limit.flag];
    const allowed = asked ?? limit.default;
    const found = totals[limit.count];
    if (allowed === undefined) continue;
    if (found === null ? asked !== undefined : found > allowed) broken.push({ limit: limit.flag, allowed, found });
  }
  return broken;
}
