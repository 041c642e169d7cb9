import { guid } from "../identity.ts";
import type { Customer, World } from "../world.ts";
import { ALL_PERMISSIONS, API_APP_IDS, PERMISSIONS, type TokenApi } from "./resources.ts";

/** An application role given to an app in one tenant. */
export interface RoleAssignment {
  readonly id: string;
  readonly api: TokenApi;
  readonly role: string;
  readonly assignedMs: number;
  /** From when it stands in tokens: Microsoft takes a moment. */
  readonly showsMs: number;
}

/** What an app may do for the provider's user in one tenant. */
export interface DelegatedGrant {
  readonly scopes: readonly string[];
  readonly showsMs: number;
}

/** An app's place in one tenant. */
export interface ServicePrincipal {
  readonly clientId: string;
  readonly id: string;
  /** From when the directory answers by its id: Microsoft takes a moment to spread a new one. */
  readonly showsMs: number;
  /** A consent gave it all that its registration asks for; otherwise it has what was assigned one by one. */
  byConsent: boolean;
  assignments: RoleAssignment[];
  /** For the user of another tenant's provider; undefined: nothing. */
  delegated: DelegatedGrant | undefined;
}

/** The object id of an app's service principal: each tenant has its own. */
export const principalId = (tenant: string, clientId: string): string => guid("principal", `${tenant} ${clientId}`);

/** The service principal of an app, made where there is none. */
export function principalIn(
  { identity, servicePrincipals }: Customer,
  clientId: string,
  showsMs = 0,
): ServicePrincipal {
  const known = servicePrincipals.get(clientId);
  if (known !== undefined) return known;
  const made = {
    clientId,
    id: principalId(identity.name, clientId),
    showsMs,
    byConsent: false,
    assignments: [],
    delegated: undefined,
  };
  servicePrincipals.set(clientId, made);
  return made;
}

/** An app's roles at one API, in a token issued now: those of a consent and those assigned one by one. */
export function appRoles(
  world: World,
  customer: Customer,
  clientId: string,
  api: TokenApi,
  nowMs = Number.POSITIVE_INFINITY,
): readonly string[] {
  const principal = customer.servicePrincipals.get(clientId);
  if (principal === undefined) return [];
  const consented = customer.consent === "granted" && principal.byConsent;
  const registered = world.directory.find(clientId)?.permissions;
  const assigned = principal.assignments
    .filter((one) => one.api === api && one.showsMs <= nowMs)
    .map(({ role }) => role);
  return PERMISSIONS[api].roles.filter(
    (role) =>
      assigned.includes(role) ||
      (consented && customer.permissions.has(role) && (registered?.has(role) ?? ALL_PERMISSIONS.includes(role))),
  );
}

/** Assigns a role; the same role again changes nothing. */
export function assignRole(
  principal: ServicePrincipal,
  api: TokenApi,
  role: string,
  { nowMs, showsMs }: { readonly nowMs: number; readonly showsMs: number },
): RoleAssignment {
  const known = principal.assignments.find((one) => one.api === api && one.role === role);
  if (known !== undefined) return known;
  const id = guid("assignment", `${principal.id} ${api} ${role}`);
  const made = { id, api, role, assignedMs: nowMs, showsMs };
  principal.assignments.push(made);
  return made;
}

/** The id of an API's own app. */
export const apiAppId = (api: TokenApi): string =>
  Object.keys(API_APP_IDS).find((appId) => API_APP_IDS[appId] === api) ?? "";
