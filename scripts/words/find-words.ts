/** Looks for the words of scripts/words.json in a file's path and text. */
import path from "node:path";
import { type Part, partsOf, placeOf, wordsOfName } from "./text-parts.ts";
import type { Exception, Kind, Word } from "./word-list.ts";

export interface Finding {
  readonly file: string;
  /** 0 when it is the file's name. */
  readonly line: number;
  /** The row of the list, as its `word`; or the layout rule. */
  readonly word: string;
  /** What stands there. */
  readonly text: string;
  readonly instead: string;
}

/** Finds words in one file after the other and remembers which exceptions were needed. */
export class WordSearch {
  readonly #words: readonly Word[];
  readonly #used = new Set<Exception>();
  /** The same names come again and again: what each one holds. */
  readonly #inNames = new Map<string, readonly Word[]>();

  constructor(words: readonly Word[]) {
    this.#words = words;
  }

  /** What is wrong in a file's name and text, by line, each word once for a line. */
  find(file: string, text: string): Finding[] {
    const rows = text.split("\n");
    const words = this.#words.filter(
      ({ files }) => files.length === 0 || files.some((glob) => path.matchesGlob(file, glob)),
    );
    const scoped = new Set(words);
    const found = new Map<string, Finding>();
    const add = (word: Word, line: number, shown: string): void => {
      const key = `${line} ${word.word}`;
      if (!found.has(key)) found.set(key, { file, line, word: word.word, text: shown, instead: word.instead });
    };

    for (const word of this.#ofName(wordsOfName(file)))
      if (scoped.has(word) && !this.#excepted(word, file, file, 0, file.length)) add(word, 0, file);
    for (const part of partsOf(file, text)) {
      if (part.kind === "names") {
        const { line, column } = placeOf(part, 0);
        for (const word of this.#ofName(part.text))
          if (scoped.has(word) && !this.#excepted(word, file, rows[line - 1] ?? "", column, column + part.text.length))
            add(word, line, part.text);
      } else
        for (const { word, from, shown } of matches(part, part.kind, words)) {
          const { line, column } = placeOf(part, from);
          if (!this.#excepted(word, file, rows[line - 1] ?? "", column, column + shown.length)) add(word, line, shown);
        }
    }
    return [...found.values()].toSorted((a, b) => a.line - b.line);
  }

  /** Exceptions that no file needed: they can go. */
  unused(): { readonly word: Word; readonly exception: Exception }[] {
    return this.#words.flatMap((word) =>
      word.exceptions.filter((exception) => !this.#used.has(exception)).map((exception) => ({ word, exception })),
    );
  }

  /** Globs of rows that cover none of these files: such a row would find nothing and nobody would see it. */
  emptyScopes(files: readonly string[]): { readonly word: Word; readonly glob: string }[] {
    return this.#words.flatMap((word) =>
      word.files.filter((glob) => !files.some((file) => path.matchesGlob(file, glob))).map((glob) => ({ word, glob })),
    );
  }

  #ofName(words: string): readonly Word[] {
    let known = this.#inNames.get(words);
    if (known === undefined) {
      known = this.#words.filter(({ patterns }) => words.search(patterns.get("names") ?? /(?!)/) >= 0);
      this.#inNames.set(words, known);
    }
    return known;
  }

  #excepted(word: Word, file: string, row: string, from: number, to: number): boolean {
    const exception = word.exceptions.find(
      ({ files, phrase }) => path.matchesGlob(file, files) && (phrase === undefined || covers(row, phrase, from, to)),
    );
    if (exception !== undefined) this.#used.add(exception);
    return exception !== undefined;
  }
}

function* matches(
  part: Part,
  kind: Kind,
  words: readonly Word[],
): Generator<{ readonly word: Word; readonly from: number; readonly shown: string }> {
  for (const word of words) {
    const pattern = word.patterns.get(kind);
    if (pattern !== undefined)
      for (const match of part.text.matchAll(pattern)) yield { word, from: match.index, shown: match[0].trim() };
  }
}

/** Whether the phrase stands in the row where the finding does. */
function covers(row: string, phrase: string, from: number, to: number): boolean {
  for (let at = row.indexOf(phrase); at >= 0; at = row.indexOf(phrase, at + 1))
    if (at < to && from < at + phrase.length) return true;
  return false;
}
