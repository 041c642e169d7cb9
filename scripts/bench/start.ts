import { resolve } from "node:path";
import { ROOT } from "../build/project.ts";
import { Collector, runDocument } from "./collector.ts";
import { type Bench, median, type Outcome, round, WITHIN_MS, withHome, withMicrosoft } from "./runs.ts";

const CUSTOMERS = 2000;
/** Three alerts and an incident. */
const EVENTS_EACH = 4;
const LOAD = resolve(ROOT, "test/scenarios/load-2000-idle.yaml");
const FIRST_WITHIN_S = 5;
const POLLED_WITHIN_S = 60;

/**
 * Rows `start-2000` and `start-2000-polled`: from a first start with 2,000 customers to the first event, and
 * until every stream of every customer has been polled and its events are here.
 */
export async function startWithManyCustomers(bench: Bench): Promise<Outcome[]> {
  return withMicrosoft(LOAD, async (microsoft) => {
    const firsts: number[] = [];
    const polled: number[] = [];
    for (let run = 0; run < bench.runs; run += 1)
      await withHome(async (home) => {
        const document = runDocument(home, microsoft, { poll_seconds: 60 });
        const startedMs = performance.now();
        const collector = new Collector(bench.binary, home, document);
        try {
          await collector.untilEvents(1, WITHIN_MS);
          firsts.push((performance.now() - startedMs) / 1000);
          const cpuMs = collector.cpuMs();
          await collector.untilEvents(CUSTOMERS * EVENTS_EACH, WITHIN_MS);
          polled.push((performance.now() - startedMs) / 1000);
          bench.say(
            `  run ${run + 1}: processor ${round(cpuMs / 1000)} s to the first event, ${round(collector.cpuMs() / 1000)} s until all were polled`,
          );
        } finally {
          await collector.stop();
        }
      });
    return [outcome("start-2000", firsts, FIRST_WITHIN_S), outcome("start-2000-polled", polled, POLLED_WITHIN_S)];
  });
}

function outcome(name: string, seconds: readonly number[], withinS: number): Outcome {
  const value = median(seconds);
  return {
    name,
    value: round(value),
    unit: "s",
    target: `<= ${withinS}`,
    holds: value <= withinS,
    runs: seconds.map(round),
  };
}
