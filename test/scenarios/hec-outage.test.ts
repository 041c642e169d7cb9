/**
 * An hour in which HEC takes nothing, in each way in which it can: the program as it is shipped fills its
 * spool, takes no more memory, and delivers everything when HEC is well again. `npm run proofs` runs the
 * hour; a test on an injected clock beside the output runs in CI.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { noteProof } from "../harness/proof.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { tenantLines } from "../harness/simulator/tenant-lines.ts";
import { withoutBudgets } from "../harness/simulator/without-budgets.ts";

/** 0: CI does not wait that long. */
const MINUTES = Number(process.env["HEC_OUTAGE_MINUTES"] ?? 0);
const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
const CUSTOMERS = ["contoso", "fabrikam", "tailspin"];
const PER_CUSTOMER = 1_200;
const SHOWN = CUSTOMERS.length * PER_CUSTOMER;
const SPOOL_MIB = 8;
const MOST_MIB = 200;
const GROWTH_MOST_MIB = 32;
const WITHIN_MS = 900_000;
jest.setTimeout(MINUTES * 60_000 + 2 * WITHIN_MS);

/** Makes HEC take nothing; what it returns makes it well again. */
type Outage = (server: HecServer) => Promise<() => Promise<void>>;

const answering =
  (handle: (server: HecServer, was: HecServer["indexer"]["handle"]) => HecServer["indexer"]["handle"]): Outage =>
  async (server) => {
    const was = server.indexer.handle.bind(server.indexer);
    server.indexer.handle = handle(server, was);
    return async () => void (server.indexer.handle = was);
  };

const OUTAGES: Readonly<Record<string, Outage>> = {
  refuses: async (server) => {
    await server.suspend();
    return () => server.resume();
  },
  hangs: async (server) => {
    await server.suspend();
    const sockets = new Set<Socket>();
    const silent: Server = createServer((socket) => sockets.add(socket.on("error", () => undefined)));
    await new Promise<void>((done) => silent.listen(Number(new URL(server.ready.url).port), "127.0.0.1", done));
    return async () => {
      const closed = new Promise((done) => silent.close(done));
      for (const socket of sockets) socket.destroy();
      await closed;
      await server.resume();
    };
  },
  busy: answering(() => () => ({ status: 503, body: '{"text":"Server is busy","code":9}' })),
  unacknowledged: answering(
    (_, was) => (request) => (request.path.endsWith("/ack") ? { status: 200, body: '{"acks":{}}' } : was(request)),
  ),
};

/** One program with a HEC of its own. */
class Pair {
  readonly name: string;
  readonly folder: string;
  readonly #server: HecServer;
  readonly #heal: () => Promise<void>;
  readonly #child: ReturnType<typeof spawn>;
  readonly ended: Promise<number | null>;
  log = "";
  peakMib = 0;

  private constructor(name: string, folder: string, server: HecServer, heal: () => Promise<void>) {
    this.name = name;
    this.folder = folder;
    this.#server = server;
    this.#heal = heal;
    this.#child = spawn(BINARY, ["run", "--config", join(folder, "run.properties")], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment(),
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (text: Buffer) => (this.log += text.toString()));
    this.ended = new Promise((done) => this.#child.once("close", (code) => done(code)));
  }

  static async start(name: string, outage: Outage, root: string, simulator: Simulator): Promise<Pair> {
    const folder = join(root, name);
    mkdirSync(folder);
    const server = await startHec({ ack: "on", token: TOKEN, port: 0, out: join(folder, "indexed.jsonl") });
    const heal = await outage(server);
    writeFileSync(join(folder, "token"), `${TOKEN}\n`, { mode: 0o600 });
    writeFileSync(
      join(folder, "run.properties"),
      [
        ...tenantLines(simulator.ready, { poll_seconds: "15" }),
        "outputs[0].type=hec",
        `outputs[0].urls=${server.ready.url}`,
        `outputs[0].token=file:${folder}/token`,
        `outputs[0].ca_file=${server.ready.ca_file}`,
        `outputs[0].spool_mib=${SPOOL_MIB}`,
        `state_dir=${folder}/state`,
        "",
      ].join("\n"),
    );
    return new Pair(name, folder, server, heal);
  }

  get isFull(): boolean {
    return this.log.includes(`spool of ${SPOOL_MIB} MiB is full`);
  }

  look(): void {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    this.peakMib = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  }

  heal(): Promise<void> {
    return this.#heal();
  }

  /** Different versions that HEC has indexed. */
  get indexed(): number {
    const file = join(this.folder, "indexed.jsonl");
    if (!existsSync(file)) return 0;
    return new Set([...readFileSync(file, "utf8").matchAll(/"key":"([^"]+)"/g)].map(([, key]) => key)).size;
  }

  async stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    const code = await this.ended;
    await this.#server.stop();
    return code;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
    await this.#server.stop().catch(() => undefined);
  }
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const end = performance.now() + WITHIN_MS;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${WITHIN_MS / 1000} s: ${what}`);
    await pause(500);
  }
}

(MINUTES > 0 ? test : test.skip)(
  "an hour in which HEC refuses, hangs, is busy or acknowledges nothing takes no memory and loses nothing",
  async () => {
    const root = mkdtempSync(join(tmpdir(), "hec-outage-"));
    const pairs: Pair[] = [];
    const simulator = await startSimulator({
      frozen: true,
      scenario: scenarioOf(
        JSON.stringify({
          name: "hec-outage",
          story: "Three customers' histories that fill a spool while HEC takes nothing.",
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
    try {
      withoutBudgets(simulator);
      for (const [name, outage] of Object.entries(OUTAGES)) pairs.push(await Pair.start(name, outage, root, simulator));
      await until(() => pairs.every((pair) => pair.isFull), "every spool full");
      for (const pair of pairs) pair.look();
      const early = pairs.map(({ peakMib }) => peakMib);
      await pause(MINUTES * 60_000);
      for (const pair of pairs) pair.look();
      const growth = pairs.map(({ name, peakMib }, i) => [name, peakMib - (early[i] as number)] as const);
      expect(growth.filter(([, mib]) => mib > GROWTH_MOST_MIB)).toEqual([]);
      expect(pairs.map(({ peakMib }) => peakMib).filter((mib) => mib > MOST_MIB)).toEqual([]);
      const before = pairs.filter(({ name }) => name !== "unacknowledged").map(({ indexed }) => indexed);
      expect(before).toEqual(before.map(() => 0));

      for (const pair of pairs) await pair.heal();
      await until(() => pairs.every(({ indexed }) => indexed >= SHOWN), "everything indexed");
      expect(await Promise.all(pairs.map((pair) => pair.stop()))).toEqual(pairs.map(() => 0));
      noteProof({
        name: "hec-outage",
        seed: null,
        counts: {
          minutes: MINUTES,
          programs: pairs.length,
          versions: pairs.length * SHOWN,
          lost: pairs.reduce((sum, { indexed }) => sum + SHOWN - indexed, 0),
          peak_mib: Math.ceil(Math.max(...pairs.map(({ peakMib }) => peakMib))),
        },
      });
    } finally {
      for (const pair of pairs) await pair.kill();
      await simulator.stop();
      rmSync(root, { recursive: true, force: true });
    }
  },
);
