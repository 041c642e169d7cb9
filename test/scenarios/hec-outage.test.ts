/**
 * An hour in which HEC takes nothing, in each way in which it can: the program as it is shipped fills its
 * spool, takes no more memory, and delivers everything when HEC is well again. `npm run proofs` runs the
 * hour; a test on an injected clock beside the output runs in CI.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, jest, test } from "@jest/globals";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { consult } from "../harness/oracle/main.ts";
import {
  OUTAGE_VERSIONS,
  OUTAGE_WITHIN_MS,
  OutageProgram,
  outageSimulator,
  throughOutage,
  untilWithin,
} from "../harness/outage-program.ts";
import { noteProof } from "../harness/proof.ts";
import type { Simulator } from "../harness/simulator/start.ts";

/** 0: CI does not wait that long. */
const MINUTES = Number(process.env["HEC_OUTAGE_MINUTES"] ?? 0);
const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
jest.setTimeout(MINUTES * 60_000 + 3 * OUTAGE_WITHIN_MS);

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
  readonly program: OutageProgram;
  readonly #server: HecServer;
  readonly #heal: () => Promise<void>;
  readonly #indexed: string;

  private constructor(program: OutageProgram, server: HecServer, heal: () => Promise<void>, indexed: string) {
    this.program = program;
    this.#server = server;
    this.#heal = heal;
    this.#indexed = indexed;
  }

  static async start(name: string, outage: Outage, root: string, simulator: Simulator): Promise<Pair> {
    const folder = join(root, name);
    mkdirSync(folder);
    const indexed = join(folder, "indexed.jsonl");
    writeFileSync(indexed, "");
    const server = await startHec({ ack: "on", token: TOKEN, port: 0, out: indexed });
    const heal = await outage(server);
    writeFileSync(join(folder, "token"), `${TOKEN}\n`, { mode: 0o600 });
    const program = new OutageProgram(name, folder, simulator, [
      "outputs[0].type=hec",
      `outputs[0].urls=${server.ready.url}`,
      `outputs[0].token=file:${folder}/token`,
      `outputs[0].ca_file=${server.ready.ca_file}`,
    ]);
    return new Pair(program, server, heal, indexed);
  }

  heal(): Promise<void> {
    return this.#heal();
  }

  /** What the oracle says of what HEC has indexed. */
  async judged(truth: string) {
    const { totals } = await consult({ truth, delivered: [this.#indexed], format: "jsonl" });
    return totals;
  }

  async kill(): Promise<void> {
    await this.program.kill();
    await this.#server.stop().catch(() => undefined);
  }
}

(MINUTES > 0 ? test : test.skip)(
  "an hour in which HEC refuses, hangs, is busy or acknowledges nothing takes no memory and loses nothing",
  async () => {
    const root = mkdtempSync(join(tmpdir(), "hec-outage-"));
    const pairs: Pair[] = [];
    const simulator = await outageSimulator();
    const truth = simulator.ready.control_url;
    try {
      for (const [name, outage] of Object.entries(OUTAGES)) pairs.push(await Pair.start(name, outage, root, simulator));
      const programs = pairs.map(({ program }) => program);
      const { beyond, peakMib } = await throughOutage(programs, MINUTES);
      expect(beyond).toEqual([]);
      // What it acknowledges never, HEC has indexed all the same.
      const before = pairs.filter(({ program }) => program.name !== "unacknowledged");
      expect(await Promise.all(before.map(async (pair) => (await pair.judged(truth)).delivered))).toEqual([0, 0, 0]);

      for (const pair of pairs) await pair.heal();
      for (const pair of pairs)
        await untilWithin(
          async () => pair.program.spoolFiles === 0 && (await pair.judged(truth)).delivered >= OUTAGE_VERSIONS,
          `${pair.program.name}: everything indexed and confirmed`,
          5_000,
        );
      expect(await Promise.all(programs.map((program) => program.stop()))).toEqual(programs.map(() => 0));
      const totals = await Promise.all(pairs.map((pair) => pair.judged(truth)));
      // The oracle takes an equal key for a copy, and HEC may have copies.
      expect(totals).toEqual(
        programs.map(() =>
          expect.objectContaining({
            shown: OUTAGE_VERSIONS,
            delivered: OUTAGE_VERSIONS,
            lost: 0,
            stale: 0,
            changed_bytes: 0,
            unknown: 0,
          }),
        ),
      );
      noteProof({
        name: "hec-outage",
        seed: null,
        counts: {
          minutes: MINUTES,
          programs: programs.length,
          versions: totals.reduce((sum, { delivered }) => sum + delivered, 0),
          lost: totals.reduce((sum, { lost }) => sum + lost, 0),
          peak_mib: peakMib,
        },
      });
    } finally {
      for (const pair of pairs) await pair.kill();
      await simulator.stop();
      rmSync(root, { recursive: true, force: true });
    }
  },
);
