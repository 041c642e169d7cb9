/** Rows `catch-up…`: this program beside what one would write instead, all reading the same simulator. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ROOT, ScriptProblem } from "../build/project.ts";
import { EventCount, memoryOf } from "./collector.ts";
import type { Microsoft } from "./microsoft.ts";
import type { RateTarget } from "./rate-target.ts";
import { type Bench, catchUp, median, type Outcome, round, withMicrosoft } from "./runs.ts";

const WANTED = 25 * 8000;
const TARGET = 40_000;

/** One catch-up by one program. */
interface CaughtUp {
  readonly rate: number;
  /** Processor time of the whole process, user and system, s. */
  readonly cpuS: number;
  readonly peakMb: number;
}

/** A program that is measured beside this one. */
interface Contestant {
  /** Rows of `catch-up-<name>…`. */
  readonly name: "plain loop" | "Go" | "Python";
  readonly command: readonly string[];
}

const PLAIN_LOOP: Contestant = { name: "plain loop", command: [process.execPath, "scripts/bench/plain-loop.ts"] };

/** Alerts/s of one catch-up by the plain loop, from a simulator with the load of row `catch-up`. */
export async function plainLoopRate(microsoft: Microsoft): Promise<number> {
  return (await plainCatchUp(PLAIN_LOOP, microsoft)).rate;
}

/**
 * Rows `catch-up`, `catch-up-ratio`, `catch-up-cpu`, `catch-up-go` and `catch-up-python`. Programs that need
 * a tool which this machine lacks are left out, with a line that says so.
 */
export async function catchUpBesideOthers(bench: Bench): Promise<Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  try {
    const contestants = [PLAIN_LOOP, goLoop(folder, bench.say), pythonLoop(bench.say)].filter(
      (one) => one !== undefined,
    );
    return await withMicrosoft(resolve(ROOT, "test/scenarios/load-25x8000.yaml"), async (microsoft) => {
      // The first reader makes the simulator prepare its pages; afterwards all sides read what lies there.
      await ownCatchUp(bench, microsoft);
      const ours: CaughtUp[] = [];
      const theirs = new Map(contestants.map((one) => [one.name, [] as CaughtUp[]]));
      for (let run = 0; run < bench.runs; run += 1) {
        ours.push(await ownCatchUp(bench, microsoft));
        for (const one of contestants) theirs.get(one.name)!.push(await plainCatchUp(one, microsoft));
      }
      bench.say(`  this program: ${described(ours)}`);
      for (const [name, runs] of theirs) bench.say(`  ${name}: ${described(runs)}`);
      const plainRates = theirs.get("plain loop")!.map(({ rate }) => rate);
      bench.rateTargets.measured("catch-up", plainRates);
      return outcomes(ours, theirs, bench.rateTargets.of(TARGET));
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function outcomes(
  ours: readonly CaughtUp[],
  theirs: ReadonlyMap<Contestant["name"], readonly CaughtUp[]>,
  target: RateTarget,
): Outcome[] {
  const rate = median(ours.map((run) => run.rate));
  const peakMb = median(ours.map((run) => run.peakMb));
  const plain = theirs.get("plain loop")!;
  const rateRatios = ours.map((run, at) => run.rate / plain[at]!.rate);
  const cpuRatios = ours.map((run, at) => run.cpuS / plain[at]!.cpuS);
  return [
    {
      name: "catch-up",
      value: round(rate),
      unit: "alerts/s",
      target: `${target.said}, <= 200 MB (${round(peakMb)} MB)`,
      holds: rate >= target.rate && peakMb <= 200,
      runs: ours.map((run) => round(run.rate)),
    },
    {
      name: "catch-up-ratio",
      value: round(median(rateRatios)),
      unit: "times a plain loop's alerts/s",
      target: ">= 3",
      holds: median(rateRatios) >= 3,
      runs: rateRatios.map(round),
    },
    {
      name: "catch-up-cpu",
      value: round(median(cpuRatios)),
      unit: "times a plain loop's processor time",
      target: "<= 0.33",
      holds: median(cpuRatios) <= 0.33,
      runs: cpuRatios.map(round),
    },
    ...(["Go", "Python"] as const).flatMap((name) => {
      const other = theirs.get(name);
      return other === undefined ? [] : [besideOther(name, ours, other)];
    }),
  ];
}

function besideOther(name: "Go" | "Python", ours: readonly CaughtUp[], other: readonly CaughtUp[]): Outcome {
  const rates = ours.map((run, at) => run.rate / other[at]!.rate);
  const cpu = median(ours.map((run, at) => run.cpuS / other[at]!.cpuS));
  return {
    name: `catch-up-${name.toLowerCase()}`,
    value: round(median(rates)),
    unit: `times the alerts/s of the ${name} loop`,
    target: `>= 2, <= 0.45 times its processor time (${round(cpu)} times)`,
    holds: median(rates) >= 2 && cpu <= 0.45,
    runs: rates.map(round),
  };
}

function described(runs: readonly CaughtUp[]): string {
  const [rate, cpuS, peakMb] = (["rate", "cpuS", "peakMb"] as const).map((figure) =>
    median(runs.map((run) => run[figure])),
  ) as [number, number, number];
  const each = runs.map((run) => round(run.cpuS)).join(", ");
  return `${round(rate)} alerts/s, ${round(cpuS)} s of processor time (${each}), ${round(peakMb)} MB`;
}

async function ownCatchUp(bench: Bench, microsoft: Microsoft): Promise<CaughtUp> {
  const before = endedChildrenCpuS();
  const { seconds, memory } = await catchUp(bench, microsoft, { streams: "alerts", sweep_hours: 0 }, WANTED);
  return { rate: WANTED / seconds, cpuS: endedChildrenCpuS() - before, peakMb: memory.peakMb };
}

/** One catch-up by a program that writes the same events and ends. */
async function plainCatchUp({ name, command }: Contestant, microsoft: Microsoft): Promise<CaughtUp> {
  const start = new Date(Date.now() - 7 * 86_400_000).toISOString();
  const before = endedChildrenCpuS();
  const startedMs = performance.now();
  const [program, ...args] = command as [string, ...string[]];
  const loop = spawn(program, [...args, JSON.stringify(microsoft), start], {
    cwd: ROOT,
    env: { ...process.env, NODE_EXTRA_CA_CERTS: microsoft.ca_file },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const count = new EventCount();
  let peakMb = 0;
  loop.stdout.on("data", (chunk: Buffer) => count.add(chunk));
  // What the kernel remembers of a process is gone when it has ended.
  const watching = setInterval(() => {
    if (loop.pid !== undefined && loop.exitCode === null) peakMb = Math.max(peakMb, memoryOf(loop.pid).peakMb || 0);
  }, 100);
  const code = await new Promise<number | null>((done) => loop.once("close", done));
  clearInterval(watching);
  if (code !== 0 || count.events !== WANTED)
    throw new ScriptProblem(`${name} ended with exit code ${code} after ${count.events} of ${WANTED} alerts.`);
  const seconds = (performance.now() - startedMs) / 1000;
  return { rate: WANTED / seconds, cpuS: endedChildrenCpuS() - before, peakMb };
}

/**
 * Processor time of all children of this process that have ended, s. The simulator goes on, so the difference
 * over one run is the time of the program that ran.
 */
function endedChildrenCpuS(): number {
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  const ticksPerSecond = 100;
  return (Number(fields[13]) + Number(fields[14])) / ticksPerSecond;
}

function goLoop(folder: string, say: (text: string) => void): Contestant | undefined {
  if (spawnSync("go", ["version"]).status !== 0) {
    say("  no Go on this machine, so catch-up-go is left out");
    return undefined;
  }
  const program = join(folder, "plain-loop");
  const built = spawnSync("go", ["build", "-o", program, "scripts/bench/plain-loop.go"], {
    cwd: ROOT,
    // One file of the standard library: no module, and no other toolchain than the one that is here.
    env: { ...process.env, GO111MODULE: "off", GOTOOLCHAIN: "local" },
    encoding: "utf8",
  });
  if (built.status !== 0) throw new ScriptProblem(`go build scripts/bench/plain-loop.go: ${built.stderr}`);
  return { name: "Go", command: [program] };
}

function pythonLoop(say: (text: string) => void): Contestant | undefined {
  if (spawnSync("python3", ["-c", "import requests"]).status !== 0) {
    say("  no Python with requests on this machine, so catch-up-python is left out");
    return undefined;
  }
  return { name: "Python", command: ["python3", "scripts/bench/plain-loop.py"] };
}
