import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FAULTS, type Judgement } from "../harness/oracle/judge.ts";
import { startMicrosoft } from "./microsoft.ts";
import { type Moment, type Program, SCENARIO, Stage } from "./stage.ts";

/** What came before the run that is killed. */
export const HISTORIES = {
  fresh: "no run",
  settled: "a run that did its walks and stopped normally",
  crashed: "a run that was killed at the same moment",
} as const;
export type History = keyof typeof HISTORIES;
export const HISTORY_NAMES = Object.keys(HISTORIES) as History[];

export interface Crash {
  readonly moment: Moment;
  readonly history: History;
  readonly n: number;
  /** False: the run completed its first walks before there was an n-th. */
  readonly reached: boolean;
  readonly totals: Judgement["totals"];
  readonly examples: Judgement["examples"];
  /** What contradicts the promise; empty when all is well. */
  readonly faults: readonly string[];
}

/**
 * Kills one run at the n-th moment, lets time pass, lets the next run settle and stop normally, and judges
 * what was read of all runs.
 */
export async function crashAt(program: Program, history: History, moment: Moment, n: number): Promise<Crash> {
  const folder = mkdtempSync(join(tmpdir(), "crash-"));
  const microsoft = await startMicrosoft(SCENARIO);
  try {
    const stage = new Stage(folder, microsoft, program);
    if (history === "settled") await stage.settledRun();
    if (history === "crashed") await stage.killedRun(moment, n);
    const reached = await stage.killedRun(moment, n);
    await stage.settledRun();
    const { totals, examples } = await stage.judge();
    const faults = [...stage.faults];
    for (const count of FAULTS) if ((totals[count] ?? 0) > 0) faults.push(`${count}: ${totals[count]}`);
    return { moment, history, n, reached, totals, examples, faults };
  } finally {
    await microsoft.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
