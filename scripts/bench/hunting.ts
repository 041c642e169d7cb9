import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Collector, type Memory, runDocument } from "./collector.ts";
import { type Scenario, startMicrosoft, throttledAnswers } from "./microsoft.ts";
import { type Bench, median, type Outcome, round, WITHIN_MS } from "./runs.ts";

const CUSTOMERS = 200;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** A round of the shortest sensible schedule must be over before the next one begins. */
const TARGET_S = 60;

/** Five queries over one table; each sees every row of the hour before. */
const QUERIES = ["one", "two", "three", "four", "five"].map((name) => ({
  name,
  kql: `DeviceProcessEvents\n| where FileName == "powershell.exe"\n| project Timestamp, DeviceId, DeviceName, AccountName, ProcessCommandLine, ReportId`,
  every_minutes: 60,
  delay_minutes: 0,
}));

/**
 * One round of 200 customers x 5 saved queries, from the start of the binary to the last row: row `hunting`.
 */
export async function huntingRound({ binary, runs, say }: Bench): Promise<Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  const tables = join(folder, "customer/hunting");
  mkdirSync(tables, { recursive: true });
  writeFileSync(join(tables, "DeviceProcessEvents.ndjson"), aRowAMinute(Date.now()).join(""));
  const scenario: Scenario = {
    name: "hunting-round",
    story: "200 customers with the same table: a row a minute over the last six hours.",
    seed: 19,
    customers: [{ name: "hunted", count: CUSTOMERS, data: join(folder, "customer") }],
  };
  const { microsoft, simulator } = await startMicrosoft(scenario, folder);
  try {
    const seconds: number[] = [];
    let memory: Memory | undefined;
    for (let run = 0; run < runs; run += 1) {
      const home = mkdtempSync(join(folder, "home-"));
      const queries = join(home, "etc/auth/defender_mssp/queries.json");
      const document = runDocument(home, microsoft, { streams: "hunting", hunting_queries: queries });
      writeFileSync(queries, JSON.stringify({ queries: QUERIES }));
      const startedMs = performance.now();
      const collector = new Collector(binary, home, document);
      await collector.untilEvents(CUSTOMERS * QUERIES.length * 60, WITHIN_MS);
      seconds.push((performance.now() - startedMs) / 1000);
      memory = collector.memory();
      say(`  ${round(seconds.at(-1) ?? 0)} s, processor ${round(collector.cpuMs() / 1000)} s`);
      await collector.stop();
    }
    const throttled = await throttledAnswers(microsoft);
    const value = median(seconds);
    return [
      {
        name: "hunting",
        value: round(value),
        unit: "s",
        target: `<= ${TARGET_S} for 200 customers x 5 queries of 60 rows, no 429 (${throttled} came)`,
        holds: value <= TARGET_S && throttled === 0,
        runs: seconds.map(round),
        ...(memory === undefined ? {} : { memory }),
      },
    ];
  } finally {
    await simulator.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A row a minute: whatever minute it is, the hour that ended last holds sixty. */
function aRowAMinute(nowMs: number): string[] {
  const firstMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS - 3 * HOUR_MS;
  return Array.from({ length: 360 }, (_, i) => {
    const row = {
      Timestamp: new Date(firstMs + i * MINUTE_MS).toISOString(),
      DeviceId: `d${i % 9}`,
      DeviceName: `ws-${i % 9}.hunted.example`,
      AccountName: `user-${i % 7}`,
      FileName: "powershell.exe",
      ProcessCommandLine: `powershell -enc ${"QQBCAEMA".repeat(20)} ${i}`,
      ReportId: i,
    };
    return `${JSON.stringify(row)}\n`;
  });
}
