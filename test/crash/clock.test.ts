/**
 * Debian's `faketime` steps the host's clock by an hour, between runs of the built binary and in the middle
 * of one. Checkpoints go by Microsoft's clock, so nothing is lost. Without faketime these tests do nothing;
 * where real parts are required (DEFENDER_MSSP_REAL_PARTS=1) its absence fails.
 */
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { FAKETIME_LIBRARY, faketimeEnvironment, setWallClock } from "./faketime.ts";
import { type Microsoft, startMicrosoft } from "./microsoft.ts";
import type { Run } from "./run.ts";
import { SCENARIO, Stage, settled } from "./stage.ts";

// The bound for a busy machine: processes are waited for by events.
jest.setTimeout(300_000);

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const REQUIRED = process.env["DEFENDER_MSSP_REAL_PARTS"] === "1";
const HOUR_S = 3600;

let folder: string;
let microsoft: Microsoft;
let stage: Stage;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "clock-"));
  microsoft = await startMicrosoft(SCENARIO);
  stage = new Stage(folder, microsoft, [BINARY], faketimeEnvironment(join(folder, "clock")));
});
afterEach(async () => {
  await microsoft.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Resolves after so many further requests to an API. Throws when the run ends before. */
async function furtherRequests(run: Run, count: number): Promise<void> {
  let unwatch: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => {
    unwatch = microsoft.watch({ requested: (n) => n === count && resolve() }, "api");
  });
  const endedEarly = run.ended.then(({ code }) => {
    throw new Error(`the run ended with ${code}: ${run.log.at(-1) ?? ""}`);
  });
  await Promise.race([asked, endedEarly]);
  unwatch();
  // It ends later, as it should.
  endedEarly.catch(() => undefined);
}

/** By the binary's own wall clock, from the checkpoints it saved. */
function walksCompletedAtMs(): readonly number[] {
  const checkpoints = globSync(join(folder, "home/var/lib/splunk/modinputs/defender_mssp/tenants/*/*/*.mark.json"));
  return checkpoints.map((file) => Number(/"walkCompletedAtMs":(\d+)/.exec(readFileSync(file, "utf8"))?.[1]));
}

async function nothingLost(): Promise<void> {
  expect(stage.faults).toEqual([]);
  const { totals, examples } = await stage.judge();
  expect({ totals, examples }).toMatchObject({
    totals: {
      lost: 0,
      stale: 0,
      duplicated: 0,
      out_of_order: 0,
      changed_bytes: 0,
      unknown: 0,
      unidentified: 0,
      replayed: 0,
    },
    examples: [],
  });
  expect(totals.shown).toBeGreaterThan(80);
}

/** Every stream polls at least twice. */
const TWO_POLLS = 12;

test("faketime is installed where real parts are required", () => {
  expect(REQUIRED && FAKETIME_LIBRARY === undefined).toBe(false);
  expect(existsSync(BINARY)).toBe(true);
});

test.each([
  ["forward, then back", [0, HOUR_S, 0]],
  ["back, then forward", [0, -HOUR_S, 0]],
  ["from one side to the other", [HOUR_S, -HOUR_S, HOUR_S]],
])("a clock step of an hour between runs, %s, loses nothing", async (_, offsets) => {
  if (FAKETIME_LIBRARY === undefined) return;
  for (const offsetS of offsets) {
    setWallClock(join(folder, "clock"), offsetS);
    await stage.settledRun();
    const aheadMs = Math.max(...walksCompletedAtMs()) - Date.now();
    expect(Math.abs(aheadMs - offsetS * 1000)).toBeLessThan(30 * 60_000);
  }
  await nothingLost();
});

test("clock steps of an hour forward and two hours back in the middle of a run lose nothing", async () => {
  if (FAKETIME_LIBRARY === undefined) return;
  setWallClock(join(folder, "clock"), 0);
  const run = stage.start();
  expect(await run.until(settled)).toBe(true);
  for (const offsetS of [HOUR_S, -HOUR_S, 0]) {
    setWallClock(join(folder, "clock"), offsetS);
    microsoft.simulator.control.advance(10 * 60_000);
    await furtherRequests(run, TWO_POLLS);
  }
  expect(await run.stop()).toEqual({ code: 0, signal: null });
  // What was shown last may have been shown to a poll that the stop cut short.
  await stage.settledRun();
  await nothingLost();
});
