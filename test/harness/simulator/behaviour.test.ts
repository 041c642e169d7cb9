import { afterEach, describe, expect, test } from "@jest/globals";
import { makeBudget } from "./budgets.ts";
import { type FaultRule, makeFaults } from "./faults.ts";
import { scenarioOf } from "./scenario/apply.ts";
import { type Simulator, startSimulator } from "./start.ts";
import { type Answer, type Visitor, visit } from "./visitor.ts";

const START = "2026-11-24T08:00:00Z";
const MINUTE_MS = 60_000;

let simulator: Simulator | undefined;
let visitor: Visitor | undefined;

afterEach(async () => {
  await visitor?.close();
  await simulator?.stop();
  visitor = undefined;
  simulator = undefined;
});

/** A running simulator with a frozen clock, its client, and an app-only Graph token of its first customer. */
async function given(
  customers: string,
  rest = "",
): Promise<{
  simulator: Simulator;
  visitor: Visitor;
  token: string;
  list: (query?: string, headers?: Record<string, string>) => Promise<Answer>;
}> {
  simulator = await startSimulator({
    scenario: scenarioOf(`name: t\nstory: t\nstart: ${START}\ncustomers:\n${customers}\n${rest}`, "t.yaml"),
    frozen: true,
  });
  visitor = visit(simulator);
  const [first] = simulator.ready.customers;
  if (first === undefined) throw new Error("no customer");
  const token = await visitor.appToken(first);
  const client = visitor;
  const origin = simulator.ready.graph_url;
  return {
    simulator,
    visitor,
    token,
    list: (query = "", headers = {}) => client.get(`${origin}/v1.0/security/alerts_v2${query}`, token, headers),
  };
}

const ALERTS = "  - { name: contoso, generate: [{ stream: alerts, count: 30, from: -2h, to: 0s }] }";

interface Shown {
  readonly id: string;
  readonly updated: string;
  readonly shown_at: string;
  readonly record: { readonly id: string; readonly serviceSource?: string };
}

const shownOf = (from: Simulator): Shown[] =>
  from.control
    .shown()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Shown);

describe("the simulator counts as shown", () => {
  const RECORDS = `  - name: contoso
    records:
      - { stream: alerts, id: a, at: -1h }
      - { stream: alerts, id: b, at: -30m }
      - { stream: alerts, id: old, at: -40d }
      - { stream: alerts, id: b, at: 10m }
      - { stream: alerts, id: late, at: 1m, visible: 20m }`;

  test("nothing before a poll, and then what stood in the list, on whatever page", async () => {
    const world = await given(RECORDS);

    expect(shownOf(world.simulator)).toEqual([]);
    await world.list("?$top=1");

    expect(
      shownOf(world.simulator)
        .map(({ id }) => id)
        .sort(),
    ).toEqual(["a", "b", "old"]);
  });

  test("a version older than any poll has looked only once a poll looks further back", async () => {
    const world = await given(RECORDS);

    await world.list(`?$filter=lastUpdateDateTime ge 2026-11-20T00:00:00Z`);
    expect(
      shownOf(world.simulator)
        .map(({ id }) => id)
        .sort(),
    ).toEqual(["a", "b"]);

    await world.list(`?$filter=lastUpdateDateTime ge 2026-01-01T00:00:00Z`);
    expect(
      shownOf(world.simulator)
        .map(({ id }) => id)
        .sort(),
    ).toEqual(["a", "b", "old"]);
  });

  test("a late row from the first poll after it became visible, although that poll asked for newer ones only", async () => {
    const world = await given(RECORDS);
    await world.list();

    world.simulator.control.advance(15 * MINUTE_MS);
    await world.list("?$filter=lastUpdateDateTime ge 2026-11-24T08:10:00Z");
    expect(shownOf(world.simulator).map(({ id }) => id)).not.toContain("late");

    world.simulator.control.advance(10 * MINUTE_MS);
    await world.list("?$filter=lastUpdateDateTime ge 2026-11-24T08:10:00Z");
    expect(shownOf(world.simulator).find(({ id }) => id === "late")).toMatchObject({
      shown_at: "2026-11-24T08:20:00.000Z",
    });
  });

  test("a version that was replaced only if an answer held it", async () => {
    const fetched = await given(RECORDS);
    await fetched.list();
    fetched.simulator.control.advance(15 * MINUTE_MS);
    await fetched.list();
    expect(shownOf(fetched.simulator).filter(({ id }) => id === "b")).toHaveLength(2);
    await visitor?.close();
    await simulator?.stop();

    const passedBy = await given(RECORDS);
    await passedBy.list("?$top=1&$orderby=lastUpdateDateTime asc");
    passedBy.simulator.control.advance(15 * MINUTE_MS);
    await passedBy.list();
    expect(shownOf(passedBy.simulator).filter(({ id }) => id === "b")).toHaveLength(1);
  });

  test("nothing of an unreadable answer that is gone before the next answer", async () => {
    const world = await given(
      "  - { name: contoso, records: [{ stream: alerts, id: a, at: -1h }, { stream: alerts, id: a, at: 1m }] }",
      "faults: [{ on: alerts, requests: [1], answer: { body: truncated } }]",
    );
    await world.list();
    world.simulator.control.advance(2 * MINUTE_MS);
    await world.list();

    expect(shownOf(world.simulator).map(({ updated }) => updated)).toEqual(["2026-11-24T08:01:00.0000000Z"]);
  });

  test("the record as it was sent, with newer enum members masked where the client did not ask for them", async () => {
    const set = "set: { serviceSource: microsoftSentinel, status: awaitingAction }";
    const world = await given(`  - { name: contoso, records: [{ stream: alerts, id: a, at: -1h, ${set} }] }`);

    const plain = await world.list();
    const full = await world.list("", { prefer: "include-unknown-enum-members" });

    expect(plain.json.value[0]).toMatchObject({ serviceSource: "unknownFutureValue", status: "unknownFutureValue" });
    expect(full.json.value[0]).toMatchObject({ serviceSource: "microsoftSentinel", status: "awaitingAction" });
    expect(shownOf(world.simulator)[0]?.record.serviceSource).toBe("unknownFutureValue");
  });
});

describe("the simulator's budgets", () => {
  const limits = { perMinute: 3, perHour: 5 };

  test("allow no minute and no hour more requests than its limit", () => {
    const budget = makeBudget();
    const at = (seconds: number): number => budget.tryConsume(seconds * 1000, limits);

    expect([at(0), at(10), at(20)]).toEqual([0, 0, 0]);
    expect(at(30)).toBe(30_000);
    expect(at(59)).toBe(1000);
    expect([at(60), at(70)]).toEqual([0, 0]);
    expect(at(90)).toBe(3_600_000 - 90_000);
    expect(at(3600)).toBe(0);
  });

  test("answer the 151st request of a minute with 429 and say when to come back in the customer's form", async () => {
    const world = await given(
      "  - { name: contoso }\n  - { name: fabrikam, retry_after_form: date, budgets: { graph: { per_minute: 1 } } }",
    );
    for (let count = 0; count < 150; count += 1) expect((await world.list("?$top=1")).status).toBe(200);

    const refused = await world.list();
    const other = simulator?.ready.customers[1];
    const token = other === undefined ? "" : await world.visitor.appToken(other);
    const url = `${world.simulator.ready.graph_url}/v1.0/security/incidents`;
    await world.visitor.get(url, token);
    const dated = await world.visitor.get(url, token);

    expect([refused.status, refused.json.error.code, refused.headers.get("retry-after")]).toEqual([
      429,
      "TooManyRequests",
      "60",
    ]);
    expect(dated.headers.get("retry-after")).toBe("Tue, 24 Nov 2026 08:01:00 GMT");
    world.simulator.control.advance(MINUTE_MS);
    expect((await world.list()).status).toBe(200);
  });
});

const rule = (more: Partial<FaultRule>): FaultRule => ({ on: ["alerts"], answer: { status: 503 }, ...more });

const strikes = (rules: readonly FaultRule[], seed: string, customers: readonly string[]): string[] => {
  const faults = makeFaults(seed);
  for (const one of rules) faults.add(one);
  return customers.map((customer) =>
    faults.next({ target: "alerts", customer, nowMs: 0, linked: false, expand: false }) === undefined ? "-" : customer,
  );
};

describe("the simulator's faults", () => {
  test("repeat exactly by rate and seed, whatever other customers do between", () => {
    const alone = strikes(
      [rule({ rate: 0.3 })],
      "7",
      Array.from({ length: 40 }, () => "a"),
    );
    const mixed = strikes(
      [rule({ rate: 0.3 })],
      "7",
      Array.from({ length: 80 }, (_, index) => (index % 2 === 0 ? "a" : "b")),
    );

    expect(mixed.filter((_, index) => index % 2 === 0)).toEqual(alone);
    expect(mixed.filter((_, index) => index % 2 === 1).map((one) => one === "b")).not.toEqual(
      alone.map((one) => one === "a"),
    );
    expect(alone).toContain("a");
    expect(alone).toContain("-");
    expect(
      strikes(
        [rule({ rate: 0.3 })],
        "8",
        Array.from({ length: 40 }, () => "a"),
      ),
    ).not.toEqual(alone);
  });

  test("strike by script the named requests, each n-th, at most so often, and rules count independently", () => {
    const five = ["a", "a", "a", "a", "a"];
    expect(strikes([rule({ requests: [2, 4] })], "1", five)).toEqual(["-", "a", "-", "a", "-"]);
    expect(strikes([rule({ every: 2, times: 1 })], "1", five)).toEqual(["-", "a", "-", "-", "-"]);
    expect(strikes([rule({ requests: [1] }), rule({ requests: [2] })], "1", five)).toEqual(["a", "a", "-", "-", "-"]);
  });

  const broken: readonly (readonly [string, (answer: Promise<Answer>) => Promise<unknown>])[] = [
    ["body: truncated", async (answer) => expect((await answer).json).toBeUndefined()],
    ["body: html", async (answer) => expect((await answer).headers.get("content-type")).toContain("text/html")],
    ["body: empty", async (answer) => expect((await answer).text).toBe("")],
    ["body: wrong-length", (answer) => expect(answer).rejects.toThrow(/terminated|fetch failed/)],
    ["body: reset", (answer) => expect(answer).rejects.toThrow(/terminated|fetch failed/)],
    ["body: broken-gzip", (answer) => expect(answer).rejects.toThrow(/terminated|fetch failed/)],
    [
      "content_type: text/plain",
      async (answer) =>
        expect([(await answer).headers.get("content-type"), Array.isArray((await answer).json.value)]).toEqual([
          "text/plain",
          true,
        ]),
    ],
    ["value: missing", async (answer) => expect((await answer).json).not.toHaveProperty("value")],
    ['value: "null"', async (answer) => expect((await answer).json.value).toBeNull()],
    ["value: object", async (answer) => expect(Object.keys((await answer).json.value as object)).toEqual(["0"])],
    ["value: strings", async (answer) => expect((await answer).json.value).toEqual(["one", "two"])],
    [
      "link: elsewhere",
      async (answer) =>
        expect(new URL((await answer).json["@odata.nextLink"] as string).host).toBe("graph.contoso-collector.example"),
    ],
    ["link: plain-http", async (answer) => expect((await answer).json["@odata.nextLink"]).toMatch(/^http:/)],
    ["link: absent", async (answer) => expect((await answer).json).not.toHaveProperty("@odata.nextLink")],
    [
      "warning: '199 - \"x\"'",
      async (answer) =>
        expect([(await answer).status, (await answer).headers.get("warning")]).toEqual([206, '199 - "x"']),
    ],
    [
      "status: 503, retry_after_seconds: 7, retry_after_form: date",
      async (answer) => expect((await answer).headers.get("retry-after")).toBe("Tue, 24 Nov 2026 08:00:07 GMT"),
    ],
  ];

  test.each(broken)("strike with { %s }", async (answer, expectation) => {
    const world = await given(ALERTS, `faults: [{ on: alerts, requests: [1], answer: { ${answer} } }]`);

    await expectation(world.list("?$top=10"));

    const next = await world.list("?$top=10");
    expect([next.status, (next.json.value as unknown[]).length]).toEqual([200, 10]);
  });

  test("lead to the same page for ever with a link that repeats", async () => {
    const world = await given(ALERTS, "faults: [{ on: alerts, answer: { link: repeats } }]");

    const first = await world.list("?$top=10");
    const second = await world.visitor.get(first.json["@odata.nextLink"] as string, world.token);

    expect(second.json["@odata.nextLink"]).toBe(first.json["@odata.nextLink"]);
    expect(second.json.value[0].id).toBe(first.json.value[0].id);
  });
});

describe("the simulator's APIs", () => {
  test("send the same bytes with and without gzip, also of prepared pages", async () => {
    const world = await given(ALERTS);
    const plain = await world.list("", { "accept-encoding": "identity" });
    const zipped = await world.list();
    const again = await world.list();

    expect(zipped.headers.get("content-encoding")).toBe("gzip");
    expect(zipped.text).toBe(plain.text);
    expect(again.text).toBe(plain.text);
    expect(plain.text).not.toMatch(/[{,:] "/);
    expect(zipped.headers.get("date")).toBe("Tue, 24 Nov 2026 08:00:00 GMT");
  });

  test("answer $expand=alerts with 500 for as long as a large incident is on the page", async () => {
    const world = await given(
      "  - { name: contoso, expand_max_alerts: 10, generate: [{ stream: incidents, count: 3, alerts: 11 }] }",
    );
    const url = `${world.simulator.ready.graph_url}/v1.0/security/incidents`;

    expect((await world.visitor.get(`${url}?$expand=alerts&$top=1`, world.token)).status).toBe(500);
    const { json, status } = await world.visitor.get(url, world.token);
    expect(status).toBe(200);
    expect(json.value[0]).not.toHaveProperty("alerts");
  });

  test("answer unknown paths as Microsoft does, Graph and Defender each in their own form", async () => {
    const world = await given(ALERTS);
    const graph = await world.visitor.get(`${world.simulator.ready.graph_url}/v1.0/security/nothing`, world.token);
    const defender = await world.visitor.get(`${world.simulator.ready.api_url}/api/nothing`, world.token);

    expect(graph.json.error).toMatchObject({ code: "BadRequest", innerError: { "request-id": expect.any(String) } });
    expect(defender.status).toBe(404);
    expect(defender.json.error).toMatchObject({ code: "NotFound", target: expect.any(String) });
  });

  test("answer an alert and an incident by id, an incident's alerts, and 404 for anything else", async () => {
    const world = await given(
      "  - { name: contoso, records: [{ stream: incidents, id: '7', at: -1h }, { stream: alerts, id: a, at: -1h, set: { incidentId: '7' } }] }",
    );
    const at = (path: string): Promise<Answer> =>
      world.visitor.get(`${world.simulator.ready.graph_url}/v1.0/security/${path}`, world.token);

    expect((await at("alerts_v2/a")).json).toMatchObject({ id: "a", incidentId: "7" });
    expect((await at("incidents/7/alerts")).json.value).toMatchObject([{ id: "a" }]);
    expect((await at("incidents/7?$expand=alerts")).json.alerts).toMatchObject([{ id: "a" }]);
    expect((await at("incidents/8")).status).toBe(404);
  });

  test("refuse a token for another API, no token and a made-up one with 401", async () => {
    const world = await given(ALERTS);
    const [customer] = world.simulator.ready.customers;
    const xdr =
      customer === undefined ? "" : await world.visitor.appToken(customer, "https://api.security.microsoft.com");
    const url = `${world.simulator.ready.graph_url}/v1.0/security/alerts_v2`;

    const answers = await Promise.all([
      world.visitor.get(url, xdr),
      world.visitor.get(url),
      world.visitor.get(url, "made-up"),
    ]);

    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401]);
    expect(answers.map(({ json }) => json.error.message as string)).toEqual([
      expect.stringContaining("audience"),
      "Access token is empty.",
      expect.stringContaining("IDX14100"),
    ]);
  });

  test("redirect a merged incident, which carries the id of the other", async () => {
    const world = await given(
      "  - { name: contoso, records: [{ stream: incidents, id: '1', at: -2h }, { stream: incidents, id: '2', at: -2h }, { stream: incidents, id: '2', at: -1h, merge_into: '1' }] }",
    );

    const { json } = await world.visitor.get(
      `${world.simulator.ready.graph_url}/v1.0/security/incidents/2`,
      world.token,
    );

    expect(json).toMatchObject({
      status: "redirected",
      redirectIncidentId: "1",
      lastUpdateDateTime: "2026-11-24T07:00:00.0000000Z",
    });
  });

  test("serve the SIEM API's last two hours without parameters, `ago`, and the most recent with `limit`", async () => {
    const world = await given(
      "  - { name: contoso, generate: [{ stream: siem-alerts, count: 30, from: -5h, to: 0s }] }",
    );
    const [customer] = world.simulator.ready.customers;
    const token = customer === undefined ? "" : await world.visitor.appToken(customer, "https://graph.windows.net");
    const ask = async (query: string): Promise<{ LastProcessedTimeUtc: string }[]> =>
      (await world.visitor.get(`${world.simulator.ready.siem_url}/api/alerts${query}`, token)).json as {
        LastProcessedTimeUtc: string;
      }[];

    const all = await ask("?ago=PT5H");
    const lately = await ask("");

    expect(lately.length).toBeLessThan(all.length);
    for (const { LastProcessedTimeUtc } of lately) expect(LastProcessedTimeUtc >= "2026-11-24T06:00:00").toBe(true);
    expect(await ask("?ago=PT5H&limit=2")).toEqual(all.slice(-2));
    expect((await world.visitor.get(`${world.simulator.ready.siem_url}/api/alerts?ago=ten`, token)).status).toBe(400);
  });
});

describe("Microsoft's own host names, mapped to loopback", () => {
  const LIST = "/v1.0/security/alerts_v2";

  test("select the service: the alert exporter's hosts answer the SIEM API, Graph's do not answer Defender", async () => {
    const world = await given("  - { name: contoso, generate: [{ stream: siem-alerts, count: 3, from: -1h }] }");
    const [customer] = world.simulator.ready.customers;
    const siem = customer === undefined ? "" : await world.visitor.appToken(customer, "https://graph.windows.net");

    expect((await world.visitor.getAs("wdatp-alertexporter-eu.windows.com", "/api/alerts", siem)).json).toHaveLength(3);
    expect((await world.visitor.getAs("graph.microsoft.com", "/api/alerts", world.token)).status).toBe(404);
    expect((await world.visitor.getAs("graph.microsoft.com", LIST, world.token)).status).toBe(200);
  });

  test("keep the clouds apart: another cloud's Graph refuses the token, another cloud's Entra the tenant", async () => {
    const world = await given(ALERTS);
    const [customer] = world.simulator.ready.customers;

    expect((await world.visitor.getAs("graph.microsoft.us", LIST, world.token)).status).toBe(401);
    const discovery = await world.visitor.getAs(
      "login.microsoftonline.us",
      `/${customer?.tenant_id}/v2.0/.well-known/openid-configuration`,
    );
    expect(discovery.json.error_codes).toEqual([90038]);
  });

  test("appear in links, as the client wrote them", async () => {
    const world = await given(ALERTS);

    const { json } = await world.visitor.getAs("graph.microsoft.com", `${LIST}?$top=5`, world.token);

    expect(json["@odata.nextLink"]).toMatch(/^https:\/\/graph\.microsoft\.com\/v1\.0\/security\/alerts_v2\?/);
  });
});

test("a simulator's clock that steps back takes nothing away, and what is due happens once", async () => {
  const world = await given(
    "  - { name: contoso, records: [{ stream: alerts, id: a, at: 5m }] }",
    "events: [{ at: 6m, do: secret, state: expired }]",
  );

  world.simulator.control.advance(10 * MINUTE_MS);
  const ahead = await world.list();
  world.simulator.control.advance(-10 * MINUTE_MS);
  const back = await world.list();

  expect(ahead.json.value).toHaveLength(1);
  expect(back.json.value).toHaveLength(1);
  expect(back.headers.get("date")).toBe("Tue, 24 Nov 2026 08:00:00 GMT");
  const [customer] = world.simulator.ready.customers;
  await expect(customer === undefined ? undefined : world.visitor.appToken(customer)).rejects.toThrow("AADSTS7000222");
});

test("the longest time between two polls of a customer counts from when it is forgotten, with the pause that goes on", async () => {
  const { simulator: one, visitor: client, list } = await given(ALERTS);
  const longest = async (): Promise<unknown> =>
    (await client.get(`${one.ready.control_url}/state`)).json.customers[0].apis.graph.longest_pause_ms;
  const pollAfter = async (minutes: number): Promise<void> => {
    one.control.advance(minutes * MINUTE_MS);
    await list();
  };
  await list();
  expect(await longest()).toBe(0);
  await pollAfter(7);
  one.control.advance(MINUTE_MS);
  await client.fetch(`${one.ready.control_url}/pauses`, { method: "DELETE" });
  expect(await longest()).toBe(0);
  await pollAfter(2);
  await pollAfter(1);

  expect(await longest()).toBe(3 * MINUTE_MS);
});

describe("a filter may name members of enumerations", () => {
  const MIXED = `  - name: contoso
    unknown_members: [microsoftSecurityForAI]
    generate: [{ stream: alerts, count: 6, from: -2h, to: 0s, service: [microsoftSentinel, microsoftDefenderForTomorrow] }]`;
  const services = (answer: Answer) =>
    (answer.json["value"] as { readonly serviceSource: string }[]).map((row) => row.serviceSource);

  test("one that the tenant's cloud does not know is answered 400, whether a row must have it or must not", async () => {
    const { list } = await given(MIXED);
    for (const how of ["eq", "ne"]) {
      const answer = await list(`?$filter=serviceSource ${how} 'microsoftSecurityForAI'`);
      expect([answer.status, answer.json]).toMatchObject([
        400,
        {
          error: {
            message: expect.stringContaining("'microsoftSecurityForAI' is not a valid enumeration type constant"),
          },
        },
      ]);
    }
  });

  test("what is excluded by name leaves the rows of services that no list names", async () => {
    const { list } = await given(MIXED);
    const answer = await list("?$filter=serviceSource ne 'microsoftSentinel' and serviceSource ne 'unknown'", {
      prefer: "include-unknown-enum-members",
    });
    expect(services(answer)).toEqual(Array(3).fill("microsoftDefenderForTomorrow"));
  });
});
