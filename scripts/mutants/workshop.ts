import { spawn } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { judge, type Mutation, mutated, type TestRun, type Verdict } from "./mutation.ts";

/** What a copy of the repository needs so that its tests run. The original is never touched. */
const COPIED = [
  "src",
  "test",
  "scripts",
  "splunk-app",
  "arcsight",
  "docs",
  "package.json",
  "jest.config.mjs",
  "tsconfig.json",
];

interface JestReport {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly title: string;
      readonly status: string;
    }[];
  }[];
}

/** Tries every mutation in a copy of `root`. `report` is called with each verdict as soon as it is known. */
export async function tryMutations(
  root: string,
  mutations: readonly Mutation[],
  report: (mutation: Mutation, verdict: Verdict) => void,
): Promise<readonly Verdict[]> {
  const copy = mkdtempSync(join(tmpdir(), "mutants-"));
  try {
    for (const name of COPIED)
      if (existsSync(join(root, name))) cpSync(join(root, name), join(copy, name), { recursive: true });
    for (const name of ["node_modules", "dist"])
      if (existsSync(join(root, name))) symlinkSync(join(root, name), join(copy, name));
    const unchanged = new Map<string, TestRun>();
    const verdicts: Verdict[] = [];
    for (const mutation of mutations) {
      let before = unchanged.get(mutation.testFile);
      if (!before) {
        before = existsSync(join(copy, mutation.testFile))
          ? await runTests(copy, mutation.testFile, undefined)
          : { ran: [], broken: "there is no such file" };
        unchanged.set(mutation.testFile, before);
      }
      const verdict = await tryOne(root, copy, mutation, before);
      report(mutation, verdict);
      verdicts.push(verdict);
    }
    return verdicts;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

async function tryOne(root: string, copy: string, mutation: Mutation, before: TestRun): Promise<Verdict> {
  const original = join(root, mutation.file);
  if (!existsSync(original)) return { is: "unusable", why: `there is no ${mutation.file}` };
  const target = join(copy, mutation.file);
  const change = mutated(readFileSync(target, "utf8"), mutation);
  if ("refused" in change) return { is: "unusable", why: change.refused };
  const verdict = judge(mutation, before, { ran: [], broken: undefined });
  if (verdict.is === "unusable") return verdict;
  try {
    writeFileSync(target, change.source);
    return judge(mutation, before, await runTests(copy, mutation.testFile, mutation.test));
  } finally {
    copyFileSync(original, target);
  }
}

/** @param only the beginning of the wanted test's name; everything in the file when undefined */
async function runTests(copy: string, testFile: string, only: string | undefined): Promise<TestRun> {
  const report = join(copy, "tmp", "mutants.json");
  mkdirSync(dirname(report), { recursive: true });
  rmSync(report, { force: true });
  const args = [
    "--experimental-vm-modules",
    "--disable-warning=ExperimentalWarning",
    "node_modules/jest/bin/jest.js",
    "--json",
    "--reporters=default",
    `--outputFile=${report}`,
  ];
  args.push("--runInBand", `--cacheDirectory=${join(copy, "tmp", "jest")}`, "--runTestsByPath", testFile);
  if (only !== undefined) args.push("-t", only.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  // A mutation may make a test wait for ever; the limit is far above what any test file takes.
  const child = spawn(process.execPath, args, {
    cwd: copy,
    stdio: ["ignore", "ignore", "pipe"],
    timeout: 120_000,
    killSignal: "SIGKILL",
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-2_000)));
  const signal = await new Promise<NodeJS.Signals | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (_code, by) => resolve(by));
  });
  // A test that never ends counts as failed.
  if (signal !== null)
    return only === undefined
      ? { ran: [], broken: "it does not end" }
      : { ran: [{ name: only, title: only, passed: false }], broken: undefined };
  if (!existsSync(report)) return { ran: [], broken: said.trim().split("\n").at(-1) ?? "jest says nothing" };
  const { testResults } = JSON.parse(readFileSync(report, "utf8")) as JestReport;
  const ran = testResults
    .flatMap((file) => file.assertionResults)
    .filter((test) => test.status === "passed" || test.status === "failed")
    .map((test) => ({ name: test.fullName, title: test.title, passed: test.status === "passed" }));
  const empty = testResults.find((file) => file.assertionResults.length === 0 && file.message !== "");
  return { ran, broken: empty?.message.trim().split("\n").slice(0, 6).join(" | ") };
}
