import { sendJson } from "./answers.ts";
import { type WorkloadIdentity, workloadToken } from "./entra/federation.ts";
import type { TokenShop } from "./entra/tokens.ts";
import type { Exchange } from "./exchange.ts";
import { struckFault } from "./fault-answer.ts";
import type { World } from "./world.ts";

const AUDIENCES = /^api:\/\/AzureADTokenExchange(USGov|China)?$/;
const LIMITS = { perSecond: 20 };

/**
 * The token endpoint of Azure's instance metadata service, plain http on the machine itself. Source: Azure
 * docs, "How to use managed identities on a virtual machine to acquire an access token" (its table of errors;
 * 20 requests a second) and "Instance Metadata Service" (`Metadata: true`, and no `X-Forwarded-For`).
 */
export function answerImds(exchange: Exchange, world: World, tokens: TokenShop): void {
  const { request, url, nowMs } = exchange;
  const query = url.searchParams;
  if (url.pathname !== "/metadata/identity/oauth2/token") return refuse(exchange, 404, "not_found", "Not found");
  if (request.method !== "GET") return refuse(exchange, 405, "method_not_allowed", "Only GET is supported");
  // Both keep requests away that somebody made this machine send: no browser and no proxy sets the one alone.
  if (request.headers["x-forwarded-for"] !== undefined)
    return refuse(exchange, 400, "bad_request", "The header X-Forwarded-For is not allowed");
  if (request.headers["metadata"] !== "true")
    return refuse(exchange, 400, "bad_request_102", "Required metadata header not specified");
  if (!/^20\d\d-\d\d-\d\d$/.test(query.get("api-version") ?? ""))
    return refuse(
      exchange,
      400,
      "invalid_request",
      "Required query variable 'api-version' is missing or not supported",
    );
  const resource = query.get("resource");
  if (resource === null || resource === "")
    return refuse(exchange, 400, "invalid_request", "Required query variable 'resource' is missing");
  if (!AUDIENCES.test(resource))
    return refuse(
      exchange,
      400,
      "invalid_resource",
      `AADSTS500011: The resource principal named ${resource} was not found in the tenant.`,
    );
  const identity = identityFor(world, query.get("client_id"));
  if (typeof identity === "string") return refuse(exchange, 400, "invalid_request", identity);
  if (struck(exchange, world, identity)) return;
  if (world.imdsBudget.tryConsume(nowMs, LIMITS) > 0)
    return refuse(exchange, 429, "too_many_requests", "Too many requests");
  const nowS = Math.floor(nowMs / 1000);
  // All numbers are texts here.
  sendJson(exchange, 200, {
    access_token: workloadToken(identity, tokens, nowMs, { audience: resource }),
    client_id: identity.clientId,
    expires_in: String(identity.lifetimeS),
    expires_on: String(nowS + identity.lifetimeS),
    ext_expires_in: String(identity.lifetimeS),
    not_before: String(nowS),
    resource,
    token_type: "Bearer",
  });
}

function refuse(
  exchange: Exchange,
  status: number,
  error: string,
  text: string,
  headers: Record<string, string> = {},
): void {
  sendJson(exchange, status, { error, error_description: text }, headers);
}

/** The identity that is meant, or what is wrong with the request. */
function identityFor(world: World, clientId: string | null): WorkloadIdentity | string {
  const assigned = world.identities.filter((one) => one.kind === "managed" && one.assigned);
  if (clientId !== null) return assigned.find((one) => one.clientId === clientId) ?? "Identity not found";
  const [first, second] = assigned;
  if (second !== undefined)
    return "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request";
  return first ?? "Identity not found";
}

/** Lets a fault strike; true when it answered. */
function struck(exchange: Exchange, world: World, { name }: WorkloadIdentity): boolean {
  const fault = struckFault(exchange, world, "imds", name);
  if (fault?.status === undefined) return false;
  refuse(exchange, fault.status, fault.code ?? "unknown", fault.message ?? "The request failed.", fault.headers);
  return true;
}
