import { TIME_LIMITS } from "../../net/time-limits.ts";
import { MAY_END, NO_SKIP_LIMIT, type StreamContract } from "./contract.ts";

/**
 * Alerts of the Defender for Endpoint API with their evidence. With `$top` the API never sends a next link
 * (microsoft-365-docs issue 8489).
 */
export const mdeAlerts: StreamContract = {
  name: "mde-alerts",
  api: "mde",
  path: "/api/alerts",
  asks: "odata",
  shape: "value-object",
  fields: { kind: "alert", id: "id", updated: "lastUpdateTime", created: "alertCreationTime", tenant: "aadTenantId" },
  timeName: "lastUpdateTime",
  ordered: false,
  topMost: 10_000,
  skipMost: NO_SKIP_LIMIT,
  expand: "evidence",
  splits: [
    { property: "severity", values: ["High", "Medium", "Low", "Informational", "UnSpecified"] },
    { property: "status", values: ["New", "InProgress", "Resolved", "Unknown"] },
  ],
  headersTimeoutMs: TIME_LIMITS.largeList.ms,
  announced: MAY_END,
  source: "Defender for Endpoint docs, get-alerts, alerts",
};
