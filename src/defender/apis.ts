import type { AddressSetting } from "../model/ports.ts";
import type { Endpoints } from "../model/stanza.ts";

/** The services that streams are read from. Requests of one app to one tenant's service share one budget. */
export const API_NAMES = ["graph", "hunting", "xdr", "mde", "siem"] as const;
export type ApiName = (typeof API_NAMES)[number];

export interface ApiFacts {
  /** The name that operators know. */
  readonly title: string;
  readonly base: (endpoints: Endpoints) => string;
  /** The setting that overrides the base. */
  readonly setting: AddressSetting;
  /** `Prefer` header, for Graph only. */
  readonly prefer?: string;
  /** Requests per app and tenant. */
  readonly limits: { readonly perMinute: number; readonly perHour?: number };
  readonly source: string;
}

export const APIS: Readonly<Record<ApiName, ApiFacts>> = {
  graph: {
    title: "Microsoft Graph security API",
    base: (endpoints) => endpoints.graphUrl,
    setting: "graph_url",
    // Without it every newer member of an enumeration arrives as `unknownFutureValue`, and the real value is
    // lost.
    prefer: "include-unknown-enum-members",
    limits: { perMinute: 150 },
    source:
      "Microsoft Graph docs, throttling limits for security detections and incidents; resource types alert and incident",
  },
  hunting: {
    title: "Microsoft Graph hunting API",
    base: (endpoints) => endpoints.graphUrl,
    setting: "graph_url",
    limits: { perMinute: 45 },
    source:
      'Microsoft Graph docs, security: runHuntingQuery; Defender XDR docs, "Advanced hunting API", quotas and resource allocation',
  },
  xdr: {
    title: "Microsoft Defender XDR API",
    base: (endpoints) => endpoints.apiUrl,
    setting: "api_url",
    limits: { perMinute: 50, perHour: 1_500 },
    source: "Defender XDR docs, api-list-incidents",
  },
  mde: {
    title: "Microsoft Defender for Endpoint API",
    base: (endpoints) => endpoints.mdeApiUrl,
    setting: "api_url",
    limits: { perMinute: 100, perHour: 1_500 },
    source: "Defender for Endpoint docs, get-alerts",
  },
  siem: {
    title: "retired SIEM API",
    base: (endpoints) => endpoints.siemUrl,
    setting: "siem_url",
    // No limit was ever published. One request returns everything, so a few are enough.
    limits: { perMinute: 30 },
    source: "Defender for Endpoint docs of 2020, pull-alerts-using-rest-api",
  },
};
