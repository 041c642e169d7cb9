import type { Log, LogFields, LogLevel } from "../model/ports.ts";
import { printable } from "../model/printable.ts";

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4 };

/** A field's value longer than this is cut: a log line is for reading. */
const VALUE_MAX = 2000;

/**
 * The log of every host: one line per call, `LEVEL message key=value key="two words"`.
 *
 * splunkd gives a line the level it begins with and files a line without one as ERROR (Splunk, "Set up
 * logging" for modular inputs), so a line break inside a message would be an error of its own.
 *
 * @param write takes one line with its `\n`.
 * @param level the least level that is written; `fatal` always is.
 * @param begin what stands before the message and its space.
 */
export function lineLog(
  write: (line: string) => void,
  level: LogLevel,
  begin: (own: LogLevel) => string = (own) => own.toUpperCase(),
): Log {
  const at = (own: LogLevel) => (message: string, fields?: LogFields) => {
    if (RANK[own] >= RANK[level]) write(`${begin(own)} ${logText(message, fields)}\n`);
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), fatal: at("fatal") };
}

/**
 * Begins a line as administrators of connectors know it from `agent.log`: `[2026-11-29 12:00:00,000][WARN]`.
 * The level words are what they search for.
 */
export function timedLevel(nowMs: () => number): (level: LogLevel) => string {
  return (level) => {
    const time = new Date(nowMs()).toISOString().replace("T", " ").replace("Z", "").replace(".", ",");
    return `[${time}][${level.toUpperCase()}]`;
  };
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

/** Line breaks become ` | ` (as Splunk's .NET SDK writes them), what steers a terminal a space. */
function oneLine(text: string): string {
  return printable(text.replaceAll(/\s*[\r\n\u0085\u2028\u2029]+\s*/g, " | "));
}
