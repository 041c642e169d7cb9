import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { posix, resolve } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { anchorsOf, deadLinks, deadPaths, linksOf, type Pages } from "./markdown-links.ts";

const ROOT = resolve(import.meta.dirname, "../..");

/**
 * What git tracks or would track. Fixtures are left out: their texts belong to others, or must not change.
 */
const FILES = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"], {
  cwd: ROOT,
  encoding: "utf8",
  maxBuffer: 64 * 1024 * 1024,
})
  .stdout.split("\n")
  .filter((path) => path !== "");
const PAGES: Pages = new Map(
  FILES.filter((path) => path.endsWith(".md") && !path.startsWith("test/fixtures/")).map((path) => [
    path,
    readFileSync(resolve(ROOT, path), "utf8"),
  ]),
);

test("every relative link of a Markdown page leads to a file or folder of the repository, and its anchor to a heading", () => {
  expect(PAGES.size).toBeGreaterThan(50);
  expect([...PAGES.values()].flatMap(linksOf).length).toBeGreaterThan(150);
  expect(deadLinks(PAGES, FILES)).toEqual([]);
});

test("every source path that a Markdown page names exists, so docs/architecture.md cannot name a step that is gone", () => {
  const found = (text: string) => deadPaths(new Map([["docs/a.md", text]]), ["src/main/main.ts"]);

  expect(deadPaths(PAGES, FILES)).toEqual([]);
  expect(found("`src/main/main.ts` in `src/main/`")).toEqual([]);
  expect(found("`src/main/gone.ts` in `src/gone/`")).toEqual(["docs/a.md: src/main/gone.ts", "docs/a.md: src/gone"]);
});

describe("an index page leads to every page of its folder", () => {
  test.each(["docs", "docs/splunk", "docs/arcsight", "docs/decisions"])(
    "%s/README.md names all pages beside it",
    (folder) => {
      const index = PAGES.get(`${folder}/README.md`) ?? "";
      const linked = new Set(linksOf(index).map((link) => posix.join(folder, link.split("#")[0] ?? "")));
      const pages = [...PAGES.keys()].filter(
        (path) =>
          path.startsWith(`${folder}/`) &&
          path !== `${folder}/README.md` &&
          /^[^/]+\.md$|^[^/]+\/README\.md$/.test(path.slice(folder.length + 1)),
      );

      expect(pages.length).toBeGreaterThan(5);
      expect(pages.filter((path) => !linked.has(path))).toEqual([]);
    },
  );
});

describe("a dead link is found", () => {
  const target = '# Title\n\n## Two words, and `code`\n\n## Two words, and `code`\n\n<a id="p1"></a>\n';
  const found = (page: string) =>
    deadLinks(
      new Map([
        ["docs/a.md", page],
        ["docs/b.md", target],
      ]),
      ["docs/a.md", "docs/b.md"],
    );

  test.each([
    ["to a file that does not exist", "[x](c.md)", "docs/a.md: c.md"],
    ["to a file above the repository", "[x](../../b.md)", "docs/a.md: ../../b.md"],
    ["to an anchor of another page", "[x](b.md#one-word)", "docs/a.md: b.md#one-word"],
    ["to an anchor of its own page", "# Here\n\n[x](#there)", "docs/a.md: #there"],
    ["to a heading that is only in a code block", "```\n# there\n```\n\n[x](#there)", "docs/a.md: #there"],
    ["in a table", "| a |\n|---|\n| [x](c.md) |", "docs/a.md: c.md"],
  ])("%s", (_, page, expected) => {
    expect(found(page)).toEqual([expected]);
  });

  test.each([
    ["a link to a page", "[x](b.md)"],
    ["a link to a folder", "[x](../docs)"],
    ["a link to a heading", "[x](b.md#two-words-and-code)"],
    ["a link to the second of two equal headings", "[x](b.md#two-words-and-code-1)"],
    ["a link to an id", "[x](b.md#p1)"],
    ["a link to another site", "[x](https://example.com/a.md#b)"],
    ["a link in a code block", "```\n[x](c.md)\n```"],
    ["a link in code", "`[x](c.md)`"],
  ])("%s is not reported", (_, page) => {
    expect(found(page)).toEqual([]);
  });

  test("headings in every script have an anchor", () => {
    expect([...anchorsOf("## Français\n## 日本語\n## 手順 1: 登録\n")]).toEqual(["français", "日本語", "手順-1-登録"]);
  });
});
