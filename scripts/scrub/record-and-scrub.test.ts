import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import type { Http, HttpAnswer } from "../../src/model/ports.ts";
import { createHttp } from "../../src/net/http.ts";
import { withStory } from "../../test/harness/nock/story.ts";
import { type Exchange, recordingHttp } from "../record/recorder.ts";
import { rewriteLeaves } from "./json-leaves.ts";
import { leaksIn, survivorsOf } from "./leaks.ts";
import { Pseudonyms, strangePieces } from "./pseudonyms.ts";
import { type FixtureStep, scrubExchange, scrubUrl } from "./scrub-exchange.ts";

const TENANT = "b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c";
const LOGIN = "https://login.microsoftonline.com";
const GRAPH = "https://graph.microsoft.com";
const ALERTS = `{"@odata.context":"${GRAPH}/v1.0/$metadata#security/alerts_v2","value":[
  {"@odata.type":"#microsoft.graph.security.alert","id":"da637551227677560813_-961444813","incidentId":"28282","severity":"low","title":"Suspicious file of Lee","tenantId":"${TENANT}",
   "lastUpdateDateTime":"2026-01-02T03:04:05.6700000Z","score":1.50,"n":28282,
   "evidence":[{"userPrincipalName":"lee@contoso.com","accountName":"Lee","domain":"CONTOSO","ip":"10.1.2.3","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]}
],"@odata.nextLink":"${GRAPH}/v1.0/security/alerts_v2?$top=1&$skiptoken=contoso-secret"}`;

/** An exchange told by nock, run through our own network layer with the recorder in front. */
async function recorded(): Promise<Exchange[]> {
  const kept: Exchange[] = [];
  await withStory(async (story) => {
    story.on(LOGIN).post(`/${TENANT}/oauth2/v2.0/token`).query({ "client-request-id": "1" }).reply(200, {
      token_type: "Bearer",
      expires_in: 3600,
      access_token: "eyJhbGciOiJub25lIn0.x.y",
      refresh_token: "0.AAAA",
    });
    story
      .on(GRAPH)
      .get("/v1.0/security/alerts_v2")
      .query({ $filter: "lastUpdateDateTime ge 2026-01-01T00:00:00Z", $top: "1" })
      .reply(200, ALERTS, { "content-type": "application/json", "request-id": TENANT });
    story
      .on(GRAPH)
      .get("/v1.0/security/alerts_v2")
      .query({ $top: "1", $skiptoken: "contoso-secret" })
      .reply(503, "busy at contoso");
    const http = recordingHttp(
      createHttp(),
      (exchange) => kept.push(exchange),
      () => 0,
    );
    await askAll(http, TENANT, "contoso-secret");
    await http.close();
  });
  return kept;
}

async function askAll(http: Http, tenant: string, skipToken: string): Promise<HttpAnswer[]> {
  const form = { "content-type": "application/x-www-form-urlencoded" };
  const token = await http.send({
    method: "POST",
    url: `${LOGIN}/${tenant}/oauth2/v2.0/token?client-request-id=1`,
    headers: form,
    body: "client_id=app&client_secret=s3cret&refresh_token=0.AAAA",
    route: {},
  });
  await token.text(10_000);
  const filter = encodeURIComponent("lastUpdateDateTime ge 2026-01-01T00:00:00Z");
  const headers = { authorization: "Bearer eyJhbGciOiJub25lIn0.x.y" };
  const page = await http.send({
    method: "GET",
    url: `${GRAPH}/v1.0/security/alerts_v2?$filter=${filter}&$top=1`,
    headers,
    route: {},
  });
  for await (const piece of page.body) expect(piece.length).toBeGreaterThan(0);
  const last = await http.send({
    method: "GET",
    url: `${GRAPH}/v1.0/security/alerts_v2?$top=1&$skiptoken=${skipToken}`,
    headers,
    route: {},
  });
  await last.text(10_000);
  return [token, page, last];
}

test("a recording holds every exchange, and neither a token nor a client secret", async () => {
  const exchanges = await recorded();

  expect(exchanges.map((one) => [one.request.method, one.answer.status])).toEqual([
    ["POST", 200],
    ["GET", 200],
    ["GET", 503],
  ]);
  expect(exchanges[1]?.answer.body).toBe(ALERTS);
  expect(exchanges[0]?.request.body).toBe(
    "client_id=app&client_secret=%5Bclient_secret%5D&refresh_token=%5Brefresh_token%5D",
  );
  expect(JSON.stringify(exchanges)).not.toMatch(/s3cret|0\.AAAA|eyJ|authorization/);
});

describe("a scrubbed fixture", () => {
  const scrubbed = async (): Promise<{ recording: Exchange[]; steps: FixtureStep[] }> => {
    const recording = await recorded();
    const names = new Pseudonyms("salt");
    return { recording, steps: recording.map((one) => scrubExchange(one, names)) };
  };

  test("keeps shape, types, times and joins, and replaces the rest", async () => {
    const { steps } = await scrubbed();
    const { value } = JSON.parse(steps[1]?.response ?? "") as { value: Record<string, unknown>[] };
    const alert = value[0] as Record<string, string> & { evidence: Record<string, string>[]; n: number };
    const evidence = alert.evidence[0] as Record<string, string>;

    expect(alert).toMatchObject({
      "@odata.type": "#microsoft.graph.security.alert",
      severity: "low",
      lastUpdateDateTime: "2026-01-02T03:04:05.6700000Z",
    });
    expect(String(alert.n)).toBe(alert["incidentId"]);
    expect(alert["incidentId"]).not.toBe("28282");
    expect(alert["id"]).toMatch(/^[a-z]{2}[3-9]{18}_-[3-9]{9}$/);
    expect(evidence["userPrincipalName"]).toBe(
      `${evidence["accountName"]?.toLowerCase()}@${evidence["domain"]?.toLowerCase()}.${evidence["userPrincipalName"]?.split(".")[1]}`,
    );
    expect(alert["title"]).toContain(evidence["accountName"]);
    expect(evidence["ip"]).toMatch(/^198\.18\./);
    expect(evidence["sha256"]).toMatch(/^5c2b[0-9a-f]{60}$/);
    expect(steps[0]?.path).toBe(`/${alert["tenantId"]}/oauth2/v2.0/token`);
    expect(steps[1]?.response).toContain('"score":');
    expect(steps[1]?.headers).toEqual({ "content-type": "application/json" });
    expect(JSON.stringify(steps)).not.toMatch(/contoso|lee|28282|10\.1\.2\.3|828c/i);
  });

  test("passes its own check, and each kind of leak is found and named", async () => {
    const { recording, steps } = await scrubbed();
    expect(leaksIn(steps)).toEqual([]);
    expect(survivorsOf(recording, steps)).toEqual([]);
    const page = steps[1] as FixtureStep;
    const withBody = (change: (body: string) => string): FixtureStep[] => [
      { ...page, response: change(page.response) },
    ];

    expect(leaksIn(withBody((body) => body.replace(/"title":"[^"]*"/, '"title":"Contoso"')))).toEqual([
      'step 1, value[].title: "Contoso"',
    ]);
    expect(leaksIn(withBody((body) => body.replace(/"n":\d+/, '"n":28282')))).toEqual(['step 1, value[].n: "28282"']);
    expect(leaksIn(withBody((body) => body.replace('"low"', '"lee@contoso.com"'))).join()).toContain(
      "an address of mail",
    );
    expect(leaksIn(withBody((body) => body.replace('"low"', '"eyJhbGciOiJub25lIn0"'))).join()).toContain("a token");
    expect(leaksIn([{ ...page, scope: "https://defender.contoso.com" }]).join()).toContain(
      "the host defender.contoso.com",
    );
    expect(leaksIn([{ ...page, path: `/${TENANT}/oauth2/v2.0/token` }]).join()).toContain(`the id ${TENANT}`);
    expect(
      survivorsOf(
        recording,
        withBody((body) => body.replace('"low"', '"Suspicious"')),
      ),
    ).toEqual(["suspicious"]);
  });

  test("is replayed in process through the nock wrapper and our own network layer", async () => {
    const { steps } = await scrubbed();
    const tenant = steps[0]?.path.split("/")[1] ?? "";
    const skipToken = new URL(steps[2]?.path ?? "", GRAPH).searchParams.get("$skiptoken") ?? "";
    const filterOfAnotherDay = steps.map((step) => ({
      ...step,
      path: step.path.replace("2026-01-01T00%3A00%3A00Z", "2031-05-06T07%3A08%3A09.1234567Z"),
    }));

    const statuses = await withStory(async (story) => {
      story.replay(filterOfAnotherDay);
      const http = createHttp();
      const answers = await askAll(http, tenant, skipToken);
      await http.close();
      return answers.map((answer) => answer.status);
    });

    expect(statuses).toEqual([200, 200, 503]);
    await expect(withStory((story) => story.replay(steps))).rejects.toThrow("never asked for");
  });
});

test("the scheme of an address in a record says nothing about a customer, so it may stay", () => {
  const body = '[{"LinkToWDATP":"https://portal.contoso.com/alert"}]';
  const exchange: Exchange = {
    at: "2026-01-02T03:04:05.678Z",
    request: { method: "GET", url: `${GRAPH}/v1.0/x`, headers: {} },
    answer: { status: 200, headers: {}, body },
  };
  const step = scrubExchange(exchange, new Pseudonyms("salt"));

  expect(step.response).toMatch(/^\[\{"LinkToWDATP":"https:\/\/[^"]+"\}\]$/);
  expect(survivorsOf([exchange], [step])).toEqual([]);
  expect(survivorsOf([exchange], [{ ...step, response: body }])).toEqual(["portal", "contoso", "alert"]);
});

describe("stand-ins", () => {
  test("are never shared by two words, are one for each word, and are all recognized by the check (property)", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }), { maxLength: 200 }),
        (words) => {
          const names = new Pseudonyms("s");
          const made = new Map(words.map((word) => [word, names.text(word)]));

          for (const [word, stand] of made) {
            expect(names.text(word)).toBe(stand);
            expect(strangePieces(stand)).toEqual([]);
          }
        },
      ),
    );
    const names = new Pseudonyms("s");
    const digits = Array.from({ length: 10_000 }, (_, n) => names.number(String(n)));
    expect(new Set(digits).size).toBe(10_000);
  });

  test("differ when the salt differs", () => {
    expect(new Pseudonyms("a").text("contoso")).not.toBe(new Pseudonyms("b").text("contoso"));
  });
});

test("rewriting nothing changes no byte of a JSON text (property)", () => {
  fc.assert(
    fc.property(fc.json(), fc.boolean(), (json, spaced) => {
      const text = spaced ? JSON.stringify(JSON.parse(json), undefined, 2) : json;
      expect(rewriteLeaves(text, (_path, leaf) => leaf.text)).toBe(text);
    }),
  );
  expect(
    rewriteLeaves('{"a":1.0,"a":[1e5,{"b.c":"\\u0041"}]}', (path, leaf) =>
      leaf.kind === "text" ? `${path}!` : leaf.text,
    ),
  ).toBe('{"a":1.0,"a":[1e5,{"b.c":"a[].b.c!"}]}');
});

test("an address keeps Microsoft's host and words and loses names and ids", () => {
  const names = new Pseudonyms("s");

  expect(scrubUrl(`${GRAPH}/v1.0/security/alerts_v2?$top=5&$filter=a%20ge%20b`, names)).toBe(
    `${GRAPH}/v1.0/security/alerts_v2?$top=5&$filter=a%20ge%20b`,
  );
  expect(scrubUrl("https://siem.contoso.com/api/alerts", names)).toMatch(
    /^https:\/\/[a-z.3-9]+\.example\/api\/alerts$/,
  );
  expect(scrubUrl(`${LOGIN}/contoso.com/oauth2/v2.0/token`, names)).not.toContain("contoso");
  expect(
    scrubUrl("https://wdatp-alertexporter-eu.windows.com/api/alerts?sinceTimeUtc=2026-01-02T03:04:05.678", names),
  ).toBe("https://wdatp-alertexporter-eu.windows.com/api/alerts?sinceTimeUtc=2026-01-02T03%3A04%3A05.678");
});
