import type { Log, LogFields } from "../../../src/model/ports.ts";

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** The fake for `Log`: keeps what was logged, in order. */
export class FakeLog implements Log {
  readonly lines: LogLine[] = [];

  /** Each line as `level message {"field":"value"}`. */
  get texts(): string[] {
    return this.lines.map(({ level, message, fields }) => `${level} ${message} ${JSON.stringify(fields)}`);
  }

  debug(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "debug", message, fields });
  }
  info(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "info", message, fields });
  }
  warn(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "warn", message, fields });
  }
  error(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "error", message, fields });
  }
  fatal(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "fatal", message, fields });
  }
}
