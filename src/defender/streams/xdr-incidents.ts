import { TIME_LIMITS } from "../../net/time-limits.ts";
import { MAY_END, NO_SKIP_LIMIT, type StreamContract } from "./contract.ts";

/**
 * Incidents of the Defender XDR API with nested alerts. An alert becomes a separate event. Its key uses its
 * own id and its own `lastUpdatedTime` (with a d, unlike the incident's `lastUpdateTime`), so that it is not
 * sent again because its incident changed.
 */
export const xdrIncidents: StreamContract = {
  name: "xdr-incidents",
  api: "xdr",
  path: "/api/incidents",
  asks: "odata",
  shape: "value-object",
  fields: { kind: "incident", id: "incidentId", updated: "lastUpdateTime", created: "createdTime" },
  nest: {
    member: "alerts",
    fields: {
      kind: "alert",
      id: "alertId",
      updated: "lastUpdatedTime",
      created: "creationTime",
      service: "serviceSource",
    },
  },
  timeName: "lastUpdateTime",
  // Newest first; no option to change this is documented.
  ordered: false,
  topMost: 100,
  skipMost: NO_SKIP_LIMIT,
  // Severity cannot be filtered here.
  splits: [{ property: "status", values: ["Active", "InProgress", "Resolved", "Redirected"] }],
  headersTimeoutMs: TIME_LIMITS.list.ms,
  announced: MAY_END,
  source: "Defender XDR docs, api-list-incidents, api-incident",
};
