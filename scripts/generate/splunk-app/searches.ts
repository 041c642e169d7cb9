import type { AppName } from "./apps.ts";
import type { ConfStanza } from "./conf.ts";
import { confFile } from "./conf.ts";
import { CREDENTIAL_COLUMNS, FIRST_END, LOOKUP, SILENT_COLUMNS, SILENT_CUSTOMERS, SILENT_S } from "./customers.ts";
import { reportStanzas, SEVERAL_CUSTOMERS, SEVERAL_CUSTOMERS_DAILY } from "./reports.ts";
import { ROSTER } from "./roster.ts";

/** One search text as it stands in a conf file or view: a line, pipes between the commands. */
function pipeline(...commands: readonly string[]): string {
  return commands.join(" | ").trimStart();
}

/** An input that is silent for so long is no longer a customer. */
const GONE_S = 604_800;
const DAY_S = 86_400;

/** Which rows are one: an input of one tenant, also on another host; and an input of one host. */
const WITH_KEYS =
  'eval customer_id=if(input="-",tenant_id,tenant_id."/".input), input_key=if(input="-",tenant_id,input)';

/**
 * From newest first, one row per input: it may have moved to another host, or its tenant have become known or
 * unknown. A row without an input gives way to those that name one.
 */
const NEWEST_ROWS = [
  "dedup customer_id",
  "dedup host input_key",
  'eventstats max(eval(if(input="-",null(),_time))) as named_s by tenant_id',
  'where NOT (input="-" AND isnotnull(named_s) AND _time<named_s)',
] as const;

/**
 * One row per stream. What stands behind `streams` may lie beyond the bytes that automatic extraction reads,
 * so it is taken out of the whole event.
 */
const EXPANDED = [
  'eval credential=nullif(json_extract(_raw,"credential"),"null"), credential_days_left=tonumber(nullif(json_extract(_raw,"credential_days_left"),"null")), version=json_extract(_raw,"version")',
  "spath path=streams{} output=stream_json",
  "mvexpand stream_json",
  'eval stream=json_extract(stream_json,"stream"), state=json_extract(stream_json,"state"), lag_s=tonumber(json_extract(stream_json,"lag_s")), failure=json_extract(stream_json,"failure"), actor=json_extract(stream_json,"actor"), say=json_extract(stream_json,"say"), next_step=json_extract(stream_json,"next_step")',
  'eval failure=nullif(failure,"null"), actor=nullif(actor,"null"), say=nullif(say,"null"), next_step=nullif(next_step,"null")',
] as const;

/** In the text of an event: quotes inside of a sentence are escaped, so no sentence looks like this. */
const WAITS = 'match(_raw,".state.:.(awaiting-consent|misconfigured).")';

/** Macros that dashboards, saved searches and people start from. */
export const MACROS: readonly { readonly name: string; readonly definition: string; readonly why: string }[] = [
  {
    name: "defender_mssp_index",
    definition: "index=*",
    why: "Where the events are. Restrict it to your own indexes to make searches faster.",
  },
  {
    name: "defender_mssp_alerts",
    definition: "`defender_mssp_index` eventtype=defender_mssp_alert",
    why: "Alerts of all customers; each version is one event.",
  },
  {
    name: "defender_mssp_incidents",
    definition: "`defender_mssp_index` eventtype=defender_mssp_incident",
    why: "Incidents of all customers; each version is one event.",
  },
  {
    name: "defender_mssp_health",
    definition: '`defender_mssp_index` sourcetype="defender_mssp:health" source="defender_mssp:health:*"',
    why: "The state of each customer, hourly and at each change.",
  },
  {
    name: "defender_mssp_latest_alerts",
    definition: pipeline("`defender_mssp_alerts`", "dedup tenant_id id"),
    why: "The newest version of each alert (events come newest first).",
  },
  SEVERAL_CUSTOMERS,
  {
    name: "defender_mssp_health_rows",
    definition: pipeline(
      "`defender_mssp_health`",
      "where isnull(notice)",
      'eval tenant_id=if(isnull(tenant_id) OR tenant_id="","unknown:".tenant,tenant_id), input=coalesce(input,"-")',
      WITH_KEYS,
    ),
    why: "Health events with customer_id, which is one per tenant and input. Notices about outputs are of no customer. A customer whose tenant is not known has the tenant_id `unknown:` and its name. Events of 0.1.0 name no input: it is `-`.",
  },
  {
    name: "defender_mssp_customer_streams",
    definition: pipeline(
      "`defender_mssp_health_rows`",
      ...NEWEST_ROWS,
      "eventstats max(_time) as host_newest_s by host",
      `where NOT (now()-_time>${GONE_S} AND now()-host_newest_s<=${SILENT_S})`,
      ...EXPANDED,
      "eval silent_s=now()-_time",
      "eval lag_s=lag_s+round(silent_s), credential_days_left=if(isnotnull(credential_days_left),max(0,credential_days_left-floor(silent_s/86400)),null())",
      `eval rank=case(state="off",0, silent_s>${SILENT_S},6, state="signed-out" OR state="misconfigured",5, state="failing" OR state="awaiting-consent",4, state="throttled",3, state="catching-up",2, true(),1)`,
      'eval state=if(rank=6,"silent",state), failure=if(rank=6,null(),failure), actor=if(rank=6,"operator",actor), say=if(rank=6,"No health event has come since ".strftime(_time,"%Y-%m-%d %H:%M:%S").".",say), next_step=if(rank=6,"Check that the input exists and is enabled, that its host runs, and that events are forwarded.",next_step)',
    ),
    why: "One row per input and stream from the newest health event; sort by -rank for the worst first. Health events come hourly, so 7,500 s without one count as silence (state `silent`, rank 6); a disabled input is `off` (rank 0) and never silent. lag_s counts until now. An input leaves after 7 days of silence if its host still reports others: then it was deleted.",
  },
  ROSTER,
];

export function macrosConf(): string {
  return confFile(
    MACROS.map(({ name, definition, why }) => ({
      name,
      why,
      settings: [
        ["definition", definition],
        ["iseval", "0"],
      ],
    })),
  );
}

interface SavedSearch {
  readonly name: string;
  readonly description: string;
  readonly search: string;
  readonly earliest: string;
  readonly cron: string;
  /** Runs where SA_defender_mssp is installed. In TA_defender_mssp all are shipped switched off. */
  readonly enabled: boolean;
  readonly alertsWhenRows: boolean;
}

/** Fields of the lookup, which are those of its collection. */
export const LOOKUP_FIELDS = [
  ["customer_id", "string"],
  ["tenant", "string"],
  ["tenant_id", "string"],
  ["input", "string"],
  ["host", "string"],
  ["state", "string"],
  ["lag_s", "number"],
  ["failure", "string"],
  ["actor", "string"],
  ["say", "string"],
  ["next_step", "string"],
  ["credential", "string"],
  ["credential_days_left", "number"],
  ["streams", "string"],
  ["version", "string"],
  ["last_seen", "time"],
] as const;

const ALERT_COLUMNS = "table tenant, input, state, stream, lag_s, failure, actor, say, next_step, tenant_id";

export const SAVED_SEARCHES: readonly SavedSearch[] = [
  {
    name: "Defender MSSP - Customers lookup",
    description:
      "Fills the lookup defender_mssp_customers from health events: one row per input with the worst state of its streams. A customer leaves it 7 days after its last health event.",
    search: pipeline(
      "`defender_mssp_customer_streams`",
      "eventstats values(stream) as streams, max(lag_s) as lag_s by customer_id",
      "sort 0 -rank",
      "dedup customer_id",
      'eval streams=mvjoin(streams,","), last_seen=_time',
      `inputlookup append=true ${LOOKUP}`,
      `where last_seen>now()-${GONE_S}`,
      'eval _time=last_seen, input=coalesce(input,"-"), host=coalesce(host,"-")',
      WITH_KEYS,
      "sort 0 -_time",
      ...NEWEST_ROWS,
      `table ${LOOKUP_FIELDS.map(([field]) => field).join(", ")}`,
      `outputlookup key_field=customer_id ${LOOKUP}`,
    ),
    earliest: "-24h",
    cron: "*/15 * * * *",
    enabled: true,
    alertsWhenRows: false,
  },
  {
    name: "Defender MSSP - Customer silent",
    description:
      "A customer of the lookup has sent no health event for more than two hours: the input was deleted, the program is stopped, or events do not arrive.",
    search: pipeline("", ...SILENT_CUSTOMERS, SILENT_COLUMNS),
    earliest: "-5m",
    cron: "11 * * * *",
    enabled: true,
    alertsWhenRows: true,
  },
  {
    name: "Defender MSSP - Customer failing",
    description:
      "A customer is failing, and its last complete walk began more than 15 minutes ago, or there was none; or it is throttled, and that was more than an hour ago.",
    search: pipeline(
      "`defender_mssp_customer_streams`",
      'where (state="failing" AND (isnull(lag_s) OR lag_s>900)) OR (state="throttled" AND lag_s>3600)',
      "sort 0 -lag_s",
      "dedup customer_id",
      ALERT_COLUMNS,
    ),
    earliest: "-3h",
    cron: "3,33 * * * *",
    enabled: true,
    alertsWhenRows: true,
  },
  {
    name: "Defender MSSP - Customer signed out",
    description:
      "Nobody can sign in for a customer: a client secret, certificate, refresh token or permission is refused.",
    search: pipeline(
      "`defender_mssp_customer_streams`",
      'where state="signed-out"',
      "sort 0 -lag_s",
      "dedup customer_id",
      ALERT_COLUMNS,
    ),
    earliest: "-3h",
    cron: "7 * * * *",
    enabled: true,
    alertsWhenRows: true,
  },
  {
    name: "Defender MSSP - Customer waits",
    description: "A customer has waited for consent, or has had wrong settings, for more than a day.",
    search: pipeline(
      "`defender_mssp_health_rows`",
      `eval fine_s=if(${WAITS},null(),_time)`,
      "stats first(_raw) as _raw, max(_time) as last_s, min(_time) as first_s, max(fine_s) as fine_s, first(tenant) as tenant, first(tenant_id) as tenant_id, first(input) as input by customer_id",
      "eval since_s=coalesce(fine_s,first_s)",
      `where last_s>=now()-${SILENT_S} AND since_s<now()-${DAY_S} AND since_s<last_s`,
      ...EXPANDED,
      'where state="awaiting-consent" OR state="misconfigured"',
      "dedup customer_id",
      "eval waits_hours=floor((now()-since_s)/3600)",
      "table tenant, input, state, waits_hours, failure, actor, say, next_step, tenant_id",
    ),
    earliest: "-30d",
    cron: "13 6 * * *",
    enabled: true,
    alertsWhenRows: true,
  },
  {
    name: "Defender MSSP - Credential expiring",
    description: "A customer's client secret, certificate or refresh token ends within 30 days.",
    search: pipeline(
      "`defender_mssp_customer_streams`",
      "where credential_days_left<=30",
      FIRST_END,
      "sort 0 days_left",
      CREDENTIAL_COLUMNS,
    ),
    earliest: "-24h",
    cron: "23 6 * * *",
    enabled: false,
    alertsWhenRows: true,
  },
  {
    name: "Defender MSSP - Sweep found rows",
    description:
      "The hourly sweep found versions that polling had missed. Nothing is lost: Microsoft showed them later than overlap_minutes.",
    search: pipeline(
      "`defender_mssp_health_rows`",
      "spath path=streams{} output=stream_json",
      "mvexpand stream_json",
      'eval stream=json_extract(stream_json,"stream"), swept=tonumber(json_extract(stream_json,"swept"))',
      "stats sum(swept) as swept, first(tenant) as tenant, first(tenant_id) as tenant_id, first(input) as input by customer_id, stream",
      "where swept>0",
      "table tenant, tenant_id, input, stream, swept",
    ),
    earliest: "-1d",
    cron: "37 6 * * *",
    enabled: false,
    alertsWhenRows: true,
  },
  {
    name: "Defender MSSP - Seen at several customers",
    description: SEVERAL_CUSTOMERS_DAILY,
    search: `\`${SEVERAL_CUSTOMERS.name}\``,
    earliest: "-24h",
    cron: "43 * * * *",
    enabled: false,
    alertsWhenRows: true,
  },
];

/** On forwarders nothing may run: there the searches would find no events, and fill a lookup of their own. */
export function savedsearchesConf(app: AppName): string {
  const isOn = ({ enabled }: SavedSearch) => enabled && app === "SA_defender_mssp";
  return confFile([
    ...SAVED_SEARCHES.map(
      (one): ConfStanza => ({
        name: one.name,
        settings: [
          ["description", one.description],
          ["search", one.search],
          ["dispatch.earliest_time", one.earliest],
          ["dispatch.latest_time", "now"],
          ["cron_schedule", one.cron],
          ["schedule_window", "5"],
          ["enableSched", isOn(one) ? "1" : "0"],
          ["disabled", isOn(one) ? "0" : "1"],
          ...(one.alertsWhenRows
            ? ([
                ["counttype", "number of events"],
                ["relation", "greater than"],
                ["quantity", "0"],
                ["alert.track", "1"],
                ["alert.digest_mode", "1"],
              ] as const)
            : []),
        ],
      }),
    ),
    ...reportStanzas(),
  ]);
}

export function collectionsConf(app: AppName): string {
  const lookup: ConfStanza = {
    name: LOOKUP,
    settings: LOOKUP_FIELDS.map(([field, type]) => [`field.${field}`, type]),
  };
  return confFile(app === "TA_defender_mssp" ? [lookup, ...PAGES_COLLECTIONS] : [lookup]);
}

/** Between the pages in Splunk Web and the input: each host has its own. */
const PAGES_COLLECTIONS: readonly ConfStanza[] = [
  { name: "defender_mssp_requests", settings: [["replicate", "false"]] },
  { name: "defender_mssp_status", settings: [["replicate", "false"]] },
];

/** A menu entry at an event that opens a search. */
function searchAction(name: string, label: string, eventtype: string, text: string): ConfStanza {
  return {
    name,
    settings: [
      ["type", "search"],
      ["label", label],
      ["display_location", "event_menu"],
      ["eventtypes", eventtype],
      ["fields", "incident_id,tenant_id"],
      ["search.search_string", text],
      ["search.target", "blank"],
      ["search.preserve_timerange", "0"],
    ],
  };
}

/** From an incident to its alerts and back: the menu at an event. */
export function workflowActionsConf(): string {
  return confFile([
    searchAction(
      "defender_mssp_alerts_of_incident",
      "Alerts of incident $incident_id$",
      "defender_mssp_incident",
      "`defender_mssp_latest_alerts` | search tenant_id=$tenant_id$ incident_id=$incident_id$",
    ),
    searchAction(
      "defender_mssp_incident_of_alert",
      "Incident $incident_id$ of this alert",
      "defender_mssp_alert",
      "`defender_mssp_incidents` tenant_id=$tenant_id$ incident_id=$incident_id$",
    ),
  ]);
}
