/**
 * The engine collects every scenario but the `load-` ones in this process, over TLS, poll by poll in
 * simulated time, and the oracle judges what came out. It does not prove that a crash in the middle loses
 * nothing: crashes.test.ts does, on the binary. Pauses move the simulated clock at once, so it does not show
 * either which customer waits for another. The `load-` scenarios are for the bench; in `host-stops-mid-page`
 * an answer arrives slowly in real time, for a person who wants to kill a collector by hand.
 */
import "reflect-metadata";
import { createWriteStream, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { createTokenCycles } from "../../src/auth/token-cycle.ts";
import { type Customer, Scheduler } from "../../src/collect/scheduler.ts";
import { createSourceStream } from "../../src/defender/source-stream.ts";
import { apiOf, audienceOf } from "../../src/model/permissions.ts";
import type { Clock, Log } from "../../src/model/ports.ts";
import { sealed } from "../../src/model/sealed.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { createHttp } from "../../src/net/http.ts";
import { pipeSink } from "../../src/outputs/pipe-sink.ts";
import { PLAIN_LINES, StreamPipe } from "../../src/outputs/stream-pipe.ts";
import { openStateFolder } from "../../src/stores/disk/folder.ts";
import { consult } from "../harness/oracle/main.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const STREAMS = ["alerts", "incidents"] as const;

interface Play {
  readonly forMs: number;
  readonly everyMs: number;
  /** Failures of polls by customer and stream; those that last to the end have a `!`. */
  readonly failures: readonly string[];
  readonly shown: number;
}

const PLAYS: Readonly<Record<string, Play>> = {
  "bad-answers": { forMs: 3 * HOUR, everyMs: 5 * MINUTE, failures: ["contoso alerts bad-answer"], shown: 80 },
  "clock-steps-back": { forMs: HOUR, everyMs: 2 * MINUTE, failures: [], shown: 80 },
  "collector-replaced": { forMs: HOUR, everyMs: 5 * MINUTE, failures: [], shown: 340 },
  "consent-withdrawn": {
    forMs: HOUR,
    everyMs: 2 * MINUTE,
    failures: [
      "contoso alerts consent-missing",
      "contoso incidents consent-missing",
      "fabrikam alerts app-not-found",
      "fabrikam alerts app-not-found!",
      "fabrikam incidents app-not-found",
      "fabrikam incidents app-not-found!",
      "tailspin alerts consent-missing",
      "tailspin alerts consent-missing!",
      "tailspin incidents consent-missing",
      "tailspin incidents consent-missing!",
    ],
    shown: 60,
  },
  "expand-500-for-ever": { forMs: 5 * MINUTE, everyMs: 5 * MINUTE, failures: [], shown: 120 },
  "late-rows": { forMs: 9 * HOUR, everyMs: 5 * MINUTE, failures: [], shown: 303 },
  "mssp-day": { forMs: 12 * HOUR, everyMs: 15 * MINUTE, failures: [], shown: 600 },
  "next-link-elsewhere": { forMs: 0, everyMs: 5 * MINUTE, failures: [], shown: 10_400 },
  "record-changes-while-paging": { forMs: 12 * MINUTE, everyMs: 6 * MINUTE, failures: [], shown: 6_000 },
  "same-instant-records": { forMs: 5 * MINUTE, everyMs: 5 * MINUTE, failures: [], shown: 6_200 },
  "secret-rotated": {
    forMs: HOUR,
    everyMs: 2 * MINUTE,
    failures: [
      "contoso alerts secret-expired",
      "contoso incidents secret-expired",
      "fabrikam alerts secret-wrong",
      "fabrikam incidents secret-wrong",
    ],
    shown: 80,
  },
  "throttled-then-recovers": { forMs: 15 * MINUTE, everyMs: MINUTE, failures: [], shown: 80 },
  "unlisted-services": { forMs: 5 * MINUTE, everyMs: 5 * MINUTE, failures: [], shown: 3_400 },
};

/** The host's clock: it runs evenly, whatever Microsoft's does. */
interface HostClock extends Clock {
  pass(ms: number): void;
}

function hostClock({ control }: Simulator): HostClock {
  let now = control.clock.nowMs();
  const pass = (ms: number): void => {
    control.advance(ms);
    now += ms;
  };
  return {
    nowMs: () => now,
    monotonicMs: () => now,
    pause: (forMs) => {
      pass(forMs);
      return Promise.resolve();
    },
    pass,
  };
}

function customersOf(simulator: Simulator, clock: Clock, log: Log, http: ReturnType<typeof createHttp>): Customer[] {
  const { ready } = simulator;
  const cycles = createTokenCycles({ http, clock, random: { next: () => 0.5 }, log });
  return ready.customers.map((one) => {
    const endpoints = {
      loginUrl: ready.login_url,
      graphUrl: ready.graph_url,
      apiUrl: ready.api_url,
      mdeApiUrl: ready.api_url,
      siemUrl: ready.siem_url,
    };
    const tenant = { id: one.tenant_id as TenantId, name: one.tenant_name, cloud: "commercial" as const };
    const credential = { kind: "secret" as const, clientId: one.client_id, secret: sealed(one.client_secret) };
    const stanza = { name: one.tenant_name, endpoints, route: { caFile: ready.ca_file }, clientId: one.client_id };
    return {
      stanza: stanza.name,
      tenant,
      settings: { pollSeconds: 60, overlapMinutes: 30, sweepHours: 24 },
      start: { kind: "ago", ms: 30 * 24 * HOUR },
      sources: STREAMS.map((stream) => {
        const tokens = cycles.forCustomer({
          tenant,
          stanza,
          audience: audienceOf(apiOf(stream), "commercial"),
          credential,
        });
        return createSourceStream({ stanza, tenant, tokens, http, clock, log, stream, recordMaxBytes: 4 << 20 });
      }),
    };
  });
}

test("every scenario is played here but those that are named as exceptions", () => {
  const files = readdirSync(import.meta.dirname).filter((name) => /^(?!load-|host-stops-mid-page).*\.yaml$/.test(name));
  expect(files.map((name) => name.slice(0, -".yaml".length)).sort()).toEqual(Object.keys(PLAYS).sort());
});

test.each(Object.entries(PLAYS))("the scenario %s loses nothing, doubles nothing and ends well", async (name, play) => {
  const folder = mkdtempSync(join(tmpdir(), "collected-"));
  const simulator = await startSimulator({ scenario: join(import.meta.dirname, `${name}.yaml`), frozen: true });
  const { control } = simulator;
  const clock = hostClock(simulator);
  const said: string[] = [];
  const note = (message: string): void => void said.push(message);
  const log: Log = { debug: () => undefined, info: () => undefined, warn: note, error: note, fatal: note };
  const http = createHttp();
  const customers = customersOf(simulator, clock, log, http);
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
  const file = createWriteStream(delivered);
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
  const failures = new Set<string>();
  const round = async (checkpoint: string): Promise<void> => {
    for (const { customer, failures: found } of await scheduler.runOnce(new AbortController().signal))
      for (const { stream, failure } of found)
        failures.add(`${customer.stanza} ${stream} ${failure.code}${checkpoint}`);
  };
  const endMs = clock.monotonicMs() + play.forMs;
  while (clock.monotonicMs() < endMs) {
    await round("");
    clock.pass(play.everyMs);
  }
  await round("!");
  await scheduler.close({ orderly: true });
  await state.release({ orderly: true });
  await new Promise<void>((resolve) => file.end(resolve));
  const truth = join(folder, "truth.ndjson");
  writeFileSync(truth, control.shown());
  const { totals } = await consult({ truth, delivered: [delivered], format: "jsonl" });
  await http.close();
  await simulator.stop();
  rmSync(folder, { recursive: true });

  expect({ totals, failures: [...failures].sort() }).toMatchObject({
    totals: {
      lost: 0,
      stale: 0,
      superseded: 0,
      duplicated: 0,
      out_of_order: 0,
      changed_bytes: 0,
      unknown: 0,
      unidentified: 0,
    },
    failures: play.failures,
  });
  expect(totals.delivered).toBeGreaterThanOrEqual(play.shown);
});
