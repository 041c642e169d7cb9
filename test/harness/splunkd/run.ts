import { type Child, feed } from "./child.ts";
import type { Output } from "./output.ts";
import type { SplunkdLog } from "./splunkd-log.ts";
import type { StreamCheck } from "./stream-check.ts";

export interface RunEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** From SIGTERM to the process being gone; undefined when it was not asked to stop. */
  readonly stopMs: number | undefined;
  /** It had to be killed because it did not stop in time. */
  readonly forced: boolean;
}

export interface RunOptions {
  readonly document: Buffer;
  readonly pieceBytes: number | undefined;
  readonly closeInput: boolean;
  readonly output: Output;
  readonly check: StreamCheck;
  readonly log: SplunkdLog;
  readonly progressed: () => void;
}

/** One run of the input's process. */
export class Run {
  readonly ended: Promise<RunEnd>;
  readonly check: StreamCheck;
  /** Reading was paused or ended on purpose: then a stream that ends early is not the process's fault. */
  interfered = false;
  private readonly child: Child;
  private termAtMs: number | undefined;
  private exitAtMs: number | undefined;
  private forced = false;

  constructor(child: Child, options: RunOptions) {
    this.child = child;
    this.check = options.check;
    child.stdout.on("data", (chunk: Buffer) => {
      options.output.take(chunk, new Date());
      options.check.take(chunk);
      options.progressed();
    });
    child.stdout.on("error", () => undefined);
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      options.log.take(text);
      options.progressed();
    });
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", () => {
        this.exitAtMs = performance.now();
        // What lies in the pipe of a process that is gone can still be read.
        child.stdout.resume();
      });
      child.on("close", (code, signal) => {
        options.log.end();
        child.stdin.destroy();
        const stopMs =
          this.termAtMs === undefined ? undefined : Math.round((this.exitAtMs ?? performance.now()) - this.termAtMs);
        resolve({ code, signal, stopMs, forced: this.forced });
        options.progressed();
      });
    });
    void feed(child, options.document, options.pieceBytes).then(() => options.closeInput && child.stdin.end());
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** Stops reading stdout: the pipe fills and the process has to wait. */
  pauseReading(): void {
    this.interfered = true;
    this.child.stdout.pause();
  }

  resumeReading(): void {
    this.child.stdout.resume();
  }

  /** Closes our end of stdout: the next write of the process fails with EPIPE. */
  cutReader(): void {
    this.interfered = true;
    this.child.stdout.destroy();
  }

  /** Closes all pipes without a signal: splunkd itself was killed. */
  abandon(): void {
    this.interfered = true;
    this.child.stdin.destroy();
    this.child.stdout.destroy();
    this.child.stderr.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    if (signal === "SIGKILL") this.interfered = true;
    this.child.kill(signal);
  }

  /** SIGTERM, and SIGKILL after the grace period. */
  async stop(graceMs: number): Promise<RunEnd> {
    if (this.exitAtMs === undefined) {
      this.termAtMs ??= performance.now();
      this.child.kill("SIGTERM");
    }
    const timer = setTimeout(() => {
      this.forced = true;
      this.child.kill("SIGKILL");
      this.child.stdout.resume();
    }, graceMs);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }
}
