import { createHmac } from "node:crypto";

/**
 * No vowels, so that no word of a language comes out; no 0, 1, 2, so that most real numbers visibly differ
 * from stand-ins.
 */
const LETTERS = "bcdfghjkmnpqrstvwxz";
const DIGITS = "3456789";
/** How stand-ins start, by which `--check` recognizes them. */
const GUID_START = "5c2b5c2b";
const HEX_START = "5c2b";
/** 198.18.0.0/15 is set aside for benchmarks (RFC 2544): nobody's address. */
const ADDRESS_START = "198.18.";

const GUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;
const ADDRESS = /(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])/;
const HEX = /(?<![A-Za-z0-9])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{32,}(?![A-Za-z0-9])/i;
const WORD = /[\p{L}\p{N}]+/u;
/** Says that an address follows, and nothing about whose. */
export const SCHEMES = new Set(["http", "https"]);
const PIECES = new RegExp(`${GUID.source}|${ADDRESS.source}|${HEX.source}|${WORD.source}`, "giu");

/**
 * Replaces words, numbers, GUIDs, addresses and hashes, each always by the same stand-in, wherever it occurs
 * and whatever its case: `lee@contoso.com` and `CONTOSO` still join after it. Punctuation and lengths stay,
 * so that a record keeps its shape. With another salt everything comes out differently.
 */
export class Pseudonyms {
  private readonly known = new Map<string, string>();
  private readonly taken = new Set<string>();
  private readonly salt: string;

  constructor(salt: string) {
    this.salt = salt;
  }

  text(value: string): string {
    return value.replace(PIECES, (piece) => this.piece(piece));
  }

  /** A number keeps being a number. */
  number(digits: string): string {
    return digits.replace(/\d+/g, (run) => this.piece(run));
  }

  private piece(piece: string): string {
    const key = piece.toLowerCase();
    if (SCHEMES.has(key)) return piece;
    let stand = this.known.get(key);
    if (stand === undefined) {
      stand = this.fresh(key);
      this.known.set(key, stand);
      this.taken.add(stand);
    }
    return piece === key ? stand : withCaseOf(piece, stand);
  }

  private fresh(key: string): string {
    for (let attempt = 0; ; attempt++) {
      const bytes = createHmac("sha256", this.salt).update(`${attempt}:${key}`).digest();
      const stand = standIn(key, bytes, attempt);
      if (!this.taken.has(stand) && stand !== key && !SCHEMES.has(stand)) return stand;
    }
  }
}

function standIn(key: string, bytes: Buffer, attempt: number): string {
  const hex = bytes.toString("hex");
  if (new RegExp(`^${GUID.source}$`).test(key))
    return `${GUID_START}-${hex.slice(0, 4)}-4${hex.slice(4, 7)}-8${hex.slice(7, 10)}-${hex.slice(10, 22)}`;
  if (new RegExp(`^${ADDRESS.source}$`).test(key)) return `${ADDRESS_START}${bytes[0] as number}.${bytes[1] as number}`;
  if (new RegExp(`^${HEX.source}$`).test(key))
    return (HEX_START + hex + hex).padEnd(key.length, hex).slice(0, key.length);
  // A short word has few stand-ins of its length: when they are used up, the stand-in gets longer.
  const length = key.length + (attempt > 20 ? Math.ceil((attempt - 20) / 20) : 0);
  let stand = "";
  for (let at = 0; at < length; at++) {
    const alphabet = /\p{N}/u.test(key[Math.min(at, key.length - 1)] as string) ? DIGITS : LETTERS;
    stand += alphabet[(bytes[at % bytes.length] as number) % alphabet.length] as string;
  }
  return stand;
}

function withCaseOf(piece: string, stand: string): string {
  if (piece === piece.toUpperCase()) return stand.toUpperCase();
  return stand
    .split("")
    .map((sign, at) => ((piece[at] ?? "") !== (piece[at] ?? "").toLowerCase() ? sign.toUpperCase() : sign))
    .join("");
}

/** Pieces of a text that do not look like a stand-in. */
export function strangePieces(text: string): string[] {
  return (text.match(PIECES) ?? []).filter((piece) => {
    const key = piece.toLowerCase();
    if (SCHEMES.has(key)) return false;
    if (new RegExp(`^${GUID.source}$`).test(key)) return !key.startsWith(GUID_START);
    if (new RegExp(`^${ADDRESS.source}$`).test(key)) return !key.startsWith(ADDRESS_START);
    if (new RegExp(`^${HEX.source}$`).test(key)) return !key.startsWith(HEX_START);
    return !new RegExp(`^[${LETTERS}${DIGITS}]+$`).test(key);
  });
}
