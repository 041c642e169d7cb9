import type { Log, LogFields, LogLevel } from "../../model/ports.ts";

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4 };

/** Longer values are truncated, so that a line of splunkd.log stays readable. */
const VALUE_MAX = 2000;

/**
 * Log lines in the form that splunkd reads from stderr: `LEVEL message key=value key="two words"`, one line
 * per message. splunkd takes the level from the beginning of a line and logs a line without one as ERROR
 * (Splunk, "Set up logging" for modular inputs), so a line break inside a message would become an extra
 * error.
 *
 * @param write gets one line with its `\n`.
 * @param level the lowest level that is written; `fatal` is always written.
 */
export function splunkLog(write: (line: string) => void, level: LogLevel): Log {
  const at = (own: LogLevel) => (message: string, fields?: LogFields) => {
    if (RANK[own] >= RANK[level]) write(`${own.toUpperCase()} ${logText(message, fields)}\n`);
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), fatal: at("fatal") };
}

function logText(message: string, fields: LogFields | undefined): string {
  const pairs = Object.entries(fields ?? {}).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${fieldText(value)}`],
  );
  return [oneLine(message), ...pairs].join(" ");
}

function fieldText(value: string | number | boolean): string {
  if (typeof value !== "string") return String(value);
  const text = oneLine(value.length > VALUE_MAX ? `${value.slice(0, VALUE_MAX)}…` : value);
  return /^[^\s"=]+$/.test(text) ? text : `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** Line breaks become ` | ` (as Splunk's .NET SDK writes them), other control characters a space. */
function oneLine(text: string): string {
  let out = "";
  for (const char of text.replace(/\s*(?:\r\n|[\n\r\u0085\u2028\u2029])\s*/g, " | ")) {
    const code = char.codePointAt(0) as number;
    out += code < 0x20 || code === 0x7f ? " " : char;
  }
  return out;
}
