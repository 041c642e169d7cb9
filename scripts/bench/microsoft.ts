import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Child, harness } from "../demo/children.ts";

/** The simulator's ready line, as far as benchmarks need it. */
export interface Microsoft {
  readonly login_url: string;
  readonly graph_url: string;
  readonly api_url: string;
  readonly ca_file: string;
  readonly control_url: string;
  readonly customers: readonly Customer[];
}

/** With the process that has to be measured too. */
export interface RunningMicrosoft extends Microsoft {
  readonly pid: number;
}

export interface Customer {
  readonly tenant_id: string;
  readonly tenant_name: string;
  readonly client_id: string;
  readonly client_secret: string;
}

export interface Scenario {
  readonly name: string;
  readonly story: string;
  readonly seed: number;
  readonly customers: readonly object[];
  readonly faults?: readonly object[];
}

/** A simulator in its own process, with a scenario file or one written here; stop it when done. */
export async function startMicrosoft(
  scenario: string | Scenario,
  folder: string,
): Promise<{ microsoft: RunningMicrosoft; simulator: Child }> {
  let file = scenario;
  if (typeof file !== "string") {
    file = join(folder, "scenario.json");
    writeFileSync(file, JSON.stringify(scenario));
  }
  const simulator = harness("simulator", ["--scenario", file, "--stop-on-stdin-end"]);
  const ready = await simulator.firstLine(
    (line) => (line.startsWith("{") ? (JSON.parse(line) as Microsoft) : undefined),
    120_000,
  );
  return { microsoft: { ...ready, pid: simulator.pid }, simulator };
}

/** How many requests were answered 429 so far, over all customers and APIs. */
export async function throttledAnswers(microsoft: Microsoft): Promise<number> {
  const state = (await (await fetch(`${microsoft.control_url}/state`)).json()) as {
    customers: readonly { apis: Readonly<Record<string, { throttled: number }>> }[];
  };
  return state.customers.flatMap(({ apis }) => Object.values(apis)).reduce((sum, { throttled }) => sum + throttled, 0);
}
