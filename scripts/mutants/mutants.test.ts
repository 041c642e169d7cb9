import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { ROOT } from "../build/project.ts";
import { type Mutation, readMutations } from "./mutation.ts";
import { tryMutations } from "./workshop.ts";

// Each verdict starts jest; this bounds a busy machine, nothing waits for it.
jest.setTimeout(300_000);

const root = mkdtempSync(join(tmpdir(), "mutants-test-"));
const put = (name: string, text: string): void => {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), text);
};
const SOURCE =
  "export const add = (a: number, b: number): number => a + b;\nexport const one = 1;\nexport const uno = 1;\n";

beforeAll(() => {
  for (const name of [
    "jest.config.mjs",
    "scripts/jest-scratch.mjs",
    "scripts/jest-scratch-end.mjs",
    "scripts/jest-counts.mjs",
  ])
    cpSync(join(ROOT, name), join(root, name));
  put("package.json", '{"type":"module"}');
  symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"));
  put("src/sum.ts", SOURCE);
  put(
    "src/sum.test.ts",
    `import { describe, expect, test } from "@jest/globals";
import { add } from "./sum.ts";
describe("sums", () => {
  test("two and two (4)", () => expect(add(2, 2)).toBe(4));
  test("zero is neutral", () => expect(add(0, 0)).toBe(0));
  test("broken as it is", () => expect(1).toBe(2));
});
`,
  );
});
afterAll(() => rmSync(root, { recursive: true }));

const mutation = (over: Partial<Mutation> = {}): Mutation => ({
  promise: "P0 sums",
  file: "src/sum.ts",
  replace: "a + b",
  with: "a - b",
  test: "two and two (4)",
  testFile: "src/sum.test.ts",
  ...over,
});

test("a mutation is caught, missed or found unusable, and the original source is never changed", async () => {
  const table: readonly [Partial<Mutation>, unknown][] = [
    [{}, { is: "caught" }],
    [{ test: "sums two and two" }, { is: "caught" }],
    [{ test: "zero is neutral" }, { is: "missed" }],
    [{ with: "a + b + 0" }, { is: "missed" }],
    [{ with: "a +" }, { is: "unusable", why: expect.stringContaining("the changed source does not run") }],
    [{ test: "broken as it is" }, { is: "unusable", why: "the test fails without the mutation too" }],
    [{ test: "nowhere" }, { is: "unusable", why: 'no test "nowhere" in src/sum.test.ts' }],
    [{ testFile: "src/none.test.ts" }, { is: "unusable", why: "src/none.test.ts does not run: there is no such file" }],
    [{ file: "src/none.ts" }, { is: "unusable", why: "there is no src/none.ts" }],
    [{ replace: " = 1;" }, { is: "unusable", why: "its text is in src/sum.ts more than once" }],
    [{ replace: "a * b" }, { is: "unusable", why: "its text is not in src/sum.ts" }],
  ];
  const reported: string[] = [];

  const verdicts = await tryMutations(
    root,
    table.map(([over]) => mutation(over)),
    (_mutation, verdict) => reported.push(verdict.is),
  );

  expect(verdicts).toEqual(table.map(([, verdict]) => verdict));
  expect(reported).toEqual(verdicts.map((verdict) => verdict.is));
  expect(readFileSync(join(root, "src/sum.ts"), "utf8")).toBe(SOURCE);
});

describe("the list of mutations", () => {
  test("is refused with every mistake in it named with its entry", () => {
    const bad = JSON.stringify([{ ...mutation(), with: "a + b", colour: "red" }, { promise: "P9" }]);

    expect(() => readMutations(bad)).toThrow(
      /entry 1 \(P0 sums\): "colour" is not known\nentry 1 \(P0 sums\): "replace" and "with" are the same\nentry 2 \(P9\): "file" must be a text/,
    );
  });

  test("can be applied to today's source with every entry of the repository", () => {
    const mutations = readMutations(readFileSync(join(ROOT, "test/contracts/mutations.json"), "utf8"));

    const counts = mutations.map((one) => [
      one.promise,
      readFileSync(join(ROOT, one.file), "utf8").split(one.replace).length - 1,
    ]);

    expect(counts.filter(([, count]) => count !== 1)).toEqual([]);
  });
});
