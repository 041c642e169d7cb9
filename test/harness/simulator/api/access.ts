import { BUDGETS, type BudgetName } from "../budgets.ts";
import { hostOf } from "../clouds.ts";
import { apiOf } from "../entra/resources.ts";
import type { Grant, TokenShop } from "../entra/tokens.ts";
import type { Exchange } from "../exchange.ts";
import { retryAfter, struckFault } from "../fault-answer.ts";
import type { FaultTarget } from "../faults.ts";
import { noteRequest } from "../provider/journal.ts";
import type { ApiName } from "../streams.ts";
import type { Customer, World } from "../world.ts";
import type { Rights, Voice } from "./voice.ts";

/** What a request needs to be admitted to an API. */
export interface Access {
  readonly api: ApiName;
  readonly budget: BudgetName;
  readonly target: FaultTarget;
  readonly rights: Rights;
  readonly voice: Voice;
  /** The HTTP methods that are allowed; default: GET. */
  readonly methods?: readonly string[];
}

/** As admitGrant, where only the tenant matters. */
export const admit = (exchange: Exchange, access: Access, world: World, tokens: TokenShop): Customer | undefined =>
  admitGrant(exchange, access, world, tokens)?.customer;

/**
 * Checks token, rights, budget and faults, in that order. Returns what the token opens, or undefined when it
 * answered the request itself. A fault that only damages the answer stays on the exchange.
 */
export function admitGrant(exchange: Exchange, access: Access, world: World, tokens: TokenShop): Grant | undefined {
  const { voice } = access;
  const grant = grantOf(exchange, access, tokens);
  if (typeof grant === "string") {
    voice.unauthorized(exchange, grant);
    return undefined;
  }
  const { customer } = grant;
  noteRequest(exchange, world, grant.clientId, customer);
  const count = customer.counters.apis[access.api];
  count.requests += 1;
  count.longestPauseMs = Math.max(count.longestPauseMs, exchange.nowMs - (count.lastAtMs ?? exchange.nowMs));
  count.lastAtMs = exchange.nowMs;
  count.inFlight += 1;
  count.maxInFlight = Math.max(count.maxInFlight, count.inFlight);
  exchange.response.once("close", () => {
    count.inFlight -= 1;
    if (exchange.response.statusCode >= 400 && exchange.response.statusCode !== 429) count.failed += 1;
  });
  const { roles, scopes } = access.rights;
  const opening = grant.appOnly ? roles : scopes;
  if (opening.length > 0 && !opening.some((one) => grant.permissions.includes(one))) {
    voice.forbidden(exchange, grant, access.rights);
    return undefined;
  }
  const waitMs = customer
    .budget(grant.clientId, access.budget)
    .tryConsume(exchange.nowMs, customer.budgetLimits[access.budget] ?? BUDGETS[access.budget]);
  if (waitMs > 0) {
    count.throttled += 1;
    const seconds = Math.ceil(waitMs / 1000);
    const message =
      access.api === "graph" ? undefined : `API calls quota exceeded. Quota resets in ${seconds} seconds.`;
    voice.failed(exchange, 429, undefined, message, {
      "retry-after": retryAfter(seconds, customer.retryAfterForm, exchange.nowMs),
    });
    return undefined;
  }
  if (struck(exchange, access, customer, world)) return undefined;
  if (!(access.methods ?? ["GET"]).includes(exchange.request.method ?? "")) {
    voice.failed(exchange, 405, undefined, "Specified HTTP method is not allowed for the request target.");
    return undefined;
  }
  return grant;
}

function grantOf(
  exchange: Exchange,
  access: Access,
  tokens: TokenShop,
): Grant | "empty" | "malformed" | "expired" | "audience" {
  const bearer = /^Bearer\s+(\S+)$/i.exec(exchange.request.headers.authorization ?? "")?.[1];
  if (bearer === undefined) return "empty";
  const grant = tokens.find(bearer);
  if (grant === undefined) return bearer.split(".").length === 3 ? "expired" : "malformed";
  if (grant.expiresMs <= exchange.nowMs) return "expired";
  const host = hostOf(exchange.request.headers.host);
  const fits =
    grant.api === access.api &&
    (host === undefined || host.clouds.some((cloud) => apiOf(grant.resource, cloud) === access.api));
  return fits ? grant : "audience";
}

/** Lets a fault strike; true when it answered. */
function struck(exchange: Exchange, access: Access, customer: Customer, world: World): boolean {
  const fault = struckFault(exchange, world, access.target, customer.identity.name);
  if (fault?.status === undefined) return false;
  if (fault.status === 429) customer.counters.apis[access.api].throttled += 1;
  access.voice.failed(exchange, fault.status, fault.code, fault.message, fault.headers);
  return true;
}
