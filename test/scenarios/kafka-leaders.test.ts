/**
 * Three real brokers, of which the leader is killed again and again while the output delivers. Only
 * `npm run proofs` runs it (KAFKA_LEADERS: how many kills), because three brokers need both cores.
 */
import { randomUUID } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, jest, test } from "@jest/globals";
import { KafkaOutput } from "../../src/outputs/kafka.ts";
import { kafkaClient } from "../../src/outputs/kafka-client.ts";
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
const withKafka = KILLS > 0 ? describeWith("Java, Maven and kcat", missingKafkaParts()) : describe.skip;

withKafka("three brokers", () => {
  test(`hold every event once and in order after their leader was killed ${KILLS} times`, async () => {
    const folder = fs.mkdtempSync(join(tmpdir(), "kafka-leaders-"));
    const broker = await KafkaBroker.prepare({ folder, count: 3 });
    try {
      await broker.start();
      await broker.createTopic(TOPIC, 2);
      const names = { name: "outputs[0]", topic: TOPIC, watermarkTopic: "watermarks", user: undefined };
      const log = new FakeLog();
      const output = new KafkaOutput({
        ...names,
        where: broker.address,
        transactionalId: undefined,
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
        log,
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
      const drained = async () => {
        const end = performance.now() + 180_000;
        const until = written.versions + 20;
        // What was written from now on is delivered: the leader that was killed no longer matters.
        const isBehind = () => written.versions < until || output.condition().state !== "up";
        while (isBehind() && performance.now() < end) await pause(50);
      };
      for (let kill = 0; kill < KILLS; kill += 1) {
        await drained();
        const leader = await broker.leaderOf(TOPIC, kill % 2);
        await broker.killOne(leader);
        await drained();
        await broker.startOne(leader);
      }
      written.isOver = true;
      await writing;
      await output.close(180_000);

      const read = broker.read(TOPIC);
      const byObject = new Map<string, number[]>();
      for (const { value } of read) {
        const [object = "", at] = value.split("@");
        byObject.set(object, [...(byObject.get(object) ?? []), Number(at)]);
      }
      const objects = [...byObject.values()];
      const different = objects.reduce((sum, versions) => sum + new Set(versions).size, 0);
      const counts = {
        versions: different,
        lost: OBJECTS * written.versions - different,
        doubled: read.length - different,
        out_of_order: objects.flatMap((versions) => versions.filter((at, i) => at < (versions[i - 1] ?? 0))).length,
      };
      expect(counts).toEqual({ versions: OBJECTS * written.versions, lost: 0, doubled: 0, out_of_order: 0 });
      const inOrder = Array.from({ length: written.versions }, (_, n) => n);
      expect(byObject.size).toBe(OBJECTS);
      for (const versions of objects) expect(versions).toEqual(inOrder);
      noteProof({ name: "kafka-leaders", seed: null, counts: { brokers: 3, leaders_killed: KILLS, ...counts } });
    } finally {
      await broker.kill();
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
});
