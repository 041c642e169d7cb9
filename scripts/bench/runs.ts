/** The pieces that measurements are made of. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Collector, type Memory, runDocument, type StanzaSettings } from "./collector.ts";
import { type Microsoft, type RunningMicrosoft, type Scenario, startMicrosoft } from "./microsoft.ts";
import type { RateTargets } from "./rate-target.ts";

/** Long enough for the slowest measurement on a slow machine. */
export const WITHIN_MS = 300_000;

/** What one measurement says: one line of `--json`, and what a person wants to know beside it. */
export interface Outcome {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly target: string;
  readonly holds: boolean;
  /** Every run's value, and memory where it was looked at. */
  readonly runs: readonly number[];
  readonly memory?: Memory;
}

export interface Bench {
  /** Absolute path of the built binary. */
  readonly binary: string;
  readonly runs: number;
  /** How long row `chaos` runs. */
  readonly minutes: number;
  /** What rows with an absolute rate must reach on this machine. */
  readonly rateTargets: RateTargets;
  readonly say: (text: string) => void;
}

/** One fresh collector from nothing to the last event. */
export async function catchUp(
  bench: Bench,
  microsoft: Microsoft,
  settings: StanzaSettings,
  wanted: number,
  customers = microsoft.customers,
): Promise<{ seconds: number; memory: Memory; stateBytes: number }> {
  return withHome(async (home) => {
    const document = runDocument(home, microsoft, settings, customers);
    const startedMs = performance.now();
    const collector = new Collector(bench.binary, home, document);
    await collector.untilEvents(wanted, WITHIN_MS);
    const seconds = (performance.now() - startedMs) / 1000;
    const memory = collector.memory();
    const stateBytes = collector.diskBytes();
    await collector.stop();
    return { seconds, memory, stateBytes };
  });
}

/** The binary with no customer at all, three seconds after its start. */
export async function memoryAtRest({ binary }: Bench): Promise<Memory> {
  return withHome(async (home) => {
    const collector = new Collector(
      binary,
      home,
      `<input><server_host>bench</server_host><server_uri>https://127.0.0.1:8089</server_uri><checkpoint_dir>${home}</checkpoint_dir><configuration/></input>`,
    );
    await pause(3000);
    const memory = collector.memory();
    await collector.stop();
    return memory;
  });
}

/** Gives `use` a folder of its own, and deletes it afterwards. */
export async function withHome<T>(use: (home: string) => Promise<T>): Promise<T> {
  const home = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  try {
    return await use(home);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

export async function withMicrosoft<T>(
  scenario: string | Scenario,
  use: (microsoft: RunningMicrosoft, home: string) => Promise<T>,
): Promise<T> {
  return withHome(async (home) => {
    const { microsoft, simulator } = await startMicrosoft(scenario, home);
    try {
      return await use(microsoft, home);
    } finally {
      await simulator.stop();
    }
  });
}

/** Runs each in turn, `runs` times over, so that a slow minute of the machine slows both. */
export async function interleaved(
  runs: number,
  [one, other]: readonly [() => Promise<number>, () => Promise<number>],
): Promise<[number[], number[]]> {
  const [ones, others]: [number[], number[]] = [[], []];
  for (let run = 0; run < runs; run += 1) {
    ones.push(await one());
    others.push(await other());
  }
  return [ones, others];
}

export function wallMs(program: string, args: readonly string[]): number {
  const startedMs = performance.now();
  spawnSync(program, args, { stdio: "ignore" });
  return performance.now() - startedMs;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

export function round(value: number): number {
  return value >= 100 ? Math.round(value) : Math.round(value * 100) / 100;
}
