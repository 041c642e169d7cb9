/** A longer word is a path or an address: it is broken, so that one of them does not fill the table. */
const LONGEST_WHOLE_WORD = 16;

/**
 * The narrowest width that breaks no short word of this text, for `min-width`. A column would else be as
 * narrow as one letter.
 */
export function roomFor(text: string): string {
  const longest = Math.max(0, ...text.split(/[\s-]+/).map((word) => word.length));
  // The unit is the width of 0, and some letters are wider.
  return longest === 0 ? "0" : `${Math.min(longest, LONGEST_WHOLE_WORD) + 1}ch`;
}
