import { sendJson, sendText } from "../answers.ts";
import { bodyOf } from "../entra/directory.ts";
import { principalIn } from "../entra/principals.ts";
import { isKnownApp } from "../entra/requests.ts";
import { API_APP_IDS, PERMISSIONS } from "../entra/resources.ts";
import type { Grant, TokenShop } from "../entra/tokens.ts";
import type { Exchange } from "../exchange.ts";
import { retryAfter, struckFault } from "../fault-answer.ts";
import type { Customer, World } from "../world.ts";
import { noteRequest } from "./journal.ts";
import { drawn, type Provider, rolesAt } from "./provider.ts";
import { MAY_CONSENT } from "./roles.ts";

const PATH = /^\/v1\/customers\/([^/]+)\/applicationconsents(?:\/([^/]+))?$/;

export const isPartnerCenter = (path: string): boolean => path.startsWith("/v1/customers/");

/**
 * Partner Center's consent of apps in a customer's tenant. Sources: Partner Center docs, "Control panel
 * vendor APIs", "Partner Center REST error codes", "Partner security requirements" (900421); CIPP-API for the
 * answers. Codes other than 900421 are made up: the documents name none.
 */
export async function answerPartnerCenter(
  exchange: Exchange,
  world: World,
  provider: Provider,
  tokens: TokenShop,
): Promise<void> {
  const [, tenant = "", appId] = PATH.exec(exchange.url.pathname) ?? [];
  const grant = grantOf(exchange, tokens);
  if (grant === undefined) return refuse(exchange, 401, "401", "Unauthorized - the access token is not valid.");
  const customer = world.customerAt(tenant);
  noteRequest(exchange, world, grant.clientId, customer ?? provider.home);
  if (exchange.request.headers["validatemfa"] === "true")
    exchange.response.setHeader("isMfaCompliant", String(grant.hasMfa === true));
  if (struck(exchange, world, customer ?? provider.home)) return;
  if (grant.appOnly) return refuse(exchange, 403, "403", "Forbidden - the call requires app+user authentication.");
  if (grant.hasMfa !== true) return refuse(exchange, 401, "900421", "Unauthorized - MFA required");
  const { partnerCenterBudget, requestsPerSecond: perSecond } = provider;
  const waitMs = partnerCenterBudget.tryConsume(exchange.nowMs, { perSecond });
  if (waitMs > 0)
    return refuse(exchange, 429, "429", "Too many requests.", { "retry-after": retryAfter(Math.ceil(waitMs / 1000)) });
  if (!provider.user.groups.includes("AdminAgents"))
    return refuse(exchange, 403, "403", "Forbidden - the user is not an admin agent.");
  if (customer === undefined || !provider.relationships.some((one) => one.customer === customer && one.kind === "gdap"))
    return refuse(exchange, 404, "404", "The customer was not found.");
  const held = rolesAt(provider, customer, exchange.nowMs);
  if (!MAY_CONSENT.some((role) => held.includes(role)))
    return refuse(exchange, 403, "403", "Forbidden - the user has no role that may consent in the customer's tenant.");
  const { method } = exchange.request;
  if (method === "POST" && appId === undefined) return consent(exchange, world, provider, customer);
  if (method === "DELETE" && appId !== undefined) return remove(exchange, customer, appId);
  refuse(exchange, 405, "405", "The method is not allowed.");
}

/** Partner Center's own form of an error. */
function refuse(
  exchange: Exchange,
  status: number,
  code: string,
  description: string,
  headers: Record<string, string> = {},
): void {
  sendJson(exchange, status, { code, description, data: [], source: "PartnerFD" }, headers);
}

function grantOf(exchange: Exchange, tokens: TokenShop): Grant | undefined {
  const bearer = /^Bearer\s+(\S+)$/i.exec(exchange.request.headers.authorization ?? "")?.[1];
  const grant = bearer === undefined ? undefined : tokens.find(bearer);
  return grant?.api === "partner" && grant.expiresMs > exchange.nowMs ? grant : undefined;
}

/** Lets a fault strike; true when it answered. */
function struck(exchange: Exchange, world: World, customer: Customer): boolean {
  const fault = struckFault(exchange, world, "partner-center", customer.identity.name);
  if (fault?.status === undefined) return false;
  const { status, code = String(status), message = "The request failed.", headers } = fault;
  refuse(exchange, status, code, message, headers);
  return true;
}

interface Wanted {
  readonly enterpriseApplicationId?: unknown;
  readonly scope?: unknown;
}

async function consent(exchange: Exchange, world: World, provider: Provider, customer: Customer): Promise<void> {
  const body = bodyOf(await exchange.body());
  const { applicationId, displayName, applicationGrants } = body;
  const grants = Array.isArray(applicationGrants) ? (applicationGrants as Wanted[]) : [];
  if (typeof applicationId !== "string" || !isKnownApp(world, applicationId))
    return refuse(exchange, 400, "400", "The application was not found.");
  const scopes = grants.flatMap(scopesOf);
  if (scopes.length === 0 || scopes.includes(undefined))
    return refuse(exchange, 400, "400", "The application grants name no delegated permission, or an unknown one.");
  const principal = principalIn(customer, applicationId);
  if (principal.delegated !== undefined) return refuse(exchange, 400, "400", "Permission entry already exists.");
  const delayMs = drawn(provider.consentDelay, customer.identity.name, String(exchange.nowMs));
  principal.delegated = {
    scopes: scopes.filter((scope) => scope !== undefined),
    showsMs: exchange.nowMs + delayMs,
  };
  sendJson(exchange, 201, { applicationId, displayName, applicationGrants });
}

/** Application permissions cannot be given here: undefined stands for what is none of the API's scopes. */
function scopesOf({ enterpriseApplicationId, scope }: Wanted): (string | undefined)[] {
  const api = API_APP_IDS[String(enterpriseApplicationId)];
  if (api === undefined || typeof scope !== "string") return [undefined];
  const known = PERMISSIONS[api].scopes;
  return scope.split(",").map((name) => known.find((one) => one.toLowerCase() === name.trim().toLowerCase()));
}

/** Takes the app's service principal out of the tenant, with all that it had there. */
function remove(exchange: Exchange, customer: Customer, appId: string): void {
  if (customer.servicePrincipals.get(appId)?.delegated === undefined)
    return refuse(exchange, 404, "404", "The application consent was not found.");
  customer.servicePrincipals.delete(appId);
  sendText(exchange, 204, "application/json", "");
}
