import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type SimulatorOptions, startSimulator } from "./start.ts";

/** How fast the simulator serves a reader that throws everything away. MB are 10^6 bytes. */
export interface Ceiling {
  readonly pages: number;
  readonly seconds: number;
  readonly pages_per_second: number;
  readonly megabytes_per_second: number;
  readonly compressed_megabytes_per_second: number;
  /** CPU time of the simulator's process per second, 1 = one core. */
  readonly simulator_cores: number;
}

/** What the reader reports after each round. */
export interface ReaderReport {
  readonly pages: number;
  readonly compressedBytes: number;
  readonly seconds: number;
}

const LOAD_SCENARIO = fileURLToPath(new URL("../../scenarios/load-25x8000.yaml", import.meta.url));

/** Reads everything twice in another process: once so that all pages are prepared, once against the clock. */
export async function measureCeiling(options: SimulatorOptions): Promise<Ceiling> {
  const simulator = await startSimulator({ ...options, scenario: options.scenario ?? LOAD_SCENARIO });
  const reader = fork(fileURLToPath(new URL("ceiling-reader.ts", import.meta.url)));
  try {
    reader.send(simulator.ready);
    await once(reader, "message");
    const before = process.cpuUsage();
    reader.send(simulator.ready);
    const [report] = (await once(reader, "message")) as [ReaderReport];
    const used = process.cpuUsage(before);
    const rawBytes = bytesVisible(simulator.control.world.customers.values());
    const per = (amount: number): number => Math.round((amount / report.seconds) * 10) / 10;
    return {
      pages: report.pages,
      seconds: Math.round(report.seconds * 1000) / 1000,
      pages_per_second: per(report.pages),
      megabytes_per_second: per(rawBytes / 1e6),
      compressed_megabytes_per_second: per(report.compressedBytes / 1e6),
      simulator_cores: per((used.user + used.system) / 1e6),
    };
  } finally {
    reader.kill();
    await simulator.stop();
  }
}

function bytesVisible(
  customers: Iterable<{ readonly tables: { readonly alerts: { visible(): readonly { text(): string }[] } } }>,
): number {
  let bytes = 0;
  for (const { tables } of customers)
    for (const version of tables.alerts.visible()) bytes += Buffer.byteLength(version.text()) + 1;
  return bytes;
}
