import type { Identity } from "../identity.ts";
import type { Random } from "../seeded-random.ts";
import type { StreamName } from "../streams.ts";

/**
 * What made-up records look like, list by list: the members and their order follow Microsoft's documentation
 * samples (Microsoft Graph docs: security-list-alerts_v2, security-list-incidents; Defender docs: get-alerts,
 * api-list-incidents, pull-alerts-using-rest-api), the values are invented.
 */
export interface BatchOptions {
  readonly identity: Identity;
  /** About how many bytes a record has. */
  readonly bytes?: number;
  readonly evidence: number;
  readonly alerts: number;
  readonly service: readonly string[] | undefined;
}

export interface RecordValues {
  readonly id: string;
  readonly index: number;
  readonly created: string;
  readonly updated: string;
  /** 0: as created; higher: later states. */
  readonly change: number;
  readonly random: Random;
}

interface Shape {
  id(guid: string, index: number): string;
  /** Prepares a batch; the result writes one record as compact JSON. */
  prepare(options: BatchOptions): (values: RecordValues) => string;
}

/**
 * A place in a template that differs per record. Written as a private-use character and a name, so that the
 * template can be made with JSON.stringify and cut afterwards: joining pieces is many times faster than
 * writing objects.
 */
const slot = (name: string): string => `\uE000${name}\uE001`;

type Fill = (name: string, values: RecordValues) => string;

function template(sample: unknown, fill: Fill): (values: RecordValues) => string {
  // A bare slot stands for a number or null: its quotes go with it.
  const pieces = JSON.stringify(sample)
    .replaceAll(/"\uE000(#[^\uE001]*)\uE001"/g, "\uE000$1\uE001")
    .split(/\uE000([^\uE001]*)\uE001/);
  return (values) => {
    let text = "";
    for (let at = 0; at < pieces.length; at += 1) text += at % 2 === 0 ? pieces[at] : fill(pieces[at] ?? "", values);
    return text;
  };
}

const SEVERITIES = ["low", "medium", "high", "informational"];
const STATES = ["new", "inProgress", "resolved"];
const SERVICES = [
  "microsoftDefenderForEndpoint",
  "microsoftDefenderForEndpoint",
  "microsoftDefenderForOffice365",
  "microsoftDefenderForIdentity",
  "microsoftDefenderForCloudApps",
  "microsoft365Defender",
];
const TITLES = [
  "Suspicious PowerShell command line",
  "Suspicious execution of hidden file",
  "Email messages containing malicious URL removed after delivery",
  "Unusual number of failed sign-in attempts",
  "Verdächtige Anmeldung von neuem Ort",
  "Possible lateral movement",
];
const CATEGORIES = [
  "Execution",
  "DefenseEvasion",
  "InitialAccess",
  "CredentialAccess",
  "InitialAccess",
  "LateralMovement",
];
const DESCRIPTION =
  "A hidden file has been launched. This activity could indicate a compromised host. Attackers often hide files associated with malicious tools to evade file system inspection and defenses. ";
const ACTIONS =
  "Collect artifacts and determine scope. Review the machine timeline for suspicious activities that may have occurred before and after the time of the alert, and record additional related artifacts. ";

const pick = (from: readonly string[], index: number): string => from[index % from.length] ?? "";

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function hex(random: Random, characters: number): string {
  let text = "";
  while (text.length < characters) {
    const word = Math.floor(random() * 4_294_967_296);
    text += `${HEX[word >>> 24]}${HEX[(word >>> 16) & 0xff]}${HEX[(word >>> 8) & 0xff]}${HEX[word & 0xff]}`;
  }
  return text.slice(0, characters);
}

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

const fill: Fill = (name, { id, index, created, updated, change, random }) => {
  const kind = name.replace(/^#/, "").replace(/:.*$/, "");
  switch (kind) {
    case "id":
      return id;
    case "created":
      return created;
    case "updated":
      return updated;
    case "index":
      return String(index);
    case "incident":
      return String(28_000 + Math.floor(index / 5));
    case "sha1":
      return hex(random, 40);
    case "sha256":
      return hex(random, 64);
    case "hex8":
      return hex(random, 8);
    case "device":
      return `ws-${String(index % 997).padStart(4, "0")}`;
    case "pid":
      return String(1000 + Math.floor(random() * 60_000));
    case "ip":
      return `10.${index % 256}.${Math.floor(random() * 256)}.${Math.floor(random() * 256)}`;
    case "severity":
      return pick(SEVERITIES, index * 7 + change);
    case "Severity":
      return capital(pick(SEVERITIES, index * 7 + change));
    case "state":
      return pick(STATES, Math.min(change, 2));
    case "State":
      return capital(pick(STATES, Math.min(change, 2)));
    case "incidentState":
      return change === 0 ? "active" : change === 1 ? "inProgress" : "resolved";
    case "title":
      return pick(TITLES, index);
    case "category":
      return pick(CATEGORIES, index);
    case "service":
      return pick(name.includes(":") ? name.slice("service:".length).split(",") : SERVICES, index);
    case "assigned":
      return change === 0 ? "null" : `"analyst${change}@example.com"`;
    case "code":
      return Buffer.from(hex(random, 120), "hex").toString("base64");
    default:
      return "";
  }
};

function evidenceOf(kind: number, identity: Identity): object {
  const common = {
    createdDateTime: slot("created"),
    verdict: "unknown",
    remediationStatus: "none",
    remediationStatusDetails: null,
  };
  const ends = { roles: [], detailedRoles: [], tags: [] };
  const user = {
    accountName: "SYSTEM",
    domainName: "NT AUTHORITY",
    userSid: "S-1-5-18",
    azureAdUserId: null,
    userPrincipalName: null,
    displayName: "System",
  };
  const file = {
    sha1: slot("sha1"),
    sha256: slot("sha256"),
    fileName: "MsSense.exe",
    filePath: "C:\\Program Files\\temp",
    fileSize: 6_136_392,
    filePublisher: "Microsoft Corporation",
    signer: null,
    issuer: null,
  };
  switch (kind % 4) {
    case 0:
      return {
        "@odata.type": "#microsoft.graph.security.deviceEvidence",
        ...common,
        firstSeenDateTime: slot("created"),
        mdeDeviceId: slot("sha1"),
        azureAdDeviceId: null,
        deviceDnsName: `${slot("device")}.${identity.domain}`,
        osPlatform: "Windows11",
        osBuild: 22_631,
        version: "23H2",
        healthStatus: "active",
        riskScore: "medium",
        rbacGroupId: 75,
        rbacGroupName: "UnassignedGroup",
        onboardingStatus: "onboarded",
        defenderAvStatus: "unknown",
        ipInterfaces: [slot("ip"), "fe80::1"],
        loggedOnUsers: [],
        ...ends,
        vmMetadata: null,
      };
    case 1:
      return {
        "@odata.type": "#microsoft.graph.security.processEvidence",
        ...common,
        processId: slot("#pid"),
        parentProcessId: 668,
        processCommandLine: `powershell.exe -nop -enc ${slot("code")}`,
        processCreationDateTime: slot("created"),
        parentProcessCreationDateTime: slot("created"),
        detectionStatus: "detected",
        mdeDeviceId: slot("sha1"),
        ...ends,
        imageFile: file,
        parentProcessImageFile: { ...file, sha1: null, sha256: null, fileName: "services.exe" },
        userAccount: user,
      };
    case 2:
      return {
        "@odata.type": "#microsoft.graph.security.fileEvidence",
        ...common,
        detectionStatus: "detected",
        mdeDeviceId: slot("sha1"),
        ...ends,
        fileDetails: file,
      };
    default:
      return {
        "@odata.type": "#microsoft.graph.security.userEvidence",
        ...common,
        ...ends,
        stream: null,
        userAccount: {
          ...user,
          accountName: `user${slot("index")}`,
          userPrincipalName: `user${slot("index")}@${identity.domain}`,
        },
      };
  }
}

/** The text that brings a record to the wanted size. */
function padding(sample: (text: string) => string, bytes: number | undefined, text: string): string {
  const missing = bytes === undefined ? 0 : bytes - Buffer.byteLength(sample(""));
  return missing <= 0 ? text : text.repeat(Math.ceil(missing / text.length)).slice(0, missing);
}

function sized(
  make: (text: string) => unknown,
  options: BatchOptions,
  text: string,
  write: Fill = fill,
): (values: RecordValues) => string {
  const sample = (padded: string): string =>
    template(
      make(padded),
      write,
    )({
      id: "x".repeat(36),
      index: 1,
      created: "2026-01-01T00:00:00.0000000Z",
      updated: "2026-01-01T00:00:00.0000000Z",
      change: 0,
      random: () => 0.5,
    });
  return template(make(padding(sample, options.bytes, text)), write);
}

function graphAlert(options: BatchOptions): (values: RecordValues) => string {
  const { identity } = options;
  const tid = identity.tenantId;
  const evidence = Array.from({ length: options.evidence }, (_, kind) => evidenceOf(kind, identity));
  const make = (text: string): unknown => ({
    "@odata.type": "#microsoft.graph.security.alert",
    id: slot("id"),
    providerAlertId: slot("id"),
    incidentId: slot("incident"),
    status: slot("state"),
    severity: slot("severity"),
    classification: "unknown",
    determination: "unknown",
    serviceSource: slot(options.service === undefined ? "service" : `service:${options.service.join(",")}`),
    detectionSource: "antivirus",
    detectorId: "e0da400f-affd-43ef-b1d5-afc2eb6f2756",
    tenantId: tid,
    title: slot("title"),
    description: DESCRIPTION,
    recommendedActions: text,
    category: slot("category"),
    assignedTo: slot("#assigned"),
    alertWebUrl: `https://security.microsoft.com/alerts/${slot("id")}?tid=${tid}`,
    incidentWebUrl: `https://security.microsoft.com/incidents/${slot("incident")}?tid=${tid}`,
    actorDisplayName: null,
    threatDisplayName: null,
    threatFamilyName: null,
    mitreTechniques: ["T1564.001"],
    createdDateTime: slot("created"),
    lastUpdateDateTime: slot("updated"),
    resolvedDateTime: null,
    firstActivityDateTime: slot("created"),
    lastActivityDateTime: slot("updated"),
    comments: [],
    evidence,
    systemTags: [],
  });
  return sized(make, options, ACTIONS);
}

/** Alerts inside an incident are the same text many times over, under ids of their own. */
const INNER_ID: Fill = (name, values) =>
  name.startsWith("inner:") ? `${values.id}-${name.slice("inner:".length)}` : fill(name, values);

function inner(count: number, one: object): object[] {
  return Array.from(
    { length: count },
    (_, at) => JSON.parse(JSON.stringify(one).replaceAll(slot("inner"), slot(`inner:${at}`))) as object,
  );
}

function graphIncident(options: BatchOptions): (values: RecordValues) => string {
  const tid = options.identity.tenantId;
  const alert = {
    "@odata.type": "#microsoft.graph.security.alert",
    id: slot("inner"),
    incidentId: slot("id"),
    status: "new",
    severity: "low",
    serviceSource: "microsoftDefenderForEndpoint",
    title: slot("title"),
    description: DESCRIPTION,
    createdDateTime: slot("created"),
    lastUpdateDateTime: slot("created"),
    evidence: Array.from({ length: options.evidence }, (_, kind) => evidenceOf(kind, options.identity)),
  };
  const make = (text: string): unknown => ({
    "@odata.type": "#microsoft.graph.security.incident",
    id: slot("id"),
    incidentWebUrl: `https://security.microsoft.com/incidents/${slot("id")}?tid=${tid}`,
    redirectIncidentId: null,
    tenantId: tid,
    displayName: slot("title"),
    createdDateTime: slot("created"),
    lastUpdateDateTime: slot("updated"),
    assignedTo: slot("#assigned"),
    classification: "unknown",
    determination: "unknown",
    status: slot("incidentState"),
    severity: slot("severity"),
    customTags: [],
    comments: [],
    systemTags: [],
    description: `${DESCRIPTION}${text}`,
    ...(options.alerts > 0 ? { alerts: inner(options.alerts, alert) } : {}),
  });
  return sized(make, options, ACTIONS, INNER_ID);
}

function xdrIncident(options: BatchOptions): (values: RecordValues) => string {
  const entity = {
    entityType: "Process",
    evidenceCreationTime: slot("created"),
    sha1: slot("sha1"),
    sha256: slot("sha256"),
    fileName: "powershell.exe",
    filePath: "C:\\Windows\\System32",
    processId: slot("#pid"),
    processCommandLine: `powershell.exe -enc ${slot("code")}`,
    ipAddress: null,
    url: null,
    accountName: "user",
    domainName: options.identity.name,
    userSid: "S-1-5-21-1",
    userPrincipalName: null,
    deviceId: slot("sha1"),
  };
  const alert = {
    alertId: slot("inner"),
    incidentId: slot("#id"),
    serviceSource: "MicrosoftDefenderATP",
    creationTime: slot("created"),
    lastUpdatedTime: slot("created"),
    resolvedTime: null,
    title: slot("title"),
    description: DESCRIPTION,
    category: slot("category"),
    status: "New",
    severity: "Medium",
    investigationId: null,
    investigationState: "Queued",
    classification: null,
    determination: null,
    detectionSource: "EDR",
    assignedTo: null,
    actorName: null,
    threatFamilyName: null,
    mitreTechniques: ["T1059"],
    devices: [],
    entities: Array.from({ length: options.evidence }, () => entity),
  };
  const make = (text: string): unknown => ({
    incidentId: slot("#id"),
    redirectIncidentId: null,
    incidentName: slot("title"),
    createdTime: slot("created"),
    lastUpdateTime: slot("updated"),
    assignedTo: slot("#assigned"),
    classification: "Unknown",
    determination: "NotAvailable",
    status: "Active",
    severity: slot("Severity"),
    tags: text === "" ? [] : [text],
    comments: [],
    alerts: inner(options.alerts, alert),
  });
  return sized(make, options, ACTIONS, INNER_ID);
}

function mdeAlert(options: BatchOptions): (values: RecordValues) => string {
  const evidence = {
    entityType: "Process",
    evidenceCreationTime: slot("created"),
    sha1: slot("sha1"),
    sha256: slot("sha256"),
    fileName: "powershell.exe",
    filePath: "C:\\Windows\\System32\\WindowsPowerShell\\v1.0",
    processId: slot("#pid"),
    processCommandLine: `powershell.exe -enc ${slot("code")}`,
    processCreationTime: slot("created"),
    parentProcessId: 668,
    parentProcessCreationTime: slot("created"),
    parentProcessFileName: "cmd.exe",
    parentProcessFilePath: "C:\\Windows\\System32",
    ipAddress: null,
    url: null,
    registryKey: null,
    registryHive: null,
    registryValueType: null,
    registryValue: null,
    accountName: "user",
    domainName: options.identity.name,
    userSid: "S-1-5-21-1",
    aadUserId: null,
    userPrincipalName: null,
    detectionStatus: "Detected",
  };
  const make = (text: string): unknown => ({
    id: slot("id"),
    incidentId: slot("#incident"),
    investigationId: null,
    assignedTo: slot("#assigned"),
    severity: slot("Severity"),
    status: slot("State"),
    classification: null,
    determination: null,
    investigationState: "Queued",
    detectionSource: "WindowsDefenderAv",
    detectorId: "e0da400f-affd-43ef-b1d5-afc2eb6f2756",
    category: slot("category"),
    threatFamilyName: null,
    title: slot("title"),
    description: `${DESCRIPTION}${text}`,
    alertCreationTime: slot("created"),
    firstEventTime: slot("created"),
    lastEventTime: slot("created"),
    lastUpdateTime: slot("updated"),
    resolvedTime: null,
    machineId: slot("sha1"),
    computerDnsName: `${slot("device")}.${options.identity.domain}`,
    rbacGroupName: "Servers",
    aadTenantId: options.identity.tenantId,
    threatName: null,
    mitreTechniques: ["T1059"],
    relatedUser: { userName: "user", domainName: "DOMAIN" },
    comments: [],
    evidence: Array.from({ length: options.evidence }, () => evidence),
  });
  return sized(make, options, ACTIONS);
}

function siemAlert(options: BatchOptions): (values: RecordValues) => string {
  const make = (text: string): unknown => ({
    AlertTime: slot("created"),
    ComputerDnsName: `${slot("device")}.${options.identity.domain}`,
    AlertTitle: slot("title"),
    Category: slot("category"),
    Severity: slot("Severity"),
    AlertId: slot("id"),
    Actor: "",
    LinkToWDATP: `https://securitycenter.windows.com/alert/${slot("id")}`,
    Sha1: slot("sha1"),
    FileName: "powershell.exe",
    FilePath: "C:\\Windows\\System32",
    IpAddress: slot("ip"),
    Url: "",
    IoaDefinitionId: "b20af1d2-5990-4672-87f1-acc2a8ff7725",
    UserName: "user",
    AlertPart: 0,
    FullId: slot("id"),
    LastProcessedTimeUtc: slot("updated"),
    Source: "EDR",
    Md5: "",
    Sha256: slot("sha256"),
    WasExecutingWhileDetected: null,
    RemediationIsSuccess: null,
    MachineDomain: options.identity.domain,
    MachineName: slot("device"),
    DeviceID: slot("sha1"),
    MachineGroup: "Servers",
    Description: `${DESCRIPTION}${text}`,
    DeviceCreatedMachineTags: "",
    CloudCreatedMachineTags: "",
    CommandLine: "",
    ReportID: slot("#index"),
  });
  return sized(make, options, ACTIONS);
}

const alertId = (guid: string): string => `da${guid.slice(0, 8)}${guid.slice(9, 13)}-${guid.slice(24)}_1`;
/**
 * Incident ids are numbers: the guid makes rules of one customer differ, the index the records of one rule.
 */
const incidentId = (guid: string, index: number): string =>
  String(1_000_000 + (Number.parseInt(guid.slice(0, 6), 16) % 900_000) * 1000 + index);

export const SHAPES: Readonly<Record<StreamName, Shape>> = {
  alerts: { id: alertId, prepare: graphAlert },
  incidents: { id: incidentId, prepare: graphIncident },
  "xdr-incidents": { id: incidentId, prepare: xdrIncident },
  "mde-alerts": { id: alertId, prepare: mdeAlert },
  "siem-alerts": { id: (guid) => `${alertId(guid)}:x`, prepare: siemAlert },
};
