const LEVELLED = /^(DEBUG|INFO|WARN|ERROR|FATAL) /;

/**
 * Turns a child's stderr into the lines of splunkd.log: the level is the line's first word, a line without
 * one is logged as ERROR, DEBUG is dropped unless its category is raised. (Public source: Splunk, "Set up
 * logging" for modular inputs.)
 */
export class SplunkdLog {
  /** Lines that carried no level, the first few: the runtime's own warnings would be among them. */
  readonly unlevelled: string[] = [];
  private rest = "";
  private readonly executable: string;
  private readonly write: (line: string) => void;
  private readonly now: () => Date;

  constructor(executable: string, write: (line: string) => void, now: () => Date) {
    this.executable = executable;
    this.write = write;
    this.now = now;
  }

  take(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.line(line);
  }

  end(): void {
    if (this.rest !== "") this.line(this.rest);
    this.rest = "";
  }

  private line(line: string): void {
    const level = LEVELLED.exec(line)?.[1];
    if (level === undefined && this.unlevelled.length < 10) this.unlevelled.push(line);
    if (level === "DEBUG") return;
    const text = level === undefined ? line : line.slice(level.length + 1);
    this.write(
      `${stamp(this.now())} ${(level ?? "ERROR").padEnd(5)} ExecProcessor - message from "${this.executable}" ${text}`,
    );
  }
}

/** A line of splunkd's own. */
export function ownLine(now: Date, level: "INFO" | "WARN" | "ERROR", component: string, text: string): string {
  return `${stamp(now)} ${level.padEnd(5)} ${component} - ${text}`;
}

/** `11-24-2026 18:40:12.345 +0000` */
function stamp(at: Date): string {
  const iso = at.toISOString();
  return `${iso.slice(5, 7)}-${iso.slice(8, 10)}-${iso.slice(0, 4)} ${iso.slice(11, 23)} +0000`;
}
