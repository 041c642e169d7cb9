import { expect, test } from "@jest/globals";
import { ticksFromMs } from "../../model/instant.ts";
import { ledgerSpanMs, pollFrom, sweepEveryMs } from "./lookback.ts";

const at = (hours: number) => ticksFromMs(hours * 3_600_000);

test.each<[string, { upTo: number; reachedUpTo: number; full: boolean; oldestReplay?: number }, number]>([
  ["a short lookback, from the checkpoint", { upTo: 30, reachedUpTo: 29, full: false }, 30 - 2 / 60],
  ["a full lookback, from where the last one ended", { upTo: 30, reachedUpTo: 29, full: true }, 28],
  [
    "a full lookback, when the checkpoint was held back further than that",
    { upTo: 10, reachedUpTo: 30, full: true },
    10,
  ],
  ["a full lookback, when the checkpoint was held back less", { upTo: 29.5, reachedUpTo: 30, full: true }, 29],
  ["a short lookback, when the checkpoint was held back", { upTo: 10, reachedUpTo: 30, full: false }, 10],
  ["what awaits its replay", { upTo: 30, reachedUpTo: 29, full: true, oldestReplay: 3 }, 3],
])(
  "what was provisional holds the checkpoint back without a second overlap: %s",
  (_name, { upTo, reachedUpTo, full, oldestReplay }, from) => {
    const oldest = oldestReplay === undefined ? undefined : at(oldestReplay);
    expect(
      pollFrom({
        upTo: at(upTo),
        reachedUpTo: at(reachedUpTo),
        start: at(0),
        full,
        overlapMinutes: 60,
        oldestReplay: oldest,
      }),
    ).toBe(at(from));
  },
);

const HOUR_MS = 3_600_000;
test.each([
  [0, 24, 1],
  [1, 24, 1],
  [5_000, 24, 1],
  [7_500, 24, 1.5],
  [10_000, 24, 2],
  [50_000, 24, 10],
  [100_000, 24, 12],
  [100_000, 4, 2],
  [100_000, 1, 1],
])("%i customers of one process are swept over %i hours every %s hours", (customers, sweepHours, hours) => {
  expect(sweepEveryMs({ customers, sweepHours })).toBe(hours * HOUR_MS);
});

test("no number of customers makes sweeps leave a gap, leave the ledger's span, or come more often than hourly", () => {
  for (let sweepHours = 1; sweepHours <= 720; sweepHours += 1)
    for (const customers of [0, 1, 4_999, 5_001, 9_999, 31_337, 100_000, 1_000_000]) {
      const everyMs = sweepEveryMs({ customers, sweepHours });
      expect(everyMs).toBeGreaterThanOrEqual(HOUR_MS);
      // Each row is looked at twice, except where a sweep looks back no further than the shortest period.
      expect(everyMs).toBeLessThanOrEqual(Math.max(HOUR_MS, (sweepHours * HOUR_MS) / 2));
      expect(everyMs).toBeLessThan(ledgerSpanMs({ overlapMinutes: 1, sweepHours }));
      expect(everyMs).toBeGreaterThanOrEqual(sweepEveryMs({ customers: customers / 2, sweepHours }));
    }
});
