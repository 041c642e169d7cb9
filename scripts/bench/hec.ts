import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type HecServer, startHec } from "../../test/harness/hec/server.ts";
import { ROOT, ScriptProblem } from "../build/project.ts";
import { type Arrived, Helper, peakOf, properties } from "./arcsight.ts";
import { cpuMsOf, EventCount, memoryOf } from "./collector.ts";
import type { RunningMicrosoft } from "./microsoft.ts";
import { type Bench, median, memoryAtRest, type Outcome, round, WITHIN_MS, withMicrosoft } from "./runs.ts";

const WANTED = 25 * 8000;
const LOAD = resolve(ROOT, "test/scenarios/load-25x8000.yaml");
const TARGET = 20_000;
const LOOK_EVERY_MS = 50;
const TOKEN = "0a1b2c3d-0000-4000-8000-000000000000";

/** Processor time for an alert, µs. What Microsoft and Splunk do elsewhere takes from the same cores here. */
interface CpuUs {
  readonly program: number;
  readonly simulator: number;
  /** This process: the fake HEC, and the looks at the spool. */
  readonly hec: number;
}

/** Row `hec`: from the start of `run` until HEC has indexed every alert and the spool knows of it. */
export async function alertsToHec(bench: Bench): Promise<Outcome[]> {
  const rest = await memoryAtRest(bench);
  return withMicrosoft(LOAD, async (microsoft) => {
    // The first reader makes the simulator prepare its pages.
    await toHec(bench, microsoft, "first");
    const seen: (Arrived & { readonly cpuUs: CpuUs })[] = [];
    for (let run = 0; run < bench.runs; run += 1) {
      await bench.rateTargets.beside("hec", microsoft);
      seen.push(await toHec(bench, microsoft, `run ${run + 1}`));
    }
    const cpuOf = (part: keyof CpuUs): number => round(median(seen.map(({ cpuUs }) => cpuUs[part])));
    const target = bench.rateTargets.of(TARGET);
    const rates = seen.map(({ seconds }) => WANTED / seconds);
    const rate = median(rates);
    const peak = median(seen.map(({ memory }) => memory.peakMb));
    const highest = peakOf(seen);
    return [
      {
        name: "hec",
        value: round(rate),
        unit: "alerts/s",
        target: `${target.said}, <= rest + 150 MB (rest ${round(rest.peakMb)} MB, peak ${round(peak)} MB); µs of processor time per alert: program ${cpuOf("program")}, simulator ${cpuOf("simulator")}, fake HEC ${cpuOf("hec")}`,
        holds: rate >= target.rate && peak <= rest.peakMb + 150,
        runs: rates.map(round),
        ...highest,
      },
    ];
  });
}

/** One fresh `run` into an indexer that acknowledges as Splunk Enterprise does. */
async function toHec(
  { binary, say }: Bench,
  microsoft: RunningMicrosoft,
  label: string,
): Promise<Arrived & { readonly cpuUs: CpuUs }> {
  const counted = new EventCount('"source":"defender_mssp:');
  const hec = await startHec({
    ack: "on",
    token: TOKEN,
    port: 0,
    unchecked: (piece) => counted.add(piece),
  });
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  const [startedMs, simulatorMs, before] = [performance.now(), cpuMsOf(microsoft.pid), process.cpuUsage()];
  const helper = new Helper(binary, [
    "run",
    "--config",
    properties(folder, microsoft, { "outputs[0]": outputTo(hec) }),
  ]);
  try {
    const endMs = startedMs + WITHIN_MS;
    while (counted.events < WANTED || isWaiting(folder)) {
      if (helper.ended || performance.now() > endMs)
        throw new ScriptProblem(`HEC has ${counted.events} of ${WANTED} alerts: ${helper.lastSaid}`);
      await pause(LOOK_EVERY_MS);
    }
    const seconds = (performance.now() - startedMs) / 1000;
    const memory = memoryOf(helper.pid);
    const own = process.cpuUsage(before);
    const cpuUs = {
      program: (helper.cpuMs() * 1000) / WANTED,
      simulator: ((cpuMsOf(microsoft.pid) - simulatorMs) * 1000) / WANTED,
      hec: (own.user + own.system) / WANTED,
    };
    if (counted.events !== WANTED) throw new ScriptProblem(`HEC has ${counted.events} alerts instead of ${WANTED}.`);
    say(
      `  ${label}: ${round(WANTED / seconds)} alerts/s, µs of processor time per alert: program ${round(cpuUs.program)}, simulator ${round(cpuUs.simulator)}, fake HEC ${round(cpuUs.hec)}; VmHWM ${round(memory.peakMb)} MB`,
    );
    return { seconds, memory, cpuUs };
  } finally {
    await helper.stop();
    await hec.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function outputTo({ ready }: HecServer): Readonly<Record<string, string>> {
  return { type: "hec", urls: ready.url, token: ready.token, ca_file: ready.ca_file, ack: "on" };
}

/** Something of the spool is not confirmed yet. */
function isWaiting(folder: string): boolean {
  const outputs = join(folder, "state/outputs");
  return (
    !existsSync(outputs) || readdirSync(outputs, { recursive: true }).some((name) => String(name).endsWith(".spool"))
  );
}
