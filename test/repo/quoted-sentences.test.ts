import { globSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "@jest/globals";

const ROOT = resolve(import.meta.dirname, "../..");

/** The program's sources without comments: every sentence that it can write. */
const SOURCES = globSync("src/**/*.ts", { cwd: ROOT })
  .filter((path) => !path.endsWith(".test.ts"))
  .map((path) => readFileSync(resolve(ROOT, path), "utf8"))
  .map((text) => text.replaceAll(/^\s*(?:\/\*\*|\*|\/\/).*$/gm, "").replaceAll("\\\\", "\\"))
  .join("\n");

/**
 * Parts of the program's sentences in a page's tables: code of at least three words. "…", ": " and words that
 * begin with "$" separate parts, because the program fills in something there.
 */
function quotesOf(page: string): string[] {
  return page
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .flatMap((line) => [...line.matchAll(/`([^`]+)`/g)].map(([, quote = ""]) => quote))
    .filter((quote) => !/^(?:defender|doctor|chmod|chown|token|credential|run|[a-z_]+ =)|[=<>[]/.test(quote))
    .flatMap((quote) => quote.split(/…|: |\$\S+/))
    .map((part) => part.replace(/^\S*:\/\/\s*/, "").trim())
    .filter((part) => part.split(" ").length >= 3);
}

test.each(["docs/arcsight/troubleshooting.md", "docs/splunk/troubleshooting.md"])(
  "every sentence that %s quotes is one that the program writes, so that a search for it finds the row",
  (path) => {
    const quotes = quotesOf(readFileSync(resolve(ROOT, path), "utf8"));

    expect(quotes.length).toBeGreaterThan(3);
    expect(quotes.filter((quote) => !SOURCES.includes(quote))).toEqual([]);
  },
);
