import { Failure } from "../../model/failure.ts";
import type { Permission } from "../../model/permissions.ts";
import { permissionsOf } from "../../model/permissions.ts";
import type { Clock, Http, Random } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import type { TokenApi } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import { API_IDENTITIES } from "../api-identities.ts";
import type { Json, JsonReply } from "../json-request.ts";
import { isSuccess, patiently, requestJson, unusableAnswer } from "../json-request.ts";
import { directoryRefusal, isThereAlready } from "./partner-failures.ts";

/** Waits for a new service principal to be known everywhere at Microsoft. */
const NEW_PRINCIPAL_PAUSES_MS = [2_000, 5_000, 10_000, 15_000];

export interface DirectoryParts {
  readonly http: Http;
  readonly clock: Clock;
  readonly random: Random;
  readonly customer: Stanza;
  /** Of the person, for Microsoft Graph in the customer's tenant. */
  readonly token: Sealed;
  /** Resolves when the journal holds what is done next. */
  before(write: DirectoryWrite): Promise<void>;
}

export type DirectoryWrite =
  | { readonly step: "add-app"; readonly app: string }
  | { readonly step: "grant-role"; readonly app: string; readonly resource: string; readonly role: string };

/** A permission of an API, as the customer's own tenant lists the API. */
interface WantedRole {
  readonly api: TokenApi;
  /** Object id of the API's service principal. */
  readonly resourceId: string;
  readonly roleId: string;
}

/**
 * Gives the reader the permissions that the customer's streams need, those that it lacks. Ids are looked up
 * by name in the customer's tenant and compared with the published ones before anything is granted, so that
 * nothing else can be granted. Sources: Microsoft Graph docs, "Get servicePrincipal", "Create
 * servicePrincipal", "List appRoleAssignments", "Grant an appRoleAssignment for a service principal".
 */
export async function grantPermissions(parts: DirectoryParts, reader: string): Promise<void> {
  const principal = await principalOf(parts, reader);
  const wanted = await wantedRoles(parts);
  const held = await rolesHeld(parts, principal.id);
  for (const role of wanted)
    if (!held.has(`${role.resourceId}/${role.roleId}`)) await grantRole(parts, reader, principal, role);
}

interface Principal {
  readonly id: string;
  readonly isNew: boolean;
}

async function principalOf(parts: DirectoryParts, reader: string): Promise<Principal> {
  const path = `/servicePrincipals(appId='${reader}')?$select=id`;
  const found = await ask(parts, "GET", path);
  if (isSuccess(found)) return { id: idOf(found.body), isNew: false };
  if (found.status !== 404) throw directoryRefusal(found, parts.customer.tenantName);
  await parts.before({ step: "add-app", app: reader });
  const made = await ask(parts, "POST", "/servicePrincipals", { appId: reader });
  if (isSuccess(made)) return { id: idOf(made.body), isNew: true };
  const again = made.status === 400 || made.status === 409 ? await ask(parts, "GET", path) : made;
  if (isSuccess(again)) return { id: idOf(again.body), isNew: true };
  if (made.status === 400 || made.status === 404)
    throw new Failure("app-not-found", {
      actor: "operator",
      retry: { when: "never" },
      area: "sign-in",
      status: made.status,
      say: `Microsoft cannot add app ${reader} to the tenant of ${parts.customer.tenantName}: it does not exist, or is single-tenant.`,
      nextStep: "Check `client_id` of the credential, and make the app multi-tenant.",
    });
  throw directoryRefusal(made, parts.customer.tenantName);
}

async function wantedRoles(parts: DirectoryParts): Promise<readonly WantedRole[]> {
  const roles: WantedRole[] = [];
  for (const [api, permissions] of Map.groupBy(permissionsOf(parts.customer.streams), (one) => one.api)) {
    const { appId, portalName } = API_IDENTITIES[api];
    const reply = await ask(parts, "GET", `/servicePrincipals(appId='${appId}')?$select=id,appRoles`);
    if (reply.status === 404)
      throw new Failure("api-not-in-tenant", {
        actor: "customer",
        retry: { when: "never" },
        area: "sign-in",
        status: reply.status,
        say: `${portalName} does not exist in the tenant of ${parts.customer.tenantName}.`,
        nextStep: "Check that the customer has a Defender licence and opened the Defender portal once. Check `cloud`.",
      });
    if (!isSuccess(reply)) throw directoryRefusal(reply, parts.customer.tenantName);
    const resourceId = idOf(reply.body);
    for (const permission of permissions)
      roles.push({ api, resourceId, roleId: roleIdOf(reply.body, permission, parts.customer) });
  }
  return roles;
}

/** The published id. The customer's tenant must list the same under the permission's name. */
function roleIdOf(body: Json | undefined, { api, role, roleId }: Permission, customer: Stanza): string {
  const listed = Array.isArray(body?.["appRoles"]) ? (body["appRoles"] as Json[]) : [];
  const ids = listed.filter((one) => one["value"] === role).map((one) => String(one["id"]).toLowerCase());
  if (ids.length === 1 && ids[0] === roleId) return roleId;
  const what =
    ids.length === 0 ? `offers no permission ${role}` : `offers ${role} under another id than Microsoft publishes`;
  throw new Failure("permission-differs", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: `${API_IDENTITIES[api].portalName} at ${customer.tenantName} ${what}. Nothing was granted.`,
    nextStep: "Check `graph_url`, and check that no proxy answers instead of Microsoft.",
  });
}

async function rolesHeld(parts: DirectoryParts, principalId: string): Promise<ReadonlySet<string>> {
  const reply = await ask(parts, "GET", `/servicePrincipals/${principalId}/appRoleAssignments`);
  // A new service principal is not known everywhere at once; it has no permission yet.
  if (reply.status === 404) return new Set();
  if (!isSuccess(reply)) throw directoryRefusal(reply, parts.customer.tenantName);
  const rows = reply.body?.["value"];
  return new Set(
    (Array.isArray(rows) ? (rows as Json[]) : []).map((row) =>
      `${String(row["resourceId"])}/${String(row["appRoleId"])}`.toLowerCase(),
    ),
  );
}

async function grantRole(
  parts: DirectoryParts,
  reader: string,
  principal: Principal,
  { api, resourceId, roleId }: WantedRole,
): Promise<void> {
  await parts.before({ step: "grant-role", app: reader, resource: API_IDENTITIES[api].appId, role: roleId });
  const body = { principalId: principal.id, resourceId, appRoleId: roleId };
  const pauses = principal.isNew ? [...NEW_PRINCIPAL_PAUSES_MS] : [];
  for (;;) {
    const reply = await ask(parts, "POST", `/servicePrincipals/${resourceId}/appRoleAssignedTo`, body);
    if (isSuccess(reply) || isThereAlready(reply)) return;
    const pauseMs = reply.status === 404 ? pauses.shift() : undefined;
    if (pauseMs === undefined) throw directoryRefusal(reply, parts.customer.tenantName);
    await parts.clock.pause(pauseMs);
  }
}

function ask(parts: DirectoryParts, method: "GET" | "POST", path: string, body?: unknown): Promise<JsonReply> {
  const { customer, token } = parts;
  return patiently(parts, () =>
    requestJson(parts, {
      method,
      url: `${customer.endpoints.graphUrl}/v1.0${path}`,
      addressSetting: "graph_url",
      token,
      body,
      route: customer.route,
    }),
  );
}

/** Ids become parts of addresses, so they must be ids. */
function idOf(body: Json | undefined): string {
  const id = tenantIdFrom(String(body?.["id"]));
  if (id === undefined) throw unusableAnswer("Microsoft Graph");
  return id;
}
