/** Lines that the program wrote into splunkd.log: pure functions over a search's rows. */
import type { Found } from "../rest-watch.ts";
import { quoted, textIn } from "./history.ts";

export const LOG_EARLIEST = "-24h";
const LINES_MOST = 500;

/** From which level on lines are shown. */
export const LEVELS = {
  all: "",
  warnings: " NOT log_level=INFO NOT log_level=DEBUG",
  errors: " NOT log_level=INFO NOT log_level=DEBUG NOT log_level=WARN",
} as const;
export type Level = keyof typeof LEVELS;

/** As a person may run it too, without what only this page needs. */
export function logSearch(level: Level, text: string): string {
  const words = text.trim() === "" ? "" : ` event_message=${quoted(`*${text.trim()}*`)}`;
  return `index=_internal sourcetype=splunkd defender_mssp event_message="*defender_mssp*"${LEVELS[level]}${words}`;
}

export function logRowsSearch(level: Level, text: string): string {
  return `${logSearch(level, text)} | head ${LINES_MOST} | eval at=_time | table at, log_level, component, event_message`;
}

export interface LogLine {
  readonly atMs: number;
  readonly level: string;
  /** Empty where the line is about no single customer. */
  readonly customer: string;
  readonly text: string;
}

/** The newest first. */
export function logLinesOf(rows: readonly Found[]): readonly LogLine[] {
  return rows.map((row) => {
    // What the program wrote; splunkd's own lines about it stay whole.
    const text = textIn(row, "event_message").replace(/^message from (?:"[^"]*"|\S+) /, "");
    return {
      atMs: Number(textIn(row, "at")) * 1000,
      level: textIn(row, "log_level"),
      customer: fieldIn(text, "tenant") || fieldIn(text, "customer"),
      text,
    };
  });
}

/** `key=value` or `key="two words"`, as the program's log writes it. */
function fieldIn(text: string, key: string): string {
  const [, inQuotes, plain = ""] = new RegExp(`(?:^| )${key}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s"=]+))`).exec(text) ?? [];
  return inQuotes === undefined ? plain : inQuotes.replaceAll(/\\(["\\])/g, "$1");
}
