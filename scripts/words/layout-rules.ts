/** How long a line may be, and one sentence a line in Markdown: what the formatter does not look at. */
import path from "node:path";
import type { Finding } from "./find-words.ts";
import { scriptTokens } from "./script-tokens.ts";

const MAX_CODE = 120;
const MAX_COMMENT = 110;
/** Of a sentence in Markdown, or of its longest part between semicolons and colons. */
const MAX_WORDS = 25;

/**
 * A string, template or regular expression of this length is easier to read and to search for when it stays
 * whole.
 */
const LITERAL_THAT_STAYS_WHOLE = 40;
const SHORTENINGS = /(?:\b(?:e\.g|i\.e|vs|etc|cf|ca|approx|no|nos|fig|sec|resp|incl|[A-Z])\.|\b\d+\.|\.\.\.|…)$/i;

/** What stands in backticks counts as one word. */
const WORD = /`+|[\p{L}\p{N}][\p{L}\p{N}'’_-]*/gu;

/** What is wrong with the lines of a file; nothing for kinds of files that have no rule. */
export function layoutFindings(file: string, text: string): Finding[] {
  switch (path.extname(file)) {
    case ".ts":
    case ".tsx":
    case ".mjs":
    case ".cjs":
      return scriptLines(file, text);
    case ".md":
      return markdownSentences(file, text);
    default:
      return [];
  }
}

function scriptLines(file: string, text: string): Finding[] {
  const rows = text.split("\n");
  const whole = new Set<number>();
  const comments = new Set<number>();
  let line = 1;
  let column = 0;
  /** Where the outermost open template begins: what stands in its braces belongs to it. */
  let template: { readonly at: number; readonly line: number } | undefined;
  let depth = 0;
  let at = 0;
  for (const { type, value } of scriptTokens(text)) {
    const lines = value.split("\n");
    if (type.includes("Comment"))
      lines.forEach((each, i) => {
        // A comment behind code counts as code: the formatter leaves it where it is.
        if ((i > 0 || (rows[line - 1] ?? "").slice(0, column).trim() === "") && !cannotBreak(each))
          comments.add(line + i);
        else whole.add(line + i);
      });
    else if (type === "TemplateHead") {
      depth += 1;
      template ??= { at, line };
    } else if (type === "TemplateTail") {
      depth -= 1;
      if (depth === 0 && template !== undefined) {
        if (at + value.length - template.at >= LITERAL_THAT_STAYS_WHOLE)
          for (let each = template.line; each < line + lines.length; each += 1) whole.add(each);
        template = undefined;
      }
    } else if (/String|Template|Regular/.test(type))
      lines.forEach((each, i) => {
        if (each.length >= LITERAL_THAT_STAYS_WHOLE || lines.length > 1) whole.add(line + i);
      });
    column = lines.length === 1 ? column + value.length : (lines.at(-1)?.length ?? 0);
    line += lines.length - 1;
    at += value.length;
  }
  return rows.flatMap((row, i) => {
    const [limit, what] = comments.has(i + 1) ? [MAX_COMMENT, "comment"] : [MAX_CODE, "code"];
    if (
      row.length <= limit ||
      (what === "code" && (whole.has(i + 1) || /\b(?:test|it|describe)(?:\.each\(.*\))?\(/.test(row)))
    )
      return [];
    return [
      { file, line: i + 1, word: `long ${what} line`, text: `${row.length} characters`, instead: `at most ${limit}` },
    ];
  });
}

/** A table in a comment, by bars or in columns, or a word that hardly fits on a line (an address). */
function cannotBreak(row: string): boolean {
  return /^\s*(?:\/\/|\*)?\s*\|/.test(row) || /\S {3,}\S/.test(row) || /\S{60,}/.test(row);
}

function markdownSentences(file: string, text: string): Finding[] {
  const findings: Finding[] = [];
  let fence = false;
  let before = "";
  text.split("\n").forEach((row, i) => {
    if (/^\s*(?:```|~~~)/.test(row)) {
      fence = !fence;
      before = "";
      return;
    }
    if (fence || /^\s*(?:[|#<]|$)/.test(row) || /^(?: {4,}|\t)\S/.test(row)) {
      before = "";
      return;
    }
    const isNew = /^\s*(?:[-*+] |\d+\. |> )/.test(row);
    const sentence = plain(row);
    if (holdsTwo(sentence))
      findings.push({
        file,
        line: i + 1,
        word: "second sentence",
        text: row.trim().slice(0, 60),
        instead: "one sentence a line",
      });
    else if (!isNew && before !== "" && !/[.!?:;…]["')*_]*$/.test(before))
      findings.push({
        file,
        line: i + 1,
        word: "broken sentence",
        text: row.trim().slice(0, 60),
        instead: "one sentence a line: join it with the line before",
      });
    const words = Math.max(...sentence.split(/[;:]\s/).map((clause) => clause.match(WORD)?.length ?? 0));
    if (words > MAX_WORDS)
      findings.push({
        file,
        line: i + 1,
        word: "long sentence",
        text: `${words} words`,
        instead: `at most ${MAX_WORDS}, one thought a sentence`,
      });
    before = sentence;
  });
  return findings;
}

/** The sentence without its list sign; what stands in backticks or brackets holds no end of a sentence. */
function plain(row: string): string {
  return row
    .trim()
    .replace(/^(?:[-*+] |\d+\. |> )+/, "")
    .replace(/`[^`]*`/g, (inside) => "`".repeat(inside.length))
    .replace(/\]\([^)]*\)/g, "]")
    .replace(/\([^()]*\)/g, "()");
}

function holdsTwo(sentence: string): boolean {
  for (const match of sentence.matchAll(/[.!?]["')*_]*\s+(?=["'(*_[]*[\p{Lu}`])/gu)) {
    const end = sentence.slice(0, match.index + 1);
    // A bold beginning ("**Term.** what it means") is a heading of its own.
    if (!SHORTENINGS.test(end) && !/^\*\*[^*]*$/.test(end)) return true;
  }
  return false;
}
