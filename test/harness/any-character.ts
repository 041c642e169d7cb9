import fc from "fast-check";

const SURROGATES = 0x800;
const FIRST_SURROGATE = 0xd800;

/**
 * Any character of Unicode, for `fc.string({ unit: anyCharacter })`. It draws the very strings that `unit: "binary"` draws; that one lists
 * all 1.1 million characters in a map as soon as a file uses it, which takes more than a second.
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
