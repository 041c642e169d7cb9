import { expect, test } from "@jest/globals";
import { ticksFromMs } from "../../model/instant.ts";
import { pollFrom } from "./lookback.ts";

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
