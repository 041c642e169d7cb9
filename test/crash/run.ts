import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";

/** How a run ended. */
export interface RunEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunOptions {
  readonly program: string;
  readonly args?: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Written to standard input, which then stays open, as splunkd does it. */
  readonly document?: string;
  /**
   * What was read of stdout, byte for byte. What lay unread in the pipe when the run ended is lost, as it is
   * with a real reader.
   */
  readonly out: string;
  /** Called after each full `readBytes` of stdout with their number, from 1. */
  readonly readBytes?: number;
  readonly onRead?: (n: number) => void;
  /** How long to pause after each piece, so that more stays unread in the pipe. */
  readonly readPauseMs?: number;
}

/** One run of the program: started, read, and ended from outside. */
export class Run {
  readonly ended: Promise<RunEnd>;
  /** Lines of standard error, in order. */
  readonly log: string[] = [];
  private readonly child: ChildProcess;
  private readonly out: number;
  private readonly options: RunOptions;
  private bytes = 0;
  private closed = false;
  private wasAskedToStop = false;
  private watchers: (() => void)[] = [];

  constructor(options: RunOptions) {
    this.options = options;
    this.out = openSync(options.out, "w");
    this.child = spawn(options.program, options.args ?? [], {
      cwd: "/",
      env: { ...options.environment },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const { stdin, stdout, stderr } = this.child;
    if (stdin === null || stdout === null || stderr === null) throw new Error("a run needs its three pipes");
    stdin.on("error", () => undefined);
    if (options.document !== undefined) stdin.write(options.document);
    stdout.on("data", (chunk: Buffer) => {
      this.take(chunk);
      if (options.readPauseMs === undefined) return;
      stdout.pause();
      setTimeout(() => stdout.resume(), options.readPauseMs);
    });
    createInterface({ input: stderr }).on("line", (line) => {
      this.log.push(line);
      this.look();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("close", (code, signal) => {
        this.closeOut();
        stdin.destroy();
        resolve({ code, signal });
        this.look();
      });
    });
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /**
   * SIGKILL; from here on nothing more is read. A run that was asked to stop is still read to its end,
   * because a splunkd that asked for the stop still reads.
   */
  kill(): void {
    this.child.kill("SIGKILL");
    if (!this.wasAskedToStop) this.closeOut();
  }

  /** SIGTERM, as splunkd stops an input; SIGKILL after `graceMs`. */
  async stop(graceMs = 120_000): Promise<RunEnd> {
    this.wasAskedToStop = true;
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), graceMs);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  /** Resolves true as soon as `is` holds of the log so far, false when the run ended before that. */
  async until(is: (log: readonly string[]) => boolean): Promise<boolean> {
    for (;;) {
      if (is(this.log)) return true;
      if (this.hasEnded) return false;
      await new Promise<void>((resolve) => this.watchers.push(resolve));
    }
  }

  private look(): void {
    for (const watcher of this.watchers.splice(0)) watcher();
  }

  private take(chunk: Buffer): void {
    const size = this.options.readBytes ?? Number.POSITIVE_INFINITY;
    let at = 0;
    while (at < chunk.length && !this.closed) {
      const room = size - (this.bytes % size);
      const piece = chunk.subarray(at, Number.isFinite(room) ? at + room : undefined);
      writeSync(this.out, piece);
      this.bytes += piece.length;
      at += piece.length;
      if (this.bytes % size === 0) this.options.onRead?.(this.bytes / size);
    }
  }

  private closeOut(): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.out);
  }
}
