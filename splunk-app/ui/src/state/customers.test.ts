import { expect, test } from "@jest/globals";
import type { HealthState } from "../../../../src/model/event.ts";
import {
  type CustomerRow,
  countsOf,
  duration,
  expectsNews,
  firstEventOf,
  type Input,
  inOrder,
  type Order,
  pageOf,
  progressOf,
  rowsOf,
  type Shown,
  type Status,
} from "./customers.ts";

const NOW = Date.UTC(2026, 10, 24, 12);
const HOUR_MS = 3_600_000;
const SHOWN: Shown = { filter: "", state: "", page: 1 };

function input(name: string, values: Readonly<Record<string, string>> = {}, isDisabled = false): Input {
  return { name, values: { tenant_id: `id-${name}`, ...values }, isDisabled };
}

function status(name: string, states: readonly HealthState[], agoMs = 0, more: Partial<Status> = {}): Status {
  return {
    input: name,
    time: new Date(NOW - agoMs).toISOString(),
    streams: states.map((state, at) => ({
      stream: "alerts",
      state,
      lag_s: at * 60,
      actor: state === "ok" ? null : "operator",
      say: state === "ok" ? null : `It is ${state}.`,
      next_step: null,
      failure: null,
      retry_at: null,
      new: 0,
      updated: 0,
    })),
    credential_days_left: null,
    first_event_at: null,
    version: "0.1.0",
    ...more,
  };
}

test("a customer has the state of its worst stream, its largest lag, and who must act on it", () => {
  const [row] = rowsOf(
    [input("contoso", { tenant_name: "Contoso" })],
    [status("contoso", ["ok", "failing", "throttled"])],
    NOW,
  );

  expect(row).toMatchObject({ tenant: "Contoso", state: "failing", lagS: 120, actor: "you", say: "It is failing." });
});

test("a customer that has not reported for two hours is silent, whatever its last state was", () => {
  const rows = rowsOf(
    [input("a"), input("b")],
    [status("a", ["ok"], 2 * HOUR_MS + 1), status("b", ["ok"], HOUR_MS)],
    NOW,
  );

  expect(rows.map(({ state }) => state)).toEqual(["silent", "ok"]);
});

test("a disabled customer is off, one that never reported is new, and a row of a deleted input is not shown", () => {
  const statuses = [status("a", ["failing"], 2 * HOUR_MS + 1), status("gone", ["ok"])];
  const rows = rowsOf([input("a", {}, true), input("b")], statuses, NOW);

  expect(rows.map(({ name, state }) => [name, state])).toEqual([
    ["a", "off"],
    ["b", "new"],
  ]);
});

test("an enabled customer without a report is not new for ever: while others report, you must look at it", () => {
  const stateOf = (own: readonly Status[], othersAgoMs: number) =>
    rowsOf([input("a"), input("b")], [status("a", ["ok"], othersAgoMs), ...own], NOW)[1];

  expect(stateOf([], HOUR_MS)).toMatchObject({ state: "no report yet", actor: "you" });
  expect(stateOf([], HOUR_MS)?.say).not.toBe("");
  expect(stateOf([], HOUR_MS)?.nextStep).not.toBe("");
  expect(stateOf([], 2 * HOUR_MS + 1)?.state).toBe("new");
  // A disabled input reports hourly: it was enabled after that.
  expect(stateOf([status("b", ["off"], HOUR_MS)], 0)?.state).toBe("new");
  expect(stateOf([status("b", ["off"], 2 * HOUR_MS + 1)], 0)?.state).toBe("no report yet");
});

test("2,000 customers are shown 50 a page; the filter looks at all of them", () => {
  const inputs = Array.from({ length: 2_000 }, (_, at) => input(`customer ${at}`));
  const rows = rowsOf(inputs, [], NOW);

  expect(pageOf(rows, SHOWN)).toMatchObject({ found: 2_000, pages: 40, page: 1 });
  expect(pageOf(rows, SHOWN).rows).toHaveLength(50);
  expect(pageOf(rows, { ...SHOWN, page: 99 })).toMatchObject({ page: 40 });
  expect(pageOf(rows, { ...SHOWN, filter: "CUSTOMER 1999" }).rows.map(({ name }) => name)).toEqual(["customer 1999"]);
});

test("each column sorts both ways, with what is unknown last in rising order", () => {
  const rows = [
    { name: "a", lagS: undefined, state: "ok" },
    { name: "b", lagS: 9, state: "failing" },
    { name: "c", lagS: 100, state: "off" },
  ].map((row) => ({ tenant: "", searched: "", ...row }) as CustomerRow);
  const names = (order: Partial<Order>) =>
    inOrder(rows, { sort: "state", isDescending: false, ...order }).map(({ name }) => name);

  expect(names({ sort: "lagS" })).toEqual(["b", "c", "a"]);
  expect(names({ sort: "lagS", isDescending: true })).toEqual(["a", "c", "b"]);
  expect(names({ sort: "state" })).toEqual(["b", "a", "c"]);
  expect(names({ sort: "name", isDescending: true })).toEqual(["c", "b", "a"]);
  expect(pageOf(rows, { ...SHOWN, state: "ok" }).rows.map(({ name }) => name)).toEqual(["a"]);
  expect(countsOf(rows)).toEqual([
    ["failing", 1],
    ["ok", 1],
    ["off", 1],
  ]);
});

test.each([
  [5, "5 s"],
  [180, "3 min"],
  [7_200, "2 h"],
  [1_000_000, "12 days"],
])("%d seconds read %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test("the first event of a deleted customer is not shown as that of a new one with its name", () => {
  const earlier = status("contoso", ["ok"], HOUR_MS, { first_event_at: "2026-01-01T00:00:00.000Z" });
  const now = status("contoso", ["ok"], 0, { first_event_at: "2026-11-24T12:00:00.000Z" });

  expect(firstEventOf(undefined, undefined)).toBeUndefined();
  expect(firstEventOf(earlier, earlier.time)).toBeUndefined();
  expect(firstEventOf(now, earlier.time)).toBe("2026-11-24T12:00:00.000Z");
  expect(firstEventOf(now, undefined)).toBe("2026-11-24T12:00:00.000Z");
});

test("the page Start counts customers that are configured, not the rows of deleted ones", () => {
  const at = { first_event_at: "2026-01-01T00:00:00.000Z" };
  const statuses = [status("a", ["ok"], 0, at), status("b", ["ok"]), status("deleted", ["ok"], 0, at)];

  expect(progressOf([input("a"), input("b")], statuses)).toBe(
    "2 customers are configured. Events of 1 of them have arrived.",
  );
  expect(progressOf([], statuses)).toBe("No customer yet. Begin with step 1, or with step 2 if you have an app.");
});

test.each<[boolean, readonly HealthState[] | "no report"]>([
  [true, "no report"],
  [true, ["ok", "catching-up"]],
  [false, ["ok"]],
  [false, ["failing"]],
  [false, ["off"]],
])("it is %p that news of a customer are expected soon whose last report is %j", (isExpected, states) => {
  const isOff = states[0] === "off";
  const inputs = [input("steady"), input("asked", {}, isOff)];
  const statuses = [status("steady", ["ok"]), ...(states === "no report" ? [] : [status("asked", states)])];

  expect(expectsNews(rowsOf(inputs, statuses, NOW))).toBe(isExpected);
});
