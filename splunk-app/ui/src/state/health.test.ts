import { expect, test } from "@jest/globals";
import { FAILURE_CODES, type FailureCode } from "../../../../src/model/failure-codes.ts";
import { type Input, rowsOf, type Status, type StreamStatus } from "./customers.ts";
import { differenceRows, isOld, overviewOf, rosterOf } from "./health.ts";
import { eventsPerHour, historySearch, lagPoints, momentsOf, spansOf } from "./history.ts";

const NOW = Date.UTC(2026, 10, 24, 12);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const input = (name: string, isDisabled = false): Input => ({ name, isDisabled, values: { tenant_id: `id-${name}` } });

function stream(some: Partial<StreamStatus>): StreamStatus {
  return {
    stream: "alerts",
    state: "ok",
    lag_s: 0,
    actor: null,
    say: null,
    next_step: null,
    failure: null,
    retry_at: null,
    new: 0,
    updated: 0,
    ...some,
  };
}

function status(name: string, streams: readonly StreamStatus[], more: Partial<Status> = {}): Status {
  return {
    input: name,
    time: new Date(NOW).toISOString(),
    streams,
    credential_days_left: null,
    first_event_at: null,
    version: "0.1.0",
    ...more,
  };
}

function overview(inputs: readonly Input[], statuses: readonly Status[]) {
  return overviewOf(rowsOf(inputs, statuses, NOW), statuses, NOW);
}

const ago = (ms: number) => ({ time: new Date(NOW - ms).toISOString() });
const REFUSED = stream({ state: "signed-out", failure: "app-disabled", actor: "operator" });
const UNCONSENTED = stream({ state: "awaiting-consent", failure: "admin-consent-needed", actor: "customer" });

test("customers with one failure are one row, what you must do comes first, and no customer counts twice", () => {
  const { reasons } = overview(
    [input("a"), input("b"), input("c"), input("d", true)],
    [
      status("a", [UNCONSENTED]),
      status("b", [REFUSED, { ...REFUSED, stream: "incidents" }]),
      status("c", [UNCONSENTED, stream({})]),
      status("d", [REFUSED]),
    ],
  );

  expect(reasons.map(({ actor, failure, customers }) => [actor, failure, customers])).toEqual([
    ["you", "app-disabled", ["b"]],
    ["the customer", "admin-consent-needed", ["a", "c"]],
  ]);
  expect(reasons[0]?.meaning).toContain("disabled in the customer's tenant");
});

test("silent customers, throttled streams and secrets that end within 30 days are listed, the most urgent first", () => {
  const slow = stream({ state: "throttled", retry_at: "2026-11-24T13:00:00.000Z" });
  const { silent, throttled, expiring } = overview(
    ["quiet", "quieter", "slow", "soon", "later"].map((name) => input(name)),
    [
      status("quiet", [stream({})], ago(3 * HOUR_MS)),
      status("quieter", [slow], { ...ago(9 * HOUR_MS), credential_days_left: 29 }),
      status("slow", [slow, stream({ stream: "incidents" })]),
      status("soon", [stream({})], { credential_days_left: 3 }),
      status("later", [stream({})], { credential_days_left: 31 }),
    ],
  );

  expect(silent.map(({ name }) => name)).toEqual(["quieter", "quiet"]);
  expect(throttled).toEqual([{ name: "slow", tenant: "slow", streams: "alerts", retryAt: "2026-11-24T13:00:00.000Z" }]);
  expect(expiring.map(({ name, daysLeft }) => [name, daysLeft])).toEqual([
    ["soon", 3],
    ["quieter", 29],
  ]);
});

test("after 65 minutes without a report of any enabled input, reports are old", () => {
  const of = (ms: number, name = "a") => overview([input("a"), input("off", true)], [status(name, [], ago(ms))]);

  expect(isOld(of(65 * MINUTE_MS))).toBe(false);
  expect(isOld(of(65 * MINUTE_MS + 1))).toBe(true);
  expect(isOld(of(2 * HOUR_MS, "off"))).toBe(false);
  expect(of(0, "off").newestAgeMs).toBeUndefined();
});

test("the comparison with the list of customers is news for two hours", () => {
  const roster = { say: "1 customer has not consented (a).", differences: [] } as unknown as NonNullable<
    Status["roster"]
  >;
  const at = (ms: number) => rosterOf([status("", [], { ...ago(ms), roster })], NOW);

  expect(rosterOf([status("a", [])], NOW)).toBeUndefined();
  expect(at(HOUR_MS)).toMatchObject({ report: roster, isOld: false });
  expect(at(3 * HOUR_MS)).toMatchObject({ isOld: true });
});

test("each difference from the list says who must act, and a customer's own state knows it better", () => {
  const inputs = ["ended", "waiting", "failing", "quiet"].map((name) => input(name));
  const failing = stream({ state: "failing", actor: "microsoft", next_step: "Wait.", failure: "service-error" });
  const statuses = [
    status("ended", [failing]),
    status("waiting", [{ ...UNCONSENTED, next_step: "Ask for the consent." }]),
    // Configured with a domain, so only the report knows its tenant.
    status("failing", [failing], { tenant_id: "guid-failing" }),
    status("quiet", [stream({})]),
  ];
  const differences = [
    { tenant: "Missing", tenant_id: "id-missing", difference: "not-configured" },
    { tenant: "Nameless", tenant_id: "", difference: "not-configured" },
    { tenant: "Ended", tenant_id: "id-ended", difference: "not-under-contract" },
    { tenant: "Waiting", tenant_id: "id-waiting", difference: "not-consented" },
    { tenant: "Failing", tenant_id: "guid-failing", difference: "silent" },
    { tenant: "Quiet", tenant_id: "id-quiet", difference: "silent" },
  ] as const;
  const shown = differenceRows({ differences }, rowsOf(inputs, statuses, NOW), statuses);

  expect(shown.map(({ name, actor, action }) => [name, actor, action])).toEqual([
    [undefined, "you", expect.stringContaining("Add the customer")],
    [undefined, "you", expect.stringContaining("Add the customer")],
    ["ended", "you", expect.stringContaining("Ask whether the contract has ended")],
    ["waiting", "the customer", "Ask for the consent."],
    ["failing", "Microsoft", "Wait."],
    ["quiet", "you", expect.stringContaining("Test the customer")],
  ]);
});

test.each([
  ["silent", "Microsoft", "Wait."],
  ["not-consented", "the customer", "Ask for the consent."],
] as const)(
  "of two inputs of one tenant that is %s, the one that is why says who must act",
  (difference, actor, action) => {
    const names = ["failing", "waiting", "good"];
    const failing = stream({ state: "failing", actor: "microsoft", next_step: "Wait.", failure: "service-error" });
    const waiting = { ...UNCONSENTED, next_step: "Ask for the consent." };
    const signedOut = stream({ state: "signed-out", actor: "operator", next_step: "Sign in again." });
    const tenant = { tenant_id: "guid" };
    const statuses = [
      status("failing", [difference === "silent" ? failing : signedOut], tenant),
      status("waiting", [difference === "silent" ? stream({}) : waiting], tenant),
      status("good", [stream({})], tenant),
    ];
    const report = { differences: [{ tenant: "Contoso", tenant_id: "guid", difference }] };
    for (const order of [statuses, statuses.toReversed()]) {
      const rows = rowsOf(
        names.map((name) => input(name)),
        order,
        NOW,
      );
      expect(differenceRows(report, rows, order)).toMatchObject([{ actor, action }]);
    }
  },
);

const row = (hoursAgo: number, state: string, more: Readonly<Record<string, string>> = {}) => ({
  at: String((NOW - hoursAgo * HOUR_MS) / 1000),
  input: "a",
  stream: "alerts",
  state,
  lag_s: "60",
  events: "2",
  ...more,
});

test("the plot of lag follows the slowest stream, and that of events counts each hour", () => {
  const rows = [
    row(1, "ok", { lag_s: "null" }),
    row(12, "ok", { stream: "incidents", lag_s: "90", events: "5" }),
    row(12.2, "ok"),
    row(23.9, "ok", { lag_s: "30" }),
  ];
  const moments = momentsOf(rows);

  expect(lagPoints(moments, NOW).map(({ value }) => value)).toEqual([30, 60, 90]);
  expect(lagPoints(moments, NOW).at(-1)?.at).toBeCloseTo(0.5);
  const hours = eventsPerHour(moments, NOW);
  expect([hours[0], hours[11], hours[12], hours[23]]).toEqual([2, 2, 5, 2]);
  expect(hours.reduce((sum, one) => sum + one, 0)).toBe(11);
});

test("states hold until the next health event, at most two hours", () => {
  const moments = momentsOf([row(12, "ok"), row(11, "failing"), row(10, "failing"), row(1, "ok")]);

  const spans = spansOf(moments, "alerts", NOW);
  expect(spans.map(({ state }) => state)).toEqual(["ok", "failing", "ok"]);
  expect(spans.map(({ from, to }) => [Math.round(from * 24), Math.round(to * 24)])).toEqual([
    [12, 13],
    [13, 16],
    [23, 24],
  ]);
  expect(spansOf(moments, "incidents", NOW)).toEqual([]);
});

test("a name with quotes and backslashes stays inside its quotes in the search", () => {
  expect(historySearch(['a" OR input="b\\', "c"])).toContain('where input="a\\" OR input=\\"b\\\\" OR input="c" |');
});

test.each(Object.keys(FAILURE_CODES) as FailureCode[])(
  "what to do about %s is a command of Splunk's add-on, or none",
  (failure) => {
    const { reasons } = overview(
      [input("a")],
      [status("a", [stream({ state: "failing", failure, actor: "operator" })])],
    );

    expect(reasons[0]?.action).not.toContain("defender-mssp");
  },
);
