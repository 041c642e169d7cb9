/**
 * `npm run lint:words`: no text that a person reads here holds a word of scripts/words.json, no line is too
 * long, and Markdown has one sentence a line. To forbid a word, add a row to words.json with an example that
 * it finds. test/repo/words.test.ts then shows that it is found.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ROOT, runScript, ScriptProblem } from "./build/project.ts";
import { type Finding, WordSearch } from "./words/find-words.ts";
import { layoutFindings } from "./words/layout-rules.ts";
import { type Exception, readWords, type Word } from "./words/word-list.ts";

const HELP = `npm run lint:words [-- [--count] [--root DIR] [--list FILE] [PATH...]]

Looks through the files that git tracks for words this project does not use (scripts/words.json), for lines that are too long and for
Markdown lines with more than one sentence. Prints file:line, what stands there and what to write instead; exit code 1 when it found any.
With PATH only files whose path begins so are looked at, and exceptions that were not needed are not reported.

  --count      only how often each word was found
  --root DIR   another repository than this one
  --list FILE  another list than scripts/words.json
`;

/** What a person reads: files and folders from the repository's root. */
const READ = [
  "src",
  "test",
  "scripts",
  "docs",
  "splunk-app",
  "arcsight",
  "changes",
  ".ci",
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  ".dependency-cruiser.mjs",
];
/** Data and texts of others, and the list itself, which has to name the words. */
const LEFT_OUT =
  /^test\/fixtures\/|(?:^|\/)(?:golden|__snapshots__)\/|(?:^|\/)package-lock\.json$|^scripts\/words\.json$|\.(?:png|csv|java)$/;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      count: { type: "boolean" },
      root: { type: "string" },
      list: { type: "string" },
      help: { type: "boolean" },
    },
    allowPositionals: true,
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const root = resolve(values.root ?? ROOT);
  const search = new WordSearch(readWords(values.list ?? resolve(ROOT, "scripts/words.json")));
  const files = trackedFiles(root).filter(
    (file) => positionals.length === 0 || positionals.some((start) => file.startsWith(start)),
  );
  const findings = files.flatMap((file) => {
    const text = readFileSync(resolve(root, file), "utf8");
    return [...search.find(file, text), ...layoutFindings(file, text)];
  });
  const isWhole = positionals.length === 0;
  const stale = isWhole ? [...search.unused().map(unneeded), ...search.emptyScopes(files).map(nowhere)] : [];

  // A reader such as "head" may close the pipe before all is written.
  process.stdout.on("error", () => process.exit(1));
  process.stdout.write(values.count === true ? counts(findings) : findings.map(lineOf).join(""));
  process.stdout.write(stale.join(""));
  if (findings.length + stale.length > 0)
    throw new ScriptProblem(
      `${findings.length} findings in ${files.length} files, ${stale.length} rows of the list that need care.`,
    );
}

function trackedFiles(root: string): string[] {
  const { stdout, status, stderr } = spawnSync("git", ["ls-files", "-z", "--", ...READ], {
    cwd: root,
    encoding: "utf8",
  });
  if (status !== 0) throw new ScriptProblem(`git ls-files failed in ${root}: ${stderr.trim()}`);
  return stdout.split("\0").filter((file) => file !== "" && !LEFT_OUT.test(file));
}

function lineOf({ file, line, word, text, instead }: Finding): string {
  const shown = text === word ? `"${text}"` : `"${text}" (${word})`;
  return line === 0
    ? `${file}: the file's name: ${shown}; write: ${instead}\n`
    : `${file}:${line}: ${shown}; write: ${instead}\n`;
}

function unneeded({ word, exception }: { readonly word: Word; readonly exception: Exception }): string {
  const where = exception.phrase === undefined ? exception.files : `"${exception.phrase}" in ${exception.files}`;
  return `scripts/words.json: "${word.word}" has an exception that nothing needs; remove it: ${where}\n`;
}

function nowhere({ word, glob }: { readonly word: Word; readonly glob: string }): string {
  return `scripts/words.json: "${word.word}" is looked for in ${glob}, where no file is; correct it\n`;
}

function counts(findings: readonly Finding[]): string {
  const byWord = Map.groupBy(findings, ({ word }) => word);
  return [...byWord]
    .toSorted(([, a], [, b]) => b.length - a.length)
    .map(([word, found]) => `${String(found.length).padStart(6)}  ${word}\n`)
    .join("");
}

await runScript(main);
