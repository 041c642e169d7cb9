/**
 * `npm run check`: everything CI asks of a change, quickest first. Every lint runs even after one has failed;
 * the tests only run when all passed.
 */
import { spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";
import { ROOT, runScript, ScriptProblem } from "./build/project.ts";

const HELP = `npm run check [-- --lints-only]

Runs, quickest first: format, imports, lints, types, unused code, words; then builds the binary if it is stale and runs the tests.
`;

const LINTS = [
  ["lint:format", "formatted, imports sorted"],
  ["lint:imports", "every part imports what it may"],
  ["lint:types", "no mistake that oxlint finds"],
  ["typecheck", "the types agree"],
  ["lint:unused", "nothing unused"],
  ["lint:words", "plain words, lines and sentences of a readable length"],
] as const;

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    process.stdout.write(HELP);
    return;
  }
  const failed = LINTS.filter(([script, promise]) => !passes(script, promise)).map(([script]) => script);
  if (failed.length > 0)
    throw new ScriptProblem(
      `Failed: ${failed.join(", ")}. Each runs alone as "npm run <name>"; "npm run format" fixes the first.`,
    );
  if (args.includes("--lints-only")) return;
  if (!passes("test", "the tests pass"))
    throw new ScriptProblem('Failed: test. One file alone: "npm run jest -- path".');
}

function passes(script: string, promise: string): boolean {
  const startedMs = performance.now();
  const { status } = spawnSync("npm", ["run", "--silent", script], {
    cwd: ROOT,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  process.stderr.write(
    `${status === 0 ? "ok    " : "FAILED"} ${script.padEnd(13)} ${seconds.padStart(6)} s  ${promise}\n`,
  );
  return status === 0;
}

await runScript(main);
