/**
 * test/contracts/cases.json lists inputs on which other collectors, or releases before this one, failed. Each
 * has tests; a test that is removed or renamed is missed here.
 */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "@jest/globals";

const ROOT = resolve(import.meta.dirname, "../..");

interface Case {
  readonly case: number;
  readonly input: string;
  readonly tests: readonly { readonly file: string; readonly title: string }[];
}

const CASES = JSON.parse(readFileSync(resolve(ROOT, "test/contracts/cases.json"), "utf8")) as readonly Case[];

/** Does the file hold a test of this title, or a row of this name that a test is made of? */
function holds(file: string, title: string): boolean {
  if (!existsSync(resolve(ROOT, file))) return false;
  const quoted = title.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const asTest = String.raw`(?:\btest\(|\)\()\s*"${quoted}",`;
  const asRow = String.raw`"?\bname"?: "${quoted}",`;
  return new RegExp(`${asTest}|${asRow}`).test(readFileSync(resolve(ROOT, file), "utf8"));
}

test("there are 20 cases, each with a test", () => {
  expect(CASES.map((one) => one.case)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
  expect(CASES.filter(({ tests }) => tests.length === 0)).toEqual([]);
});

test.each(CASES)("the tests of case $case are where the list says: $input", ({ tests }) => {
  expect(tests.filter(({ file, title }) => !holds(file, title))).toEqual([]);
});

test("a title that no test has, and one that only a comment has, are missed", () => {
  const own = "test/repo/cases.test.ts";
  expect(holds(own, "there are 20 cases, each with a test")).toBe(true);
  expect(holds(own, "there are 20 cases")).toBe(false);
  expect(holds(own, "Does the file hold a test of this title, or a row of this name that a test is made of?")).toBe(
    false,
  );
  expect(holds("test/repo/gone.test.ts", "there are 20 cases, each with a test")).toBe(false);
});
