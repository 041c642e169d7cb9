import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FAULTS, type Judgement } from "../harness/oracle/judge.ts";
import { startMicrosoft } from "./microsoft.ts";
import { type Moment, type Program, SCENARIO, Stage } from "./stage.ts";

/** What came before the life that is killed. */
export const HISTORIES = {
  fresh: "nothing: it is the first life",
  settled: "a life that did its walks and stopped in order",
  crashed: "a life that was killed at the same moment",
} as const;
export type History = keyof typeof HISTORIES;
export const HISTORY_NAMES = Object.keys(HISTORIES) as History[];

export interface Crash {
  readonly moment: Moment;
  readonly history: History;
  readonly n: number;
  /** False: the life was over its first walks before there was an n-th. */
  readonly reached: boolean;
  readonly totals: Judgement["totals"];
  readonly examples: Judgement["examples"];
  /** What contradicts the promise; empty when all is well. */
  readonly faults: readonly string[];
}

/**
 * Kills one life at the n-th moment, lets time pass, lets the next one settle and stop in order, and judges
 * what was read of all.
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
