import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { runDocument } from "../../scripts/bench/collector.ts";
import { FAULTS, type Judgement } from "../harness/oracle/judge.ts";
import { consult } from "../harness/oracle/main.ts";
import { faketimeEnvironment, setWallClock } from "./faketime.ts";
import { type Microsoft, startMicrosoft } from "./microsoft.ts";
import { Run } from "./run.ts";
import type { Program } from "./stage.ts";

export interface ChaosOptions {
  readonly program: Program;
  /**
   * How long the faults, kills and clock steps last; on a slow machine, until there were enough of them. The
   * undisturbed run after them is not included.
   */
  readonly forMs: number;
  readonly seed: number;
  readonly report?: (sentence: string) => void;
}

export interface ChaosResult {
  readonly kills: number;
  readonly clockSteps: number;
  readonly faultsStruck: number;
  readonly totals: Judgement["totals"];
  readonly examples: Judgement["examples"];
  /** What contradicts the promise; empty when all is well. */
  readonly faults: readonly string[];
}

const KILL_MS = { from: 100, to: 3_000 };
const STEP_MS = { from: 4_000, to: 15_000 };
/** Together with the late rows below this stays within the overlap of 30 minutes. */
const MICROSOFT_STEP_MINUTES = 8;
const HOST_STEP_S = 3_600;
/** Slow reading leaves up to a few hundred kB in the pipe, which are lost when the program is killed. */
const READ_PAUSE_MS = 150;
const FAULT_SHARE = 0.05;
const LEAST_KILLS = 4;
/**
 * Polls of the undisturbed run before it is judged: the sixth looks back over the whole overlap, and the
 * client paces itself.
 */
const HEALTHY_POLLS = 12;
const HEALTHY_WITHIN_MS = 400_000;

/** Everything that can be wrong with an answer, each as likely as the others. */
const ANSWERS = [
  { status: 500 },
  { status: 503, retry_after_seconds: 1 },
  { status: 429, retry_after_seconds: 1 },
  { status: 429, retry_after_seconds: 1, retry_after_form: "date" },
  { status: 401 },
  { body: "truncated" },
  { body: "wrong-length" },
  { body: "broken-gzip" },
  { body: "html" },
  { body: "empty" },
  { body: "reset" },
  { delay_ms: 1_500 },
] as const;
const OF_LISTS = [
  { value: "missing" },
  { value: "null" },
  { value: "object" },
  { link: "elsewhere" },
  { link: "repeats" },
  { warning: '199 - "Microsoft/MCAS/504/10000"' },
] as const;

function scenarioOf(forMs: number, seed: number): object {
  const minutes = `${Math.ceil(forMs / 60_000)}m`;
  const generated = { from: "-2h", to: minutes, updates: 1, update_within: "90m", late: { share: 0.05, by: "1m..9m" } };
  const kind = (name: string, regime: object): object => ({
    name,
    access_token_seconds: 60,
    // The client's own pacing starts anew with each run, so it would exceed the service's budget.
    budgets: { graph: { per_minute: 1_000_000 } },
    page_max: 40,
    ...regime,
    generate: [
      { stream: "alerts", count: 200, ...generated, bytes: 1_500, ties: { groups: 2, size: 45 } },
      { stream: "incidents", count: 60, ...generated },
    ],
  });
  const rate = FAULT_SHARE / (ANSWERS.length + OF_LISTS.length);
  return {
    name: "chaos",
    story: "Three customers, every kind of fault, kills and clock steps.",
    seed,
    customers: [
      kind("contoso", {}),
      kind("fabrikam", { links: false, order: "newest-first" }),
      kind("tailspin", { order: "ignored", token: "count" }),
    ],
    faults: [
      ...ANSWERS.map((answer) => ({ on: ["alerts", "incidents", "token"], rate, answer })),
      ...OF_LISTS.map((answer) => ({ on: ["alerts", "incidents"], rate, answer })),
    ],
  };
}

/** Numbers from 0 to 1 that repeat with their seed. */
function seededRandom(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const between = ({ from, to }: { readonly from: number; readonly to: number }, random: () => number): number =>
  from + (to - from) * random();

/**
 * Runs the program under faults, kills and clock steps, then once undisturbed, and judges all that was
 * read of it. Where faketime is not installed only Microsoft's clock steps.
 */
export async function chaos(options: ChaosOptions): Promise<ChaosResult> {
  const folder = mkdtempSync(join(tmpdir(), "chaos-"));
  const microsoft = await startMicrosoft(scenarioOf(options.forMs, options.seed), { frozen: false });
  try {
    return await chaosIn(folder, microsoft, options);
  } finally {
    await microsoft.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function chaosIn(
  folder: string,
  microsoft: Microsoft,
  { program, forMs, seed, report }: ChaosOptions,
): Promise<ChaosResult> {
  const { control, ready } = microsoft.simulator;
  const random = seededRandom(seed);
  const home = join(folder, "home");
  const document = runDocument(home, ready, { poll_seconds: 1, streams: "alerts,incidents" });
  mkdirSync(join(home, "var/lib/splunk/modinputs/defender_mssp"), { recursive: true });
  const clock = join(folder, "clock");
  setWallClock(clock, 0);
  const environment = { SPLUNK_HOME: home, PATH: "/usr/bin:/bin", ...faketimeEnvironment(clock) };
  const outs: string[] = [];
  const faults: string[] = [];
  const startRun = (readPauseMs?: number): Run => {
    const out = join(folder, `${outs.length + 1}.xml`);
    outs.push(out);
    const [file, ...args] = program;
    return new Run({
      program: file,
      args,
      environment,
      document,
      out,
      ...(readPauseMs === undefined ? {} : { readPauseMs }),
    });
  };

  let kills = 0;
  let clockSteps = 0;
  let microsoftAheadMs = 0;
  const endMs = performance.now() + forMs;
  let stepAtMs = performance.now() + between(STEP_MS, random);
  const struck = () => control.world.faults.list().reduce((sum, fault) => sum + fault.struck, 0);
  for (let isLate = false; !isLate || kills < LEAST_KILLS || struck() === 0; isLate = performance.now() >= endMs) {
    const run = startRun(READ_PAUSE_MS);
    // On a slow machine a run would be killed before its first request, time and again.
    if (isLate) await asksMicrosoft(microsoft, run, 1);
    await pause(between(KILL_MS, random));
    if (performance.now() >= stepAtMs) {
      stepAtMs = performance.now() + between(STEP_MS, random);
      clockSteps += 1;
      const aheadMs = (random() * 2 - 1) * MICROSOFT_STEP_MINUTES * 60_000;
      control.clock.advance(aheadMs - microsoftAheadMs);
      microsoftAheadMs = aheadMs;
      setWallClock(clock, (random() * 2 - 1) * HOST_STEP_S);
      await pause(between(KILL_MS, random) / 3);
    }
    if (run.hasEnded) faults.push(`run ${outs.length} ended by itself: ${run.log.at(-1) ?? "it logged nothing"}`);
    run.kill();
    await run.ended;
    kills += 1;
    if (kills % 50 === 0) report?.(`${kills} kills, ${clockSteps} clock steps`);
  }

  const faultsStruck = struck();
  control.perform({ do: "clear-faults" });
  control.clock.advance(-microsoftAheadMs);
  setWallClock(clock, 0);
  // What has not appeared yet appears now; the undisturbed run finds it.
  control.clock.advance(100 * 60_000);
  const undisturbed = startRun();
  if (!(await polledOften(microsoft, undisturbed, ready.customers.length * 2)))
    faults.push(`the undisturbed run did not poll often enough: ${undisturbed.log.at(-1) ?? "it logged nothing"}`);
  const { code } = await undisturbed.stop();
  if (code !== 0) faults.push(`the undisturbed run ended with exit code ${code}: ${undisturbed.log.at(-1) ?? ""}`);

  const truth = join(folder, "shown.ndjson");
  writeFileSync(truth, control.shown());
  const { totals, examples } = await consult({ truth, delivered: outs, format: "splunk" });
  for (const count of FAULTS) if ((totals[count] ?? 0) > 0) faults.push(`${count}: ${totals[count]}`);
  return { kills, clockSteps, faultsStruck, totals, examples, faults };
}

/**
 * True once every stream said that it is well and the questions of `HEALTHY_POLLS` polls of each were asked
 * after that; false when the run ends or time is up before.
 */
async function polledOften(microsoft: Microsoft, run: Run, streams: number): Promise<boolean> {
  const well = (log: readonly string[]): boolean =>
    new Set(
      log
        .map((line) => / stream state changed tenant=(\S+) stream=(\S+) state=ok/.exec(line)?.slice(1).join(" "))
        .filter(Boolean),
    ).size >= streams;
  const late = pause(HEALTHY_WITHIN_MS, false, { ref: false });
  if (!(await Promise.race([run.until(well), late]))) return false;
  return Promise.race([asksMicrosoft(microsoft, run, streams * HEALTHY_POLLS), late]);
}

/** True after so many requests to an API; false when the run ends before. */
async function asksMicrosoft(microsoft: Microsoft, run: Run, requests: number): Promise<boolean> {
  let unwatch: () => void = () => undefined;
  const asked = new Promise<boolean>((resolve) => {
    unwatch = microsoft.watch({ requested: (n) => n >= requests && resolve(true) }, "api");
  });
  const result = await Promise.race([asked, run.ended.then(() => false)]);
  unwatch();
  return result;
}
