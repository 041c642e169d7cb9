import fc from "fast-check";

const SURROGATES = 0x800;
const FIRST_SURROGATE = 0xd800;

/**
 * Any character of Unicode, for `fc.string({ unit: anyCharacter })`. It draws the same strings as `unit:
 * "binary"`, which lists all 1.1 million characters in a map when a file first uses it, and that takes more
 * than a second.
 */
export const anyCharacter = fc.nat({ max: 0x10ffff - SURROGATES }).map(
  (place) => String.fromCodePoint(place < FIRST_SURROGATE ? place : place + SURROGATES),
  (character) => {
    const code = typeof character === "string" ? character.codePointAt(0) : undefined;
    if (code === undefined || String.fromCodePoint(code) !== character) throw new Error("not one character");
    if (code < FIRST_SURROGATE) return code;
    if (code < FIRST_SURROGATE + SURROGATES) throw new Error("half a character");
    return code - SURROGATES;
  },
);
