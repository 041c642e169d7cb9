/**
 * The JSON value of an answer's text, or undefined when it is not JSON. A byte order mark before it is
 * ignored: gateways and proxies write one.
 */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text.startsWith("\uFEFF") ? text.slice(1) : text) as unknown;
  } catch {
    return undefined;
  }
}
