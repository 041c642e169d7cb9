import type { ConfStanza } from "./conf.ts";
import { confFile } from "./conf.ts";
import { CREDENTIAL_COLUMNS, FIRST_END, SILENT_COLUMNS, SILENT_CUSTOMERS } from "./customers.ts";
import type { Panel } from "./views.ts";

/**
 * What a detection can share with those of other customers: its kind and the field that holds it. Private
 * addresses are the same everywhere and are left out.
 */
const INDICATORS = [
  ["hash", "file_hash"],
  ["sender", "sender"],
  ["address", "defender_ip"],
  ["domain", "url_domain"],
  ["detector", "detectorId"],
] as const;

const SHARED_BY_CUSTOMERS = 3;
const NOT_PUBLIC = String.raw`^(0|10|127)\.|^169\.254\.|^192\.168\.|^172\.(1[6-9]|2[0-9]|3[01])\.|^::1?$|^f[cde]`;

/** Each value as `kind|value`, so that one expansion covers all kinds. */
function tagged([kind, field]: (typeof INDICATORS)[number]): string {
  return `if(isnull(${field}),null(),split("${kind}|".mvjoin(mvdedup(${field}),"##${kind}|"),"##"))`;
}

const SEEN_AT_SEVERAL = `Hashes, senders, public addresses, domains and detectors in alerts of at least ${SHARED_BY_CUSTOMERS} customers`;
/** Of the searches that look at a day. */
export const SEVERAL_CUSTOMERS_DAILY = `${SEEN_AT_SEVERAL}, within 24 hours.`;

/** Needs a time range: 24 hours for "at the same time". */
export const SEVERAL_CUSTOMERS = {
  name: "defender_mssp_several_customers",
  definition: [
    "`defender_mssp_latest_alerts`",
    `eval indicator=mvappend(${INDICATORS.map(tagged).join(",")})`,
    "mvexpand indicator",
    'eval kind=mvindex(split(indicator,"|"),0), seen=lower(mvindex(split(indicator,"|"),1))',
    `where seen!="null" AND NOT (kind="address" AND match(seen,"${NOT_PUBLIC}"))`,
    "stats dc(tenant_id) as customers, values(vendor_account) as names, dc(id) as alerts, values(signature) as signatures, min(_time) as first_s, max(_time) as last_s by kind, seen",
    `where customers>=${SHARED_BY_CUSTOMERS}`,
    "sort 0 -customers -alerts kind seen",
    'eval first_seen=strftime(first_s,"%Y-%m-%d %H:%M:%S"), last_seen=strftime(last_s,"%Y-%m-%d %H:%M:%S"), names=mvjoin(names,", "), signatures=mvjoin(signatures,"; ")',
    "table kind, seen, customers, alerts, names, signatures, first_seen, last_seen",
  ].join(" | "),
  why: `${SEEN_AT_SEVERAL}, in the search's time range.`,
} as const;

export const SEVERAL_CUSTOMERS_PANELS: readonly Panel[] = [
  {
    title: "Seen at several customers in the last 24 hours",
    kind: "table",
    search: `\`${SEVERAL_CUSTOMERS.name}\``,
    // What the macro's table shows.
    fields: SEVERAL_CUSTOMERS.definition.split("| table ")[1]?.split(", ") ?? [],
    earliest: "-24h",
    rows: 10,
  },
];

interface Report {
  readonly name: string;
  readonly description: string;
  readonly search: string;
  readonly earliest: string;
  /** The tool's name for AI assistants, and its description for them. */
  readonly tool: string;
  readonly forAssistant: string;
}

/** Searches that only read. They run when somebody, or an assistant through Splunk's MCP server, asks. */
export const REPORTS: readonly Report[] = [
  {
    name: "Defender MSSP - Report silent customers",
    description: "Customers without a health event for more than two hours, the longest silence first.",
    search: [`| ${SILENT_CUSTOMERS.join(" | ")}`, "sort 0 -silent_minutes", SILENT_COLUMNS].join(" | "),
    earliest: "-5m",
    tool: "defender_mssp_silent_customers",
    forAssistant:
      "Lists the customers whose Microsoft Defender collection has sent no health event for more than two hours: their alerts may be missing. Takes no arguments.",
  },
  {
    name: "Defender MSSP - Report collection lag",
    description: "Every customer's streams with their lag, the longest first, and what holds them up.",
    search: [
      "`defender_mssp_customer_streams`",
      'where NOT state="off"',
      "sort 0 -lag_s -rank tenant stream",
      "table tenant, tenant_id, input, stream, state, lag_s, failure, actor, say, next_step",
    ].join(" | "),
    earliest: "-24h",
    tool: "defender_mssp_collection_lag",
    forAssistant:
      "Lists each customer's Microsoft Defender streams with the seconds since the last complete poll (lag_s), the state, what failed, who must act and the next step. Takes no arguments.",
  },
  {
    name: "Defender MSSP - Report credentials ending",
    description: "Client secrets, certificates and refresh tokens that end within 60 days, the soonest first.",
    search: [
      "`defender_mssp_customer_streams`",
      "where credential_days_left<=60",
      FIRST_END,
      "sort 0 days_left tenant",
      CREDENTIAL_COLUMNS,
    ].join(" | "),
    earliest: "-24h",
    tool: "defender_mssp_credentials_ending",
    forAssistant:
      "Lists the customers whose client secret, certificate or refresh token for Microsoft Defender ends within 60 days. Takes no arguments.",
  },
  {
    name: "Defender MSSP - Report seen at several customers",
    description: SEVERAL_CUSTOMERS_DAILY,
    search: `\`${SEVERAL_CUSTOMERS.name}\``,
    earliest: "-24h",
    tool: "defender_mssp_seen_at_several_customers",
    forAssistant:
      "Lists file hashes, mail senders, public IP addresses, domains and detectors that occur in Microsoft Defender alerts of three or more customers within 24 hours. Takes no arguments.",
  },
  {
    name: "Defender MSSP - Report alert history",
    description: "Every version of one alert, the oldest first. Give the alert's ID as the argument alert_id.",
    search: [
      '`defender_mssp_alerts` id="$alert_id$"',
      "sort 0 _time",
      'eval updated=strftime(_time,"%Y-%m-%d %H:%M:%S")',
      "table updated, vendor_account, tenant_id, id, status, severity, assigned_to, classification, determination, incident_id, signature",
    ].join(" | "),
    earliest: "-90d",
    tool: "defender_mssp_alert_history",
    forAssistant:
      "Shows how one Microsoft Defender alert changed: status, severity, assignee, classification and incident of each version. Needs the argument alert_id, the alert's ID.",
  },
];

/** Neither scheduled nor disabled: the MCP server does not run a disabled search. */
export function reportStanzas(): readonly ConfStanza[] {
  return REPORTS.map(({ name, description, search, earliest }) => ({
    name,
    settings: [
      ["description", description],
      ["search", search],
      ["dispatch.earliest_time", earliest],
      ["dispatch.latest_time", "now"],
      ["enableSched", "0"],
      ["disabled", "0"],
    ],
  }));
}

/**
 * `default/tools.conf`: what Splunk's MCP server may offer to AI assistants. Source: splunk-appinspect 4.3.1,
 * check_tools_configuration_file.
 */
export function toolsConf(): string {
  return confFile(
    REPORTS.map(({ name, tool, forAssistant }) => ({
      name: `savedsearches:${tool}`,
      settings: [
        ["description", forAssistant],
        ["search", name],
      ],
    })),
  );
}
