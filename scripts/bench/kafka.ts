import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { KafkaBroker, missingKafkaParts } from "../../test/harness/kafka/broker.ts";
import { ROOT, ScriptProblem } from "../build/project.ts";
import { type Arrived, Helper, peakOf, properties } from "./arcsight.ts";
import { memoryOf } from "./collector.ts";
import type { Microsoft } from "./microsoft.ts";
import { type Bench, median, type Outcome, round, WITHIN_MS, withMicrosoft } from "./runs.ts";

const WANTED = 25 * 8000;
const LOAD = resolve(ROOT, "test/scenarios/load-25x8000.yaml");
const PARTITIONS = 4;
const TARGET = 10_000;
/** Each look costs the broker a connection. */
const LOOK_EVERY_MS = 200;

/** Row `kafka`: from the start of `run` to the last alert that a reader of the topic sees as committed. */
export async function alertsToKafka(bench: Bench): Promise<Outcome[]> {
  const missing = missingKafkaParts();
  if (missing !== undefined) {
    bench.say(`  left out, because it needs Java, Maven and kcat: ${missing}.`);
    return [];
  }
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  const broker = await KafkaBroker.prepare({ folder });
  try {
    await broker.start();
    return await withMicrosoft(LOAD, async (microsoft) => {
      // The first reader makes the simulator prepare its pages.
      await toKafka(bench, microsoft, broker, "first");
      const seen: Arrived[] = [];
      for (let run = 0; run < bench.runs; run += 1) {
        await bench.rateTargets.beside("kafka", microsoft);
        seen.push(await toKafka(bench, microsoft, broker, `run-${run}`));
      }
      const target = bench.rateTargets.of(TARGET);
      const rates = seen.map(({ seconds }) => WANTED / seconds);
      const rate = median(rates);
      return [
        {
          name: "kafka",
          value: round(rate),
          unit: "alerts/s",
          target: target.said,
          holds: rate >= target.rate,
          runs: rates.map(round),
          ...peakOf(seen),
        },
      ];
    });
  } finally {
    await broker.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One fresh `run` into a topic of its own. */
async function toKafka(
  { binary, say }: Bench,
  microsoft: Microsoft,
  broker: KafkaBroker,
  topic: string,
): Promise<Arrived> {
  await broker.createTopic(topic, PARTITIONS);
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  const output = { type: "kafka", brokers: broker.address, protocol: "tcp", topic, format: "json" };
  const config = properties(folder, microsoft, { "outputs[0]": output });
  const startedMs = performance.now();
  const helper = new Helper(binary, ["run", "--config", config]);
  try {
    const endMs = startedMs + WITHIN_MS;
    while ((await broker.written(topic, PARTITIONS)) < WANTED || isWaiting(folder)) {
      if (helper.ended || performance.now() > endMs)
        throw new ScriptProblem(`Not all alerts are in Kafka: ${helper.lastSaid}`);
      await pause(LOOK_EVERY_MS);
    }
    const seconds = (performance.now() - startedMs) / 1000;
    const memory = memoryOf(helper.pid);
    const cpuUs = (helper.cpuMs() * 1000) / WANTED;
    const committed = broker.committed(topic);
    if (committed < WANTED) throw new ScriptProblem(`kcat reads only ${committed} of ${WANTED} alerts.`);
    say(
      `  ${topic}: ${round(WANTED / seconds)} alerts/s, processor ${round(cpuUs)} µs per alert, VmHWM ${round(memory.peakMb)} MB`,
    );
    return { seconds, memory };
  } finally {
    await helper.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Something of the spool is not committed yet. */
function isWaiting(folder: string): boolean {
  const outputs = join(folder, "state/outputs");
  return (
    !existsSync(outputs) || readdirSync(outputs, { recursive: true }).some((name) => String(name).endsWith(".spool"))
  );
}
