/**
 * Reads one JSON object as bytes, without making values of it: what must be judged is whether a member's
 * bytes came through, and a parser would hide the difference between `1.0` and `1`, between `é` and its
 * escape, and between two members of one name.
 */
import { isUtf8 } from "node:buffer";
import { hash as digest } from "node:crypto";

export interface Member {
  /** Raw bytes between the quotes, one character per byte. */
  readonly name: string;
  readonly valueStart: number;
  readonly valueEnd: number;
}

export interface Scanned {
  readonly bytes: Uint8Array;
  readonly members: readonly Member[];
  /** One past the closing brace. */
  readonly end: number;
  /** False when there is white space outside strings or a raw character inside one that XML 1.0 forbids. */
  readonly plain: boolean;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** A cursor over bytes; each `skip…` answers false (or -1) where the text ends early or is not JSON. */
class Cursor {
  at: number;
  plain = true;
  readonly bytes: Uint8Array;
  readonly end: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  skipSpace(): number | undefined {
    while (this.at < this.end && isSpace(this.bytes[this.at])) {
      this.at++;
      this.plain = false;
    }
    return this.at < this.end ? this.bytes[this.at] : undefined;
  }

  /** From the opening quote to one past the closing one. */
  skipString(): boolean {
    const { bytes, end } = this;
    let at = this.at + 1;
    while (at < end) {
      const byte = bytes[at] as number;
      if (byte === QUOTE) {
        this.at = at + 1;
        return true;
      }
      if (byte === BACKSLASH) at += 2;
      else {
        if (byte < 0x20 || (byte === 0xef && bytes[at + 1] === 0xbf && (bytes[at + 2] as number) >= 0xbe))
          this.plain = false;
        at++;
      }
    }
    return false;
  }

  skipValue(): boolean {
    const first = this.bytes[this.at];
    if (first === QUOTE) return this.skipString();
    if (first === OPEN_BRACE || first === OPEN_BRACKET) return this.skipNested();
    const start = this.at;
    while (this.at < this.end) {
      const byte = this.bytes[this.at] as number;
      if (byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || isSpace(byte)) break;
      if (byte === QUOTE || byte === COLON || byte === OPEN_BRACE || byte === OPEN_BRACKET) return false;
      this.at++;
    }
    return this.at > start && this.at < this.end;
  }

  private skipNested(): boolean {
    const { bytes, end } = this;
    let depth = 0;
    while (this.at < end) {
      const byte = bytes[this.at] as number;
      if (byte === QUOTE) {
        if (!this.skipString()) return false;
        continue;
      }
      if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--;
      else if (byte <= 0x20) this.plain = false;
      this.at++;
      if (depth === 0) return true;
    }
    return false;
  }
}

/** The object that begins at `start` (after white space); undefined when it is cut off or not an object. */
export function scanObject(bytes: Uint8Array, start = 0, end = bytes.length): Scanned | undefined {
  const cursor = new Cursor(bytes, start, end);
  if (cursor.skipSpace() !== OPEN_BRACE) return undefined;
  cursor.plain = true;
  cursor.at++;
  const members: Member[] = [];
  if (cursor.skipSpace() === CLOSE_BRACE) return { bytes, members, end: cursor.at + 1, plain: cursor.plain };
  for (;;) {
    if (cursor.skipSpace() !== QUOTE) return undefined;
    const nameStart = cursor.at + 1;
    if (!cursor.skipString()) return undefined;
    const name = latin1(bytes, nameStart, cursor.at - 1);
    if (cursor.skipSpace() !== COLON) return undefined;
    cursor.at++;
    cursor.skipSpace();
    const valueStart = cursor.at;
    if (!cursor.skipValue()) return undefined;
    members.push({ name, valueStart, valueEnd: cursor.at });
    const next = cursor.skipSpace();
    cursor.at++;
    if (next === CLOSE_BRACE) return { bytes, members, end: cursor.at, plain: cursor.plain };
    if (next !== COMMA) return undefined;
  }
}

/** Start and end of each element of the array between `start` and `end`; undefined when it is none. */
export function scanArray(
  bytes: Uint8Array,
  start: number,
  end: number,
): readonly { readonly start: number; readonly end: number }[] | undefined {
  const cursor = new Cursor(bytes, start, end);
  if (cursor.skipSpace() !== OPEN_BRACKET) return undefined;
  cursor.at++;
  const elements: { start: number; end: number }[] = [];
  if (cursor.skipSpace() === CLOSE_BRACKET) return elements;
  for (;;) {
    cursor.skipSpace();
    const from = cursor.at;
    if (!cursor.skipValue()) return undefined;
    elements.push({ start: from, end: cursor.at });
    const next = cursor.skipSpace();
    cursor.at++;
    if (next === CLOSE_BRACKET) return elements;
    if (next !== COMMA) return undefined;
  }
}

/** A member's value when it is a string, a number, `true`, `false` (as text) and undefined otherwise. */
export function scalar(scanned: Scanned, name: string): string | undefined {
  const member = scanned.members.find((one) => one.name === name);
  if (!member) return undefined;
  const first = scanned.bytes[member.valueStart];
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return undefined;
  const text = utf8(scanned.bytes, member.valueStart, member.valueEnd);
  if (first !== QUOTE) return text === "null" ? undefined : text;
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

let scratch = Buffer.allocUnsafe(1 << 20);
const COMMA_AND_COLON = Buffer.from(",:");

/**
 * A digest of the members' names and values that does not depend on their order nor on white space outside
 * strings, and on nothing less.
 * @param without members left out of it
 * @param hexCase how a raw character that XML forbids is written: a writer of XML has to make `\uXXXX` of it
 *   and may choose the letters' case
 */
export function memberDigest(
  scanned: Scanned,
  without: ReadonlySet<Member> = new Set(),
  hexCase: "lower" | "upper" = "lower",
): string {
  if (!scanned.plain) {
    const kept = scanned.members.filter((member) => !without.has(member));
    return orderedDigest(
      kept.map(
        (member) =>
          [member.name, plainBytes(scanned.bytes.subarray(member.valueStart, member.valueEnd), hexCase)] as const,
      ),
    );
  }
  const kept: Member[] = [];
  let size = 0;
  for (const member of scanned.members) {
    if (without.has(member)) continue;
    kept.push(member);
    size += member.name.length + member.valueEnd - member.valueStart + 2;
  }
  kept.sort(byName);
  if (size > scratch.length) scratch = Buffer.allocUnsafe(size * 2);
  let at = 0;
  for (const member of kept) {
    at += scratch.write(member.name, at, "latin1");
    scratch[at++] = COMMA_AND_COLON[1] as number;
    scratch.set(scanned.bytes.subarray(member.valueStart, member.valueEnd), at);
    at += member.valueEnd - member.valueStart;
    scratch[at++] = COMMA_AND_COLON[0] as number;
  }
  return digest("sha1", scratch.subarray(0, at), "base64url");
}

function orderedDigest(pairs: (readonly [string, Uint8Array])[]): string {
  const sorted = pairs.toSorted((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  const pieces = sorted.flatMap(([name, value]) => [
    Buffer.from(name, "latin1"),
    Buffer.from(":"),
    value,
    Buffer.from(","),
  ]);
  return digest("sha1", Buffer.concat(pieces), "base64url");
}

/** Without white space outside strings; inside strings, what XML 1.0 forbids becomes its escape. */
function plainBytes(value: Uint8Array, hexCase: "lower" | "upper"): Uint8Array {
  const out: number[] = [];
  const escaped = (code: number): void => {
    const digits = code.toString(16).padStart(4, "0");
    out.push(...Buffer.from(`\\u${hexCase === "upper" ? digits.toUpperCase() : digits}`));
  };
  let inString = false;
  for (let at = 0; at < value.length; at++) {
    const byte = value[at] as number;
    if (!inString) {
      if (isSpace(byte)) continue;
      if (byte === QUOTE) inString = true;
      out.push(byte);
    } else if (byte === BACKSLASH) {
      out.push(byte, value[++at] ?? 0);
    } else if (byte < 0x20) {
      escaped(byte);
    } else if (byte === 0xef && value[at + 1] === 0xbf && (value[at + 2] === 0xbe || value[at + 2] === 0xbf)) {
      escaped(value[at + 2] === 0xbe ? 0xfffe : 0xffff);
      at += 2;
    } else {
      if (byte === QUOTE) inString = false;
      out.push(byte);
    }
  }
  return Uint8Array.from(out);
}

function byName(a: Member, b: Member): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/**
 * The same bytes with each broken UTF-8 sequence as U+FFFD, which is how a writer of valid XML has to pass
 * them on.
 */
export function validUtf8(bytes: Uint8Array): Uint8Array {
  return isUtf8(bytes) ? bytes : Buffer.from(new TextDecoder().decode(bytes));
}

export function utf8(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}
