import { TIME_LIMITS } from "../../net/time-limits.ts";
import type { StreamContract } from "./contract.ts";

/** Graph alerts. The next link is documented but often absent; `$orderby` is undocumented but works. */
export const alerts: StreamContract = {
  name: "alerts",
  api: "graph",
  path: "/v1.0/security/alerts_v2",
  asks: "odata",
  shape: "value-object",
  fields: {
    kind: "alert",
    id: "id",
    updated: "lastUpdateDateTime",
    created: "createdDateTime",
    tenant: "tenantId",
    service: "serviceSource",
  },
  timeName: "lastUpdateDateTime",
  ordered: true,
  topMost: 1_000,
  skipMost: 500,
  splits: [
    {
      property: "serviceSource",
      values: [
        "microsoftDefenderForEndpoint",
        "microsoftDefenderForIdentity",
        "microsoftDefenderForCloudApps",
        "microsoftDefenderForOffice365",
        "microsoft365Defender",
        "azureAdIdentityProtection",
        "microsoftAppGovernance",
        "dataLossPrevention",
        "microsoftDefenderForCloud",
        "microsoftSentinel",
        "microsoftInsiderRiskManagement",
        "microsoftThreatIntelligence",
        "microsoftSecurityForAI",
        "unknown",
        "unknownFutureValue",
      ],
    },
    { property: "severity", values: ["high", "medium", "low", "informational", "unknown", "unknownFutureValue"] },
    { property: "status", values: ["new", "inProgress", "resolved", "unknown", "unknownFutureValue"] },
  ],
  headersTimeoutMs: TIME_LIMITS.list.ms,
  source:
    "Microsoft Graph docs v1.0, security-list-alerts_v2, security-alert, security-error-codes ($top 1,000, $skip 500)",
};
