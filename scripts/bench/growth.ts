import { ScriptProblem } from "../build/project.ts";
import type { Scenario } from "./microsoft.ts";
import { type Bench, catchUp, median, type Outcome, round, withMicrosoft } from "./runs.ts";

/** The same work four times over: rows `growth-time`, `growth-memory`, `growth-state`. */
export async function growth(bench: Bench): Promise<Outcome[]> {
  const sizes = [
    { customers: 2, alerts: 10_000 },
    { customers: 2, alerts: 40_000 },
    { customers: 8, alerts: 10_000 },
  ];
  const seen: { seconds: number; peakMb: number; stateBytes: number }[] = [];
  for (const { customers, alerts } of sizes) {
    const scenario: Scenario = {
      name: "growth",
      story: "The same alerts, more of them or from more customers.",
      seed: 19,
      customers: [
        {
          name: "grown",
          count: customers,
          generate: [{ stream: "alerts", count: alerts, from: "-6d", to: "-1h", bytes: 5700, digits: "seven" }],
        },
      ],
    };
    await withMicrosoft(scenario, async (microsoft) => {
      const settings = { streams: "alerts", sweep_hours: 0 };
      await catchUp(bench, microsoft, settings, customers * alerts);
      const runs: Awaited<ReturnType<typeof catchUp>>[] = [];
      for (let run = 0; run < bench.runs; run += 1)
        runs.push(await catchUp(bench, microsoft, settings, customers * alerts));
      seen.push({
        seconds: median(runs.map(({ seconds }) => seconds)),
        peakMb: median(runs.map(({ memory }) => memory.peakMb)),
        stateBytes: median(runs.map(({ stateBytes }) => stateBytes)),
      });
      return [];
    });
  }
  const [base, moreHistory, moreCustomers] = seen;
  if (base === undefined || moreHistory === undefined || moreCustomers === undefined)
    throw new ScriptProblem("Nothing was measured.");
  // Four times the work: linear is 4; a quarter more allows for noise, quadratic would be 16.
  const time = Math.max(moreHistory.seconds, moreCustomers.seconds) / base.seconds;
  const state = Math.max(moreHistory.stateBytes, moreCustomers.stateBytes) / base.stateBytes;
  // More customers at once hold more pages on their way, up to `concurrency`; a longer history must cost
  // nothing.
  const memory = moreHistory.peakMb / base.peakMb;
  return [
    row("growth-time", time, "times at four times the work", 5),
    row("growth-memory", memory, "times at four times the history", 1.25),
    row("growth-state", state, "times at four times the work", 5),
  ];
}

function row(name: string, value: number, unit: string, bound: number): Outcome {
  return { name, value: round(value), unit, target: `<= ${bound}`, holds: value <= bound, runs: [round(value)] };
}
