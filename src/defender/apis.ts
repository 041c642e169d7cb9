import { CLOUDS, type CloudName } from "../model/cloud.ts";
import type { Endpoints } from "../model/stanza.ts";

/** The services that streams are read from. Requests of one app to one tenant's service share one budget. */
export const API_NAMES = ["graph", "hunting", "xdr", "mde", "siem"] as const;
export type ApiName = (typeof API_NAMES)[number];

export interface ApiFacts {
  /** As an operator knows it. */
  readonly title: string;
  readonly base: (endpoints: Endpoints) => string;
  /** What a token must be made for; it follows from the cloud, never from an address. */
  readonly audience: (cloud: CloudName) => string;
  /** Application id of the resource, for permissions and for tokens whose `aud` is a GUID. */
  readonly resourceAppId: string;
  /** `Prefer` header, for Graph alone. */
  readonly prefer?: string;
  /** Requests per app and tenant. */
  readonly limits: { readonly perMinute: number; readonly perHour?: number };
  readonly source: string;
}

export const APIS: Readonly<Record<ApiName, ApiFacts>> = {
  graph: {
    title: "Microsoft Graph security API",
    base: (endpoints) => endpoints.graphUrl,
    audience: (cloud) => CLOUDS[cloud].graphAudience,
    resourceAppId: "00000003-0000-0000-c000-000000000000",
    // Without it every newer member of an enumeration arrives as `unknownFutureValue`, and the real value is
    // lost for good.
    prefer: "include-unknown-enum-members",
    limits: { perMinute: 150 },
    source:
      "Microsoft Graph docs, throttling limits for security detections and incidents; resource types alert and incident",
  },
  hunting: {
    title: "Microsoft Graph hunting API",
    base: (endpoints) => endpoints.graphUrl,
    audience: (cloud) => CLOUDS[cloud].graphAudience,
    resourceAppId: "00000003-0000-0000-c000-000000000000",
    limits: { perMinute: 45 },
    source:
      'Microsoft Graph docs, security: runHuntingQuery; Defender XDR docs, "Advanced hunting API", quotas and resource allocation',
  },
  xdr: {
    title: "Microsoft Defender XDR API",
    base: (endpoints) => endpoints.apiUrl,
    audience: (cloud) => CLOUDS[cloud].xdrAudience,
    resourceAppId: "8ee8fdad-f234-4243-8f3b-15c294843740",
    limits: { perMinute: 50, perHour: 1_500 },
    source: "Defender XDR docs, api-list-incidents",
  },
  mde: {
    title: "Microsoft Defender for Endpoint API",
    base: (endpoints) => endpoints.mdeApiUrl,
    audience: (cloud) => CLOUDS[cloud].mdeAudience,
    resourceAppId: "fc780465-2017-40d4-a0c5-307022471b92",
    limits: { perMinute: 100, perHour: 1_500 },
    source: "Defender for Endpoint docs, get-alerts",
  },
  siem: {
    title: "retired SIEM API",
    base: (endpoints) => endpoints.siemUrl,
    // The app that the portal made asked for Azure AD Graph's audience; a hand-made one sets `resource`.
    audience: () => "https://graph.windows.net",
    resourceAppId: "00000002-0000-0000-c000-000000000000",
    // No limit was ever published; one question brings everything, so few are enough.
    limits: { perMinute: 30 },
    source: "Defender for Endpoint docs of 2020, pull-alerts-using-rest-api",
  },
};
