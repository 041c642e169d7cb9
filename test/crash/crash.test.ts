/**
 * The built binary, killed from outside at every step. Every n of every moment with DEFENDER_MSSP_CRASHES=all
 * (about five minutes on two cores; `npm run bench -- crash` does the same), else a sample. What lay unread
 * in the pipe at the crash is lost, as with a real splunkd.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { afterAll, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { noteProof } from "../harness/proof.ts";
import { HISTORIES, HISTORY_NAMES } from "./crash.ts";
import { crashMatrix } from "./matrix.ts";
import { MOMENT_NAMES, MOMENTS, SCENARIO } from "./stage.ts";

// The bound for a busy machine: processes are waited for by events.
jest.setTimeout(1_800_000);

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const EVERY = process.env["DEFENDER_MSSP_CRASHES"] === "all";
/** Two places in each: one early, one inside the walks. */
const SAMPLE = {
  request: { first: 4, step: 9, last: 13 },
  answer: { first: 3, step: 8, last: 11 },
  read: { first: 1, step: 2, last: 3 },
  rename: { first: 5, step: 17, last: 22 },
} as const;

const cells = HISTORY_NAMES.flatMap((history) =>
  MOMENT_NAMES.map((moment) => [HISTORIES[history], MOMENTS[moment], history, moment] as const),
);

const counts = { cells: 0, kills: 0, versions: 0, lost: 0, stale: 0, doubled: 0 };
afterAll(() => {
  if (EVERY && counts.cells === cells.length) noteProof({ name: "crash-matrix", seed: SCENARIO.seed, counts });
});

test.each(cells)(
  "after %s, a crash at %s loses nothing, leaves nothing stale and repeats only equal keys",
  async (_before, _moment, history, moment) => {
    if (!existsSync(BINARY))
      throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');

    const crashes = await crashMatrix({
      program: [BINARY],
      histories: [history],
      moments: [moment],
      ...(EVERY ? {} : SAMPLE[moment]),
    });

    expect(crashes.filter(({ faults }) => faults.length > 0)).toEqual([]);
    expect(crashes.some(({ reached }) => reached)).toBe(true);
    expect(Math.min(...crashes.map(({ totals }) => totals.shown))).toBeGreaterThan(60);
    counts.cells += 1;
    for (const { reached, totals } of crashes) {
      if (reached) counts.kills += 1;
      counts.versions += totals.shown;
      counts.lost += totals.lost;
      counts.stale += totals.stale;
      counts.doubled += totals.duplicated;
    }
  },
);
