/**
 * What ArcSight's connectors need beside the events, all from the one mapping table: parser files for JSON
 * connectors, categorizer files, the docs page, filter text. Sources of the forms: ArcSight FlexConnector
 * Developer's Guide (JSON parser files, categorizer files) and public parser files. None of them was ever
 * loaded into a real connector: the files and the docs say so.
 */
import { CEF_HEADER_MAX, CEF_KEYS, type CefKey } from "../../src/format/arcsight/cef-dictionary.ts";
import { CEF_LINE_MAX_BYTES } from "../../src/format/arcsight/cef-line.ts";
import {
  CEF_PROFILES,
  CEF_SEVERITY,
  type CefProfile,
  eventClassIds,
  fullNameOf,
  HEALTH_CLASSES,
  type HealthNotice,
  type MappingRow,
  mappingTable,
} from "../../src/format/arcsight/cef-mapping.ts";
import { FLAT_FIELDS, type SERVICES } from "../../src/format/arcsight/flat-record.ts";

/** Profiles with a parser file of their own; a JSON folder of profile `mcas` holds what one of `xdr` does. */
type ParserProfile = Exclude<CefProfile, "mcas">;
export const PARSER_PROFILES: readonly ParserProfile[] = ["xdr", "legacy"];

/** What a JSON connector reads: the retired SIEM API's rows for `legacy`, flat JSON for `xdr`. */
interface ParserToken {
  readonly name: string;
  readonly type: "String" | "Long" | "IPAddress" | "IPv6Address" | "MacAddress";
}

function constant(text: string): string {
  return `__stringConstant("${text}")`;
}

/** On CEF lines of one evidence item only. */
const NOT_IN_SIEM_ROWS = ["EvidenceKind", "EvidenceContext"];
/** The one time that rows have as a number. */
const TIME_AS_NUMBER = "LastUpdateTime";

function parserRows(profile: ParserProfile): readonly MappingRow[] {
  const { rows } = mappingTable[profile];
  // The old rows have one member for both kinds of address.
  return profile === "xdr"
    ? rows
    : rows.filter(({ from, kind }) => !NOT_IN_SIEM_ROWS.includes(from) && kind !== "ipv6");
}

function flatTokenType(row: MappingRow | undefined, name: string): ParserToken["type"] {
  if (row?.kind === "ipv4") return "IPAddress";
  if (row?.kind === "ipv6") return "IPv6Address";
  if (row?.kind === "mac") return "MacAddress";
  return name in FLAT_FIELDS && FLAT_FIELDS[name as keyof typeof FLAT_FIELDS] !== "text" ? "Long" : "String";
}

function tokensOf(profile: ParserProfile): readonly ParserToken[] {
  const { name, severity } = mappingTable[profile];
  const rows = parserRows(profile);
  const names = new Set([
    name,
    severity,
    ...(profile === "xdr" ? ["eventClassId"] : []),
    ...rows.map(({ from }) => from),
  ]);
  return Array.from(names, (token) => ({
    name: token,
    type:
      profile === "xdr"
        ? flatTokenType(
            rows.find(({ from }) => from === token),
            token,
          )
        : token === TIME_AS_NUMBER
          ? "Long"
          : "String",
  }));
}

function expressionOf(profile: ParserProfile, row: MappingRow): string {
  if (profile === "xdr") {
    if (row.kind === "time") return `__longToTimeStamp(${row.from})`;
    if (row.from === "incidentId") return `__safeToLong(${row.from})`;
    return row.from;
  }
  if (row.from === TIME_AS_NUMBER) return `__longToTimeStamp(${row.from})`;
  if (row.kind === "time") {
    return `__parseMultipleTimeStamp(__regexTokenFindAndJoin(${row.from},"(.*?)T(.*?)\\\\..*"," ","",""),"yyyy-MM-dd HH:mm:ss")`;
  }
  if (row.kind === "flag") return `__safeToLong(__ifThenElse(${row.from},"true","1","0"))`;
  if (row.kind === "ipv4") return `__regexTokenAsAddress(${row.from},"(\\\\d+\\\\.\\\\d+\\\\.\\\\d+\\\\.\\\\d+)")`;
  return row.from;
}

/** A key that several members share has the label of the one that gives its value. */
function labelExpression(rows: readonly MappingRow[]): string | undefined {
  const labels = new Set(rows.map(({ label }) => label));
  if (labels.size > 1) {
    const each = rows.map(({ from, label }) => `__replaceFirst(${from},"(?s)^.+$","${label}")`);
    return `__oneOf(${each.join(",")})`;
  }
  const [label] = labels;
  return label === undefined ? undefined : constant(label);
}

/**
 * `NAME.jsonparser.properties` for a connector that polls `arcsight serve` (`legacy`: the old form; `xdr`:
 * flat JSON) or follows a JSON folder.
 */
export function parserFile(profile: ParserProfile): string {
  const { deviceVendor, deviceProduct, deviceVersion, name, severity } = mappingTable[profile];
  const tokens = tokensOf(profile);
  const byKey = new Map<CefKey, MappingRow[]>();
  for (const row of parserRows(profile)) byKey.set(row.key, [...(byKey.get(row.key) ?? []), row]);
  const lines = [
    `# JSON parser for ${profile === "legacy" ? "rows in the retired SIEM API's form" : "defender-mssp's flat JSON"}. Generated from the mapping table: npm run docs.`,
    "# Never tried on a real ArcSight. Operations whose arguments no public file shows: __oneOf, __safeToLong, __ifThenElse, __regexTokenAsAddress, __replaceFirst.",
    "trigger.node.location=/",
    `token.count=${tokens.length}`,
    ...tokens.flatMap((token, i) => [
      "",
      `token[${i}].name=${token.name}`,
      `token[${i}].type=${token.type}`,
      `token[${i}].location=${token.name}`,
    ]),
    "",
    `event.deviceVendor=${constant(deviceVendor)}`,
    `event.deviceProduct=${constant(deviceProduct)}`,
    `event.deviceVersion=${constant(deviceVersion)}`,
    `event.deviceEventClassId=${profile === "xdr" ? "eventClassId" : constant("alert:other")}`,
    `event.name=${name}`,
    `event.deviceSeverity=${severity}`,
  ];
  for (const [key, rows] of byKey) {
    const expressions = rows.map((row) => expressionOf(profile, row));
    lines.push(
      `event.${fullNameOf(key)}=${expressions.length === 1 ? expressions[0] : `__oneOf(${expressions.join(",")})`}`,
    );
    const label = labelExpression(rows);
    if (label !== undefined) lines.push(`event.${fullNameOf(key)}Label=${label}`);
  }
  lines.push("");
  for (const [level, words] of [
    ["high", ["high"]],
    ["medium", ["medium"]],
    ["low", ["low", "informational"]],
  ] as const) {
    const values = profile === "xdr" ? words : words.map((word) => `${word[0]!.toUpperCase()}${word.slice(1)}`);
    lines.push(`severity.map.${level}.if.deviceSeverity=${values.join(",")}`);
  }
  lines.push("additionaldata.enabled=true");
  return `${lines.join("\n")}\n`;
}

interface Category {
  readonly object: string;
  readonly behavior: string;
  readonly deviceGroup: string;
  readonly significance: string;
  readonly outcome: string;
}

/** A class id says nothing of whether the attack was stopped; `act` does. */
const FOUND = { behavior: "/Found", significance: "/Suspicious", outcome: "/Attempt" } as const;

const SERVICE_CATEGORY: Readonly<Record<keyof typeof SERVICES, Category>> = {
  microsoftDefenderForEndpoint: { ...FOUND, object: "/Host", deviceGroup: "/IDS/Host" },
  microsoftDefenderForIdentity: { ...FOUND, object: "/Actor/User", deviceGroup: "/IDS/Network" },
  microsoftDefenderForCloudApps: { ...FOUND, object: "/Host/Application/Service", deviceGroup: "/Application" },
  microsoftDefenderForOffice365: { ...FOUND, object: "/Host/Application/Service/Email", deviceGroup: "/Application" },
  microsoft365Defender: { ...FOUND, object: "/Host", deviceGroup: "/Security Information Manager" },
  azureAdIdentityProtection: { ...FOUND, object: "/Actor/User", deviceGroup: "/Identity Management" },
  microsoftAppGovernance: { ...FOUND, object: "/Host/Application", deviceGroup: "/Application" },
  dataLossPrevention: { ...FOUND, object: "/Host/Resource/File", deviceGroup: "/Application" },
  microsoftDefenderForCloud: { ...FOUND, object: "/Host/Application/Service", deviceGroup: "/Application" },
  microsoftSentinel: { ...FOUND, object: "/Host", deviceGroup: "/Security Information Manager" },
  microsoftInsiderRiskManagement: { ...FOUND, object: "/Actor/User", deviceGroup: "/Application" },
  microsoftThreatIntelligence: { ...FOUND, object: "/Host", deviceGroup: "/Security Information Manager" },
  microsoftSecurityForAI: { ...FOUND, object: "/Host/Application/Service", deviceGroup: "/Application" },
  other: { ...FOUND, object: "/Host", deviceGroup: "/Security Information Manager" },
};

/** Urgent, but nothing has failed yet. */
const WARNINGS = new Set<string>(["credential-expiring", "spool-filling"] satisfies HealthNotice[]);

function categoryOf(classId: string): Category {
  const [kind, name = ""] = classId.split(":");
  if (kind === "alert") return SERVICE_CATEGORY[name as keyof typeof SERVICES];
  if (kind === "health") {
    const severity = Number(HEALTH_CLASSES[name as keyof typeof HEALTH_CLASSES].severity);
    const isFailure = severity >= 6 && !WARNINGS.has(name);
    const significance = isFailure
      ? "/Informational/Error"
      : severity >= 3
        ? "/Informational/Warning"
        : "/Informational";
    return {
      object: "/Host/Application/Service",
      behavior: "/Check",
      deviceGroup: "/Application",
      significance,
      outcome: isFailure ? "/Failure" : "/Success",
    };
  }
  return { ...FOUND, object: "/Host", deviceGroup: "/Security Information Manager" };
}

/** The categorizer file of one product: complete, because the set of class ids is closed. */
export function categorizerFile(): string {
  const rows = eventClassIds().map((id) => {
    const { object, behavior, deviceGroup, significance, outcome } = categoryOf(id);
    return [id, object, behavior, deviceGroup, significance, outcome].join(",");
  });
  const head =
    "event.deviceEventClassId,set.event.categoryObject,set.event.categoryBehavior,set.event.categoryDeviceGroup,set.event.categorySignificance,set.event.categoryOutcome";
  return `${[head, ...rows].join("\n")}\n`;
}

function folded(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9]/g, "_");
}

/**
 * Where the categorizer file lies below `user/agent`: vendor and product in lower case, every other sign `_`.
 */
export function categorizerPath(profile: CefProfile): string {
  const { deviceVendor, deviceProduct } = mappingTable[profile];
  return `acp/categorizer/current/${folded(deviceVendor)}/${folded(deviceProduct)}.csv`;
}

/** The condition that shows the first event in ESM's console or in Logger. */
export function filterText(profile: CefProfile): string {
  const { deviceVendor, deviceProduct } = mappingTable[profile];
  return `deviceVendor = "${deviceVendor}" AND deviceProduct = "${deviceProduct}"`;
}

const KIND_SAYS: Readonly<Record<MappingRow["kind"], string>> = {
  text: "text",
  list: "comma-separated, as many as fit",
  framework: "MITRE ATT&CK",
  identifier: "identifier, never truncated",
  time: "epoch milliseconds",
  number: "number",
  flag: "1 or 0",
  ipv4: "IPv4 only",
  ipv6: "IPv6 only",
  mac: "MAC address",
};

function fieldTable(profile: CefProfile): string {
  const { name, severity, rows, rowsOfVersion1 } = mappingTable[profile];
  const rowLine = ({ from, key, kind, label }: MappingRow): string => {
    const { fullName, max } = CEF_KEYS[key];
    return `| \`${key}\` | \`${fullName}\` | \`${from}\` | ${label ?? ""} | ${KIND_SAYS[kind]} | ${max === 0 ? "" : max} |`;
  };
  const lines = [
    `| header Name | \`name\` | \`${name}\` | | text | ${CEF_HEADER_MAX.name} |`,
    `| header Severity | \`deviceSeverity\` | \`${severity}\` | | by the table below | |`,
    ...rows.map(rowLine),
  ];
  const head = "| CEF key | ArcSight field | from | label | value | at most |\n|---|---|---|---|---|---|\n";
  const ofVersion1 =
    rowsOfVersion1.length === 0
      ? ""
      : `\nWith \`.cef_version=1\` these come after them:\n\n${head}${rowsOfVersion1.map(rowLine).join("\n")}\n`;
  return `${head}${lines.join("\n")}\n${ofVersion1}`;
}

const MEMBERS_PER_LINE = 10;

function listOf(members: readonly string[]): string {
  const lines: string[] = [];
  for (let from = 0; from < members.length; from += MEMBERS_PER_LINE) {
    const some = members.slice(from, from + MEMBERS_PER_LINE);
    lines.push(`* ${some.map((member) => `\`${member}\``).join(", ")}`);
  }
  return lines.join("\n");
}

function leftOut(profile: CefProfile): string {
  const { unmapped } = mappingTable[profile];
  return unmapped.length === 0 ? "" : `\nThese members have no key:\n\n${listOf(unmapped)}\n`;
}

/** docs/fields-cef.md. */
export function fieldsPage(): string {
  const severities = Object.keys(CEF_SEVERITY.xdr).map(
    (word) => `| ${word} | ${CEF_SEVERITY.xdr[word]} | ${CEF_SEVERITY.legacy[word]} |`,
  );
  const about: Readonly<Record<CefProfile, string>> = {
    xdr: "It uses the flat JSON's members, which are the same for every API.\nRoles decide the side: attacker, source and command and control are the source; attacked, destination and compromised are the destination.\nWhere roles contradict, the source wins.\nWithout roles the device and the acting user are the source, and an address is the destination.\nA mail's sender is the source user and its recipient the destination user; one account is never both.\nThe alert's own line names all its devices and accounts in `requestContext`, and resources in `msg`.\nOn the lines of alerts and incidents `requestContext` also has what has no key of its own: product, investigation, assignee, system tags, policy, custom details, comments, summary.\nThe line of one item has its kind in `fileType`; `requestContext` has its verdict, remediation, roles and what has no key of its own.",
    legacy:
      "It follows Microsoft's published mapping of the retired SIEM API (`AlertTitle`, `MachineName`, …), for content written for it.\nToday's alerts are first converted to that form.\nThe last rows are additions: they name the customer and the version, and on the line of one evidence item its kind, verdict and roles.\nSource and destination stay as Microsoft published them, whatever roles the evidence has: content written for that mapping keeps its meaning.",
    mcas: "It is for content of the SIEM agent of Defender for Cloud Apps (MCAS), which Microsoft ended in November 2025.\nVendor, product, keys and labels are the agent's; the values come from today's alerts by Microsoft's migration table.\nThe event class ids are this program's, because no API has the agent's (`ALERT_…`): change rules that compare with them.\nThe agent's `relatedAudits` and `riskScore` are in no API, and its activities (`EVENT_CATEGORY_…`) are not alerts.\n`cs3` names the customer.\nEvery alert is written in this form; `.tenants` and a filter on `deviceFacility` choose.",
  };
  const profiles = CEF_PROFILES.map(
    (profile) =>
      `## Profile \`${profile}\`\n\n${about[profile]}\nIts header is \`${mappingTable[profile].deviceVendor}\`, \`${mappingTable[profile].deviceProduct}\`, \`${mappingTable[profile].deviceVersion}\`.\nThis filter shows its events:\n\n    ${filterText(profile)}\n\n${fieldTable(profile)}${leftOut(profile)}`,
  );
  return `# CEF fields

\`npm run docs\` generates this page from the mapping table (\`src/format/arcsight/cef-mapping.ts\`).
The parser and categorizer files in \`arcsight/\` come from the same table.
None of this was ever loaded into a real ArcSight; liblognorm's strict CEF reader read every line.

* The version is \`CEF:0\`, or \`CEF:1\` with \`.cef_version=1\`, and only keys of ArcSight's CEF dictionary and \`flexNumber1\` are used.
  A member that is null, empty or of another kind than its key is left out.
* A line has at most ${CEF_LINE_MAX_BYTES.toLocaleString("en")} bytes, so that it and a syslog header pass a receiver's usual limit of 8 KiB.
  Long texts are truncated between characters, \`msg\` first, and end with \`…\`.
* An identifier is never truncated.
  If an ID is longer than the 40 characters of \`externalId\`, that key holds \`sha256:\` and 32 hex digits, and \`flexString2\` (label \`Full Id\`) the whole ID.
* In \`xdr\` and \`mcas\`, \`act\` is what the product did: \`prevented\`, \`blocked\`, \`detected\` or \`allowed\`, from the evidence's \`detectionStatus\`, else from its \`remediationStatus\`, else from a mail's \`deliveryAction\`.
  Remediated counts as blocked; active, declined and unremediated count as allowed, and so does a mail that was delivered.
  Of several items the one that was stopped least counts; on the line of one item its own.
  Without such evidence \`act\` is left out.
* In \`xdr\` and \`mcas\`, \`flexNumber1\` (label \`Updated\`) is 0 for a new and 1 for an updated version; in \`legacy\`, \`act\` is \`new\` or \`updated\`.
  \`flexNumber1\` is an event field of the FlexConnector guide that the standard's list of CEF keys does not have.
* Values of Microsoft's enumerations have one spelling, Graph's, whichever API they came from: \`new\`, not \`New\`.
* The same version sent again (after a broken connection) has equal \`externalId\` and \`deviceCustomDate1\`.

${profiles.join("\n")}
## Severity

| Microsoft | \`xdr\`, \`mcas\` | \`legacy\` |
|---|---|---|
${severities.join("\n")}

## Event class ids

The set is closed; \`:evidence\` is for the additional lines that \`outputs[…].evidence=each\` writes.

| Device Event Class ID | Name |
|---|---|
${eventClassIds()
  .map(
    (id) =>
      `| \`${id}\` | ${id.startsWith("health:") ? HEALTH_CLASSES[id.slice(7) as keyof typeof HEALTH_CLASSES].name : id === "incident" ? "the incident's name" : id === "hunting" ? "the query's name" : "the alert's title"} |`,
  )
  .join("\n")}
`;
}
