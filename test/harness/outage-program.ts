/**
 * The program as it is shipped, while its receiver takes nothing for a long time: what it keeps in memory and
 * on disk meanwhile, and that it goes on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { childEnvironment } from "./child-environment.ts";
import { collectorProgram } from "./collector-program.ts";
import { scenarioOf } from "./simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "./simulator/start.ts";
import { tenantLines } from "./simulator/tenant-lines.ts";
import { withoutBudgets } from "./simulator/without-budgets.ts";

const CUSTOMERS = ["contoso", "fabrikam", "tailspin"];
const PER_CUSTOMER = 1_200;
/** Versions that one program has to deliver: more than twice what its spool holds. */
export const OUTAGE_VERSIONS = CUSTOMERS.length * PER_CUSTOMER;
const SPOOL_MIB = 8;
export const OUTAGE_WITHIN_MS = 900_000;

/** What a program may take while its receiver is down. */
const MOST = {
  memoryMib: 200,
  /** From the moment when the spool is full. */
  memoryGrowthMib: 32,
  /** With what is kept beside the spool, such as the keys of what was committed. */
  diskMib: SPOOL_MIB + 1,
  /** It says what is wrong, and not with each attempt. */
  logKib: 256,
};

/** The most of each, in its unit. */
export type Taken = Readonly<Record<keyof typeof MOST, number>>;

/** What is more than a program may take, in words. */
export function beyondBounds(name: string, taken: Taken): readonly string[] {
  return (Object.keys(MOST) as (keyof Taken)[])
    .filter((what) => !(taken[what] <= MOST[what]))
    .map((what) => `${name}: ${what} is ${taken[what].toFixed(1)}, and may be ${MOST[what]}`);
}

/** Microsoft's side: histories that fill the spool of a program whose receiver is down. */
export async function outageSimulator(): Promise<Simulator> {
  const simulator = await startSimulator({
    frozen: true,
    scenario: scenarioOf(
      JSON.stringify({
        name: "outage",
        story: "Three customers' histories that fill a spool while the receiver takes nothing.",
        seed: 17,
        customers: CUSTOMERS.map((name) => ({
          name,
          budgets: { graph: { per_minute: 1_000_000 } },
          generate: [{ stream: "alerts", count: PER_CUSTOMER, from: "-3h", to: "-1m", bytes: 5_700 }],
        })),
      }),
      "scenario",
    ),
    warn: () => undefined,
  });
  withoutBudgets(simulator);
  return simulator;
}

/** Waits for the real world, with a bound for a machine that is busy. */
export async function untilWithin(holds: () => boolean | Promise<boolean>, what: string, everyMs = 500): Promise<void> {
  const end = performance.now() + OUTAGE_WITHIN_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${OUTAGE_WITHIN_MS / 1000} s: ${what}`);
    await pause(everyMs);
  }
}

export class OutageProgram {
  readonly name: string;
  readonly #state: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #log = "";
  #memoryMib = 0;
  #memoryWhenFullMib: number | undefined;
  #diskMib = 0;

  /** `outputLines` are the lines of its output, without the spool's size. */
  constructor(name: string, folder: string, simulator: Simulator, outputLines: readonly string[]) {
    this.name = name;
    this.#state = join(folder, "state");
    mkdirSync(folder, { recursive: true });
    const config = join(folder, "run.properties");
    writeFileSync(
      config,
      [
        ...tenantLines(simulator.ready, { poll_seconds: "15", streams: "alerts" }),
        ...outputLines,
        `outputs[0].spool_mib=${SPOOL_MIB}`,
        `state_dir=${this.#state}`,
        "",
      ].join("\n"),
    );
    const { file, before } = collectorProgram({ isRequired: true });
    this.#child = spawn(file, [...before, "run", "--config", config], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment(),
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (text: Buffer) => (this.#log += text.toString()));
    this.#ended = new Promise((done) => this.#child.once("close", (code) => done(code)));
  }

  get isFull(): boolean {
    return this.#log.includes(`spool of ${SPOOL_MIB} MiB is full`);
  }

  get log(): string {
    return this.#log;
  }

  /** Files of its spool that are not delivered as a whole. */
  get spoolFiles(): number {
    return this.#outputFiles().filter((name) => name.endsWith(".spool")).length;
  }

  /** What it has taken so far, at most. Throws when the program is not there any more. */
  look(): Taken {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    this.#memoryMib = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
    if (this.isFull) this.#memoryWhenFullMib ??= this.#memoryMib;
    const bytes = this.#outputFiles()
      // A file may be gone since it was listed.
      .map((name) => statSync(name, { throwIfNoEntry: false })?.size ?? 0)
      .reduce((sum, size) => sum + size, 0);
    this.#diskMib = Math.max(this.#diskMib, bytes / (1 << 20));
    return {
      memoryMib: this.#memoryMib,
      memoryGrowthMib: this.#memoryMib - (this.#memoryWhenFullMib ?? this.#memoryMib),
      diskMib: this.#diskMib,
      logKib: this.#log.length / 1024,
    };
  }

  /** An orderly stop: its exit code. */
  async stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    return this.#ended;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  #outputFiles(): readonly string[] {
    return readdirSync(join(this.#state, "outputs"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name));
  }
}

/** Looks at the programs each five seconds for so long. Returns what is beyond the bounds at the end. */
export async function throughOutage(
  programs: readonly OutageProgram[],
  minutes: number,
): Promise<{ readonly beyond: readonly string[]; readonly peakMib: number }> {
  await untilWithin(() => programs.every((program) => program.isFull), "every spool full");
  const end = performance.now() + minutes * 60_000;
  for (;;) {
    const taken = programs.map((program) => ({ name: program.name, taken: program.look() }));
    const isOver = performance.now() >= end;
    const beyond = taken.flatMap((one) => beyondBounds(one.name, one.taken));
    // An hour that has failed is not waited for.
    if (isOver || beyond.length > 0)
      return { beyond, peakMib: Math.ceil(Math.max(...taken.map((one) => one.taken.memoryMib))) };
    await pause(Math.min(5_000, end - performance.now()));
  }
}
