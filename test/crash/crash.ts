import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FAULTS, type Fault, type Judgement } from "../harness/oracle/judge.ts";
import { type Microsoft, startMicrosoft } from "./microsoft.ts";
import { type Moment, type Program, SCENARIO, Stage } from "./stage.ts";

/** What came before the run that is killed. */
export const HISTORIES = {
  fresh: "no run",
  settled: "a run that did its walks and stopped normally",
  crashed: "a run that was killed at the same moment",
} as const;
export type History = keyof typeof HISTORIES;
export const HISTORY_NAMES = Object.keys(HISTORIES) as History[];

export interface Crash<M extends string = Moment> {
  readonly moment: M;
  readonly history: History;
  readonly n: number;
  /** False: the run completed its first walks before there was an n-th. */
  readonly reached: boolean;
  readonly totals: Judgement["totals"];
  readonly examples: Judgement["examples"];
  /** What contradicts the promise; empty when all is well. */
  readonly faults: readonly string[];
}

/** How a host is put on a stage, and what of the oracle's counts contradicts its promise. */
export interface Host<M extends string> {
  readonly stage: (folder: string, microsoft: Microsoft) => Stage<M> | Promise<Stage<M>>;
  readonly faults: readonly Fault[];
}

/** The modular input, which writes to a pipe. */
export const splunkHost = (program: Program): Host<Moment> => ({
  stage: (folder, microsoft) => new Stage(folder, microsoft, program),
  faults: FAULTS,
});

/**
 * Kills one run at the n-th moment, lets time pass, lets the next run settle and stop normally, and judges
 * what was delivered by all runs.
 */
export async function crashAt<M extends string>(
  host: Host<M>,
  history: History,
  moment: M,
  n: number,
): Promise<Crash<M>> {
  const folder = mkdtempSync(join(tmpdir(), "crash-"));
  const microsoft = await startMicrosoft(SCENARIO);
  let stage: Stage<M> | undefined;
  try {
    stage = await host.stage(folder, microsoft);
    if (history === "settled") await stage.settledRun();
    if (history === "crashed") await stage.killedRun(moment, n);
    const reached = await stage.killedRun(moment, n);
    await stage.settledRun();
    const { totals, examples } = await stage.judge();
    const faults = [...stage.faults];
    for (const count of host.faults) if ((totals[count] ?? 0) > 0) faults.push(`${count}: ${totals[count]}`);
    return { moment, history, n, reached, totals, examples, faults };
  } finally {
    await stage?.close();
    await microsoft.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
