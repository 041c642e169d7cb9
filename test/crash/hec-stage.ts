import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { childEnvironment } from "../harness/child-environment.ts";
import type { HecReply, HecRequest } from "../harness/hec/indexer.ts";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import type { Judgement } from "../harness/oracle/judge.ts";
import { consult } from "../harness/oracle/main.ts";
import { tenantLines } from "../harness/simulator/tenant-lines.ts";
import type { Host } from "./crash.ts";
import type { Microsoft } from "./microsoft.ts";
import { Run } from "./run.ts";
import { type Moment, type Program, Stage } from "./stage.ts";

const AT_HEC = {
  post: "the n-th request with events, before HEC takes them",
  posted: "the n-th request with events, taken and not answered",
  ask: "the n-th question for acknowledgements, not answered",
  asked: "the n-th question for acknowledgements, which HEC has answered and forgotten",
} as const;
type AtHec = keyof typeof AT_HEC;

/** The moments at which the program beside HEC is struck. */
export const HEC_MOMENTS = {
  request: "the n-th request that Microsoft's side receives",
  answer: "the n-th answer of Microsoft half sent",
  rename: "the n-th change of a name in its state folder",
  ...AT_HEC,
} as const satisfies Partial<Record<Moment, string>> & Record<AtHec, string>;
export type HecMoment = keyof typeof HEC_MOMENTS;
export const HEC_MOMENT_NAMES = Object.keys(HEC_MOMENTS) as HecMoment[];

/** What happens at the moment. */
export const STRIKES = {
  kill: "SIGKILL",
  stop: "SIGSTOP, during which HEC restarts and begins its ids at 0,",
} as const;
export type Strike = keyof typeof STRIKES;

const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
/** A normal stop may leave something in the spool when the machine is busy. */
const RUNS_MOST = 5;

/** A collector with HEC as its output. */
class HecStage extends Stage<HecMoment> {
  readonly #hec: HecServer;
  readonly #strike: Strike;
  readonly #config: string;
  readonly #indexed: string;
  protected override readonly isKilling: boolean;
  /** Called for each request, before and after HEC has looked at it. */
  #seen: (moment: AtHec) => void = () => undefined;

  constructor(folder: string, microsoft: Microsoft, program: Program, strike: Strike, hec: HecServer, indexed: string) {
    super(folder, microsoft, program);
    this.#hec = hec;
    this.#strike = strike;
    this.#indexed = indexed;
    this.isKilling = strike === "kill";
    this.#config = join(folder, "run.properties");
    const token = join(folder, "token");
    writeFileSync(token, `${TOKEN}\n`, { mode: 0o600 });
    writeFileSync(
      this.#config,
      [
        ...tenantLines(microsoft.simulator.ready, { poll_seconds: "15", streams: "alerts,incidents" }),
        "outputs[0].type=hec",
        `outputs[0].urls=${hec.ready.url}`,
        `outputs[0].token=file:${token}`,
        `outputs[0].ca_file=${hec.ready.ca_file}`,
        `state_dir=${this.state}`,
        "",
      ].join("\n"),
    );
    const handle = hec.indexer.handle.bind(hec.indexer);
    hec.indexer.handle = (request: HecRequest): HecReply => {
      const isAsk = request.path.split("?")[0]?.endsWith("/ack") === true;
      this.#seen(isAsk ? "ask" : "post");
      if (this.#isLost) return { status: 503, body: "" };
      const reply = handle(request);
      this.#seen(isAsk ? "asked" : "posted");
      return reply;
    };
  }

  /** The program is struck before HEC has looked at the request. */
  #isLost = false;

  override start(): Run {
    const [program, ...args] = this.program;
    return new Run({
      program,
      args: [...args, "run", "--config", this.#config],
      environment: childEnvironment(),
      out: join(this.folder, "stdout"),
    });
  }

  protected override watch(moment: HecMoment, n: number, counted: (count: number) => void): () => void {
    // What goes on gets the second half too.
    if (moment === "answer" && !this.isKilling)
      return this.microsoft.watch({ halfSent: (count) => Promise.resolve(counted(count)) });
    if (!(moment in AT_HEC)) return super.watch(moment, n, counted);
    let count = 0;
    this.#seen = (seen) => {
      this.#isLost = false;
      if (seen !== moment) return;
      count += 1;
      this.#isLost = count === n && (moment === "post" || moment === "ask");
      counted(count);
    };
    return () => {
      this.#seen = () => undefined;
      this.#isLost = false;
    };
  }

  protected override strike(run: Run): void {
    if (this.#strike === "kill") return run.kill();
    process.kill(run.pid, "SIGSTOP");
    void this.#restarted().then(() => process.kill(run.pid, "SIGCONT"));
  }

  /** A connection that is still being opened stays: the program that opens it is stopped. */
  async #restarted(): Promise<void> {
    // What has struck is answered first, into a connection that breaks.
    await pause(0);
    void this.#hec.suspend();
    this.#hec.indexer.restart();
    await this.#hec.resume();
  }

  override async settledRun(): Promise<void> {
    for (let runs = 0; runs < RUNS_MOST; runs += 1) {
      await super.settledRun();
      if (this.#spoolFiles() === 0) return;
    }
    this.faults.push(`events are still in the spool after ${RUNS_MOST} runs`);
  }

  override async judge(): Promise<Judgement> {
    while (this.#hec.indexer.queued > 0) await pause(10);
    return consult({ truth: this.truth(), delivered: [this.#indexed], format: "jsonl" });
  }

  override async close(): Promise<void> {
    await this.#hec.stop();
  }

  #spoolFiles(): number {
    const outputs = join(this.state, "outputs");
    if (!existsSync(outputs)) return 0;
    return readdirSync(outputs, { recursive: true }).filter((name) => String(name).endsWith(".spool")).length;
  }
}

/** The collector with HEC as its output. HEC has copies: with equal keys, and of older versions later. */
export const hecHost = (program: Program, strike: Strike): Host<HecMoment> => ({
  stage: async (folder, microsoft) => {
    const indexed = join(folder, "indexed.jsonl");
    writeFileSync(indexed, "");
    const hec = await startHec({ ack: "on", token: TOKEN, port: 0, out: indexed });
    return new HecStage(folder, microsoft, program, strike, hec, indexed);
  },
  faults: ["lost", "stale", "changed_bytes", "unknown", "unidentified"],
});
