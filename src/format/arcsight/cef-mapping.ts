/**
 * The one mapping table of the ArcSight side. The CEF writer, the parser files for JSON connectors, the
 * categorizer file, the docs page and the filter text are all made from it, so that an event looks the same
 * whichever way it came in.
 *
 * Profile `legacy`: Microsoft Defender docs, "Microsoft Defender for Endpoint detections API fields"
 * (api-portal-mapping), the mapping that the retired ArcSight FlexConnector used. Profile `xdr` is this
 * project's, on the same keys where the meaning is the same.
 */
import type { HealthState } from "../../model/event.ts";
import { CEF_KEYS, type CefKey } from "./cef-dictionary.ts";
import { type FlatRecord, SERVICES } from "./flat-record.ts";
import type { SiemRow } from "./siem-rows.ts";

export const CEF_PROFILES = ["xdr", "legacy", "mcas"] as const;
export type CefProfile = (typeof CEF_PROFILES)[number];

/** What the row's value is, and so how it may be changed to fit. */
export type CefValueKind =
  /** May be cut. */
  | "text"
  /** Never cut. */
  | "identifier"
  | "time"
  | "number"
  /** Comma separated: of a list that is too long the first of its elements, whole. */
  | "list"
  /** The framework that the techniques are of. */
  | "framework"
  /** A flag written as 1 or 0. */
  | "flag"
  | "ipv4"
  | "ipv6"
  | "mac";

export interface MappingRow<Source extends string = string> {
  readonly from: Source;
  readonly key: CefKey;
  readonly kind: CefValueKind;
  /** Written in the key's `…Label`. */
  readonly label?: string;
  /** Text only: 1 is cut first when a line is too long. */
  readonly cutOrder?: number;
}

/** Members of the legacy row that Microsoft's table did not have: they name the customer and the version. */
export interface LegacyExtras {
  TenantId: string;
  Tenant: string;
  Change: string;
  LastUpdateTime: number;
  /** Only on lines of one evidence item. */
  EvidenceKind?: string;
  EvidenceContext?: string;
}

export interface Profile {
  readonly deviceVendor: string;
  readonly deviceProduct: string;
  /** Version of the mapping, not of the program. */
  readonly deviceVersion: string;
  /** The member that becomes the header's Name, and the one that becomes its Severity. */
  readonly name: string;
  readonly severity: string;
  readonly rows: readonly MappingRow[];
  /** Written after them in `CEF:1`: keys that 1.2 added, and IPv6 addresses, which only 1.x takes there. */
  readonly rowsOfVersion1: readonly MappingRow[];
  /** Members of the retired API or of the flat JSON that have no key. */
  readonly unmapped: readonly string[];
}

const LEGACY_ROWS: readonly MappingRow<keyof SiemRow | keyof LegacyExtras>[] = [
  { from: "Category", key: "cat", kind: "text", cutOrder: 12 },
  { from: "Source", key: "sourceServiceName", kind: "text", cutOrder: 13 },
  { from: "MachineName", key: "shost", kind: "text", cutOrder: 20 },
  { from: "FileName", key: "fname", kind: "text", cutOrder: 14 },
  { from: "FilePath", key: "filePath", kind: "text", cutOrder: 10 },
  { from: "UserDomain", key: "sntdom", kind: "text", cutOrder: 15 },
  { from: "UserName", key: "suser", kind: "text", cutOrder: 16 },
  { from: "Sha1", key: "fileHash", kind: "identifier" },
  { from: "Sha256", key: "cs6", kind: "identifier", label: "SHA-256" },
  { from: "Md5", key: "cs5", kind: "identifier", label: "MD5" },
  { from: "ThreatName", key: "cs1", kind: "text", label: "Threat Name", cutOrder: 3 },
  { from: "IpAddress", key: "src", kind: "ipv4" },
  { from: "IpAddress", key: "c6a2", kind: "ipv6", label: "Source IPv6 Address" },
  { from: "Url", key: "request", kind: "text", cutOrder: 8 },
  { from: "RemediationIsSuccess", key: "cn2", kind: "flag", label: "Remediation Is Success" },
  { from: "WasExecutingWhileDetected", key: "cn1", kind: "flag", label: "Was Executing While Detected" },
  { from: "AlertId", key: "externalId", kind: "identifier" },
  { from: "LinkToWDATP", key: "flexString1", kind: "text", label: "Alert Link", cutOrder: 9 },
  { from: "AlertTime", key: "rt", kind: "time" },
  { from: "MachineDomain", key: "sourceDnsDomain", kind: "text", cutOrder: 17 },
  { from: "Actor", key: "cs4", kind: "text", label: "Actor", cutOrder: 4 },
  { from: "LogOnUsers", key: "suid", kind: "text", cutOrder: 6 },
  { from: "TenantId", key: "deviceExternalId", kind: "identifier" },
  { from: "Tenant", key: "cs3", kind: "text", label: "Tenant", cutOrder: 21 },
  { from: "Change", key: "act", kind: "text", cutOrder: 22 },
  { from: "LastUpdateTime", key: "deviceCustomDate1", kind: "time", label: "Last Update" },
  { from: "EvidenceKind", key: "fileType", kind: "text", cutOrder: 18 },
  { from: "EvidenceContext", key: "requestContext", kind: "text", cutOrder: 5 },
];

const XDR_ROWS: readonly MappingRow<keyof FlatRecord>[] = [
  { from: "id", key: "externalId", kind: "identifier" },
  { from: "tenantId", key: "deviceExternalId", kind: "identifier" },
  { from: "tenantName", key: "cs3", kind: "text", label: "Tenant", cutOrder: 21 },
  { from: "action", key: "act", kind: "text", cutOrder: 22 },
  { from: "updated", key: "flexNumber1", kind: "number", label: "Updated" },
  { from: "category", key: "cat", kind: "text", cutOrder: 12 },
  { from: "detectionSource", key: "sourceServiceName", kind: "text", cutOrder: 13 },
  { from: "service", key: "deviceFacility", kind: "text", cutOrder: 18 },
  { from: "status", key: "outcome", kind: "text", cutOrder: 19 },
  { from: "reason", key: "reason", kind: "text", cutOrder: 11 },
  { from: "createdTime", key: "rt", kind: "time" },
  { from: "firstActivityTime", key: "start", kind: "time" },
  { from: "lastActivityTime", key: "end", kind: "time" },
  { from: "lastUpdateTime", key: "deviceCustomDate1", kind: "time", label: "Last Update" },
  { from: "resolvedTime", key: "deviceCustomDate2", kind: "time", label: "Resolved" },
  { from: "alertUrl", key: "flexString1", kind: "text", label: "Alert Link", cutOrder: 9 },
  { from: "incidentUrl", key: "flexString2", kind: "text", label: "Incident Link", cutOrder: 7 },
  { from: "incidentId", key: "cn3", kind: "number", label: "Incident Id" },
  { from: "detectorId", key: "cs5", kind: "identifier", label: "Detector Id" },
  { from: "redirectIncidentId", key: "cs5", kind: "identifier", label: "Redirected To Incident" },
  { from: "priorityScore", key: "cn2", kind: "number", label: "Priority Score" },
  { from: "resourceId", key: "cs1", kind: "identifier", label: "Resource Id" },
  { from: "resourceName", key: "cs2", kind: "text", label: "Resource Name", cutOrder: 19 },
  { from: "resourceType", key: "cs4", kind: "text", label: "Resource Type", cutOrder: 18 },
  { from: "customTags", key: "cs1", kind: "text", label: "Custom Tags", cutOrder: 3 },
  { from: "lastModifiedBy", key: "cs4", kind: "text", label: "Last Modified By", cutOrder: 4 },
  { from: "threatName", key: "cs1", kind: "text", label: "Threat Name", cutOrder: 3 },
  { from: "mitreTechniques", key: "cs2", kind: "text", label: "MITRE Techniques", cutOrder: 5 },
  { from: "actor", key: "cs4", kind: "text", label: "Actor", cutOrder: 4 },
  { from: "commandLine", key: "cs4", kind: "text", label: "Command Line", cutOrder: 2 },
  { from: "sourceHost", key: "shost", kind: "text", cutOrder: 20 },
  { from: "sourceDomain", key: "sourceDnsDomain", kind: "text", cutOrder: 17 },
  { from: "sourceIp", key: "src", kind: "ipv4" },
  { from: "sourceIpv6", key: "c6a2", kind: "ipv6", label: "Source IPv6 Address" },
  { from: "sourceExternalIp", key: "sourceTranslatedAddress", kind: "ipv4" },
  { from: "sourceMac", key: "smac", kind: "mac" },
  { from: "sourcePort", key: "spt", kind: "number" },
  { from: "sourceUser", key: "suser", kind: "text", cutOrder: 16 },
  { from: "sourceNtDomain", key: "sntdom", kind: "text", cutOrder: 15 },
  { from: "sourceUserId", key: "suid", kind: "identifier" },
  { from: "destinationHost", key: "dhost", kind: "text", cutOrder: 20 },
  { from: "destinationDomain", key: "destinationDnsDomain", kind: "text", cutOrder: 17 },
  { from: "destinationIp", key: "dst", kind: "ipv4" },
  { from: "destinationIpv6", key: "c6a3", kind: "ipv6", label: "Destination IPv6 Address" },
  { from: "destinationExternalIp", key: "destinationTranslatedAddress", kind: "ipv4" },
  { from: "destinationMac", key: "dmac", kind: "mac" },
  { from: "destinationPort", key: "dpt", kind: "number" },
  { from: "destinationUser", key: "duser", kind: "text", cutOrder: 16 },
  { from: "destinationNtDomain", key: "dntdom", kind: "text", cutOrder: 15 },
  { from: "destinationUserId", key: "duid", kind: "identifier" },
  { from: "protocol", key: "proto", kind: "text", cutOrder: 13 },
  { from: "fileName", key: "fname", kind: "text", cutOrder: 14 },
  { from: "fullFilePath", key: "filePath", kind: "text", cutOrder: 10 },
  { from: "sha1", key: "fileHash", kind: "identifier" },
  { from: "sha256", key: "cs6", kind: "identifier", label: "SHA-256" },
  { from: "md5", key: "cs6", kind: "identifier", label: "MD5" },
  { from: "fileSize", key: "fsize", kind: "number" },
  { from: "processName", key: "dproc", kind: "text", cutOrder: 11 },
  { from: "processName", key: "deviceProcessName", kind: "text", cutOrder: 11 },
  { from: "processId", key: "dpid", kind: "number" },
  { from: "parentProcessName", key: "sproc", kind: "text", cutOrder: 11 },
  { from: "parentProcessId", key: "spid", kind: "number" },
  { from: "url", key: "request", kind: "text", cutOrder: 8 },
  { from: "userAgent", key: "requestClientApplication", kind: "text", cutOrder: 6 },
  { from: "application", key: "destinationServiceName", kind: "text", cutOrder: 13 },
  { from: "evidenceKind", key: "fileType", kind: "text", cutOrder: 18 },
  { from: "evidenceContext", key: "requestContext", kind: "text", cutOrder: 5 },
  { from: "evidenceLeftOut", key: "cn1", kind: "number", label: "Evidence Left Out" },
  { from: "message", key: "msg", kind: "text", cutOrder: 1 },
  { from: "description", key: "msg", kind: "text", cutOrder: 1 },
];

const XDR_ROWS_OF_VERSION_1: readonly MappingRow<keyof FlatRecord>[] = [
  { from: "sourceIpv6", key: "src", kind: "ipv6" },
  { from: "destinationIpv6", key: "dst", kind: "ipv6" },
  { from: "actor", key: "threatActor", kind: "text", cutOrder: 6 },
  { from: "mitreTechniques", key: "frameworkName", kind: "framework" },
  { from: "mitreTechniques", key: "threatAttackID", kind: "list" },
  { from: "resourceId", key: "reportedResourceID", kind: "identifier" },
  { from: "resourceName", key: "reportedResourceName", kind: "text", cutOrder: 19 },
  { from: "resourceType", key: "reportedResourceType", kind: "text", cutOrder: 18 },
  { from: "reportedResourceId", key: "reportedResourceID", kind: "identifier" },
  { from: "reportedResourceName", key: "reportedResourceName", kind: "text", cutOrder: 19 },
  { from: "reportedResourceType", key: "reportedResourceType", kind: "text", cutOrder: 18 },
];

/**
 * What the SIEM agent of Defender for Cloud Apps wrote, from Graph's alerts by Microsoft's migration table
 * (Defender for Cloud Apps docs, "Generic SIEM integration" and "Migrate from Defender for Cloud Apps SIEM
 * agent to supported APIs"). Its `cs3` (relatedAudits) and `cn1` (riskScore) are not in any API; `cs3` names
 * the customer, as everywhere.
 */
const MCAS_ROWS: readonly MappingRow<keyof FlatRecord>[] = [
  { from: "id", key: "externalId", kind: "identifier" },
  { from: "createdTime", key: "rt", kind: "time" },
  { from: "firstActivityTime", key: "start", kind: "time" },
  { from: "lastActivityTime", key: "end", kind: "time" },
  { from: "userPrincipalName", key: "suser", kind: "text", cutOrder: 16 },
  { from: "sourceUser", key: "suser", kind: "text", cutOrder: 16 },
  { from: "application", key: "destinationServiceName", kind: "text", cutOrder: 13 },
  { from: "ip", key: "dvc", kind: "ipv4" },
  { from: "ipv6", key: "c6a1", kind: "ipv6", label: "Device IPv6 Address" },
  { from: "userAgent", key: "requestClientApplication", kind: "text", cutOrder: 6 },
  { from: "alertUrl", key: "cs1", kind: "text", label: "portalURL", cutOrder: 9 },
  { from: "incidentUrl", key: "cs1", kind: "text", label: "portalURL", cutOrder: 9 },
  { from: "applicationId", key: "cs2", kind: "text", label: "uniqueServiceAppIds", cutOrder: 8 },
  { from: "alertPolicyId", key: "cs4", kind: "text", label: "policyIDs", cutOrder: 8 },
  { from: "tenantId", key: "deviceExternalId", kind: "identifier" },
  { from: "tenantName", key: "cs3", kind: "text", label: "Tenant", cutOrder: 21 },
  { from: "action", key: "act", kind: "text", cutOrder: 22 },
  { from: "updated", key: "flexNumber1", kind: "number", label: "Updated" },
  { from: "lastUpdateTime", key: "deviceCustomDate1", kind: "time", label: "Last Update" },
  { from: "category", key: "cat", kind: "text", cutOrder: 12 },
  { from: "service", key: "deviceFacility", kind: "text", cutOrder: 18 },
  { from: "status", key: "outcome", kind: "text", cutOrder: 19 },
  { from: "incidentId", key: "cn3", kind: "number", label: "Incident Id" },
  { from: "evidenceKind", key: "fileType", kind: "text", cutOrder: 18 },
  { from: "evidenceContext", key: "requestContext", kind: "text", cutOrder: 5 },
  { from: "description", key: "msg", kind: "text", cutOrder: 1 },
];

/** Of two rows with one key the first that has a value is written. */
export const mappingTable: Readonly<Record<CefProfile, Profile>> = {
  legacy: {
    deviceVendor: "Microsoft",
    deviceProduct: "Microsoft Defender ATP",
    deviceVersion: "2.0",
    name: "AlertTitle",
    severity: "Severity",
    rows: LEGACY_ROWS,
    rowsOfVersion1: [],
    unmapped: [
      "ComputerDnsName",
      "InternalIPv4List",
      "InternalIPv6List",
      "LinkToMTP",
      "IncidentLinkToMTP",
      "IncidentLinkToWDATP",
      "LastProcessedTimeUtc",
    ],
  },
  xdr: {
    deviceVendor: "Microsoft",
    deviceProduct: "Microsoft Defender XDR",
    deviceVersion: "1.0",
    name: "title",
    severity: "severity",
    rows: XDR_ROWS,
    rowsOfVersion1: XDR_ROWS_OF_VERSION_1,
    unmapped: [
      "cloud",
      "stream",
      "change",
      "found",
      "key",
      "kind",
      "eventClassId",
      "classification",
      "determination",
      "productName",
      "investigationState",
      "alertPolicyId",
      "providerAlertId",
      "systemTags",
      "customDetails",
      "resolvingComment",
      "comments",
      "summary",
      "assignedTo",
      "threatFamily",
      "evidenceCount",
      "verdict",
      "remediationStatus",
      "detectionStatus",
      "roles",
      "deviceName",
      "deviceHost",
      "deviceDomain",
      "deviceNtDomain",
      "deviceId",
      "deviceIp",
      "deviceIpv6",
      "deviceExternalIp",
      "deviceMac",
      "deviceAddresses",
      "deviceGroup",
      "deviceTags",
      "loggedOnUsers",
      "userName",
      "userDomain",
      "userSid",
      "userPrincipalName",
      "userId",
      "filePath",
      "ip",
      "ipv6",
      "sender",
      "recipient",
      "subject",
      "deliveryAction",
      "messageId",
      "registryKey",
      "applicationId",
      "hosts",
      "users",
      "resources",
      "reportedResourceId",
      "reportedResourceName",
      "reportedResourceType",
    ],
  },
  mcas: {
    deviceVendor: "MCAS",
    deviceProduct: "SIEM_Agent",
    deviceVersion: "1.0",
    name: "title",
    severity: "severity",
    rows: MCAS_ROWS,
    rowsOfVersion1: [],
    unmapped: [],
  },
};

/** An identifier that is too long for its key stands whole in this one instead of what it holds otherwise. */
export const LONG_ID_ROW = { key: "flexString2", label: "Full Id" } as const;

/** Header severity by Microsoft's word; the legacy profile writes the word itself where CEF knows it. */
export const CEF_SEVERITY: Readonly<Record<CefProfile, Readonly<Record<string, string>>>> = {
  legacy: { informational: "Low", low: "Low", medium: "Medium", high: "High", unknown: "Unknown" },
  xdr: { informational: "2", low: "3", medium: "6", high: "8", unknown: "Unknown" },
  mcas: { informational: "2", low: "3", medium: "6", high: "8", unknown: "Unknown" },
};

/** Conditions that health lines have beside the states of streams. */
export const HEALTH_NOTICES = [
  "credential-expiring",
  "sweep-found",
  "spool-filling",
  "test",
  "event-rejected",
  "output-unacknowledged",
  "roster-difference",
] as const;
export type HealthNotice = (typeof HEALTH_NOTICES)[number];

export const HEALTH_CLASSES: Readonly<
  Record<HealthState | HealthNotice, { readonly name: string; readonly severity: string }>
> = {
  ok: { name: "Defender collection is up", severity: "1" },
  "catching-up": { name: "Defender collection is catching up", severity: "3" },
  throttled: { name: "Defender collection is throttled by Microsoft", severity: "4" },
  failing: { name: "Defender collection fails", severity: "7" },
  "signed-out": { name: "Defender collection cannot sign in", severity: "8" },
  "awaiting-consent": { name: "Defender collection waits for the customer's consent", severity: "6" },
  misconfigured: { name: "Defender collection is not configured correctly", severity: "7" },
  off: { name: "Defender collection is off", severity: "1" },
  "credential-expiring": { name: "Defender collection credential expires soon", severity: "6" },
  "sweep-found": { name: "Defender collection found late records", severity: "3" },
  "spool-filling": { name: "Defender collection output cannot keep up", severity: "6" },
  test: { name: "Defender collection test event", severity: "1" },
  "event-rejected": { name: "Defender collection output rejected an event", severity: "7" },
  "output-unacknowledged": { name: "Defender collection output does not acknowledge events", severity: "4" },
  "roster-difference": { name: "Defender customers differ from the list of customers", severity: "5" },
};

/** The closed set of event class ids. `:evidence`: a line of its own for one evidence item. */
export function eventClassIds(): readonly string[] {
  const alerts = Object.keys(SERVICES).map((service) => `alert:${service}`);
  return [
    ...alerts,
    ...alerts.map((id) => `${id}:evidence`),
    "incident",
    "hunting",
    ...Object.keys(HEALTH_CLASSES).map((state) => `health:${state}`),
  ];
}

export function fullNameOf(key: CefKey): string {
  return CEF_KEYS[key].fullName;
}
