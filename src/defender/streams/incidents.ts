import { TIME_LIMITS } from "../../net/time-limits.ts";
import type { StreamContract } from "./contract.ts";

/**
 * Graph incidents, never with `$expand=alerts`: with it, requests for large incidents always fail with 500
 * (elastic/integrations issue 18144). The alerts arrive through the alerts stream and name their incident.
 */
export const incidents: StreamContract = {
  name: "incidents",
  api: "graph",
  path: "/v1.0/security/incidents",
  asks: "odata",
  shape: "value-object",
  fields: { kind: "incident", id: "id", updated: "lastUpdateDateTime", created: "createdDateTime", tenant: "tenantId" },
  timeName: "lastUpdateDateTime",
  ordered: true,
  topMost: 50,
  skipMost: 500,
  splits: [
    { property: "severity", values: ["high", "medium", "low", "informational", "unknown", "unknownFutureValue"] },
    {
      property: "status",
      values: ["active", "inProgress", "resolved", "redirected", "awaitingAction", "unknownFutureValue"],
    },
    {
      property: "classification",
      values: ["unknown", "falsePositive", "truePositive", "informationalExpectedActivity", "unknownFutureValue"],
    },
  ],
  headersTimeoutMs: TIME_LIMITS.list.ms,
  source: "Microsoft Graph docs v1.0, security-list-incidents, security-incident ($top 50: more answers 400)",
};
