/**
 * Two collectors of one fleet, a real PostgreSQL and a real broker of Kafka. One is suspended while a
 * transaction of the fleet is on its way, another one is killed; kcat, which shares no code with the program,
 * reads what was committed. It takes minutes, so it runs with DEFENDER_MSSP_REAL_PARTS=1 only;
 * FLEET_KAFKA_ROUNDS says how often.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { KafkaBroker, missingKafkaParts } from "../harness/kafka/broker.ts";
import { END_TXN, KafkaProxy } from "../harness/kafka/proxy.ts";
import { consult } from "../harness/oracle/main.ts";
import { FleetStory, type MemberProcess } from "../harness/postgres/fleet-story.ts";
import { missingPostgresParts, PostgresServer } from "../harness/postgres/server.ts";
import { noteProof } from "../harness/proof.ts";
import { describeWith, REAL_PARTS_REQUIRED } from "../harness/real-parts.ts";
import { startWithAlerts } from "../harness/simulator/customers.ts";
import type { Simulator } from "../harness/simulator/start.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(3_600_000);

const ROUNDS = Number(process.env["FLEET_KAFKA_ROUNDS"] ?? 1);
const CUSTOMERS = Array.from({ length: 8 }, (_, n) => `customer-${n + 1}`);
const HISTORY = 20;
const TOPIC = "th-cef";

let folder: string;
let server: PostgresServer;
let broker: KafkaBroker;
let proxy: KafkaProxy;
let simulator: Simulator | undefined;
let current: FleetStory | undefined;

const missing = missingPostgresParts() ?? missingKafkaParts();

describeWith("PostgreSQL, Java, Maven and kcat together", missing)("a fleet beside a real Kafka", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "fleet-kafka-"));
    server = await PostgresServer.start();
    proxy = await KafkaProxy.open();
    broker = await KafkaBroker.prepare({ folder, announced: [proxy.port] });
    proxy.lead(broker.port);
    await broker.start();
    await broker.createTopic(TOPIC, 3);
  });
  afterEach(async () => {
    current?.end();
    proxy.decide = () => "now";
    await simulator?.stop();
    simulator = undefined;
  });
  afterAll(async () => {
    await broker?.kill();
    await proxy?.close();
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Events that a reader sees, in the order of each partition; health left out. */
  const seen = (isolation: "read_committed" | "read_uncommitted" = "read_committed") =>
    broker.read(TOPIC, isolation).flatMap(({ value }) => {
      const { mssp } = JSON.parse(value) as { readonly mssp?: { readonly key: string } };
      return mssp === undefined ? [] : [{ key: mssp.key, value }];
    });

  const fight = REAL_PARTS_REQUIRED ? test : test.skip;
  fight("readers with read_committed see every version once, although two members fight for its shard", async () => {
    const started = await startWithAlerts("fleet-kafka", CUSTOMERS, HISTORY, 31);
    simulator = started;
    const members = { one: server.port, two: server.port };
    const output = [
      "outputs[0].type=kafka",
      `outputs[0].brokers=127.0.0.1:${proxy.port}`,
      "outputs[0].protocol=tcp",
      `outputs[0].topic=${TOPIC}`,
      "outputs[0].format=json",
    ];
    const story = new FleetStory({ folder, name: "kafka", server, ready: started.ready, members, output });
    current = story;
    await story.init();
    let all = CUSTOMERS.length * HISTORY;
    const appear = (count: number): void => {
      for (let n = 0; n < count; n += 1) started.control.perform({ do: "record", stream: "alerts", id: randomUUID() });
      all += count * CUSTOMERS.length;
    };
    const delivered = () =>
      story.until(
        () => story.committed >= all && story.waiting === 0 && broker.committed(TOPIC) >= all,
        "everything so far was delivered",
      );
    const owns = (count: number, ...names: readonly string[]) =>
      story.until(
        () => names.every((name) => story.owners()[name] === count),
        `${names.join(" and ")}: ${count} shards`,
      );
    const counts = { suspended: 0, killed: 0, held_transactions: 0 };
    const running = new Map<string, MemberProcess>();
    const start = (name: string) => void running.set(name, story.start(name));
    for (const name of Object.keys(members)) start(name);
    await owns(128, "one", "two");
    await delivered();
    /** Begins when a transaction of the fleet is to end: that request reaches Kafka only after `late`. */
    const atTheEndOfATransaction = async (late: Promise<void>) => {
      let isHeld = false;
      proxy.decide = ({ api }) => {
        if (api !== END_TXN || isHeld) return "now";
        isHeld = true;
        return { late, answered: () => undefined };
      };
      appear(2);
      await story.until(() => isHeld, "a transaction is about to end");
      proxy.decide = () => "now";
      counts.held_transactions += 1;
    };
    for (let round = 0; round < ROUNDS; round += 1) {
      const [a, b] = round % 2 === 0 ? ["one", "two"] : ["two", "one"];
      let release: () => void = () => undefined;
      await atTheEndOfATransaction(new Promise((resolve) => (release = resolve)));
      running.get(a)?.kill("SIGSTOP");
      counts.suspended += 1;
      appear(1);
      await owns(256, b);
      appear(1);
      // It believes that it owns its shards, and has transactions on their way.
      running.get(a)?.kill("SIGCONT");
      release();
      appear(2);
      await owns(128, "one", "two");
      await delivered();

      await atTheEndOfATransaction(Promise.resolve());
      running.get(b)?.kill("SIGKILL");
      await running.get(b)?.ended;
      counts.killed += 1;
      appear(1);
      await owns(256, a);
      await delivered();
      start(b);
      await owns(128, "one", "two");
    }
    appear(1);
    await delivered();
    for (const member of running.values()) member.kill("SIGTERM");
    for (const member of running.values()) expect([await member.ended, story.log]).toEqual([0, expect.any(String)]);

    const events = seen();
    expect([events.length, new Set(events.map(({ key }) => key)).size, story.committed, story.waiting]).toEqual([
      all,
      all,
      all,
      0,
    ]);
    const file = join(folder, "committed.jsonl");
    writeFileSync(file, events.map(({ value }) => `${value}\n`).join(""));
    const { totals } = await consult({ truth: started.ready.control_url, delivered: [file], format: "jsonl" });
    const none = { lost: 0, stale: 0, duplicated: 0, out_of_order: 0, changed_bytes: 0, unknown: 0 };
    expect(totals).toMatchObject({ shown: all, delivered: all, ...none });
    noteProof({
      name: "fleet-kafka",
      seed: null,
      counts: { ...counts, delivered: all, aborted: seen("read_uncommitted").length - all, lost: 0, doubled: 0 },
    });
  });
});
