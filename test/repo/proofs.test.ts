/**
 * What a page claims of kills and other counts is what `npm run proofs` has counted: the sentence links to
 * its entry of docs/proofs.json, and every number in it stands there.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "@jest/globals";

const ROOT = resolve(import.meta.dirname, "../..");
const FILE = resolve(ROOT, "docs/proofs.json");
/** Its rows name their own commits. */
const OWN_COMMITS: ReadonlySet<string> = new Set(["docs/benchmarks.md"]);

interface Entry {
  readonly commit: string;
  readonly seed: number | null;
  readonly counts: Readonly<Record<string, number>>;
}
type Proofs = Readonly<Record<string, Entry>>;

const LINK = /\[`([^`]+)`\]\([^)]*proofs\.json\)/g;
/** What only a count can know. */
const CLAIM = /\b\d[\d,]* (?:random )?(?:kills|stops|crashes|killed|rounds)\b|\b(?:killed|stopped) \d[\d,]* times\b/;

/** What is wrong with the claims of a page. */
function mistakesIn(page: string, text: string, proofs: Proofs): readonly string[] {
  return text.split("\n").flatMap((line, i) => {
    const names = [...line.matchAll(LINK)].map(([, name = ""]) => name);
    const where = `${page}:${i + 1}`;
    if (names.length === 0) return CLAIM.test(line) ? [`${where} claims a count without its entry`] : [];
    const missing = names.filter((name) => proofs[name] === undefined);
    const known = new Set(names.flatMap((name) => Object.values(proofs[name]?.counts ?? {})));
    const numbers = line
      .replaceAll(LINK, "")
      .replaceAll(/`[^`]*`/g, "")
      .match(/\d[\d,]*/g);
    const wrong = (numbers ?? []).filter((number) => !known.has(Number(number.replaceAll(",", ""))));
    return [
      ...missing.map((name) => `${where} names ${name}, which docs/proofs.json does not have`),
      ...wrong.map((number) => `${where} says ${number}, which was not counted`),
    ];
  });
}

describe("a claim", () => {
  const proofs = { "some-kills": { commit: "a".repeat(40), seed: 1, counts: { kills: 200, lost: 0 } } };
  const mistakes = (text: string) => mistakesIn("page.md", text, proofs);

  test("with its entry and its numbers passes", () => {
    expect(mistakes("It was killed 200 times: 0 lost ([`some-kills`](proofs.json)).")).toEqual([]);
  });

  test("without an entry, with one that is missing, or with another number is refused", () => {
    expect(mistakes("text\nIt survived 1,000 kills.")).toEqual(["page.md:2 claims a count without its entry"]);
    expect(mistakes("0 lost ([`other`](../proofs.json)).")).toEqual([
      "page.md:1 names other, which docs/proofs.json does not have",
      "page.md:1 says 0, which was not counted",
    ]);
    expect(mistakes("It was killed 250 times ([`some-kills`](proofs.json)).")).toEqual([
      "page.md:1 says 250, which was not counted",
    ]);
  });
});

test("every claim of the documentation is one that `npm run proofs` has counted", () => {
  const proofs = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, "utf8")) as Proofs) : {};
  const pages = ["README.md", ...globSync("docs/**/*.md", { cwd: ROOT })].filter((page) => !OWN_COMMITS.has(page));

  expect(pages.length).toBeGreaterThan(20);
  expect(pages.flatMap((page) => mistakesIn(page, readFileSync(resolve(ROOT, page), "utf8"), proofs))).toEqual([]);
  for (const { commit, counts } of Object.values(proofs)) {
    expect(commit).toMatch(/^[0-9a-f]{40}$/);
    expect(Object.values(counts).every(Number.isFinite)).toBe(true);
  }
});
