import type { Log, LogFields, LogLevel } from "../../model/ports.ts";

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4 };

/** A field's value longer than this is cut: one line of splunkd.log is for reading. */
const VALUE_MAX = 2000;

/**
 * Log lines as splunkd takes them from stderr: `LEVEL message key=value key="two words"`, one line per
 * message. splunkd gives a line the level it begins with and files a line without one as ERROR (Splunk, "Set
 * up logging" for modular inputs), so a line break inside would be an error of its own.
 *
 * @param write takes one line with its `\n`.
 * @param level the least level that is written; `fatal` always is.
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
