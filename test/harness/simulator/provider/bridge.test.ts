import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import type { Answer } from "../visitor.ts";
import { claimsOf, type ProviderWorld, startProvider } from "./provider-world.ts";

const GRAPH_APP = "00000003-0000-0000-c000-000000000000";
const ALERTS_ROLE = "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5";
const GRAPH = "https://graph.microsoft.com/.default";
const PARTNER_CENTER = "https://api.partnercenter.microsoft.com/user_impersonation";
const REDIRECT = "http://localhost:44300/signed-in";
const VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789";
const SCOPES = "Application.ReadWrite.All,AppRoleAssignment.ReadWrite.All";
const CONTOSO = "{ customer: contoso, roles: [Security Reader, Privileged Role Administrator] }";

interface Bridge {
  readonly world: ProviderWorld;
  /** The answer of the sign-in in the home tenant: a token for Partner Center and the refresh token. */
  readonly signedIn: Answer;
  readonly consent: (customer?: string, body?: object) => Promise<Answer>;
  readonly remove: (customer?: string) => Promise<Answer>;
  /** The refresh token redeemed in a customer's tenant. */
  readonly redeem: (customer?: string, scope?: string) => Promise<Answer>;
  readonly graph: (method: string, path: string, token: unknown, body?: object) => Promise<Answer>;
}

/** The provider's user, signed in for the bridge. */
async function given(provider: string, rest = "", customers?: string): Promise<Bridge> {
  const started = await startProvider(provider, customers, rest);
  const { simulator, visitor, send, tenantId, provider: ready } = started;
  const { ready: urls } = simulator;
  const challenge = createHash("sha256").update(VERIFIER).digest("base64url");
  const query = new URLSearchParams({
    client_id: ready.bridge.client_id,
    response_type: "code",
    redirect_uri: REDIRECT,
    scope: `${PARTNER_CENTER} offline_access openid`,
    state: "s",
    code_challenge: challenge,
    code_challenge_method: "S256",
  });
  const page = await visitor.fetch(`${urls.login_url}/${ready.tenant_id}/oauth2/v2.0/authorize?${query.toString()}`);
  const signedIn = await visitor.post(`${urls.login_url}/${ready.tenant_id}/oauth2/v2.0/token`, {
    grant_type: "authorization_code",
    ...ready.bridge,
    code: new URL(page.headers.get("location") ?? "").searchParams.get("code") ?? "",
    redirect_uri: REDIRECT,
    code_verifier: VERIFIER,
    scope: `${PARTNER_CENTER} offline_access openid`,
  });
  const userToken = signedIn.json.access_token as string;
  const consents = (customer: string): string =>
    `${urls.partnercenter_url}/v1/customers/${simulator.control.world.customers.has(customer) ? tenantId(customer) : customer}/applicationconsents`;
  return {
    world: started,
    signedIn,
    consent: (customer = "contoso", body = {}) =>
      send("POST", consents(customer), userToken, {
        applicationId: ready.bridge.client_id,
        displayName: "bridge",
        applicationGrants: [{ enterpriseApplicationId: GRAPH_APP, scope: SCOPES }],
        ...body,
      }),
    remove: (customer = "contoso") => send("DELETE", `${consents(customer)}/${ready.bridge.client_id}`, userToken),
    redeem: (customer = "contoso", scope = GRAPH) =>
      visitor.post(`${urls.login_url}/${tenantId(customer)}/oauth2/v2.0/token`, {
        grant_type: "refresh_token",
        ...ready.bridge,
        refresh_token: signedIn.json.refresh_token as string,
        scope,
      }),
    graph: (method, path, token, body) => send(method, `${urls.graph_url}/v1.0/${path}`, String(token), body),
  };
}

const numberOf = ({ json }: Answer): unknown => (json.error_codes as number[] | undefined)?.[0];

describe("the simulator's sign-in of the provider's user", () => {
  test("gives a token for Partner Center with the user's factors, and a refresh token of the home tenant", async () => {
    const { world: started, signedIn } = await given("{ tenant: mssp }");

    expect(claimsOf(signedIn.json.access_token)).toMatchObject({
      aud: "https://api.partnercenter.microsoft.com",
      tid: started.provider.tenant_id,
      upn: "partner-admin@mssp.onmicrosoft.com",
      scp: "user_impersonation",
      amr: ["pwd", "mfa"],
    });
    expect(signedIn.json.refresh_token).toBeDefined();
  });

  test("gives in a customer's tenant a token of that tenant for the account of the home tenant", async () => {
    const { consent, redeem, signedIn, world: started } = await given(`{ tenant: mssp, relationships: [${CONTOSO}] }`);
    await consent();

    const { status, json } = await redeem();

    const claims = claimsOf(json.access_token);
    expect(status).toBe(200);
    expect(claims).toMatchObject({
      tid: started.tenantId("contoso"),
      idp: `https://sts.windows.net/${started.provider.tenant_id}/`,
      oid: claimsOf(signedIn.json.access_token)["oid"],
      scp: "Application.ReadWrite.All AppRoleAssignment.ReadWrite.All",
    });
    const info = JSON.parse(Buffer.from(json.client_info as string, "base64url").toString()) as { utid: string };
    expect(info.utid).toBe(started.provider.tenant_id);
  });

  test("is refused with 50020 where no relationship is in force, also after one ended", async () => {
    const { redeem, consent, world: started } = await given(`{ tenant: mssp, relationships: [${CONTOSO}] }`);
    await consent();

    expect(numberOf(await redeem("fabrikam"))).toBe(50020);
    started.simulator.control.perform({ do: "relationship", customers: ["contoso"], status: "terminated" });
    expect(numberOf(await redeem())).toBe(50020);
  });

  test("is refused with 50177 to a user outside the relationship's group", async () => {
    const {
      redeem,
      consent,
      world: started,
    } = await given(
      `{ tenant: mssp, user: { groups: [AdminAgents, gdap] }, relationships: [{ customer: contoso, roles: [Privileged Role Administrator], group: gdap }] }`,
    );
    await consent();

    expect((await redeem()).status).toBe(200);
    started.simulator.control.perform({ do: "provider-user", groups: ["AdminAgents"] });
    expect(numberOf(await redeem())).toBe(50177);
  });

  test("is refused with 65001 without the bridge's consent, and until the consent shows", async () => {
    const {
      redeem,
      consent,
      world: started,
    } = await given(`{ tenant: mssp, consent_delay: 30s, relationships: [${CONTOSO}] }`);

    expect(numberOf(await redeem())).toBe(65001);
    await consent();
    expect(numberOf(await redeem())).toBe(65001);
    started.simulator.control.advance(30_000);
    expect((await redeem()).status).toBe(200);
  });

  test("is refused with 50173 once the user's refresh tokens are revoked, and 53003 where a customer's policy blocks it", async () => {
    const {
      redeem,
      consent,
      world: started,
    } = await given(
      `{ tenant: mssp, relationships: [${CONTOSO}] }`,
      "faults: [{ on: token, customers: [contoso], requests: [1], answer: { aadsts: 53003 } }]",
    );
    await consent();

    expect(numberOf(await redeem())).toBe(53003);
    started.simulator.control.perform({ do: "refresh-token", customers: ["mssp"], state: "revoked" });
    expect(numberOf(await redeem())).toBe(50173);
  });
});

describe("the simulator's Partner Center", () => {
  test("answers a consent with 201 and the same again with 400 Permission entry already exists", async () => {
    const { consent } = await given(`{ tenant: mssp, relationships: [${CONTOSO}] }`);

    const [first, second] = [await consent(), await consent()];

    expect([first.status, first.json.applicationGrants]).toEqual([
      201,
      [{ enterpriseApplicationId: GRAPH_APP, scope: SCOPES }],
    ]);
    expect([second.status, second.json.description]).toEqual([400, "Permission entry already exists."]);
  });

  test("removes a consent with the app's service principal, and 404 for one that is not there", async () => {
    const { consent, remove, redeem } = await given(`{ tenant: mssp, relationships: [${CONTOSO}] }`);
    await consent();

    const [removed, again] = [await remove(), await remove()];

    expect([removed.status, removed.text, again.status]).toEqual([204, "", 404]);
    expect(numberOf(await redeem())).toBe(65001);
    expect((await consent()).status).toBe(201);
  });

  test("refuses a sign-in without multi-factor authentication with 401 and code 900421", async () => {
    const {
      consent,
      world: started,
      signedIn,
    } = await given(`{ tenant: mssp, user: { mfa: false }, relationships: [${CONTOSO}] }`);

    const { status, json } = await consent();
    const checked = await started.visitor.get(
      `${started.simulator.ready.partnercenter_url}/v1/customers/x/applicationconsents`,
      signedIn.json.access_token as string,
      { ValidateMfa: "true" },
    );

    expect([status, json]).toEqual([
      401,
      { code: "900421", description: "Unauthorized - MFA required", data: [], source: "PartnerFD" },
    ]);
    expect(checked.headers.get("ismfacompliant")).toBe("false");
  });

  test("refuses other tokens: none, one for Graph and one of the app alone", async () => {
    const { world: started } = await given(`{ tenant: mssp, relationships: [${CONTOSO}] }`);
    const { provider, simulator, visitor, asApp } = started;
    const url = `${simulator.ready.partnercenter_url}/v1/customers/${started.tenantId("contoso")}/applicationconsents`;
    const graph = await asApp(provider.tenant_id, provider.bridge);
    const app = await asApp(provider.tenant_id, provider.bridge, "https://api.partnercenter.microsoft.com/.default");

    expect((await visitor.get(url)).status).toBe(401);
    expect((await visitor.get(url, graph.json.access_token as string)).status).toBe(401);
    expect((await visitor.get(url, app.json.access_token as string)).status).toBe(403);
  });

  test.each([
    ["the user is not an admin agent", `user: { groups: [gdap] }, relationships: [${CONTOSO}]`, 403],
    [
      "the relationship has no role that may consent",
      "relationships: [{ customer: contoso, roles: [Security Reader] }]",
      403,
    ],
    [
      "the relationship has ended",
      "relationships: [{ customer: contoso, roles: [Privileged Role Administrator], status: terminated }]",
      403,
    ],
    [
      "the tenant is not a customer",
      "relationships: [{ customer: fabrikam, roles: [Privileged Role Administrator] }]",
      404,
    ],
  ])("refuses a consent where %s", async (_, rest, status) => {
    const { consent } = await given(`{ tenant: mssp, ${rest} }`);

    expect((await consent()).status).toBe(status);
  });

  test.each([
    ["an application that nobody registered", { applicationId: "00000000-0000-4000-8000-000000000000" }],
    ["no grants", { applicationGrants: [] }],
    [
      "application permissions",
      { applicationGrants: [{ enterpriseApplicationId: GRAPH_APP, scope: "Directory.Everything" }] },
    ],
    ["an API that does not exist", { applicationGrants: [{ enterpriseApplicationId: "x", scope: SCOPES }] }],
  ])("refuses with 400 a consent that names %s", async (_, body) => {
    const { consent } = await given(`{ tenant: mssp, relationships: [${CONTOSO}] }`);

    expect((await consent("contoso", body)).status).toBe(400);
  });

  test("takes so many requests in any second, and answers the next 429 with a time", async () => {
    const { consent, world: started } = await given(
      `{ tenant: mssp, requests_per_second: 2, relationships: [${CONTOSO}] }`,
    );

    const statuses = [(await consent()).status, (await consent()).status];
    const throttled = await consent();
    started.simulator.control.advance(1000);

    expect(statuses).toEqual([201, 400]);
    expect([throttled.status, throttled.headers.get("retry-after")]).toEqual([429, "1"]);
    expect((await consent()).status).toBe(400);
  });

  test("has the faults of a scenario, per customer", async () => {
    const { consent } = await given(
      `{ tenant: mssp, relationships: [${CONTOSO}] }`,
      "faults: [{ on: partner-center, customers: [contoso], times: 1, answer: { status: 503, retry_after_seconds: 3 } }]",
    );

    const failed = await consent();

    expect([failed.status, failed.headers.get("retry-after")]).toEqual([503, "3"]);
    expect((await consent()).status).toBe(201);
  });

  test("is found by Microsoft's own host name, and not behind another of its names", async () => {
    const { world: started } = await given("{ tenant: mssp }");

    const path = "/v1/customers/x/applicationconsents";
    expect((await started.visitor.getAs("api.partnercenter.microsoft.com", path)).status).toBe(401);
    expect((await started.visitor.getAs("graph.microsoft.com", path)).status).toBe(404);
  });
});

describe("the provider's user in a customer's directory", () => {
  test.each([
    ["Privileged Role Administrator", 201, 201],
    ["Global Administrator", 201, 201],
    ["Cloud Application Administrator", 201, 403],
  ])("with the role %s gets %i for a service principal and %i for a role of Graph", async (role, made, assigned) => {
    const {
      consent,
      redeem,
      graph,
      world: started,
    } = await given(`{ tenant: mssp, relationships: [{ customer: contoso, roles: [${role}] }] }`);
    await consent();
    const token = (await redeem()).json.access_token as string;

    const reader = await graph("POST", "servicePrincipals", token, { appId: started.provider.reader.client_id });
    const api = await graph("GET", `servicePrincipals(appId='${GRAPH_APP}')?$select=id`, token);
    const assignment = await graph("POST", `servicePrincipals/${api.json.id}/appRoleAssignedTo`, token, {
      principalId: reader.json.id as string,
      resourceId: api.json.id as string,
      appRoleId: ALERTS_ROLE,
    });

    expect([reader.status, assignment.status]).toEqual([made, assigned]);
    const { json } = await started.asApp(started.tenantId("contoso"), started.provider.reader);
    expect(claimsOf(json.access_token)["roles"]).toEqual(assigned === 201 ? ["SecurityAlert.Read.All"] : undefined);
  });

  test("gets 403 without the scope in the bridge's consent, and once the relationship has ended", async () => {
    const { consent, redeem, graph, world: started } = await given(`{ tenant: mssp, relationships: [${CONTOSO}] }`);
    const make = async (token: unknown): Promise<unknown> => {
      const { status, json } = await graph("POST", "servicePrincipals", token, {
        appId: started.provider.reader.client_id,
      });
      return [status, json.error?.code];
    };
    await consent("contoso", {
      applicationGrants: [{ enterpriseApplicationId: GRAPH_APP, scope: "AppRoleAssignment.ReadWrite.All" }],
    });
    const token = (await redeem()).json.access_token as string;

    expect(await make(token)).toEqual([403, "Authorization_RequestDenied"]);
    started.simulator.control.perform({ do: "relationship", customers: ["contoso"], status: "terminated" });
    expect(await make(token)).toEqual([403, "Authorization_RequestDenied"]);
  });
});

describe("the simulator's view of the provider", () => {
  test("has its requests in order, the writes per tenant, and the tenants in which the bridge still stands", async () => {
    const {
      consent,
      remove,
      redeem,
      graph,
      world: started,
    } = await given(
      `{ tenant: mssp, relationships: [${CONTOSO}, { customer: fabrikam, roles: [Privileged Role Administrator] }] }`,
    );
    const { control } = started.simulator;
    await consent();
    await consent("fabrikam");
    const token = (await redeem()).json.access_token as string;
    await graph("POST", "servicePrincipals", token, { appId: started.provider.reader.client_id });
    await graph("POST", "servicePrincipals", token, { appId: started.provider.reader.client_id });
    await remove();

    const view = control.provider();

    expect(view?.writes).toEqual({ contoso: 3, fabrikam: 1 });
    expect(view?.bridge_left).toEqual(["fabrikam"]);
    expect(view?.customers.find(({ tenant_name }) => tenant_name === "contoso")).toMatchObject({
      bridge: null,
      reader: { roles: [] },
    });
    expect(view?.requests.map(({ tenant_name, method, status }) => `${tenant_name} ${method} ${status}`)).toEqual([
      "mssp POST 200",
      "contoso POST 201",
      "fabrikam POST 201",
      "contoso POST 200",
      "contoso POST 201",
      "contoso POST 409",
      "contoso DELETE 204",
    ]);
  });

  test("is served by the control API, forgets the requests on demand, and holds no token and no secret", async () => {
    const { signedIn, world: started } = await given(`{ tenant: mssp, relationships: [${CONTOSO}] }`);
    const url = `${started.simulator.ready.control_url}/provider`;

    const { text, json } = await started.visitor.get(url);
    const response = await started.visitor.fetch(`${url}/requests`, { method: "DELETE" });

    expect(json.requests).toHaveLength(1);
    for (const secret of [
      signedIn.json.access_token,
      signedIn.json.refresh_token,
      started.provider.bridge.client_secret,
    ])
      expect(text).not.toContain(secret);
    expect(((await response.json()) as { requests: unknown[] }).requests).toEqual([]);
  });

  test("does not exist in a scenario without a provider", async () => {
    const { world: started } = await given("{ tenant: mssp }");
    started.simulator.control.world.provider = undefined;

    expect((await started.visitor.get(`${started.simulator.ready.control_url}/provider`)).status).toBe(404);
    expect(started.simulator.control.provider()).toBeUndefined();
  });
});
