/**
 * `npm run mutants`: makes one small change of the source after another (test/contracts/mutations.json) and
 * expects the named test to fail each time. Works in a temporary copy. Exit 1 when a test missed its mutation
 * or an entry is not usable.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { noteProof } from "../test/harness/proof.ts";
import { ROOT, runScript, ScriptProblem } from "./build/project.ts";
import { type Mutation, readMutations, type Verdict } from "./mutants/mutation.ts";
import { tryMutations } from "./mutants/workshop.ts";

const HELP = `npm run mutants -- [--only TEXT] [--list]

Applies each change of test/contracts/mutations.json to a copy of the source and expects the test it names to fail.

  --only TEXT   entries whose promise, file or test holds TEXT
  --list        only show the entries
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: "string" }, list: { type: "boolean" }, help: { type: "boolean" } },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const file = join(ROOT, "test/contracts/mutations.json");
  const all = readMutations(readFileSync(file, "utf8"));
  const only = values.only?.toLowerCase();
  const chosen = all.filter(
    (one) => only === undefined || `${one.promise}\n${one.file}\n${one.test}`.toLowerCase().includes(only),
  );
  if (chosen.length === 0)
    throw new ScriptProblem(`No entry of test/contracts/mutations.json holds "${values.only}".`, 2);
  if (values.list === true) {
    for (const mutation of chosen)
      process.stdout.write(`${mutation.promise}\n    ${mutation.file} -> ${mutation.test}\n`);
    return;
  }
  const verdicts = await tryMutations(ROOT, chosen, report);
  const caught = verdicts.filter((verdict) => verdict.is === "caught").length;
  process.stdout.write(`\n${caught} of ${chosen.length} caught\n`);
  const isWhole = chosen.length === all.length;
  if (isWhole)
    noteProof({ name: "mutants", seed: null, counts: { mutations: all.length, caught, missed: all.length - caught } });
  if (caught < chosen.length)
    throw new ScriptProblem(
      "A missed mutation means that its test cannot fail for its reason: fix the test, not the list.",
    );
}

function report(mutation: Mutation, verdict: Verdict): void {
  process.stdout.write(`${verdict.is.padEnd(8)}  ${mutation.promise}\n`);
  if (verdict.is === "missed")
    process.stdout.write(
      `          ${mutation.testFile}: "${mutation.test}" passes although ${mutation.file} is changed\n`,
    );
  if (verdict.is === "unusable") process.stdout.write(`          ${verdict.why}\n`);
}

await runScript(main);
