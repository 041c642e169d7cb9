import { describe, expect, test } from "@jest/globals";
import { scenarioOf } from "../scenario/apply.ts";
import { type Simulator, startSimulator } from "../start.ts";
import type { Answer } from "../visitor.ts";
import { type ProviderWorld, startProvider } from "./provider-world.ts";

const GDAP = "tenantRelationships/delegatedAdminRelationships";
const GDAP_CUSTOMERS = "tenantRelationships/delegatedAdminCustomers";
const GOVERNANCE = "directory/tenantGovernance/governanceRelationships";
const SECURITY_READER = "5d6b6bb7-de71-4623-b4af-96380a352509";
const DAY_MS = 86_400_000;
const CUSTOMERS = "{ name: contoso }, { name: fabrikam }, { name: tailspin }";

interface World extends ProviderWorld {
  /** The home app's tokens end after an hour, as all do. */
  readonly newToken: () => Promise<string>;
  readonly list: (path: string, token?: string) => Promise<Answer>;
  readonly names: (path: string) => Promise<unknown[]>;
}

/** A simulator with a provider and the token of its home app. */
async function given(provider: string, rest = "", customers = CUSTOMERS): Promise<World> {
  const started = await startProvider(provider, customers, rest);
  const { simulator, visitor } = started;
  const { tenant_id, home } = started.provider;
  const newToken = (): Promise<string> => visitor.appToken({ tenant_id, ...home });
  const token = await newToken();
  const origin = `${simulator.ready.graph_url}/v1.0/`;
  const list = (path: string, other = token): Promise<Answer> => visitor.get(`${origin}${path}`, other);
  return {
    ...started,
    newToken,
    list,
    names: async (path) =>
      ((await list(path)).json.value as Record<string, unknown>[]).map(
        (row) => row["displayName"] ?? row["governedTenantName"],
      ),
  };
}

const valueOf = (answer: Answer): Record<string, unknown>[] => answer.json.value as Record<string, unknown>[];

test("the simulator's ready line says nothing of a provider where the scenario has none", async () => {
  const simulator = await startSimulator({
    scenario: scenarioOf("{ name: t, story: t, customers: [{ name: contoso }] }", "t.yaml"),
  });
  await simulator.stop();

  expect(Object.keys(simulator.ready)).not.toEqual(expect.arrayContaining(["provider"]));
  expect(Object.keys(simulator.ready)).not.toEqual(expect.arrayContaining(["partnercenter_url"]));
  expect(() => simulator.control.perform({ do: "provider-user", mfa: false })).toThrow(
    'This scenario has no provider; add a block "provider" to it.',
  );
});

test("the simulator's ready line has the provider's tenant, its user and its three apps, and no customer more", async () => {
  const { simulator, provider } = await given("{ tenant: mssp }");

  expect(provider).toMatchObject({
    tenant_name: "mssp",
    domain: "mssp.onmicrosoft.com",
    user_name: "partner-admin@mssp.onmicrosoft.com",
  });
  const apps = [provider.home, provider.bridge, provider.reader].map(({ client_id }) => client_id);
  expect(new Set(apps).size).toBe(3);
  expect(simulator.ready.partnercenter_url).toBe(simulator.ready.login_url);
  expect(simulator.ready.customers.map(({ tenant_name }) => tenant_name)).toEqual(["contoso", "fabrikam", "tailspin"]);
});

describe("the simulator's list of GDAP relationships", () => {
  test("has the rows of Microsoft's documents, with the customer, the roles and the end", async () => {
    const { list, tenantId } = await given(
      '{ tenant: mssp, relationships: [{ customer: contoso, customer_name: "Contoso Inc", name: CIPP_1, roles: [Security Reader], ends: 90d }] }',
    );

    const { status, json } = await list(GDAP);

    expect(status).toBe(200);
    expect(json["@odata.context"]).toBe(
      "https://graph.microsoft.com/v1.0/tenantRelationships/$metadata#delegatedAdminRelationships",
    );
    expect(json.value).toEqual([
      {
        "@odata.type": "#microsoft.graph.delegatedAdminRelationship",
        "@odata.etag": expect.stringMatching(/^W\/"/),
        id: expect.stringMatching(/^[0-9a-f-]{36}-[0-9a-f-]{36}$/),
        displayName: "CIPP_1",
        duration: "P90D",
        customer: { tenantId: tenantId("contoso"), displayName: "Contoso Inc" },
        accessDetails: { unifiedRoles: [{ roleDefinitionId: SECURITY_READER }] },
        status: "active",
        autoExtendDuration: "PT0S",
        createdDateTime: "2026-11-24T08:00:00.0000000Z",
        lastModifiedDateTime: "2026-11-24T08:00:00.0000000Z",
        activatedDateTime: "2026-11-24T08:00:00.0000000Z",
        endDateTime: "2027-02-22T08:00:00.0000000Z",
      },
    ]);
  });

  test("gives the members that $select names and the rows that $filter lets through", async () => {
    const { list, tenantId } = await given(
      "{ tenant: mssp, relationships: [{ customer: contoso }, { customer: fabrikam, status: terminated }] }",
    );

    const { json } = await list(`${GDAP}?$filter=status eq 'active'&$select=id,status,customer&$top=300`);

    expect((json.value as object[]).map(Object.keys)).toEqual([
      ["@odata.type", "@odata.etag", "id", "customer", "status"],
    ]);
    expect(json.value[0].customer.tenantId).toBe(tenantId("contoso"));
  });

  test.each([
    ["displayName", ["alpha", "beta", "beta"]],
    ["displayName desc", ["beta", "beta", "alpha"]],
    ["customer/displayName", ["beta", "alpha", "beta"]],
    ["customer/displayName desc", ["beta", "alpha", "beta"]],
  ])(
    "is ordered by %s where $orderby asks for it, and rows that are equal keep their order",
    async (order, expected) => {
      const { names } = await given(
        "{ tenant: mssp, relationships: [{ customer: fabrikam, name: beta, customer_name: Same }, { customer: tailspin, name: alpha, customer_name: Same }, { customer: contoso, name: beta, customer_name: Same }] }",
      );

      expect(await names(`${GDAP}?$orderby=${order}`)).toEqual(expected);
    },
  );

  test.each([
    ["$filter=color eq 'red'", "Could not find a property named 'color'"],
    ["$select=id,color", "Could not find a property named 'color'"],
    ["$expand=customer", "The query parameter '$expand' is not supported."],
    ["$top=many", "Invalid value 'many' for $top"],
    ["$skiptoken=x", "Skip token is invalid."],
  ])("refuses %s with 400", async (query, message) => {
    const { list } = await given("{ tenant: mssp }");

    const { status, json } = await list(`${GDAP}?${query}`);

    expect([status, json.error.code]).toEqual([400, "BadRequest"]);
    expect(json.error.message).toContain(message);
  });

  test("is cut into pages with a next link that keeps the query, and $top is clamped to 300", async () => {
    const { list } = await given(
      "{ tenant: mssp, relationships: [{ customer: kunde }] }",
      "",
      "{ name: kunde, count: 302 }",
    );

    const first = await list(`${GDAP}?$select=id,customer&$top=999`);
    const link = new URL(first.json["@odata.nextLink"] as string);
    const second = await list(`${GDAP}${link.search}`);

    expect(valueOf(first)).toHaveLength(300);
    expect([link.searchParams.get("$select"), link.searchParams.get("$top")]).toEqual(["id,customer", "999"]);
    expect(valueOf(second)).toHaveLength(2);
    expect(second.json["@odata.nextLink"]).toBeUndefined();
    const tenants = [...valueOf(first), ...valueOf(second)].map(
      (row) => (row["customer"] as { tenantId: string }).tenantId,
    );
    expect(new Set(tenants).size).toBe(302);
  });

  test("obeys a smaller page size of the scenario", async () => {
    const { list } = await given(
      "{ tenant: mssp, page_max: 2, relationships: [{ customer: [contoso, fabrikam, tailspin] }] }",
    );

    expect(valueOf(await list(`${GDAP}?$top=300`))).toHaveLength(2);
  });

  test("names no customer until the customer has approved", async () => {
    const { list } = await given("{ tenant: mssp, relationships: [{ customer: contoso, status: approvalPending }] }");

    expect(valueOf(await list(GDAP))[0]).toMatchObject({ customer: null, activatedDateTime: null, endDateTime: null });
    expect(valueOf(await list(GDAP_CUSTOMERS))).toEqual([]);
  });

  test("says expired once the end has come, unless the relationship extends itself", async () => {
    const { simulator, list, newToken } = await given(
      "{ tenant: mssp, relationships: [{ customer: contoso, ends: 10d }, { customer: fabrikam, ends: 10d, auto_extend: true }] }",
    );
    simulator.control.advance(11 * DAY_MS);

    const rows = valueOf(await list(GDAP, await newToken()));

    expect(rows.map(({ status }) => status)).toEqual(["expired", "active"]);
    expect(rows[1]).toMatchObject({ autoExtendDuration: "P180D", endDateTime: "2027-06-02T08:00:00.0000000Z" });
  });

  test("carries any text as a name, two customers of one name, and two relationships of one customer", async () => {
    const long = "x".repeat(200);
    const { list, names } = await given(
      `{ tenant: mssp, relationships: [{ customer: contoso, name: "a\\u0007\\u001b[31m", customer_name: "<b>=cmd|' /C'!A0</b>" }, { customer: contoso, name: "${long}" }, { customer: [fabrikam, tailspin], customer_name: Same }] }`,
    );

    expect((await names(GDAP)).slice(0, 2)).toEqual(["a\u0007\u001b[31m", long]);
    expect(await names(GDAP_CUSTOMERS)).toEqual(["<b>=cmd|' /C'!A0</b>", "Same", "Same"]);
    const ids = valueOf(await list(GDAP)).map(({ id }) => id);
    expect(new Set(ids).size).toBe(4);
  });
});

describe("the simulator's relationships follow a scenario's events:", () => {
  const EVENTS = `events:
  - { at: 1h, do: relationship, customers: [fabrikam], name: New, roles: [Security Reader] }
  - { at: 2h, do: relationship, customers: [contoso], status: terminated }
  - { at: 3h, do: relationship, customers: [fabrikam], customer_name: Renamed }
  - { at: 4h, do: relationship, customers: [contoso], status: active, new: true }
  - { at: 5h, do: relationship, customers: [fabrikam], listed: false }`;
  const HOUR_MS = 3_600_000;

  test("customers appear, end, are renamed, return and are left out", async () => {
    const world = await given("{ tenant: mssp, relationships: [{ customer: contoso }] }", EVENTS);
    const seen: unknown[] = [];
    for (let hour = 0; hour <= 5; hour += 1) {
      const rows = valueOf(await world.list(GDAP_CUSTOMERS, await world.newToken()));
      seen.push(rows.map(({ displayName }) => displayName));
      world.simulator.control.advance(HOUR_MS);
    }

    expect(seen).toEqual([
      ["contoso"],
      ["contoso", "fabrikam"],
      ["fabrikam"],
      ["Renamed"],
      ["Renamed", "contoso"],
      ["contoso"],
    ]);
  });
});

describe("the simulator's list of governance relationships", () => {
  test("has capitalised states, both directions, and the apps and roles of the policy", async () => {
    const { list, provider, tenantId } = await given(
      "{ tenant: mssp, relationships: [{ customer: contoso, kind: governance, apps: [reader], roles: [Security Reader] }, { customer: fabrikam, kind: governance, governs_provider: true, status: terminationRequestedByGoverningTenant }] }",
    );

    const rows = valueOf(await list(GOVERNANCE));
    const ours = valueOf(await list(`${GOVERNANCE}?$filter=governingTenantId eq '${provider.tenant_id}'`));

    expect(rows.map(({ status }) => status)).toEqual(["Active", "TerminationRequestedByGoverningTenant"]);
    expect(rows[1]).toMatchObject({ governingTenantId: tenantId("fabrikam"), governedTenantId: provider.tenant_id });
    expect(ours).toEqual([rows[0]]);
    expect(rows[0]).toMatchObject({
      governedTenantId: tenantId("contoso"),
      policySnapshot: {
        multiTenantApplicationsToProvision: [
          {
            appId: provider.reader.client_id,
            requiredResourceAccesses: [
              {
                permissions: [
                  { name: "SecurityAlert.Read.All", type: "role" },
                  { name: "SecurityIncident.Read.All", type: "role" },
                ],
              },
            ],
          },
        ],
        delegatedAdministrationRoleAssignments: [{ roleTemplates: [{ id: SECURITY_READER, name: "Security Reader" }] }],
      },
    });
  });

  test.each([
    ["absent", 404, "UnknownError"],
    ["unlicensed", 400, "BadRequest"],
  ])("is refused in a tenant where governance is %s with %i", async (governance, status, code) => {
    const { list } = await given(`{ tenant: mssp, governance: ${governance} }`);

    const answer = await list(GOVERNANCE);

    expect([answer.status, answer.json.error.code]).toEqual([status, code]);
    expect((await list(GDAP)).status).toBe(200);
  });
});

describe("the simulator answers for the provider's lists", () => {
  test("403 Authorization_RequestDenied to a home app without the permission", async () => {
    const { list } = await given("{ tenant: mssp, home_roles: [TenantGovernance-Relationship.Read.All] }");

    const { status, json } = await list(GDAP);

    expect([status, json.error.code]).toEqual([403, "Authorization_RequestDenied"]);
    expect((await list(GOVERNANCE)).status).toBe(200);
  });

  test("403 to the token of a customer's tenant", async () => {
    const { simulator, visitor, list } = await given("{ tenant: mssp, relationships: [{ customer: contoso }] }");
    const token = await visitor.appToken(simulator.control.customer("contoso"));

    expect((await list(GDAP, token)).status).toBe(403);
  });

  test("an empty list where the provider has no customer", async () => {
    const { list } = await given("{ tenant: mssp }");

    expect((await list(GDAP)).json.value).toEqual([]);
    expect((await list(GOVERNANCE)).json).toEqual({ value: [] });
  });

  test("429 and 503 where a fault says so, and half a body where it is torn", async () => {
    const { list } = await given(
      "{ tenant: mssp, relationships: [{ customer: contoso }] }",
      `faults:
  - { on: relationships, requests: [1], answer: { status: 429, retry_after_seconds: 7 } }
  - { on: relationships, requests: [2], answer: { status: 503 } }
  - { on: relationships, requests: [3], answer: { body: truncated } }
  - { on: relationships, requests: [4], answer: { value: missing } }
  - { on: governance, answer: { status: 500 } }`,
    );

    const [throttled, unavailable, torn, missing, right] = [
      await list(GDAP),
      await list(GDAP_CUSTOMERS),
      await list(GDAP),
      await list(GDAP),
      await list(GDAP),
    ];

    expect([throttled.status, throttled.headers.get("retry-after"), unavailable.status]).toEqual([429, "7", 503]);
    expect([torn.status, torn.json]).toEqual([200, undefined]);
    expect([missing.status, missing.json.value]).toEqual([200, undefined]);
    expect(valueOf(right)).toHaveLength(1);
    expect((await list(GOVERNANCE)).status).toBe(500);
  });
});

test("the provider's home app is known in its home tenant alone, and its wrong secret is refused", async () => {
  const { simulator, visitor, provider, tenantId } = await given("{ tenant: mssp }");
  const ask = async (tenant: string, secret: string): Promise<unknown> =>
    (
      await visitor.post(`${simulator.ready.login_url}/${tenant}/oauth2/v2.0/token`, {
        grant_type: "client_credentials",
        client_id: provider.home.client_id,
        client_secret: secret,
        scope: "https://graph.microsoft.com/.default",
      })
    ).json.error_codes;

  expect(await ask(provider.tenant_id, provider.home.client_secret)).toBeUndefined();
  expect(await ask(provider.domain, "wrong")).toEqual([7000215]);
  expect(await ask(tenantId("contoso"), provider.home.client_secret)).toEqual([700016]);
});

test("a provider's relationship with nobody's customer, or with a role that does not exist, is refused", () => {
  const start = (relationship: string): Promise<Simulator> =>
    startSimulator({
      scenario: scenarioOf(
        `{ name: t, story: t, customers: [{ name: contoso }], provider: { tenant: mssp, relationships: [${relationship}] } }`,
        "t.yaml",
      ),
    });

  return Promise.all([
    expect(start("{ customer: nobody }")).rejects.toThrow('there is no customer "nobody"'),
    expect(start("{ customer: contoso, roles: [Boss] }")).rejects.toThrow('there is no role "Boss"'),
  ]);
});
