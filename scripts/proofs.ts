/** `npm run proofs`: the full counts of everything that CI only samples. Takes about an hour and a half. */
import { spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";
import { ROOT, runScript, ScriptProblem } from "./build/project.ts";

const HELP = `npm run proofs [-- --list]

Runs, one after another, what CI only samples: every mutation, half an hour of changed answers, half an hour of random
worlds, a crash at every step of the program, and ten minutes of chaos. Goes on after a failure and names all at the end (exit 1).

  --list   only show the commands
`;

/** Each is an npm script with its arguments and what it proves. */
const PROOFS: readonly (readonly [script: string, args: readonly string[], promise: string])[] = [
  ["mutants", [], "every entry of test/contracts/mutations.json makes its test fail"],
  ["fuzz", ["--minutes", "30"], "the member scanner and JSON.parse agree on changed answers"],
  ["fuzz", ["--worlds", "--minutes", "30"], "the engine loses and doubles nothing in random worlds"],
  ["jest", ["test/crash"], "a crash at every step loses nothing and repeats only replays"],
  ["bench", ["chaos", "--minutes", "10", "--runs", "1"], "ten minutes of kills and clock steps lose nothing"],
];

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    process.stdout.write(HELP);
    return;
  }
  const failed: string[] = [];
  for (const [script, rest, promise] of PROOFS) {
    const command = `npm run ${script}${rest.length > 0 ? ` -- ${rest.join(" ")}` : ""}`;
    process.stderr.write(`${command}: ${promise}\n`);
    if (args.includes("--list")) continue;
    const startedMs = performance.now();
    const { status } = spawnSync("npm", ["run", "--silent", script, "--", ...rest], {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
      shell: process.platform === "win32",
      env: { ...process.env, DEFENDER_MSSP_CRASHES: "all" },
    });
    const minutes = ((performance.now() - startedMs) / 60_000).toFixed(1);
    process.stderr.write(`${status === 0 ? "ok    " : "FAILED"} ${minutes.padStart(6)} min  ${command}\n`);
    if (status !== 0) failed.push(command);
  }
  if (failed.length > 0) throw new ScriptProblem(`Failed: ${failed.join(", ")}.`);
}

await runScript(main);
