import type { CloudName } from "./cloud.ts";
import { CLOUDS } from "./cloud.ts";
import type { TokenApi } from "./sign-in.ts";
import type { AuthKind } from "./stanza.ts";
import type { StreamName } from "./stream.ts";

/**
 * One permission of an API, as application and as delegated permission. Ids are those of the commercial cloud
 * and GCC. GCC High and DoD have other ids, which are looked up by name.
 */
export interface Permission {
  readonly api: TokenApi;
  /** In an app's token (`roles`). */
  readonly role: string;
  readonly roleId: string;
  /** In a user's token (`scp`). */
  readonly scope: string;
  readonly scopeId: string | undefined;
}

/**
 * The least permission per stream. Sources: Microsoft Graph docs, "Microsoft Graph permissions reference"
 * (SecurityAlert.Read.All, SecurityIncident.Read.All, ThreatHunting.Read.All); Defender XDR docs,
 * api-list-incidents; Defender for Endpoint docs, get-alerts; ids as published in the service principals of
 * these APIs.
 */
const SECURITY_ALERT: Permission = {
  api: "graph",
  role: "SecurityAlert.Read.All",
  roleId: "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5",
  scope: "SecurityAlert.Read.All",
  scopeId: "bc257fb8-46b4-4b15-8713-01e91bfbe4ea",
};
const SECURITY_INCIDENT: Permission = {
  api: "graph",
  role: "SecurityIncident.Read.All",
  roleId: "45cc0394-e837-488b-a098-1918f48d186c",
  scope: "SecurityIncident.Read.All",
  scopeId: "b9abcc4f-94fc-4457-9141-d20ce80ec952",
};

const PERMISSIONS: Readonly<Record<Exclude<StreamName, "siem-alerts">, Permission>> = {
  alerts: SECURITY_ALERT,
  incidents: SECURITY_INCIDENT,
  hunting: {
    api: "graph",
    role: "ThreatHunting.Read.All",
    roleId: "dd98c7f5-2d42-42d3-a0e4-633161547251",
    scope: "ThreatHunting.Read.All",
    scopeId: "b152eca8-ea73-4a48-8c98-1a6742673d99",
  },
  "xdr-incidents": {
    api: "xdr",
    role: "Incident.Read.All",
    roleId: "a9790345-4595-42e4-971a-ccdc79f19b7c",
    scope: "Incident.Read",
    scopeId: undefined,
  },
  "mde-alerts": {
    api: "mde",
    role: "Alert.Read.All",
    roleId: "71fe6b80-7034-4028-9ed8-0f316df9c3ff",
    scope: "Alert.Read",
    scopeId: "b2069dc0-9fe9-4e6d-9aca-ccf3dd503819",
  },
};

/**
 * Other permissions that a token may carry instead. Source for alerts: the text of Graph's 403, which lists
 * all four.
 */
const INSTEAD: Readonly<Record<string, readonly string[]>> = {
  "SecurityAlert.Read.All": [
    "SecurityAlert.ReadWrite.All",
    "SecurityIncident.Read.All",
    "SecurityIncident.ReadWrite.All",
  ],
  "SecurityIncident.Read.All": ["SecurityIncident.ReadWrite.All"],
  "Incident.Read.All": ["Incident.ReadWrite.All"],
  "Incident.Read": ["Incident.ReadWrite"],
  "Alert.Read.All": ["Alert.ReadWrite.All"],
  "Alert.Read": ["Alert.ReadWrite"],
};

export function grants(held: readonly string[], wanted: string): boolean {
  return serving(held, wanted).length > 0;
}

/** Those of the held permissions that give the wanted one: itself, else every other that includes it. */
export function serving(held: readonly string[], wanted: string): readonly string[] {
  return held.includes(wanted) ? [wanted] : (INSTEAD[wanted] ?? []).filter((other) => held.includes(other));
}

/** One list for all customers: thousands of them hold it. */
const ROLES_FOR = new Map<StreamName, readonly string[]>();

/** Application permissions of which the stream needs one; the first is the one to ask for. */
export function rolesFor(stream: StreamName): readonly string[] {
  let roles = ROLES_FOR.get(stream);
  if (roles === undefined) {
    const role = permissionOf(stream)?.role;
    roles = role === undefined ? [] : [role, ...(INSTEAD[role] ?? [])];
    ROLES_FOR.set(stream, roles);
  }
  return roles;
}

/** The stream's permission; undefined for the retired SIEM API, whose permission can no longer be granted. */
export function permissionOf(stream: StreamName): Permission | undefined {
  return stream === "siem-alerts" ? undefined : PERMISSIONS[stream];
}

/** The permissions that the streams need, each once, in the order of the streams. */
export function permissionsOf(streams: readonly StreamName[]): readonly Permission[] {
  return [...new Set(streams.map(permissionOf).filter((one) => one !== undefined))];
}

export function permissionName(permission: Permission, auth: AuthKind): string {
  return auth === "app" ? permission.role : permission.scope;
}

/**
 * What a token for this API is asked for in this cloud; the setting `resource` overrides it. The app that the
 * old portal made asks the retired SIEM API's tokens for Azure AD Graph's audience.
 */
export function audienceOf(api: TokenApi, cloud: CloudName, resource?: string): string {
  if (resource !== undefined) return resource;
  const row = CLOUDS[cloud];
  return { graph: row.graphAudience, xdr: row.xdrAudience, mde: row.mdeAudience, siem: "https://graph.windows.net" }[
    api
  ];
}

/** Whose token the stream is read with. */
export function apiOf(stream: StreamName): TokenApi {
  return permissionOf(stream)?.api ?? "siem";
}

export function apisOf(streams: readonly StreamName[]): readonly TokenApi[] {
  return [...new Set(streams.map(apiOf))];
}
