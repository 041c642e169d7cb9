/**
 * Graph evidence in the words of the older XDR incidents API: one flat `entities` element per evidence item.
 * Searches written for that API (Splunk's Enterprise Security detections among them) read `entityType`,
 * `verdict`, `fileName`, `processCommandLine`, `ipAddress`, … of it. Names on the right: Microsoft Defender
 * XDR docs, "List incidents API"; on the left: Microsoft Graph docs, alertEvidence and its kinds.
 */

import { isObject, type JsonObject, memberValue, objectsOf } from "../../json/record-object.ts";
import { ownEntry } from "../../model/own-entry.ts";
import type { RecordBody } from "../../model/record.ts";

type Pair = readonly [classic: string, graphPath: string];

const COMMON: readonly Pair[] = [
  ["evidenceCreationTime", "createdDateTime"],
  ["verdict", "verdict"],
  ["remediationStatus", "remediationStatus"],
  ["remediationStatusDetails", "remediationStatusDetails"],
  ["detectionStatus", "detectionStatus"],
];

const FILE = (at: string): readonly Pair[] => [
  ["sha1", `${at}.sha1`],
  ["sha256", `${at}.sha256`],
  ["fileName", `${at}.fileName`],
  ["filePath", `${at}.filePath`],
];

const USER: readonly Pair[] = [
  ["accountName", "userAccount.accountName"],
  ["domainName", "userAccount.domainName"],
  ["userSid", "userAccount.userSid"],
  ["aadUserId", "userAccount.azureAdUserId"],
  ["userPrincipalName", "userAccount.userPrincipalName"],
];

const DEVICE: readonly Pair[] = [["deviceId", "mdeDeviceId"]];

/**
 * Kinds of evidence that the older API knew as entities; devices stood in a list of their own, everything
 * else did not exist.
 */
const KINDS: ReadonlyMap<string, { readonly entityType: string; readonly pairs: readonly Pair[] }> = new Map(
  Object.entries({
    fileEvidence: { entityType: "File", pairs: [...FILE("fileDetails"), ...DEVICE] },
    processEvidence: {
      entityType: "Process",
      pairs: [
        ...FILE("imageFile"),
        ["processId", "processId"],
        ["processCommandLine", "processCommandLine"],
        ["processCreationTime", "processCreationDateTime"],
        ["parentProcessId", "parentProcessId"],
        ["parentProcessCreationTime", "parentProcessCreationDateTime"],
        ["parentProcessFileName", "parentProcessImageFile.fileName"],
        ["parentProcessFilePath", "parentProcessImageFile.filePath"],
        ...USER,
        ...DEVICE,
      ],
    },
    registryKeyEvidence: {
      entityType: "Registry",
      pairs: [
        ["registryHive", "registryHive"],
        ["registryKey", "registryKey"],
      ],
    },
    registryValueEvidence: {
      entityType: "Registry",
      pairs: [
        ["registryHive", "registryHive"],
        ["registryKey", "registryKey"],
        ["registryValueName", "registryValueName"],
        ["registryValueType", "registryValueType"],
        ["registryValue", "registryValue"],
      ],
    },
    userEvidence: { entityType: "User", pairs: USER },
    ipEvidence: { entityType: "Ip", pairs: [["ipAddress", "ipAddress"]] },
    urlEvidence: { entityType: "Url", pairs: [["url", "url"]] },
    mailboxEvidence: {
      entityType: "MailBox",
      pairs: [["mailboxDisplayName", "displayName"], ["mailboxAddress", "primaryAddress"], ...USER],
    },
    analyzedMessageEvidence: {
      entityType: "MailMessage",
      pairs: [
        ["sender", "p2Sender.emailAddress"],
        ["sender", "p1Sender.emailAddress"],
        ["recipient", "recipientEmailAddress"],
        ["subject", "subject"],
        ["deliveryAction", "deliveryAction"],
      ],
    },
    mailClusterEvidence: { entityType: "MailCluster", pairs: [["clusterBy", "clusterBy"]] },
    securityGroupEvidence: {
      entityType: "SecurityGroup",
      pairs: [
        ["securityGroupId", "securityGroupId"],
        ["securityGroupName", "displayName"],
      ],
    },
    cloudApplicationEvidence: {
      entityType: "CloudApplication",
      pairs: [
        ["applicationId", "appId"],
        ["applicationName", "displayName"],
      ],
    },
    oauthApplicationEvidence: {
      entityType: "OAuthApplication",
      pairs: [
        ["applicationId", "appId"],
        ["applicationName", "displayName"],
      ],
    },
  } satisfies Readonly<Record<string, { readonly entityType: string; readonly pairs: readonly Pair[] }>>),
);

/** Enum members that are written another way than with a capital. */
const CLASSIC_VERDICT: Readonly<Record<string, string>> = { noThreatsFound: "Clean" };
const ENUMS = new Set(["verdict", "remediationStatus", "detectionStatus", "deliveryAction"]);

/** `path` has one step or two. */
function valueAt(item: JsonObject, path: string): unknown {
  const dot = path.indexOf(".");
  if (dot < 0) return item[path];
  const inner = item[path.slice(0, dot)];
  return isObject(inner) ? inner[path.slice(dot + 1)] : undefined;
}

function classicEnum(name: string, value: unknown): unknown {
  if (!ENUMS.has(name) || typeof value !== "string" || value === "") return value;
  return (
    (name === "verdict" ? ownEntry(CLASSIC_VERDICT, value) : undefined) ?? `${value[0]!.toUpperCase()}${value.slice(1)}`
  );
}

/** The kind's name without `#microsoft.graph.security.`. */
export function evidenceKind(item: JsonObject): string {
  const type = item["@odata.type"];
  return typeof type === "string" ? type.slice(type.lastIndexOf(".") + 1) : "";
}

function classicEntity(item: JsonObject): JsonObject | undefined {
  const kind = KINDS.get(evidenceKind(item));
  if (kind === undefined) return undefined;
  const entity: Record<string, unknown> = { entityType: kind.entityType };
  for (const pairs of [COMMON, kind.pairs]) {
    for (const [name, path] of pairs) {
      const value = classicEnum(name, valueAt(item, path));
      if (value !== undefined && value !== null && entity[name] === undefined) entity[name] = value;
    }
  }
  return entity;
}

/**
 * Undefined when the record has no evidence or has `entities` of its own: then it speaks the older dialect
 * already.
 */
export function classicEntities(body: RecordBody): readonly JsonObject[] | undefined {
  const evidence = memberValue(body, "evidence");
  if (!Array.isArray(evidence) || memberValue(body, "entities") !== undefined) return undefined;
  return objectsOf(evidence)
    .map(classicEntity)
    .filter((entity) => entity !== undefined);
}
