import type { SourceKind } from "./sources.ts";
import { CUTS } from "./transforms.ts";

/**
 * Search-time fields of our events, one row per field: an eval expression per source. Sources: Common
 * Information Model 8.6, data models Alerts and Ticket Management; what Enterprise Security's two Defender
 * detections read (splunk/security_content, microsoft_defender_incident_alerts,
 * microsoft_defender_atp_alerts).
 *
 * Calculated fields cannot see one another, only what extraction made; so each expression stands alone.
 */
export interface FieldRow {
  readonly field: string;
  /** Data models that ask for it. */
  readonly alerts?: "required" | "optional";
  readonly ticketing?: "required" | "optional";
  readonly help: string;
  /**
   * For the page, where the expressions alone do not tell: Microsoft's own member of that name stands on the
   * others.
   */
  readonly on?: string;
  readonly eval: Partial<Readonly<Record<SourceKind, string>>>;
}

export const ALERT_SOURCES = [
  "alerts",
  "mde-alerts",
  "xdr-incidents",
  "siem-alerts",
] as const satisfies readonly SourceKind[];
export const INCIDENT_SOURCES = ["incidents", "xdr-incidents"] as const satisfies readonly SourceKind[];
const EVERY: readonly SourceKind[] = ["alerts", "incidents", "xdr-incidents", "mde-alerts", "siem-alerts", "hunting"];

/** Splunk's JSON extraction turns null into the text "null"; an empty text counts as no value too. */
function value(field: string): string {
  return `nullif(nullif(${quoted(field)},"null"),"")`;
}

/**
 * An incident's id is put into searches that a click opens. Every id of Microsoft's consists of these signs;
 * anything else could continue the search.
 */
function safeId(expression: string): string {
  return `if(match(${expression},"^[A-Za-z0-9_.:-]+$"),${expression},null())`;
}

/** An address that a click opens: https only, because a browser runs `javascript:`. */
function safeUrl(expression: string): string {
  return `if(match(${expression},"^https://"),${expression},null())`;
}

function quoted(field: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(field) ? field : `'${field}'`;
}

function first(...expressions: readonly string[]): string {
  return expressions.length === 1 ? (expressions[0] as string) : `coalesce(${expressions.join(",")})`;
}

/** The member that tells an XDR alert from its incident: both come from one source. */
const IS_ALERT = "isnotnull(alertId)";

function ifAlert(expression: string, otherwise = "null()"): string {
  return `if(${IS_ALERT},${expression},${otherwise})`;
}

/**
 * The source names the tenant, and no record can change it; a record can bring a member called `mssp` or
 * `mssp_`.
 */
const TENANT_ID = `mvindex(split(source,":"),2)`;
/** Of the two possible names of our member, the one that names the source's tenant counts. */
function ofOurMember(name: string): string {
  return `'mssp.tenant_id'=${TENANT_ID},'mssp.${name}','mssp_.tenant_id'=${TENANT_ID},'mssp_.${name}'`;
}
/** Without our member (`envelope = false`) the source still names the tenant. */
const TENANT = `case(${ofOurMember("tenant")},true(),${TENANT_ID})`;

const DEVICE: Readonly<Record<(typeof ALERT_SOURCES)[number], readonly string[]>> = {
  alerts: ["mvdedup(defender_device)", "mvdedup(defender_host)"],
  "mde-alerts": [value("computerDnsName"), "mvdedup(defender_device)", value("machineId")],
  "xdr-incidents": ["mvdedup(defender_device)", "mvdedup(defender_host)"],
  "siem-alerts": [value("ComputerDnsName"), value("MachineName"), value("DeviceID")],
};

const USER: Readonly<Record<(typeof ALERT_SOURCES)[number], readonly string[]>> = {
  alerts: ["mvdedup(defender_upn)", "mvdedup(defender_mailbox)", "mvdedup(defender_account)"],
  "mde-alerts": ["mvdedup(defender_upn)", value("relatedUser.userName"), "mvdedup(defender_account)"],
  "xdr-incidents": ["mvdedup(defender_upn)", "mvdedup(defender_mailbox)", "mvdedup(defender_account)"],
  "siem-alerts": [value("UserName"), value("LogOnUsers")],
};

const IP: Readonly<Record<(typeof ALERT_SOURCES)[number], string>> = {
  alerts: "mvdedup(defender_ip)",
  "mde-alerts": "mvdedup(defender_ip)",
  "xdr-incidents": "mvdedup(defender_ip)",
  "siem-alerts": value("IpAddress"),
};

/**
 * What roles put on one side. Only Graph's evidence has roles. Without anything on a side, `src` and `dest`
 * are as they are without roles: both are required, and each of the two detections takes one of them for the
 * system at risk.
 */
type SideOf = Readonly<Record<(typeof ALERT_SOURCES)[number], readonly string[]>>;
const NO_ROLES = { "mde-alerts": [], "xdr-incidents": [], "siem-alerts": [] } as const;
const SOURCE_SIDE: SideOf = { ...NO_ROLES, alerts: ["mvdedup(defender_src_device)", "mvdedup(defender_src_ip)"] };
const TARGET_SIDE: SideOf = { ...NO_ROLES, alerts: ["mvdedup(defender_dest_device)", "mvdedup(defender_dest_ip)"] };

/** An account is on one side only: where some are the source, the others are unknown. */
function targetUser(source: (typeof ALERT_SOURCES)[number]): string {
  if (source !== "alerts") return first(...USER[source], `"unknown"`);
  const withoutRoles = `if(isnull(defender_src_user),${first(...USER[source])},null())`;
  return first("mvdedup(defender_dest_user)", withoutRoles, `"unknown"`);
}

/** `instance` when the side is a device. */
function typeOfSide(source: (typeof ALERT_SOURCES)[number], prefix: "src" | "dest"): string {
  const isDevice = `isnotnull(${first(...DEVICE[source])})`;
  if (source !== "alerts") return `if(${isDevice},"instance",null())`;
  return `case(isnotnull(defender_${prefix}_device),"instance",isnotnull(defender_${prefix}_ip),null(),${isDevice},"instance")`;
}

const SEVERITY_IDS: readonly (readonly [name: string, id: number])[] = [
  ["critical", 5],
  ["high", 4],
  ["medium", 3],
  ["low", 2],
];

function severity(field: string): string {
  return `if(match(${field},"(?i)^(critical|high|medium|low|informational)$"),lower(${field}),"informational")`;
}

function severityId(field: string): string {
  return `case(${SEVERITY_IDS.map(([name, id]) => `lower(${field})="${name}",${id}`).join(",")},true(),1)`;
}

/** Microsoft's bounds: above 85 is top, 15 to 85 medium, below 15 low. */
function priority(source: (typeof INCIDENT_SOURCES)[number]): string {
  if (source !== "incidents") return severity("severity");
  const score = "tonumber(priorityScore)";
  return `case(${score}>85,"high",${score}>=15,"medium",${score}>=0,"low",true(),${severity("severity")})`;
}

/** The same expression for the alerts of every source; an XDR incident has none. */
function forAlerts(make: (source: (typeof ALERT_SOURCES)[number]) => string): FieldRow["eval"] {
  return Object.fromEntries(
    ALERT_SOURCES.map((source) => [source, source === "xdr-incidents" ? ifAlert(make(source)) : make(source)]),
  );
}

/** Of alerts and incidents alike; the XDR source holds both, so its events are checked for which they are. */
function forBoth(
  alert: (source: (typeof ALERT_SOURCES)[number]) => string,
  incident: (source: (typeof INCIDENT_SOURCES)[number]) => string,
): FieldRow["eval"] {
  return {
    ...Object.fromEntries(ALERT_SOURCES.map((source) => [source, alert(source)])),
    incidents: incident("incidents"),
    "xdr-incidents": ifAlert(alert("xdr-incidents"), incident("xdr-incidents")),
  };
}

function everywhere(expression: string): FieldRow["eval"] {
  return Object.fromEntries(EVERY.map((source) => [source, expression]));
}

const title = (source: SourceKind) => (source === "siem-alerts" ? value("AlertTitle") : value("title"));
const incidentTitle = (source: SourceKind) => (source === "incidents" ? value("displayName") : value("incidentName"));
const severityOf = (source: SourceKind) => (source === "siem-alerts" ? "Severity" : "severity");
const incidentId = (source: SourceKind) => (source === "incidents" ? value("id") : value("incidentId"));

export const FIELDS: readonly FieldRow[] = [
  {
    field: "app",
    alerts: "required",
    ticketing: "optional",
    help: "always ms:defender, as other content for Defender expects",
    eval: everywhere(`"ms:defender"`),
  },
  { field: "vendor_product", help: "always Microsoft Defender", eval: everywhere(`"Microsoft Defender"`) },
  {
    field: "vendor_account",
    alerts: "optional",
    ticketing: "optional",
    help: "the customer's name",
    eval: everywhere(TENANT),
  },
  { field: "tenant_id", help: "the customer's tenant GUID", eval: everywhere(TENANT_ID) },
  {
    field: "vendor_region",
    alerts: "optional",
    help: "the customer's Microsoft cloud",
    eval: everywhere(`case(${ofOurMember("cloud")})`),
  },
  {
    field: "cim_entity_zone",
    help: "the customer's entity zone, if one is set: it separates equal host and user names of two customers",
    eval: everywhere(`case(${ofOurMember("cim_entity_zone")})`),
  },
  { field: "type", alerts: "required", help: "always alert", eval: forAlerts(() => `"alert"`) },
  {
    field: "id",
    alerts: "required",
    help: "the alert's id",
    on: "alerts",
    eval: {
      "xdr-incidents": first(value("alertId"), value("incidentId")),
      "siem-alerts": first(value("AlertId"), value("FullId")),
    },
  },
  { field: "signature", alerts: "required", help: "the alert's title", eval: forAlerts(title) },
  { field: "subject", alerts: "optional", help: "the alert's title", eval: forAlerts(title) },
  {
    field: "description",
    alerts: "required",
    ticketing: "optional",
    help: "the description, or the title if there is none",
    eval: forBoth(
      (source) => first(value(source === "siem-alerts" ? "Description" : "description"), title(source)),
      (source) => first(value("description"), incidentTitle(source)),
    ),
  },
  {
    field: "body",
    alerts: "optional",
    help: "the description, or the title if there is none",
    eval: forAlerts((source) => first(value(source === "siem-alerts" ? "Description" : "description"), title(source))),
  },
  {
    field: "signature_id",
    alerts: "required",
    help: "the first that has a value: threat name or family, detector's ID, category or title",
    eval: {
      alerts: first(
        value("threatDisplayName"),
        value("threatFamilyName"),
        value("detectorId"),
        value("category"),
        value("title"),
      ),
      "mde-alerts": first(
        value("threatName"),
        value("threatFamilyName"),
        value("detectorId"),
        value("category"),
        value("title"),
      ),
      "xdr-incidents": ifAlert(
        first(value("threatFamilyName"), value("detectorId"), value("category"), value("title")),
      ),
      "siem-alerts": first(
        value("ThreatName"),
        value("ThreatFamily"),
        value("IoaDefinitionId"),
        value("Category"),
        value("AlertTitle"),
      ),
    },
  },
  {
    field: "severity",
    alerts: "required",
    ticketing: "required",
    help: "critical, high, medium, low or informational; any other value of Microsoft becomes informational",
    eval: forBoth(
      (source) => severity(severityOf(source)),
      () => severity("severity"),
    ),
  },
  {
    field: "severity_id",
    alerts: "optional",
    ticketing: "required",
    help: "5 critical, 4 high, 3 medium, 2 low, 1 informational",
    eval: forBoth(
      (source) => severityId(severityOf(source)),
      () => severityId("severity"),
    ),
  },
  {
    field: "vendor_severity",
    help: "the severity as Microsoft wrote it",
    eval: forBoth(
      (source) => value(severityOf(source)),
      () => value("severity"),
    ),
  },
  {
    field: "mitre_technique_id",
    alerts: "optional",
    help: "ATT&CK techniques",
    eval: {
      alerts: "'mitreTechniques{}'",
      "mde-alerts": "'mitreTechniques{}'",
      "xdr-incidents": ifAlert("'mitreTechniques{}'"),
    },
  },
  {
    field: "dest",
    alerts: "required",
    ticketing: "required",
    help: "devices, else addresses, whose role is a target's; without any, all devices; without a device the customer's name, so that searches that need it find every alert",
    eval: {
      ...forBoth(
        (source) => first(...TARGET_SIDE[source], ...DEVICE[source], TENANT),
        () => TENANT,
      ),
      hunting: value("DeviceName"),
    },
    on: "alerts, incidents; of a hunting row its DeviceName",
  },
  {
    field: "dest_type",
    alerts: "optional",
    help: "instance when dest is a device",
    eval: forAlerts((source) => typeOfSide(source, "dest")),
  },
  {
    field: "dest_ip",
    help: "addresses whose role is a target's; without any, those of the devices, unless a device is the source",
    eval: {
      alerts: first("mvdedup(defender_dest_ip)", "if(isnull(defender_src_device),mvdedup(defender_device_ip),null())"),
      "xdr-incidents": ifAlert("mvdedup(defender_device_ip)"),
    },
  },
  {
    field: "dest_translated_ip",
    help: "addresses under which the devices reach the Internet",
    eval: {
      alerts: "mvdedup(defender_device_external_ip)",
      "xdr-incidents": ifAlert("mvdedup(defender_device_external_ip)"),
    },
  },
  {
    field: "src",
    alerts: "required",
    help: "devices, else addresses, whose role is a source's; without any, the first that has a value: all devices, IP addresses of the evidence, the customer's name",
    eval: forAlerts((source) => first(...SOURCE_SIDE[source], ...DEVICE[source], IP[source], TENANT)),
  },
  {
    field: "src_type",
    alerts: "optional",
    help: "instance when src is a device",
    eval: forAlerts((source) => typeOfSide(source, "src")),
  },
  {
    field: "src_ip",
    help: "IP addresses whose role is a source's; without any, all of the evidence, unless one is a target",
    eval: {
      ...forAlerts((source) => IP[source]),
      alerts: first(
        "mvdedup(defender_src_ip)",
        `if(isnull(defender_dest_ip),${IP.alerts},null())`,
        "if(isnotnull(defender_src_device),mvdedup(defender_device_ip),null())",
      ),
    },
  },
  {
    field: "user",
    alerts: "required",
    ticketing: "optional",
    help: "of an alert, accounts whose role is a target's; without any account that has a side, the first that has a value: principal names, mailboxes, accounts of the evidence; else unknown; of an incident: its assignee",
    eval: {
      ...forBoth(
        (source) => targetUser(source),
        () => value("assignedTo"),
      ),
      // Columns of the hunting schema's device and identity tables; a query names what it likes.
      hunting: first(
        value("AccountUpn"),
        value("InitiatingProcessAccountUpn"),
        value("AccountName"),
        value("InitiatingProcessAccountName"),
      ),
    },
    on: "alerts, incidents; of a hunting row its account",
  },
  {
    field: "user_name",
    alerts: "optional",
    help: "account names of the evidence",
    eval: {
      alerts: "mvdedup(defender_account)",
      "mde-alerts": first("mvdedup(defender_account)", value("relatedUser.userName")),
      "xdr-incidents": ifAlert("mvdedup(defender_account)"),
      "siem-alerts": value("UserName"),
    },
  },
  {
    field: "file_name",
    help: "file names of the evidence",
    eval: {
      alerts: "mvdedup(defender_file)",
      "mde-alerts": "mvdedup(defender_file)",
      "xdr-incidents": ifAlert("mvdedup(defender_file)"),
      "siem-alerts": value("FileName"),
    },
  },
  {
    field: "file_hash",
    help: "SHA-256 sums of the evidence",
    eval: {
      alerts: "mvdedup(defender_sha256)",
      "mde-alerts": "mvdedup(defender_sha256)",
      "xdr-incidents": ifAlert("mvdedup(defender_sha256)"),
      "siem-alerts": first(value("Sha256"), value("FileHash")),
    },
  },
  {
    field: "url",
    help: "URLs of the evidence",
    eval: {
      alerts: "mvdedup(defender_url)",
      "mde-alerts": "mvdedup(defender_url)",
      "xdr-incidents": ifAlert("mvdedup(defender_url)"),
      "siem-alerts": value("Url"),
    },
  },
  {
    field: "url_domain",
    help: "host names in the URLs of the evidence",
    eval: {
      alerts: "mvdedup(defender_domain)",
      "mde-alerts": "mvdedup(defender_domain)",
      "xdr-incidents": ifAlert("mvdedup(defender_domain)"),
    },
  },
  {
    field: "sender",
    help: "senders of mail and Teams messages in the evidence",
    eval: { alerts: "mvdedup(defender_sender)", "xdr-incidents": ifAlert("mvdedup(defender_sender)") },
  },
  {
    field: "incident_id",
    help: "the incident's id, on the incident and on each of its alerts",
    eval: {
      alerts: safeId(incidentId("alerts")),
      "mde-alerts": safeId(value("incidentId")),
      "xdr-incidents": safeId(value("incidentId")),
      incidents: safeId(value("id")),
    },
  },
  {
    field: "incident",
    ticketing: "optional",
    help: "the incident's name",
    eval: { incidents: incidentTitle("incidents"), "xdr-incidents": ifAlert("null()", incidentTitle("xdr-incidents")) },
  },
  {
    field: "ticket_id",
    ticketing: "required",
    help: "the incident's id",
    eval: { incidents: value("id"), "xdr-incidents": ifAlert("null()", value("incidentId")) },
  },
  {
    field: "priority",
    ticketing: "required",
    help: "from `priorityScore` where Microsoft sends one: high above 85, medium from 15, else low; otherwise the same as severity",
    eval: { incidents: priority("incidents"), "xdr-incidents": ifAlert("null()", priority("xdr-incidents")) },
  },
  {
    field: "status",
    ticketing: "required",
    help: "the state in lower case",
    eval: {
      alerts: `lower(${value("status")})`,
      "mde-alerts": `lower(${value("status")})`,
      "xdr-incidents": `lower(${value("status")})`,
      incidents: `lower(${value("status")})`,
    },
  },
  {
    field: "src_user",
    ticketing: "optional",
    help: "of an alert, accounts whose role is a source's; of an incident its assignee",
    on: "alerts of Graph, incidents",
    eval: {
      alerts: "mvdedup(defender_src_user)",
      incidents: value("assignedTo"),
      "xdr-incidents": ifAlert("null()", value("assignedTo")),
    },
  },
  {
    field: "time_submitted",
    ticketing: "optional",
    help: "when the incident was created",
    eval: { incidents: value("createdDateTime"), "xdr-incidents": ifAlert("null()", value("createdTime")) },
  },
  {
    field: "comments",
    ticketing: "optional",
    help: "comments on the incident",
    eval: { incidents: "'comments{}.comment'", "xdr-incidents": ifAlert("null()", "'comments{}.comment'") },
  },
  {
    field: "alert_url",
    help: "the alert in Microsoft's portal",
    eval: {
      alerts: safeUrl(value("alertWebUrl")),
      "siem-alerts": safeUrl(first(value("LinkToMTP"), value("LinkToWDATP"))),
    },
  },
  {
    field: "incident_url",
    help: "the incident in Microsoft's portal",
    eval: {
      alerts: safeUrl(value("incidentWebUrl")),
      incidents: safeUrl(value("incidentWebUrl")),
      "xdr-incidents": safeUrl(value("incidentUri")),
      "siem-alerts": safeUrl(first(value("IncidentLinkToMTP"), value("IncidentLinkToWDATP"))),
    },
  },
  {
    field: "assigned_to",
    help: "the assignee of the alert or incident",
    eval: {
      alerts: value("assignedTo"),
      "mde-alerts": value("assignedTo"),
      "xdr-incidents": value("assignedTo"),
      incidents: value("assignedTo"),
    },
  },
];

/**
 * Members that Microsoft often sends as null and that people search by name: without this their value would
 * be the text "null".
 */
export const NULLABLE: Partial<Readonly<Record<SourceKind, readonly string[]>>> = {
  alerts: [
    "assignedTo",
    "actorDisplayName",
    "threatDisplayName",
    "threatFamilyName",
    "resolvedDateTime",
    "firstActivityDateTime",
    "lastActivityDateTime",
    "classification",
    "determination",
    "productName",
    "investigationState",
  ],
  incidents: ["assignedTo", "redirectIncidentId", "resolvingComment", "summary", "classification", "determination"],
  "xdr-incidents": [
    "assignedTo",
    "redirectIncidentId",
    "resolvedTime",
    "investigationId",
    "actorName",
    "threatFamilyName",
    "classification",
    "determination",
    "firstActivity",
    "lastActivity",
  ],
  "mde-alerts": [
    "assignedTo",
    "investigationId",
    "threatName",
    "threatFamilyName",
    "resolvedTime",
    "classification",
    "determination",
    "rbacGroupName",
    "computerDnsName",
  ],
};

/** The calculated fields of a source, in the order of the table. */
export function evalsOf(source: SourceKind): readonly (readonly [field: string, expression: string])[] {
  const mapped = FIELDS.flatMap((row) =>
    row.eval[source] === undefined ? [] : [[row.field, row.eval[source]] as const],
  );
  const cleaned = (NULLABLE[source] ?? []).map((field) => [field, `nullif(${field},"null")`] as const);
  return [...mapped, ...cleaned];
}

/** The cuts that a source's expressions use. */
export function cutsOf(source: SourceKind): readonly string[] {
  const text = evalsOf(source)
    .map(([, expression]) => expression)
    .join(" ");
  return CUTS.filter((cut) => text.includes(cut.field)).map((cut) => cut.name);
}
