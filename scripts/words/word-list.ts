/**
 * Reads scripts/words.json: words that this project does not use, what to write instead, and the exceptions.
 */
import { readFileSync } from "node:fs";
import { ScriptProblem } from "../build/project.ts";

/**
 * What a pattern is compared with.
 * `names`: an identifier, a file name or a string of one word, split into its words and in lower case:
 * `#savedPageOf` is "saved page of".
 * `prose`: what a person reads as a sentence. Text in backticks is a name there, not prose.
 * `code`: code without comments and without the text of strings.
 */
export const KINDS = ["names", "prose", "code"] as const;
export type Kind = (typeof KINDS)[number];

export interface Exception {
  /** Glob of paths from the repository's root. */
  readonly files: string;
  /** The exact text on the line that holds the word; without it the whole file is excepted. */
  readonly phrase?: string;
  readonly reason: string;
}

export interface Word {
  readonly word: string;
  readonly instead: string;
  readonly patterns: ReadonlyMap<Kind, RegExp>;
  /** Globs: the word is looked for in these files only. */
  readonly files: readonly string[];
  /** One text at least for each pattern that it finds, and texts that it must let pass. */
  readonly found: Readonly<Partial<Record<Kind, readonly string[]>>>;
  readonly fine: Readonly<Partial<Record<Kind, readonly string[]>>>;
  readonly exceptions: readonly Exception[];
}

interface Row extends Partial<Record<Kind, string>> {
  readonly word: string;
  readonly instead: string;
  readonly flags?: string;
  readonly files?: readonly string[];
  readonly found: Word["found"];
  readonly fine?: Word["fine"];
  readonly exceptions?: readonly Exception[];
}

/** The words of the list file. Throws ScriptProblem for a row that could never find anything. */
export function readWords(file: string): Word[] {
  const rows = JSON.parse(readFileSync(file, "utf8")) as { readonly words: readonly Row[] };
  return rows.words.map((row) => {
    const patterns = new Map<Kind, RegExp>();
    for (const kind of KINDS) {
      const source = row[kind];
      if (source !== undefined) patterns.set(kind, new RegExp(source, `g${row.flags ?? "iu"}`));
    }
    if (patterns.size === 0)
      throw new ScriptProblem(`scripts/words.json: "${row.word}" has no pattern. Add "names", "prose" or "code".`);
    return { ...row, patterns, files: row.files ?? [], fine: row.fine ?? {}, exceptions: row.exceptions ?? [] };
  });
}
