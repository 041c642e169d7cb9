import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { AFTER_THE_ANSWER_MS, CountingTokens, type Scripted, ScriptedHttp } from "../../test/harness/fakes/http.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { CLOUDS } from "../model/cloud.ts";
import { Failure } from "../model/failure.ts";
import { ticksFromMs } from "../model/instant.ts";
import type { Page, Question, SourceStream } from "../model/ports.ts";
import type { PageRecord } from "../model/record.ts";
import type { TenantId } from "../model/tenant.ts";
import { createSourceStream } from "./source-stream.ts";
import type { ListStreamName } from "./streams/registry.ts";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;
const GRAPH = "https://graph.microsoft.com";

interface Setup {
  readonly stream: SourceStream;
  readonly http: ScriptedHttp;
  readonly tokens: CountingTokens;
  readonly log: FakeLog;
  readonly ask: (question?: Partial<Question>) => Promise<Page>;
}

function given(name: ListStreamName, ...script: Scripted[]): Setup {
  const http = new ScriptedHttp(...script);
  const tokens = new CountingTokens();
  const log = new FakeLog();
  const stream = createSourceStream({
    stanza: { name: "contoso", endpoints: CLOUDS.commercial, route: {}, clientId: "AAAA" },
    tenant: { id: TENANT, name: "Contoso", cloud: "commercial" },
    stream: name,
    http,
    tokens,
    clock: new FakeClock(AFTER_THE_ANSWER_MS, { pauses: "pass" }),
    log,
    recordMaxBytes: 100_000,
  });
  return {
    stream,
    http,
    tokens,
    log,
    ask: (question) => stream.ask({ top: stream.pageTop, ...question }, new AbortController().signal),
  };
}

async function all(page: Page): Promise<PageRecord[]> {
  const records: PageRecord[] = [];
  for await (const batch of page.batches) records.push(...batch);
  return records;
}

const brief = (record: PageRecord): unknown =>
  record.readable
    ? `${record.nested ? "nested " : ""}${record.kind} ${record.id} ${record.service ?? ""}`.trim()
    : record.reason;

const page = (value: unknown[], more: object = {}): string => JSON.stringify({ "@odata.context": "x", value, ...more });
const alert = (id: string): object => ({
  id,
  lastUpdateDateTime: "2026-11-24T15:00:00.1234567Z",
  createdDateTime: "2026-11-24T14:00:00Z",
  tenantId: TENANT.toUpperCase(),
  serviceSource: "microsoftSentinel",
});

describe("a page", () => {
  test("gives records, the service's clock and the link", async () => {
    const { ask, http } = given("alerts", {
      body: page([alert("a1"), alert("a2")], { "@odata.nextLink": `${GRAPH}/v1.0/security/alerts_v2?$skiptoken=7` }),
    });
    const first = await ask();
    const records = await all(first);
    expect(records.map(brief)).toEqual(["alert a1 microsoftSentinel", "alert a2 microsoftSentinel"]);
    expect(records[0]).toMatchObject({
      payloadTenantId: TENANT,
      updated: ticksFromMs(Date.UTC(2026, 10, 24, 15)) + 1_234_567n,
    });
    expect(first.serverNowMs).toBe(Date.UTC(2026, 10, 24, 16));
    expect(first.link()).toEqual({ kind: "next", url: `${GRAPH}/v1.0/security/alerts_v2?$skiptoken=7` });
    expect(first.partial).toBeUndefined();
    expect(http.asked[0]?.headers).toEqual({
      accept: "application/json",
      "accept-encoding": "gzip",
      authorization: "Bearer token-1",
      prefer: "include-unknown-enum-members",
    });
  });

  test.each<[ListStreamName, string, unknown]>([
    ["incidents", page([{ id: "29", lastUpdateDateTime: "2026-01-01T00:00:00Z" }]), ["incident 29"]],
    [
      "xdr-incidents",
      page([
        {
          incidentId: 5,
          lastUpdateTime: "2026-01-01T00:00:00Z",
          alerts: [{ alertId: "da1", lastUpdatedTime: "2026-01-01T00:00:00Z", serviceSource: "OfficeATP" }],
        },
      ]),
      ["nested alert da1 OfficeATP", "incident 5"],
    ],
    [
      "xdr-incidents",
      page([{ incidentId: 6, lastUpdateTime: "2026-01-01T00:00:00Z", redirectIncidentId: 5, alerts: [] }]),
      ["incident 6"],
    ],
    [
      "mde-alerts",
      page([{ id: "da2", lastUpdateTime: "2026-01-01T00:00:00.1Z", aadTenantId: TENANT, evidence: [] }]),
      ["alert da2"],
    ],
    [
      "siem-alerts",
      JSON.stringify([
        { AlertId: "da3_1", FullId: "da3_1:Rx=", LastProcessedTimeUtc: "2020-09-30T14:11:44.0779765Z", Source: "EDR" },
      ]),
      ["alert da3_1:Rx= EDR"],
    ],
    ["siem-alerts", "[]", []],
    [
      "alerts",
      page([{ id: "x" }, 5, { lastUpdateDateTime: "2026-01-01T00:00:00Z" }]),
      ["no-time", "not-an-object", "no-id"],
    ],
  ])("of %s: %s", async (name, body, wanted) => {
    const { ask, http } = given(name, { body, pieceBytes: 7 });
    expect((await all(await ask())).map(brief)).toEqual(wanted);
    expect(http.asked[0]?.headers.prefer).toBe(
      name === "alerts" || name === "incidents" ? "include-unknown-enum-members" : undefined,
    );
  });

  test("with 206 is partial and names the provider (P19)", async () => {
    const named = given("alerts", {
      status: 206,
      headers: { warning: '199 - "Microsoft/MCAS/504/10000", 199 - "Microsoft/ATP/503/12"' },
      body: page([alert("a1")]),
    });
    const unnamed = given("alerts", { status: 206, body: page([]) });
    const first = await named.ask();
    expect(first.partial).toBe("Microsoft/MCAS/504/10000, Microsoft/ATP/503/12");
    expect(await all(first)).toHaveLength(1);
    expect((await unnamed.ask()).partial).toBe("an unnamed provider");
  });

  test("whose link leads elsewhere gets no token (P27)", async () => {
    const { ask, http } = given("alerts", { body: page([], { "@odata.nextLink": "https://evil.example/v1.0" }) });
    const first = await ask();
    await all(first);
    expect(first.link()).toEqual({ kind: "elsewhere", origin: "https://evil.example" });
    await expect(ask({ link: "https://evil.example/v1.0" })).rejects.toThrow("not https://graph.microsoft.com");
    expect(http.asked).toHaveLength(1);
  });

  test("left early lets go of its connection", async () => {
    const { ask, http } = given("alerts", { body: page([alert("a1"), alert("a2")]), pieceBytes: 10 });
    for await (const _ of (await ask()).batches) break;
    expect(http.discarded).toBe(1);
  });
});

describe("an answer that broke gives what was whole and then says so", () => {
  test.each<[string, Scripted, string]>([
    ["cut", { body: page([alert("a1"), alert("a2")]).slice(0, -30) }, "bad-answer"],
    [
      "reset",
      {
        body: page([alert("a1"), alert("a2")]).slice(0, -30),
        breaks: new Failure("connection-reset", { actor: "microsoft", retry: { when: "soon" }, say: "Reset." }),
      },
      "connection-reset",
    ],
    [
      "an error at its end",
      {
        body: '{"value":[{"id":"a1","lastUpdateDateTime":"2026-01-01T00:00:00Z"}],"error":{"code":"Timeout","message":"late"}}',
      },
      "service-error",
    ],
  ])("%s", async (_, script, code) => {
    const { ask } = given("alerts", script);
    const first = await ask();
    const got: unknown[] = [];
    const reading = (async () => {
      for await (const batch of first.batches) got.push(...batch.map(brief));
    })();
    await expect(reading).rejects.toMatchObject({ code });
    expect(got[0]).toMatch(/^alert a1/);
  });

  test.each<[string, Scripted, string]>([
    ["a web page", { headers: { "content-type": "text/html" }, body: "<html><title>Sign in</title>" }, "bad-answer"],
    ["a redirect", { status: 302, headers: { location: "https://evil.example" } }, "bad-answer"],
    ["no content", { status: 204 }, "bad-answer"],
  ])("%s is not a page", async (_, script, code) => {
    await expect(given("alerts", script).ask()).rejects.toMatchObject({ code });
  });

  test.each([
    ["value missing", "{}"],
    ["value null", '{"value":null}'],
    ["an object", '{"value":{}}'],
    ["empty", ""],
    ["a text", '"x"'],
  ])("%s is not a page either", async (_, body) => {
    const first = await given("alerts", { body }).ask();
    await expect(all(first)).rejects.toMatchObject({ code: "bad-answer" });
  });
});

describe("a token that is no longer taken is renewed once (P11)", () => {
  const unauthorised = { status: 401, body: '{"error":{"code":"InvalidAuthenticationToken","message":"expired"}}' };

  test("and the question asked again", async () => {
    const { ask, http, tokens } = given("alerts", unauthorised, { body: page([alert("a1")]) });
    expect(await all(await ask())).toHaveLength(1);
    expect(tokens.refused).toEqual(["token-1"]);
    expect(http.asked.map((request) => request.headers.authorization)).toEqual(["Bearer token-1", "Bearer token-2"]);
  });

  test("not twice", async () => {
    const { ask, http } = given("alerts", unauthorised, unauthorised);
    await expect(ask()).rejects.toMatchObject({ code: "unauthorised", area: "sign-in" });
    expect(http.asked).toHaveLength(2);
  });

  test("not for a missing licence", async () => {
    const { ask, tokens } = given("mde-alerts", {
      status: 401,
      body: '{"error":{"code":"Unauthorized","message":"Unauthorized request - reason of failure: No Tvm license"}}',
    });
    await expect(ask()).rejects.toMatchObject({ code: "licence-missing", actor: "customer" });
    expect(tokens.refused).toEqual([]);
  });
});

describe("a refusal that teaches is obeyed (P3)", () => {
  const top50 = {
    status: 400,
    body: '{"error":{"code":"BadRequest","message":"The limit of \'25\' for Top query has been exceeded. The value from the incoming request is \'50\'."}}',
  };
  const order = {
    status: 400,
    body: '{"error":{"code":"BadRequest","message":"Query option \'OrderBy\' is not allowed."}}',
  };

  test("a page size is learnt and kept", async () => {
    const { ask, stream, http, log } = given("incidents", top50, { body: page([]) }, { body: page([]) });
    await all(await ask());
    expect(stream.pageTop).toBe(25);
    await all(await ask({ top: 50 }));
    expect(http.asked.map((request) => /\$top=\d+/.exec(request.url)?.[0])).toEqual(["$top=50", "$top=25", "$top=25"]);
    expect(log.texts).toHaveLength(1);
  });

  test("a refused order is left away from then on", async () => {
    const { ask, http } = given("alerts", order, { body: page([]) }, { body: page([]) });
    await all(await ask());
    await all(await ask());
    expect(http.asked.map((request) => request.url.includes("$orderby"))).toEqual([true, false, false]);
  });

  test.each([
    ["the same limit again", top50, top50],
    ["the same order again", order, order],
  ])("%s is a refusal", async (_, first, second) => {
    const { ask, http } = given("incidents", first, second);
    await expect(ask()).rejects.toMatchObject({ code: "refused", actor: "us" });
    expect(http.asked).toHaveLength(2);
  });

  test("a refused link teaches nothing", async () => {
    const { ask, http } = given("alerts", order);
    await expect(ask({ link: `${GRAPH}/v1.0/security/alerts_v2?$skiptoken=1` })).rejects.toMatchObject({
      code: "refused",
    });
    expect(http.asked).toHaveLength(1);
  });
});

describe("what the engine is told about a stream", () => {
  test("streams of one service share a budget, services do not", () => {
    const keys = (["alerts", "incidents", "xdr-incidents", "mde-alerts"] as const).map(
      (name) => given(name).stream.budgetKey,
    );
    expect(new Set(keys).size).toBe(3);
    expect(keys[0]).toBe(`aaaa ${TENANT} graph`);
  });

  test.each<[ListStreamName, number, number, boolean, number, number | undefined]>([
    ["alerts", 1_000, 500, false, 150, undefined],
    ["incidents", 50, 500, false, 150, undefined],
    ["xdr-incidents", 100, 1_000_000, true, 50, 1_500],
    ["mde-alerts", 10_000, 1_000_000, false, 100, 1_500],
    ["siem-alerts", Number.MAX_SAFE_INTEGER, 0, false, 30, undefined],
  ])("%s", (name, top, skip, hasNested, perMinute, perHour) => {
    const { stream } = given(name);
    expect([stream.pageTop, stream.skipMax, stream.hasNested, stream.limits.perMinute, stream.limits.perHour]).toEqual([
      top,
      skip,
      hasNested,
      perMinute,
      perHour,
    ]);
  });
});
