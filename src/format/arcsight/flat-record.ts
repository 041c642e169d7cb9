/**
 * A record as one flat object, whichever API it came from: what CEF, the flat JSON and the retired SIEM API's
 * form are mapped from. Made for readers that fail on null, mixed types and nesting (ArcSight's JSON
 * parsers): every member is text or a number, always the same, times are epoch milliseconds, what is not
 * known is not there.
 */

import { digitsOf, type WholeNumber, wholeNumber } from "../../json/exact-numbers.ts";
import { isObject, type JsonObject, objectsOf, recordObject, textOf, textsOf } from "../../json/record-object.ts";
import type { Delivery } from "../../model/event.ts";
import { msFromTicks, parseInstant } from "../../model/instant.ts";
import type { StreamName } from "../../model/stream.ts";
import { evidenceKind } from "../splunk/classic-entities.ts";
import { actionOf } from "./action.ts";
import { addressesOfHost, isIpv4 } from "./addresses.ts";
import { CEF_INTEGER_MAX } from "./cef-dictionary.ts";
import { cutText } from "./cef-line.ts";
import { addDirection, Direction } from "./direction.ts";
import {
  accountLabel,
  connectionEnd,
  deviceFacts,
  type EvidenceFacts,
  entityFacts,
  graphEvidenceFacts,
  ItemFacts,
  listed,
  putAddress,
  putComposed,
  putDeviceName,
} from "./evidence.ts";
import { addDevice, addFirst, copyFact, DEVICE, THREAT } from "./first-facts.ts";
import { mappedObject } from "./mapped-members.ts";
import { spelled } from "./spelling.ts";

/**
 * A class, so that each record has all members from the beginning: the runtime keeps an object of so many
 * members that grows, or a copy of it, in a form that is several times slower.
 */
export class FlatRecord extends Direction {
  tenantId = "";
  tenantName = "";
  cloud = "";
  stream = "";
  change = "";
  /** The same as a number: 1 for an updated version, else 0. */
  updated = 0;
  found = "";
  key = "";
  kind = "";
  /** As in CEF: `alert:<service>`, `incident`, `hunting`; `:evidence` at the end for one item of an alert. */
  eventClassId = "";
  id = "";
  lastUpdateTime = 0;
  title?: string;
  description?: string;
  /** Comma separated. */
  category?: string;
  /** `informational`, `low`, `medium`, `high`, `unknown`. */
  severity?: string;
  status?: string;
  classification?: string;
  determination?: string;
  /** Classification and determination together, when either says something. */
  reason?: string;
  /** What the product did: `blocked`, `prevented`, `detected`, `allowed`. */
  action?: string;
  /** One of SERVICES, else the name that Microsoft gives it. */
  service?: string;
  detectionSource?: string;
  detectorId?: string;
  /** The product that raised the alert; Sentinel passes on alerts of any vendor. */
  productName?: string;
  investigationState?: string;
  alertPolicyId?: string;
  providerAlertId?: string;
  /** Comma separated. */
  systemTags?: string;
  customTags?: string;
  /** `name=value`, comma separated. */
  customDetails?: string;
  /** Newest first, each with time and author. */
  comments?: string;
  /** Of an incident, 0 to 100. */
  priorityScore?: number;
  /** The incident that this one was merged into. */
  redirectIncidentId?: string;
  resolvingComment?: string;
  lastModifiedBy?: string;
  summary?: string;
  assignedTo?: string;
  createdTime?: number;
  firstActivityTime?: number;
  lastActivityTime?: number;
  resolvedTime?: number;
  alertUrl?: string;
  incidentUrl?: string;
  incidentId?: string;
  threatFamily?: string;
  actor?: string;
  /** Comma separated. */
  mitreTechniques?: string;
  evidenceCount?: number;
  evidenceLeftOut?: number;
  /** Of all evidence, comma separated: the devices, the accounts, and what is neither. */
  hosts?: string;
  users?: string;
  resources?: string;
  /** Of an alert the first of its resources. */
  reportedResourceId?: string;
  reportedResourceName?: string;
  reportedResourceType?: string;
  /**
   * Of an alert or incident its hosts, its users and what has no CEF key of its own; of one item its number,
   * verdict, remediation, roles and what has no member of its own.
   */
  evidenceContext?: string;
  /** The description with the subjects and resources before it, where there are any. */
  message?: string;
}

/**
 * The services that alerts come from, by their names in Graph and in the older APIs; anything else is
 * `other`. A closed set: class ids rest on it.
 */
export const SERVICES = {
  microsoftDefenderForEndpoint: ["microsoftdefenderatp", "windowsdefenderatp", "mdatp"],
  microsoftDefenderForIdentity: ["azureatp", "azureadvancedthreatprotection"],
  microsoftDefenderForCloudApps: ["microsoftcloudappsecurity", "mcas"],
  microsoftDefenderForOffice365: ["officeatp", "office365atp"],
  microsoft365Defender: ["microsoftthreatprotection", "mtp", "microsoftdefenderxdr"],
  azureAdIdentityProtection: ["aadidentityprotection", "microsoftentraidprotection"],
  microsoftAppGovernance: ["appgovernance"],
  dataLossPrevention: ["microsoftdatalossprevention"],
  microsoftDefenderForCloud: ["azuresecuritycenter"],
  microsoftSentinel: ["azuresentinel"],
  microsoftInsiderRiskManagement: ["insiderriskmanagement"],
  microsoftThreatIntelligence: [],
  microsoftSecurityForAI: [],
  other: [],
} as const satisfies Readonly<Record<string, readonly string[]>>;
export type Service = keyof typeof SERVICES;

const SERVICE_OF = new Map<string, Service>(
  (Object.keys(SERVICES) as Service[]).flatMap((service) =>
    [service.toLowerCase(), ...SERVICES[service]].map((name) => [name, service] as const),
  ),
);

export function serviceOf(name: string | undefined): Service {
  return SERVICE_OF.get((name ?? "").toLowerCase()) ?? "other";
}

/** A service that is not in the set keeps its own name; its class id is that of `other`. */
function serviceName(name: string | undefined): string {
  const service = serviceOf(name);
  return service === "other" ? (name ?? service) : service;
}

const TIME_BEFORE_FRACTION = "0000-00-00T00:00:00";

/**
 * The form that Graph writes, from 1970 on and up to the 28th of a month, without the pattern and the big
 * numbers that all forms take; else undefined.
 */
function plainTimeMs(text: string): number | undefined {
  if (text.length < 20 || text.charCodeAt(text.length - 1) !== 0x5a) return undefined;
  for (let i = 0; i < 19; i++) {
    const code = text.charCodeAt(i);
    const form = TIME_BEFORE_FRACTION.charCodeAt(i);
    if (form === 0x30 ? code < 0x30 || code > 0x39 : code !== form) return undefined;
  }
  const two = (at: number): number => text.charCodeAt(at) * 10 + text.charCodeAt(at + 1) - 528;
  let ms = 0;
  if (text.length > 20) {
    if (text.charCodeAt(19) !== 0x2e || text.length === 21) return undefined;
    for (let i = 20, worth = 100; i < text.length - 1; i++, worth = worth === 1 ? 0 : worth / 10) {
      const digit = text.charCodeAt(i) - 0x30;
      if (digit < 0 || digit > 9) return undefined;
      ms += digit * worth;
    }
  }
  const year = two(0) * 100 + two(2);
  const [month, day, hour, minute, second] = [two(5), two(8), two(11), two(14), two(17)];
  const isPlain =
    year >= 1970 && month >= 1 && month <= 12 && day >= 1 && day <= 28 && hour <= 23 && minute <= 59 && second <= 59;
  return isPlain ? Date.UTC(year, month - 1, day, hour, minute, second, ms) : undefined;
}

const FIRST_TIME_MS = Date.UTC(1971, 0, 1);
const LAST_TIME_MS = Date.UTC(2100, 0, 1);

/**
 * Systems that know no time write the first or the last that their clock can show: the years 1, 1601, 1970 or
 * 9999. Connectors read those as events of that day or not at all.
 */
export function isTimeOfEvent(ms: number): boolean {
  return ms >= FIRST_TIME_MS && ms < LAST_TIME_MS;
}

function timeOf(value: unknown): number | undefined {
  if (typeof value !== "string") return undefined;
  let ms = plainTimeMs(value);
  if (ms === undefined) {
    const ticks = parseInstant(value);
    if (ticks === undefined) return undefined;
    ms = msFromTicks(ticks);
  }
  return isTimeOfEvent(ms) ? ms : undefined;
}

/** Ids are strings in Graph and numbers elsewhere. */
function idOf(value: unknown): string | undefined {
  return digitsOf(value) ?? textOf(value);
}

/** Not one of 64 bits: what no double holds is not a score. */
function smallNumber(value: unknown): number | undefined {
  const number = wholeNumber(value);
  return typeof number === "number" ? number : undefined;
}

function lower(value: unknown): string | undefined {
  return textOf(value)?.toLowerCase();
}

function listOf(value: unknown): string | undefined {
  const texts = textsOf(value);
  return texts.length > 0 ? texts.join(",") : undefined;
}

/** A dictionary on one line. */
function detailsOf(value: unknown): string | undefined {
  if (!isObject(value)) return undefined;
  const parts = Object.entries(value).flatMap(([name, given]) => {
    const text = textOf(given) ?? digitsOf(given) ?? (given === null || given === "" ? "" : JSON.stringify(given));
    return text === "" ? [] : [`${name}=${text}`];
  });
  return listed(parts, ", ");
}

/** Members as Graph and the older APIs name them. */
function commentsOf(value: unknown): string | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const comments = objectsOf(value).flatMap((one) => {
    const comment = textOf(one["comment"]);
    if (comment === undefined) return [];
    const at = textOf(one["createdDateTime"]) ?? textOf(one["createdTime"]);
    const by = textOf(one["createdByDisplayName"]) ?? textOf(one["createdBy"]);
    const head = [at, by].filter((part) => part !== undefined).join(" ");
    return [{ ms: timeOf(at) ?? 0, text: head === "" ? comment : `${head}: ${comment}` }];
  });
  return listed(
    comments.toSorted((a, b) => b.ms - a.ms).map(({ text }) => text),
    " | ",
  );
}

/** For items that are few. */
function itemOf(values: { [K in keyof ItemFacts]: ItemFacts[K] | undefined }): ItemFacts {
  return Object.assign(new ItemFacts(), values as Partial<ItemFacts>);
}

function saysNothing(item: ItemFacts): boolean {
  return Object.values(item).every((value) => value === undefined);
}

interface Subject {
  /** What is said of the alert, incident or row itself: made anew for each caller, who adds to it. */
  readonly own: () => FlatRecord;
  readonly devices: readonly ItemFacts[];
  readonly items: readonly ItemFacts[];
}

/** While it is filled, a member may be given what is not known. */
type LooseRecord = { [K in keyof FlatRecord]: FlatRecord[K] | undefined };

type Reader = (record: JsonObject, delivery: Delivery) => Subject;

/** For records that are few. */
function recordOf(values: Partial<LooseRecord>): () => FlatRecord {
  return () => Object.assign(new FlatRecord(), values as Partial<FlatRecord>);
}

/** Names that Graph's alerts and the XDR API's alerts use for the same thing. */
function alertWords(record: JsonObject): LooseRecord {
  const words: LooseRecord = new FlatRecord();
  words.title = textOf(record["title"]);
  words.description = textOf(record["description"]);
  words.category = listOf(record["categories"]) ?? textOf(record["category"]);
  words.severity = severityOf(record["severity"]);
  words.status = spelled("status", textOf(record["status"]));
  words.classification = spelled("classification", textOf(record["classification"]));
  words.determination = spelled("determination", textOf(record["determination"]));
  words.detectionSource = spelled("detectionSource", textOf(record["detectionSource"]));
  words.detectorId = textOf(record["detectorId"]);
  words.productName = textOf(record["productName"]);
  words.investigationState = spelled("investigationState", textOf(record["investigationState"]));
  words.alertPolicyId = textOf(record["alertPolicyId"]);
  words.providerAlertId = textOf(record["providerAlertId"]);
  words.systemTags = listOf(record["systemTags"]);
  words.customDetails = detailsOf(record["customDetails"]);
  words.comments = commentsOf(record["comments"]);
  words.assignedTo = textOf(record["assignedTo"]);
  words.incidentId = idOf(record["incidentId"]);
  words.threatFamily = textOf(record["threatFamilyName"]);
  words.mitreTechniques = listOf(record["mitreTechniques"]);
  words.resolvedTime = timeOf(record["resolvedDateTime"]) ?? timeOf(record["resolvedTime"]);
  return words;
}

/**
 * Microsoft writes `unSpecified`, `unknown` and newer members: outside of the four there is only `unknown`.
 */
function severityOf(value: unknown): string | undefined {
  const severity = lower(value);
  if (severity === undefined) return undefined;
  return ["informational", "low", "medium", "high"].includes(severity) ? severity : "unknown";
}

const graphAlert: Reader = (record) => {
  const devices: JsonObject[] = [];
  const items: JsonObject[] = [];
  for (const item of objectsOf(record["evidence"]))
    (evidenceKind(item) === "deviceEvidence" ? devices : items).push(item);
  // A device that plays a role in the alert says more than one that is merely mentioned.
  if (devices.length > 1) devices.sort((a, b) => Number(hasRole(b)) - Number(hasRole(a)));
  return {
    own: () => {
      const own = alertWords(record);
      own.service = serviceName(textOf(record["serviceSource"]));
      own.threatName = textOf(record["threatDisplayName"]);
      own.actor = textOf(record["actorDisplayName"]);
      own.createdTime = timeOf(record["createdDateTime"]);
      own.firstActivityTime = timeOf(record["firstActivityDateTime"]);
      own.lastActivityTime = timeOf(record["lastActivityDateTime"]);
      own.alertUrl = textOf(record["alertWebUrl"]);
      own.incidentUrl = textOf(record["incidentWebUrl"]);
      return own as FlatRecord;
    },
    devices: devices.map(graphEvidenceFacts),
    items: items.map(graphEvidenceFacts),
  };
};

function hasRole(device: JsonObject): boolean {
  return Array.isArray(device["roles"]) && device["roles"].length > 0;
}

const xdrAlert: Reader = (record) => ({
  own: () => {
    const own = alertWords(record);
    own.service = serviceName(textOf(record["serviceSource"]));
    own.actor = textOf(record["actorName"]);
    own.createdTime = timeOf(record["creationTime"]);
    own.firstActivityTime = timeOf(record["firstActivity"]);
    own.lastActivityTime = timeOf(record["lastActivity"]);
    return own as FlatRecord;
  },
  devices: objectsOf(record["devices"]).map(deviceFacts),
  items: objectsOf(record["entities"]).map(entityFacts),
});

const mdeAlert: Reader = (record) => {
  const related = isObject(record["relatedUser"]) ? record["relatedUser"] : {};
  const user = itemOf({
    evidenceKind: "user",
    userName: textOf(related["userName"]),
    userDomain: textOf(related["domainName"]),
  });
  const device = deviceFacts({
    mdeDeviceId: record["machineId"],
    deviceDnsName: record["computerDnsName"],
    rbacGroupName: record["rbacGroupName"],
  });
  return {
    own: () => {
      const own = alertWords(record);
      own.service = "microsoftDefenderForEndpoint";
      own.threatName = textOf(record["threatName"]);
      own.createdTime = timeOf(record["alertCreationTime"]);
      own.firstActivityTime = timeOf(record["firstEventTime"]);
      own.lastActivityTime = timeOf(record["lastEventTime"]);
      return own as FlatRecord;
    },
    devices: saysNothing(device) ? [] : [device],
    items: [...objectsOf(record["evidence"]).map(entityFacts), ...(user.userName === undefined ? [] : [user])],
  };
};

const siemAlert: Reader = (record) => {
  const name = textOf(record["ComputerDnsName"]);
  const lists = [record["InternalIPv4List"], record["InternalIPv6List"]].flatMap((list) => textOf(list) ?? []);
  const addresses = addressesOfHost(lists.flatMap((list) => list.split(/[,; ]+/)));
  const device = itemOf({
    deviceName: name ?? textOf(record["MachineName"]),
    deviceHost: textOf(record["MachineName"]),
    deviceDomain: textOf(record["MachineDomain"]),
    deviceId: textOf(record["DeviceID"]),
    deviceGroup: textOf(record["MachineGroup"]),
    loggedOnUsers: textOf(record["LogOnUsers"]),
    deviceIp: addresses.ipv4,
    deviceIpv6: addresses.ipv6,
    deviceAddresses: lists.length > 0 ? lists.join(", ") : undefined,
  });
  const item = itemOf({
    userName: textOf(record["UserName"]),
    userDomain: textOf(record["UserDomain"]),
    fileName: textOf(record["FileName"]),
    filePath: textOf(record["FilePath"]),
    sha1: textOf(record["Sha1"]),
    sha256: textOf(record["Sha256"]),
    md5: textOf(record["Md5"]),
    commandLine: textOf(record["CommandLine"]),
    url: textOf(record["Url"]),
    remediationStatus: textOf(record["RemediationAction"]),
  });
  putAddress(item, textOf(record["IpAddress"]));
  putComposed(item);
  return {
    own: recordOf({
      id: textOf(record["AlertId"]),
      title: textOf(record["AlertTitle"]),
      description: textOf(record["Description"]),
      category: textOf(record["Category"]),
      severity: severityOf(record["Severity"]),
      service: "microsoftDefenderForEndpoint",
      detectionSource: spelled("detectionSource", textOf(record["Source"])),
      detectorId: textOf(record["IoaDefinitionId"]) ?? textOf(record["IoaDefinitiondId"]),
      createdTime: timeOf(record["AlertTime"]),
      alertUrl: textOf(record["LinkToWDATP"]),
      incidentUrl: textOf(record["IncidentLinkToWDATP"]),
      threatName: textOf(record["ThreatName"]),
      threatFamily: textOf(record["ThreatFamily"]),
      actor: textOf(record["Actor"]),
    }),
    devices: [device],
    items: saysNothing(item) ? [] : [item],
  };
};

const incident: Reader = (record) => ({
  own: recordOf({
    title: textOf(record["displayName"]) ?? textOf(record["incidentName"]),
    description: textOf(record["description"]) ?? textOf(record["summary"]),
    severity: severityOf(record["severity"]),
    status: spelled("status", textOf(record["status"])),
    classification: spelled("classification", textOf(record["classification"])),
    determination: spelled("determination", textOf(record["determination"])),
    priorityScore: smallNumber(record["priorityScore"]),
    redirectIncidentId: idOf(record["redirectIncidentId"]),
    systemTags: listOf(record["systemTags"]),
    customTags: listOf(record["customTags"]) ?? listOf(record["tags"]),
    comments: commentsOf(record["comments"]),
    resolvingComment: textOf(record["resolvingComment"]),
    lastModifiedBy: textOf(record["lastModifiedBy"]),
    summary: textOf(record["summary"]),
    assignedTo: textOf(record["assignedTo"]),
    createdTime: timeOf(record["createdDateTime"]) ?? timeOf(record["createdTime"]),
    incidentUrl: textOf(record["incidentWebUrl"]) ?? textOf(record["incidentUri"]),
    incidentId: idOf(record["id"]) ?? idOf(record["incidentId"]),
  }),
  devices: [],
  items: [],
});

/** Columns that most hunting tables share (Microsoft's "Advanced hunting schema"). */
const huntingRow: Reader = (record, delivery) => {
  const column = (...names: readonly string[]): string | undefined =>
    names.map((name) => textOf(record[name])).find((value) => value !== undefined);
  const local = column("LocalIP");
  const device = itemOf({
    deviceId: column("DeviceId"),
    deviceIp: local !== undefined && isIpv4(local) ? local : undefined,
  });
  const name = column("DeviceName");
  if (name !== undefined) putDeviceName(device, name);
  const remote = column("RemoteIP", "IPAddress");
  const processId = wholeNumber(record["ProcessId"]);
  const item = itemOf({
    userName: column("AccountName"),
    userDomain: column("AccountDomain"),
    userSid: column("AccountSid"),
    userPrincipalName: column("AccountUpn"),
    fileName: column("FileName"),
    filePath: column("FolderPath"),
    sha1: column("SHA1"),
    sha256: column("SHA256"),
    md5: column("MD5"),
    fileSize: wholeNumber(record["FileSize"]),
    processName: processId === undefined ? undefined : column("FileName"),
    commandLine: column("ProcessCommandLine"),
    processId,
    parentProcessName: column("InitiatingProcessFileName"),
    parentProcessId: wholeNumber(record["InitiatingProcessId"]),
    protocol: lower(record["Protocol"]),
    url: column("RemoteUrl", "Url"),
    connection:
      remote === undefined
        ? undefined
        : {
            near: connectionEnd(local, record["LocalPort"]),
            far: connectionEnd(remote, record["RemotePort"]),
            farByRole: false,
          },
  });
  putAddress(item, remote);
  putComposed(item);
  return {
    own: recordOf({
      title: delivery.record.id.includes("/")
        ? delivery.record.id.slice(0, delivery.record.id.lastIndexOf("/"))
        : "Hunting row",
      category: column("ActionType"),
      description: JSON.stringify(record),
    }),
    devices: [device],
    items: [item],
  };
};

const READERS: Readonly<Record<StreamName, Reader>> = {
  alerts: graphAlert,
  incidents: graphAlert,
  "xdr-incidents": xdrAlert,
  "mde-alerts": mdeAlert,
  "siem-alerts": siemAlert,
  hunting: huntingRow,
};

/**
 * Members of Graph's alerts that no field is made of. The first is the longest of most alerts; numbers of any
 * length stand in the second, and reading them exactly takes the whole record more time.
 */
const NOT_MAPPED = ["recommendedActions", "additionalData"] as const;

export interface FlatView {
  /** The record with the first evidence of each kind. */
  readonly summary: FlatRecord;
  /**
   * The record once per evidence item, each with that item alone and its device. Empty without evidence.
   */
  readonly perItem: () => readonly FlatRecord[];
}

/**
 * Every member a flat record can have, in the order of writing, and what it holds. The flat JSON, its parser
 * file and the docs go by this table.
 */
export const FLAT_FIELDS = {
  tenantId: "text",
  tenantName: "text",
  cloud: "text",
  stream: "text",
  change: "text",
  updated: "number",
  found: "text",
  key: "text",
  kind: "text",
  eventClassId: "text",
  id: "text",
  lastUpdateTime: "time",
  createdTime: "time",
  firstActivityTime: "time",
  lastActivityTime: "time",
  resolvedTime: "time",
  title: "text",
  severity: "text",
  status: "text",
  category: "text",
  classification: "text",
  determination: "text",
  reason: "text",
  action: "text",
  service: "text",
  detectionSource: "text",
  detectorId: "text",
  productName: "text",
  investigationState: "text",
  alertPolicyId: "text",
  providerAlertId: "text",
  systemTags: "text",
  customTags: "text",
  customDetails: "text",
  priorityScore: "number",
  redirectIncidentId: "text",
  lastModifiedBy: "text",
  resolvingComment: "text",
  comments: "text",
  summary: "text",
  assignedTo: "text",
  incidentId: "text",
  alertUrl: "text",
  incidentUrl: "text",
  threatName: "text",
  threatFamily: "text",
  actor: "text",
  mitreTechniques: "text",
  description: "text",
  evidenceCount: "number",
  evidenceLeftOut: "number",
  evidenceKind: "text",
  verdict: "text",
  remediationStatus: "text",
  detectionStatus: "text",
  roles: "text",
  deviceName: "text",
  deviceHost: "text",
  deviceDomain: "text",
  deviceNtDomain: "text",
  deviceId: "text",
  deviceIp: "text",
  deviceIpv6: "text",
  deviceExternalIp: "text",
  deviceMac: "text",
  deviceAddresses: "text",
  deviceGroup: "text",
  deviceTags: "text",
  loggedOnUsers: "text",
  userName: "text",
  userDomain: "text",
  userSid: "text",
  userPrincipalName: "text",
  userId: "text",
  fileName: "text",
  filePath: "text",
  fullFilePath: "text",
  sha1: "text",
  sha256: "text",
  md5: "text",
  fileSize: "number",
  processName: "text",
  commandLine: "text",
  processId: "number",
  parentProcessName: "text",
  parentProcessId: "number",
  url: "text",
  ip: "text",
  ipv6: "text",
  protocol: "text",
  userAgent: "text",
  sender: "text",
  recipient: "text",
  subject: "text",
  deliveryAction: "text",
  messageId: "text",
  registryKey: "text",
  application: "text",
  applicationId: "text",
  resourceId: "text",
  resourceName: "text",
  resourceType: "text",
  hosts: "text",
  users: "text",
  resources: "text",
  reportedResourceId: "text",
  reportedResourceName: "text",
  reportedResourceType: "text",
  evidenceContext: "text",
  message: "text",
  sourceHost: "text",
  sourceDomain: "text",
  sourceIp: "text",
  sourceIpv6: "text",
  sourceExternalIp: "text",
  sourceMac: "text",
  sourcePort: "number",
  sourceUser: "text",
  sourceNtDomain: "text",
  sourceUserId: "text",
  destinationHost: "text",
  destinationDomain: "text",
  destinationIp: "text",
  destinationIpv6: "text",
  destinationExternalIp: "text",
  destinationMac: "text",
  destinationPort: "number",
  destinationUser: "text",
  destinationNtDomain: "text",
  destinationUserId: "text",
} as const satisfies Readonly<Record<keyof FlatRecord, "text" | "time" | "number">>;

/** Reads a delivery's record into its flat forms. */
export function flatten(delivery: Delivery): FlatView {
  const { tenant, stream, change, found, key, record } = delivery;
  const object = stream === "alerts" ? mappedObject(record.body, NOT_MAPPED) : recordObject(record.body);
  const { own, devices, items } = (record.kind === "incident" ? incident : READERS[stream])(object, delivery);
  const action = actionOf([...items, ...devices]);
  const lastUpdateTime = msFromTicks(record.updated);
  const evidenceCount = items.length + devices.length + unreadEvidence(record);
  const withoutEvidence = (): FlatRecord => {
    const flat = own();
    flat.tenantId = tenant.id;
    flat.tenantName = tenant.name;
    flat.cloud = tenant.cloud;
    flat.stream = stream;
    flat.change = change;
    flat.updated = change === "updated" ? 1 : 0;
    flat.found = found;
    flat.key = key;
    flat.kind = record.kind;
    flat.eventClassId =
      record.kind === "incident" ? "incident" : record.kind === "row" ? "hunting" : `alert:${serviceOf(flat.service)}`;
    if (!flat.id) flat.id = record.id;
    flat.lastUpdateTime = lastUpdateTime;
    if (action !== undefined) flat.action = action;
    const reason = reasonOf(flat);
    if (reason !== undefined) flat.reason = reason;
    if (evidenceCount > 0) flat.evidenceCount = evidenceCount;
    return flat;
  };
  return {
    summary: withOwnContext(summaryOf(withoutEvidence(), devices, items)),
    perItem: () => itemRecords(withoutEvidence(), devices, items),
  };
}

/** Members that only `evidenceContext` brings to CEF, before and after the names of hosts and users. */
const CONTEXT_BEFORE = [
  ["Product", "productName"],
  ["Investigation", "investigationState"],
  ["Delivery", "deliveryAction"],
] as const;
const CONTEXT_AFTER = [
  ["Assigned to", "assignedTo"],
  ["System tags", "systemTags"],
  ["Policy", "alertPolicyId"],
  ["Provider's alert", "providerAlertId"],
  ["Custom details", "customDetails"],
  ["Resolving comment", "resolvingComment"],
  ["Comments", "comments"],
  ["Summary", "summary"],
] as const;

function withOwnContext(record: FlatRecord): FlatRecord {
  let context = "";
  const add = (text: string): void => {
    context += context === "" ? text : `; ${text}`;
  };
  for (const [label, name] of CONTEXT_BEFORE) if (record[name] !== undefined) add(`${label}: ${record[name]}`);
  if (record.evidenceContext !== undefined) add(record.evidenceContext);
  for (const [label, name] of CONTEXT_AFTER) {
    const text = record[name];
    // What stands in another field already is not written again.
    if (text === undefined || text === record.id || text === record.description) continue;
    add(`${label}: ${text}`);
  }
  if (context !== "") record.evidenceContext = cutText(context, CONTEXT_MAX);
  return record;
}

/** The record with the first evidence of each kind, and the names of all. */
function summaryOf(summary: FlatRecord, devices: readonly ItemFacts[], items: readonly ItemFacts[]): FlatRecord {
  const ordered = items.length < 2 ? items : items.toSorted((a, b) => rank(a) - rank(b));
  const [device, ...others] = devices;
  let taken = summary.threatName === undefined ? 0 : THREAT;
  let usedCount = others.filter(isNamed).length;
  if (device !== undefined) {
    usedCount++;
    if (addDevice(summary, device)) taken |= DEVICE;
  }
  for (const item of ordered) {
    const before = taken;
    taken = addFirst(summary, item, taken);
    if (taken !== before || isNamed(item)) usedCount++;
  }
  const all = device === undefined ? ordered : [...devices, ...ordered];
  // A process has statuses of its own, and they say less than those of what it ran.
  for (const item of items) if (item.evidenceKind !== "process") addStatuses(summary, item);
  for (const item of items) if (item.evidenceKind === "process") addStatuses(summary, item);
  if (all.length > 0) {
    addDirection(summary, all);
    addNames(summary, all);
  }
  const leftOut = (summary.evidenceCount ?? 0) - usedCount;
  if (leftOut > 0) summary.evidenceLeftOut = leftOut;
  return summary;
}

/** One record per item, with its device. */
function itemRecords(
  withoutEvidence: FlatRecord,
  devices: readonly ItemFacts[],
  items: readonly ItemFacts[],
): readonly FlatRecord[] {
  // The device of the Endpoint API's alert is not an item of its evidence.
  const all = [...items, ...devices.filter(({ evidenceKind: kind }) => kind !== undefined)];
  const byId = new Map<string | undefined, ItemFacts>(devices.toReversed().map((device) => [device.deviceId, device]));
  return all.map((item, i): FlatRecord => {
    const isDevice = i >= items.length;
    const own = isDevice || item.deviceHost !== undefined || item.deviceIp !== undefined;
    const device = own
      ? undefined
      : ((item.deviceId === undefined ? undefined : byId.get(item.deviceId)) ?? devices[0]);
    const record = Object.assign(new FlatRecord(), withoutEvidence);
    record.eventClassId = `${record.eventClassId}:evidence`;
    if (device !== undefined) addDevice(record, device);
    for (const name in item)
      if (name !== "connection" && name !== "details") copyFact(record, item, name as keyof EvidenceFacts);
    addDirection(record, device === undefined ? [item] : [device, item]);
    // CEF has one field for each of these; the alert's own line has the alert's.
    if (item.resourceId !== undefined || item.resourceName !== undefined) {
      clear(record, "mitreTechniques");
      clear(record, "actor");
      if (item.threatName === undefined) clear(record, "threatName");
    } else if (item.commandLine !== undefined) clear(record, "actor");
    clear(record, "action");
    const action = actionOf([item]);
    if (action !== undefined) record.action = action;
    record.evidenceContext = itemContext(item, `${i + 1} of ${all.length}`);
    return record;
  });
}

/** Not deleted: that would make the object slow. */
function clear(record: LooseRecord, name: "mitreTechniques" | "actor" | "threatName" | "action"): void {
  record[name] = undefined;
}

/** What holds a file, an account or an address of something else comes after evidence of these proper. */
const COMPOSED_KINDS = new Set([
  "process",
  "mailmessage",
  "submissionmail",
  "teamsmessage",
  "malware",
  "cloudlogonsession",
  "hostlogonsession",
  "networkconnection",
  "dns",
  "blob",
  "blobcontainer",
  "kubernetesserviceaccount",
  "serviceprincipal",
]);

function rank({ evidenceKind: kind }: ItemFacts): number {
  return kind !== undefined && COMPOSED_KINDS.has(kind) ? 1 : 0;
}

/** Sizes of the lists in `evidenceContext`: both fit into CEF's 2,048. */
const CONTEXT_MAX = 2048;
const CONTEXT_HOSTS_MAX = 1200;
const CONTEXT_USERS_MAX = 800;

/** Whether the alert's line has the item's name among those of all items. */
function isNamed(item: ItemFacts): boolean {
  const { deviceHost, userName, userPrincipalName, resourceName, resourceId } = item;
  return (deviceHost ?? userName ?? userPrincipalName ?? resourceName ?? resourceId) !== undefined;
}

/** All names of the items. */
function addNames(summary: FlatRecord, items: readonly ItemFacts[]): void {
  const hosts: string[] = [];
  const users: string[] = [];
  const resources: string[] = [];
  const subjects: string[] = [];
  for (const item of items) {
    const host = item.deviceName;
    if (host !== undefined) hosts.push(host);
    const user = userLabel(item);
    if (user !== undefined) users.push(user);
    const resource = resourceLabel(item);
    if (resource !== undefined) {
      if (resources.length === 0) addReported(summary, item);
      resources.push(resource);
    }
    if (item.subject !== undefined) subjects.push(item.subject);
  }
  let context = "";
  if (hosts.length > 0) {
    summary.hosts = listed(hosts, ", ")!;
    context = `Hosts: ${listed(hosts, ", ", CONTEXT_HOSTS_MAX)}`;
  }
  if (users.length > 0) {
    summary.users = listed(users, ", ")!;
    context += `${context === "" ? "" : "; "}Users: ${listed(users, ", ", CONTEXT_USERS_MAX)}`;
  }
  if (summary.registryKey !== undefined) context += `${context === "" ? "" : "; "}Registry key: ${summary.registryKey}`;
  for (const more of largeNumbers(summary)) context += `${context === "" ? "" : "; "}${more}`;
  if (context !== "") summary.evidenceContext = context;
  if (resources.length === 0 && subjects.length === 0) return;
  if (resources.length > 0) summary.resources = listed(resources, ", ")!;
  const before = [
    ...labelled("Subject", listed(subjects, "; ", 300)),
    ...labelled("Resources", listed(resources, ", ", 400)),
  ].join("; ");
  summary.message = summary.description === undefined ? before : `${before}. ${summary.description}`;
}

function addReported(summary: FlatRecord, { resourceId, resourceName, resourceType }: ItemFacts): void {
  if (resourceId !== undefined) summary.reportedResourceId = resourceId;
  if (resourceName !== undefined) summary.reportedResourceName = resourceName;
  if (resourceType !== undefined) summary.reportedResourceType = resourceType;
}

function labelled(label: string, text: string | undefined): readonly string[] {
  return text === undefined ? [] : [`${label}: ${text}`];
}

function userLabel({ userName, userDomain, userPrincipalName }: ItemFacts): string | undefined {
  if (userName === undefined) return userPrincipalName;
  const account = accountLabel(userName, userDomain);
  return userPrincipalName === undefined || userPrincipalName === userName
    ? account
    : `${account} (${userPrincipalName})`;
}

function resourceLabel({ resourceName, resourceId, resourceType }: ItemFacts): string | undefined {
  const name = resourceName ?? resourceId;
  return name === undefined || resourceType === undefined ? name : `${name} (${resourceType})`;
}

function isSmall(value: WholeNumber | undefined): boolean {
  return value === undefined || (typeof value === "number" && Math.abs(value) <= CEF_INTEGER_MAX);
}

/** Numbers that CEF has no room for, as text. */
function largeNumbers({ processId, parentProcessId, fileSize }: EvidenceFacts): readonly string[] {
  if (isSmall(processId) && isSmall(parentProcessId) && isSmall(fileSize)) return [];
  const large = (label: string, value: WholeNumber | undefined): readonly string[] =>
    isSmall(value) ? [] : labelled(label, digitsOf(value));
  return [
    ...large("Process ID", processId),
    ...large("Parent process ID", parentProcessId),
    ...large("File size", fileSize),
  ];
}

/** An item's state in words that an analyst reads and a rule can look for. */
function itemContext(item: ItemFacts, number: string): string {
  const { verdict, remediationStatus, detectionStatus, roles } = item;
  const parts = [
    `Item: ${number}`,
    ...labelled("Verdict", verdict),
    ...labelled("Remediation", remediationStatus),
    ...labelled("Detection", detectionStatus),
    ...labelled("Roles", roles),
    ...labelled("User", userLabel(item)),
    ...labelled("Registry key", item.registryKey),
    ...largeNumbers(item),
    ...labelled("Subject", item.subject),
    ...labelled("Delivery", item.deliveryAction),
    ...labelled("Message ID", item.messageId),
    ...labelled("Application ID", item.applicationId),
    ...(item.details?.() ?? []),
  ];
  return listed(parts, "; ", CONTEXT_MAX) ?? "";
}

/** Lists of evidence, by their names in Graph, the Endpoint API and the XDR API. */
const EVIDENCE_LISTS = new Set(["evidence", "entities", "devices"]);

/** Evidence of an alert that was too large to be held: counted, not read. */
function unreadEvidence({ kind, reduced }: Delivery["record"]): number {
  if (reduced === undefined || kind !== "alert") return 0;
  return reduced.leftOut.reduce(
    (sum, { name, elementCount = 0 }) => sum + (EVIDENCE_LISTS.has(name) ? elementCount : 0),
    0,
  );
}

function reasonOf({ classification, determination }: Partial<FlatRecord>): string | undefined {
  const parts = [classification, determination].filter((part) => part !== undefined);
  return parts.some((part) => !["unknown", "notavailable"].includes(part.toLowerCase())) ? parts.join("/") : undefined;
}

/** An item of which only statuses were read does not count as used. */
function addStatuses(summary: FlatRecord, { detectionStatus, remediationStatus }: ItemFacts): void {
  if (detectionStatus !== undefined) summary.detectionStatus ??= detectionStatus;
  if (remediationStatus !== undefined) summary.remediationStatus ??= remediationStatus;
}
