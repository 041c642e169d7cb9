/**
 * What a page claims of kills and other counts is what `npm run proofs` has counted: the sentence links to
 * its entry of docs/proofs.json, and every number in it stands there, under the name of what it counts.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "@jest/globals";

const ROOT = resolve(import.meta.dirname, "../..");
const FILE = resolve(ROOT, "docs/proofs.json");
/** Their rows name their own commits and seeds. */
const OWN_COMMITS: ReadonlySet<string> = new Set(["docs/benchmarks.md", "docs/security/fuzzing.md"]);

interface Entry {
  readonly commit: string;
  readonly seed: number | null;
  readonly counts: Readonly<Record<string, number>>;
}
type Proofs = Readonly<Record<string, Entry>>;

const LINK = /\[`([^`]+)`\]\([^)]*proofs\.json\)/g;
const NUMBER = /\b\d[\d,]*\b/g;
const MANY = String.raw`(?:\d[\d,]*|(?:a |many )?(?:hundred|thousand)s?(?: of)?|dozens of)`;
/** What only a count can know. */
const CLAIMS: readonly RegExp[] = [
  new RegExp(String.raw`\b${MANY} (?:\w+ )?(?:kills|stops|crashes|killed|rounds|worlds|mutations|mutants)\b`, "i"),
  new RegExp(String.raw`\b(?:killed|stopped|crashed|suspended|restarted) ${MANY} times\b`, "i"),
  new RegExp(String.raw`\b${MANY} (?:\w+ )?(?:lost|doubled|torn|out of order)\b`, "i"),
  new RegExp(String.raw`\b${MANY} (?:out )?of ${MANY}(?: \w+)? (?:keys|events|versions|rounds|kills|mutations)\b`, "i"),
  /\bhours? (?:without|in which) (?:HEC|Kafka)\b/i,
];
/** The title of a test: another test sees that it exists. */
const TITLE = /`[^`]+\.test\.ts`: [^|]*/g;
/** Where one of these was counted, the proof failed. */
const NONE = ["lost", "stale", "missed", "disagreements", "out_of_order"];

/** Each word of the count's name, also inflected, is in the part of the sentence that has the number. */
function isNamedIn(part: string, count: string): boolean {
  const words = part.toLowerCase().match(/[a-z]+/g) ?? [];
  return count.split("_").every((word) => words.some((one) => one.startsWith(word.replace(/s$/, ""))));
}

/** What is wrong with the claims of a page. */
function mistakesIn(page: string, text: string, proofs: Proofs): readonly string[] {
  return text.split("\n").flatMap((line, i) => {
    const names = [...line.matchAll(LINK)].map(([, name = ""]) => name);
    const where = `${page}:${i + 1}`;
    const said = line.replaceAll(LINK, "").replaceAll(TITLE, "").replaceAll(/[`*_]/g, "");
    if (names.length === 0)
      return CLAIMS.some((claim) => claim.test(said)) ? [`${where} claims a count without its entry`] : [];
    const missing = names.filter((name) => proofs[name] === undefined);
    const counts = names.flatMap((name) => Object.entries(proofs[name]?.counts ?? {}));
    const wrong = said
      .split(/[:;.]\s|,(?!\d)/)
      .flatMap((part) => (part.match(NUMBER) ?? []).map((number) => ({ part, number })))
      .filter(({ part, number }) => {
        const value = Number(number.replaceAll(",", ""));
        return !counts.some(([count, counted]) => counted === value && isNamedIn(part, count));
      });
    return [
      ...missing.map((name) => `${where} names ${name}, which docs/proofs.json does not have`),
      ...wrong.map(({ number }) => `${where} says ${number}, which was not counted`),
    ];
  });
}

/** Names of entries that `npm run proofs` can write. A part of a name may depend on the run. */
function namesNoted(): readonly RegExp[] {
  return globSync(["test/**/*.ts", "scripts/**/*.ts"], { cwd: ROOT })
    .flatMap((file) => [...readFileSync(resolve(ROOT, file), "utf8").matchAll(/noteProof\(\{\s*name: (["`])(.+?)\1/g)])
    .map(([, , name = ""]) => new RegExp(`^${name.replaceAll(/\$\{[^}]+\}/g, "[a-z0-9]+")}$`));
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

  test("whose number was counted of something else is refused", () => {
    expect(mistakes("It was stopped 200 times: 0 lost, 0 doubled ([`some-kills`](proofs.json)).")).toEqual([
      "page.md:1 says 200, which was not counted",
      "page.md:1 says 0, which was not counted",
    ]);
  });

  test.each([
    "Nothing was lost in a thousand kills.",
    "It was killed `1,000` times.",
    "**100,000** of 100,000 unique keys were read back.",
    "After 200 random crashes: 0 events lost.",
    "An hour without Kafka takes no memory.",
    "It catches 577 mutations, and went through 300 worlds.",
  ])("in other words is one, too: %s", (text) => {
    expect(mistakes(text)).toEqual(["page.md:1 claims a count without its entry"]);
  });

  test.each([
    "It kills a run, and is stopped normally.",
    "3 of 200 customers are ready.",
    "A spool of 1,024 MiB lasts for an hour.",
  ])("of nothing that is counted needs no entry: %s", (text) => {
    expect(mistakes(text)).toEqual([]);
  });
});

test("every claim of the documentation is one that `npm run proofs` has counted", () => {
  const proofs = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, "utf8")) as Proofs) : {};
  const pages = globSync(["*.md", "{docs,changes,arcsight,splunk-app}/**/*.md"], {
    cwd: ROOT,
    exclude: ["**/node_modules/**"],
  }).filter((page) => !OWN_COMMITS.has(page));

  expect(pages.length).toBeGreaterThan(20);
  expect(pages.flatMap((page) => mistakesIn(page, readFileSync(resolve(ROOT, page), "utf8"), proofs))).toEqual([]);
});

test("every entry was written by a test that still exists, at a commit, and proves what it should", () => {
  const proofs = JSON.parse(readFileSync(FILE, "utf8")) as Proofs;
  const noted = namesNoted();
  expect(noted.length).toBeGreaterThan(10);
  for (const [name, { commit, counts }] of Object.entries(proofs)) {
    expect([name, noted.some((one) => one.test(name))]).toEqual([name, true]);
    expect(commit).toMatch(/^[0-9a-f]{40}$/);
    expect(Object.values(counts).every(Number.isFinite)).toBe(true);
    expect([name, NONE.filter((count) => (counts[count] ?? 0) !== 0)]).toEqual([name, []]);
  }
});
