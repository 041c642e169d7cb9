import { globSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";

const ROOT = path.resolve(import.meta.dirname, "../..");
const PICTURES = globSync("docs/**/*.png", { cwd: ROOT }).map((file) => file.replaceAll("\\", "/"));

/** Every picture that a page of the documentation shows: its file, its text, and the page. */
const SHOWN = ["README.md", ...globSync("docs/**/*.md", { cwd: ROOT })].flatMap((page) =>
  [...readFileSync(path.join(ROOT, page), "utf8").matchAll(/!\[([^\]]*)\]\(([^)]+\.png)\)/g)].map(
    ([, text = "", file = ""]) => ({ page, text, file: path.posix.join(path.posix.dirname(page), file) }),
  ),
);

test("every picture of the documentation is small, and all of them are", () => {
  const bytes = PICTURES.map((file) => [file, statSync(path.join(ROOT, file)).size] as const);

  expect(PICTURES.length).toBeGreaterThanOrEqual(12);
  expect(bytes.filter(([, size]) => size > 150_000)).toEqual([]);
  expect(bytes.reduce((sum, [, size]) => sum + size, 0)).toBeLessThan(3_000_000);
});

test("every picture is shown with a text for those who do not see it, none is missing, and six are in README", () => {
  expect([...new Set(SHOWN.map(({ file }) => file))].toSorted()).toEqual(PICTURES.toSorted());
  expect(SHOWN.filter(({ text }) => text.trim() === "")).toEqual([]);
  expect(SHOWN.filter(({ page }) => page === "README.md")).toHaveLength(6);
});
