import type { Log, LogFields, LogLevel } from "../../model/ports.ts";

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4 };
const VALUE_MAX = 2000;

/**
 * Log lines as administrators of connectors know them from `agent.log`: time, level word (ERROR, FATAL and
 * WARN are what they search for), message, fields. One call is one line.
 *
 * @param write takes one line with its `\n`.
 */
export function arcSightLog(write: (line: string) => void, level: LogLevel, nowMs: () => number): Log {
  const at = (own: LogLevel) => (message: string, fields?: LogFields) => {
    if (RANK[own] < RANK[level]) return;
    const time = new Date(nowMs()).toISOString().replace("T", " ").replace("Z", "").replace(".", ",");
    write(`[${time}][${own.toUpperCase()}] ${withFields(message, fields)}\n`);
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), fatal: at("fatal") };
}

function withFields(message: string, fields: LogFields | undefined): string {
  const pairs = Object.entries(fields ?? {}).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${shown(value)}`],
  );
  return [oneLine(message), ...pairs].join(" ");
}

function shown(value: string | number | boolean): string {
  if (typeof value !== "string") return String(value);
  const text = oneLine(value.length > VALUE_MAX ? `${value.slice(0, VALUE_MAX)}…` : value);
  return /^[^\s"=]+$/.test(text) ? text : `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** A line break or control character in a value must not make a second line. */
function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n\u0085\u2028\u2029]+\s*/g, " | ").replaceAll(/\p{Cc}/gu, " ");
}
