import { createHash } from "node:crypto";
import { sendJson, sendText } from "../answers.ts";
import type { Cloud } from "../clouds.ts";
import type { Exchange } from "../exchange.ts";
import { guid, SHARED_APP } from "../identity.ts";
import { isBridge } from "../provider/provider.ts";
import type { Customer, World } from "../world.ts";
import { sendEntraError } from "./errors.ts";
import { appProblem, isShared, redirect } from "./requests.ts";
import { ALL_PERMISSIONS } from "./resources.ts";

/** A code handed out by the authorize page. */
export interface Code {
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

/** What a discovery document says of a tenant's cloud. Source: identity platform docs, "National clouds". */
const CLOUD_FACTS: Readonly<Record<Cloud, Readonly<Record<string, string>>>> = {
  commercial: {
    tenant_region_scope: "EU",
    cloud_instance_name: "microsoftonline.com",
    cloud_graph_host_name: "graph.windows.net",
    msgraph_host: "graph.microsoft.com",
  },
  gcc: {
    tenant_region_scope: "NA",
    tenant_region_sub_scope: "GCC",
    cloud_instance_name: "microsoftonline.com",
    cloud_graph_host_name: "graph.windows.net",
    msgraph_host: "graph.microsoft.com",
  },
  "gcc-high": {
    tenant_region_scope: "USGov",
    tenant_region_sub_scope: "DODCON",
    cloud_instance_name: "microsoftonline.us",
    cloud_graph_host_name: "graph.windows.net",
    msgraph_host: "graph.microsoft.us",
  },
  dod: {
    tenant_region_scope: "USGov",
    tenant_region_sub_scope: "DOD",
    cloud_instance_name: "microsoftonline.us",
    cloud_graph_host_name: "graph.windows.net",
    msgraph_host: "dod-graph.microsoft.us",
  },
};

/** The OpenID configuration of a tenant, or of `common` and `organizations`. */
export function answerDiscovery(exchange: Exchange, tenant: string, customer: Customer | undefined, v2: boolean): void {
  if (customer === undefined && !isShared(tenant)) {
    sendEntraError(exchange, 90002, { tenant });
    return;
  }
  const id = customer?.identity.tenantId ?? "{tenantid}";
  const base = `${exchange.origin}/${customer?.identity.tenantId ?? tenant}`;
  const version = v2 ? "v2.0/" : "";
  sendJson(exchange, 200, {
    token_endpoint: `${base}/oauth2/${version}token`,
    token_endpoint_auth_methods_supported: ["client_secret_post", "private_key_jwt", "client_secret_basic"],
    jwks_uri: `${base}/discovery/${version}keys`,
    response_modes_supported: ["query", "fragment", "form_post"],
    subject_types_supported: ["pairwise"],
    id_token_signing_alg_values_supported: ["RS256"],
    response_types_supported: ["code", "id_token", "code id_token", "id_token token"],
    scopes_supported: ["openid", "profile", "email", "offline_access"],
    issuer: v2 ? `${exchange.origin}/${id}/v2.0` : `https://sts.windows.net/${id}/`,
    request_uri_parameter_supported: false,
    userinfo_endpoint: "https://graph.microsoft.com/oidc/userinfo",
    authorization_endpoint: `${base}/oauth2/${version}authorize`,
    device_authorization_endpoint: `${base}/oauth2/${version}devicecode`,
    http_logout_supported: true,
    end_session_endpoint: `${base}/oauth2/v2.0/logout`,
    ...CLOUD_FACTS[customer?.cloud ?? "commercial"],
    ...(customer === undefined ? { tenant_region_scope: null } : {}),
    rbac_url: "https://pas.windows.net",
  });
}

/** MSAL asks here whether an authority is one of Microsoft's. */
export function answerInstance(exchange: Exchange): void {
  const { host } = new URL(exchange.origin);
  sendJson(exchange, 200, {
    tenant_discovery_endpoint: `${exchange.origin}/common/v2.0/.well-known/openid-configuration`,
    "api-version": "1.1",
    metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
  });
}

/** The authorize page: signs the user in without asking and sends the browser straight back with a code. */
export function answerAuthorize(
  exchange: Exchange,
  tenant: string,
  at: Customer | undefined,
  world: World,
  codes: Map<string, Code>,
): void {
  const query = exchange.url.searchParams;
  const back = query.get("redirect_uri");
  const clientId = query.get("client_id") ?? "";
  const customer = at ?? (isShared(tenant) ? customerOf(world, clientId, query.get("login_hint")) : undefined);
  const problem = customer === undefined ? 90002 : back === null ? 900971 : appProblem(world, customer, clientId);
  if (problem !== undefined || customer === undefined || back === null) {
    sendErrorPage(exchange, problem ?? 900144);
    return;
  }
  const code = `1.A${createHash("sha512").update(`code ${codes.size} ${clientId}`).digest("base64url")}`;
  codes.set(code, {
    customer,
    clientId,
    redirectUri: back,
    challenge: query.get("code_challenge") ?? undefined,
    method: query.get("code_challenge_method") ?? "plain",
    scope: query.get("scope") ?? "",
    nonce: query.get("nonce") ?? undefined,
    issuedMs: exchange.nowMs,
    used: false,
  });
  redirect(exchange, back, { code, state: query.get("state"), session_state: guid("session", code) });
}

function customerOf(world: World, clientId: string, hint: string | null): Customer | undefined {
  for (const customer of world.customers.values()) {
    if (
      customer.identity.clientId === clientId ||
      hint?.toLowerCase().endsWith(`@${customer.identity.domain}`) === true
    )
      return customer;
  }
  if (world.provider !== undefined && isBridge(world, clientId)) return world.provider.home;
  return clientId === SHARED_APP.clientId ? world.customers.values().next().value : undefined;
}

/**
 * The consent page, answered as the customer's administrator would (`POST /customers/<name>/consent` on the
 * control API says how).
 */
export function answerConsent(
  exchange: Exchange,
  tenant: string,
  at: Customer | undefined,
  v2: boolean,
  world: World,
): void {
  const query = exchange.url.searchParams;
  const back = query.get("redirect_uri");
  // Whoever opens the link for all tenants gives the consent for the tenant of that account.
  const hint = query.get("login_hint");
  const isForAll = tenant === "organizations" && hint !== null;
  const customer = at ?? (isForAll ? customerOf(world, "", hint) : undefined);
  if (customer === undefined) {
    sendErrorPage(exchange, v2 && tenant === "common" ? 900144 : 90002);
    return;
  }
  if (back === null) {
    sendErrorPage(exchange, 900971);
    return;
  }
  const clientId = query.get("client_id") ?? "";
  const registered = world.directory.find(clientId);
  if (clientId !== customer.identity.clientId && clientId !== SHARED_APP.clientId && registered === undefined) {
    sendErrorPage(exchange, 700016);
    return;
  }
  const web = registered?.manifest["web"] as { readonly redirectUris?: readonly string[] } | undefined;
  if (web?.redirectUris !== undefined && !web.redirectUris.includes(back)) {
    sendErrorPage(exchange, 50011);
    return;
  }
  const state = query.get("state");
  if (customer.credentials.consentAnswer === "decline") {
    redirect(exchange, back, {
      error: "access_denied",
      error_description: "AADSTS65004: User declined to consent to access the app.",
      state,
    });
    return;
  }
  customer.consentTo(clientId);
  for (const permission of [...ALL_PERMISSIONS, ...(registered?.permissions ?? [])])
    customer.permissions.add(permission);
  redirect(exchange, back, {
    admin_consent: "True",
    tenant: customer.identity.tenantId,
    state,
    ...(v2 ? { scope: query.get("scope") } : {}),
  });
}

function sendErrorPage(exchange: Exchange, number: number): void {
  sendText(
    exchange,
    400,
    "text/html; charset=utf-8",
    `<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body>AADSTS${number}: Sorry, but we're having trouble signing you in.</body></html>`,
  );
}
