import "reflect-metadata";
import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  createVerify,
  type KeyObject,
  sign,
  webcrypto,
  X509Certificate,
} from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import * as x509 from "@peculiar/x509";
import { scenarioOf } from "./scenario/apply.ts";
import { type ReadyCustomer, type Simulator, startSimulator } from "./start.ts";
import { type Answer, type Visitor, visit } from "./visitor.ts";

const NAMES = ["contoso", "fabrikam", "tailspin", "woodgrove", "litware", "adatum", "gov"];
const SCENARIO = `{ name: entra, story: sign-ins, start: "2026-11-24T08:00:00Z", customers: [${NAMES.map((name) => `{ name: ${name}${name === "gov" ? ", cloud: gcc-high" : ""} }`).join(", ")}] }`;
const GRAPH = "https://graph.microsoft.com/.default";
const DAY_MS = 86_400_000;

let simulator: Simulator;
let visitor: Visitor;

beforeAll(async () => {
  simulator = await startSimulator({ scenario: scenarioOf(SCENARIO, "entra"), frozen: true });
  visitor = visit(simulator);
});

afterAll(async () => {
  await visitor.close();
  await simulator.stop();
});

const at = ({ tenant_id }: ReadyCustomer, path = "oauth2/v2.0/token"): string =>
  `${simulator.ready.login_url}/${tenant_id}/${path}`;
const app = ({ client_id, client_secret }: ReadyCustomer) => ({ client_id, client_secret });
const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

function redeem(
  customer: ReadyCustomer,
  refreshToken = customer.refresh_token,
  scope = `${GRAPH} offline_access`,
): Promise<Answer> {
  return visitor.post(at(customer), {
    grant_type: "refresh_token",
    ...app(customer),
    refresh_token: refreshToken,
    scope,
  });
}

describe("the simulator's refresh tokens", () => {
  test("are replaced by each redemption, the old one stays valid, and both are as long as real ones", async () => {
    const customer = simulator.control.customer("contoso");

    const first = await redeem(customer);
    const second = await redeem(customer, first.json.refresh_token as string);
    const again = await redeem(customer);

    const tokens = [
      customer.refresh_token,
      first.json.refresh_token,
      second.json.refresh_token,
      again.json.refresh_token,
    ] as string[];
    expect(new Set(tokens).size).toBe(4);
    for (const token of tokens) expect(token.length).toBeGreaterThan(1000);
    expect(again.status).toBe(200);
  });

  test("come in an answer with client_info and id_token, and with scopes instead of roles", async () => {
    const customer = simulator.control.customer("contoso");

    const { json } = await redeem(customer);

    const info = JSON.parse(Buffer.from(json.client_info as string, "base64url").toString()) as { utid: string };
    expect(info.utid).toBe(customer.tenant_id);
    expect(claimsOf(json.id_token as string)).toMatchObject({
      aud: customer.client_id,
      tid: customer.tenant_id,
      iss: `${simulator.ready.login_url}/${customer.tenant_id}/v2.0`,
    });
    expect(claimsOf(json.access_token as string)).toMatchObject({
      aud: "https://graph.microsoft.com",
      appid: customer.client_id,
      tid: customer.tenant_id,
      scp: expect.stringContaining("SecurityAlert.Read.All"),
    });
  });

  test("end after 90 days without use by the simulator's clock, and use renews them", async () => {
    const customer = simulator.control.customer("litware");
    const start = simulator.control.clock.nowMs();
    const kept = (await redeem(customer)).json.refresh_token as string;

    simulator.control.clock.set(start + 60 * DAY_MS);
    const used = await redeem(customer, kept);
    simulator.control.clock.set(start + 120 * DAY_MS);
    const stillGood = await redeem(customer, kept);
    const idle = await redeem(customer);
    simulator.control.clock.set(start);

    expect([used.status, stillGood.status]).toEqual([200, 200]);
    expect(idle.json).toMatchObject({ error: "invalid_grant", error_codes: [700082] });
  });

  test("are refused when revoked or truncated, and accepted from a new sign-in", async () => {
    const customer = simulator.control.customer("adatum");
    await visitor.control("/customers/adatum/refresh-token", { state: "revoked" });

    expect((await redeem(customer)).json.error_codes).toEqual([50173]);
    expect((await redeem(customer, customer.refresh_token.slice(0, 255))).json.error_codes).toEqual([70000]);
    const fresh = (await signIn(customer)).json.refresh_token as string;
    expect((await redeem(customer, fresh)).status).toBe(200);
  });

  test("are refused for another customer", async () => {
    const { json } = await redeem(
      simulator.control.customer("contoso"),
      simulator.control.customer("fabrikam").refresh_token,
    );

    expect(json).toMatchObject({ error: "invalid_grant", error_codes: [70000] });
  });
});

const VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789";
const CHALLENGE = createHash("sha256").update(VERIFIER).digest("base64url");
const REDIRECT = "https://localhost/signed-in";

async function codeFor(
  customer: ReadyCustomer,
  scope = `${GRAPH} offline_access openid`,
): Promise<{ code: string; state: string | null }> {
  const query = new URLSearchParams({
    client_id: customer.client_id,
    response_type: "code",
    redirect_uri: REDIRECT,
    scope,
    state: "s-1",
    code_challenge: CHALLENGE,
    code_challenge_method: "S256",
    nonce: "n-1",
  });
  const response = await visitor.fetch(`${at(customer, "oauth2/v2.0/authorize")}?${query.toString()}`);
  const target = new URL(response.headers.get("location") ?? "");
  expect(response.status).toBe(302);
  return { code: target.searchParams.get("code") ?? "", state: target.searchParams.get("state") };
}

async function signIn(customer: ReadyCustomer, more: Record<string, string> = {}, code?: string): Promise<Answer> {
  const used = code ?? (await codeFor(customer)).code;
  return visitor.post(at(customer), {
    grant_type: "authorization_code",
    ...app(customer),
    code: used,
    redirect_uri: REDIRECT,
    code_verifier: VERIFIER,
    scope: `${GRAPH} offline_access`,
    ...more,
  });
}

describe("the simulator's code flow with PKCE", () => {
  test("gives tokens once for a code with the right verifier", async () => {
    const customer = simulator.control.customer("contoso");
    const { code, state } = await codeFor(customer);

    const first = await signIn(customer, {}, code);
    const second = await signIn(customer, {}, code);

    expect(state).toBe("s-1");
    expect(first.json.refresh_token).toBeDefined();
    expect(claimsOf(first.json.id_token as string)).toMatchObject({ nonce: "n-1" });
    expect(second.json.error_codes).toEqual([54005]);
  });

  test.each([
    [{ code_verifier: "wrong" }, 501481],
    [{ redirect_uri: "https://localhost/other" }, 50011],
    [{ client_secret: "wrong" }, 7000215],
    [{ code: "made-up" }, 70008],
  ])("refuses %o with AADSTS%i", async (wrong, number) => {
    const { status, json } = await signIn(simulator.control.customer("contoso"), wrong);

    expect(status).toBeGreaterThanOrEqual(400);
    expect((json.error_codes as number[]).at(-1)).toBe(number);
  });

  test("gives no refresh token without offline_access", async () => {
    const customer = simulator.control.customer("contoso");
    const { code } = await codeFor(customer, GRAPH);

    const { json } = await signIn(customer, { scope: GRAPH }, code);

    expect(json.access_token).toBeDefined();
    expect(json.refresh_token).toBeUndefined();
  });
});

const scoped = (scope: string) => ({ grant_type: "client_credentials", scope });

describe("the simulator refuses a token request", () => {
  test.each<[string, Record<string, string>, number, string]>([
    ["no grant_type", {}, 900144, "invalid_request"],
    ["an unknown grant_type", { grant_type: "password" }, 70003, "unsupported_grant_type"],
    ["resource at v2", { ...scoped(GRAPH), resource: "https://graph.microsoft.com" }, 901002, "invalid_request"],
    ["two APIs", scoped(`${GRAPH} https://api.security.microsoft.com/.default`), 700022, "invalid_scope"],
    ["an unknown API", scoped("https://example.com/.default"), 500011, "invalid_resource"],
    ["single scopes for an app", scoped("https://graph.microsoft.com/SecurityAlert.Read.All"), 70011, "invalid_scope"],
    ["a wrong secret", { ...scoped(GRAPH), client_secret: "x" }, 7000215, "invalid_client"],
    [
      "an unknown app",
      { ...scoped(GRAPH), client_id: "00000000-0000-4000-8000-000000000000" },
      700016,
      "unauthorized_client",
    ],
  ])("for %s", async (_, fields, number, error) => {
    const customer = simulator.control.customer("contoso");

    const { json } = await visitor.post(at(customer), { ...app(customer), ...fields });

    expect(json).toMatchObject({ error, error_codes: [number] });
  });

  test("for an unknown tenant", async () => {
    const { status, json } = await visitor.get(
      `${simulator.ready.login_url}/nobody.example/v2.0/.well-known/openid-configuration`,
    );

    expect(status).toBe(400);
    expect(json.error_codes).toEqual([90002]);
  });

  test("of a national cloud's tenant for any Graph but its own", async () => {
    const customer = simulator.control.customer("gov");

    const wrong = await visitor.post(at(customer), { ...app(customer), ...scoped(GRAPH) });
    const right = await visitor.post(at(customer), {
      ...app(customer),
      ...scoped("https://graph.microsoft.us/.default"),
    });

    expect(wrong.json.error_codes).toEqual([500011]);
    expect(claimsOf(right.json.access_token as string)["aud"]).toBe("https://graph.microsoft.us");
  });
});

test("the simulator resolves a tenant's domain to its GUID", async () => {
  const { json } = await visitor.get(
    `${simulator.ready.login_url}/contoso.onmicrosoft.com/v2.0/.well-known/openid-configuration`,
  );

  expect(json.issuer).toBe(`${simulator.ready.login_url}/${simulator.control.customer("contoso").tenant_id}/v2.0`);
});

test("the simulator answers an expired client secret and a new one beside it each with the right status", async () => {
  const customer = simulator.control.customer("fabrikam");
  const ask = (secret: string): Promise<Answer> =>
    visitor.post(at(customer), {
      grant_type: "client_credentials",
      client_id: customer.client_id,
      client_secret: secret,
      scope: GRAPH,
    });

  const { json } = await visitor.control("/customers/fabrikam/secret", { state: "rotated" });

  const old = await ask(customer.client_secret);
  expect([old.status, old.json.error_codes]).toEqual([401, [7000222]]);
  expect((await ask(json.fabrikam.client_secret as string)).status).toBe(200);
});

test("after consent is withdrawn the refresh is refused, and an app-only token has no roles and gets 403 with Microsoft's words", async () => {
  const customer = simulator.control.customer("tailspin");
  await visitor.control("/customers/tailspin/consent", { state: "withdrawn" });

  expect((await redeem(customer)).json).toMatchObject({
    error: "invalid_grant",
    suberror: "consent_required",
    error_codes: [65001],
  });
  const token = await visitor.appToken(customer);
  expect(claimsOf(token)["roles"]).toBeUndefined();
  const refused = await visitor.get(`${simulator.ready.graph_url}/v1.0/security/alerts_v2`, token);
  expect(refused.status).toBe(403);
  expect(refused.json.error.message).toBe(
    "Missing application roles. API required roles: SecurityAlert.Read.All,SecurityAlert.ReadWrite.All,SecurityIncident.Read.All,SecurityIncident.ReadWrite.All, application roles: .",
  );

  const page = await visitor.fetch(
    `${at(customer, "v2.0/adminconsent")}?${new URLSearchParams({ client_id: customer.client_id, scope: GRAPH, redirect_uri: REDIRECT, state: "c-1" }).toString()}`,
  );
  const back = new URL(page.headers.get("location") ?? "");
  expect(Object.fromEntries(back.searchParams)).toMatchObject({
    admin_consent: "True",
    tenant: customer.tenant_id,
    state: "c-1",
  });
  expect((await redeem(customer)).status).toBe(200);
});

describe("a tenant of the simulator without the app's service principal", () => {
  const asApp = (customer: ReadyCustomer, client = app(customer)): Promise<Answer> =>
    visitor.post(at(customer), { grant_type: "client_credentials", ...client, scope: GRAPH });
  const state = (absent: object): Promise<Answer> => visitor.control("/customers/litware/consent", absent);
  const numberOf = async (answer: Promise<Answer>): Promise<unknown> =>
    ((await answer).json.error_codes as number[] | undefined)?.[0];

  afterAll(() => state({ state: "granted" }));

  test("answers client credentials of a known app with 401, invalid_client and AADSTS7000229", async () => {
    const customer = simulator.control.customer("litware");
    await state({ state: "absent" });

    const { status, json } = await asApp(customer);

    expect([status, json.error, json.error_codes]).toEqual([401, "invalid_client", [7000229]]);
    expect(json.error_description).toContain(
      `AADSTS7000229: The client application ${customer.client_id} is missing service principal in the tenant ${customer.tenant_id}.`,
    );
    expect(await numberOf(asApp(customer, app(simulator.control.customer("contoso"))))).toBe(7000229);
  });

  test("answers an unknown app and a user's sign-in with AADSTS700016", async () => {
    const customer = simulator.control.customer("litware");
    await state({ state: "absent" });

    const unknown = { client_id: "00000000-0000-4000-8000-000000000000", client_secret: "x" };
    expect(await numberOf(asApp(customer, unknown))).toBe(700016);
    expect(await numberOf(redeem(customer))).toBe(700016);
  });

  test("gives the older answer AADSTS700016 where it is told to", async () => {
    const customer = simulator.control.customer("litware");
    await state({ state: "absent", absent_app: "AADSTS700016" });

    expect(await numberOf(asApp(customer))).toBe(700016);

    await state({ state: "absent", absent_app: "AADSTS7000229" });
    expect(await numberOf(asApp(customer))).toBe(7000229);
  });

  test("has after a consent the service principal of that app alone", async () => {
    const customer = simulator.control.customer("litware");
    await state({ state: "absent" });
    const query = new URLSearchParams({ client_id: customer.client_id, scope: GRAPH, redirect_uri: REDIRECT });
    await visitor.fetch(`${at(customer, "v2.0/adminconsent")}?${query.toString()}`);

    expect((await asApp(customer)).status).toBe(200);
    const { shared_app: shared } = (await visitor.get(`${simulator.ready.control_url}/state`)).json;
    expect(await numberOf(asApp(customer, app(shared as ReadyCustomer)))).toBe(7000229);
  });
});

test("an app registered through Graph works where consent was given, for what it asks for", async () => {
  const customer = simulator.control.customer("woodgrove");
  const graph = `${simulator.ready.graph_url}/v1.0`;
  const token = await visitor.appToken(simulator.control.customer("contoso"));
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const post = async (path: string, body: object): Promise<Record<string, string>> =>
    (await (
      await visitor.fetch(`${graph}/${path}`, { method: "POST", headers, body: JSON.stringify(body) })
    ).json()) as Record<string, string>;
  const GRAPH_APP = "00000003-0000-0000-c000-000000000000";
  const { json } = await visitor.get(`${graph}/servicePrincipals(appId='${GRAPH_APP}')?$select=appRoles`, token);
  const role = (json.appRoles as { id: string; value: string }[]).find(
    ({ value }) => value === "SecurityAlert.Read.All",
  );

  const made = await post("applications", {
    displayName: "x",
    requiredResourceAccess: [{ resourceAppId: GRAPH_APP, resourceAccess: [{ id: role?.id, type: "Role" }] }],
  });
  const { secretText } = await post(`applications/${made["id"]}/addPassword`, {
    passwordCredential: { displayName: "x" },
  });
  const ask = (): Promise<Answer> =>
    visitor.post(at(customer), {
      grant_type: "client_credentials",
      client_id: made["appId"] ?? "",
      client_secret: secretText ?? "",
      scope: GRAPH,
    });

  expect((await ask()).json.error_codes).toEqual([7000229]);
  await visitor.fetch(
    `${at(customer, "v2.0/adminconsent")}?${new URLSearchParams({ client_id: made["appId"] ?? "", scope: GRAPH, redirect_uri: REDIRECT }).toString()}`,
  );
  expect(claimsOf((await ask()).json.access_token as string)["roles"]).toEqual(["SecurityAlert.Read.All"]);
});

test("an access token of the simulator ends after its lifetime, and 401 carries a challenge", async () => {
  const customer = simulator.control.customer("woodgrove");
  await visitor.control("/customers/woodgrove/access-tokens", { lifetime_seconds: 5 });
  const token = await visitor.appToken(customer);
  const url = `${simulator.ready.graph_url}/v1.0/security/alerts_v2`;

  expect((await visitor.get(url, token)).status).toBe(200);
  simulator.control.clock.advance(5000);
  const late = await visitor.get(url, token);

  expect(late.status).toBe(401);
  expect(late.json.error.code).toBe("InvalidAuthenticationToken");
  expect(late.headers.get("www-authenticate")).toMatch(/^Bearer /);
});

test("the simulator's tokens are signed by a published key, also after the keys roll over", async () => {
  const customer = simulator.control.customer("contoso");
  const before = await visitor.appToken(customer);
  await visitor.control("/roll-keys", {});
  const after = await visitor.appToken(customer);

  const { json } = await visitor.get(at(customer, "discovery/v2.0/keys"));

  const kids = [before, after].map(
    (token) => (JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()) as { kid: string }).kid,
  );
  expect(new Set(kids).size).toBe(2);
  for (const [index, token] of [before, after].entries()) {
    const jwk = (json.keys as (webcrypto.JsonWebKey & { kid: string })[]).find(({ kid }) => kid === kids[index]);
    const [head, body, signature] = token.split(".");
    expect(
      createVerify("RSA-SHA256")
        .update(`${head}.${body}`)
        .verify(
          createPublicKey({ key: jwk, format: "jwk" } as unknown as Parameters<typeof createPublicKey>[0]),
          signature ?? "",
          "base64url",
        ),
    ).toBe(true);
  }
});

test("the simulator also knows MSAL's short name of the device code grant", async () => {
  const customer = simulator.control.customer("woodgrove");
  const { json } = await visitor.post(at(customer, "oauth2/v2.0/devicecode"), {
    client_id: customer.client_id,
    scope: GRAPH,
  });
  const form = { grant_type: "device_code", client_id: customer.client_id, device_code: json.device_code as string };

  await visitor.post(at(customer), form);

  expect((await visitor.post(at(customer), form)).status).toBe(200);
});

test("a device code is pending at first, and then gives tokens or is declined", async () => {
  const customer = simulator.control.customer("contoso");
  const begin = async (): Promise<Record<string, string>> => {
    const { json } = await visitor.post(at(customer, "oauth2/v2.0/devicecode"), {
      client_id: customer.client_id,
      scope: `${GRAPH} offline_access`,
    });
    expect(json).toMatchObject({
      expires_in: 900,
      interval: 5,
      verification_uri: expect.stringContaining("https://"),
      message: expect.stringContaining(json.user_code as string),
    });
    return {
      grant_type: "urn:ietf:params:oauth:grant-type:device_code",
      client_id: customer.client_id,
      device_code: json.device_code as string,
    };
  };

  const form = await begin();
  expect((await visitor.post(at(customer), form)).json.error).toBe("authorization_pending");
  expect((await visitor.post(at(customer), form)).json.refresh_token).toBeDefined();
  await visitor.control("/customers/contoso/device-code", { state: "decline" });
  expect((await visitor.post(at(customer), await begin())).json.error).toBe("access_denied");
});

const NOW_S = (): number => Math.floor(simulator.control.clock.nowMs() / 1000);

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

const print = ({ raw }: X509Certificate, algorithm: string): string =>
  createHash(algorithm).update(raw).digest("base64url");

const askWith = (customer: ReadyCustomer, made: string): Promise<Answer> =>
  visitor.post(at(customer), {
    grant_type: "client_credentials",
    client_id: customer.client_id,
    scope: GRAPH,
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: made,
  });

describe("a client assertion", () => {
  let privateKey: KeyObject;
  let certificate: X509Certificate;

  beforeAll(async () => {
    const algorithm = {
      name: "RSASSA-PKCS1-v1_5",
      hash: "SHA-256",
      publicExponent: new Uint8Array([1, 0, 1]),
      modulusLength: 2048,
    };
    x509.cryptoProvider.set(
      webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0] & typeof globalThis.crypto,
    );
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const made = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: "01",
      name: "CN=mssp",
      keys,
      signingAlgorithm: algorithm,
    });
    certificate = new X509Certificate(made.toString("pem"));
    privateKey = createPrivateKey({
      key: Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)),
      format: "der",
      type: "pkcs8",
    });
    await visitor.control("/customers/contoso/certificate", { pem: made.toString("pem") });
  });

  function assertion(customer: ReadyCustomer, alg: "PS256" | "RS256", change: Record<string, unknown> = {}): string {
    const head = {
      alg,
      typ: "JWT",
      ...(alg === "PS256" ? { "x5t#S256": print(certificate, "sha256") } : { x5t: print(certificate, "sha1") }),
    };
    const text = `${part(head)}.${part({ aud: at(customer), iss: customer.client_id, sub: customer.client_id, jti: "j", nbf: NOW_S(), iat: NOW_S(), exp: NOW_S() + 300, ...change })}`;
    const padding =
      alg === "PS256"
        ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
        : { padding: constants.RSA_PKCS1_PADDING };
    return `${text}.${sign("RSA-SHA256", Buffer.from(text), { key: privateKey, ...padding }).toString("base64url")}`;
  }

  test.each(["PS256", "RS256"] as const)("with %s by a registered certificate is accepted", async (alg) => {
    const customer = simulator.control.customer("contoso");

    expect((await askWith(customer, assertion(customer, alg))).status).toBe(200);
  });

  test("for another tenant's endpoint, expired, altered or by an unregistered certificate is refused", async () => {
    const customer = simulator.control.customer("contoso");
    const other = simulator.control.customer("fabrikam");
    const altered = assertion(customer, "PS256").replace(/\.[^.]{10}/, ".AAAAAAAAAA");

    expect((await askWith(customer, assertion(customer, "PS256", { aud: at(other) }))).json.error_codes).toEqual([
      50012,
    ]);
    expect((await askWith(customer, assertion(customer, "PS256", { exp: NOW_S() - 3600 }))).json.error_codes).toEqual([
      700024,
    ]);
    expect((await askWith(customer, altered)).status).toBe(401);
    expect((await askWith(other, assertion(other, "PS256"))).json).toMatchObject({
      error: "invalid_client",
      error_codes: [700027],
    });
  });
});
