/**
 * A record as one flat object, whichever API it came from: what CEF, the flat JSON and the retired SIEM API's
 * form are mapped from. Made for readers that fail on null, mixed types and nesting (ArcSight's JSON
 * parsers): every member is text or a number, always the same, times are epoch milliseconds, what is not
 * known is not there.
 */

import { isObject, type JsonObject, objectsOf, recordObject, textOf } from "../../json/record-object.ts";
import type { Delivery } from "../../model/event.ts";
import { msFromTicks, parseInstant } from "../../model/instant.ts";
import type { StreamName } from "../../model/stream.ts";
import { evidenceKind } from "../splunk/classic-entities.ts";
import {
  deviceFacts,
  type EvidenceFacts,
  entityFacts,
  graphEvidenceFacts,
  isIpv4,
  isIpv6,
  splitDnsName,
} from "./evidence.ts";

export interface FlatRecord extends EvidenceFacts {
  tenantId: string;
  tenantName: string;
  cloud: string;
  stream: string;
  change: string;
  found: string;
  key: string;
  kind: string;
  /** As in CEF: `alert:<service>`, `incident`, `hunting`; `:evidence` at the end for one item of an alert. */
  eventClassId: string;
  id: string;
  lastUpdateTime: number;
  title?: string;
  description?: string;
  category?: string;
  /** `informational`, `low`, `medium`, `high`, `unknown`. */
  severity?: string;
  status?: string;
  classification?: string;
  determination?: string;
  /** Classification and determination together, when either says something. */
  reason?: string;
  /** One of SERVICES. */
  service?: string;
  detectionSource?: string;
  detectorId?: string;
  assignedTo?: string;
  createdTime?: number;
  firstActivityTime?: number;
  lastActivityTime?: number;
  resolvedTime?: number;
  alertUrl?: string;
  incidentUrl?: string;
  incidentId?: string;
  threatName?: string;
  threatFamily?: string;
  actor?: string;
  /** Comma separated. */
  mitreTechniques?: string;
  evidenceCount?: number;
  evidenceLeftOut?: number;
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
  return typeof value === "number" ? String(value) : textOf(value);
}

function lower(value: unknown): string | undefined {
  return textOf(value)?.toLowerCase();
}

function listOf(value: unknown): string | undefined {
  const texts = Array.isArray(value) ? value.map(textOf).filter((text) => text !== undefined) : [];
  return texts.length > 0 ? texts.join(",") : undefined;
}

/** Drops what is undefined, so that a member is there or not. */
function known<T extends object>(values: { [K in keyof T]: T[K] | undefined }): T {
  const object: Record<string, unknown> = {};
  for (const name in values) if (values[name as keyof T] !== undefined) object[name] = values[name as keyof T];
  return object as T;
}

interface Subject {
  /** What is said of the alert, incident or row itself. */
  readonly own: Partial<FlatRecord>;
  readonly devices: readonly EvidenceFacts[];
  readonly items: readonly EvidenceFacts[];
}

type Reader = (record: JsonObject, delivery: Delivery) => Subject;

/** Names that Graph's alerts and the XDR API's alerts use for the same thing. */
function alertWords(record: JsonObject): Partial<FlatRecord> {
  return known<Partial<FlatRecord>>({
    title: textOf(record["title"]),
    description: textOf(record["description"]),
    category: textOf(record["category"]),
    severity: severityOf(record["severity"]),
    status: textOf(record["status"]),
    classification: textOf(record["classification"]),
    determination: textOf(record["determination"]),
    detectionSource: textOf(record["detectionSource"]),
    detectorId: textOf(record["detectorId"]),
    assignedTo: textOf(record["assignedTo"]),
    incidentId: idOf(record["incidentId"]),
    threatFamily: textOf(record["threatFamilyName"]),
    mitreTechniques: listOf(record["mitreTechniques"]),
    resolvedTime: timeOf(record["resolvedDateTime"]) ?? timeOf(record["resolvedTime"]),
  });
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
  const evidence = objectsOf(record["evidence"]);
  // A device that plays a role in the alert says more than one that is merely mentioned.
  const devices = evidence
    .filter((item) => evidenceKind(item) === "deviceEvidence")
    .toSorted((a, b) => Number(hasRole(b)) - Number(hasRole(a)));
  return {
    own: {
      ...alertWords(record),
      ...known<Partial<FlatRecord>>({
        service: serviceOf(textOf(record["serviceSource"])),
        threatName: textOf(record["threatDisplayName"]),
        actor: textOf(record["actorDisplayName"]),
        createdTime: timeOf(record["createdDateTime"]),
        firstActivityTime: timeOf(record["firstActivityDateTime"]),
        lastActivityTime: timeOf(record["lastActivityDateTime"]),
        alertUrl: textOf(record["alertWebUrl"]),
        incidentUrl: textOf(record["incidentWebUrl"]),
      }),
    },
    devices: devices.map(deviceFacts),
    items: evidence.filter((item) => evidenceKind(item) !== "deviceEvidence").map(graphEvidenceFacts),
  };
};

function hasRole(device: JsonObject): boolean {
  return Array.isArray(device["roles"]) && device["roles"].length > 0;
}

const xdrAlert: Reader = (record) => ({
  own: {
    ...alertWords(record),
    ...known<Partial<FlatRecord>>({
      service: serviceOf(textOf(record["serviceSource"])),
      actor: textOf(record["actorName"]),
      createdTime: timeOf(record["creationTime"]),
      firstActivityTime: timeOf(record["firstActivity"]),
      lastActivityTime: timeOf(record["lastActivity"]),
    }),
  },
  devices: objectsOf(record["devices"]).map(deviceFacts),
  items: objectsOf(record["entities"]).map(entityFacts),
});

const mdeAlert: Reader = (record) => {
  const related = isObject(record["relatedUser"]) ? record["relatedUser"] : {};
  const user = known<EvidenceFacts>({
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
    own: {
      ...alertWords(record),
      ...known<Partial<FlatRecord>>({
        service: "microsoftDefenderForEndpoint",
        threatName: textOf(record["threatName"]),
        createdTime: timeOf(record["alertCreationTime"]),
        firstActivityTime: timeOf(record["firstEventTime"]),
        lastActivityTime: timeOf(record["lastEventTime"]),
      }),
    },
    devices: Object.keys(device).length > 0 ? [device] : [],
    items: [...objectsOf(record["evidence"]).map(entityFacts), ...(user.userName === undefined ? [] : [user])],
  };
};

const siemAlert: Reader = (record) => {
  const name = textOf(record["ComputerDnsName"]);
  const device = known<EvidenceFacts>({
    deviceName: name ?? textOf(record["MachineName"]),
    deviceHost: textOf(record["MachineName"]),
    deviceDomain: textOf(record["MachineDomain"]),
    deviceId: textOf(record["DeviceID"]),
    deviceGroup: textOf(record["MachineGroup"]),
    loggedOnUsers: textOf(record["LogOnUsers"]),
    deviceIp: firstAddress(record["InternalIPv4List"], isIpv4),
    deviceIpv6: firstAddress(record["InternalIPv6List"], isIpv6),
    deviceAddresses:
      [record["InternalIPv4List"], record["InternalIPv6List"]].flatMap((list) => textOf(list) ?? []).join(", ") ||
      undefined,
  });
  const address = textOf(record["IpAddress"]);
  const item = known<EvidenceFacts>({
    userName: textOf(record["UserName"]),
    userDomain: textOf(record["UserDomain"]),
    fileName: textOf(record["FileName"]),
    filePath: textOf(record["FilePath"]),
    sha1: textOf(record["Sha1"]),
    sha256: textOf(record["Sha256"]),
    md5: textOf(record["Md5"]),
    commandLine: textOf(record["CommandLine"]),
    url: textOf(record["Url"]),
    ip: address !== undefined && isIpv4(address) ? address : undefined,
    ipv6: address !== undefined && isIpv6(address) ? address : undefined,
    remediationStatus: textOf(record["RemediationAction"]),
  });
  return {
    own: known<Partial<FlatRecord>>({
      id: textOf(record["AlertId"]),
      title: textOf(record["AlertTitle"]),
      description: textOf(record["Description"]),
      category: textOf(record["Category"]),
      severity: severityOf(record["Severity"]),
      service: "microsoftDefenderForEndpoint",
      detectionSource: textOf(record["Source"]),
      detectorId: textOf(record["IoaDefinitionId"]) ?? textOf(record["IoaDefinitiondId"]),
      createdTime: timeOf(record["AlertTime"]),
      alertUrl: textOf(record["LinkToWDATP"]),
      incidentUrl: textOf(record["IncidentLinkToWDATP"]),
      threatName: textOf(record["ThreatName"]),
      threatFamily: textOf(record["ThreatFamily"]),
      actor: textOf(record["Actor"]),
    }),
    devices: [device],
    items: Object.keys(item).length > 0 ? [item] : [],
  };
};

function firstAddress(list: unknown, is: (text: string) => boolean): string | undefined {
  return textOf(list)
    ?.split(/[,; ]+/)
    .find(is);
}

const incident: Reader = (record) => ({
  own: known<Partial<FlatRecord>>({
    title: textOf(record["displayName"]) ?? textOf(record["incidentName"]),
    description: textOf(record["description"]) ?? textOf(record["summary"]),
    severity: severityOf(record["severity"]),
    status: textOf(record["status"]),
    classification: textOf(record["classification"]),
    determination: textOf(record["determination"]),
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
  const device: EvidenceFacts = {};
  const name = column("DeviceName");
  if (name !== undefined)
    Object.assign(device, {
      deviceName: name,
      deviceHost: splitDnsName(name).host,
      deviceDomain: splitDnsName(name).domain,
    });
  const local = column("LocalIP");
  const remote = column("RemoteIP", "IPAddress");
  const processId = record["ProcessId"];
  return {
    own: known<Partial<FlatRecord>>({
      title: delivery.record.id.includes("/")
        ? delivery.record.id.slice(0, delivery.record.id.lastIndexOf("/"))
        : "Hunting row",
      category: column("ActionType"),
      description: JSON.stringify(record),
    }),
    devices: [
      known<EvidenceFacts>({
        ...device,
        deviceId: column("DeviceId"),
        deviceIp: local !== undefined && isIpv4(local) ? local : undefined,
      }),
    ],
    items: [
      known<EvidenceFacts>({
        userName: column("AccountName"),
        userDomain: column("AccountDomain"),
        userSid: column("AccountSid"),
        userPrincipalName: column("AccountUpn"),
        fileName: column("FileName"),
        filePath: column("FolderPath"),
        sha1: column("SHA1"),
        sha256: column("SHA256"),
        md5: column("MD5"),
        commandLine: column("ProcessCommandLine"),
        processId:
          typeof processId === "number" && Number.isSafeInteger(processId) && processId >= 0 ? processId : undefined,
        parentProcessName: column("InitiatingProcessFileName"),
        url: column("RemoteUrl", "Url"),
        ip: remote !== undefined && isIpv4(remote) ? remote : undefined,
        ipv6: remote !== undefined && isIpv6(remote) ? remote : undefined,
      }),
    ],
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

/** The longest member of most alerts of Graph, and one that no field is made of. */
const NOT_MAPPED = "recommendedActions";

export interface FlatView {
  /** The record with the first evidence of each kind. */
  readonly summary: FlatRecord;
  /**
   * The record once per evidence item, each with that item alone and its device, and once per further device.
   * Empty without evidence.
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
  service: "text",
  detectionSource: "text",
  detectorId: "text",
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
  deviceName: "text",
  deviceHost: "text",
  deviceDomain: "text",
  deviceId: "text",
  deviceIp: "text",
  deviceIpv6: "text",
  deviceAddresses: "text",
  deviceGroup: "text",
  deviceTags: "text",
  loggedOnUsers: "text",
  userName: "text",
  userDomain: "text",
  userSid: "text",
  userPrincipalName: "text",
  fileName: "text",
  filePath: "text",
  sha1: "text",
  sha256: "text",
  md5: "text",
  fileSize: "number",
  commandLine: "text",
  processId: "number",
  parentProcessName: "text",
  url: "text",
  ip: "text",
  ipv6: "text",
  sender: "text",
  recipient: "text",
  subject: "text",
  registryKey: "text",
  application: "text",
} as const satisfies Readonly<Record<keyof FlatRecord, "text" | "time" | "number">>;

/** Reads a delivery's record into its flat forms. */
export function flatten(delivery: Delivery): FlatView {
  const { tenant, stream, change, found, key, record } = delivery;
  const object = recordObject(record.body, stream === "alerts" ? NOT_MAPPED : undefined);
  const { own, devices, items } = (record.kind === "incident" ? incident : READERS[stream])(object, delivery);
  const lastUpdateTime = msFromTicks(record.updated);
  const base: FlatRecord = {
    tenantId: tenant.id,
    tenantName: tenant.name,
    cloud: tenant.cloud,
    stream,
    change,
    found,
    key,
    kind: record.kind,
    eventClassId:
      record.kind === "incident" ? "incident" : record.kind === "row" ? "hunting" : `alert:${own.service ?? "other"}`,
    id: record.id,
    lastUpdateTime,
    ...own,
  };
  const reason = reasonOf(own);
  if (reason !== undefined) base.reason = reason;
  const evidenceCount = items.length + devices.length + unreadEvidence(record);
  if (evidenceCount > 0) base.evidenceCount = evidenceCount;
  const summary: FlatRecord = { ...base, ...devices[0] };
  let used = devices.length > 0 ? 1 : 0;
  // A process carries a file and a user as well: evidence of files and users proper comes before it.
  for (const item of items.toSorted(
    (a, b) => Number(a.evidenceKind === "process") - Number(b.evidenceKind === "process"),
  )) {
    if (addFirst(summary, item)) used++;
  }
  const leftOut = evidenceCount - used;
  if (leftOut > 0) summary.evidenceLeftOut = leftOut;
  const perItem = (): readonly FlatRecord[] => {
    const eventClassId = `${base.eventClassId}:evidence`;
    const records = items.map((item): FlatRecord => {
      const device = devices.find(({ deviceId }) => deviceId !== undefined && deviceId === item.deviceId) ?? devices[0];
      return { ...base, ...device, ...item, eventClassId };
    });
    for (const device of devices.slice(1)) records.push({ ...base, ...device, eventClassId, evidenceKind: "device" });
    return records;
  };
  return { summary, perItem };
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

/**
 * Members of an item that belong together: an item gives a group only when the record has nothing of it yet.
 */
const GROUPS = [
  ["fileName", "filePath", "sha1", "sha256", "md5", "fileSize"],
  ["commandLine", "processId", "parentProcessName"],
  ["userName", "userDomain", "userSid", "userPrincipalName"],
  ["url"],
  ["ip"],
  ["ipv6"],
  ["sender", "recipient", "subject"],
  ["registryKey"],
  ["application"],
  ["detectionStatus"],
  ["remediationStatus"],
] as const satisfies readonly (readonly (keyof EvidenceFacts)[])[];

/** An item of which only statuses were read does not count as used. */
const STATUS_GROUPS = 2;

function addFirst(summary: FlatRecord, item: EvidenceFacts): boolean {
  let added = false;
  for (let i = 0; i < GROUPS.length; i++) {
    const group: readonly (keyof EvidenceFacts)[] = GROUPS[i]!;
    if (group.every((name) => item[name] === undefined) || group.some((name) => summary[name] !== undefined)) continue;
    for (const name of group) copyFact(summary, item, name);
    if (i < GROUPS.length - STATUS_GROUPS) added = true;
  }
  return added;
}

function copyFact<K extends keyof EvidenceFacts>(
  to: Pick<EvidenceFacts, K>,
  from: Pick<EvidenceFacts, K>,
  name: K,
): void {
  const value = from[name];
  if (value !== undefined) to[name] = value;
}
