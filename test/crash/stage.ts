import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runDocument } from "../../scripts/bench/collector.ts";
import type { Judgement } from "../harness/oracle/judge.ts";
import { consult } from "../harness/oracle/main.ts";
import type { Microsoft, Watcher } from "./microsoft.ts";
import { Run, type RunOptions } from "./run.ts";
import { watchNames } from "./state-watch.ts";

/** The moments at which the program is killed. */
export const MOMENTS = {
  request: "the n-th request that Microsoft's side receives",
  answer: "the n-th answer half sent",
  read: "the n-th 64 KiB read of its stdout",
  rename: "the n-th change of a name in its state folder",
} as const;
export type Moment = keyof typeof MOMENTS;
export const MOMENT_NAMES = Object.keys(MOMENTS) as Moment[];

/** A program with its first arguments: the built binary alone, or a runtime with a script. */
export type Program = readonly [file: string, ...args: string[]];

const READ_BYTES = 64 * 1024;
/** Leaves more unread in the pipe of a run that is killed. */
const READ_PAUSE_MS = 20;
const MINUTE_MS = 60_000;

// The clock stands during a run, so the service's budget of a minute would have to last for all of its polls.
const budgets = { graph: { per_minute: 1_000_000 } };

/**
 * Two customers whose lists disagree about everything Microsoft leaves open: links or none, order or none.
 * Pages are small, more rows share an instant than fit on one, rows change and come late, some of them only
 * after the first run.
 */
const generated = { from: "-1h", to: "30m", updates: 0.7, update_within: "30m", late: { share: 0.1, by: "1m..9m" } };
export const SCENARIO = {
  name: "crash",
  story: "Two small customers while the program is killed at every step.",
  seed: 41,
  customers: [
    {
      name: "contoso",
      page_max: 9,
      budgets,
      generate: [
        { stream: "alerts", count: 40, ...generated, bytes: 5700, ties: { groups: 1, size: 11 } },
        { stream: "incidents", count: 12, ...generated },
      ],
    },
    {
      name: "fabrikam",
      page_max: 11,
      budgets,
      links: false,
      order: "ignored",
      generate: [
        { stream: "alerts", count: 30, ...generated, bytes: 5700 },
        { stream: "incidents", count: 12, ...generated },
      ],
    },
  ],
} as const;
const STREAMS = 4;

/** Every stream has done a whole walk in this run. */
export const settled = (log: readonly string[]): boolean =>
  log.filter((line) => / stream state changed .*state=ok/.test(line)).length >= STREAMS;

/** Calls `counted` with each count; an answer that is cut off at the n-th never gets its second half. */
export function killing(moment: "request" | "answer", n: number, counted: (count: number) => void): Watcher {
  if (moment === "request") return { requested: counted };
  return {
    async halfSent(count) {
      counted(count);
      if (count === n) await new Promise(() => undefined);
    },
  };
}

/** One state folder and the runs that use it, one after another. `M`: the moments that it knows. */
export class Stage<M extends string = Moment> {
  readonly faults: string[] = [];
  /** A run that is struck does not go on. */
  protected readonly isKilling: boolean = true;
  protected readonly folder: string;
  protected readonly microsoft: Microsoft;
  protected readonly program: Program;
  protected readonly state: string;
  private readonly document: string;
  private readonly home: string;
  private readonly outs: string[] = [];
  private readonly environment: Readonly<Record<string, string>>;

  /** @param environment added to what splunkd gives. */
  constructor(
    folder: string,
    microsoft: Microsoft,
    program: Program,
    environment: Readonly<Record<string, string>> = {},
  ) {
    this.environment = environment;
    this.folder = folder;
    this.microsoft = microsoft;
    this.program = program;
    this.home = join(folder, "home");
    this.document = runDocument(this.home, microsoft.simulator.ready, { poll_seconds: 1, streams: "alerts,incidents" });
    this.state = join(this.home, "var/lib/splunk/modinputs/defender_mssp");
    mkdirSync(this.state, { recursive: true });
  }

  /** Answers whether there was an n-th; a run without one is stopped normally after its first walks. */
  async killedRun(moment: M, n: number): Promise<boolean> {
    let reached = false;
    const counted = (count: number): void => {
      if (count !== n || reached) return;
      reached = true;
      this.strike(run);
    };
    const unwatch = this.watch(moment, n, counted);
    const run = this.start({ readPauseMs: READ_PAUSE_MS, ...(moment === "read" ? { onRead: counted } : {}) });
    await this.through(run, () => reached && this.isKilling);
    unwatch();
    return reached;
  }

  /** What happens to the run at its moment. */
  protected strike(run: Run): void {
    run.kill();
  }

  /** Counts a moment from now on, until the function that is returned is called. */
  protected watch(moment: M, n: number, counted: (count: number) => void): () => void {
    if (moment === "rename") {
      const names = watchNames(this.state, counted);
      return () => names.close();
    }
    const known: string = moment;
    if (known === "request" || known === "answer") return this.microsoft.watch(killing(known, n, counted));
    return () => undefined;
  }

  async settledRun(): Promise<void> {
    await this.through(this.start(), () => false);
  }

  judge(): Promise<Judgement> {
    return consult({ truth: this.truth(), delivered: this.outs, format: "splunk" });
  }

  /** Frees what the stage holds beside its folder. */
  async close(): Promise<void> {}

  /** What Microsoft has shown, as a file. */
  protected truth(): string {
    const file = join(this.folder, "shown.ndjson");
    writeFileSync(file, this.microsoft.simulator.control.shown());
    return file;
  }

  start(reading: Pick<RunOptions, "onRead" | "readPauseMs"> = {}): Run {
    const [program, ...args] = this.program;
    const out = join(this.folder, `${this.outs.length + 1}.xml`);
    this.outs.push(out);
    const environment = { SPLUNK_HOME: this.home, PATH: "/usr/bin:/bin", ...this.environment };
    return new Run({ program, args, environment, document: this.document, out, readBytes: READ_BYTES, ...reading });
  }

  /** Lets the run settle and stop normally, or crash; then a quarter of an hour passes at Microsoft. */
  async through(run: Run, wasKilled: () => boolean): Promise<void> {
    const hasSettled = await run.until(settled);
    const { code } = hasSettled ? await run.stop() : await run.ended;
    if (!wasKilled() && !hasSettled)
      this.faults.push(`run ${this.outs.length} ended by itself: ${run.log.at(-1) ?? "it logged nothing"}`);
    else if (!wasKilled() && code !== 0) this.faults.push(`run ${this.outs.length} ended with exit code ${code}`);
    this.microsoft.simulator.control.advance(15 * MINUTE_MS);
  }
}
