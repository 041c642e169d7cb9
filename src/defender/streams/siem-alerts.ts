import { TIME_LIMITS } from "../../net/time-limits.ts";
import type { StreamContract } from "./contract.ts";

/**
 * The retired SIEM API: a bare array of detections that never change. `AlertId` repeats, because the portal
 * merges detections into one alert; `FullId` (`AlertId:IocUniqueId`) names one detection. `limit` would
 * return the newest and silently drop the rest of a backlog, so it is never sent.
 */
export const siemAlerts: StreamContract = {
  name: "siem-alerts",
  api: "siem",
  path: "/api/alerts",
  asks: "siem",
  shape: "bare-array",
  fields: { kind: "alert", id: "FullId", updated: "LastProcessedTimeUtc", created: "AlertTime", service: "Source" },
  timeName: "LastProcessedTimeUtc",
  ordered: false,
  topMost: Number.MAX_SAFE_INTEGER,
  skipMost: 0,
  splits: [],
  headersTimeoutMs: TIME_LIMITS.largeList.ms,
  announced:
    "Microsoft deprecated the SIEM API on 31 December 2023. Since 31 December 2024 Microsoft may switch it off without notice.",
  source: "Defender for Endpoint docs of 2020, pull-alerts-using-rest-api; defender-docs, configure-siem",
};
