/**
 * `npm run bench`: the figures we promise, measured on this machine. Never part of a test: a figure also
 * depends on the machine's speed, so it does not say whether a change is good.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { plainLoopRate } from "./bench/catch-up.ts";
import { RateTargets } from "./bench/rate-target.ts";
import { MEASUREMENTS } from "./bench/rows.ts";
import { type Bench, type Outcome, withHome } from "./bench/runs.ts";
import { binaryPath, hostPlatform } from "./build/platforms.ts";
import { ROOT, RUNTIME, runScript, ScriptProblem } from "./build/project.ts";

const HELP = `npm run bench -- [NAME]... [--runs N] [--minutes N] [--json FILE]

Measures the built binary against the simulator on this machine, interleaved with what it is compared to, and prints each figure with its target.
On an otherwise idle machine of two cores; all rows take about an hour.

  NAME         ${MEASUREMENTS.flatMap(({ rows }) => rows).join(", ")}; default: all
  --runs N     runs of each (5)
  --minutes N  how long chaos lasts (10)
  --json FILE  writes [{"name","value","unit","target","holds"}]
  --help
`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: "string", default: "5" },
      minutes: { type: "string", default: "10" },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const platform = hostPlatform();
  if (platform === undefined || process.platform !== "linux")
    throw new ScriptProblem("Benchmarks read /proc and run the built binary, so they need Linux.");
  const known = MEASUREMENTS.flatMap(({ rows }) => rows);
  const unknown = positionals.filter((name) => !known.includes(name));
  const runs = Number(values.runs);
  const minutes = Number(values.minutes);
  if (unknown.length > 0 || !Number.isInteger(runs) || runs < 1 || !(minutes > 0))
    throw new ScriptProblem(
      `${unknown.join(", ") || `--runs ${values.runs} --minutes ${values.minutes}`}: names are ${known.join(", ")}; --runs is a whole number from 1, --minutes a number above 0.`,
      2,
    );
  if (
    spawnSync("npm", ["run", "--silent", "build:binaries"], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] })
      .status !== 0
  ) {
    throw new ScriptProblem("npm run build:binaries failed, so there is nothing to measure.");
  }
  const say = (text: string) => void process.stdout.write(`${text}\n`);
  say(
    `commit ${commit()}, Node ${RUNTIME}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown processor"}, ${Math.round(totalmem() / 1e9)} GB, ${runs} runs\n`,
  );
  const outcomes = await withHome((home) => {
    // A copy, as an installation has it. Of the file that was just built in one write the kernel maps 15 MB
    // more, and counts them.
    const binary = join(home, "defender-mssp");
    copyFileSync(resolve(ROOT, binaryPath(platform)), binary);
    return measureAll({ binary, runs, minutes, rateTargets: new RateTargets(plainLoopRate), say }, positionals);
  });
  if (values.json !== undefined) {
    const lines = outcomes.map(({ name, value, unit, target, holds }) => ({ name, value, unit, target, holds }));
    writeFileSync(resolve(values.json), `${JSON.stringify(lines, undefined, 2)}\n`);
  }
  const missed = outcomes.filter(({ holds }) => !holds).map(({ name }) => name);
  if (missed.length > 0) throw new ScriptProblem(`Missed: ${missed.join(", ")}.`);
}

/** @param wanted names of rows; all if empty. */
async function measureAll(bench: Bench, wanted: readonly string[]): Promise<readonly Outcome[]> {
  const { say } = bench;
  const outcomes: Outcome[] = [];
  for (const { rows, about, measure } of MEASUREMENTS) {
    if (wanted.length > 0 && !rows.some((name) => wanted.includes(name))) continue;
    say(`${rows.join(", ")}: ${about}`);
    for (const outcome of await measure(bench)) {
      outcomes.push(outcome);
      const { name, value, unit, target, holds, memory } = outcome;
      const used =
        memory === undefined
          ? ""
          : `; VmHWM ${Math.round(memory.peakMb)} MB, RssAnon ${Math.round(memory.anonymousMb)} MB`;
      say(
        `  ${holds ? "holds " : "MISSED"} ${name} = ${value} ${unit} (target ${target}; runs ${outcome.runs.join(", ")}${used})`,
      );
    }
  }
  return outcomes;
}

function commit(): string {
  const { stdout } = spawnSync("git", ["describe", "--always", "--dirty"], { cwd: ROOT, encoding: "utf8" });
  return stdout.trim() || "unknown";
}

await runScript(main);
