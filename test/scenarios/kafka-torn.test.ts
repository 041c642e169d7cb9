/**
 * An EndTxn that the network holds back until the next transaction is under way. With the old protocol and a
 * blind retry it commits a part of that transaction. The program's writer must not allow that, with a broker
 * that has transactions of version 2 and with one that has not.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { KafkaWriter } from "../../src/outputs/kafka-writer.ts";
import { BlindWriter } from "../harness/kafka/blind-writer.ts";
import { KafkaBroker, missingKafkaParts } from "../harness/kafka/broker.ts";
import { END_TXN, type Fate, KafkaProxy, type KafkaRequest, PRODUCE } from "../harness/kafka/proxy.ts";
import { noteProof } from "../harness/proof.ts";
import { describeWith, REAL_PARTS_REQUIRED } from "../harness/real-parts.ts";

jest.setTimeout(1_800_000);

const ROUNDS = Number(process.env["KAFKA_TORN"] ?? (REAL_PARTS_REQUIRED ? 5 : 2));
/** Two requests of each round get no answer for so long. A busy broker can need more than one second. */
const REQUEST_MS = 3_000;
const TRIES = 20;
const WATERMARKS = "watermarks";
const clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  pause: (forMs: number) => pause(forMs),
};

const withKafka = describeWith("Java, Maven and kcat", missingKafkaParts()).each;

withKafka([
  { version: 2, format: [] },
  { version: 0, format: ["--feature", "transaction.version=0"] },
])("a broker with transactions of version $version", ({ version, format }) => {
  let folder: string;
  let broker: KafkaBroker;
  let proxy: KafkaProxy;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "kafka-torn-"));
    proxy = await KafkaProxy.open();
    broker = await KafkaBroker.prepare({ folder, announced: [proxy.port], format });
    proxy.lead(broker.port);
    await broker.start();
  });
  afterAll(async () => {
    await broker.kill();
    await proxy.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /**
   * The first EndTxn is held back until `release`, and then handed to the broker. Of the Produce requests
   * after `arm`, the second never arrives: there the host crashes.
   */
  function hold() {
    const { promise: late, resolve: release } = Promise.withResolvers<void>();
    const { promise: arrived, resolve: answered } = Promise.withResolvers<number>();
    const { promise: crashed, resolve: crash } = Promise.withResolvers<void>();
    let held = false;
    let produced: number | undefined;
    proxy.decide = ({ api }: KafkaRequest): Fate => {
      if (api === END_TXN && !held) {
        held = true;
        return { late, answered };
      }
      if (api === PRODUCE && produced !== undefined) {
        produced += 1;
        if (produced === 2) {
          crash();
          return "never";
        }
      }
      return "now";
    };
    return {
      release,
      arrived,
      crashed,
      arm: () => {
        produced = 0;
      },
    };
  }

  const copies = (topic: string, round: number) => {
    const keys = broker.read(topic).map(({ key }) => key);
    return ["first", "second", "third"].map((name) => keys.filter((key) => key === `${name}-${round}`).length);
  };

  async function open(topic: string, id: string): Promise<KafkaWriter> {
    return KafkaWriter.open({
      access: { brokers: [`127.0.0.1:${proxy.port}`], protocol: "tcp", sasl: "none", requestMs: REQUEST_MS },
      topic,
      watermarkTopic: WATERMARKS,
      watermarkPartition: undefined,
      transactionalId: id,
      watermarkKey: id,
      compression: "none",
      clock,
      stop: new AbortController().signal,
    });
  }

  const event = (key: string) => ({ key, value: Buffer.from(key) });

  /**
   * What the output does after each error, and the next run: shuts out the writer before, reads how far that
   * came, and sends the rest up to this watermark.
   */
  async function goOn(topic: string, id: string, round: number, to: "1" | "2"): Promise<KafkaWriter> {
    for (let tries = 1; ; tries += 1) {
      let writer: KafkaWriter | undefined;
      try {
        writer = await open(topic, id);
        const at = writer.watermark?.toString();
        if (at === to) return writer;
        const rest = [
          ...(at === "1" ? [] : [event(`first-${round}`)]),
          ...(to === "1" ? [] : [event(`second-${round}`), event(`third-${round}`)]),
        ];
        await writer.commit(rest, Buffer.from(to), 900_000);
        return writer;
      } catch (error) {
        writer?.close();
        if (tries === TRIES) throw error;
      }
    }
  }

  test(`the program's writer commits every event once in ${ROUNDS} of ${ROUNDS} rounds`, async () => {
    const topic = "ours";
    // In one partition, so that each event is a request of its own.
    await broker.createTopic(topic, 1);
    const found: (readonly number[])[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const id = `ours-${round}`;
      const { release, arrived, crashed, arm } = hold();
      let writer = await open(topic, id);
      await expect(writer.commit([event(`first-${round}`)], Buffer.from("1"), 900_000)).rejects.toThrow(
        "Kafka failed: commit",
      );
      writer.close();
      writer = await goOn(topic, id, round, "1");
      arm();
      const second = writer.commit([event(`second-${round}`), event(`third-${round}`)], Buffer.from("2"), 1);
      const ended = second.then(
        () => "committed",
        () => "unknown",
      );
      // A broker that answers the first too late ends it before.
      await Promise.race([crashed, ended]);
      release();
      // Refused: it belongs to an earlier epoch.
      expect(await arrived).not.toBe(0);
      expect(await ended).toBe("unknown");
      writer.close();
      proxy.decide = () => "now";
      (await goOn(topic, id, round, "2")).close();
      found.push(copies(topic, round));
    }
    expect(found).toEqual(Array.from({ length: ROUNDS }, () => [1, 1, 1]));
    const events = found.flat();
    noteProof({
      name: `kafka-late-endtxn-v${version}`,
      seed: null,
      counts: {
        rounds: found.length,
        lost: events.filter((count) => count === 0).length,
        doubled: events.filter((count) => count > 1).length,
      },
    });
  });

  // From version 2 on the broker itself refuses the blind retry's old epoch more often: see the other broker.
  test(`the same network doubles an event in each of ${ROUNDS} rounds with the old protocol and a blind retry`, async () => {
    const topic = "blind";
    await broker.createTopic(topic, 2);
    let torn = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const id = `blind-${round}`;
      const { release, arrived } = hold();
      const blind = new BlindWriter(id, proxy.port, topic, REQUEST_MS);
      await blind.open();
      await blind.send(0, `first-${round}`, "");
      await blind.commit();
      await blind.send(0, `second-${round}`, "");
      release();
      await arrived;
      // The host crashes here: `third` and the watermark were not sent.
      blind.close();
      proxy.decide = () => "now";
      const next = new BlindWriter(id, proxy.port, topic, REQUEST_MS);
      await next.open();
      // It knows that the first transaction is committed, and of the second nothing.
      for (const name of ["second", "third"]) await next.send(1, `${name}-${round}`, "");
      await next.commit();
      next.close();
      if ((copies(topic, round)[1] ?? 0) > 1) torn += 1;
    }
    expect(torn).toBe(ROUNDS);
    noteProof({
      name: `kafka-late-endtxn-v${version}-blind-retry`,
      seed: null,
      counts: { rounds: ROUNDS, doubled: torn },
    });
  });
});
