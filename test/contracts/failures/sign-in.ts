import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Assertions } from "../../../src/auth/assertion.ts";
import { beginCodeFlow } from "../../../src/auth/code-flow.ts";
import { consentLink, readConsent } from "../../../src/auth/consent.ts";
import { checkCredential } from "../../../src/auth/credential-check.ts";
import { credentialWarnings } from "../../../src/auth/credential-end.ts";
import { beginDeviceFlow } from "../../../src/auth/device-flow.ts";
import { createPartnerConsent } from "../../../src/auth/partner/partner-consent.ts";
import { PermissionHistory } from "../../../src/auth/permission-history.ts";
import { redeem } from "../../../src/auth/redeem.ts";
import { applyRegistration } from "../../../src/auth/registration-apply.ts";
import { createSignInService } from "../../../src/auth/sign-in-service.ts";
import { parseStanzas } from "../../../src/config/settings.ts";
import { listenOnLoopback } from "../../../src/hosts/cli/loopback-listener.ts";
import { presentFingerprint } from "../../../src/main/world.ts";
import { assertionCredential } from "../../../src/model/assertion.ts";
import { CLOUDS } from "../../../src/model/cloud.ts";
import type { Http, HttpRequest } from "../../../src/model/ports.ts";
import { sealed } from "../../../src/model/sealed.ts";
import type { AppCredential, RegistrationPlan } from "../../../src/model/sign-in.ts";
import type { Stanza } from "../../../src/model/stanza.ts";
import { FileTokenVault, SecretFiles } from "../../../src/stores/disk/secrets.ts";
import { makeAppCertificate } from "../../harness/app-certificate.ts";
import { diskPorts } from "../../harness/fakes/disk.ts";
import { FakeRandom } from "../../harness/fakes/random.ts";
import { freePort } from "../../harness/free-port.ts";
import {
  type Answer,
  answering,
  type Cause,
  type Causes,
  NOW_MS,
  quickClock,
  type Raised,
  silent,
  thrownBy,
} from "./cause.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const OTHER_TENANT = "22222222-2222-4333-8444-555555555555";
const APP = "99999999-0000-4000-8000-000000000000";
const REDIRECT = "http://localhost:44300/defender-mssp";
const ALERT_ROLE = "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5";
const DAY_MS = 86_400_000;
const secret: AppCredential = { kind: "secret", clientId: APP, secret: sealed("s3cret") };

/** A customer as inputs.conf has it, with these settings besides. */
function stanzaWith(values: Readonly<Record<string, string>> = {}): Stanza {
  const raw = { name: "contoso", values: { tenant_id: TENANT, client_id: APP, ...values } };
  const stanza = parseStanzas([raw], { host: "cli", nowMs: NOW_MS }).stanzas[0];
  if (!stanza) throw new Error("the settings of this test are wrong");
  return stanza;
}

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const token = (claims: unknown): string => `${base64url({ alg: "none" })}.${base64url(claims)}.x`;

/** A refresh token is redeemed, and the token endpoint answers with this `error` and AADSTS number. */
function refusedWith(error: string, number?: number, status = 400): Cause {
  const body = {
    error,
    ...(number === undefined ? {} : { error_codes: [number], error_description: `AADSTS${number}: …` }),
  };
  const meet = (): Promise<Raised> =>
    thrownBy(() =>
      redeem(
        { http: answering({ status, body }), clock: quickClock() },
        {
          authority: { loginUrl: CLOUDS.commercial.loginUrl, tenant: TENANT },
          route: {},
          credential: secret,
          audience: "https://graph.microsoft.com",
          grant: { kind: "refresh-token", refreshToken: sealed("refresh") },
          subject: { customer: "contoso", clientId: APP },
          keep: async () => {},
        },
      ),
    );
  return [`the token endpoint answers ${status} ${error}${number === undefined ? "" : ` with AADSTS${number}`}`, meet];
}

/** The browser ends on this address, and the token endpoint answers so. */
function landing(
  address: (state: string) => string,
  answer: Answer = {},
  more: { v1?: boolean; credential?: AppCredential } = {},
): Promise<Raised> {
  const flow = beginCodeFlow(
    { http: answering(answer), clock: quickClock() },
    {
      stanza: stanzaWith(),
      credential: more.credential ?? secret,
      redirectUri: REDIRECT,
      ...(more.v1 ? { v1: { resource: "https://graph.windows.net" } } : {}),
    },
  );
  return thrownBy(() => flow.complete(address(flow.state)));
}
const withCode = (state: string): string => `${REDIRECT}?code=c0de&state=${state}`;

function consent(query: (state: string) => string): Promise<Raised> {
  const stanza = stanzaWith();
  const { state } = consentLink(stanza, APP, REDIRECT);
  return thrownBy(() => readConsent(`${REDIRECT}?${query(state)}`, stanza, APP));
}

async function certificate(fromMs: number, use: (pem: string) => string = (pem) => pem): Promise<Raised> {
  const made = await makeAppCertificate({ fromMs, days: 10 });
  const pem = use(made.certificatePem + made.keyPem);
  return thrownBy(() =>
    checkCredential({ kind: "certificate", clientId: APP, path: "app.pem" }, () => Promise.resolve(pem), NOW_MS),
  );
}

const assertionToken = (more: object = {}): string =>
  token({ iss: "https://oidc.example", sub: "collector", aud: "api://AzureADTokenExchange", exp: 4e9, ...more });

/** The file of `assertion` holds this text. */
function presented(text: string): Promise<Raised> {
  const world = { http: answering({}), clock: quickClock(), readTokenFile: () => Promise.resolve(text) };
  return thrownBy(() => new Assertions(world).current(assertionCredential(APP, "file:/token", "commercial")));
}

/** Azure's managed identity endpoint answers so. */
function identified(answer: Answer): Promise<Raised> {
  const world = { http: answering(answer), clock: quickClock(), environment: {} };
  return thrownBy(() =>
    new Assertions(world).current(assertionCredential(APP, `managed-identity:${OTHER_TENANT}`, "commercial")),
  );
}

const plan: RegistrationPlan = {
  purpose: "reader",
  sources: [],
  name: "collector",
  cloud: "commercial",
  streams: ["alerts"],
  auth: "app",
  proof: "secret",
  deviceCode: false,
  redirectUris: [REDIRECT],
};
function registering(answer: Answer, purpose: RegistrationPlan["purpose"] = "reader"): Promise<Raised> {
  const where = { endpoints: CLOUDS.commercial, route: {} };
  const wanted = { ...plan, purpose };
  return thrownBy(() =>
    applyRegistration({ http: answering(answer), clock: quickClock() }, wanted, sealed("token"), where),
  );
}

/** `partner consent` at one customer, where Microsoft answers so; its other answers are what is hoped for. */
async function bridging(
  answers: { readonly consents?: Answer; readonly removal?: Answer; readonly token?: Answer; readonly graph?: Answer },
  missing: readonly string[] = ["SecurityAlert.Read.All"],
): Promise<Raised> {
  const answerTo = ({ method, url }: HttpRequest): Answer => {
    if (url.includes("/applicationconsents")) return answers[method === "DELETE" ? "removal" : "consents"] ?? {};
    if (url.includes("/oauth2/")) return answers.token ?? { body: { access_token: "user", expires_in: 3600 } };
    return answers.graph ?? { body: { id: TENANT, appRoles: [{ value: "SecurityAlert.Read.All", id: ALERT_ROLE }] } };
  };
  const stanza = stanzaWith({ client_secret: "s3cret", streams: "alerts" });
  const outcomes = await createPartnerConsent({
    http: answering(answerTo),
    clock: quickClock(),
    random: FakeRandom.always(),
    missing: () => Promise.resolve(missing),
  }).grant({
    session: {
      home: stanza,
      bridge: secret,
      signedIn: {
        refreshToken: sealed("refresh"),
        accessToken: sealed("access"),
        account: undefined,
        tenantId: TENANT,
        scopes: [],
        accessLifetimeMs: DAY_MS,
        warnings: [],
      },
    },
    journal: {
      path: "journal",
      unreadable: 0,
      openGrants: () => [],
      append: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    customers: [stanza],
    keepBridge: false,
    stop: new AbortController().signal,
    progress: () => undefined,
  });
  const failure = outcomes[0]?.failure;
  if (failure === undefined) throw new Error("nothing failed");
  return failure;
}

/** One check of `doctor`, where Microsoft answers so. */
function doctor(name: string, http: Http, stanza: Stanza): Promise<Raised> {
  const service = createSignInService({
    http,
    clock: quickClock(),
    readText: () => Promise.reject(new Error("no file")),
    keep: () => Promise.resolve(),
    probe: () => Promise.resolve(),
    viaProxy: () => false,
  });
  return thrownBy(async () => {
    for (const check of service.doctorChecks(stanza)) {
      await check.run(new AbortController().signal);
      if (check.name === name) return;
    }
  });
}
const tenantFacts = {
  issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`,
  tenant_region_scope: "EU",
  cloud_instance_name: "microsoftonline.com",
};

export const SIGN_IN: Causes = {
  "admin-consent-needed": refusedWith("invalid_grant", 90094),
  "api-not-in-tenant": refusedWith("invalid_resource", 500011),
  "app-disabled": refusedWith("unauthorized_client", 7000112),
  "app-not-allowed": refusedWith("unauthorized_client"),
  "app-not-found": refusedWith("unauthorized_client", 700016),
  "app-single-tenant": refusedWith("invalid_request", 50194),
  "audience-wrong": refusedWith("invalid_resource", 50001),
  "authorization-pending": refusedWith("authorization_pending"),
  "blocked-by-policy": refusedWith("invalid_grant", 53003),
  "certificate-wrong": refusedWith("invalid_client", 700027),
  "client-is-public": refusedWith("invalid_client", 700025),
  "code-expired": [
    "the token endpoint answers AADSTS70008 to a sign-in code",
    () => landing(withCode, { status: 400, body: { error: "invalid_grant", error_codes: [70008] } }),
  ],
  "code-unknown": [
    "the token endpoint answers AADSTS70000 to a sign-in code",
    () => landing(withCode, { status: 400, body: { error: "invalid_grant", error_codes: [70000] } }),
  ],
  "code-used": refusedWith("invalid_grant", 54005),
  "consent-declined": refusedWith("access_denied", 65004),
  "consent-missing": refusedWith("invalid_grant", 65001),
  "credential-refused": refusedWith("invalid_client", undefined, 401),
  "device-not-compliant": refusedWith("interaction_required", 53000),
  "entra-busy": refusedWith("temporarily_unavailable", 90033, 503),
  "external-challenge": refusedWith("interaction_required", 50158),
  "federation-wrong": refusedWith("invalid_client", 700213, 401),
  "interaction-required": refusedWith("interaction_required"),
  "loop-detected": refusedWith("invalid_grant", 50196),
  "mfa-needed": refusedWith("interaction_required", 50076),
  "mssp-risk": refusedWith("invalid_grant", 530034),
  "partner-access-missing": refusedWith("unauthorized_client", 90099),
  "password-expired": refusedWith("invalid_grant", 50055),
  "permission-not-registered": refusedWith("invalid_resource", 650057),
  "redirect-mismatch": refusedWith("invalid_request", 50011),
  "redirect-type-spa": refusedWith("invalid_grant", 700084),
  "request-malformed": refusedWith("invalid_request", 900144),
  "request-refused": refusedWith("invalid_request"),
  "resource-sent-to-v2": refusedWith("invalid_request", 901002),
  "scope-wrong": refusedWith("invalid_scope", 70011),
  "secret-expired": refusedWith("invalid_client", 7000222, 401),
  "secret-wrong": refusedWith("invalid_client", 7000215, 401),
  "sign-in-frequency": refusedWith("invalid_grant", 70043),
  "sign-in-refused": refusedWith("something_new"),
  "signed-out": refusedWith("invalid_grant", 700082),
  "tenant-gone": refusedWith("interaction_required", 5000224),
  "tenant-not-found": refusedWith("invalid_request", 90002),
  "tenant-restricted": refusedWith("access_denied", 500212),
  "user-at-risk": refusedWith("interaction_required", 53011),
  "user-disabled": refusedWith("invalid_grant", 50057),
  "user-not-assigned": refusedWith("invalid_grant", 50105),
  "user-unknown": refusedWith("invalid_grant", 50034),
  "wrong-cloud": refusedWith("invalid_request", 90038),

  "assertion-expired": [
    "the platform's token ended an hour ago",
    () => presented(assertionToken({ exp: NOW_MS / 1000 - 3600 })),
  ],
  "assertion-unusable": ["the platform's token file is cut off", () => presented(assertionToken().slice(0, 40))],
  "identity-refused": [
    "no such managed identity is assigned to this machine",
    () => identified({ status: 400, body: { error: "invalid_request" } }),
  ],
  "identity-unavailable": ["Azure's managed identity endpoint answers 429", () => identified({ status: 429 })],
  "certificate-expired": ["the app's certificate ended yesterday", () => certificate(NOW_MS - 11 * DAY_MS)],
  "certificate-not-yet-valid": ["the app's certificate begins tomorrow", () => certificate(NOW_MS + DAY_MS)],
  "certificate-unusable": [
    "the app's PEM file has lost its key",
    () => certificate(NOW_MS, (pem) => pem.slice(0, pem.indexOf("-----BEGIN PRIVATE"))),
  ],
  "clock-wrong": [
    "Microsoft's answers carry a time six minutes away from this machine's",
    () =>
      doctor(
        "clock",
        answering({ headers: { date: new Date(NOW_MS + 6 * 60_000).toUTCString() } }),
        stanzaWith({ client_secret: "s" }),
      ),
  ],
  "consent-other-link": [
    "the answer carries another link's state",
    () => consent(() => `admin_consent=True&tenant=${TENANT}&state=x.y`),
  ],
  "consent-other-tenant": [
    "another tenant consents through the customer's link",
    () => consent((state) => `admin_consent=True&tenant=${OTHER_TENANT}&state=${state}`),
  ],
  "consent-unreadable": [
    "the answer does not say that the consent was given",
    () => consent((state) => `state=${state}`),
  ],
  "credential-expiring": [
    "the app's client secret ends in 20 days",
    () => {
      const [warning] = credentialWarnings({ tenantName: "contoso", secretEndsMs: NOW_MS + 20 * DAY_MS }, NOW_MS);
      if (!warning) throw new Error("no warning");
      return warning.failure;
    },
  ],
  "credential-missing": [
    "an app without client secret and certificate is to sign in",
    () => doctor("credential", answering({ body: tenantFacts }), stanzaWith({ auth: "app" })),
  ],
  "endpoint-changed": [
    "login_url changed since the refresh token was stored",
    async () => {
      const files = new SecretFiles(mkdtempSync(join(tmpdir(), "codes-")), { ports: diskPorts(), log: silent });
      const vault = (loginUrl: string): FileTokenVault => {
        const { tenantId, name, endpoints, route } = stanzaWith({ login_url: loginUrl });
        const fingerprint = presentFingerprint({ endpoints, route });
        return new FileTokenVault({
          files,
          tenantId: tenantId as never,
          stanza: name,
          fingerprint,
          nowMs: () => NOW_MS,
        });
      };
      await vault("https://login.microsoftonline.com").store(sealed("refresh"), { refused: false });
      return thrownBy(() => vault("https://login.example.test").current());
    },
  ],
  "graph-forbidden": ["Microsoft Graph answers 403 to register --apply", () => registering({ status: 403 })],
  "graph-refused": ["Microsoft Graph answers 500 to register --apply", () => registering({ status: 500 })],
  "graph-token-refused": ["Microsoft Graph answers 401 to register --apply", () => registering({ status: 401 })],
  "not-signed-in": [
    "a customer with auth = refresh_token has no refresh token",
    () => {
      const files = new SecretFiles(mkdtempSync(join(tmpdir(), "codes-")), { ports: diskPorts(), log: silent });
      const parts = { files, tenantId: TENANT as never, stanza: "contoso", fingerprint: "", nowMs: () => NOW_MS };
      return thrownBy(() => new FileTokenVault(parts).current());
    },
  ],
  "other-tenant": [
    "the user signs in at another tenant",
    () =>
      landing(
        withCode,
        {
          body: {
            access_token: token({ tid: OTHER_TENANT }),
            refresh_token: "r",
            id_token: token({ tid: OTHER_TENANT }),
          },
        },
        { v1: true },
      ),
  ],
  "bridge-consent-pending": [
    "the bridge's consent does not show within a minute",
    () => bridging({ token: { status: 400, body: { error: "invalid_grant", error_codes: [65001] } } }),
  ],
  "bridge-left": ["Partner Center refuses to remove the bridge", () => bridging({ removal: { status: 403 } })],
  "partner-customer-unknown": [
    "Partner Center does not know the customer",
    () => bridging({ consents: { status: 404 } }),
  ],
  "partner-mfa-missing": [
    "Partner Center refuses a sign-in without multi-factor authentication",
    () => bridging({ consents: { status: 401, body: { code: 900421 } } }),
  ],
  "partner-role-missing": ["Graph refuses to grant a permission", () => bridging({ graph: { status: 403 } })],
  "partner-step-refused": ["Partner Center goes on failing", () => bridging({ consents: { status: 503 } })],
  "roles-pending": ["no access token shows the permissions within five minutes", () => bridging({})],
  "permission-differs": [
    "an API offers the bridge's permissions under an id of its own",
    () => {
      const scopes = ["user_impersonation", "Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All"];
      return registering(
        { body: { appRoles: [], oauth2PermissionScopes: scopes.map((value) => ({ value, id: APP })) } },
        "bridge",
      );
    },
  ],
  "permission-unknown": [
    "the API in the provider's tenant lists no permission",
    () => registering({ body: { appRoles: [], oauth2PermissionScopes: [] } }),
  ],
  "permissions-unneeded": [
    "a token holds a permission that no stream needs",
    async () => {
      const facts = { readFact: () => Promise.resolve(undefined), writeFact: () => Promise.resolve() };
      const history = await PermissionHistory.open({ clock: quickClock(), log: silent, facts });
      const held = ["SecurityAlert.Read.All", "Directory.Read.All"];
      history.granted("contoso", "graph", { kind: "app", held });
      const [news] = history.customer("contoso", "contoso", ["alerts"]).news();
      if (!news) throw new Error("no news");
      return news;
    },
  ],
  "port-taken": [
    "another program listens on the redirect URI's port",
    async () => {
      const other = createServer().listen(0, "127.0.0.1");
      await once(other, "listening");
      const { port } = other.address() as AddressInfo;
      try {
        return await thrownBy(() =>
          listenOnLoopback(`http://127.0.0.1:${port}/`, "state", () => new Promise(() => {}), NOW_MS),
        );
      } finally {
        other.close();
      }
    },
  ],
  "public-client-off": [
    "the token endpoint wants a client secret in the device code flow",
    async () => {
      const begun = {
        body: { device_code: "d", user_code: "u", verification_uri: "https://microsoft.com/devicelogin" },
      };
      const http = answering(begun, { status: 401, body: { error: "invalid_client", error_codes: [7000218] } });
      const flow = await beginDeviceFlow({ http, clock: quickClock() }, stanzaWith(), APP);
      return thrownBy(() => flow.complete());
    },
  ],
  "redirect-other": [
    "another page's address is pasted",
    () => landing((state) => `https://example.test/?code=c&state=${state}`),
  ],
  "redirect-other-sign-in": ["the address carries another sign-in's state", () => landing(() => withCode("other"))],
  "redirect-unreadable": ["what is pasted is not an address", () => landing(() => "c0de")],
  "refresh-token-missing": [
    "the token endpoint sends no refresh token",
    () => landing(withCode, { body: { access_token: token({ tid: TENANT }) } }, { v1: true }),
  ],
  "secret-id-pasted": [
    "the client secret is a GUID",
    () =>
      thrownBy(() =>
        checkCredential(
          { kind: "secret", clientId: APP, secret: sealed(OTHER_TENANT) },
          () => Promise.resolve(""),
          NOW_MS,
        ),
      ),
  ],
  "sign-in-timed-out": [
    "five minutes pass without the browser's return",
    async () => {
      const port = await freePort();
      const listener = await listenOnLoopback(`http://127.0.0.1:${port}/`, "state", () => Promise.resolve(), NOW_MS);
      return thrownBy(() => listener.landed);
    },
  ],
  "token-unfit": [
    "Microsoft gives a token for another tenant",
    () => {
      const claims = {
        aud: "https://graph.microsoft.com",
        tid: OTHER_TENANT,
        appid: APP,
        exp: NOW_MS / 1000 + 3600,
        roles: ["SecurityAlert.Read.All"],
      };
      const tokenAnswer = { body: { token_type: "Bearer", expires_in: 3600, access_token: token(claims) } };
      const http = answering((request) => (request.method === "POST" ? tokenAnswer : { body: tenantFacts }));
      return doctor("consent graph", http, stanzaWith({ client_secret: "s", auth: "app", streams: "alerts" }));
    },
  ],
  "v1-needs-key": [
    "the v1 sign-in is used with a certificate",
    () => landing(withCode, {}, { v1: true, credential: { kind: "certificate", clientId: APP, path: "app.pem" } }),
  ],
};
