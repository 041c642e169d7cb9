import type { CloudName } from "../model/cloud.ts";
import { CLOUDS } from "../model/cloud.ts";
import type { TokenApi } from "../model/sign-in.ts";
import type { AuthKind } from "../model/stanza.ts";
import type { StreamName } from "../model/stream.ts";

/**
 * One permission of an API, both ways of having it. Ids are those of the commercial cloud and GCC; GCC High
 * and DoD have others, so they are looked up by name there.
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

export const PERMISSIONS: Readonly<Record<Exclude<StreamName, "siem-alerts">, Permission>> = {
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

/** Broader permissions that a token may carry instead. */
const BROADER: Readonly<Record<string, readonly string[]>> = {
  "SecurityAlert.Read.All": ["SecurityAlert.ReadWrite.All"],
  "SecurityIncident.Read.All": ["SecurityIncident.ReadWrite.All"],
  "Incident.Read.All": ["Incident.ReadWrite.All"],
  "Incident.Read": ["Incident.ReadWrite"],
  "Alert.Read.All": ["Alert.ReadWrite.All"],
  "Alert.Read": ["Alert.ReadWrite"],
};

export function grants(held: readonly string[], wanted: string): boolean {
  return held.includes(wanted) || (BROADER[wanted] ?? []).some((broader) => held.includes(broader));
}

/** The stream's permission; the retired SIEM API had none that is still to be had. */
export function permissionOf(stream: StreamName): Permission | undefined {
  return stream === "siem-alerts" ? undefined : PERMISSIONS[stream];
}

/** What the streams need, each once, in the order of the streams. */
export function permissionsOf(streams: readonly StreamName[]): readonly Permission[] {
  return [...new Set(streams.map(permissionOf).filter((one) => one !== undefined))];
}

export function permissionName(permission: Permission, auth: AuthKind): string {
  return auth === "app" ? permission.role : permission.scope;
}

export interface ApiIdentity {
  /** As the portal lists it under "APIs my organization uses". */
  readonly portalName: string;
  readonly appId: string;
  /** Everything that may stand in `aud`, in lower case without a slash at the end. */
  readonly audiences: readonly string[];
}

/**
 * Sources: Microsoft Graph docs; Defender XDR docs, api-create-app-web; Defender for Endpoint docs,
 * exposed-apis-create-app-webapp, gov.
 */
export const API_IDENTITIES: Readonly<Record<TokenApi, ApiIdentity>> = {
  graph: {
    portalName: "Microsoft Graph",
    appId: "00000003-0000-0000-c000-000000000000",
    audiences: [
      "https://graph.microsoft.com",
      "https://graph.microsoft.us",
      "https://dod-graph.microsoft.us",
      "00000003-0000-0000-c000-000000000000",
    ],
  },
  xdr: {
    portalName: "Microsoft Threat Protection",
    appId: "8ee8fdad-f234-4243-8f3b-15c294843740",
    audiences: [
      "https://api.security.microsoft.com",
      "https://api-gcc.security.microsoft.us",
      "https://api-gov.security.microsoft.us",
      "8ee8fdad-f234-4243-8f3b-15c294843740",
    ],
  },
  mde: {
    portalName: "WindowsDefenderATP",
    appId: "fc780465-2017-40d4-a0c5-307022471b92",
    audiences: [
      "https://api.securitycenter.microsoft.com",
      "https://api.securitycenter.windows.com",
      "https://securitycenter.onmicrosoft.com/windowsatpservice",
      "https://api-gcc.securitycenter.microsoft.us",
      "https://api-gov.securitycenter.microsoft.us",
      "fc780465-2017-40d4-a0c5-307022471b92",
    ],
  },
  siem: {
    portalName: "WDATPAlertExport",
    appId: "00000002-0000-0000-c000-000000000000",
    audiences: [
      "https://graph.windows.net",
      "https://wdatpalertexport.seville.onmicrosoft.com",
      "00000002-0000-0000-c000-000000000000",
    ],
  },
};

/** Which API an audience belongs to. */
export function apiOfAudience(audience: string): TokenApi | undefined {
  const plain = audience.toLowerCase().replace(/\/+$/, "");
  return (Object.keys(API_IDENTITIES) as TokenApi[]).find((api) => API_IDENTITIES[api].audiences.includes(plain));
}

/** What a token for this API is asked for in this cloud; the setting `resource` overrides it. */
export function audienceOf(api: TokenApi, cloud: CloudName, resource?: string): string {
  if (resource !== undefined) return resource;
  const row = CLOUDS[cloud];
  return { graph: row.graphAudience, xdr: row.xdrAudience, mde: row.mdeAudience, siem: "https://graph.windows.net" }[
    api
  ];
}

export function apisOf(streams: readonly StreamName[]): readonly TokenApi[] {
  return [...new Set(streams.map((stream): TokenApi => permissionOf(stream)?.api ?? "siem"))];
}
