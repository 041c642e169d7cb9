/**
 * Java `.properties` files as `java.util.Properties.load(InputStream)` reads them (Java SE documentation of
 * that method), because the file is also read by ArcSight's connectors: bytes are ISO-8859-1, a key ends at
 * the first unescaped `=`, `:` or white space, and a backslash at the end of a line joins lines. Every entry
 * keeps its first line number, so that messages can name it.
 */

import { decodedText, encodingOf } from "./text-encoding.ts";

export interface Property {
  readonly key: string;
  readonly value: string;
  /** Line on which the entry begins, counted from 1. */
  readonly line: number;
}

/** Text that Java reads differently from what the author probably meant. */
export interface PropertyAdvice {
  readonly line: number;
  /** The key on that line; empty if the advice is about the whole file. */
  readonly key: string;
  readonly about: "bom" | "utf-8" | "utf-16" | "backslash";
  /** One sentence: what Java reads and what to write instead. It never quotes a value. */
  readonly say: string;
}

export interface PropertiesFile {
  /** In file order, repeated keys included. */
  readonly entries: readonly Property[];
  /** By key; if a key occurs twice, the last entry is used. */
  readonly byKey: ReadonlyMap<string, Property>;
  readonly advice: readonly PropertyAdvice[];
}

/**
 * The whole file is invalid; Java throws for it too. `say` is one sentence with the line and what to write
 * instead.
 */
export interface UnreadableProperties {
  readonly line: number;
  readonly say: string;
}

export type PropertiesReading =
  | ({ readonly ok: true } & PropertiesFile)
  | ({ readonly ok: false } & UnreadableProperties);

const BLANK = /[ \t\f]/;
const SIMPLE_ESCAPES: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f" };
/** `C:\temp` or `\\server\share` with single backslashes between the parts. */
const WINDOWS_PATH = /^(?:[A-Za-z]:\\(?!\\)|\\\\[A-Za-z0-9_.-]+\\(?!\\))/;
const UTF8_BOM = "\u00ef\u00bb\u00bf";

/**
 * Reads the file's bytes exactly as Java does, with two exceptions, which are reported in `advice`: a byte
 * order mark at the beginning is skipped (Java makes it part of the first key), and UTF-16 is understood
 * (Java finds no known key in it).
 */
export function readProperties(bytes: Uint8Array): PropertiesReading {
  const reading = readPropertiesText(propertiesText(bytes));
  return reading.ok && encodingOf(bytes) !== "utf-8"
    ? { ...reading, advice: [UTF16_ADVICE, ...reading.advice] }
    : reading;
}

const UTF16_ADVICE: PropertyAdvice = {
  line: 1,
  key: "",
  about: "utf-16",
  say: "The file is saved as UTF-16, which ArcSight's connectors cannot read. It is read here; save it as UTF-8, with letters beyond ASCII as \\u escapes.",
};

/** The file's text with one character per byte, as Java takes it; a UTF-16 file's text as it was typed. */
export function propertiesText(bytes: Uint8Array): string {
  return encodingOf(bytes) === "utf-8" ? latin1(bytes) : decodedText(bytes);
}

/** The same for text with one character per byte. */
export function readPropertiesText(latin1Text: string): PropertiesReading {
  const hasBom = latin1Text.startsWith(UTF8_BOM);
  const advice: PropertyAdvice[] = [];
  if (hasBom)
    advice.push({
      line: 1,
      key: "",
      about: "bom",
      say: "The file begins with a UTF-8 byte order mark, which Java makes part of the first key. It is skipped here; save the file without it.",
    });
  const reading = readExactly(hasBom ? latin1Text.slice(UTF8_BOM.length) : latin1Text);
  if (!reading.ok) return reading;
  return { ...reading, advice: [...advice, ...reading.advice] };
}

/** Without that exception: exactly what Java returns, including the byte order mark. */
export function readExactly(latin1Text: string): PropertiesReading {
  const entries: Property[] = [];
  const advice: PropertyAdvice[] = [];
  for (const { text, line } of logicalLines(latin1Text)) {
    const { keyEnd, valueStart } = split(text);
    const key = unescaped(text.slice(0, keyEnd));
    const rawValue = text.slice(valueStart);
    const value = unescaped(rawValue);
    if (key === undefined || value === undefined) return { ok: false, line, say: badEscape(line, key, rawValue) };
    entries.push({ key, value, line });
    if (WINDOWS_PATH.test(rawValue)) advice.push({ line, key, about: "backslash", say: backslashAdvice(line, key) });
    if (isUtf8(rawValue) || isUtf8(key)) {
      advice.push({
        line,
        key,
        about: "utf-8",
        say: `Line ${line}: ${shownKey(key)} contains letters in UTF-8, which Java misreads as ISO-8859-1; write them as \\u escapes (ö is \\u00f6).`,
      });
    }
  }
  return { ok: true, entries, byKey: new Map(entries.map((entry) => [entry.key, entry])), advice };
}

/**
 * Writes values into the text of a file: each on the last line of its key, else at the end. Everything else
 * is unchanged, byte for byte. The text is read once, because a list has thousands of values.
 *
 * @param latin1Text one character per byte; a file that `readPropertiesText` can read.
 */
export function withProperties(latin1Text: string, entries: readonly (readonly [string, string])[]): string {
  if (latin1Text.startsWith(UTF8_BOM)) return UTF8_BOM + withProperties(latin1Text.slice(UTF8_BOM.length), entries);
  const lineEnd = latin1Text.includes("\r\n") ? "\r\n" : "\n";
  const values = new Map(entries);
  const last = new Map<string, LogicalLine>();
  for (const stretch of logicalLines(latin1Text)) {
    const key = unescaped(stretch.text.slice(0, split(stretch.text).keyEnd));
    if (key !== undefined && values.has(key)) last.set(key, stretch);
  }
  const written = (key: string) => `${escapedKey(key)}=${escapedValue(values.get(key) ?? "")}`;
  let text = "";
  let at = 0;
  for (const [key, { from, to }] of [...last].sort(([, a], [, b]) => a.from - b.from)) {
    text += `${latin1Text.slice(at, from)}${written(key)}`;
    at = to;
  }
  text += latin1Text.slice(at);
  const fresh = [...values.keys()].filter((key) => !last.has(key));
  // A backslash at the end of the last line would make the first new line a part of it.
  const isContinued = /(?<!\\)(?:\\\\)*\\(?:\r\n|\r|\n)?$/.test(text);
  const isAfterLine = text === "" || /[\r\n]$/.test(text);
  const gap = fresh.length === 0 ? "" : `${isAfterLine ? "" : lineEnd}${isContinued ? lineEnd : ""}`;
  return `${text}${gap}${fresh.map((key) => `${written(key)}${lineEnd}`).join("")}`;
}

/**
 * Adds blocks of entries at the end of a file. Everything else is unchanged, byte for byte.
 *
 * @param latin1Text one character per byte; a file that `readPropertiesText` can read.
 */
export function withPropertiesAdded(
  latin1Text: string,
  blocks: readonly (readonly (readonly [string, string])[])[],
): string {
  const lineEnd = latin1Text.includes("\r\n") ? "\r\n" : "\n";
  const isEmpty = latin1Text === "" || latin1Text === UTF8_BOM;
  const parts = blocks.map((entries, at) => {
    const lines = entries.map(([key, value]) => `${escapedKey(key)}=${escapedValue(value)}${lineEnd}`);
    // A backslash at the end of the last line would join it and the first line of the block.
    const isAfterLine = at > 0 || /[\r\n]$/.test(latin1Text);
    const gap = isEmpty && at === 0 ? "" : isAfterLine ? lineEnd : `${lineEnd}${lineEnd}`;
    return `${gap}${lines.join("")}`;
  });
  return `${latin1Text}${parts.join("")}`;
}

/**
 * Takes the entries out whose key is unwanted, each with its line end. Everything else is unchanged, byte for
 * byte.
 *
 * @param latin1Text one character per byte; a file that `readPropertiesText` can read.
 */
export function withoutProperties(latin1Text: string, isUnwanted: (key: string) => boolean): string {
  if (latin1Text.startsWith(UTF8_BOM))
    return UTF8_BOM + withoutProperties(latin1Text.slice(UTF8_BOM.length), isUnwanted);
  let kept = "";
  let at = 0;
  for (const { text, from, to } of logicalLines(latin1Text)) {
    if (!isUnwanted(unescaped(text.slice(0, split(text).keyEnd)) ?? "")) continue;
    kept += latin1Text.slice(at, from);
    at = to + (/^(?:\r\n|\r|\n)/.exec(latin1Text.slice(to, to + 2))?.[0].length ?? 0);
  }
  return kept + latin1Text.slice(at);
}

/** As Java's own writer writes it (`Properties.store`), so that every reader can read it. */
function escapedValue(value: string): string {
  return escaped(value).replace(/^ /, "\\ ");
}

function escapedKey(key: string): string {
  return escaped(key).replace(/[ =:]/g, "\\$&").replace(/^[#!]/, "\\$&");
}

function escaped(text: string): string {
  let out = "";
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    const sign = text[i] as string;
    if (sign === "\\") out += "\\\\";
    else if (sign === "\t") out += "\\t";
    else if (sign === "\n") out += "\\n";
    else if (sign === "\r") out += "\\r";
    else if (sign === "\f") out += "\\f";
    else if (code < 0x20 || code > 0x7e) out += `\\u${code.toString(16).padStart(4, "0")}`;
    else out += sign;
  }
  return out;
}

interface LogicalLine {
  /** Joined, without leading white space, with escapes. */
  readonly text: string;
  readonly line: number;
  /** Position of its content in the file, without the line end. */
  readonly from: number;
  readonly to: number;
}

/**
 * A port of `java.util.Properties.LineReader.readLine` (OpenJDK 17), state for state, because its corner
 * cases follow from its loop: after joined blank lines a `#` begins a comment again, and a single backslash
 * at the end of the file is an entry without key and value. test/contracts compares it with the real method.
 */
function* logicalLines(text: string): Generator<LogicalLine> {
  let line = 1;
  let at = 0;
  for (;;) {
    let joined = "";
    let skipBlanks = true;
    let joins = false;
    let backslash = false;
    let from = at;
    let beganOnLine = line;
    let ended = false;
    while (!ended) {
      if (at >= text.length) {
        if (joined !== "")
          yield { text: backslash ? joined.slice(0, -1) : joined, line: beganOnLine, from, to: text.length };
        return;
      }
      const signAt = at;
      const sign = text[at] as string;
      const isLineEnd = sign === "\n" || sign === "\r";
      at += 1;
      if (isLineEnd && !(sign === "\r" && text[at] === "\n")) line += 1;
      if (skipBlanks) {
        if (BLANK.test(sign) || (!joins && isLineEnd)) continue;
        skipBlanks = false;
        joins = false;
      }
      if (joined === "" && (sign === "#" || sign === "!")) {
        while (at < text.length && text[at] !== "\n" && text[at] !== "\r") at += 1;
        skipBlanks = true;
        continue;
      }
      if (!isLineEnd) {
        if (joined === "") {
          from = lineStartOf(text, signAt);
          beganOnLine = line;
        }
        joined += sign;
        backslash = sign === "\\" && !backslash;
        continue;
      }
      if (joined === "") {
        skipBlanks = true;
        continue;
      }
      if (backslash && at < text.length) {
        joined = joined.slice(0, -1);
        skipBlanks = true;
        joins = true;
        backslash = false;
        if (sign === "\r" && text[at] === "\n") {
          at += 1;
          line += 1;
        }
        continue;
      }
      yield { text: backslash ? joined.slice(0, -1) : joined, line: beganOnLine, from, to: signAt };
      ended = true;
    }
  }
}

function lineStartOf(text: string, at: number): number {
  let start = at;
  while (start > 0 && BLANK.test(text[start - 1] as string)) start -= 1;
  return start;
}

/** Where the key ends and where the value begins; escapes are not resolved yet. */
function split(text: string): { readonly keyEnd: number; readonly valueStart: number } {
  let at = 0;
  while (at < text.length) {
    const sign = text[at] as string;
    if (sign === "\\") at += 2;
    else if (sign === "=" || sign === ":" || BLANK.test(sign)) break;
    else at += 1;
  }
  const keyEnd = Math.min(at, text.length);
  at = keyEnd;
  while (at < text.length && BLANK.test(text[at] as string)) at += 1;
  if (text[at] === "=" || text[at] === ":") {
    at += 1;
    while (at < text.length && BLANK.test(text[at] as string)) at += 1;
  }
  return { keyEnd, valueStart: at };
}

/** Undefined when a `\u` is not followed by four hex digits. */
function unescaped(text: string): string | undefined {
  if (!text.includes("\\")) return text;
  let out = "";
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at] as string;
    if (sign !== "\\") {
      out += sign;
      continue;
    }
    at += 1;
    const escapedSign = text[at];
    if (escapedSign === undefined) break;
    if (escapedSign !== "u") {
      out += SIMPLE_ESCAPES[escapedSign] ?? escapedSign;
      continue;
    }
    const digits = text.slice(at + 1, at + 5);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) return undefined;
    out += String.fromCharCode(Number.parseInt(digits, 16));
    at += 4;
  }
  return out;
}

function badEscape(line: number, key: string | undefined, rawValue: string): string {
  const where = key === undefined ? `Line ${line}` : `Line ${line}: ${shownKey(key)}`;
  const instead = WINDOWS_PATH.test(rawValue)
    ? "write the path with slashes (C:/users) or doubled backslashes (C:\\\\users)"
    : "write four hex digits after it, or double the backslash";
  return `${where} contains \\u without four hex digits after it, so Java rejects the whole file; ${instead}.`;
}

function backslashAdvice(line: number, key: string): string {
  return `Line ${line}: ${shownKey(key)} contains a path with single backslashes, which Java removes or turns into tabs and line breaks (C:\\temp becomes C:, a tab and emp); write C:/temp or C:\\\\temp.`;
}

/** A key may be a misplaced secret, so a long key is not repeated. */
function shownKey(key: string): string {
  return /^[\x21-\x7e]{1,60}$/.test(key) ? key : "the entry";
}

/** True if the text, read as bytes, contains UTF-8 letters that are unlikely in ISO-8859-1. */
function isUtf8(latin1Text: string): boolean {
  return /[\u00c2-\u00f4][\u0080-\u00bf]/.test(latin1Text);
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}
