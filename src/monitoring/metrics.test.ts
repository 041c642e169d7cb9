import { expect, test } from "@jest/globals";
import { answers, customerStatus, outputStatus, streamStatus } from "../../test/harness/monitoring/status.ts";
import type { CollectorStatus } from "../model/status.ts";
import { METRICS, Metrics } from "./metrics.ts";

const PROCESS = { residentBytes: 100_000_000, heapUsedBytes: 20_000_000, cpuS: 1.5, startedAtS: 1_790_000_000 };

function scrapeOf(collector: CollectorStatus) {
  return { version: "1.2.3", isReady: true, collector, process: PROCESS };
}

/** The lines with values, without the prefix. */
async function linesOf(collector: CollectorStatus, metrics = new Metrics()): Promise<readonly string[]> {
  const text = await metrics.text(scrapeOf(collector));
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.replace(/^defender_mssp_/, ""));
}

test("a scrape shows a stream's state, lag, versions by found and change, requests by status, throttling and retries", async () => {
  const stream = streamStatus({
    state: "throttled",
    lag_s: 90,
    throttled: 3,
    retries: 4,
    superseded: 2,
    delivered: { poll: { new: 10, updated: 5 }, sweep: { new: 1, updated: 0 }, replay: { new: 0, updated: 7 } },
    answers: answers({ "200": 20, "429": 3, none: 1 }),
  });
  const lines = await linesOf({ customers: [customerStatus("Contoso", { streams: [stream] })], outputs: [] });
  const contoso = 'customer="Contoso",stream="alerts"';
  expect(lines.filter((line) => line.includes(contoso)).toSorted()).toEqual(
    [
      `stream_state{${contoso},state="throttled"} 1`,
      `stream_lag_seconds{${contoso}} 90`,
      `versions_total{${contoso},found="poll",change="new"} 10`,
      `versions_total{${contoso},found="poll",change="updated"} 5`,
      `versions_total{${contoso},found="sweep",change="new"} 1`,
      `versions_total{${contoso},found="replay",change="updated"} 7`,
      `requests_total{${contoso},status="200"} 20`,
      `requests_total{${contoso},status="429"} 3`,
      `requests_total{${contoso},status="none"} 1`,
      `throttled_requests_total{${contoso}} 3`,
      `request_retries_total{${contoso}} 4`,
      `superseded_versions_total{${contoso}} 2`,
    ].toSorted(),
  );
  expect(lines).toContain('streams{state="throttled"} 1');
  expect(lines).toContain('streams{state="ok"} 0');
});

test("a scrape shows each output's state, spool, age and rejected events, and acknowledgements only where there are any", async () => {
  const lines = await linesOf({
    customers: [],
    outputs: [
      outputStatus({ state: "down", spoolBytes: 4096, oldestS: 61, rejected: 2 }),
      outputStatus({ name: "outputs[1]", type: "hec", unconfirmed: 17 }),
    ],
  });
  const first = 'output="outputs[0]",type="syslog"';
  expect(lines).toEqual(
    expect.arrayContaining([
      `output_state{${first},state="down"} 1`,
      `output_state{${first},state="up"} 0`,
      `output_spool_bytes{${first}} 4096`,
      `output_spool_oldest_seconds{${first}} 61`,
      `output_rejected_events_total{${first}} 2`,
      'output_unconfirmed_events{output="outputs[1]",type="hec"} 17',
    ]),
  );
  expect(lines.filter((line) => line.startsWith(`output_unconfirmed_events{${first}`))).toEqual([]);
});

test("a scrape of a fleet's member shows its shards, what it lost, its commits, and what waits and lags", async () => {
  const collector: CollectorStatus = {
    customers: [],
    outputs: [],
    fleet: {
      members: 3,
      shards: 85,
      lostShards: 2,
      lapses: 1,
      commits: 40,
      commitS: 0.5,
      outputs: [{ output: "hec-3f0c92ab", waitingPackets: 4, waitingBytes: 4096 }],
      lagS: new Map([
        [7, 12],
        [255, 90],
      ]),
    },
  };
  const lines = await linesOf(collector);
  expect(lines.filter((line) => line.startsWith("fleet_")).toSorted()).toEqual(
    [
      "fleet_members 3",
      "fleet_shards 85",
      "fleet_lost_shards_total 2",
      "fleet_expired_total 1",
      "fleet_commits_total 40",
      "fleet_commit_seconds_total 0.5",
      'fleet_output_waiting_packets{output="hec-3f0c92ab"} 4',
      'fleet_output_waiting_bytes{output="hec-3f0c92ab"} 4096',
      'fleet_shard_lag_seconds{shard="7"} 12',
      'fleet_shard_lag_seconds{shard="255"} 90',
    ].toSorted(),
  );
});

test("a scrape shows how long a customer's credential still lasts in seconds, and nothing where that is not known", async () => {
  const customers = [customerStatus("Contoso", { credentialDaysLeft: 30 }), customerStatus("Fabrikam")];
  const lines = await linesOf({ customers, outputs: [] });
  expect(lines.filter((line) => line.startsWith("credential_"))).toEqual([
    'credential_remaining_seconds{customer="Contoso"} 2592000',
  ]);
});

test("a scrape shows this process's memory, processor time and version", async () => {
  const lines = await linesOf({ customers: [], outputs: [] });
  expect(lines).toEqual(
    expect.arrayContaining([
      'build_info{version="1.2.3"} 1',
      "ready 1",
      "process_resident_memory_bytes 100000000",
      "process_cpu_seconds_total 1.5",
    ]),
  );
});

test("a second scrape shows the totals again and not their sum, and no series of a customer that is gone", async () => {
  const metrics = new Metrics();
  const stream = streamStatus({ answers: answers({ "200": 20 }) });
  const of = (name: string) => ({ customers: [customerStatus(name, { streams: [stream] })], outputs: [] });
  await linesOf(of("Contoso"), metrics);
  await linesOf(of("Contoso"), metrics);
  const again = await linesOf(of("Fabrikam"), metrics);
  expect(again).toContain('requests_total{customer="Fabrikam",stream="alerts",status="200"} 20');
  expect(again.filter((line) => line.includes("Contoso"))).toEqual([]);
});

test("two inputs with one customer name are two series, with the input's name in parentheses", async () => {
  const customers = [customerStatus("Contoso", { input: "emea" }), customerStatus("Contoso", { input: "apac" })];
  const lines = await linesOf({ customers, outputs: [] });
  expect(lines.filter((line) => line.startsWith("stream_lag_seconds"))).toEqual([
    'stream_lag_seconds{customer="Contoso (emea)",stream="alerts"} 12',
    'stream_lag_seconds{customer="Contoso (apac)",stream="alerts"} 12',
  ]);
});

test("a customer's name with quotes, backslashes and line breaks stays one label value", async () => {
  const lines = await linesOf({ customers: [customerStatus('A "B" \\ C')], outputs: [] });
  expect(lines).toContain('stream_lag_seconds{customer="A \\"B\\" \\\\ C",stream="alerts"} 12');
});

test("names follow Prometheus' conventions: one prefix, base units, and _total for counters alone", async () => {
  const text = await new Metrics().text(
    scrapeOf({ customers: [customerStatus("Contoso")], outputs: [outputStatus()] }),
  );
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
  expect(new Set(types.keys())).toEqual(new Set(METRICS.map(({ name }) => name)));
  for (const [name, type] of types) {
    expect(name).toMatch(/^defender_mssp_[a-z0-9_]+$/);
    expect([name, name?.endsWith("_total")]).toEqual([name, type === "counter"]);
    expect(name).not.toMatch(/_(ms|days|minutes|mib|kib|percent)(_|$)/);
  }
});
