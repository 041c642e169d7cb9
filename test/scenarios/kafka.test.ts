/**
 * The program as it is shipped and a real broker of Kafka: killed and stopped at random while it delivers.
 * kcat, which shares no code with the program, reads what was committed. `npm run proofs` has the full
 * counts.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  cpSync,
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
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { FAKETIME_LIBRARY, faketimeEnvironment, setWallClock } from "../crash/faketime.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { FakeRandom } from "../harness/fakes/random.ts";
import { BlindWriter } from "../harness/kafka/blind-writer.ts";
import { KafkaBroker, missingKafkaParts, type ReadRecord } from "../harness/kafka/broker.ts";
import { END_TXN, INIT_PRODUCER_ID, KafkaProxy, type KafkaRequest, PRODUCE } from "../harness/kafka/proxy.ts";
import { consult } from "../harness/oracle/main.ts";
import { noteProof } from "../harness/proof.ts";
import { describeWith, REAL_PARTS_REQUIRED } from "../harness/real-parts.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { tenantLines } from "../harness/simulator/tenant-lines.ts";
import { withoutBudgets } from "../harness/simulator/without-budgets.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(3_600_000);

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const KILLS = Number(process.env["KAFKA_KILLS"] ?? (REAL_PARTS_REQUIRED ? 15 : 3));
const STOPS = Number(process.env["KAFKA_STOPS"] ?? (REAL_PARTS_REQUIRED ? 3 : 1));
/** Slow enough that a run meets many transactions, and the next one has some left. */
const EVENTS_PER_SECOND = 40;
const HOUR_S = 3_600;
/** Where the kills fall; a failure names it. */
const SEED = Number(process.env["KAFKA_KILL_SEED"] ?? 20_261_129);
const WITHIN_MS = 300_000;
const CUSTOMERS = ["contoso", "fabrikam", "tailspin"];
const TOPIC = "th-cef";

let folder: string;
let broker: KafkaBroker;
let proxy: KafkaProxy;
let simulator: Simulator | undefined;
let child: ChildProcess | undefined;
let stories = 0;

const withKafka = describeWith("Java, Maven and kcat", missingKafkaParts());

withKafka("the program beside a real Kafka", () => {
  beforeAll(async () => {
    if (!existsSync(BINARY))
      throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
    folder = mkdtempSync(join(tmpdir(), "kafka-"));
    proxy = await KafkaProxy.open();
    broker = await KafkaBroker.prepare({ folder, announced: [proxy.port] });
    proxy.lead(broker.port);
    await broker.start();
  });
  afterEach(async () => {
    child?.kill("SIGKILL");
    proxy.decide = () => "now";
    await simulator?.stop();
    simulator = undefined;
  });
  afterAll(async () => {
    await broker.kill();
    await proxy.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** One story: customers, a topic and a state folder of its own. */
  async function story(
    perCustomer: number,
    format: "cef" | "json",
    more: readonly string[] = [],
    configs: Readonly<Record<string, string>> = {},
  ) {
    stories += 1;
    const home = join(folder, `story-${stories}`);
    const topic = `${TOPIC}-${stories}`;
    await broker.createTopic(topic, 3, configs);
    const history = { from: "-3h", to: "-1m" };
    const started = await startSimulator({
      frozen: true,
      scenario: scenarioOf(
        JSON.stringify({
          name: "kafka",
          story: "Three customers' histories while the program is killed.",
          seed: 17,
          customers: CUSTOMERS.map((name) => ({
            name,
            // The clock stands, so the service's budget of a minute would have to last for all runs together.
            budgets: { graph: { per_minute: 1_000_000 } },
            generate: [
              { stream: "alerts", count: perCustomer, ...history, bytes: 5_700 },
              { stream: "incidents", count: Math.ceil(perCustomer / 10), ...history },
            ],
          })),
        }),
        "scenario",
      ),
      warn: () => undefined,
    });
    simulator = started;
    withoutBudgets(started);
    const { ready } = started;
    const config = `${home}.properties`;
    writeFileSync(
      config,
      [
        ...tenantLines(ready, { poll_seconds: "15" }),
        "outputs[0].type=kafka",
        `outputs[0].brokers=127.0.0.1:${proxy.port}`,
        "outputs[0].protocol=tcp",
        `outputs[0].topic=${topic}`,
        `outputs[0].format=${format}`,
        `state_dir=${home}`,
        ...more,
        "",
      ].join("\n"),
    );
    const shown = CUSTOMERS.length * (perCustomer + Math.ceil(perCustomer / 10));
    return { home, topic, config, shown, truth: ready.control_url };
  }

  type Story = Awaited<ReturnType<typeof story>>;

  function run(
    { config }: Pick<Story, "config">,
    command: readonly string[] = ["run"],
    environment: Readonly<Record<string, string>> = {},
  ) {
    let log = "";
    const started = spawn(BINARY, [...command, "--config", config], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment(environment),
    });
    child = started;
    for (const stream of [started.stdout, started.stderr])
      stream.on("data", (text: Buffer) => {
        log += text.toString();
      });
    return {
      ended: new Promise<number | null>((done) => started.once("close", (code) => done(code))),
      log: () => log,
      kill: (signal: NodeJS.Signals) => started.kill(signal),
    };
  }

  async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const end = performance.now() + WITHIN_MS;
    while (!(await holds())) {
      if (performance.now() > end) throw new Error(`not within ${WITHIN_MS / 1000} s: ${what}`);
      await pause(50);
    }
  }

  /** Runs until Kafka holds everything; then a normal stop. */
  async function finish(it: Story): Promise<string> {
    const running = run(it);
    await until(() => sizeOf(it.home, "committed") > 0 && spooled(it) === 0, "a first transaction");
    await everythingCommitted(it);
    running.kill("SIGTERM");
    expect([await running.ended, running.log()]).toEqual([0, expect.any(String)]);
    return running.log();
  }

  /**
   * Waits as long as versions arrive. The simulator and the proxy are in this process, and stand still while
   * kcat reads a large topic. So they get three times as long as each reading takes.
   */
  async function everythingCommitted(it: Story): Promise<void> {
    let most = -1;
    let end = Number.POSITIVE_INFINITY;
    for (;;) {
      const startedMs = performance.now();
      const { size } = versionsIn(broker.read(it.topic));
      if (size >= it.shown && spooled(it) === 0) return;
      const readAtMs = performance.now();
      if (size > most) {
        most = size;
        end = readAtMs + WITHIN_MS;
      }
      if (readAtMs > end) throw new Error(`${most} of ${it.shown} versions, and none more in ${WITHIN_MS / 1000} s`);
      await pause(Math.max(50, 3 * (readAtMs - startedMs)));
    }
  }

  /** What the oracle says of what was committed. */
  async function judged(it: Story) {
    const delivered = join(folder, `${it.topic}.jsonl`);
    writeFileSync(
      delivered,
      broker
        .read(it.topic)
        .map(({ value }) => `${value}\n`)
        .join(""),
    );
    const { totals } = await consult({ truth: it.truth, delivered: [delivered], format: "jsonl" });
    return totals;
  }

  const exactlyOnce = (it: Story) =>
    expect.objectContaining({
      shown: it.shown,
      delivered: it.shown,
      lost: 0,
      stale: 0,
      duplicated: 0,
      replayed: 0,
      out_of_order: 0,
      changed_bytes: 0,
      unknown: 0,
    });

  test("commits every version once when nothing goes wrong, keyed by object, and a restart repeats nothing", async () => {
    const it = await story(100, "json");
    await finish(it);
    const before = broker.read(it.topic);
    const again = run(it, ["run", "--once"]);
    expect([await again.ended, again.log()]).toEqual([0, expect.any(String)]);

    expect(await judged(it)).toEqual(exactlyOnce(it));
    expect(versionsIn(broker.read(it.topic)).size).toBe(versionsIn(before).size);
    const misplaced = before.filter(({ key, value }) => {
      const { mssp } = JSON.parse(value) as { readonly mssp?: { readonly key: string } };
      return mssp !== undefined && !mssp.key.startsWith(`${key}:`);
    });
    expect(misplaced).toEqual([]);
  });

  test("check commits one event and reads it back, also as CEF", async () => {
    for (const format of ["json", "cef"] as const) {
      const it = await story(1, format);
      const checking = run(it, ["arcsight", "check"]);
      expect([await checking.ended, checking.log()]).toEqual([
        0,
        expect.stringContaining(`one event was committed to the topic ${it.topic} and read back`),
      ]);
      const { value = "" } = broker.read(it.topic)[0] ?? {};
      expect(value).toContain("Test event of `defender-mssp arcsight check`");
      expect(value.startsWith("CEF:0|")).toBe(format === "cef");
      await simulator?.stop();
    }
  });

  test("check says what to do when the topic does not exist, and exits with 5", async () => {
    const it = await story(1, "json");
    writeFileSync(it.config, readFileSync(it.config, "utf8").replace(`.topic=${it.topic}`, ".topic=no-such-topic"));
    const checking = run(it, ["arcsight", "check"]);
    expect([await checking.ended, checking.log()]).toEqual([
      5,
      expect.stringContaining("Kafka has no topic no-such-topic"),
    ]);
    expect(checking.log()).toContain("Have the Kafka administrator create it, or correct .topic.");
  });

  test("an event above the topic's limit goes without its large members and says so", async () => {
    const it = await story(20, "json", ["outputs[0].compression=none"], { "max.message.bytes": "3000" });
    const log = await finish(it);

    expect(log).toContain("an event above Kafka's limit is sent without its large members");
    const { lost, duplicated } = await judged(it);
    expect({ lost, duplicated }).toEqual({ lost: 0, duplicated: 0 });
    const reduced = broker.read(it.topic).filter(({ headers }) => headers.includes("left_out="));
    expect(reduced.length).toBeGreaterThan(0);
  });

  test("a rejected event is resent to the topic with its object's key, and its file is removed", async () => {
    const it = await story(1, "json");
    const key = "11111111-2222-4333-8444-555555555555:alerts:alert:a1:2026-11-29T16:00:00.0000000Z";
    const rejected = join(it.home, "rejected", "kafka-1");
    mkdirSync(rejected, { recursive: true });
    const file = join(rejected, "20261129T160000000Z-1.json");
    const where = `127.0.0.1:${proxy.port} topic ${it.topic}`;
    const parked = { time: "2026-11-29T16:00:00.000Z", output: "outputs[0]", where, key, reason: "too large" };
    writeFileSync(file, JSON.stringify({ ...parked, event: '{"id":"a1"}' }));

    const resent = run(it, ["rejected", "resend"]);
    expect([await resent.ended, resent.log()]).toEqual([0, expect.any(String)]);

    const object = "11111111-2222-4333-8444-555555555555:alerts:alert:a1";
    expect(broker.read(it.topic)).toMatchObject([{ key: object, value: '{"id":"a1"}' }]);
    expect(existsSync(file)).toBe(false);
  });

  test(`loses nothing and doubles nothing through ${KILLS} kills and ${STOPS} stops at random points of its transactions`, async () => {
    const it = await story(Math.max(30, (KILLS + STOPS) * 12), "json");
    const slowly = { config: `${it.config.replace(".properties", "")}-slow.properties` };
    writeFileSync(slowly.config, `${readFileSync(it.config, "utf8")}outputs[0].max_eps=${EVENTS_PER_SECOND}\n`);
    const random = new FakeRandom(SEED);
    const ends = [
      ...Array.from({ length: KILLS }, () => "SIGKILL" as const),
      ...Array.from({ length: STOPS }, () => "SIGSTOP" as const),
    ].sort(() => random.next() - 0.5);
    // One is killed while its transaction is open for certain: else this test might have nothing to hide.
    const open = run(slowly);
    await new Promise<void>((resolve) => {
      proxy.decide = ({ api }) => {
        if (api !== END_TXN) return "now";
        resolve();
        return "never";
      };
    });
    open.kill("SIGKILL");
    await open.ended;
    proxy.decide = () => "now";
    for (const signal of ends) {
      const running = run(slowly);
      // Some fall between two requests of a transaction, some before the first.
      await afterRequests(1 + Math.floor(random.next() * 12));
      await pause(random.next() < 0.7 ? random.next() * 15 : random.next() * 800);
      running.kill(signal);
      if (signal === "SIGSTOP") {
        await pause(200 + random.next() * 1_800);
        running.kill("SIGCONT");
        await pause(random.next() * 300);
        running.kill("SIGKILL");
      }
      // Not of itself.
      expect([await running.ended, running.log()]).toEqual([null, expect.any(String)]);
    }
    await finish(it);

    const totals = await judged(it);
    expect([SEED, totals]).toEqual([SEED, exactlyOnce(it)]);
    const committed = versionsIn(broker.read(it.topic));
    const all = versionsIn(broker.read(it.topic, "read_uncommitted"), "several");
    const hidden = [...all.values()].reduce((sum, count) => sum + count, 0) - committed.size;
    expect(hidden).toBeGreaterThan(0);
    noteProof({
      name: "kafka-kills",
      seed: SEED,
      counts: {
        kills: ends.filter((signal) => signal === "SIGKILL").length,
        stops: ends.filter((signal) => signal === "SIGSTOP").length,
        versions: committed.size,
        lost: totals.lost,
        doubled: totals.duplicated + totals.replayed,
        out_of_order: totals.out_of_order,
        copies_at_read_uncommitted: hidden,
      },
    });
  });

  test("two collectors with a copied state folder shut each other out: it is said who must act, seldom tried again, and nothing is lost", async () => {
    const it = await story(60, "json");
    const slowly = (one: Story): Story => {
      const config = `${one.home}-slow.properties`;
      writeFileSync(config, `${readFileSync(one.config, "utf8")}outputs[0].max_eps=${EVENTS_PER_SECOND}\n`);
      return { ...one, config };
    };
    const first = run(slowly(it));
    await until(() => sizeOf(it.home, "committed") > 0, "a first transaction");
    first.kill("SIGKILL");
    await first.ended;
    const clone: Story = { ...it, home: `${it.home}-clone`, config: `${it.home}-clone.properties` };
    cpSync(it.home, clone.home, { recursive: true });
    writeFileSync(clone.config, readFileSync(it.config, "utf8").replaceAll(it.home, clone.home));
    let fences = 0;
    proxy.decide = ({ api }) => {
      if (api === INIT_PRODUCER_ID) fences += 1;
      return "now";
    };
    const both = [run(slowly(it)), run(slowly(clone))];
    try {
      const says = `another collector uses the transactional id ${transactionalIdOf(it)}, and each shuts the other out`;
      await until(() => both.some(({ log }) => log().includes(says)), "who must act");
      const said = both.map(({ log }) => log()).find((log) => log.includes(says));
      expect(said).toContain("Give each collector its own .transactional_id, or remove that setting");
      // Each is shut out at most three times before it waits a minute.
      expect(fences).toBeLessThan(20);
    } finally {
      for (const one of both) one.kill("SIGKILL");
      await Promise.all(both.map(({ ended }) => ended));
    }
    proxy.decide = () => "now";
    const alone = run(it);
    await until(
      () => spooled(it) === 0 && versionsIn(broker.read(it.topic), "several").size >= it.shown,
      "everything committed",
    );
    alone.kill("SIGTERM");
    expect([await alone.ended, alone.log()]).toEqual([0, expect.any(String)]);

    // Each of the two delivers what it collects: once.
    const counts = [...versionsIn(broker.read(it.topic), "several").values()];
    expect(Math.max(...counts)).toBeLessThanOrEqual(2);
    expect(await judged(it)).toMatchObject({ lost: 0, stale: 0, unknown: 0 });
  });

  const withFaketime = FAKETIME_LIBRARY === undefined ? test.skip : test;
  test("faketime is installed where real parts are required", () => {
    expect(REAL_PARTS_REQUIRED && FAKETIME_LIBRARY === undefined).toBe(false);
  });

  withFaketime(
    "the host's clock steps by an hour, there and back, in each open transaction: every version is committed once",
    async () => {
      const before = await story(40, "json");
      const clock = join(folder, `clock-${stories}`);
      setWallClock(clock, 0);
      let steps = 0;
      proxy.decide = ({ api }) => {
        if (api !== PRODUCE && api !== END_TXN) return "now";
        steps += 1;
        // Each second transaction begins behind, and the others ahead.
        setWallClock(clock, [HOUR_S, 0, -HOUR_S, 0][steps % 4] as number);
        return "now";
      };
      const running = run(before, ["run"], faketimeEnvironment(clock));
      // One transaction may hold all collected before Kafka's first answer. This comes in another one.
      await until(() => steps >= 2, "a first transaction");
      simulator?.control.perform({ do: "record", stream: "alerts", id: randomUUID() });
      const it = { ...before, shown: before.shown + CUSTOMERS.length };
      await everythingCommitted(it);
      running.kill("SIGTERM");
      expect([await running.ended, running.log()]).toEqual([0, expect.any(String)]);

      expect(steps).toBeGreaterThanOrEqual(4);
      expect(await judged(it)).toEqual(exactlyOnce(it));
    },
  );

  withFaketime(
    "suspended for an hour with a transaction that Kafka ends meanwhile, it goes on and commits every version once",
    async () => {
      const it = await story(40, "json");
      const clock = join(folder, `clock-${stories}`);
      setWallClock(clock, 0);
      // All clocks of the program step: for it, the hour has passed.
      const { FAKETIME_DONT_FAKE_MONOTONIC: _, ...environment } = faketimeEnvironment(clock);
      const running = run(it, ["run"], environment);
      await new Promise<void>((resolve) => {
        proxy.decide = ({ api }) => {
          if (api !== END_TXN) return "now";
          running.kill("SIGSTOP");
          resolve();
          return "never";
        };
      });
      proxy.decide = () => "now";
      // As Kafka does after 30 s: it aborts the transaction and shuts its writer out.
      const timedOut = new BlindWriter(transactionalIdOf(it), proxy.port, it.topic, WITHIN_MS);
      await timedOut.open();
      timedOut.close();
      setWallClock(clock, HOUR_S);
      running.kill("SIGCONT");
      await everythingCommitted(it);
      running.kill("SIGTERM");
      expect([await running.ended, running.log()]).toEqual([0, expect.any(String)]);

      expect(await judged(it)).toEqual(exactlyOnce(it));
    },
  );

  /** Resolves when so many requests that belong to transactions have passed. */
  function afterRequests(count: number): Promise<void> {
    return new Promise((resolve) => {
      let left = count;
      const timer = setTimeout(resolve, 15_000);
      proxy.decide = ({ api }: KafkaRequest) => {
        if (api === PRODUCE || api === END_TXN || api === INIT_PRODUCER_ID) left -= 1;
        if (left === 0) {
          clearTimeout(timer);
          resolve();
        }
        return "now";
      };
    });
  }
});

function sizeOf(home: string, name: string): number {
  const outputs = join(home, "outputs");
  const found = existsSync(outputs) ? readdirSync(outputs) : [];
  return found.reduce(
    (sum, one) => sum + (statSync(join(outputs, one, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

function transactionalIdOf({ home }: { readonly home: string }): string {
  const outputs = join(home, "outputs");
  const lane = join(outputs, readdirSync(outputs)[0] as string, "lane");
  return `defender-mssp.${(JSON.parse(readFileSync(lane, "utf8")) as { readonly id: string }).id}`;
}

function spooled({ home }: { readonly home: string }): number {
  const outputs = join(home, "outputs");
  return existsSync(outputs)
    ? readdirSync(outputs, { recursive: true }).filter((name) => String(name).endsWith(".spool")).length
    : 0;
}

/** How often each version is there; health has no key. Throws when one is there twice, unless `several`. */
function versionsIn(records: readonly ReadRecord[], several?: "several"): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const { value } of records) {
    const { mssp } = JSON.parse(value) as { readonly mssp?: { readonly key: string } };
    if (mssp === undefined) continue;
    const count = (found.get(mssp.key) ?? 0) + 1;
    if (count > 1 && several === undefined) throw new Error(`${mssp.key} is there ${count} times`);
    found.set(mssp.key, count);
  }
  return found;
}
