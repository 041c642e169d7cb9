import { afterEach, describe, expect, test } from "@jest/globals";
import { scenarioOf } from "./scenario/apply.ts";
import { type ReadyIdentity, type Simulator, startSimulator } from "./start.ts";
import { type Answer, type Visitor, visit } from "./visitor.ts";

const GRAPH = "https://graph.microsoft.com/.default";
const EXCHANGE = "api://AzureADTokenExchange";
const TOKEN_PATH = "/metadata/identity/oauth2/token";
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

let simulator: Simulator | undefined;
let visitor: Visitor | undefined;

afterEach(async () => {
  await visitor?.close();
  await simulator?.stop();
  visitor = undefined;
  simulator = undefined;
});

interface World {
  readonly simulator: Simulator;
  readonly identity: (name: string) => ReadyIdentity;
  /** A request of the metadata service; `query` is what it has beside api-version and resource. */
  readonly imds: (query?: Record<string, string>, headers?: Record<string, string>, path?: string) => Promise<Answer>;
  /** A token of a platform's identity. */
  readonly platformToken: (name: string, other?: object) => string;
  /** The token request of contoso's own app with this assertion. */
  readonly signIn: (assertion: string, customer?: string) => Promise<Answer>;
}

async function given(identities: string, rest = ""): Promise<World> {
  const text = `name: t\nstory: t\nstart: 2026-11-24T08:00:00Z\ncustomers: [{ name: contoso }, { name: fabrikam }]\nidentities: [${identities}]\n${rest}`;
  const started = await startSimulator({ scenario: scenarioOf(text, "t.yaml"), frozen: true });
  simulator = started;
  visitor = visit(started);
  const client = visitor;
  const { ready, control } = started;
  return {
    simulator: started,
    identity: (name) => {
      const found = ready.identities?.find((one) => one.name === name);
      if (found === undefined) throw new Error(`no identity ${name}`);
      return found;
    },
    imds: (query = {}, headers = { metadata: "true" }, path = TOKEN_PATH) => {
      const all = new URLSearchParams({ "api-version": "2018-02-01", resource: EXCHANGE, ...query });
      return client.get(`${ready.imds_url}${path}?${all.toString()}`, undefined, headers);
    },
    platformToken: (name, other = {}) =>
      (control.perform({ do: "platform-token", identity: name, ...other }) as { token: string }).token,
    signIn: (assertion, customer = "contoso") => {
      const { tenant_id, client_id } = control.customer(customer);
      return client.post(`${ready.login_url}/${tenant_id}/oauth2/v2.0/token`, {
        grant_type: "client_credentials",
        client_id,
        scope: GRAPH,
        client_assertion_type: ASSERTION_TYPE,
        client_assertion: assertion,
      });
    },
  };
}

const claimsOf = (token: unknown): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

test("the simulator has no metadata service where a scenario has no managed identity", async () => {
  const { simulator: started } = await given("{ name: aks, kind: platform }");

  expect(started.ready.imds_url).toBeUndefined();
});

describe("the simulator's metadata service", () => {
  test("gives a managed identity's token with numbers as texts, for a day, and with the claims of a federated credential", async () => {
    const { imds, identity, simulator: started } = await given("{ name: collector }");
    const { client_id, issuer, subject, audience } = identity("collector");

    const { status, json } = await imds({ client_id });

    expect(status).toBe(200);
    expect(json).toMatchObject({
      client_id,
      expires_in: "86400",
      expires_on: String(Date.parse("2026-11-25T08:00:00Z") / 1000),
      resource: EXCHANGE,
      token_type: "Bearer",
    });
    expect(claimsOf(json.access_token)).toMatchObject({ iss: issuer, sub: subject, aud: audience });
    expect(issuer).toBe(`https://login.microsoftonline.com/${started.control.customer("contoso").tenant_id}/v2.0`);
    expect(started.ready.imds_url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  test.each<[string, Record<string, string>, Record<string, string>, number, string]>([
    ["without the header Metadata", {}, {}, 400, "bad_request_102"],
    ["with another value of it", {}, { metadata: "True" }, 400, "bad_request_102"],
    ["that a proxy passed on", {}, { metadata: "true", "x-forwarded-for": "10.0.0.1" }, 400, "bad_request"],
    ["without a version", { "api-version": "" }, { metadata: "true" }, 400, "invalid_request"],
    ["without a resource", { resource: "" }, { metadata: "true" }, 400, "invalid_request"],
    ["for an unknown resource", { resource: "https://x.example" }, { metadata: "true" }, 400, "invalid_resource"],
    ["for an identity it does not know", { client_id: "x" }, { metadata: "true" }, 400, "invalid_request"],
  ])("refuses a request %s", async (_, query, headers, status, error) => {
    const { imds } = await given("{ name: collector }");

    const answer = await imds(query, headers);

    expect([answer.status, answer.json.error]).toEqual([status, error]);
  });

  test("answers 404 elsewhere and 405 to another method", async () => {
    const { imds, simulator: started } = await given("{ name: collector }");

    const posted = await visitor?.post(`${started.ready.imds_url}${TOKEN_PATH}`, {}, { metadata: "true" });

    expect((await imds({}, { metadata: "true" }, "/metadata/instance")).status).toBe(404);
    expect(posted?.status).toBe(405);
  });

  test("wants the client id where several identities are assigned, and knows none that was taken away", async () => {
    const { imds, identity, simulator: started } = await given("{ name: collector }, { name: other }");
    const { client_id } = identity("collector");

    const several = await imds();
    const one = await imds({ client_id });
    started.control.perform({ do: "identity", identity: "collector", assigned: false });
    const taken = await imds({ client_id });

    expect(several.json.error_description).toContain("Multiple user assigned identities exist");
    expect(one.status).toBe(200);
    expect([taken.status, taken.json]).toEqual([
      400,
      { error: "invalid_request", error_description: "Identity not found" },
    ]);
    expect((await imds()).json.client_id).toBe(identity("other").client_id);
  });

  test("takes 20 requests a second, and has the faults of a scenario", async () => {
    const { imds, simulator: started } = await given(
      "{ name: collector }",
      "faults: [{ on: imds, requests: [1], answer: { status: 410 } }]",
    );

    expect((await imds()).status).toBe(410);
    const statuses = await Promise.all(Array.from({ length: 21 }, async () => (await imds()).status));
    started.control.advance(1000);

    expect(statuses.filter((status) => status === 200)).toHaveLength(20);
    expect(statuses.filter((status) => status === 429)).toHaveLength(1);
    expect((await imds()).status).toBe(200);
  });
});

describe("an app of the simulator with a federated credential", () => {
  const AKS = "{ name: aks, kind: platform, trusted_by: [contoso] }";

  test("signs in with the token of a managed identity, and with that of a platform", async () => {
    const { imds, signIn, platformToken } = await given(`{ name: collector, trusted_by: [contoso] }, ${AKS}`);
    const managed = (await imds()).json.access_token as string;

    const [first, second] = [await signIn(managed), await signIn(platformToken("aks"))];

    expect([first.status, second.status]).toEqual([200, 200]);
    expect(claimsOf(first.json.access_token)).toMatchObject({ idtyp: "app", appidacr: "2" });
  });

  test.each([
    ["another issuer", { issuer: "https://oidc.example/AKS" }, 700211, "issuer 'https://oidc.example/AKS'"],
    ["another subject", { subject: "system:serviceaccount:siem:x" }, 700213, "subject 'system:serviceaccount:siem:x'"],
    ["another audience", { audience: "api://other" }, 700212, "audience 'api://other'"],
  ])("refuses a token of %s and says what it presented", async (_, other, number, words) => {
    const { signIn, platformToken } = await given(AKS);

    const { status, json } = await signIn(platformToken("aks", other));

    expect([status, json.error, json.error_codes]).toEqual([401, "invalid_client", [number]]);
    expect(json.error_description).toContain(
      `No matching federated identity record found for presented assertion ${words}.`,
    );
  });

  test("refuses a token that has ended, one that was changed, and one of an identity it does not trust", async () => {
    const { signIn, platformToken, simulator: started } = await given(AKS);
    const token = platformToken("aks");
    const [head = "", body = "", signature = ""] = token.split(".");
    const changed = Buffer.from(JSON.stringify({ ...claimsOf(`${head}.${body}`), exp: 4_000_000_000 }));
    const numberOf = async (answer: Promise<Answer>): Promise<unknown> => (await answer).json.error_codes;

    expect(await numberOf(signIn(`${head}.${changed.toString("base64url")}.${signature}`))).toEqual([50013]);
    expect(await numberOf(signIn(token, "fabrikam"))).toEqual([70025]);
    expect(await numberOf(signIn("not.a.token"))).toEqual([50012]);
    started.control.advance(3_600_000 + 300_000 + 1000);
    expect(await numberOf(signIn(token))).toEqual([700024]);
    expect((await signIn(platformToken("aks"))).status).toBe(200);
  });

  test("takes a token until five minutes after its end, and a token of ten minutes for fifteen", async () => {
    const { signIn, platformToken, simulator: started } = await given(AKS);
    started.control.perform({ do: "identity", identity: "aks", lifetime: 600_000 });
    const token = platformToken("aks");

    started.control.advance(899_000);
    expect((await signIn(token)).status).toBe(200);
    started.control.advance(2000);
    expect((await signIn(token)).json.error_codes).toEqual([700024]);
  });
});

test("the provider's reader may trust a managed identity of the provider's tenant in every customer's tenant", async () => {
  const { simulator: started, imds } = await given(
    "{ name: collector, trusted_by: [reader, home] }",
    "provider: { tenant: mssp }",
  );
  const { provider, login_url } = started.ready;
  const { json } = await imds();
  const ask = (tenant: string, client_id = ""): Promise<Answer> | undefined =>
    visitor?.post(`${login_url}/${tenant}/oauth2/v2.0/token`, {
      grant_type: "client_credentials",
      client_id,
      scope: GRAPH,
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: json.access_token as string,
    });

  for (const customer of ["contoso", "fabrikam"])
    expect((await ask(started.control.customer(customer).tenant_id, provider?.reader.client_id))?.status).toBe(200);
  expect((await ask(provider?.tenant_id ?? "", provider?.home.client_id))?.status).toBe(200);
  expect((await ask(provider?.tenant_id ?? "", provider?.bridge.client_id))?.json.error_codes).toEqual([70025]);
});

test("an identity that trusts nobody's app, or that nobody named, is refused with what was expected", async () => {
  await expect(given("{ name: collector, trusted_by: [nobody] }")).rejects.toThrow('there is no app "nobody"');
  const { simulator: started } = await given("{ name: collector }");

  expect(() => started.control.perform({ do: "platform-token", identity: "nobody" })).toThrow(
    'There is no identity "nobody"',
  );
});
