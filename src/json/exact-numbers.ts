/**
 * JSON numbers whose digits a double cannot hold. They are copied, not computed: KQL's `long` and Microsoft's
 * 64-bit ids keep every digit through parsing and writing.
 */

/** A number as it was written. `JSON.stringify` writes it back digit for digit. */
export interface ExactNumber {
  readonly rawJSON: string;
}

/** A whole number: a double where it is exact, else its digits. */
export type WholeNumber = number | ExactNumber;

/** Members of JSON that the runtime has and the compiler's libraries do not. */
interface JsonWithSource {
  readonly rawJSON: (text: string) => ExactNumber;
  readonly isRawJSON: (value: unknown) => boolean;
  readonly parse: (
    text: string,
    reviver: (name: string, value: unknown, context: { readonly source?: string }) => unknown,
  ) => unknown;
}
const JSON_WITH_SOURCE = JSON as unknown as JsonWithSource;

function isExactNumber(value: unknown): value is ExactNumber {
  return JSON_WITH_SOURCE.isRawJSON(value);
}

/** Every double holds all numbers of fewer digits. */
const DIGITS_MIN = 16;

/** Reads JSON as `JSON.parse` does; a number that a double would change becomes an ExactNumber. */
export function parseExactly(text: string): unknown {
  return hasLongNumber(text) ? JSON_WITH_SOURCE.parse(text, exactly) : (JSON.parse(text) as unknown);
}

/** The source is given for what is not an object or an array. */
function exactly(_: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value !== "number" || source === undefined || source.length < DIGITS_MIN) return value;
  return String(value) === source ? value : JSON_WITH_SOURCE.rawJSON(source);
}

/**
 * Whether a number of DIGITS_MIN digits may be in the text. Of so many neighbours one stands at a multiple of
 * that number, so most of the text is not looked at.
 */
function hasLongNumber(text: string): boolean {
  for (let at = DIGITS_MIN - 1; at < text.length; at += DIGITS_MIN) {
    if (!isDigitOrPoint(text.charCodeAt(at))) continue;
    let from = at;
    while (from > 0 && isDigitOrPoint(text.charCodeAt(from - 1))) from--;
    let to = at + 1;
    while (to < text.length && isDigitOrPoint(text.charCodeAt(to))) to++;
    if (to - from >= DIGITS_MIN && (from === 0 || "-:,[ \t\r\n".includes(text[from - 1]!))) return true;
    at += Math.floor((to - 1 - at) / DIGITS_MIN) * DIGITS_MIN;
  }
  return false;
}

function isDigitOrPoint(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2e;
}

const WHOLE = /^-?\d{1,19}$/;

/**
 * A whole number of at most 64 bits, given as a number or as text of digits; undefined for anything else.
 * ArcSight and Splunk read at most 64 bits as a number.
 */
export function wholeNumber(value: unknown): WholeNumber | undefined {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  const digits = typeof value === "string" ? value : digitsOf(value);
  if (digits === undefined || !WHOLE.test(digits)) return undefined;
  if (digits.length < DIGITS_MIN) return Number(digits);
  const exact = BigInt(digits);
  if (BigInt.asIntN(64, exact) !== exact) return undefined;
  const number = Number(exact);
  return Number.isSafeInteger(number) ? number : JSON_WITH_SOURCE.rawJSON(exact.toString());
}

/** A number as text, with the digits that it was written with; undefined for what is not a number. */
export function digitsOf(value: unknown): string | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : undefined;
  return isExactNumber(value) ? value.rawJSON : undefined;
}
