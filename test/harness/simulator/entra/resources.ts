import type { Cloud } from "../clouds.ts";
import { guid } from "../identity.ts";
import type { ApiName } from "../streams.ts";

/** What tokens are for: the APIs with alerts, and Partner Center. */
export type TokenApi = ApiName | "partner";

interface Resource {
  readonly api: TokenApi;
  readonly clouds: readonly Cloud[];
}

const ALL: readonly Cloud[] = ["commercial", "gcc", "gcc-high", "dod"];
const PUBLIC: readonly Cloud[] = ["commercial", "gcc"];
const SOVEREIGN: readonly Cloud[] = ["gcc-high", "dod"];

/**
 * Which API an audience belongs to, and in which clouds it exists. Sources: Microsoft Graph docs
 * ("Deployments"), Defender docs (create-app-partners, api-partner-access, gov, usgov), the SIEM API's old
 * pages. Compared in lower case, without a slash at the end.
 */
const RESOURCES: Readonly<Record<string, Resource>> = {
  "https://graph.microsoft.com": { api: "graph", clouds: PUBLIC },
  "https://graph.microsoft.us": { api: "graph", clouds: ["gcc-high"] },
  "https://dod-graph.microsoft.us": { api: "graph", clouds: ["dod"] },
  "00000003-0000-0000-c000-000000000000": { api: "graph", clouds: ALL },
  "https://api.security.microsoft.com": { api: "xdr", clouds: ["commercial"] },
  "https://api-gcc.security.microsoft.us": { api: "xdr", clouds: ["gcc"] },
  "https://api-gov.security.microsoft.us": { api: "xdr", clouds: SOVEREIGN },
  "8ee8fdad-f234-4243-8f3b-15c294843740": { api: "xdr", clouds: ALL },
  "https://api.securitycenter.microsoft.com": { api: "mde", clouds: ["commercial"] },
  "https://api.securitycenter.windows.com": { api: "mde", clouds: ["commercial"] },
  "https://securitycenter.onmicrosoft.com/windowsatpservice": { api: "mde", clouds: ["commercial"] },
  "https://api-gcc.securitycenter.microsoft.us": { api: "mde", clouds: ["gcc"] },
  "https://api-gov.securitycenter.microsoft.us": { api: "mde", clouds: SOVEREIGN },
  "fc780465-2017-40d4-a0c5-307022471b92": { api: "mde", clouds: ALL },
  "https://graph.windows.net": { api: "siem", clouds: ALL },
  "https://wdatpalertexport.seville.onmicrosoft.com": { api: "siem", clouds: ALL },
  "https://api.partnercenter.microsoft.com": { api: "partner", clouds: PUBLIC },
  "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd": { api: "partner", clouds: PUBLIC },
};

/** The APIs by the id of their own app, as a registration's `requiredResourceAccess` names them. */
export const API_APP_IDS: Readonly<Record<string, TokenApi>> = {
  "00000003-0000-0000-c000-000000000000": "graph",
  "8ee8fdad-f234-4243-8f3b-15c294843740": "xdr",
  "fc780465-2017-40d4-a0c5-307022471b92": "mde",
  "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd": "partner",
};

/** Permissions that exist at each API: an app-only token's roles, a user token's scopes. */
export const PERMISSIONS: Readonly<
  Record<TokenApi, { readonly roles: readonly string[]; readonly scopes: readonly string[] }>
> = {
  graph: {
    roles: [
      "SecurityAlert.Read.All",
      "SecurityIncident.Read.All",
      "ThreatHunting.Read.All",
      "DelegatedAdminRelationship.Read.All",
      "TenantGovernance-Relationship.Read.All",
    ],
    scopes: [
      "SecurityAlert.Read.All",
      "SecurityIncident.Read.All",
      "ThreatHunting.Read.All",
      "Application.ReadWrite.All",
      "AppRoleAssignment.ReadWrite.All",
    ],
  },
  xdr: { roles: ["Incident.Read.All"], scopes: ["Incident.Read"] },
  mde: { roles: ["Alert.Read.All"], scopes: ["Alert.Read"] },
  siem: { roles: [], scopes: ["user_impersonation"] },
  partner: { roles: [], scopes: ["user_impersonation"] },
};

/** Everything the apps in these tests ever ask for, as a customer's administrator would grant it. */
export const ALL_PERMISSIONS: readonly string[] = [
  "SecurityAlert.Read.All",
  "SecurityIncident.Read.All",
  "ThreatHunting.Read.All",
  "Incident.Read.All",
  "Incident.Read",
  "Alert.Read.All",
  "Alert.Read",
];

/**
 * Ids of permissions, as their APIs' service principals publish them in the public clouds. Sources: Microsoft
 * Graph permissions reference; Defender docs (exposed APIs), public app manifests.
 */
const PERMISSION_IDS: Readonly<Record<string, string>> = {
  "graph role SecurityAlert.Read.All": "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5",
  "graph role SecurityIncident.Read.All": "45cc0394-e837-488b-a098-1918f48d186c",
  "graph role ThreatHunting.Read.All": "dd98c7f5-2d42-42d3-a0e4-633161547251",
  "graph scope SecurityAlert.Read.All": "bc257fb8-46b4-4b15-8713-01e91bfbe4ea",
  "graph scope SecurityIncident.Read.All": "b9abcc4f-94fc-4457-9141-d20ce80ec952",
  "graph scope ThreatHunting.Read.All": "b152eca8-ea73-4a48-8c98-1a6742673d99",
  "graph role DelegatedAdminRelationship.Read.All": "f6e9e124-4586-492f-adc0-c6f96e4823fd",
  "graph scope Application.ReadWrite.All": "bdfbf15f-ee85-4955-8675-146e8e5296b5",
  "graph scope AppRoleAssignment.ReadWrite.All": "84bccea3-f856-4a8a-967b-dbe0a3d53a64",
  "partner scope user_impersonation": "1cebfa2a-fb4d-419e-b5f9-839b4383e05a",
  "xdr role Incident.Read.All": "a9790345-4595-42e4-971a-ccdc79f19b7c",
  "mde role Alert.Read.All": "71fe6b80-7034-4028-9ed8-0f316df9c3ff",
};

/** The id of a permission; made up where nobody wrote it down. */
export const permissionId = (api: TokenApi, kind: "role" | "scope", name: string): string =>
  PERMISSION_IDS[`${api} ${kind} ${name}`] ?? guid(`${api} ${kind}`, name);

/** Which API a resource is, or undefined when the cloud has none of that name. */
export function apiOf(resource: string, cloud: Cloud): TokenApi | undefined {
  const known = RESOURCES[resource.toLowerCase().replace(/\/+$/, "")];
  return known?.clouds.includes(cloud) === true ? known.api : undefined;
}

const SIGN_IN_SCOPES = new Set(["openid", "profile", "email", "offline_access"]);

/** The resources a v2 `scope` asks for, without the sign-in scopes beside them; none means Graph. */
export function resourcesOfScope(scope: string): readonly string[] {
  const asked = scope.split(/\s+/).filter((part) => part !== "" && !SIGN_IN_SCOPES.has(part));
  return [...new Set(asked.length === 0 ? [GRAPH] : asked.map(resourceOf))];
}

const GRAPH = "https://graph.microsoft.com";

function resourceOf(scope: string): string {
  const slash = scope.lastIndexOf("/");
  // A bare name is a Graph permission.
  return slash < 0 ? GRAPH : scope.slice(0, slash).replace(/\/+$/, "");
}
