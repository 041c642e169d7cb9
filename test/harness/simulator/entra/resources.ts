import type { ApiName } from "../streams.ts";

/**
 * Which API an audience belongs to. Sources: Microsoft Graph docs ("Deployments"), Defender docs (create-app-partners,
 * api-partner-access, gov, usgov), the SIEM API's old pages. Compared in lower case, without a slash at the end.
 */
export const RESOURCES: Readonly<Record<string, ApiName>> = {
  "https://graph.microsoft.com": "graph",
  "https://graph.microsoft.us": "graph",
  "https://dod-graph.microsoft.us": "graph",
  "00000003-0000-0000-c000-000000000000": "graph",
  "https://api.security.microsoft.com": "xdr",
  "https://api-gcc.security.microsoft.us": "xdr",
  "https://api-gov.security.microsoft.us": "xdr",
  "8ee8fdad-f234-4243-8f3b-15c294843740": "xdr",
  "https://api.securitycenter.microsoft.com": "mde",
  "https://api.securitycenter.windows.com": "mde",
  "https://securitycenter.onmicrosoft.com/windowsatpservice": "mde",
  "https://api-gcc.securitycenter.microsoft.us": "mde",
  "https://api-gov.securitycenter.microsoft.us": "mde",
  "fc780465-2017-40d4-a0c5-307022471b92": "mde",
  "https://graph.windows.net": "siem",
  "https://wdatpalertexport.seville.onmicrosoft.com": "siem",
};

/** Permissions that exist at each API: an app-only token's roles, a user token's scopes. */
export const PERMISSIONS: Readonly<Record<ApiName, { readonly roles: readonly string[]; readonly scopes: readonly string[] }>> = {
  graph: { roles: ["SecurityAlert.Read.All", "SecurityIncident.Read.All", "ThreatHunting.Read.All"], scopes: ["SecurityAlert.Read.All", "SecurityIncident.Read.All", "ThreatHunting.Read.All"] },
  xdr: { roles: ["Incident.Read.All"], scopes: ["Incident.Read"] },
  mde: { roles: ["Alert.Read.All"], scopes: ["Alert.Read"] },
  siem: { roles: [], scopes: ["user_impersonation"] },
};

export function apiOf(resource: string): ApiName | undefined {
  return RESOURCES[resource.toLowerCase().replace(/\/+$/, "")];
}

const SIGN_IN_SCOPES = new Set(["openid", "profile", "email", "offline_access"]);

/** The one resource a v2 `scope` asks for, the sign-in scopes beside it, or what is wrong with it. */
export function readScope(scope: string): { resource: string; api: ApiName; offline: boolean; openid: boolean } | { wrong: "several" | "unknown"; text: string } {
  const all = scope.split(/\s+/).filter((part) => part !== "");
  const resources = new Set(all.filter((part) => !SIGN_IN_SCOPES.has(part)).map(resourceOfScope));
  const resource = resources.size === 0 ? "https://graph.microsoft.com" : ([...resources][0] ?? "");
  if (resources.size > 1) return { wrong: "several", text: scope };
  const api = apiOf(resource);
  if (api === undefined) return { wrong: "unknown", text: resource };
  return { resource, api, offline: all.includes("offline_access"), openid: all.includes("openid") };
}

function resourceOfScope(scope: string): string {
  const slash = scope.lastIndexOf("/");
  // A bare name is a Graph permission.
  return slash < 0 ? "https://graph.microsoft.com" : scope.slice(0, slash).replace(/\/+$/, "");
}
