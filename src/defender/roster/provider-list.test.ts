import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { AFTER_THE_ANSWER_MS, CountingTokens, type Scripted, ScriptedHttp } from "../../../test/harness/fakes/http.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { PARTNER_REQUESTS } from "../../../test/harness/partner-requests.ts";
import { CLOUDS } from "../../model/cloud.ts";
import type { CustomerListing } from "../../model/discovered.ts";
import { Failure } from "../../model/failure.ts";
import type { TenantId } from "../../model/tenant.ts";
import { ofHomeApp, type ProviderSource, readProviderList } from "./provider-list.ts";

const HOME = "99999999-2222-4333-8444-555555555555" as TenantId;
const CONTOSO = "11111111-2222-4333-8444-555555555555";
const FABRIKAM = "22222222-2222-4333-8444-555555555555";
const GRAPH = "https://graph.microsoft.com";
const SECURITY_READER = "5d6b6bb7-de71-4623-b4af-96380a352509";
const PRIVILEGED_ROLES = "e8611ab8-c189-46e8-94e1-60213ab1f814";

/** As Microsoft's documentation of the list shows a row. */
const gdapRow = (change: object = {}): Record<string, unknown> => ({
  id: "5e5594d3-6f82-458b-b567-77db4811f0cd-00000000-0000-0000-0000-000000001234",
  displayName: "CIPP_1",
  status: "active",
  customer: { tenantId: CONTOSO, displayName: "Contoso" },
  accessDetails: { unifiedRoles: [{ roleDefinitionId: SECURITY_READER }] },
  autoExtendDuration: "PT0S",
  endDateTime: "2027-02-27T00:00:00.0000000Z",
  ...change,
});

const governanceRow = (change: object = {}): Record<string, unknown> => ({
  id: "4dc75e3b-731c-9741-d3c6-66eb7620d6fa",
  governingTenantId: HOME,
  governingTenantName: "MSSP",
  governedTenantId: FABRIKAM,
  governedTenantName: "Fabrikam",
  status: "Active",
  createdType: "approvedByAdmin",
  creationDateTime: "2026-01-01T00:00:00Z",
  ...change,
});

const page = (value: unknown, more: object = {}): Scripted => ({
  body: JSON.stringify({ "@odata.context": "x", value, ...more }),
});

function reading(source: ProviderSource, ...given: readonly (Scripted | TenantId)[]) {
  const script = given.filter((one): one is Scripted => typeof one !== "string");
  const home = given.find((one): one is TenantId => typeof one === "string") ?? HOME;
  const http = new ScriptedHttp(...script);
  const tokens = new CountingTokens();
  const read = (): Promise<CustomerListing> =>
    readProviderList(
      {
        source,
        home,
        credential: "home",
        endpoints: CLOUDS.commercial,
        route: {},
        http,
        tokens,
        clock: new FakeClock(AFTER_THE_ANSWER_MS, { pauses: "pass" }),
        log: new FakeLog(),
      },
      new AbortController().signal,
    );
  return { http, tokens, read };
}

describe("the requests are those that the simulator is held against too", () => {
  const requestsOf = (...names: readonly string[]) => PARTNER_REQUESTS.filter(({ name }) => names.includes(name));
  const hrefOf = (path: string): string => new URL(path, GRAPH).href;
  test.each<[ProviderSource, readonly string[], readonly string[]]>([
    ["gdap", ["gdap-relationships", "gdap-relationships-next"], ["Contoso Inc", "fabrikam", "tailspin"]],
    ["governance", ["governance-relationships"], ["woodgrove"]],
  ])("%s", async (source, names, customers) => {
    const requests = requestsOf(...names);
    expect(requests.map(({ name }) => name)).toEqual(names);
    const script = requests.map(({ answer }) => ({ body: (answer.body ?? "").replaceAll("{graph}", GRAPH) }));
    const home = (/governingTenantId%20eq%20'([0-9a-f-]+)'/.exec(requests[0]?.path ?? "")?.[1] ?? HOME) as TenantId;
    const { http, read } = reading(source, home, ...script);
    const { tenants } = await read();
    expect(http.asked.map(({ method, url }) => `${method} ${hrefOf(url)}`)).toEqual(
      requests.map(({ method, path }) => `${method} ${hrefOf(path)}`),
    );
    for (const [n, { headers }] of requests.entries())
      expect(http.asked[n]?.headers).toMatchObject({ ...headers, authorization: "Bearer token-1" });
    expect(tenants.map(({ name }) => name)).toEqual(customers);
  });
});

describe("the list of a provider's customers", () => {
  test("is asked for with the request that Microsoft documents for delegated admin relationships", async () => {
    const { http, read } = reading("gdap", page([gdapRow()]));
    await read();
    expect(http.asked.map(({ method, url }) => `${method} ${decodeURI(url)}`)).toEqual([
      `GET ${GRAPH}/v1.0/tenantRelationships/delegatedAdminRelationships?$filter=status eq 'active'&$select=id,displayName,status,customer,accessDetails,autoExtendDuration,endDateTime&$top=300`,
    ]);
    expect(http.asked[0]?.headers).toMatchObject({ authorization: "Bearer token-1", accept: "application/json" });
  });

  test("is asked for with the request that Microsoft documents for governance relationships", async () => {
    const { http, read } = reading("governance", page([governanceRow()]));
    await read();
    expect(http.asked.map(({ method, url }) => `${method} ${decodeURI(url)}`)).toEqual([
      `GET ${GRAPH}/v1.0/directory/tenantGovernance/governanceRelationships?$filter=governingTenantId eq '${HOME}'`,
    ]);
  });

  test("holds each customer with the relationship that gives access", async () => {
    expect(await reading("gdap", page([gdapRow()])).read()).toEqual({
      source: "gdap",
      isComplete: true,
      tenants: [
        {
          tenantId: CONTOSO,
          name: "Contoso",
          relationships: [
            {
              id: "5e5594d3-6f82-458b-b567-77db4811f0cd-00000000-0000-0000-0000-000000001234",
              name: "CIPP_1",
              status: "active",
              roles: [SECURITY_READER],
              ends: "2027-02-27T00:00:00.000Z",
              auto_extend: "PT0S",
            },
          ],
        },
      ],
    });
  });

  test("follows next links to the last page, and joins a customer's relationships from all of them", async () => {
    const next = `${GRAPH}/v1.0/tenantRelationships/delegatedAdminRelationships?$skiptoken=abc`;
    const { http, read } = reading(
      "gdap",
      page([gdapRow()], { "@odata.nextLink": next }),
      page([
        gdapRow({
          id: "second",
          customer: { tenantId: CONTOSO.toUpperCase(), displayName: "Contoso, renamed" },
          accessDetails: { unifiedRoles: [{ roleDefinitionId: PRIVILEGED_ROLES.toUpperCase() }] },
          endDateTime: "2028-02-27T00:00:00Z",
          autoExtendDuration: "P180D",
        }),
        gdapRow({ id: "third", customer: { tenantId: FABRIKAM, displayName: "Fabrikam" } }),
      ]),
    );
    const { tenants } = await read();
    expect(http.asked[1]?.url).toBe(next);
    expect(tenants.map(({ tenantId, name }) => [tenantId, name])).toEqual([
      [CONTOSO, "Contoso"],
      [FABRIKAM, "Fabrikam"],
    ]);
    expect(tenants[0]?.relationships.map(({ roles, auto_extend }) => [roles, auto_extend])).toEqual([
      [[SECURITY_READER], "PT0S"],
      [[PRIVILEGED_ROLES], "P180D"],
    ]);
  });

  test("leaves out relationships that give no access, and customers that have no other", async () => {
    const rows = ["expired", "terminated", "terminationRequested", "approvalPending", "expiring"].map((status, n) =>
      gdapRow({ status, customer: { tenantId: `0000000${n}-2222-4333-8444-555555555555`, displayName: status } }),
    );
    const { tenants } = await reading("gdap", page(rows)).read();
    expect(tenants.map(({ name }) => name)).toEqual(["expiring"]);
  });

  test("of governance takes a status in any case, and only rows of the provider's own tenant", async () => {
    const { tenants } = await reading(
      "governance",
      page([
        governanceRow(),
        governanceRow({ governedTenantId: CONTOSO, governingTenantId: FABRIKAM }),
        governanceRow({ governedTenantId: CONTOSO, status: "terminationRequestedByGoverningTenant" }),
      ]),
    ).read();
    expect(tenants.map(({ tenantId, name }) => [tenantId, name])).toEqual([[FABRIKAM, "Fabrikam"]]);
  });

  test("of governance has the roles of the policy that was accepted", async () => {
    const roleTemplates = [{ id: SECURITY_READER.toUpperCase(), name: "Security Reader" }];
    const policySnapshot = { delegatedAdministrationRoleAssignments: [{ roleTemplates }, { roleTemplates: [] }] };
    const { tenants } = await reading("governance", page([governanceRow({ policySnapshot })])).read();
    expect(tenants[0]?.relationships[0]?.roles).toEqual([SECURITY_READER]);
  });

  test("gives a customer a name that steers no terminal, no shell, no spreadsheet and no page", async () => {
    const displayName =
      "=cmd|'/C calc'!A1\u001b[2J<img src=x onerror=alert(1)>\u202e\"$(reboot)\"`id`\r\n, " + "x".repeat(300);
    const { tenants } = await reading(
      "gdap",
      page([gdapRow({ displayName: "a\u001b[1mb", customer: { tenantId: CONTOSO, displayName } })]),
    ).read();
    expect(tenants[0]?.name).toMatch(/^cmd[\p{L}\p{N} .&()'_-]+$/u);
    expect(tenants[0]?.name.length).toBeLessThanOrEqual(100);
    expect(tenants[0]?.relationships[0]?.name).toBe("a [1mb");
  });
});

describe("a list that is not whole is not used", () => {
  const next = (url: unknown) => page([gdapRow()], { "@odata.nextLink": url });
  const own = `${GRAPH}/v1.0/tenantRelationships/delegatedAdminRelationships?$skiptoken=1`;
  const broken = new Failure("connection-reset", { actor: "microsoft", retry: { when: "soon" }, say: "reset" });
  test.each<[string, Scripted[]]>([
    ["is cut off in the middle of its JSON", [{ body: page([gdapRow()]).body?.slice(0, -20) ?? "" }]],
    ["ends with the connection", [{ body: "{", breaks: broken }]],
    ["has no rows", [{ body: "{}" }]],
    ["is null", [{ body: "null" }]],
    ["holds an object in place of its rows", [page({})]],
    ["holds a row that is not an object", [page([gdapRow(), null])]],
    ["holds a row without a tenant", [page([gdapRow(), gdapRow({ customer: { displayName: "Contoso" } })])]],
    [
      "holds a row whose tenant is not a GUID",
      [page([gdapRow({ customer: { tenantId: "../..", displayName: "x" } })])],
    ],
    ["holds a row without roles", [page([gdapRow({ accessDetails: null })])]],
    ["holds a row that ends at no time", [page([gdapRow({ endDateTime: "soon" })])]],
    ["is cut off on its second page", [next(own), { body: '{"value":[' }]],
    ["goes on at another host", [next("https://graph.microsoft.com.evil.example/v1.0/x")]],
    ["goes on without encryption", [next("http://graph.microsoft.com/v1.0/x")]],
    ["has a next link that is not text", [next(5)]],
    ["has an empty next link", [next("")]],
    ["leads back to itself", [next(own), next(own)]],
  ])("%s", async (_, script) => {
    const { http, read } = reading("gdap", ...script);
    const failure = await read().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "discovery-doubtful", actor: "operator" });
    expect(http.asked.every(({ url }) => url.startsWith(`${GRAPH}/`))).toBe(true);
  });
});

describe("an answer that is not a list says who must act", () => {
  const error = (code: string, message = "…"): string => JSON.stringify({ error: { code, message } });
  test.each<[ProviderSource, number, string, string, string, string]>([
    [
      "gdap",
      403,
      "Authorization_RequestDenied",
      "discovery-forbidden",
      "operator",
      "DelegatedAdminRelationship.Read.All",
    ],
    ["governance", 403, "Forbidden", "discovery-forbidden", "operator", "TenantGovernance-Relationship.Read.All"],
    ["governance", 404, "ResourceNotFound", "discovery-unavailable", "operator", "no Tenant Governance"],
    ["governance", 400, "BadRequest", "discovery-unavailable", "operator", "no Tenant Governance"],
    ["gdap", 429, "TooManyRequests", "throttled", "microsoft", "nothing is changed"],
    ["gdap", 503, "ServiceUnavailable", "service-error", "microsoft", "nothing is changed"],
  ])("%s: %i %s is %s of the %s", async (source, status, code, failure, actor, says) => {
    await expect(reading(source, { status, body: error(code) }).read()).rejects.toMatchObject({
      code: failure,
      actor,
      say: expect.stringContaining(says),
    });
  });

  test("a rejected access token is renewed once, and then it is the home app's", async () => {
    const { tokens, read } = reading(
      "gdap",
      { status: 401, body: error("InvalidAuthenticationToken") },
      { status: 401, body: error("InvalidAuthenticationToken") },
    );
    await expect(read()).rejects.toMatchObject({ code: "unauthorised", say: expect.stringContaining("home app") });
    expect(tokens.refused).toEqual(["token-1"]);
  });

  test("a renewed access token reads the list", async () => {
    const { read } = reading("gdap", { status: 401, body: error("InvalidAuthenticationToken") }, page([gdapRow()]));
    expect((await read()).tenants).toHaveLength(1);
  });

  test("a home app that its own tenant does not know is the operator's to fix, never a customer's", () => {
    const failure = new Failure("app-not-found", {
      actor: "customer",
      area: "sign-in",
      retry: { when: "never" },
      say: "The home app has not consented to app X yet, or has removed it (AADSTS7000229).",
      nextStep: 'Send the customer\'s administrator the link that `defender-mssp consent-url --customer "x"` prints.',
    });
    expect(ofHomeApp(failure, "home")).toMatchObject({
      code: "app-not-found",
      actor: "operator",
      say: expect.stringContaining("about the home app"),
      nextStep: expect.not.stringContaining("--customer"),
    });
  });
});
