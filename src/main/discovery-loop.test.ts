import { describe, expect, test } from "@jest/globals";
import { FakeClock, settled } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import type { RosterPlace } from "../hosts/cli/roster-place.ts";
import {
  type Discovered,
  type DiscoveredCustomer,
  type DiscoveryHost,
  type DiscoveryReport,
  NOTHING_DISCOVERED,
} from "../model/discovered.ts";
import { Failure } from "../model/failure.ts";
import type { CustomerStatus } from "../model/status.ts";
import type { TenantId } from "../model/tenant.ts";
import type { CollectorForDiscovery } from "./collector.ts";
import { discoveryLoop } from "./discovery-loop.ts";

const HOUR = 3_600_000;
const CONTOSO = "11111111-2222-4333-8444-555555555555" as TenantId;

const customer = (change: Partial<DiscoveredCustomer> = {}): DiscoveredCustomer => ({
  source: "gdap",
  name: "Contoso",
  listed_name: "Contoso",
  first_seen: "2026-11-01T00:00:00.000Z",
  last_seen: "2026-11-01T00:00:00.000Z",
  missing_since: null,
  ended_at: null,
  relationships: [],
  decided: "announced",
  by: "discovery",
  excluded_by: null,
  reminded: [],
  ...change,
});

const NOTHING: DiscoveryReport = {
  customers: new Map(),
  changes: [],
  wanted: [],
  enrolled: new Set(),
  removed: new Set(),
  failures: new Map(),
};

/** A loop whose readings a test decides, with everything that it does in `said`. */
class Bench {
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  readonly said: string[] = [];
  readonly stop = new AbortController();
  known: () => Discovered = () => NOTHING_DISCOVERED;
  mode: "announce" | "enrol" = "announce";
  everyHours = 1;
  reading: (host: DiscoveryHost) => Promise<DiscoveryReport> = () => Promise.resolve(NOTHING);
  customers: readonly CustomerStatus[] = [];
  statusesTaken = 0;
  canWrite = true;
  readonly signals: AbortSignal[] = [];

  async run(): Promise<void> {
    const { clock, log, said, mode, everyHours } = this;
    const collector: CollectorForDiscovery = {
      announce: ({ name }, { code }) => {
        said.push(`${name}: ${code}`);
        return Promise.resolve();
      },
      forget: (tenantId) => {
        said.push(`forget ${tenantId}`);
        return Promise.resolve();
      },
      healthOf: () => ({ be: (state, failure) => void said.push(`list: ${failure?.code ?? state}`) }),
      status: () => {
        this.statusesTaken += 1;
        return { customers: this.customers, outputs: [] };
      },
    };
    const place = {
      name: "x",
      host: "arcsight",
      customers: [],
      common: { credential: "main" },
      write: (changes, report) => {
        const failure = new Failure("settings", { actor: "operator", retry: { when: "later" }, say: "read-only" });
        for (const change of changes) report(change, this.canWrite ? undefined : failure);
        return Promise.resolve();
      },
    } as Partial<RosterPlace> as RosterPlace;
    const roster = { findTenant: () => Promise.resolve({ tenantId: CONTOSO, cloud: "commercial" }) };
    const loop = discoveryLoop({
      settings: { source: "gdap", credential: "home", mode, exclude: [], everyHours },
      clock,
      log,
      services: { roster: roster as never, nowMs: () => clock.nowMs() },
      place: () => Promise.resolve(place),
      remembered: () => this.known(),
      changed: () => void said.push("configuration changed"),
      pass: async (host, _rows, stop) => {
        this.signals.push(stop);
        said.push(`read at ${clock.monotonicMs() / 1000} s`);
        return this.reading(host);
      },
    });
    void loop.run(collector, this.stop.signal);
    await settled();
  }

  async pass(ms: number): Promise<readonly string[]> {
    const from = this.said.length;
    await this.clock.advance(ms);
    await settled();
    return this.said.slice(from);
  }
}

describe("the list of customers is read", () => {
  test("soon after the first start, and then every discover_hours", async () => {
    const bench = new Bench();
    bench.everyHours = 2;
    await bench.run();
    expect(await bench.pass(HOUR)).toEqual(["read at 5 s", "list: ok"]);
    expect(await bench.pass(HOUR)).toEqual([]);
    expect(await bench.pass(HOUR)).toEqual(["read at 7205 s", "list: ok"]);
    bench.stop.abort();
    expect(await bench.pass(10 * HOUR)).toEqual([]);
  });

  test("an hour after the last list when the program was restarted meanwhile", async () => {
    const bench = new Bench();
    const listedAt = new Date(bench.clock.nowMs() - HOUR / 4).toISOString();
    bench.known = () => ({ ...NOTHING_DISCOVERED, listed_at: listedAt });
    await bench.run();
    expect(await bench.pass((HOUR * 3) / 4 - 1)).toEqual([]);
    expect(await bench.pass(1)).toEqual(["read at 2700 s", "list: ok"]);
    bench.stop.abort();
  });

  test("at once after a restart over the first input that was written, so that the others need not wait", async () => {
    const bench = new Bench();
    bench.mode = "enrol";
    const customers = new Map([[CONTOSO, customer()]]);
    bench.known = () => ({ listed_at: new Date(bench.clock.nowMs()).toISOString(), customers });
    await bench.run();
    expect(await bench.pass(5_000)).toEqual(["read at 5 s", "list: ok"]);
    bench.stop.abort();
  });

  test("within an hour when the clock was set back by a year", async () => {
    const bench = new Bench();
    bench.known = () => ({ ...NOTHING_DISCOVERED, listed_at: "2027-11-29T00:00:00.000Z" });
    await bench.run();
    expect(await bench.pass(HOUR)).toEqual(["read at 3600 s", "list: ok"]);
    bench.stop.abort();
  });
});

test("what the list says becomes health events, and a changed configuration counts", async () => {
  const bench = new Bench();
  const failure = new Failure("customer-found", { actor: "operator", retry: { when: "never" }, say: "found" });
  const change = { kind: "found", tenantId: CONTOSO, customer: customer(), failure } as const;
  bench.reading = async (host) => {
    await host.tell?.([change, { ...change, kind: "renamed", before: "Old", failure: undefined }]);
    await host.forget?.(CONTOSO);
    await host.enrol([{ tenantId: CONTOSO, name: "Contoso" }]);
    return { ...NOTHING, enrolled: new Set([CONTOSO]) };
  };
  await bench.run();
  expect(await bench.pass(5_000)).toEqual([
    "read at 5 s",
    "Contoso: customer-found",
    `forget ${CONTOSO}`,
    "list: ok",
    "configuration changed",
  ]);
  expect(bench.log.texts.filter((line) => line.includes("another name"))).toHaveLength(1);
  bench.stop.abort();
});

test("a configuration that was written counts also when something fails after that", async () => {
  const bench = new Bench();
  bench.reading = async (host) => {
    await host.enrol([{ tenantId: CONTOSO, name: "Contoso" }]);
    throw new Failure("state-unwritable", { actor: "operator", retry: { when: "later" }, say: "disk full" });
  };
  await bench.run();
  expect(await bench.pass(5_000)).toEqual(["read at 5 s", "list: state-unwritable", "configuration changed"]);
  bench.canWrite = false;
  expect(await bench.pass(HOUR)).toEqual(["read at 3605 s", "list: state-unwritable"]);
  bench.stop.abort();
});

test("the requests of a reading end with the program", async () => {
  const bench = new Bench();
  await bench.run();
  await bench.pass(5_000);
  expect(bench.signals.map(({ aborted }) => aborted)).toEqual([false]);
  bench.stop.abort();
  expect(bench.signals.map(({ aborted }) => aborted)).toEqual([true]);
});

test("a customer that could not be written is the list's failure until it is", async () => {
  const bench = new Bench();
  const failure = new Failure("settings", { actor: "operator", retry: { when: "later" }, say: "read-only" });
  bench.reading = () => Promise.resolve({ ...NOTHING, failures: new Map([[CONTOSO, failure]]) });
  await bench.run();
  expect(await bench.pass(HOUR)).toEqual(["read at 5 s", "list: settings"]);
  bench.reading = () => Promise.resolve(NOTHING);
  expect(await bench.pass(HOUR)).toEqual(["read at 3605 s", "list: ok"]);
  bench.stop.abort();
});

test("a list that cannot be read is reported, and read again an hour later", async () => {
  const bench = new Bench();
  const failure = new Failure("discovery-forbidden", { actor: "operator", retry: { when: "later" }, say: "no" });
  bench.reading = () => Promise.reject(failure);
  await bench.run();
  expect(await bench.pass(HOUR)).toEqual(["read at 5 s", "list: discovery-forbidden"]);
  bench.reading = () => Promise.resolve(NOTHING);
  expect(await bench.pass(HOUR)).toEqual(["read at 3605 s", "list: ok"]);
  bench.stop.abort();
});

describe("a customer refuses the program", () => {
  const stream = (failure: string | null, actor: string | null) => ({ failure, actor });
  test.each([
    ["when its app is gone", [stream("app-not-found", "customer")], true],
    ["when every stream was refused", [stream("consent-missing", "customer"), stream("forbidden", "customer")], true],
    ["not when one stream is collected", [stream("consent-missing", "customer"), stream(null, null)], false],
    ["not when our own client secret ended", [stream("secret-expired", "operator")], false],
    ["not when Microsoft throttles", [stream("throttled", "microsoft")], false],
    ["not when the app is unknown to Microsoft", [stream("app-not-found", "operator")], false],
    ["not when nothing is known of it", [], false],
  ])("%s", async (_, streams, refuses) => {
    const bench = new Bench();
    const answers: boolean[] = [];
    bench.customers = [
      { tenant: "Contoso", tenantId: CONTOSO, streams } as unknown as CustomerStatus,
      { tenant: "Other", tenantId: "other", streams: [stream(null, null)] } as unknown as CustomerStatus,
    ];
    bench.reading = async (host) => {
      answers.push(await host.refuses({ tenantId: CONTOSO, name: "Contoso" }));
      return NOTHING;
    };
    await bench.run();
    await bench.pass(5_000);
    bench.stop.abort();
    expect(answers).toEqual([refuses]);
  });

  test("by one status of all customers for each list, however many are asked for", async () => {
    const bench = new Bench();
    bench.reading = async (host) => {
      for (const name of ["A", "B", "C"]) await host.refuses({ tenantId: CONTOSO, name });
      return NOTHING;
    };
    await bench.run();
    await bench.pass(2 * HOUR);
    bench.stop.abort();
    expect(bench.statusesTaken).toBe(2);
  });
});
