import { spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";

/** A look is some work itself, so what ends soon is not watched. */
const FIRST_LOOK_AFTER_MS = 1_000;
const BETWEEN_LOOKS_MS = 200;
/** A process alone on an idle machine takes less than this, as a multiple of its own processor time. */
const IDLE = 1.5;
/** Starts the runtime, writes through to the disk, and prints the processor time of that in ms. */
const WORK = `
const fs = require("node:fs");
const file = fs.openSync(process.argv[1], "w");
fs.writeSync(file, Buffer.alloc(65536));
fs.fsyncSync(file);
fs.closeSync(file);
fs.unlinkSync(process.argv[1]);
const { user, system } = process.cpuUsage();
process.stdout.write(String((user + system) / 1000));`;

/** How many times longer than on an idle machine something takes; 1 on an idle one. */
export function slowdownOf(tookMs: number, processorMs: number): number {
  return processorMs > 0 ? Math.max(1, tookMs / (IDLE * processorMs)) : 1;
}

/**
 * Watches how long other work makes a process wait for processor and disk, so that a limit in seconds can be
 * held against the program and not against a busy machine.
 */
export class MachineWatch {
  readonly #file: string;
  readonly #over = new AbortController();
  readonly #looks: Promise<void>;
  #slowest = 1;
  #looking: Promise<void> | undefined;

  /** @param file is written and deleted, on the disk that counts. */
  constructor(file: string) {
    this.#file = file;
    this.#looks = this.#repeat();
  }

  /** The longest so far, with the look that is under way. */
  async slowdown(): Promise<number> {
    await (this.#looking ?? this.#look());
    return this.#slowest;
  }

  /** Stops watching; answers the longest. */
  async end(): Promise<number> {
    this.#over.abort();
    await this.#looks;
    return this.#slowest;
  }

  async #repeat(): Promise<void> {
    const { signal } = this.#over;
    const next = (forMs: number) => pause(forMs, true, { signal, ref: false }).catch(() => false);
    for (let goes = await next(FIRST_LOOK_AFTER_MS); goes; goes = await next(BETWEEN_LOOKS_MS)) await this.#look();
  }

  #look(): Promise<void> {
    this.#looking ??= this.#work().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #work(): Promise<void> {
    const fromMs = performance.now();
    const child = spawn(process.execPath, ["-e", WORK, this.#file], { stdio: ["ignore", "pipe", "ignore"] });
    let printed = "";
    child.stdout.on("data", (piece: Buffer) => (printed += piece.toString()));
    await new Promise<void>((resolve) => child.once("close", () => resolve()).once("error", () => resolve()));
    this.#slowest = Math.max(this.#slowest, slowdownOf(performance.now() - fromMs, Number(printed)));
  }
}
