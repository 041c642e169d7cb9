import { permissionsOf } from "../model/permissions.ts";
import type { CustomerSource, RegistrationPlan } from "../model/sign-in.ts";
import { API_IDENTITIES } from "./api-identities.ts";

/** One permission that a registration lists. */
export interface AppPermission {
  readonly api: { readonly portalName: string; readonly appId: string };
  readonly name: string;
  /** `Role`: of the app itself. `Scope`: of the app with a signed-in user. */
  readonly type: "Role" | "Scope";
  /** Undefined where it is looked up by name. */
  readonly id: string | undefined;
  /** The id of the same permission of the other type, which is chosen by mistake. */
  readonly idOfOtherType?: string | undefined;
}

/** Source: Partner Center docs, "Partner Center authentication"; id as published by its service principal. */
const PARTNER_CENTER = {
  portalName: "Microsoft Partner Center",
  appId: "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd",
} as const;

/**
 * What the home app reads. Sources: Microsoft Graph docs, "List delegatedAdminRelationships", "List
 * governanceRelationships"; ids from "Microsoft Graph permissions reference". That of Tenant Governance is
 * looked up by name.
 */
const LISTS: Readonly<Record<CustomerSource, AppPermission>> = {
  gdap: {
    api: API_IDENTITIES.graph,
    name: "DelegatedAdminRelationship.Read.All",
    type: "Role",
    id: "f6e9e124-4586-492f-adc0-c6f96e4823fd",
    idOfOtherType: "0c0064ea-477b-4130-82a5-4c2cc4ff68aa",
  },
  governance: {
    api: API_IDENTITIES.graph,
    name: "TenantGovernance-Relationship.Read.All",
    type: "Role",
    id: undefined,
  },
};

/** The delegated permissions that the bridge has at a customer while it grants the reader's permissions. */
export const BRIDGE_SCOPES = ["Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All"] as const;

/**
 * All delegated: as application permissions they would be as good as Global Administrator without anybody
 * signed in. Sources: Partner Center docs, "Control panel vendor APIs"; ids from "Microsoft Graph permissions
 * reference" and as published in the service principals of these APIs.
 */
const OF_THE_BRIDGE: readonly AppPermission[] = [
  {
    api: PARTNER_CENTER,
    name: "user_impersonation",
    type: "Scope",
    id: "1cebfa2a-fb4d-419e-b5f9-839b4383e05a",
  },
  {
    api: API_IDENTITIES.graph,
    name: BRIDGE_SCOPES[0],
    type: "Scope",
    id: "bdfbf15f-ee85-4955-8675-146e8e5296b5",
    idOfOtherType: "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
  },
  {
    api: API_IDENTITIES.graph,
    name: BRIDGE_SCOPES[1],
    type: "Scope",
    id: "84bccea3-f856-4a8a-967b-dbe0a3d53a64",
    idOfOtherType: "06b708a9-e830-4db3-a914-8e69da51d44f",
  },
];

/** Exactly the permissions that an app for this purpose needs. */
export function appPermissions(plan: RegistrationPlan): readonly AppPermission[] {
  // GCC High and DoD have their own ids, which are looked up by name.
  const known = plan.cloud === "commercial" || plan.cloud === "gcc";
  const all =
    plan.purpose === "home"
      ? plan.sources.map((source) => LISTS[source])
      : plan.purpose === "bridge"
        ? OF_THE_BRIDGE
        : readerPermissions(plan);
  return known ? all : all.map((permission) => ({ ...permission, id: undefined, idOfOtherType: undefined }));
}

function readerPermissions(plan: RegistrationPlan): readonly AppPermission[] {
  return permissionsOf(plan.streams).map((permission) => {
    const api = API_IDENTITIES[permission.api];
    return plan.auth === "app"
      ? { api, name: permission.role, type: "Role", id: permission.roleId, idOfOtherType: permission.scopeId }
      : { api, name: permission.scope, type: "Scope", id: permission.scopeId, idOfOtherType: permission.roleId };
  });
}
