import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { layoutFindings } from "../../scripts/words/layout-rules.ts";
import { KINDS, type Kind, readWords } from "../../scripts/words/word-list.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const LIST = resolve(ROOT, "scripts/words.json");

let tree: string;

beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), "words-"));
  git("init", "--quiet");
});

afterEach(() => rmSync(tree, { recursive: true, force: true }));

function git(...args: readonly string[]): void {
  const { status, stderr } = spawnSync("git", args, { cwd: tree, encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  writeFileSync(join(tree, path), text);
}

/** Runs the check over what was written. */
function check(list = LIST): {
  readonly status: number | null;
  readonly lines: readonly string[];
  readonly summary: string;
} {
  git("add", "--all");
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [resolve(ROOT, "scripts/words.ts"), "--root", tree, "--list", list],
    { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
  );
  return { status, lines: stdout.split("\n").filter((line) => line !== ""), summary: stderr };
}

/** A list without exceptions: in a small tree nothing needs them, and that alone is an error. */
function listOf(words: readonly object[]): string {
  const file = join(tree, "list.json");
  writeFileSync(file, JSON.stringify({ words }));
  return file;
}

const WORDS = readWords(LIST);
const rowOf = ({ word, instead, patterns, found, files }: (typeof WORDS)[number]): object => ({
  word,
  instead,
  files,
  found,
  flags: [...patterns.values()][0]?.flags.replace("g", ""),
  ...Object.fromEntries([...patterns].map(([kind, { source }]) => [kind, source])),
});

/** A file that holds a text as a name, a sentence or code. */
function fileWith(kind: Kind, text: string): string {
  if (kind === "names") return `export const found = { "${text}": 1 };\n`;
  return kind === "prose" ? `/** ${text} */\nexport {};\n` : `${text}\n`;
}

const CASES = WORDS.flatMap((word, row) =>
  KINDS.flatMap((kind) =>
    (["found", "fine"] as const).flatMap((what) =>
      (word[what][kind] ?? []).map((text, i) => ({
        what,
        word: word.word,
        text,
        file: `${word.files[0]?.replace("/**", "") ?? "src"}/${what}-${row}-${kind}-${i}.ts`,
        source: fileWith(kind, text),
      })),
    ),
  ),
);

describe("the list of words", () => {
  test("every pattern has an example of what it finds, and no pattern finds what its row calls fine", () => {
    for (const { file, source } of CASES) write(file, source);

    const { status, lines } = check(listOf(WORDS.map(rowOf)));
    const found = (file: string, word: string) =>
      lines.some((line) => line.startsWith(`${file}:`) && shows(line, word));

    expect(CASES.filter(({ what, file, word }) => what === "found" && !found(file, word))).toEqual([]);
    expect(CASES.filter(({ what, file, word }) => what === "fine" && found(file, word))).toEqual([]);
    expect(
      WORDS.flatMap(({ word, patterns, found: examples }) =>
        [...patterns.keys()].filter((kind) => (examples[kind] ?? []).length === 0).map((kind) => `${word}: ${kind}`),
      ),
    ).toEqual([]);
    expect(status).toBe(1);
  });

  test("every row says what to write instead, and every exception gives its reason", () => {
    expect(WORDS.filter(({ instead }) => instead.length < 3)).toEqual([]);
    expect(WORDS.flatMap(({ exceptions }) => exceptions).filter(({ reason }) => reason.length < 20)).toEqual([]);
    expect(new Set(WORDS.map(({ word }) => word)).size).toBe(WORDS.length);
  });
});

function shows(line: string, word: string): boolean {
  return line.includes(`(${word});`) || line.includes(`"${word}";`);
}

const ZEPPELIN = { word: "zeppelin", instead: "airship", names: "\\bzeppelin\\b", prose: "\\bzeppelin\\b", found: {} };

describe("the check of words", () => {
  test("a clean text passes with exit code 0 and prints nothing", () => {
    write("src/file.ts", "/** The delivery writes a page, then records it. */\nexport const deliveredCount = 1;\n");
    write("docs/page.md", "# Delivery\n\nThe page is written first.\nThen it is recorded.\n");

    expect(check(listOf([ZEPPELIN]))).toMatchObject({ status: 0, lines: [], summary: "" });
  });

  test.each([
    ["a comment", "src/a.ts", "export {};\n// so that the\n// zeppelin\n", "src/a.ts:3"],
    ["a name in camelCase", "src/a.ts", "export {};\nexport const lastZeppelinMs = 1;\n", "src/a.ts:2"],
    ["a private member", "src/a.ts", "export class A {\n  #zeppelin = 1;\n}\n", "src/a.ts:2"],
    ["a sentence in a string", "src/a.ts", 'export const say = "the zeppelin is late";\n', "src/a.ts:1"],
    ["a template of several lines", "src/a.ts", `export const say = \`one\ntwo \${1} the zeppelin\`;\n`, "src/a.ts:2"],
    ["an import", "src/a.ts", 'export * from "./zeppelin.ts";\n', "src/a.ts:1"],
    ["a Markdown sentence", "docs/a.md", "# Title\n\nThe zeppelin writes.\n", "docs/a.md:3"],
    ["code in Markdown", "README.md", "# Title\n\nSee `lastZeppelinMs` here.\n", "README.md:3"],
    ["a link in Markdown", "docs/a.md", "# Title\n\nSee [the file](../src/zeppelin.ts).\n", "docs/a.md:3"],
    ["a JSON value", "test/a.json", '{\n  "say": "the zeppelin writes"\n}\n', "test/a.json:2"],
    ["a settings file", "splunk-app/default/a.conf", "[a]\n# the zeppelin\n", "splunk-app/default/a.conf:2"],
    ["a file's name", "src/zeppelin-parts.ts", "export {};\n", "src/zeppelin-parts.ts: the file's name"],
  ])("a word is found in %s, with its line", (_place, file, text, at) => {
    write(file, text);

    const { status, lines } = check(listOf([ZEPPELIN]));

    expect(lines).toEqual([expect.stringContaining(`${at}: `)]);
    expect(lines[0]).toContain("write: airship");
    expect(status).toBe(1);
  });

  test("fixtures, golden files and files that git does not track are not checked", () => {
    write("test/fixtures/a.md", "the zeppelin\n");
    write("test/golden/a.json", '"the zeppelin"\n');
    write(".gitignore", "src/untracked.ts\n");
    write("src/untracked.ts", "// the zeppelin\n");

    expect(check(listOf([ZEPPELIN]))).toMatchObject({ status: 0, lines: [] });
  });

  test("an exception allows its phrase in its files only", () => {
    const exceptions = [{ files: "docs/**", phrase: "zeppelin font", reason: "the name of a typeface" }];
    write("docs/a.md", "# Title\n\nSet in zeppelin font.\n\nThe zeppelin is late.\n");
    write("src/a.ts", "// zeppelin font\nexport {};\n");

    const { lines } = check(listOf([{ ...ZEPPELIN, exceptions }]));

    expect(lines).toEqual([expect.stringContaining("docs/a.md:5: "), expect.stringContaining("src/a.ts:1: ")]);
  });

  test("an exception that is not needed is an error, so that the list shrinks", () => {
    const exceptions = [{ files: "docs/**", phrase: "zeppelin font", reason: "the name of a typeface" }];
    write("docs/a.md", "# Title\n\nNothing here.\n");

    const { status, lines } = check(listOf([{ ...ZEPPELIN, exceptions }]));

    expect(lines).toEqual([expect.stringContaining('"zeppelin" has an exception that nothing needs')]);
    expect(status).toBe(1);
  });
});

test("a row whose folder has no file is an error, so that a move cannot switch the row off", () => {
  write("src/new/a.ts", "export {};\n");

  const { status, lines } = check(listOf([{ ...ZEPPELIN, files: ["src/old/**", "src/new/**"] }]));

  expect(lines).toEqual([expect.stringContaining('"zeppelin" is looked for in src/old/**, where no file is')]);
  expect(status).toBe(1);
});

describe("by the layout rules", () => {
  const words = (count: number) => Array.from({ length: count }, () => "word").join(" ");

  test.each([
    ["a comment of 111 characters", "a.ts", `// ${words(21)} abc\n`, "long comment line"],
    ["a line inside a block comment of 111 characters", "a.ts", `/*\n * ${words(21)} abc\n */\n`, "long comment line"],
    ["code of 121 characters", "a.ts", `export const sum = ${"1 + ".repeat(25)}12;\n`, "long code line"],
    ["two sentences on a line of Markdown", "a.md", "One is here. Another one follows.\n", "second sentence"],
    ["a sentence over two lines of Markdown", "a.md", "This one goes\nover two lines.\n", "broken sentence"],
    ["a sentence of 26 words", "a.md", `${words(26)}.\n`, "long sentence"],
  ])("%s is refused", (_title, file, text, word) => {
    expect(layoutFindings(file, text).map((finding) => finding.word)).toEqual([word]);
  });

  test.each([
    ["a comment of 110 characters", "a.ts", `// ${words(21)} ab\n`],
    ["a long address in a comment", "a.ts", `// https://example.test/${"a".repeat(100)}\n`],
    ["a string that cannot be broken", "a.ts", `export const say = "${words(30)}";\n`],
    ["a template that cannot be broken", "a.ts", `export const say = \`${words(10)} \${say} ${words(20)}\`;\n`],
    ["an expression that cannot be broken", "a.ts", `export const shape = /${"word".repeat(30)}/;\n`],
    ["a table in Markdown", "a.md", "| One is here. Another one follows. | b |\n|---|---|\n"],
    ["code in Markdown", "a.md", "```sh\nrun this. Then that\n```\n"],
    ["an abbreviation", "a.md", "Some words, e.g. Splunk, and approx. Ten.\n"],
    ["sentences of a list, one each", "a.md", "* One is here.\n* Another one follows.\n"],
    ["lines that end a sentence each", "a.md", "One is here.\nAnother one follows.\n"],
    ["a sentence of 25 words", "a.md", `${words(25)}.\n`],
  ])("%s passes", (_title, file, text) => {
    expect(layoutFindings(file, text)).toEqual([]);
  });
});
