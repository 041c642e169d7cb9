/**
 * What makes a terminal do something, or shows text in another order than it is written: control characters
 * (escape sequences begin with them) and Unicode's signs of direction ("Trojan Source", CVE-2021-42574).
 */
const STEERING = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Text from outside as part of one line that a person reads: what would steer the screen becomes a space. */
export function printable(text: string): string {
  return text.replace(STEERING, " ");
}

/** The same for several lines: line ends and tabs stay. */
export function printableLines(text: string): string {
  return text.replace(STEERING, (sign, at: number) =>
    sign === "\n" || sign === "\t" || (sign === "\r" && text[at + 1] === "\n") ? sign : " ",
  );
}
