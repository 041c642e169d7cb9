/**
 * Three real brokers, of which the coordinator of the output's transactions is stopped, or the leader is
 * killed again and again while the output delivers. Only `npm run proofs` runs the second (KAFKA_LEADERS: how
 * many kills), because three brokers need both cores.
 */
import { randomUUID } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, jest, test } from "@jest/globals";
import { KafkaOutput } from "../../src/outputs/kafka.ts";
import { kafkaClient } from "../../src/outputs/kafka-client.ts";
import { KafkaWriter } from "../../src/outputs/kafka-writer.ts";
import { RejectedEvents } from "../../src/outputs/rejected.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { KafkaBroker, missingKafkaParts } from "../harness/kafka/broker.ts";
import { noteProof } from "../harness/proof.ts";
import { describeWith } from "../harness/real-parts.ts";

jest.setTimeout(1_800_000);

const KILLS = Number(process.env["KAFKA_LEADERS"] ?? 0);
const OBJECTS = 50;
const TOPIC = "th-cef";
const clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  pause: (forMs: number, stop?: AbortSignal) =>
    pause(forMs, undefined, stop === undefined ? {} : { signal: stop }).catch(() => undefined),
};
const withKafka = describeWith("Java, Maven and kcat", missingKafkaParts());
const withLeaders = KILLS > 0 ? withKafka : describe.skip;

/** An output that writes to these brokers, and one version of each object after another into it. */
function openOutput(
  broker: KafkaBroker,
  folder: string,
  topics: { topic: string; watermarkTopic: string },
  id?: string,
) {
  const names = { name: "outputs[0]", ...topics, user: undefined };
  const output = new KafkaOutput({
    ...names,
    where: broker.address,
    transactionalId: id,
    recordFormat: "json",
    compression: "zstd",
    access: { brokers: broker.address.split(","), protocol: "tcp", sasl: "none", requestMs: 5_000 },
    client: (transactionalId) => Promise.resolve(kafkaClient({ ...names, transactionalId })),
    spoolBytes: 64 << 20,
    stateFolder: join(folder, "state"),
    stateName: "kafka-1",
    rejected: new RejectedEvents(folder, fs, clock),
    ports: { disk: fs, clock, platform: process.platform },
    clock,
    random: { next: () => 0.5 },
    newId: randomUUID,
    log: new FakeLog(),
  });
  const written = { versions: 0, isOver: false };
  const writing = (async () => {
    for (; !written.isOver; written.versions += 1) {
      const version = written.versions;
      const lines = Array.from({ length: OBJECTS }, (_, object) => `${object}@${version}\n`);
      let at = 0;
      await output.write({
        bytes: Buffer.from(lines.join("")),
        keys: lines.map(
          (_, object) => `s|t:alerts:alert:${object}:2026-11-29T16:00:00.${String(version).padStart(7, "0")}Z`,
        ),
        ends: lines.map((line) => (at += line.length)),
      });
      await pause(20);
    }
  })();
  return {
    written,
    /** Waits until what is written from now on is delivered: a broker that was killed no longer matters. */
    async drained() {
      const end = performance.now() + 180_000;
      const until = written.versions + 20;
      const isBehind = () => written.versions < until || output.condition().state !== "up";
      while (isBehind() && performance.now() < end) await pause(50);
    },
    async close() {
      written.isOver = true;
      await writing;
      await output.close(180_000);
    },
  };
}

/** What kcat reads of the topic, against what was written. */
function countsOf(broker: KafkaBroker, topic: string, versions: number) {
  const read = broker.read(topic);
  const byObject = new Map<string, number[]>();
  for (const { value } of read) {
    const [object = "", at] = value.split("@");
    byObject.set(object, [...(byObject.get(object) ?? []), Number(at)]);
  }
  const objects = [...byObject.values()];
  const different = objects.reduce((sum, some) => sum + new Set(some).size, 0);
  const counts = {
    versions: different,
    lost: OBJECTS * versions - different,
    doubled: read.length - different,
    out_of_order: objects.flatMap((some) => some.filter((at, i) => at < (some[i - 1] ?? 0))).length,
  };
  return { counts, objects };
}

withKafka("three brokers of which one coordinates the transactions and leads nothing that is written", () => {
  test("hold every event once and in order after that one was killed", async () => {
    const folder = fs.mkdtempSync(join(tmpdir(), "kafka-coordinator-"));
    // A shorter session would also end for a broker that stands still on a busy machine, and leaders move.
    const broker = await KafkaBroker.prepare({ folder, count: 3 });
    try {
      await broker.start();
      // Kafka makes its topic of transactions when it is first asked for a coordinator.
      await broker.createTopic("first", 1);
      await broker.createTopic("first-watermarks", 1);
      const id = "defender-mssp.coordinated";
      const warm = await KafkaWriter.open({
        access: { brokers: broker.address.split(","), protocol: "tcp", sasl: "none" },
        topic: "first",
        watermarkTopic: "first-watermarks",
        watermarkPartition: undefined,
        transactionalId: id,
        watermarkKey: id,
        compression: "none",
        clock,
        stop: new AbortController().signal,
      });
      warm.close();
      const coordinator = await broker.coordinatorOf(id);
      const topicElsewhere = async (name: string) => {
        for (let n = 0; ; n += 1) {
          await broker.createTopic(`${name}-${n}`, 1);
          if ((await broker.leaderOf(`${name}-${n}`, 0)) !== coordinator) return `${name}-${n}`;
        }
      };
      const topics = { topic: await topicElsewhere("events"), watermarkTopic: await topicElsewhere("watermarks") };
      const leaders = () => Promise.all([topics.topic, topics.watermarkTopic].map((one) => broker.leaderOf(one, 0)));
      const before = await leaders();
      const output = openOutput(broker, folder, topics, id);
      await output.drained();
      await broker.killOne(coordinator);
      // The brokers notice only when its session is over; until then nothing has moved.
      while ((await broker.coordinatorOf(id)) === coordinator) await pause(100);
      await output.drained();
      expect(await leaders()).toEqual(before);
      await output.close();

      const { versions } = output.written;
      const { counts } = countsOf(broker, topics.topic, versions);
      expect(counts).toEqual({ versions: OBJECTS * versions, lost: 0, doubled: 0, out_of_order: 0 });
    } finally {
      await broker.kill();
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
});

withLeaders("three brokers", () => {
  test(`hold every event once and in order after their leader was killed ${KILLS} times`, async () => {
    const folder = fs.mkdtempSync(join(tmpdir(), "kafka-leaders-"));
    const broker = await KafkaBroker.prepare({ folder, count: 3 });
    try {
      await broker.start();
      await broker.createTopic(TOPIC, 2);
      const output = openOutput(broker, folder, { topic: TOPIC, watermarkTopic: "watermarks" });
      for (let kill = 0; kill < KILLS; kill += 1) {
        await output.drained();
        const leader = await broker.leaderOf(TOPIC, kill % 2);
        await broker.killOne(leader);
        await output.drained();
        await broker.startOne(leader);
      }
      await output.close();

      const { counts, objects } = countsOf(broker, TOPIC, output.written.versions);
      expect(counts).toEqual({ versions: OBJECTS * output.written.versions, lost: 0, doubled: 0, out_of_order: 0 });
      const inOrder = Array.from({ length: output.written.versions }, (_, n) => n);
      expect(objects).toHaveLength(OBJECTS);
      for (const versions of objects) expect(versions).toEqual(inOrder);
      noteProof({ name: "kafka-leaders", seed: null, counts: { brokers: 3, leaders_killed: KILLS, ...counts } });
    } finally {
      await broker.kill();
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
});
