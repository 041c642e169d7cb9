/** Byte tables of the scanner: what a byte means inside a string, between tokens, inside a number. */

const IN_QUOTE = 1;
export const IN_BACKSLASH = 2;
/** `&`, `<`, `>`: noted for the XML writer. */
export const IN_MARKUP = 3;
export const IN_CONTROL = 4;
const IN_WIDE = 5;

/** 0: a byte that means nothing inside a string. */
export const IN_STRING: Uint8Array = new Uint8Array(256);
for (let b = 0; b < 256; b++) IN_STRING[b] = b < 0x20 ? IN_CONTROL : b >= 0x80 ? IN_WIDE : 0;
IN_STRING[0x22] = IN_QUOTE;
IN_STRING[0x5c] = IN_BACKSLASH;
for (const sign of "&<>") IN_STRING[sign.charCodeAt(0)] = IN_MARKUP;

export const TOKEN_SPACE = 1;
export const TOKEN_QUOTE = 2;
export const TOKEN_OPEN_OBJECT = 3;
export const TOKEN_CLOSE_OBJECT = 4;
export const TOKEN_OPEN_ARRAY = 5;
export const TOKEN_CLOSE_ARRAY = 6;
export const TOKEN_COLON = 7;
export const TOKEN_COMMA = 8;
export const TOKEN_NUMBER = 9;
export const TOKEN_LITERAL = 10;

/** 0: a byte that begins no token. */
export const TOKEN: Uint8Array = new Uint8Array(256);
for (const [text, token] of [
  [" \t\n\r", TOKEN_SPACE],
  ['"', TOKEN_QUOTE],
  ["{", TOKEN_OPEN_OBJECT],
  ["}", TOKEN_CLOSE_OBJECT],
  ["[", TOKEN_OPEN_ARRAY],
  ["]", TOKEN_CLOSE_ARRAY],
  [":", TOKEN_COLON],
  [",", TOKEN_COMMA],
  ["-0123456789", TOKEN_NUMBER],
  ["tfn", TOKEN_LITERAL],
] as const) {
  for (const sign of text) TOKEN[sign.charCodeAt(0)] = token;
}

/**
 * RFC 8259's number as a machine: row = state, column = class of the next byte; 0 = the byte does not belong
 * to the number.
 */
export const NUMBER_START = 1;
const MINUS = 2;
const ZERO = 3;
const INTEGER = 4;
const POINT = 5;
const FRACTION = 6;
const E = 7;
const E_SIGN = 8;
const EXPONENT = 9;

export const NUMBER_CLASS: Uint8Array = new Uint8Array(256);
NUMBER_CLASS["-".charCodeAt(0)] = 1;
NUMBER_CLASS["+".charCodeAt(0)] = 2;
NUMBER_CLASS["0".charCodeAt(0)] = 3;
for (let d = 0x31; d <= 0x39; d++) NUMBER_CLASS[d] = 4;
NUMBER_CLASS[".".charCodeAt(0)] = 5;
NUMBER_CLASS["e".charCodeAt(0)] = 6;
NUMBER_CLASS["E".charCodeAt(0)] = 6;

/** Index: state * 8 + class. */
export const NUMBER_NEXT: Uint8Array = new Uint8Array(80);
function rule(state: number, classes: readonly number[], next: number): void {
  for (const c of classes) NUMBER_NEXT[state * 8 + c] = next;
}
rule(NUMBER_START, [1], MINUS);
rule(NUMBER_START, [3], ZERO);
rule(NUMBER_START, [4], INTEGER);
rule(MINUS, [3], ZERO);
rule(MINUS, [4], INTEGER);
for (const whole of [ZERO, INTEGER]) {
  rule(whole, [5], POINT);
  rule(whole, [6], E);
}
rule(INTEGER, [3, 4], INTEGER);
rule(POINT, [3, 4], FRACTION);
rule(FRACTION, [3, 4], FRACTION);
rule(FRACTION, [6], E);
rule(E, [1, 2], E_SIGN);
rule(E, [3, 4], EXPONENT);
rule(E_SIGN, [3, 4], EXPONENT);
rule(EXPONENT, [3, 4], EXPONENT);

/** 1: a number may end in this state. */
export const NUMBER_ENDS: Uint8Array = new Uint8Array(10);
for (const state of [ZERO, INTEGER, FRACTION, EXPONENT]) NUMBER_ENDS[state] = 1;
