import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { customerStatus, streamStatus } from "../../test/harness/monitoring/status.ts";
import type { HealthEvent } from "../model/event.ts";
import { Failure } from "../model/failure.ts";
import type { ContractCustomer } from "../model/roster-report.ts";
import type { CustomerStatus } from "../model/status.ts";
import type { TenantId } from "../model/tenant.ts";
import { compareRoster, RosterWatch } from "./roster-watch.ts";

const NOW_MS = Date.parse("2026-11-29T12:00:00Z");
const HOUR_MS = 3_600_000;
const idOf = (n: number) => `${String(n).padStart(8, "0")}-2222-4333-8444-555555555555` as TenantId;
const listed = (n: number, more: Partial<ContractCustomer> = {}): ContractCustomer => ({
  tenantId: idOf(n),
  name: `Customer ${n}`,
  isExcluded: false,
  ...more,
});
const at = (ms: number) => new Date(ms).toISOString();
const polled = (n: number, agoMs = 60_000): CustomerStatus =>
  customerStatus(`Customer ${n}`, {
    tenantId: idOf(n),
    streams: [streamStatus({ walk_completed_at: at(NOW_MS - agoMs) })],
  });
const inState = (n: number, state: "awaiting-consent" | "failing"): CustomerStatus =>
  customerStatus(`Customer ${n}`, {
    tenantId: idOf(n),
    streams: [streamStatus({ state, walk_completed_at: null })],
    permissions: { granted: ["A"], missing: [], withdrawn: [], unneeded: [], changed_at: null },
  });
const compare = (
  underContract: readonly ContractCustomer[],
  customers: readonly CustomerStatus[],
  collectingForMs = 24 * HOUR_MS,
) => compareRoster({ underContract, customers, nowMs: NOW_MS, collectingForMs });
const gaps = (report: ReturnType<typeof compare>) =>
  report.differences.map(({ tenant, difference }) => `${tenant}: ${difference}`);

describe("the list against reality", () => {
  test("counts who is under contract, configured, consented, collected and silent, and names who differs", () => {
    const report = compare(
      [listed(1), listed(2), listed(3), listed(4)],
      [polled(1), inState(2, "awaiting-consent"), inState(3, "failing"), polled(5)],
    );
    expect(report).toMatchObject({
      under_contract: 4,
      configured: 4,
      consented: 3,
      collected: 2,
      silent: 1,
      failure: "roster-difference",
      actor: "operator",
      more: 0,
    });
    expect(gaps(report)).toEqual([
      "Customer 4: not-configured",
      "Customer 2: not-consented",
      "Customer 3: silent",
      "Customer 5: not-under-contract",
    ]);
    expect(report.say).toBe(
      "1 customer under contract is not configured (Customer 4). 1 configured customer is not under contract (Customer 5). 1 customer has not consented (Customer 2). 1 customer has consented and is not collected (Customer 3).",
    );
  });

  test("does not differ while everybody is collected", () => {
    expect(compare([listed(1), listed(2)], [polled(1), polled(2)])).toMatchObject({
      failure: null,
      actor: null,
      next_step: null,
      say: "The customers are as the list says.",
      differences: [],
    });
  });

  test("does not expect an excluded customer to be configured", () => {
    expect(gaps(compare([listed(1, { isExcluded: true })], []))).toEqual([]);
  });

  test("calls nobody silent in the first two hours of a run, and a customer whose last poll is older", () => {
    expect(gaps(compare([listed(3)], [inState(3, "failing")], 2 * HOUR_MS))).toEqual([]);
    expect(gaps(compare([listed(1)], [polled(1, 2 * HOUR_MS)]))).toEqual([]);
    expect(gaps(compare([listed(1)], [polled(1, 2.1 * HOUR_MS)]))).toEqual(["Customer 1: silent"]);
  });

  test("takes two inputs of one tenant as one customer, and one whose tenant is not known by its name", () => {
    const two = [polled(1), { ...polled(1), tenant: "Customer 1 incidents" }];
    expect(compare([listed(1)], two)).toMatchObject({ configured: 1, collected: 1, differences: [] });
    const unknown = customerStatus("CUSTOMER 1", {
      tenantId: "",
      streams: [streamStatus({ state: "misconfigured", walk_completed_at: null })],
    });
    expect(gaps(compare([listed(1)], [unknown]))).toEqual([]);
  });

  test("does not take a customer whose tenant is still asked for as consented and collected", () => {
    const joining = customerStatus("Customer 1", { tenantId: "", streams: [] });
    expect(compare([listed(1)], [joining])).toMatchObject({ configured: 1, consented: 0, collected: 0 });
  });

  test("waits for no hunting query, which may run once a day", () => {
    const streams = [
      streamStatus({ walk_completed_at: at(NOW_MS) }),
      streamStatus({ stream: "hunting", walk_completed_at: at(NOW_MS - 20 * HOUR_MS) }),
    ];
    const hunts = customerStatus("Customer 1", { tenantId: idOf(1), streams });
    expect(gaps(compare([listed(1)], [hunts]))).toEqual([]);
  });

  test("of 2,000 customers names 200 and counts the others", () => {
    const report = compare(
      Array.from({ length: 2_000 }, (_, n) => listed(n)),
      [],
    );
    expect([report.differences.length, report.more]).toEqual([200, 1_800]);
    expect(report.say).toBe(
      "2000 customers under contract are not configured (Customer 0, Customer 1, Customer 2, Customer 3, Customer 4 and 1995 more).",
    );
  });
});

describe("while the collector runs", () => {
  function watching() {
    const clock = new FakeClock(NOW_MS, { pauses: "pass" });
    const log = new FakeLog();
    const sent: HealthEvent[] = [];
    const now: { list: readonly ContractCustomer[] | Failure | undefined; customers: CustomerStatus[]; down: boolean } =
      {
        list: [],
        customers: [],
        down: false,
      };
    const watch = new RosterWatch({
      underContract: () => (now.list instanceof Failure ? Promise.reject(now.list) : Promise.resolve(now.list)),
      customers: () => now.customers,
      send: async (event) => {
        if (now.down) throw new Failure("output-full", { actor: "operator", retry: { when: "later" }, say: "Full." });
        sent.push(event);
      },
      version: "1",
      clock,
      log,
    });
    const looks = async (times: number) => {
      for (let look = 0; look < times; look += 1) {
        clock.now += 300_000;
        now.customers = now.customers.map((one) => ({
          ...one,
          streams: one.streams.map((stream) => ({ ...stream, walk_completed_at: at(clock.nowMs()) })),
        }));
        await watch.look();
      }
    };
    return { clock, log, sent, now, watch, looks };
  }

  test("the first comparison of a run is one health event, a difference one per change, hourly while it lasts, and one more when it ends", async () => {
    const { sent, now, looks, log } = watching();
    now.customers = [polled(1)];
    now.list = [listed(1)];
    await looks(3);
    // The run before may have ended with a difference, which the pages would show for hours.
    expect(sent.splice(0).map(({ roster }) => roster?.failure)).toEqual([null]);
    now.list = [listed(1), listed(2)];
    await looks(1);
    expect(sent.map(({ roster }) => roster?.say)).toEqual([expect.stringContaining("(Customer 2)")]);
    await looks(11);
    expect(sent).toHaveLength(1);
    await looks(2);
    expect(sent).toHaveLength(2);
    now.list = [listed(1), listed(2), listed(3)];
    await looks(2);
    expect(sent).toHaveLength(3);
    now.customers = [polled(1), polled(2), polled(3)];
    await looks(24);
    expect(sent.slice(3).map(({ roster }) => roster?.failure)).toEqual([null]);
    expect(sent[0]).toMatchObject({ tenant: "", tenant_id: "", input: "", streams: [] });
    expect(log.texts.filter((text) => text.startsWith("warn"))).toHaveLength(2);
  });

  test("nothing is compared before a list was read, and a list that cannot be read is said once", async () => {
    const { sent, now, looks, log, watch } = watching();
    now.list = undefined;
    await looks(3);
    expect([sent, watch.latest]).toEqual([[], undefined]);
    now.list = new Failure("state-damaged", { actor: "operator", retry: { when: "never" }, say: "It is newer." });
    await looks(3);
    expect(log.texts.filter((text) => text.includes("It is newer."))).toHaveLength(1);
    expect(sent).toEqual([]);
  });

  test("an event that no output takes is sent at the next look", async () => {
    const { sent, now, looks, log } = watching();
    now.list = [listed(2)];
    now.down = true;
    await looks(2);
    now.down = false;
    await looks(1);
    expect(sent).toHaveLength(1);
    expect(log.texts.filter((text) => text.startsWith("warn"))).toHaveLength(1);
  });
});
