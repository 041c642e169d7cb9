/** Splits a file into what the words are looked for in: names, prose and code, each with its place. */
import path from "node:path";
import { scriptTokens } from "./script-tokens.ts";
import type { Kind } from "./word-list.ts";

/** Where a piece of a part's text stands in the file. */
interface Piece {
  /** Offset in the part's text. */
  readonly at: number;
  readonly line: number;
  /** Zero-based column in that line. */
  readonly column: number;
}

export interface Part {
  readonly kind: Kind;
  readonly text: string;
  /** By rising `at`. */
  readonly pieces: readonly Piece[];
}

/** The line and column of an offset in a part's text. */
export function placeOf(part: Part, offset: number): { readonly line: number; readonly column: number } {
  const piece = part.pieces.findLast(({ at }) => at <= offset) ?? { at: 0, line: 1, column: 0 };
  return { line: piece.line, column: piece.column + offset - piece.at };
}

/** `#savedPageOf`, `SAVED_PAGE_OF` and `saved-page-of` are all "saved page of". */
export function wordsOfName(name: string): string {
  let words = wordsByName.get(name);
  if (words === undefined) {
    words = splitName(name);
    wordsByName.set(name, words);
  }
  return words;
}

/** The same names come again and again. */
const wordsByName = new Map<string, string>();

function splitName(name: string): string {
  return name
    .replace(/([\p{Ll}\d])(\p{Lu})/gu, "$1 $2")
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, "$1 $2")
    .replace(/[^\p{L}\d]+/gu, " ")
    .trim()
    .toLowerCase();
}

/** Every part of a file; how it is split follows from its ending. */
export function partsOf(file: string, text: string): Part[] {
  switch (path.extname(file)) {
    case ".ts":
    case ".tsx":
    case ".mjs":
    case ".cjs":
      return partsOfScript(text, 1, 0);
    case ".md":
      return partsOfMarkdown(text);
    case ".json":
      return partsOfJson(text);
    default:
      return partsOfLines(text.split("\n"), 1);
  }
}

/** Members of test/contracts/mutations.json that hold source text. */
const MEMBERS_OF_CODE = new Set(["replace", "with"]);
const SCRIPT_WORD = /[\p{L}_$#][\p{L}\p{N}_$-]*/gu;

function partsOfScript(text: string, firstLine: number, firstColumn: number): Part[] {
  const parts: Part[] = [];
  const code: { text: string; pieces: Piece[] } = { text: "", pieces: [] };
  const comments = new Block();
  let [line, column] = [firstLine, firstColumn];
  for (const token of scriptTokens(text)) {
    const { type, value } = token;
    const lines = value.split("\n");
    if (type === "MultiLineComment" || type === "SingleLineComment") {
      if (type === "MultiLineComment") comments.endInto(parts);
      lines.forEach((each, i) => {
        const lead = /^\s*(?:\/\*+|\*+\/|\*(?!\*)|\/\/+)?\s*/.exec(each)?.[0].length ?? 0;
        comments.add(each.slice(lead).replace(/\s*\*\/$/, ""), line + i, (i === 0 ? column : 0) + lead);
      });
      if (type === "MultiLineComment") comments.endInto(parts);
    } else if (type !== "WhiteSpace" && type !== "LineTerminatorSequence") {
      comments.endInto(parts);
      if (type === "StringLiteral" || type.includes("Template")) parts.push(...partsOfString(value, line, column));
      else if (type === "RegularExpressionLiteral")
        parts.push({ kind: "prose", text: value.replace(/\\[a-zA-Z]/g, "  "), pieces: [{ at: 0, line, column }] });
      else if (type === "IdentifierName" || type === "PrivateIdentifier") parts.push(nameAt(value, line, column));
    } else if (type === "LineTerminatorSequence" && code.text.endsWith("\n")) comments.endInto(parts);
    const isCode = !type.includes("Comment");
    if (isCode) {
      code.pieces.push({ at: code.text.length, line, column });
      code.text += /String|Template|Regular/.test(type) ? '""' : value;
    }
    column = lines.length === 1 ? column + value.length : (lines.at(-1)?.length ?? 0);
    line += lines.length - 1;
  }
  comments.endInto(parts);
  parts.push({ kind: "code", text: code.text, pieces: code.pieces });
  return parts;
}

/**
 * A string with white space is a sentence, one without is a name. Escapes stay as they are written, so that
 * places are right.
 */
function partsOfString(raw: string, line: number, column: number): Part[] {
  const inside = raw.replace(/^["'`}]/, " ").replace(/(?:["'`]|\$\{)$/, "");
  if (!/\S\s+\S/.test(inside) || /^\s*https?:\/\/\S+$/.test(inside)) {
    return inside.length > 120 || inside.includes("://") ? [] : [nameAt(inside, line, column)];
  }
  const block = new Block();
  for (const [i, each] of inside.split("\n").entries())
    block.add(each.replace(/\\[nrt]/g, "  "), line + i, i === 0 ? column : 0);
  return block.end();
}

/** A name without words (numbers, signs) is an empty part and finds nothing. */
function nameAt(name: string, line: number, column: number): Part {
  return { kind: "names", text: wordsOfName(name), pieces: [{ at: 0, line, column }] };
}

function partsOfMarkdown(text: string): Part[] {
  const parts: Part[] = [];
  const block = new Block();
  let fence: string | undefined;
  text.split("\n").forEach((row, i) => {
    const line = i + 1;
    const opening = /^\s*(```+|~~~+)/.exec(row)?.[1];
    if (fence !== undefined || opening !== undefined) {
      parts.push(...block.end());
      if (fence === undefined) fence = opening;
      else if (opening?.startsWith(fence) === true) fence = undefined;
      else parts.push(...partsOfLines([row], line));
      return;
    }
    if (/^\s*$/.test(row) || /^\s*(?:[|#]|[-*+] |\d+\. )/.test(row)) parts.push(...block.end());
    block.add(row, line, 0);
    if (/^\s*[|#]/.test(row)) parts.push(...block.end());
  });
  return [...parts, ...block.end()];
}

function partsOfJson(text: string): Part[] {
  return text.split("\n").flatMap((row, i) => {
    const parts: Part[] = [];
    let member = "";
    for (const match of row.matchAll(/"((?:[^"\\]|\\.)*)"(\s*:)?/g)) {
      const [, inside = "", colon] = match;
      if (colon !== undefined) {
        member = inside;
        parts.push(nameAt(inside, i + 1, match.index));
      } else if (MEMBERS_OF_CODE.has(member))
        parts.push(...partsOfScript(JSON.parse(`"${inside}"`) as string, i + 1, match.index + 1));
      else parts.push(...partsOfString(`"${inside}"`, i + 1, match.index));
    }
    return parts;
  });
}

/** Text of no language that is known here: prose, and what looks like an identifier is a name as well. */
function partsOfLines(rows: readonly string[], firstLine: number): Part[] {
  return rows.flatMap((row, i) => {
    const block = new Block();
    block.add(row, firstLine + i, 0);
    const names = [...row.matchAll(SCRIPT_WORD)].filter(([word]) => /[_-]|\p{Ll}\p{Lu}/u.test(word));
    return [...block.end(), ...names.map((match) => nameAt(match[0], firstLine + i, match.index))];
  });
}

/** Lines that are read as one text, so that a phrase is found across a line's end. */
class Block {
  #text = "";
  #pieces: Piece[] = [];

  add(text: string, line: number, column: number): void {
    if (this.#text !== "") this.#text += " ";
    this.#pieces.push({ at: this.#text.length, line, column });
    this.#text += text;
  }

  endInto(parts: Part[]): void {
    if (this.#text !== "") parts.push(...this.end());
  }

  /** The block as prose; what stands in backticks and where links lead are names. */
  end(): Part[] {
    const whole: Part = { kind: "prose", text: this.#text, pieces: this.#pieces };
    const names: Part[] = [];
    const prose = this.#text.replace(/`[^`]+`|\]\([^)\s]*\)/g, (inside, at: number) => {
      if (!inside.includes("://"))
        for (const match of inside.matchAll(SCRIPT_WORD)) {
          const { line, column } = placeOf(whole, at + match.index);
          names.push(nameAt(match[0], line, column));
        }
      return "_".repeat(inside.length);
    });
    this.#text = "";
    this.#pieces = [];
    return [{ ...whole, text: prose }, ...names];
  }
}
