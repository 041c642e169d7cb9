import type { ConfStanza } from "./conf.ts";
import { confFile } from "./conf.ts";

/** One search text as it stands in a conf file or view: a line, pipes between the commands. */
function pipeline(...commands: readonly string[]): string {
  return commands.join(" | ").trimStart();
}

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
  {
    name: "defender_mssp_customer_streams",
    definition: pipeline(
      "`defender_mssp_health`",
      'eval tenant_id=if(isnull(tenant_id) OR tenant_id="","unknown:".tenant,tenant_id)',
      "dedup tenant_id",
      "eventstats max(_time) as newest_s by tenant",
      'where NOT (match(tenant_id,"^unknown:") AND _time<newest_s)',
      "spath path=streams{} output=stream_json",
      "mvexpand stream_json",
      'eval stream=json_extract(stream_json,"stream"), state=json_extract(stream_json,"state"), lag_s=tonumber(json_extract(stream_json,"lag_s")), failure=json_extract(stream_json,"failure"), actor=json_extract(stream_json,"actor"), say=json_extract(stream_json,"say"), next_step=json_extract(stream_json,"next_step"), swept=tonumber(json_extract(stream_json,"swept"))',
      'eval failure=nullif(failure,"null"), actor=nullif(actor,"null"), say=nullif(say,"null"), next_step=nullif(next_step,"null"), credential=nullif(credential,"null"), credential_days_left=tonumber(nullif(credential_days_left,"null"))',
      "eval silent_s=now()-_time",
      'eval rank=case(silent_s>7500,6, state="signed-out" OR state="misconfigured",5, state="failing" OR state="awaiting-consent",4, state="throttled",3, state="catching-up",2, true(),1)',
    ),
    why: "One row per customer and stream from the newest health event; sort by -rank for the worst first. Health events come hourly, so 7,500 s without one count as silence. A customer whose tenant is not known has the tenant_id `unknown:` and its name, until a health event with its GUID comes.",
  },
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
  /** Alerts are shipped switched off; the lookup is kept from the start. */
  readonly enabled: boolean;
  readonly alertsWhenRows: boolean;
}

export const SAVED_SEARCHES: readonly SavedSearch[] = [
  {
    name: "Defender MSSP - Customers lookup",
    description:
      "Fills the lookup defender_mssp_customers from health events: one row per customer with the worst state of its streams.",
    search: pipeline(
      "`defender_mssp_customer_streams`",
      "sort 0 tenant_id -rank",
      "stats first(tenant) as tenant, first(state) as state, max(lag_s) as lag_s, first(failure) as failure, first(actor) as actor, first(say) as say, first(next_step) as next_step, first(credential) as credential, first(credential_days_left) as credential_days_left, values(stream) as streams, first(version) as version, max(_time) as last_seen by tenant_id",
      'eval streams=mvjoin(streams,",")',
      "outputlookup append=true key_field=tenant_id defender_mssp_customers",
    ),
    earliest: "-3h",
    cron: "*/15 * * * *",
    enabled: true,
    alertsWhenRows: false,
  },
  {
    name: "Defender MSSP - Customer silent",
    description:
      "A customer of the lookup has sent no health event for more than two hours: the input is stopped, or events do not arrive.",
    search: pipeline(
      "",
      "inputlookup defender_mssp_customers",
      "eval silent_minutes=round((now()-last_seen)/60)",
      "where silent_minutes>125",
      "table tenant, tenant_id, silent_minutes, state, say, next_step",
    ),
    earliest: "-5m",
    cron: "11 * * * *",
    enabled: false,
    alertsWhenRows: true,
  },
  {
    name: "Defender MSSP - Credential expiring",
    description: "A customer's client secret, certificate or refresh token ends within 30 days.",
    search: pipeline(
      "`defender_mssp_customer_streams`",
      "where credential_days_left<=30",
      "stats min(credential_days_left) as days_left, first(tenant) as tenant, first(credential) as credential by tenant_id",
      "sort 0 days_left",
      "table tenant, tenant_id, credential, days_left",
    ),
    earliest: "-3h",
    cron: "23 6 * * *",
    enabled: false,
    alertsWhenRows: true,
  },
  {
    name: "Defender MSSP - Sweep found rows",
    description:
      "The hourly sweep found versions that polling had missed. Nothing is lost: Microsoft showed them later than overlap_minutes.",
    search: pipeline(
      "`defender_mssp_health`",
      "spath path=streams{} output=stream_json",
      "mvexpand stream_json",
      'eval stream=json_extract(stream_json,"stream"), swept=tonumber(json_extract(stream_json,"swept"))',
      "stats sum(swept) as swept, first(tenant) as tenant by tenant_id, stream",
      "where swept>0",
      "table tenant, tenant_id, stream, swept",
    ),
    earliest: "-1d",
    cron: "37 6 * * *",
    enabled: false,
    alertsWhenRows: true,
  },
];

export function savedsearchesConf(): string {
  return confFile(
    SAVED_SEARCHES.map(
      (one): ConfStanza => ({
        name: one.name,
        settings: [
          ["description", one.description],
          ["search", one.search],
          ["dispatch.earliest_time", one.earliest],
          ["dispatch.latest_time", "now"],
          ["cron_schedule", one.cron],
          ["schedule_window", "5"],
          ["enableSched", one.enabled ? "1" : "0"],
          ["disabled", one.enabled ? "0" : "1"],
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
  );
}

export function collectionsConf(): string {
  return confFile([
    {
      name: "defender_mssp_customers",
      settings: [
        ["field.tenant", "string"],
        ["field.tenant_id", "string"],
        ["field.state", "string"],
        ["field.lag_s", "number"],
        ["field.failure", "string"],
        ["field.actor", "string"],
        ["field.say", "string"],
        ["field.next_step", "string"],
        ["field.credential", "string"],
        ["field.credential_days_left", "number"],
        ["field.streams", "string"],
        ["field.version", "string"],
        ["field.last_seen", "time"],
      ],
    },
  ]);
}

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
