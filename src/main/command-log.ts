import type { Log, LogFields, LogLevel } from "../model/ports.ts";

const ORDER: readonly LogLevel[] = ["debug", "info", "warn", "error", "fatal"];

/** Log of a command: plain sentences on stderr, results stay on stdout. */
export function commandLog(write: (line: string) => void, level: LogLevel): Log {
  const at = (lineLevel: LogLevel) => (message: string, fields?: LogFields) => {
    if (ORDER.indexOf(lineLevel) < ORDER.indexOf(level)) return;
    const rest = Object.entries(fields ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key}=${/[\s"=]/.test(String(value)) ? JSON.stringify(String(value)) : String(value)}`);
    write([lineLevel.toUpperCase(), message.replaceAll(/[\r\n]+/g, " "), ...rest].join(" "));
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), fatal: at("fatal") };
}
