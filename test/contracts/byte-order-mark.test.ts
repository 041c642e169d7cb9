import { describe, expect, test } from "@jest/globals";
import { askTenantFacts } from "../../src/auth/authority.ts";
import { redeem } from "../../src/auth/redeem.ts";
import { apiFailure } from "../../src/defender/api-failures.ts";
import { createHuntingSource } from "../../src/defender/hunting/hunting-source.ts";
import { readQueryFile } from "../../src/defender/hunting/query-file.ts";
import { createSourceStream } from "../../src/defender/source-stream.ts";
import type { ListStreamName } from "../../src/defender/streams/registry.ts";
import { Splunkd, splunkdLogin } from "../../src/hosts/splunk/splunkd.ts";
import { CLOUDS } from "../../src/model/cloud.ts";
import { isFailure } from "../../src/model/failure.ts";
import type { Page } from "../../src/model/ports.ts";
import { sealed } from "../../src/model/sealed.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { FakeClock } from "../harness/fakes/clock.ts";
import { CountingTokens, type Scripted, ScriptedHttp } from "../harness/fakes/http.ts";
import { FakeLog } from "../harness/fakes/log.ts";

/**
 * Gateways and proxies write EF BB BF before JSON (RFC 8259, section 8.1, lets a reader ignore it). Each
 * place that reads JSON from outside is here once.
 */
const BOM = "\uFEFF";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;
const APP = "99999999-0000-4000-8000-000000000000";
const LOGIN = "https://login.microsoftonline.com";
const stanza = { name: "contoso", endpoints: CLOUDS.commercial, route: {}, clientId: APP };
const tenant = { id: TENANT, name: "Contoso", cloud: "commercial" } as const;
const clock = (): FakeClock => new FakeClock(Date.UTC(2026, 10, 24, 16), { pauses: "pass" });
const marked = (value: unknown, more: Partial<Scripted> = {}): ScriptedHttp =>
  new ScriptedHttp({ body: `${BOM}${JSON.stringify(value)}`, ...more });

/** One byte at a time: the byte order mark then crosses the ends of pieces too. */
const PIECES = [1, 2, 3, 4, 100] as const;

async function count(batches: Page["batches"]): Promise<number> {
  let rows = 0;
  for await (const batch of batches) rows += batch.length;
  return rows;
}

function token(http: ScriptedHttp): Promise<unknown> {
  return redeem(
    { http, clock: clock() },
    {
      authority: { loginUrl: LOGIN, tenant: TENANT },
      route: {},
      credential: { kind: "secret", clientId: APP, secret: sealed("s3cret") },
      audience: "https://graph.microsoft.com",
      grant: { kind: "app" },
      subject: { customer: "Contoso", clientId: APP },
      keep: () => Promise.resolve(),
    },
  ).then((fresh) => fresh.token.open((value) => value));
}

const splunkd = (http: ScriptedHttp): ConstructorParameters<typeof Splunkd>[0] => ({
  http,
  clock: clock(),
  serverUri: "https://127.0.0.1:8089",
  sessionKey: sealed("key-1"),
  splunkdCaFile: undefined,
  splunkHome: "/opt/splunk",
});

describe("a byte order mark before JSON is ignored", () => {
  test("in a token answer", async () => {
    expect(await token(marked({ token_type: "Bearer", expires_in: 3600, access_token: "access" }))).toBe("access");
  });

  test("in the sign-in service's error, which is explained as without it", async () => {
    const refused = token(marked({ error: "invalid_client", error_codes: [7000215] }, { status: 401 }));
    expect((await refused.catch((error: unknown) => (isFailure(error) ? error.code : error))) as string).toBe(
      "secret-wrong",
    );
  });

  test("in a tenant's OpenID document", async () => {
    const http = marked({ issuer: `${LOGIN}/${TENANT}/v2.0` });
    const { tenantId } = await askTenantFacts({ http, clock: clock() }, { loginUrl: LOGIN, tenant: "contoso.com" }, {});
    expect(tenantId).toBe(TENANT);
  });

  const ALERT = {
    id: "a",
    alertId: "a",
    lastUpdateDateTime: "2026-11-24T15:00:00Z",
    lastUpdateTime: "2026-11-24T15:00:00Z",
  };
  test.each<[ListStreamName, unknown]>([
    ["alerts", { value: [ALERT] }],
    ["incidents", { value: [ALERT] }],
    ["xdr-incidents", { value: [{ ...ALERT, incidentId: 7 }] }],
    ["mde-alerts", { value: [ALERT] }],
    ["siem-alerts", [{ AlertId: "a", LastProcessedTimeUtc: "2026-11-24T15:00:00Z" }]],
  ])("in a page of %s, however the network cuts it", async (stream, body) => {
    for (const pieceBytes of PIECES) {
      const http = marked(body, { pieceBytes });
      const source = createSourceStream({
        stanza,
        tenant,
        stream,
        http,
        tokens: new CountingTokens(),
        clock: clock(),
        log: new FakeLog(),
        recordMaxBytes: 100_000,
      });
      const page = await source.ask({ top: 10 }, new AbortController().signal);
      expect(await count(page.batches)).toBe(1);
    }
  });

  test("in a hunting answer, however the network cuts it", async () => {
    for (const pieceBytes of PIECES) {
      const query = { name: "q", kql: "x", everyMinutes: 60, windowMinutes: 60, delayMinutes: 5 };
      const source = createHuntingSource({
        stanza,
        tenant,
        queries: [query],
        http: marked(
          { schema: [{ name: "Timestamp", type: "DateTime" }], results: [{ FileName: "a" }] },
          { pieceBytes },
        ),
        tokens: new CountingTokens(),
        clock: clock(),
        log: new FakeLog(),
        recordMaxBytes: 1_000,
      });
      const page = await source.hunt(
        { query, window: { from: 0n, to: 10n }, after: 0n, untimedAt: 10n },
        new AbortController().signal,
      );
      expect([await count(page.batches), page.end().columns]).toEqual([1, [{ name: "Timestamp", type: "DateTime" }]]);
    }
  });

  test("in an API's error, which is explained as without it", () => {
    const answer = {
      api: "graph",
      headers: {},
      customer: "Contoso",
      stanza: "contoso",
      rights: ["SecurityAlert.Read.All"],
      nowMs: 0,
    } as const;
    const body = JSON.stringify({ error: { code: "Forbidden", message: "Account is not provisioned" } });
    expect(apiFailure({ ...answer, status: 403, body: `${BOM}${body}` }).say).toBe(
      apiFailure({ ...answer, status: 403, body }).say,
    );
    expect(apiFailure({ ...answer, status: 500, body: `${BOM}${body}` }).say).toContain("Forbidden: Account is not");
  });

  test("in splunkd's answers", async () => {
    expect((await new Splunkd(splunkd(marked({ entry: [] }))).get("/services/x")).json).toEqual({ entry: [] });
    const login = await splunkdLogin(splunkd(marked({ sessionKey: "key-2" })), "admin", sealed("s3cret"));
    expect(login.open((value) => value)).toBe("key-2");
  });

  test("in a file of hunting queries", () => {
    expect(readQueryFile(`${BOM}{"queries":[{"name":"q","kql":"x"}]}`).problems).toEqual([]);
  });
});
