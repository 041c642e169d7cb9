/**
 * `npm run proofs`: the full counts of everything that CI only samples. Takes some hours. What was
 * counted goes to docs/proofs.json, with the commit that was judged.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import type { Proof } from "../test/harness/proof.ts";
import { ROOT, runScript, ScriptProblem } from "./build/project.ts";

const HELP = `npm run proofs [-- --list] [-- --only TEXT]

Runs, one after another, what CI only samples: every mutation, half an hour of changed answers, half an hour of random
worlds, a crash at every step of the program, ten minutes of chaos, the kills of HEC and Kafka, an hour without each of
them, and the storm over a fleet. Goes on after a failure and names all at the end (exit 1). What a proof has counted is
written to docs/proofs.json, if nothing is uncommitted.

  --list        only show the commands
  --only TEXT   those whose command or promise holds TEXT
`;

/** Each is an npm script with its arguments and what it proves. */
const PROOFS: readonly {
  readonly script: string;
  readonly args: readonly string[];
  readonly promise: string;
  readonly env?: Readonly<Record<string, string>>;
}[] = [
  { script: "mutants", args: [], promise: "every entry of test/contracts/mutations.json makes its test fail" },
  {
    script: "fuzz",
    args: ["--minutes", "30"],
    promise: "the member scanner and JSON.parse agree on changed answers",
  },
  {
    script: "fuzz",
    args: ["--worlds", "--minutes", "30"],
    promise: "the engine loses and doubles nothing in random worlds",
  },
  { script: "jest", args: ["test/crash"], promise: "a crash at every step loses nothing and repeats only replays" },
  {
    script: "jest",
    args: ["test/scenarios/partner-consent"],
    promise: "200 customers; killed at every request, partner consent leaves nothing behind",
  },
  {
    script: "bench",
    args: ["chaos", "--minutes", "10", "--runs", "1"],
    promise: "ten minutes of kills and clock steps lose nothing",
  },
  {
    script: "jest",
    args: ["test/scenarios/hec.test.ts"],
    promise: "about 1,000 kills lose no event on its way to HEC",
    env: { HEC_ROUNDS: "34" },
  },
  {
    script: "jest",
    args: ["test/scenarios/hec-outage"],
    promise: "an hour in which HEC takes nothing takes no memory and loses nothing",
    env: { HEC_OUTAGE_MINUTES: "60" },
  },
  {
    script: "jest",
    args: ["test/scenarios/hec-judges"],
    promise: "a client of others passes the fake HEC, and a log store reads back 100,000 keys",
  },
  {
    script: "jest",
    args: ["test/scenarios/kafka.test.ts"],
    promise: "after 200 kills and 50 stops Kafka holds each event once",
    env: { KAFKA_KILLS: "200", KAFKA_STOPS: "50", DEFENDER_MSSP_REAL_PARTS: "1" },
  },
  {
    script: "jest",
    args: ["test/scenarios/kafka-torn"],
    promise: "20 late EndTxn tear no transaction of this program",
    env: { KAFKA_TORN: "20", DEFENDER_MSSP_REAL_PARTS: "1" },
  },
  {
    script: "jest",
    args: ["test/scenarios/kafka-leaders"],
    promise: "three brokers hold each event once after their leader was killed four times",
    env: { KAFKA_LEADERS: "4", DEFENDER_MSSP_REAL_PARTS: "1" },
  },
  {
    script: "jest",
    args: ["test/scenarios/kafka-outage"],
    promise: "an hour in which Kafka commits nothing takes no memory, and each event is committed once",
    env: { KAFKA_OUTAGE_MINUTES: "60", DEFENDER_MSSP_REAL_PARTS: "1" },
  },
  {
    script: "jest",
    args: ["test/scenarios/fleet.test", "--runInBand", "-t", "deliver to files"],
    promise: "kills, pauses, cut networks and crashes of the database: a fleet commits each version once",
    env: { FLEET_ROUNDS: "10", DEFENDER_MSSP_REAL_PARTS: "1" },
  },
  {
    script: "jest",
    args: ["test/scenarios/fleet.test", "--runInBand", "-t", "deliver to hec"],
    promise: "the same with HEC, which restarts too: a fleet loses nothing, and HEC has copies with equal keys only",
    env: { FLEET_ROUNDS: "10", DEFENDER_MSSP_REAL_PARTS: "1" },
  },
  {
    script: "jest",
    args: ["test/scenarios/fleet-kafka"],
    promise: "two members of a fleet are suspended and killed, and Kafka commits each version once",
    env: { FLEET_KAFKA_ROUNDS: "10", DEFENDER_MSSP_REAL_PARTS: "1" },
  },
  {
    script: "jest",
    args: ["test/contracts/fleet-move"],
    promise: "a move into a fleet and back is killed at every statement, and nothing is lost or collected twice",
    env: { FLEET_MOVE_EVERY: "1", DEFENDER_MSSP_REAL_PARTS: "1" },
  },
];

const FILE = join(ROOT, "docs/proofs.json");

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { help: { type: "boolean" }, list: { type: "boolean" }, only: { type: "string", default: "" } },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "proofs-"));
  const counted = join(folder, "counted.ndjson");
  const failed: string[] = [];
  try {
    for (const { script, args, promise, env } of PROOFS) {
      const command = `npm run ${script}${args.length > 0 ? ` -- ${args.join(" ")}` : ""}`;
      if (!`${command}: ${promise}`.includes(values.only)) continue;
      process.stderr.write(`${command}: ${promise}\n`);
      if (values.list === true) continue;
      const startedMs = performance.now();
      const { status } = spawnSync("npm", ["run", "--silent", script, "--", ...args], {
        cwd: ROOT,
        stdio: ["ignore", "inherit", "inherit"],
        shell: process.platform === "win32",
        env: { ...process.env, ...env, DEFENDER_MSSP_CRASHES: "all", DEFENDER_MSSP_PROOFS: counted },
      });
      const minutes = ((performance.now() - startedMs) / 60_000).toFixed(1);
      process.stderr.write(`${status === 0 ? "ok    " : "FAILED"} ${minutes.padStart(6)} min  ${command}\n`);
      if (status !== 0) failed.push(command);
      else note(counted);
      rmSync(counted, { force: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (failed.length > 0) throw new ScriptProblem(`Failed: ${failed.join(", ")}.`);
}

/** Takes what a proof has counted into docs/proofs.json, unless there are uncommitted changes. */
function note(counted: string): void {
  if (!existsSync(counted)) return;
  const proofs = readFileSync(counted, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Proof);
  const changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/proofs.json");
  if (changed !== "") {
    process.stderr.write(`not written to docs/proofs.json, because there are uncommitted changes:\n${changed}\n`);
    return;
  }
  const commit = git("rev-parse", "HEAD");
  const before = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, "utf8")) as Record<string, unknown>) : {};
  const all = new Map(Object.entries(before));
  for (const { name, seed, counts } of proofs) all.set(name, { commit, seed, counts });
  const sorted = [...all].sort(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(FILE, `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`);
}

function git(...args: readonly string[]): string {
  const { stdout, status } = spawnSync("git", args, { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) throw new ScriptProblem("git does not say what is committed.");
  return stdout.trim();
}

await runScript(main);
