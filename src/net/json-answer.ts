/**
 * The JSON value of a text from outside, or undefined when it is not JSON. A byte order mark before it is
 * ignored: gateways, proxies and editors write one. Answers with records are read by json/answer-scanner.ts
 * instead, which ignores one too.
 */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text.startsWith("\uFEFF") ? text.slice(1) : text) as unknown;
  } catch {
    return undefined;
  }
}

/** The same of a JSON object; undefined for every other text. */
export function jsonObjectOf(text: string): Readonly<Record<string, unknown>> | undefined {
  const value = jsonOf(text);
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}
