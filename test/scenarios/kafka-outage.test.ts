/**
 * An hour in which Kafka commits nothing, in each way in which it can: the program as it is shipped fills its
 * spool, takes no more memory, and commits everything once when Kafka is well again. `npm run proofs` runs
 * the hour; a test on an injected clock beside the output runs in CI.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, jest, test } from "@jest/globals";
import { KafkaBroker, missingKafkaParts } from "../harness/kafka/broker.ts";
import { END_TXN, KafkaProxy } from "../harness/kafka/proxy.ts";
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
import { describeWith } from "../harness/real-parts.ts";
import type { Simulator } from "../harness/simulator/start.ts";

/** 0: CI does not wait that long. */
const MINUTES = Number(process.env["KAFKA_OUTAGE_MINUTES"] ?? 0);
const TOPIC = "th-json";
jest.setTimeout(MINUTES * 60_000 + 3 * OUTAGE_WITHIN_MS);

/** What goes wrong with a broker before the program starts or in its first transaction, and how it ends. */
interface Outage {
  begin(broker: KafkaBroker, proxy: KafkaProxy): Promise<void> | void;
  end(broker: KafkaBroker, proxy: KafkaProxy): Promise<void> | void;
}

const OUTAGES: Readonly<Record<string, Outage>> = {
  refuses: {
    begin: (broker) => broker.kill(),
    end: (broker) => broker.start(),
  },
  // Nobody knows whether the first transaction is committed until the broker goes on.
  hangs: {
    begin: (broker, proxy) => {
      proxy.decide = ({ api }) => {
        if (api === END_TXN) setImmediate(() => broker.signal("SIGSTOP"));
        return "now";
      };
    },
    end: (broker, proxy) => {
      proxy.decide = () => "now";
      broker.signal("SIGCONT");
    },
  },
  "commits nothing": {
    begin: (_, proxy) => {
      proxy.decide = ({ api }) => (api === END_TXN ? "never" : "now");
    },
    end: (_, proxy) => {
      proxy.decide = () => "now";
    },
  },
};

/** One program with a broker of its own. */
class Pair {
  readonly program: OutageProgram;
  readonly #broker: KafkaBroker;
  readonly #proxy: KafkaProxy;
  readonly #outage: Outage;
  readonly #folder: string;

  private constructor(parts: {
    readonly program: OutageProgram;
    readonly broker: KafkaBroker;
    readonly proxy: KafkaProxy;
    readonly outage: Outage;
    readonly folder: string;
  }) {
    this.program = parts.program;
    this.#broker = parts.broker;
    this.#proxy = parts.proxy;
    this.#outage = parts.outage;
    this.#folder = parts.folder;
  }

  static async start(name: string, outage: Outage, root: string, simulator: Simulator): Promise<Pair> {
    const folder = join(root, name.replaceAll(" ", "-"));
    const proxy = await KafkaProxy.open();
    const broker = await KafkaBroker.prepare({ folder, announced: [proxy.port] });
    proxy.lead(broker.port);
    try {
      await broker.start();
      await broker.createTopic(TOPIC, 3);
      await outage.begin(broker, proxy);
      const program = new OutageProgram(name, folder, simulator, [
        "outputs[0].type=kafka",
        `outputs[0].brokers=127.0.0.1:${proxy.port}`,
        "outputs[0].protocol=tcp",
        `outputs[0].topic=${TOPIC}`,
        "outputs[0].format=json",
      ]);
      return new Pair({ program, broker, proxy, outage, folder });
    } catch (error) {
      await broker.kill();
      await proxy.close();
      throw error;
    }
  }

  async heal(): Promise<void> {
    await this.#outage.end(this.#broker, this.#proxy);
  }

  /**
   * Waits until kcat, which sees only what is committed, reads every version. The simulator and the proxies
   * are in this process, and stand still while it reads. So they get three times as long as each reading.
   */
  async everythingCommitted(): Promise<void> {
    await untilWithin(async () => {
      const startedMs = performance.now();
      const isDone = this.program.spoolFiles === 0 && this.#broker.committed(TOPIC) >= OUTAGE_VERSIONS;
      if (!isDone) await pause(3 * (performance.now() - startedMs));
      return isDone;
    }, `${this.program.name}: everything committed`);
  }

  /** What the oracle says of what was committed. */
  async judged(truth: string) {
    const delivered = join(this.#folder, "committed.jsonl");
    writeFileSync(
      delivered,
      this.#broker
        .read(TOPIC)
        .map(({ value }) => `${value}\n`)
        .join(""),
    );
    const { totals } = await consult({ truth, delivered: [delivered], format: "jsonl" });
    return totals;
  }

  async kill(): Promise<void> {
    await this.program.kill();
    await this.#broker.kill();
    await this.#proxy.close();
  }
}

const withKafka = MINUTES > 0 ? describeWith("Java, Maven and kcat", missingKafkaParts()) : describe.skip;

withKafka("an hour in which Kafka", () => {
  test("refuses, hangs or commits nothing takes no memory, and every event is committed once", async () => {
    const root = mkdtempSync(join(tmpdir(), "kafka-outage-"));
    const pairs: Pair[] = [];
    const simulator = await outageSimulator();
    try {
      for (const [name, outage] of Object.entries(OUTAGES)) pairs.push(await Pair.start(name, outage, root, simulator));
      const programs = pairs.map(({ program }) => program);
      const { beyond, peakMib } = await throughOutage(programs, MINUTES);
      expect(beyond).toEqual([]);

      for (const pair of pairs) await pair.heal();
      for (const pair of pairs) await pair.everythingCommitted();
      expect(await Promise.all(programs.map((program) => program.stop()))).toEqual(programs.map(() => 0));
      const totals = await Promise.all(pairs.map((pair) => pair.judged(simulator.ready.control_url)));
      expect(totals).toEqual(
        programs.map(() =>
          expect.objectContaining({
            shown: OUTAGE_VERSIONS,
            delivered: OUTAGE_VERSIONS,
            lost: 0,
            stale: 0,
            duplicated: 0,
            replayed: 0,
            out_of_order: 0,
            changed_bytes: 0,
            unknown: 0,
          }),
        ),
      );
      const sum = (of: (one: (typeof totals)[number]) => number) => totals.reduce((all, one) => all + of(one), 0);
      noteProof({
        name: "kafka-outage",
        seed: null,
        counts: {
          minutes: MINUTES,
          programs: programs.length,
          versions: sum(({ delivered }) => delivered),
          lost: sum(({ lost }) => lost),
          doubled: sum(({ duplicated, replayed }) => duplicated + replayed),
          out_of_order: sum(({ out_of_order }) => out_of_order),
          peak_mib: peakMib,
        },
      });
    } finally {
      for (const pair of pairs) await pair.kill();
      await simulator.stop();
      rmSync(root, { recursive: true, force: true });
    }
  });
});
