/**
 * The allow-list. `**.` stands for any depth, `[]` for any element. A name with a dot in it (`@odata.type`)
 * is one name. A path belongs here when its values come from a list that Microsoft publishes, or are times;
 * never when a customer can choose them.
 */
const KEPT_PATHS: readonly string[] = [
  "**.@odata.type",
  "**.createdDateTime",
  "**.lastUpdateDateTime",
  "**.firstActivityDateTime",
  "**.lastActivityDateTime",
  "**.resolvedDateTime",
  "**.createdTime",
  "**.lastUpdateTime",
  "**.lastUpdatedTime",
  "**.creationTime",
  "**.resolvedTime",
  "**.firstActivity",
  "**.lastActivity",
  "**.alertCreationTime",
  "**.firstEventTime",
  "**.lastEventTime",
  "**.evidenceCreationTime",
  "**.Timestamp",
  "**.AlertTime",
  "**.LastProcessedTimeUtc",
  "**.firstSeenDateTime",
  "**.processCreationDateTime",
  "**.parentProcessCreationDateTime",
  "**.status",
  "**.severity",
  "**.Severity",
  "**.classification",
  "**.determination",
  "**.category",
  "**.Category",
  "**.priorityScore",
  "**.serviceSource",
  "**.detectionSource",
  "**.productName",
  "**.investigationState",
  "**.verdict",
  "**.remediationStatus",
  "**.detectionStatus",
  "**.roles[]",
  "**.mitreTechniques[]",
  "**.entityType",
  "**.osPlatform",
  "**.osBuild",
  "**.version",
  "**.healthStatus",
  "**.riskScore",
  "**.onboardingStatus",
  "**.defenderAvStatus",
  "schema[].name",
  "schema[].type",
  "error.code",
  "error.innerError.date",
  "error.innererror.date",
  "token_type",
  "scope",
  "expires_in",
  "ext_expires_in",
  "error",
  "suberror",
  "error_codes[]",
  "timestamp",
];

/**
 * Whether the value at a path may stay: enumerations, types, times and protocol words. Everything else is
 * replaced.
 */
export function isKept(path: string): boolean {
  return patterns.some((pattern) => pattern.test(path));
}

const patterns = KEPT_PATHS.map((pattern) => {
  const anywhere = pattern.startsWith("**.");
  const name = (anywhere ? pattern.slice(3) : pattern).replace(/[.*+?^${}()|[\]\\@]/g, "\\$&");
  return new RegExp(anywhere ? `(?:^|\\.)${name}$` : `^${name}$`);
});
