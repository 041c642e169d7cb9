/**
 * The program as it is shipped, killed at random while it delivers to a fake HEC. What the indexer has
 * indexed is judged: nothing lost, and only equal keys again.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeAll, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { FAKETIME_LIBRARY, faketimeEnvironment, setWallClock } from "../crash/faketime.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { FakeRandom } from "../harness/fakes/random.ts";
import { type AckMode, FakeIndexer } from "../harness/hec/indexer.ts";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { consult } from "../harness/oracle/main.ts";
import { noteProof } from "../harness/proof.ts";
import { REAL_PARTS_REQUIRED } from "../harness/real-parts.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { tenantLines } from "../harness/simulator/tenant-lines.ts";
import { withoutBudgets } from "../harness/simulator/without-budgets.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(900_000);

const KILLS = 10;
/** From nothing to everything delivered, in each way to acknowledge; `npm run proofs` sets more. */
const ROUNDS = Number(process.env["HEC_ROUNDS"] ?? 1);
const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const WITHIN_MS = 300_000;
const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
const CUSTOMERS = ["contoso", "fabrikam", "tailspin"];
const PER_CUSTOMER = { alerts: 500, incidents: 50 };
const SHOWN = CUSTOMERS.length * (PER_CUSTOMER.alerts + PER_CUSTOMER.incidents);
const HOUR_S = 3_600;
const CAN_MOUNT = process.getuid?.() === 0 && spawnSync("unshare", ["--mount", "true"]).status === 0;
/** Where the kills fall; a failure names it. */
const SEED = Number(process.env["HEC_KILL_SEED"] ?? 20_261_129);

let folder: string;
let simulator: Simulator;
let hec: HecServer | undefined;
let child: ChildProcess | undefined;

beforeAll(() => {
  if (!existsSync(BINARY))
    throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
});
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "hec-"));
  const history = { from: "-3h", to: "-1m" };
  simulator = await startSimulator({
    frozen: true,
    scenario: scenarioOf(
      JSON.stringify({
        name: "hec",
        story: "Three customers' histories while the program is killed.",
        seed: 17,
        customers: CUSTOMERS.map((name) => ({
          name,
          // The clock stands, so the service's budget of a minute would have to last for all runs together.
          budgets: { graph: { per_minute: 1_000_000 } },
          generate: [
            { stream: "alerts", count: PER_CUSTOMER.alerts, ...history, bytes: 5_700 },
            { stream: "incidents", count: PER_CUSTOMER.incidents, ...history },
          ],
        })),
      }),
      "scenario",
    ),
    warn: () => undefined,
  });
  withoutBudgets(simulator);
});
afterEach(async () => {
  child?.kill("SIGKILL");
  await hec?.stop();
  hec = undefined;
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

const out = () => join(folder, "indexed.jsonl");

async function start(ack: AckMode, ...more: readonly string[]): Promise<HecServer> {
  hec = await startHec({ ack, token: TOKEN, port: 0, out: out() });
  const { ready } = simulator;
  writeFileSync(join(folder, "token"), `${TOKEN}\n`, { mode: 0o600 });
  writeFileSync(
    join(folder, "run.properties"),
    [
      ...tenantLines(ready, { poll_seconds: "15" }),
      "outputs[0].type=hec",
      `outputs[0].urls=${hec.ready.url}`,
      `outputs[0].token=file:${folder}/token`,
      `outputs[0].ca_file=${hec.ready.ca_file}`,
      `state_dir=${folder}/state`,
      ...more,
      "",
    ].join("\n"),
  );
  return hec;
}

/** @param within starts the program. */
function run(
  command: readonly string[] = ["run"],
  environment: Readonly<Record<string, string>> = {},
  within: readonly string[] = [],
): {
  readonly ended: Promise<number | null>;
  readonly log: () => string;
  kill(signal: NodeJS.Signals): void;
} {
  let log = "";
  const [program, ...args] = [...within, BINARY, ...command, "--config", join(folder, "run.properties")];
  const started = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: childEnvironment(environment),
  });
  child = started;
  for (const stream of [started.stdout, started.stderr]) stream.on("data", (text: Buffer) => (log += text.toString()));
  return {
    ended: new Promise((done) => started.once("close", (code) => done(code))),
    log: () => log,
    kill: (signal) => started.kill(signal),
  };
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + WITHIN_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${WITHIN_MS / 1000} s: ${what}`);
    await pause(20);
  }
}

const size = () => statSync(out(), { throwIfNoEntry: false })?.size ?? 0;

/** Keys of the indexed events with the number of their copies; health events have none. */
async function keys(): Promise<Map<string, { count: number; text: string }>> {
  const found = new Map<string, { count: number; text: string }>();
  if (!existsSync(out())) return found;
  for await (const line of createInterface({ input: createReadStream(out()) })) {
    const { mssp } = JSON.parse(line) as { readonly mssp?: { readonly key: string } };
    if (mssp === undefined) continue;
    const known = found.get(mssp.key);
    if (known === undefined) found.set(mssp.key, { count: 1, text: line });
    else {
      known.count += 1;
      // A copy is the same event, whatever found it again.
      if (withoutFound(line) !== withoutFound(known.text)) throw new Error(`another event with the key ${mssp.key}`);
    }
  }
  return found;
}

/** Events that are indexed more than once. */
async function copies(): Promise<number> {
  return [...(await keys()).values()].reduce((sum, { count }) => sum + count - 1, 0);
}

/** Every acknowledgement stays false until `release`. */
function holdAcks(indexer: HecServer["indexer"]): { release(): void } {
  const was = indexer.handle.bind(indexer);
  indexer.handle = (request) => {
    if (!request.path.endsWith("/ack")) return was(request);
    indexer.asks += 1;
    return { status: 200, body: '{"acks":{}}' };
  };
  return { release: () => void (indexer.handle = was) };
}

function withoutFound(line: string): string {
  return line.replace(/"found":"\w+"/, "");
}

function spooled(): number {
  const outputs = join(folder, "state", "outputs");
  return existsSync(outputs)
    ? readdirSync(outputs, { recursive: true }).filter((name) => String(name).endsWith(".spool")).length
    : 0;
}

async function stopInOrder(running: ReturnType<typeof run>): Promise<void> {
  // Node itself ends at a signal that comes before the program's first line of log.
  await until(() => running.log() !== "", "a line of log");
  running.kill("SIGTERM");
  expect([await running.ended, running.log()]).toEqual([0, expect.any(String)]);
}

/** Runs until everything shown is indexed and confirmed; then a normal stop. */
async function finish(): Promise<string> {
  const running = run();
  await until(async () => (await keys()).size >= SHOWN && spooled() === 0, "everything indexed and confirmed");
  await stopInOrder(running);
  return running.log();
}

async function judged() {
  const { totals } = await consult({ truth: simulator.ready.control_url, delivered: [out()], format: "jsonl" });
  return totals;
}

/** What the oracle says when nothing is missing and nothing came twice. */
const EACH_ONCE = {
  shown: SHOWN,
  delivered: SHOWN,
  lost: 0,
  stale: 0,
  duplicated: 0,
  changed_bytes: 0,
  unknown: 0,
};

describe("the program beside a HEC with acknowledgement", () => {
  test("delivers every version once when nothing goes wrong, and a restart after an orderly stop repeats nothing", async () => {
    await start("on");
    await finish();
    const before = await keys();
    const again = run(["run", "--once"]);
    expect([await again.ended, again.log()]).toEqual([0, expect.any(String)]);

    expect(await judged()).toMatchObject({ ...EACH_ONCE, replayed: 0, out_of_order: 0 });
    expect((await keys()).size).toBe(before.size);
  });

  const rounds = Array.from({ length: ROUNDS }, (_, n) => n + 1);
  /** What all rounds of one way to acknowledge have counted. */
  const counted = new Map<AckMode, { readonly kills: number; readonly versions: number; readonly lost: number }>();
  test.each(rounds.flatMap((round) => (["on", "late", "restart"] as const).map((ack) => [ack, round] as const)))(
    "loses nothing and repeats only equal keys through 10 kills at random points: ack %s, round %i",
    async (ack, round) => {
      await start(ack);
      const seed = SEED + round - 1;
      const random = new FakeRandom(seed);
      let kills = 0;
      for (; kills < KILLS; kills += 1) {
        const running = run();
        const from = size();
        // Some die while they start, some in the middle of their batches, some between events and checkpoint.
        const bytes = Math.floor(random.next() * 900_000);
        const waitMs = 200 + random.next() * 1_800;
        const end = performance.now() + 20_000;
        while (size() - from < bytes && performance.now() < end && (await keys()).size < SHOWN) await pause(10);
        await pause(random.next() < 0.5 ? 0 : waitMs);
        running.kill("SIGKILL");
        // Not of itself.
        expect([await running.ended, running.log()]).toEqual([null, expect.any(String)]);
      }
      const log = await finish();

      const totals = await judged();
      expect([seed, totals, log]).toEqual([
        seed,
        expect.objectContaining({ shown: SHOWN, delivered: SHOWN, lost: 0, stale: 0, changed_bytes: 0, unknown: 0 }),
        expect.not.stringContaining(TOKEN),
      ]);
      expect((await keys()).size).toBe(SHOWN);
      const before = counted.get(ack) ?? { kills: 0, versions: 0, lost: 0 };
      const counts = {
        kills: before.kills + kills,
        versions: before.versions + totals.delivered,
        lost: before.lost + totals.lost,
      };
      counted.set(ack, counts);
      if (round === ROUNDS) noteProof({ name: `hec-kills-${ack}`, seed: SEED, counts });
    },
  );

  test("keeps collecting while HEC is gone, waits when its spool is full, and loses nothing", async () => {
    const server = await start("on", "outputs[0].spool_mib=2");
    await server.suspend();
    const running = run();
    await until(() => /spool of 2 MiB is full/.test(running.log()), "a full spool");
    expect((await keys()).size).toBe(0);
    await server.resume();
    await until(async () => (await keys()).size >= SHOWN && spooled() === 0, "everything indexed and confirmed");
    await stopInOrder(running);

    expect(await judged()).toMatchObject({ shown: SHOWN, delivered: SHOWN, lost: 0, stale: 0, unknown: 0 });
    expect(running.log()).toContain("the receiver is back");
  });

  test("an acknowledgement endpoint that lies, is cut and names other ids makes nothing count as delivered that is not", async () => {
    const { indexer } = await start("wrong");
    await finish();

    expect(indexer.asks).toBeGreaterThan(3);
    expect(await judged()).toMatchObject(EACH_ONCE);
    expect(await copies()).toBe(0);
  });

  test("two indexers behind a balancer that keeps nobody at one of them: the log says what to do, and nothing is lost", async () => {
    const { indexer } = await start("on");
    const other = new FakeIndexer({
      token: TOKEN,
      ack: "on",
      nowMs: () => performance.now(),
      random: Math.random,
      indexed: (events) => appendFileSync(out(), events.map((event) => `${event}\n`).join("")),
    });
    const own = indexer.handle.bind(indexer);
    let asked = 0;
    indexer.handle = (request) => {
      other.tick();
      asked += 1;
      return asked % 2 === 0 ? own(request) : other.handle(request);
    };
    const running = run();
    await until(() => /a load balancer sends requests to several indexers/.test(running.log()), "what is wrong");
    // Somebody turns sticky sessions on.
    indexer.handle = (request) => {
      other.tick();
      return own(request);
    };
    await until(async () => (await keys()).size >= SHOWN && spooled() === 0, "everything indexed and confirmed");
    await stopInOrder(running);

    expect(running.log()).toContain("Turn on sticky sessions");
    expect(Math.min(indexer.posts, other.posts)).toBeGreaterThan(0);
    expect(await judged()).toMatchObject({ shown: SHOWN, delivered: SHOWN, lost: 0, stale: 0, unknown: 0 });
  });

  const withFaketime = FAKETIME_LIBRARY === undefined ? test.skip : test;
  test("faketime is installed where real parts are required", () => {
    expect(REAL_PARTS_REQUIRED && FAKETIME_LIBRARY === undefined).toBe(false);
  });

  withFaketime("the host's clock steps by an hour and by two while batches are open: each is sent once", async () => {
    const { indexer } = await start("on");
    const clock = join(folder, "clock");
    setWallClock(clock, 0);
    const held = holdAcks(indexer);
    const running = run(["run"], faketimeEnvironment(clock));
    for (const offsetS of [HOUR_S, -HOUR_S]) {
      await until(() => indexer.posts > 0, "open batches");
      setWallClock(clock, offsetS);
      // Only after the step: a wait that goes by this clock ends, or never ends.
      const asks = indexer.asks;
      await until(() => indexer.asks >= asks + 2, "questions for acknowledgements behind the step");
    }
    held.release();
    await until(async () => (await keys()).size >= SHOWN && spooled() === 0, "everything indexed and confirmed");
    await stopInOrder(running);

    expect(await judged()).toMatchObject({ shown: SHOWN, delivered: SHOWN, lost: 0, stale: 0, unknown: 0 });
    expect(await copies()).toBe(0);
  });

  withFaketime(
    "suspended for an hour with open batches, longer than any of its waits, it goes on and loses nothing",
    async () => {
      const server = await start("on");
      const clock = join(folder, "clock");
      setWallClock(clock, 0);
      const held = holdAcks(server.indexer);
      // All clocks of the program step: for it, the hour has passed.
      const { FAKETIME_DONT_FAKE_MONOTONIC: _, ...environment } = faketimeEnvironment(clock);
      const running = run(["run"], environment);
      await until(() => server.indexer.asks >= 2, "batches without an acknowledgement");
      running.kill("SIGSTOP");
      setWallClock(clock, HOUR_S);
      // Nobody keeps a silent connection for an hour.
      await server.suspend();
      await server.resume();
      held.release();
      running.kill("SIGCONT");
      await until(async () => (await keys()).size >= SHOWN && spooled() === 0, "everything indexed and confirmed");
      await stopInOrder(running);

      expect(await judged()).toMatchObject({ shown: SHOWN, delivered: SHOWN, lost: 0, stale: 0, unknown: 0 });
    },
  );

  const inNamespace = CAN_MOUNT ? test : test.skip;
  if (!CAN_MOUNT) process.stderr.write("NOT tested with a full file system: that needs root and mount namespaces\n");
  inNamespace(
    "a full disk under its spool makes collection wait, says so, and loses nothing when there is room",
    async () => {
      const server = await start("on");
      await server.suspend();
      const outputs = join(folder, "state", "outputs");
      mkdirSync(outputs, { recursive: true });
      const script = `mount -t tmpfs -o size=3m tmpfs ${outputs}; exec "$0" "$@"`;
      const running = run(["run"], {}, ["unshare", "--mount", "sh", "-euc", script]);
      await until(() => /the disk is full/.test(running.log()), "a full disk");
      expect(running.log()).toContain("Free disk space");
      await server.resume();
      await until(async () => (await keys()).size >= SHOWN, "everything indexed");
      await stopInOrder(running);

      expect(running.log()).not.toMatch(/ENOSPC|defect/);
      expect(await judged()).toMatchObject({ shown: SHOWN, delivered: SHOWN, lost: 0, stale: 0, unknown: 0 });
      expect(await copies()).toBe(0);
    },
  );

  test("a token that is put into its file while the program runs counts without a restart or a signal", async () => {
    const { ready } = await start("on");
    writeFileSync(join(folder, "token"), "the-token-before\n");
    const running = run();
    await until(() => running.log().includes(`HEC at ${ready.url} refuses events`), "the refused token");
    expect((await keys()).size).toBe(0);
    writeFileSync(join(folder, "token"), `${TOKEN}\n`);
    await until(async () => (await keys()).size >= SHOWN && spooled() === 0, "everything indexed and confirmed");
    await stopInOrder(running);

    expect(running.log().split(" started ")).toHaveLength(2);
    expect(running.log()).not.toContain(TOKEN);
    expect(await judged()).toMatchObject({ shown: SHOWN, delivered: SHOWN, lost: 0, unknown: 0 });
  });

  test("rejected events are listed, shown, and removed when Splunk takes them", async () => {
    const { ready } = await start("on");
    const key = "11111111-2222-4333-8444-555555555555:alerts:alert:a1:2026-11-29T16:00:00.0000000Z";
    const rejected = join(folder, "state", "rejected", "hec-1");
    mkdirSync(rejected, { recursive: true });
    const file = join(rejected, "20261129T160000000Z-1.json");
    const event = JSON.stringify({ event: '{"id":"a1"}' });
    const reason = "400, code 7: Incorrect index";
    const parked = { time: "2026-11-29T16:00:00.000Z", output: "outputs[0]", where: ready.url, key, reason, event };
    writeFileSync(file, JSON.stringify(parked));

    const listed = run(["rejected", "list"]);
    expect([await listed.ended, listed.log()]).toEqual([0, expect.stringContaining(`${key}  ${reason}`)]);
    const shown = run(["rejected", "show", key]);
    expect([await shown.ended, shown.log()]).toEqual([0, expect.stringContaining(event)]);
    const resent = run(["rejected", "resend"]);
    expect([await resent.ended, resent.log()]).toEqual([0, expect.not.stringContaining(TOKEN)]);

    expect(readFileSync(out(), "utf8")).toBe('{"id":"a1"}\n');
    expect(existsSync(file)).toBe(false);
  });

  test("check sends one event and waits for its acknowledgement", async () => {
    await start("on");
    const checking = run(["arcsight", "check"]);
    expect([await checking.ended, checking.log()]).toEqual([0, expect.stringContaining("indexed one event")]);
    expect(checking.log()).not.toContain(TOKEN);
  });
});
