/**
 * JSON on one line of printable ASCII: splunkd may trim what it stores, and its limits may count bytes.
 *
 * @param others what is written as `\uXXXX`: everything but printable ASCII, or more.
 */
export function asciiJson(value: unknown, others = /[^ -~]/g): string {
  return JSON.stringify(value).replace(others, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
