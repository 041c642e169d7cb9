/**
 * Three customers, five saved queries, a day of simulated time: hourly rounds against the simulator over TLS,
 * each in a new process, two of which crash, a throttled hour and a day-long broken query. The
 * oracle judges what came out. It does not prove how Microsoft's own service treats the edges of a Timespan,
 * which is not documented.
 */
import "reflect-metadata";
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { createTokenCycles } from "../../src/auth/token-cycle.ts";
import { type Customer, Scheduler } from "../../src/collect/scheduler.ts";
import { createHuntingSource } from "../../src/defender/hunting/hunting-source.ts";
import { readQueryFile } from "../../src/defender/hunting/query-file.ts";
import type { HuntingQuery } from "../../src/model/hunting.ts";
import { apiOf, audienceOf } from "../../src/model/permissions.ts";
import type { Clock, Log } from "../../src/model/ports.ts";
import { sealed } from "../../src/model/sealed.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { createHttp } from "../../src/net/http.ts";
import { pipeSink } from "../../src/outputs/pipe-sink.ts";
import { PLAIN_LINES, StreamPipe } from "../../src/outputs/stream-pipe.ts";
import { openStateFolder } from "../../src/stores/disk/folder.ts";
import { runOracle } from "../harness/oracle/main.ts";
import { startSimulator } from "../harness/simulator/start.ts";

const START = Date.UTC(2026, 10, 23, 0, 30);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NAMES = ["contoso", "fabrikam", "tailspin"];

const pick = <T>(list: readonly T[], i: number): T => list[i % list.length] as T;

/** One row every seven minutes over more than the day, its text decided by its place. */
function tables(customer: string): Readonly<Record<string, readonly object[]>> {
  const times = Array.from({ length: 240 }, (_, i) => ({
    i,
    at: `${new Date(START - 3 * HOUR + i * 7 * MINUTE).toISOString().slice(0, -1)}${String(i % 1_000).padStart(4, "0")}Z`,
  }));
  const device = (i: number): object => ({
    DeviceId: `${customer}-${i % 5}`,
    DeviceName: `ws-${i % 5}.${customer}.example`,
  });
  return {
    DeviceProcessEvents: times.map(({ i, at }) => ({
      Timestamp: at,
      ...device(i),
      AccountName: `user-${i % 7}`,
      FileName: pick(["powershell.exe", "cmd.exe", "notepad.exe"], i),
      ProcessCommandLine: i % 2 === 0 ? `powershell -enc ${i}` : "cmd /c dir",
      InitiatingProcessFileName: pick(["winword.exe", "explorer.exe"], i),
      ReportId: i,
    })),
    DeviceLogonEvents: times.map(({ i, at }) => ({
      Timestamp: at,
      ...device(i),
      AccountName: `user-${i % 3}`,
      ActionType: pick(["LogonFailed", "LogonSuccess"], i),
    })),
    AlertEvidence: times.map(({ i, at }) => ({
      Timestamp: at,
      AlertId: `da${i % 20}`,
      EntityType: pick(["Machine", "User", "Process", "File"], i),
      ...device(i),
      AccountName: `user-${i % 7}`,
      AccountUpn: `user-${i % 7}@${customer}.example`,
      FileName: "x.exe",
      ProcessCommandLine: `x ${i}`,
    })),
  };
}

type Cells = Readonly<Record<string, unknown>>;

/** The five queries in plain words, to count what must come whatever the service was asked. */
const MEANING: Readonly<Record<string, { readonly table: string; readonly holds: (row: Cells) => boolean }>> = {
  "Encoded PowerShell": {
    table: "DeviceProcessEvents",
    holds: (row) => row.FileName === "powershell.exe" && String(row.ProcessCommandLine).includes("-enc"),
  },
  "Office starts a shell": {
    table: "DeviceProcessEvents",
    holds: (row) =>
      row.InitiatingProcessFileName === "winword.exe" && ["cmd.exe", "powershell.exe"].includes(String(row.FileName)),
  },
  "Devices and users of alerts": {
    table: "AlertEvidence",
    holds: (row) => row.EntityType === "Machine" || row.EntityType === "User",
  },
  "Processes of alerts": { table: "AlertEvidence", holds: (row) => row.EntityType === "Process" },
};

/** Rows from the first window's begin to the end of the last one that was due at `lastMs`. */
function wanted(customer: string, query: HuntingQuery, lastMs: number): number {
  const every = query.everyMinutes * MINUTE;
  const due = (nowMs: number): number => Math.floor((nowMs - query.delayMinutes * MINUTE) / every) * every;
  const from = due(START) - query.windowMinutes * MINUTE;
  const { table, holds } = MEANING[query.name] as (typeof MEANING)[string];
  const rows = (tables(customer)[table] as readonly Cells[]).filter(holds);
  return rows.filter(
    (row) => Date.parse(String(row.Timestamp)) >= from && Date.parse(String(row.Timestamp)) < due(lastMs),
  ).length;
}

test("a day of five queries over three customers loses no row and doubles none", async () => {
  const folder = mkdtempSync(join(tmpdir(), "hunting-day-"));
  for (const name of NAMES) {
    mkdirSync(join(folder, "data", name, "hunting"), { recursive: true });
    for (const [table, rows] of Object.entries(tables(name)))
      writeFileSync(
        join(folder, "data", name, "hunting", `${table}.ndjson`),
        rows.map((row) => `${JSON.stringify(row)}\n`).join(""),
      );
  }
  const simulator = await startSimulator({ data: join(folder, "data"), frozen: true, nowMs: START });
  const { ready, control } = simulator;
  const clock: Clock = {
    nowMs: () => control.clock.nowMs(),
    monotonicMs: () => control.clock.nowMs(),
    pause: (forMs) => {
      control.advance(forMs);
      return Promise.resolve();
    },
  };
  const said: string[] = [];
  const note = (message: string): void => void said.push(message);
  const log: Log = { debug: () => undefined, info: () => undefined, warn: note, error: note, fatal: note };
  const http = createHttp();
  const { queries, problems } = readQueryFile(readFileSync("docs/hunting/queries.json", "utf8"));
  expect(problems).toEqual([]);
  const cycles = createTokenCycles({ http, clock, random: { next: () => 0.5 }, log });
  const broken = {
    name: "broken",
    kql: "DeviceProcessEvents | whre",
    everyMinutes: 60,
    windowMinutes: 60,
    delayMinutes: 0,
  };

  const customers: Customer[] = ready.customers.map((one) => {
    const endpoints = {
      loginUrl: ready.login_url,
      graphUrl: ready.graph_url,
      apiUrl: ready.api_url,
      mdeApiUrl: ready.api_url,
      siemUrl: ready.siem_url,
    };
    const tenant = { id: one.tenant_id as TenantId, name: one.tenant_name, cloud: "commercial" as const };
    const stanza = { name: one.tenant_name, endpoints, route: { caFile: ready.ca_file }, clientId: one.client_id };
    const credential = { kind: "secret" as const, clientId: one.client_id, secret: sealed(one.client_secret) };
    const tokens = cycles.forCustomer({
      tenant,
      stanza,
      audience: audienceOf(apiOf("hunting"), "commercial"),
      credential,
    });
    return {
      stanza: stanza.name,
      tenant,
      settings: { pollSeconds: 60, overlapMinutes: 30, sweepHours: 24 },
      start: { kind: "ago", ms: HOUR },
      sources: [],
      hunting: createHuntingSource({
        stanza,
        tenant,
        tokens,
        http,
        clock,
        log,
        recordMaxBytes: 1 << 20,
        queries: one.tenant_name === "fabrikam" ? [...queries, broken] : queries,
      }),
    };
  });

  const delivered = join(folder, "delivered.jsonl");
  const written = customers.map(({ stanza, tenant }) => ({
    name: stanza,
    tenantName: tenant.name,
    tenantId: tenant.id,
    layout: "scalars-first" as const,
    envelope: true,
    alertsSourcetype: "split",
    classicEntities: false,
  }));
  const failures = new Map<string, number>();
  for (let hour = 0; hour < 24; hour += 1) {
    if (hour === 7)
      control.perform({
        do: "fault",
        on: ["hunting"],
        customers: ["tailspin"],
        times: 2,
        answer: { status: 429, retry_after_seconds: 30 },
      });
    if (hour === 11)
      control.perform({ do: "fault", on: ["hunting"], customers: ["contoso"], times: 1, answer: { body: "cut" } });
    // Each hour is a new process; two of them crash.
    const file = createWriteStream(delivered, { flags: "a" });
    const state = await openStateFolder(join(folder, "state"), { clock, log }, { waitForLock: "10s" });
    const scheduler = await Scheduler.open({
      customers,
      state,
      sink: pipeSink({
        events: new StreamPipe(file, clock, PLAIN_LINES),
        health: new StreamPipe(createWriteStream("/dev/null"), clock, PLAIN_LINES),
        form: "lines",
        customers: written,
      }),
      replayMib: 16,
      concurrency: 16,
      version: "test",
      clock,
      random: { next: () => 0.5 },
      log,
    });
    for (const { failures: found } of await scheduler.runOnce(new AbortController().signal))
      for (const { failure } of found) failures.set(failure.code, (failures.get(failure.code) ?? 0) + 1);
    const orderly = hour !== 5 && hour !== 13;
    await scheduler.close({ orderly });
    await state.release({ orderly });
    await new Promise<void>((resolve) => file.end(resolve));
    // Pauses move this clock too, so each hour begins where it should.
    control.advance(START + (hour + 1) * HOUR - control.clock.nowMs());
  }

  const lines = readFileSync(delivered, "utf8").trimEnd().split("\n");
  const keys = new Set(lines.map((line) => (JSON.parse(line) as { mssp: { key: string } }).mssp.key));
  const came = (tenantId: string, query: HuntingQuery): number =>
    [...keys].filter((key) => key.startsWith(`${tenantId}:hunting:row:${query.name}/`)).length;
  const timed = queries.filter(({ name }) => name in MEANING);
  const counted = ready.customers.flatMap((one) =>
    timed.map((query) => [one.tenant_name, query.name, came(one.tenant_id, query)]),
  );
  const counts = ready.customers.flatMap((one) =>
    timed.map((query) => [one.tenant_name, query.name, wanted(one.tenant_name, query, START + 23 * HOUR)]),
  );

  const truth = join(folder, "truth.ndjson");
  writeFileSync(truth, control.shown());
  let verdict = "";
  const exit = await runOracle(
    ["--truth", truth, "--delivered", delivered, "--format", "jsonl"],
    (text) => {
      verdict += text;
    },
    (text) => {
      verdict += text;
    },
  );
  await http.close();
  await simulator.stop();
  rmSync(folder, { recursive: true });

  const { customers: judged, totals } = JSON.parse(verdict) as {
    customers: { stream: string; delivered: number }[];
    totals: Record<string, number>;
  };
  expect(totals).toMatchObject({ lost: 0, stale: 0, duplicated: 0, out_of_order: 0, changed_bytes: 0 });
  expect(counted).toEqual(counts);
  expect(judged.filter(({ stream, delivered: rows }) => stream === "hunting" && rows > 200)).toHaveLength(3);
  expect(exit).toBe(0);
  expect(totals.replayed).toBeGreaterThan(0);
  expect(said.filter((text) => text.includes(" throttles requests for "))).not.toEqual([]);
  // The broken query is refused each hour, and the other queries still run.
  expect([...failures.keys()]).toEqual(["query-refused"]);
}, 60_000);
