import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { ROOT, ScriptProblem } from "../build/project.ts";

/** A process the demo started: its lines as they come, and how it ended. */
export class Child {
  readonly ended: Promise<number>;
  readonly lines: string[] = [];
  readonly complaints: string[] = [];
  private readonly process: ChildProcess;
  private readonly name: string;
  private wake: () => void = () => undefined;

  constructor(name: string, program: string, args: readonly string[]) {
    this.name = name;
    this.process = spawn(program, args, { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
    const { stdout, stderr } = this.process;
    if (stdout === null || stderr === null) throw new ScriptProblem(`${name} has no output.`);
    createInterface({ input: stdout }).on("line", (line) => this.took(this.lines, line));
    createInterface({ input: stderr }).on("line", (line) => this.took(this.complaints, line));
    this.ended = new Promise((resolve) => {
      this.process.once("error", (cause) => {
        this.complaints.push(cause.message);
        resolve(1);
      });
      this.process.once("close", (code) => {
        resolve(code ?? 1);
        this.wake();
      });
    });
  }

  get pid(): number {
    return this.process.pid ?? -1;
  }

  /** Writes one line to its standard input, as a person would. */
  type(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  /**
   * The first line on either output that `found` makes something of. Throws ScriptProblem when it ends, or
   * `withinMs` pass, before that.
   */
  async firstLine<T>(found: (line: string) => T | undefined, withinMs: number): Promise<T> {
    const deadlineMs = performance.now() + withinMs;
    for (;;) {
      for (const line of [...this.lines, ...this.complaints]) {
        const result = found(line);
        if (result !== undefined) return result;
      }
      if (this.process.exitCode !== null)
        throw new ScriptProblem(
          `${this.name} ended with exit code ${this.process.exitCode}: ${this.complaints.at(-1) ?? "it said nothing"}`,
        );
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0)
        throw new ScriptProblem(
          `${this.name} was not ready within ${withinMs / 1000} s: ${this.complaints.at(-1) ?? "it said nothing"}`,
        );
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, Math.min(leftMs, 250));
      });
    }
  }

  /** Asks it to stop and waits; kills it after `withinMs`. Answers its exit code. */
  async stop(withinMs = 10_000): Promise<number> {
    if (this.process.exitCode === null) this.process.kill("SIGTERM");
    const killing = setTimeout(() => this.process.kill("SIGKILL"), withinMs);
    const code = await this.ended;
    clearTimeout(killing);
    return code;
  }

  /** As a host that loses its power. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.ended;
  }

  private took(lines: string[], line: string): void {
    lines.push(line);
    this.wake();
  }
}

/**
 * A harness program of this repository, on the pinned runtime. Started without npm, so that SIGTERM reaches
 * it.
 */
export function harness(name: "simulator" | "splunkd" | "splunkweb" | "oracle", args: readonly string[]): Child {
  return new Child(name, process.execPath, [
    "--import",
    "./scripts/pinned-runtime.mjs",
    `test/harness/${name}/main.ts`,
    ...args,
  ]);
}
