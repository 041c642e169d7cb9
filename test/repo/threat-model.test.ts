import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { ROOT } from "../../scripts/build/project.ts";

/** docs/security/threat-model.md: each threat with the test that shows the defence. */
const page = readFileSync(join(ROOT, "docs/security/threat-model.md"), "utf8");
const threats = page.slice(page.indexOf("## Threats and the tests"), page.indexOf("## What does not hold"));
const rows = threats.split("\n").filter((line) => /^\| (?!Threat |---)/.test(line));
const named = rows.map((row): readonly [file: string, title: string] => {
  const [, file = row, title = ""] = /\| `([^`]+\.test\.ts)`: (.+) \|$/.exec(row) ?? [];
  return [file, title];
});

test("every threat of the model names a test", () => {
  expect(rows.length).toBeGreaterThan(25);
  expect(named.filter(([, title]) => title === "")).toEqual([]);
});

test.each(named)("the threat model names a test that exists: %s, %s", (file, title) => {
  expect(existsSync(join(ROOT, file)) && title !== "").toBe(true);
  // As it is written after `test(`, `describe(` or in a table of cases.
  expect(readFileSync(join(ROOT, file), "utf8")).toContain(`"${title}"`);
});
