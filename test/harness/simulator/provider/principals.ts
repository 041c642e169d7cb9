import { sendJson } from "../answers.ts";
import { graphVoice } from "../api/voice.ts";
import { bodyOf } from "../entra/directory.ts";
import {
  apiAppId,
  appRoles,
  assignRole,
  principalId,
  principalIn,
  type RoleAssignment,
  type ServicePrincipal,
} from "../entra/principals.ts";
import { isKnownApp } from "../entra/requests.ts";
import { API_APP_IDS, PERMISSIONS, permissionId, type TokenApi } from "../entra/resources.ts";
import type { Grant } from "../entra/tokens.ts";
import type { Exchange } from "../exchange.ts";
import { guid } from "../identity.ts";
import { textOfTicks, ticksOfMs } from "../instant.ts";
import type { Customer, World } from "../world.ts";
import { drawn, rolesAt } from "./provider.ts";
import { MAY_CONSENT, MAY_GRANT_APP_ROLES } from "./roles.ts";

const CONTEXT = "https://graph.microsoft.com/v1.0/$metadata#servicePrincipals";

/** What the APIs call themselves in every tenant. */
const API_NAMES: Readonly<Record<TokenApi, string>> = {
  graph: "Microsoft Graph",
  xdr: "Microsoft Threat Protection",
  mde: "WindowsDefenderATP",
  siem: "Windows Azure Active Directory",
  partner: "Microsoft Partner Center",
};

/** An app or an API in one tenant, as Graph shows it. */
interface Found {
  readonly id: string;
  readonly appId: string;
  readonly api: TokenApi | undefined;
  readonly principal: ServicePrincipal | undefined;
}

/**
 * Answers `/servicePrincipals` of the token's tenant (Microsoft Graph docs, servicePrincipal,
 * appRoleAssignment); false for other paths.
 */
export async function answerPrincipals(exchange: Exchange, grant: Grant, world: World, path: string): Promise<boolean> {
  const what = decodeURIComponent(path.replace(/^\/v1\.0\//, ""));
  const match =
    /^servicePrincipals(?:\(appId='([^']*)'\)|\/([^/]+))?(?:\/(appRoleAssignments|appRoleAssignedTo))?$/.exec(what);
  if (match === null) return false;
  const [, appId, id, list] = match;
  const isPost = exchange.request.method === "POST";
  if (appId === undefined && id === undefined) {
    if (isPost) await makePrincipal(exchange, grant, world);
    else listPrincipals(exchange, grant.customer);
    return true;
  }
  const found = find(grant.customer, appId ?? "", id ?? "", exchange.nowMs);
  if (found === undefined) notFound(exchange, appId ?? id ?? "");
  else if (list === undefined) sendPrincipal(exchange, found);
  else if (isPost) await assign(exchange, grant, world, found);
  else if (list === "appRoleAssignments") sendAssignments(exchange, grant.customer, world, found);
  else return false;
  return true;
}

export function notFound(exchange: Exchange, what: string): void {
  graphVoice.failed(
    exchange,
    404,
    "Request_ResourceNotFound",
    `Resource '${what}' does not exist or one of its queried reference-property objects are not present.`,
  );
}

function denied(exchange: Exchange): void {
  graphVoice.failed(exchange, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.");
}

/** Whether the provider's user lacks the scope, or the directory role in its relationship. Others may all. */
function lacks(grant: Grant, world: World, nowMs: number, scope: string, roles: readonly string[]): boolean {
  if (grant.isProvidersUser !== true || world.provider === undefined) return false;
  const held = rolesAt(world.provider, grant.customer, nowMs);
  return !grant.permissions.includes(scope) || !roles.some((role) => held.includes(role));
}

function find(customer: Customer, appId: string, id: string, nowMs: number): Found | undefined {
  const { name } = customer.identity;
  for (const [apiId, api] of Object.entries(API_APP_IDS)) {
    const own = principalId(name, apiId);
    if (apiId === appId || own === id) return { id: own, appId: apiId, api, principal: undefined };
  }
  for (const principal of customer.servicePrincipals.values())
    if (principal.clientId === appId || (principal.id === id && principal.showsMs <= nowMs))
      return { id: principal.id, appId: principal.clientId, api: undefined, principal };
  return undefined;
}

function described({ id, appId, api }: Found): Record<string, unknown> {
  const rows = (kind: "role" | "scope"): object[] =>
    (api === undefined ? [] : PERMISSIONS[api][kind === "role" ? "roles" : "scopes"]).map((value) => ({
      ...(kind === "role" ? { allowedMemberTypes: ["Application"] } : {}),
      id: api === undefined ? "" : permissionId(api, kind, value),
      isEnabled: true,
      value,
    }));
  return {
    id,
    appId,
    displayName: api === undefined ? "MSSP collector" : API_NAMES[api],
    appRoles: rows("role"),
    oauth2PermissionScopes: rows("scope"),
  };
}

function sendPrincipal(exchange: Exchange, found: Found): void {
  const select = exchange.url.searchParams.get("$select");
  const all = described(found);
  const wanted = select === null ? Object.keys(all) : select.split(",");
  const unknown = wanted.find((name) => !Object.hasOwn(all, name));
  if (unknown !== undefined) {
    const message = `Could not find a property named '${unknown}' on type 'microsoft.graph.servicePrincipal'.`;
    graphVoice.badQuery(exchange, message);
    return;
  }
  sendJson(exchange, 200, {
    "@odata.context": `${CONTEXT}${select === null ? "" : `(${select})`}/$entity`,
    ...Object.fromEntries(Object.entries(all).filter(([name]) => wanted.includes(name))),
  });
}

function listPrincipals(exchange: Exchange, customer: Customer): void {
  const filter = exchange.url.searchParams.get("$filter");
  const appId = /^appId eq '([^']*)'$/.exec(filter ?? "")?.[1];
  if (appId === undefined) {
    graphVoice.badQuery(exchange, "The simulator lists service principals by $filter=appId eq '…' only.");
    return;
  }
  const found = find(customer, appId, "", exchange.nowMs);
  sendJson(exchange, 200, { "@odata.context": CONTEXT, value: found === undefined ? [] : [described(found)] });
}

async function makePrincipal(exchange: Exchange, grant: Grant, world: World): Promise<void> {
  const { customer } = grant;
  const appId = bodyOf(await exchange.body())["appId"];
  if (lacks(grant, world, exchange.nowMs, "Application.ReadWrite.All", MAY_CONSENT)) return denied(exchange);
  if (typeof appId !== "string" || !isKnownApp(world, appId)) {
    const message = `The appId '${String(appId)}' of the service principal does not reference a valid application object.`;
    return graphVoice.failed(exchange, 400, "Request_BadRequest", message);
  }
  if (customer.servicePrincipals.has(appId)) {
    const message = `The service principal cannot be created, updated, or restored because the service principal name ${appId} is already in use.`;
    return graphVoice.failed(exchange, 409, "Request_MultipleObjectsWithSameKeyValue", message);
  }
  const delayMs = drawn(world.provider?.principalDelay ?? [0, 0], customer.identity.name, appId);
  const { id } = principalIn(customer, appId, exchange.nowMs + delayMs);
  const displayName = "MSSP collector";
  sendJson(exchange, 201, { "@odata.context": `${CONTEXT}/$entity`, id, appId, displayName });
}

const APIS = Object.values(API_APP_IDS);

function sendAssignments(exchange: Exchange, customer: Customer, world: World, found: Found): void {
  const value = APIS.flatMap((api) =>
    appRoles(world, customer, found.appId, api).map((role) => {
      const known = found.principal?.assignments.find((one) => one.api === api && one.role === role);
      const id = guid("assignment", `${found.id} ${api} ${role}`);
      return assignmentRow(customer, found, known ?? { id, api, role, assignedMs: world.startMs, showsMs: 0 });
    }),
  );
  sendJson(exchange, 200, { "@odata.context": `${CONTEXT}('${found.id}')/appRoleAssignments`, value });
}

function assignmentRow(customer: Customer, { id: principalId_ }: Found, given: RoleAssignment): object {
  const { id, api, role, assignedMs } = given;
  return {
    id,
    deletedDateTime: null,
    appRoleId: permissionId(api, "role", role),
    createdDateTime: textOfTicks(ticksOfMs(assignedMs)),
    principalDisplayName: "MSSP collector",
    principalId: principalId_,
    principalType: "ServicePrincipal",
    resourceDisplayName: API_NAMES[api],
    resourceId: principalId(customer.identity.name, apiAppId(api)),
  };
}

async function assign(exchange: Exchange, grant: Grant, world: World, found: Found): Promise<void> {
  const { customer } = grant;
  const { nowMs } = exchange;
  const body = bodyOf(await exchange.body());
  const text = (name: string): string => (typeof body[name] === "string" ? body[name] : "");
  if (lacks(grant, world, exchange.nowMs, "AppRoleAssignment.ReadWrite.All", MAY_GRANT_APP_ROLES))
    return denied(exchange);
  const resource = find(customer, "", text("resourceId"), nowMs);
  const principal = find(customer, "", text("principalId"), nowMs)?.principal;
  const missing = resource === undefined ? "resourceId" : principal === undefined ? "principalId" : undefined;
  if (missing !== undefined || resource === undefined || principal === undefined)
    return notFound(exchange, text(missing ?? ""));
  const { api } = resource;
  const role = api === undefined ? undefined : roleBehind(api, text("appRoleId"));
  if (![resource.id, principal.id].includes(found.id) || api === undefined || role === undefined)
    return badRequest(exchange, "Permission being assigned was not found on application");
  if (appRoles(world, customer, principal.clientId, api).includes(role))
    return badRequest(exchange, "Permission being assigned already exists on the object");
  const delayMs = drawn(world.provider?.roleDelay ?? [0, 0], principal.id, api, role);
  const made = assignRole(principal, api, role, { nowMs, showsMs: nowMs + delayMs });
  sendJson(exchange, 201, {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#appRoleAssignments/$entity",
    ...assignmentRow(customer, { ...resource, id: principal.id }, made),
  });
}

const badRequest = (exchange: Exchange, message: string): void =>
  graphVoice.failed(exchange, 400, "Request_BadRequest", message);

const roleBehind = (api: TokenApi, id: string): string | undefined =>
  PERMISSIONS[api].roles.find((role) => permissionId(api, "role", role) === id);
