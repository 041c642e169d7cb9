import { createHash } from "node:crypto";
import type { Exchange } from "../exchange.ts";
import { sendJson, sendText } from "../exchange.ts";
import { guid, readRefreshToken, refreshToken, SHARED_APP } from "../identity.ts";
import type { ApiName } from "../streams.ts";
import type { Customer, World } from "../world.ts";
import { sendEntraError } from "./errors.ts";
import { apiOf, PERMISSIONS, readScope } from "./resources.ts";
import type { Grant, TokenShop } from "./tokens.ts";

/** Entra: everything under `login_url`. Returns false for a path that is not Entra's. */
export interface Entra {
  answer(exchange: Exchange, path: string): Promise<boolean>;
}

interface Code {
  readonly customer: Customer;
  readonly clientId: string;
  readonly redirectUri: string;
  readonly challenge: string | undefined;
  readonly method: string;
  readonly scope: string;
  readonly nonce: string | undefined;
  readonly issuedMs: number;
  used: boolean;
}

const CODE_LIFETIME_MS = 10 * 60_000;
const NO_STORE = { "cache-control": "no-store, no-cache", pragma: "no-cache" };

/** What one token request resolved to: the app, the API, and whose token it is. */
interface Resolved {
  readonly customer: Customer;
  readonly clientId: string;
  readonly api: ApiName;
  readonly resource: string;
  readonly scope: string;
}

type Form = (name: string) => string | undefined;

/** An AADSTS number with the values its text wants. */
interface Refusal {
  readonly number: number;
  readonly values?: Readonly<Record<string, string>>;
}

export function makeEntra(world: World, tokens: TokenShop): Entra {
  const codes = new Map<string, Code>();
  let codeCount = 0;

  async function answer(exchange: Exchange, path: string): Promise<boolean> {
    if (path === "/common/discovery/instance") {
      const { host } = new URL(exchange.origin);
      sendJson(exchange, 200, {
        tenant_discovery_endpoint: `${exchange.origin}/common/v2.0/.well-known/openid-configuration`,
        "api-version": "1.1",
        metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
      });
      return true;
    }
    const match = /^\/([^/]+)\/(.+)$/.exec(path);
    if (match === null) return false;
    const [, tenant = "", rest = ""] = match;
    const known = ROUTES[rest];
    if (known === undefined) return false;
    await known(exchange, tenant, world.customerAt(tenant));
    return true;
  }

  const ROUTES: Readonly<Record<string, (exchange: Exchange, tenant: string, customer: Customer | undefined) => Promise<void> | void>> = {
    "v2.0/.well-known/openid-configuration": (exchange, tenant, customer) => discovery(exchange, tenant, customer, true),
    ".well-known/openid-configuration": (exchange, tenant, customer) => discovery(exchange, tenant, customer, false),
    "discovery/v2.0/keys": (exchange) => sendJson(exchange, 200, { keys: tokens.keys() }),
    "discovery/keys": (exchange) => sendJson(exchange, 200, { keys: tokens.keys() }),
    "oauth2/v2.0/authorize": (exchange, tenant, customer) => authorize(exchange, tenant, customer),
    "oauth2/authorize": (exchange, tenant, customer) => authorize(exchange, tenant, customer),
    "oauth2/v2.0/token": (exchange, tenant, customer) => token(exchange, tenant, customer, true),
    "oauth2/token": (exchange, tenant, customer) => token(exchange, tenant, customer, false),
  };

  const isShared = (tenant: string): boolean => ["common", "organizations"].includes(tenant);

  function discovery(exchange: Exchange, tenant: string, customer: Customer | undefined, v2: boolean): void {
    if (customer === undefined && !isShared(tenant)) {
      sendEntraError(exchange, 90002, { tenant });
      return;
    }
    const id = customer?.identity.tenantId ?? "{tenantid}";
    const base = `${exchange.origin}/${customer?.identity.tenantId ?? tenant}`;
    sendJson(exchange, 200, {
      token_endpoint: `${base}/oauth2/${v2 ? "v2.0/" : ""}token`,
      token_endpoint_auth_methods_supported: ["client_secret_post", "private_key_jwt", "client_secret_basic"],
      jwks_uri: `${base}/discovery/${v2 ? "v2.0/" : ""}keys`,
      response_modes_supported: ["query", "fragment", "form_post"],
      subject_types_supported: ["pairwise"],
      id_token_signing_alg_values_supported: ["RS256"],
      response_types_supported: ["code", "id_token", "code id_token", "id_token token"],
      scopes_supported: ["openid", "profile", "email", "offline_access"],
      issuer: v2 ? `${exchange.origin}/${id}/v2.0` : `https://sts.windows.net/${id}/`,
      request_uri_parameter_supported: false,
      userinfo_endpoint: "https://graph.microsoft.com/oidc/userinfo",
      authorization_endpoint: `${base}/oauth2/${v2 ? "v2.0/" : ""}authorize`,
      device_authorization_endpoint: `${base}/oauth2/${v2 ? "v2.0/" : ""}devicecode`,
      http_logout_supported: true,
      end_session_endpoint: `${base}/oauth2/v2.0/logout`,
      tenant_region_scope: customer === undefined ? null : "EU",
      cloud_instance_name: "microsoftonline.com",
      cloud_graph_host_name: "graph.windows.net",
      msgraph_host: "graph.microsoft.com",
      rbac_url: "https://pas.windows.net",
    });
  }

  /** Signs the user in without asking and sends the browser straight back with a code. */
  function authorize(exchange: Exchange, tenant: string, at: Customer | undefined): void {
    const query = exchange.url.searchParams;
    const redirect = query.get("redirect_uri");
    const clientId = query.get("client_id") ?? "";
    const customer = at ?? (isShared(tenant) ? ownerOf(clientId, query.get("login_hint")) : undefined);
    const problem = customer === undefined ? 90002 : redirect === null ? 900971 : appProblem(customer, clientId);
    if (problem !== undefined || customer === undefined || redirect === null) {
      sendText(exchange, 400, "text/html; charset=utf-8", `<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body>AADSTS${problem}: Sorry, but we're having trouble signing you in.</body></html>`);
      return;
    }
    codeCount += 1;
    const code = `1.A${createHash("sha512").update(`code ${codeCount} ${clientId}`).digest("base64url")}`;
    codes.set(code, {
      customer,
      clientId,
      redirectUri: redirect,
      challenge: query.get("code_challenge") ?? undefined,
      method: query.get("code_challenge_method") ?? "plain",
      scope: query.get("scope") ?? "",
      nonce: query.get("nonce") ?? undefined,
      issuedMs: exchange.nowMs,
      used: false,
    });
    const target = new URL(redirect);
    target.searchParams.set("code", code);
    const state = query.get("state");
    if (state !== null) target.searchParams.set("state", state);
    target.searchParams.set("session_state", guid("session", code));
    exchange.response.writeHead(302, { location: target.href, "content-length": "0", date: new Date(exchange.nowMs).toUTCString() });
    exchange.response.end();
  }

  function ownerOf(clientId: string, hint: string | null): Customer | undefined {
    for (const customer of world.customers.values()) {
      if (customer.identity.clientId === clientId || (hint !== null && hint.toLowerCase().endsWith(`@${customer.identity.domain}`))) return customer;
    }
    return clientId === SHARED_APP.clientId ? world.customers.values().next().value : undefined;
  }

  function appProblem(customer: Customer, clientId: string): number | undefined {
    if (clientId !== customer.identity.clientId && clientId !== SHARED_APP.clientId) return 700016;
    return customer.consent === "absent" ? 700016 : undefined;
  }

  async function token(exchange: Exchange, tenant: string, at: Customer | undefined, v2: boolean): Promise<void> {
    const { form, clientId, secret } = await readForm(exchange);
    const values = { tenant, client: clientId ?? "", resource: form("resource") ?? "", scope: form("scope") ?? "", grant: form("grant_type") ?? "", redirect: form("redirect_uri") ?? "" };
    const refuse = (refusal: Refusal): void => {
      if (at !== undefined) at.counters.tokenErrors += 1;
      sendEntraError(exchange, refusal.number, { ...values, ...refusal.values });
    };
    if (exchange.request.method !== "POST") return refuse({ number: 900144, values: { field: "grant_type" } });
    const grantType = form("grant_type");
    if (grantType === undefined) return refuse({ number: 900144, values: { field: "grant_type" } });
    if (clientId === undefined) return refuse({ number: 900144, values: { field: "client_id" } });
    const held = grantType === "refresh_token" ? readRefreshToken(form("refresh_token") ?? "") : undefined;
    const code = grantType === "authorization_code" ? codes.get(form("code") ?? "") : undefined;
    const customer = at ?? (isShared(tenant) ? (code?.customer ?? (held === undefined ? undefined : world.customers.get(held.name))) : undefined);
    if (customer === undefined) return refuse({ number: 90002 });
    customer.counters.tokenRequests += 1;
    const target = wanted(form, v2);
    if ("number" in target) return refuse(target);
    const client = clientProblem(customer, clientId, secret);
    if (client !== undefined) return refuse(client);
    const resolved: Resolved = { customer, clientId, ...target };
    if (grantType === "client_credentials") {
      if (v2 && !/^\S+\/\.default$/.test(form("scope") ?? "")) return refuse({ number: 70011 });
      return sendToken(exchange, v2, resolved, undefined);
    }
    if (grantType === "refresh_token") {
      if (form("refresh_token") === undefined) return refuse({ number: 900144, values: { field: "refresh_token" } });
      const name = held === undefined ? undefined : world.customers.get(held.name);
      if (held === undefined || name !== customer || held.clientId !== clientId) return refuse({ number: 70000 });
      if (customer.consent !== "granted") return refuse({ number: 65001 });
      return sendToken(exchange, v2, resolved, { generation: held.generation + 1, nonce: undefined, offline: true });
    }
    if (grantType === "authorization_code") {
      const problem = code === undefined ? { number: 70008 } : codeProblem(code, clientId, form, exchange.nowMs);
      if (problem !== undefined || code === undefined) return refuse(problem ?? { number: 70008 });
      code.used = true;
      const offline = !v2 || `${code.scope} ${form("scope") ?? ""}`.split(" ").includes("offline_access");
      const scoped = v2 && form("scope") === undefined ? wanted((name) => (name === "scope" ? code.scope : form(name)), v2) : target;
      if ("number" in scoped) return refuse(scoped);
      return sendToken(exchange, v2, { ...resolved, ...scoped }, { generation: 1, nonce: code.nonce, offline });
    }
    refuse({ number: 70003 });
  }

  function wanted(form: Form, v2: boolean): { api: ApiName; resource: string; scope: string } | Refusal {
    if (!v2) {
      const resource = form("resource") ?? "https://graph.windows.net";
      const api = apiOf(resource);
      return api === undefined ? { number: 50001, values: { resource } } : { api, resource, scope: "" };
    }
    if (form("resource") !== undefined) return { number: 901002 };
    const scope = form("scope") ?? "";
    const read = readScope(scope);
    if (!("wrong" in read)) return { api: read.api, resource: read.resource, scope };
    return read.wrong === "several" ? { number: 700022 } : { number: 500011, values: { resource: read.text } };
  }

  function clientProblem(customer: Customer, clientId: string, secret: string | undefined): Refusal | undefined {
    const problem = appProblem(customer, clientId);
    if (problem !== undefined) return { number: problem };
    if (secret === undefined) return { number: 7000218 };
    const right = clientId === SHARED_APP.clientId ? SHARED_APP.clientSecret : customer.identity.clientSecret;
    return secret === right ? undefined : { number: 7000215 };
  }

  function codeProblem(code: Code, clientId: string, form: Form, nowMs: number): Refusal | undefined {
    if (code.used) return { number: 54005 };
    if (nowMs - code.issuedMs > CODE_LIFETIME_MS || code.clientId !== clientId) return { number: 70008 };
    if (form("redirect_uri") !== code.redirectUri) return { number: 50011 };
    if (code.challenge === undefined) return undefined;
    const verifier = form("code_verifier") ?? "";
    const made = code.method === "S256" ? createHash("sha256").update(verifier).digest("base64url") : verifier;
    return made === code.challenge ? undefined : { number: 501481 };
  }

  function sendToken(exchange: Exchange, v2: boolean, wantedToken: Resolved, user: { generation: number; nonce: string | undefined; offline: boolean } | undefined): void {
    const { customer, clientId, api, resource } = wantedToken;
    const { identity } = customer;
    const nowS = Math.floor(exchange.nowMs / 1000);
    const lifeS = customer.accessTokenLifetimeS;
    const offered = user === undefined ? PERMISSIONS[api].roles : PERMISSIONS[api].scopes;
    const permissions = customer.consent === "granted" ? offered.filter((one) => customer.permissions.has(one) || one === "user_impersonation") : [];
    const grant: Grant = { customer, api, clientId, appOnly: user === undefined, permissions, expiresMs: exchange.nowMs + lifeS * 1000 };
    const accessToken = tokens.access(grant, {
      aud: resource,
      iss: `https://sts.windows.net/${identity.tenantId}/`,
      iat: nowS,
      nbf: nowS,
      exp: nowS + lifeS,
      app_displayname: "MSSP collector",
      appid: clientId,
      appidacr: "1",
      idp: `https://sts.windows.net/${identity.tenantId}/`,
      ...(user === undefined
        ? { idtyp: "app", oid: guid("service principal", identity.name), sub: guid("service principal", identity.name), ...(permissions.length > 0 ? { roles: permissions } : {}) }
        : { idtyp: "user", oid: identity.userId, sub: identity.userId, scp: permissions.join(" "), upn: identity.userName, unique_name: identity.userName }),
      tid: identity.tenantId,
      ver: "1.0",
    });
    customer.counters.tokensIssued += 1;
    const head = { token_type: "Bearer", expires_in: lifeS, ext_expires_in: lifeS, access_token: accessToken };
    const scope = permissions.map((one) => (api === "graph" ? one : `${resource}/${one}`)).join(" ");
    const forUser =
      user === undefined
        ? {}
        : {
            ...(user.offline ? { refresh_token: refreshToken({ name: identity.name, generation: user.generation, clientId }) } : {}),
            id_token: tokens.sign({
              aud: clientId,
              iss: v2 ? `${exchange.origin}/${identity.tenantId}/v2.0` : `https://sts.windows.net/${identity.tenantId}/`,
              iat: nowS,
              nbf: nowS,
              exp: nowS + lifeS,
              name: "MSSP Reader",
              ...(user.nonce === undefined ? {} : { nonce: user.nonce }),
              oid: identity.userId,
              preferred_username: identity.userName,
              sub: createHash("sha256").update(identity.userId + clientId).digest("base64url"),
              tid: identity.tenantId,
              ver: v2 ? "2.0" : "1.0",
            }),
            client_info: Buffer.from(JSON.stringify({ uid: identity.userId, utid: identity.tenantId })).toString("base64url"),
          };
    const body = v2
      ? { ...head, ...(user === undefined ? {} : { scope }), ...forUser }
      : // The v1 endpoint writes its numbers as strings.
        { token_type: "Bearer", ...(user === undefined ? {} : { scope }), expires_in: String(lifeS), ext_expires_in: String(lifeS), expires_on: String(nowS + lifeS), not_before: String(nowS), resource, access_token: accessToken, ...forUser };
    sendJson(exchange, 200, body, NO_STORE);
  }

  return { answer };
}

/** The form's fields, the client id, and the secret from the form or from HTTP Basic. */
async function readForm(exchange: Exchange): Promise<{ form: Form; clientId: string | undefined; secret: string | undefined }> {
  const fields = new URLSearchParams(await exchange.body());
  const form: Form = (name) => fields.get(name) || undefined;
  const basic = /^Basic (.+)$/i.exec(String(exchange.request.headers.authorization ?? ""))?.[1];
  const [id, secret] = basic === undefined ? [] : Buffer.from(basic, "base64").toString().split(":").map(decodeURIComponent);
  return { form, clientId: form("client_id") ?? id, secret: form("client_secret") ?? secret };
}
