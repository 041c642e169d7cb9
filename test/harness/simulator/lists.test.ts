import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { evaluateList, readListQuery } from "./api/lists.ts";
import { textOfTicks, ticksOf } from "./instant.ts";
import { QueryRefused } from "./odata.ts";
import { makeTable, readVersion, type Table } from "./records.ts";
import { STREAMS, type StreamName } from "./streams.ts";
import type { Regime } from "./world.ts";

interface Alert {
  readonly id: string;
  readonly severity: string;
  readonly status: string;
  readonly assignedTo: string | null;
  readonly createdDateTime: string;
  readonly lastUpdateDateTime: string;
}

const BASE = ticksOf("2026-11-24T08:00:00Z") ?? 0n;

/** Few different instants, so that ties are common, and every number of fraction digits. */
const instants = fc
  .tuple(
    fc.integer({ min: 0, max: 12 }),
    fc.constantFrom(0, 0, 1, 33_333, 5_000_000),
    fc.constantFrom(0, 1, 2, 3, 5, 6, 7),
  )
  .map(([second, ticks, digits]) => textOfTicks(BASE + BigInt(second * 10_000_000 + ticks), digits));

const alerts = fc.uniqueArray(
  fc.record({
    id: fc.string({ minLength: 1, maxLength: 6 }),
    severity: fc.constantFrom("low", "medium", "High"),
    status: fc.constantFrom("new", "resolved"),
    assignedTo: fc.constantFrom(null, "o'brien@example.com", "x"),
    createdDateTime: instants,
    lastUpdateDateTime: instants,
  }),
  { selector: ({ id }) => id, maxLength: 40 },
);

type Condition = { readonly text: string; readonly holds: (alert: Alert) => boolean };

const ticks = (text: string): bigint => ticksOf(text) ?? 0n;

const COMPARISONS: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
};

const timeCondition: fc.Arbitrary<Condition> = fc
  .record({
    member: fc.constantFrom("createdDateTime" as const, "lastUpdateDateTime" as const),
    how: fc.constantFrom(...Object.keys(COMPARISONS)),
    instant: instants,
  })
  .map(({ member, how, instant }) => ({
    text: `${member} ${how} ${instant}`,
    holds: (alert) => COMPARISONS[how]?.(ticks(alert[member]), ticks(instant)) === true,
  }));

const textCondition: fc.Arbitrary<Condition> = fc
  .record({
    member: fc.constantFrom("severity" as const, "status" as const, "assignedTo" as const),
    how: fc.constantFrom("eq", "ne"),
    value: fc.constantFrom("low", "high", "new", "o'brien@example.com", null),
  })
  .map(({ member, how, value }) => ({
    text: `${member} ${how} ${value === null ? "null" : `'${value.replaceAll("'", "''")}'`}`,
    holds: (alert) =>
      (alert[member] === null ? value === null : value !== null && alert[member].toLowerCase() === value)
        ? how === "eq"
        : how === "ne",
  }));

const { condition } = fc.letrec<{ condition: Condition }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3 },
    timeCondition,
    textCondition,
    fc.tuple(tie("condition"), tie("condition")).map(([a, b]) => ({
      text: `(${a.text}) and (${b.text})`,
      holds: (alert: Alert) => a.holds(alert) && b.holds(alert),
    })),
    fc.tuple(tie("condition"), tie("condition")).map(([a, b]) => ({
      text: `(${a.text}) or (${b.text})`,
      holds: (alert: Alert) => a.holds(alert) || b.holds(alert),
    })),
    tie("condition").map((a) => ({ text: `not (${a.text})`, holds: (alert: Alert) => !a.holds(alert) })),
  ),
}));

function tableOf(rows: readonly Alert[], stream: StreamName = "alerts"): Table {
  const table = makeTable(STREAMS[stream]);
  for (const row of rows) {
    const version = readVersion(STREAMS[stream], JSON.stringify(row));
    if (typeof version === "string") throw new Error(version);
    table.add(version);
  }
  return table;
}

/** More than any list of these tests can have. */
const PAGES_MAX = 100;

/** All pages from the first to the one without a token. */
function walk(table: Table, search: URLSearchParams, regime: Regime): string[][] {
  const pages: string[][] = [];
  let token: string | undefined;
  do {
    const asked = new URLSearchParams(search);
    if (token !== undefined) {
      asked.delete("$skip");
      asked.set("$skiptoken", token);
    }
    const answer = evaluateList(table, readListQuery(table.facts, asked), regime);
    pages.push(answer.rows.map(({ id }) => id));
    if (pages.length > PAGES_MAX) throw new Error("the links never end");
    token = answer.next;
  } while (token !== undefined);
  return pages;
}

const regimes = fc.record({
  links: fc.constant(true),
  order: fc.constantFrom<Regime["order"]>("honoured", "ignored", "newest-first"),
  token: fc.constantFrom<Regime["token"]>("place", "count"),
});

const at = (id: string, lastUpdateDateTime: string): Alert => ({
  id,
  severity: "low",
  status: "new",
  assignedTo: null,
  createdDateTime: lastUpdateDateTime,
  lastUpdateDateTime,
});

describe("a list of the simulator", () => {
  test("clamps $top to page_max without notice, and its links continue from there", () => {
    const table = tableOf(["1", "2", "3", "4", "5"].map((id) => at(id, `2026-11-24T08:00:0${id}Z`)));

    const pages = walk(table, new URLSearchParams({ $top: "1000", $orderby: "lastUpdateDateTime" }), {
      links: true,
      order: "honoured",
      token: "place",
      page_max: 2,
    });

    expect(pages).toEqual([["1", "2"], ["3", "4"], ["5"]]);
  });

  test("answers $filter, $orderby, $top, $skip and next links like a plain evaluation of all rows", () => {
    const orders = fc.option(
      fc.tuple(
        fc.constantFrom("createdDateTime" as const, "lastUpdateDateTime" as const),
        fc.constantFrom("", " asc", " desc"),
      ),
      { nil: undefined },
    );
    fc.assert(
      fc.property(
        alerts,
        fc.option(condition, { nil: undefined }),
        orders,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 0, max: 5 }),
        regimes,
        (rows, filter, order, top, skip, regime) => {
          const search = new URLSearchParams({ $top: String(top), $skip: String(skip) });
          if (filter !== undefined) search.set("$filter", filter.text);
          if (order !== undefined) search.set("$orderby", `${order[0]}${order[1]}`);

          const pages = walk(tableOf(rows), search, regime);

          const passing = rows.filter((row) => filter === undefined || filter.holds(row));
          const sorted =
            regime.order === "honoured" && order !== undefined
              ? plainSort(passing, order[0], order[1] === " desc")
              : plainSort(passing, "lastUpdateDateTime", true);
          const got = pages.flat();
          // Where the order is ignored only the set of rows is promised, and a skip takes any of them away.
          const wanted = sorted.slice(skip).map(({ id }) => id);
          const ids = new Set(passing.map(({ id }) => id));
          expect(regime.order === "ignored" ? got.filter((id) => ids.has(id)).length : got).toEqual(
            regime.order === "ignored" ? wanted.length : wanted,
          );
          expect(new Set(got).size).toBe(got.length);
          for (const page of pages.slice(0, -1)) expect(page).toHaveLength(top);
        },
      ),
      { numRuns: 400 },
    );
  });

  test("compares instants of any precision by value: 58Z comes before 58.0066667Z", () => {
    const table = tableOf([at("later", "2020-09-06T16:05:58.0066667Z"), at("earlier", "2020-09-06T16:05:58Z")]);

    expect(
      walk(table, new URLSearchParams({ $orderby: "lastUpdateDateTime asc" }), {
        links: true,
        order: "honoured",
        token: "place",
      }),
    ).toEqual([["earlier", "later"]]);
  });

  test.each<[StreamName, string, string]>([
    [
      "incidents",
      "$top=51",
      "The limit of '50' for Top query has been exceeded. The value from the incoming request is '51'.",
    ],
    [
      "xdr-incidents",
      "$top=101",
      "The limit of '100' for Top query has been exceeded. The value from the incoming request is '101'.",
    ],
    [
      "alerts",
      "$skip=501",
      "The limit of '500' for Skip query has been exceeded. The value from the incoming request is '501'.",
    ],
    ["alerts", "$filter=investigationState eq 'x'", "Filtering by the property 'investigationState' is not supported."],
    ["xdr-incidents", "$filter=severity eq 'High'", "Filtering by the property 'severity' is not supported."],
    ["alerts", "$filter=lastUpdateDateTime ge yesterday", "Could not find a property named 'yesterday'"],
    ["alerts", "$filter=(lastUpdateDateTime ge 2020-01-01T00:00:00Z", "Syntax error"],
    ["alerts", "$search=x", "The query parameter '$search' is not supported."],
    ["alerts", "$skiptoken=nonsense", "Skip token is invalid."],
  ])("of %s refuses %s", (stream, query, sentence) => {
    expect(() => readListQuery(STREAMS[stream], new URLSearchParams(query))).toThrow(QueryRefused);
    expect(() => readListQuery(STREAMS[stream], new URLSearchParams(query))).toThrow(sentence);
  });

  test.each<[StreamName, string, number]>([
    ["alerts", "$top=5000", 1000],
    ["alerts", "", 1000],
    ["incidents", "", 50],
    ["mde-alerts", "", 10_000],
  ])("of %s clamps %s to %i without notice", (stream, query, top) => {
    expect(readListQuery(STREAMS[stream], new URLSearchParams(query)).top).toBe(top);
  });
});

function plainSort(
  rows: readonly Alert[],
  member: "createdDateTime" | "lastUpdateDateTime",
  descending: boolean,
): Alert[] {
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [ticks(a[member]), ticks(b[member])];
    if (left !== right) return left < right ? -sign : sign;
    return a.id < b.id ? -sign : a.id > b.id ? sign : 0;
  });
}
