/**
 * The built binary beside a HEC with acknowledgement, killed from outside at every step: at each request to
 * Microsoft and to HEC, before and after it is answered, and at each change of its state folder. Or stopped
 * there, while HEC restarts. CI has one place in each cell; `npm run proofs` has them all.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { afterAll, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { noteProof } from "../harness/proof.ts";
import { HISTORIES, HISTORY_NAMES } from "./crash.ts";
import { HEC_MOMENT_NAMES, HEC_MOMENTS, type HecMoment, hecHost, STRIKES, type Strike } from "./hec-stage.ts";
import { crashMatrix } from "./matrix.ts";
import { SCENARIO } from "./stage.ts";

// The bound for a busy machine: processes are waited for by events.
jest.setTimeout(3_600_000);

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const EVERY = process.env["DEFENDER_MSSP_PROOFS"] !== undefined;
/** One place in each: inside the walks, and at HEC the first, which each run reaches. */
const SAMPLE = { request: 7, answer: 5, rename: 9, post: 1, posted: 1, ask: 1, asked: 1 } as const;

/** At each of these HEC may lose what it took; the others meet it in the middle of other work. */
const AT_EACH: ReadonlySet<HecMoment> = new Set(["post", "posted", "ask", "asked"]);
const STEP_OF_OTHER_STOPS = 3;

const cells = (Object.keys(STRIKES) as Strike[]).flatMap((strike) =>
  HISTORY_NAMES.filter((history) => strike === "kill" || history === "fresh").flatMap((history) =>
    HEC_MOMENT_NAMES.map(
      (moment) => [STRIKES[strike], HISTORIES[history], HEC_MOMENTS[moment], strike, history, moment] as const,
    ),
  ),
);
const counts = { cells: 0, kills: 0, stops: 0, versions: 0, lost: 0, stale: 0 };
afterAll(() => {
  if (EVERY && counts.cells === cells.length) noteProof({ name: "hec-crash-matrix", seed: SCENARIO.seed, counts });
});

test.each(cells)(
  "HEC loses nothing at a %s after %s, at %s",
  async (_strike, _before, _moment, strike, history, moment) => {
    if (!existsSync(BINARY))
      throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
    const n = SAMPLE[moment];
    const step = strike === "kill" || AT_EACH.has(moment) ? 1 : STEP_OF_OTHER_STOPS;

    const crashes = await crashMatrix({
      host: hecHost([BINARY], strike),
      histories: [history],
      moments: [moment],
      ...(EVERY ? { step } : { first: n, last: n, lanes: 1 }),
    });

    expect(crashes.filter(({ faults }) => faults.length > 0)).toEqual([]);
    expect(crashes.some(({ reached }) => reached)).toBe(true);
    expect(Math.min(...crashes.map(({ totals }) => totals.shown))).toBeGreaterThan(60);
    counts.cells += 1;
    for (const { reached, totals } of crashes) {
      if (reached) counts[strike === "kill" ? "kills" : "stops"] += 1;
      counts.versions += totals.shown;
      counts.lost += totals.lost;
      counts.stale += totals.stale;
    }
  },
);
