import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { AFTER_THE_ANSWER_MS, CountingTokens, type Scripted, ScriptedHttp } from "../../../test/harness/fakes/http.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { CLOUDS } from "../../model/cloud.ts";
import type { HuntingEnd, HuntingPass, HuntingQuery } from "../../model/hunting.ts";
import { parseInstant, type Ticks } from "../../model/instant.ts";
import type { PageRecord } from "../../model/record.ts";
import type { TenantId } from "../../model/tenant.ts";
import { createHuntingSource, ROWS_MOST } from "./hunting-source.ts";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;
const at = (text: string): Ticks => parseInstant(text) as Ticks;
const query: HuntingQuery = {
  name: "ps",
  kql: "DeviceProcessEvents | where FileName == 'é'",
  everyMinutes: 60,
  windowMinutes: 60,
  delayMinutes: 5,
};
const pass: HuntingPass = {
  query,
  window: { from: at("2026-11-24T15:00:00Z"), to: at("2026-11-24T16:00:00Z") },
  after: at("2026-11-24T15:00:00Z"),
  untimedAt: at("2026-11-24T16:00:00Z"),
};
const sha = (text: string): string => createHash("sha256").update(text).digest("hex");

function given(script: Scripted, queries: readonly HuntingQuery[] = [query]) {
  const http = new ScriptedHttp(script);
  const source = createHuntingSource({
    stanza: { name: "contoso", endpoints: CLOUDS.commercial, route: {}, clientId: "AAAA" },
    tenant: { id: TENANT, name: "Contoso Ltd", cloud: "commercial" },
    queries,
    http,
    tokens: new CountingTokens(),
    clock: new FakeClock(AFTER_THE_ANSWER_MS, { pauses: "pass" }),
    log: new FakeLog(),
    recordMaxBytes: 1_000,
  });
  return { http, source };
}

async function hunted(script: Scripted): Promise<{ readonly rows: PageRecord[]; readonly end: HuntingEnd }> {
  const page = await given(script).source.hunt(pass, new AbortController().signal);
  const rows: PageRecord[] = [];
  for await (const batch of page.batches) rows.push(...batch);
  return { rows, end: page.end() };
}

const TIMED = '{"Timestamp":"2026-11-24T15:10:00.1234567Z","FileName":"cmd.exe"}';
const UNTIMED = '{"DeviceName":"a","count_":5}';

describe("a hunting answer", () => {
  test.each([
    [
      "as Graph's reference spells it",
      `{"schema":[{"name":"Timestamp","type":"DateTime"}],"results":[${TIMED},${UNTIMED}]}`,
    ],
    ["with capitals", `{"schema":[{"Name":"Timestamp","Type":"DateTime"}],"results":[${TIMED},${UNTIMED}]}`],
    [
      "as the older endpoints spell it",
      `{"Stats":{"x":1},"Schema":[{"Name":"Timestamp","Type":"DateTime"}],"Results":[${TIMED},${UNTIMED}]}`,
    ],
    [
      "with white space",
      `{ "schema" : [ {"name":"Timestamp","type":"DateTime"} ] ,\n "results" : [ {"Timestamp": "2026-11-24T15:10:00.1234567Z", "FileName": "cmd.exe"} , ${UNTIMED} ] }`,
    ],
  ])("%s gives rows known by their query and bytes", async (_, body) => {
    const { rows, end } = await hunted({ body, pieceBytes: 11 });
    expect(rows.map((row) => [row.id, row.updated])).toEqual([
      [`ps/${sha(TIMED)}`, at("2026-11-24T15:10:00.1234567Z")],
      [`ps/${sha(UNTIMED)}`, pass.untimedAt],
    ]);
    expect(rows[0]).toMatchObject({ kind: "row", service: "ps" });
    expect(end).toEqual({
      rowCount: 2,
      untimedCount: 1,
      columns: [{ name: "Timestamp", type: "DateTime" }],
      isCut: false,
    });
  });

  test("equal rows have equal keys, so that they are delivered once", async () => {
    const { rows } = await hunted({ body: `{"results":[${TIMED},${TIMED}]}` });
    expect(rows[0]?.id).toBe(rows[1]?.id);
  });

  test.each([
    ["no rows", '{"schema":[],"results":[]}', 0],
    ["a null time", '{"results":[{"Timestamp":null}]}', 1],
    ["a schema that is none", '{"schema":null,"results":[{"a":1}]}', 1],
  ])("%s is an answer", async (_, body, count) => expect((await hunted({ body })).end.rowCount).toBe(count));

  test("at the row limit was cut", async () => {
    const { end } = await hunted({
      body: `{"results":[${Array.from({ length: ROWS_MOST }, () => "{}").join(",")}]}`,
      pieceBytes: 65_536,
    });
    expect(end.isCut).toBe(true);
  });

  test.each<[string, Scripted, string]>([
    [
      "a refused query",
      { status: 400, body: '{"error":{"code":"BadRequest","message":"\'where\' operator: Failed to resolve column"}}' },
      "query-refused",
    ],
    [
      "too many results",
      {
        status: 400,
        body: '{"error":{"code":"BadRequest","message":"Query execution has exceeded the allowed result size."}}',
      },
      "query-too-large",
    ],
    [
      "CPU used up",
      { status: 429, body: '{"error":{"code":"TooManyRequests","message":"CPU quota exceeded"}}' },
      "throttled",
    ],
    [
      "no permission",
      {
        status: 403,
        body: '{"error":{"code":"Forbidden","message":"Missing application roles. API required roles: ThreatHunting.Read.All, application roles: ."}}',
      },
      "consent-missing",
    ],
  ])("%s is said", async (_, script, code) => {
    await expect(given(script).source.hunt(pass, new AbortController().signal)).rejects.toMatchObject({ code });
  });
});

describe("the question", () => {
  test("names the query and a window whose end belongs to the next one", async () => {
    const { http, source } = given({ body: '{"results":[]}' });
    await source.hunt(pass, new AbortController().signal);
    expect(http.asked[0]).toMatchObject({
      method: "POST",
      url: "https://graph.microsoft.com/v1.0/security/runHuntingQuery",
      body: '{"Query":"DeviceProcessEvents | where FileName == \'é\'","Timespan":"2026-11-24T15:00:00.0000000Z/2026-11-24T15:59:59.9999999Z"}',
      headers: { "content-type": "application/json; charset=utf-8", authorization: "Bearer token-1" },
    });
  });

  test("is asked for the customers that it names", () => {
    const named = (...customers: string[]): HuntingQuery => ({ ...query, name: customers.join(), customers });
    const { source } = given({}, [
      query,
      named("CONTOSO"),
      named("contoso ltd"),
      named(TENANT.toUpperCase(), "x"),
      named("fabrikam"),
    ]);
    expect(source.queries.map(({ name }) => name)).toEqual([
      "ps",
      "CONTOSO",
      "contoso ltd",
      `${TENANT.toUpperCase()},x`,
    ]);
    expect(source.budgetKey).toBe(`aaaa ${TENANT} hunting`);
  });
});
