import { GENERATED } from "../generated.ts";
import type { AppName } from "./apps.ts";
import { SILENT_S } from "./customers.ts";
import { SEVERAL_CUSTOMERS_PANELS } from "./reports.ts";
import { ROSTER, ROSTER_EARLIEST } from "./roster.ts";

/** A dashboard's search with its time range. */
export interface Panel {
  readonly title: string;
  readonly kind: "single" | "table" | "chart";
  /** A complete search, or commands after the base search. */
  readonly search?: string;
  readonly after?: string;
  readonly earliest?: string;
  readonly latest?: string;
  readonly options?: Readonly<Record<string, string>>;
  readonly drilldown?: string;
  /** Shown only when this token is set. */
  readonly depends?: string;
}

/** Splunk hands on to a panel's search only the fields that the base search names. */
const BASE_FIELDS = [
  "_time",
  "host",
  "customer_id",
  "tenant",
  "tenant_id",
  "input",
  "stream",
  "state",
  "rank",
  "lag_s",
  "failure",
  "actor",
  "say",
  "next_step",
  "credential",
  "credential_days_left",
];
const BASE = `\`defender_mssp_customer_streams\` | table ${BASE_FIELDS.join(", ")}`;
/** A customer that is silent for a week is still seen. */
const BASE_EARLIEST = "-30d";
const ONE_ROW_PER_CUSTOMER = "sort 0 -rank | dedup customer_id";

/** Rows of panels of the *Customers* dashboard. */
const CUSTOMER_PANELS: readonly (readonly Panel[])[] = [
  [
    { title: "Customers", kind: "single", after: "stats dc(tenant_id) as customers", options: { drilldown: "none" } },
    {
      title: "Silent for two hours",
      kind: "single",
      after: "stats dc(eval(if(rank=6,customer_id,null()))) as silent",
      options: { drilldown: "none", useColors: "1", rangeColors: '["0x53a051","0xdc4e41"]', rangeValues: "[0]" },
    },
    {
      title: "Not collected",
      kind: "single",
      after: "stats dc(eval(if(rank=5 OR rank=4,customer_id,null()))) as failing",
      options: { drilldown: "none", useColors: "1", rangeColors: '["0x53a051","0xdc4e41"]', rangeValues: "[0]" },
    },
    {
      title: "Throttled or catching up",
      kind: "single",
      after: "stats dc(eval(if(rank=3 OR rank=2,customer_id,null()))) as slow",
      options: { drilldown: "none", useColors: "1", rangeColors: '["0x53a051","0xf8be34"]', rangeValues: "[0]" },
    },
    {
      title: "Off (input disabled)",
      kind: "single",
      after: 'stats dc(eval(if(state="off",customer_id,null()))) as off',
      options: { drilldown: "none" },
    },
    {
      title: "Credential ends within 30 days",
      kind: "single",
      after: "stats dc(eval(if(credential_days_left<=30,customer_id,null()))) as ending",
      options: { drilldown: "none", useColors: "1", rangeColors: '["0x53a051","0xf8be34"]', rangeValues: "[0]" },
    },
  ],
  [
    {
      title: "Customers, worst first (click one for its alerts)",
      kind: "table",
      after: `${ONE_ROW_PER_CUSTOMER} | eval lag_s=if(state="ok",null(),lag_s), last_health=strftime(_time,"%Y-%m-%d %H:%M:%S"), who_must_act=actor | sort 0 -rank -lag_s tenant | table tenant, input, state, stream, lag_s, failure, who_must_act, say, next_step, credential_days_left, last_health, tenant_id`,
      options: { count: "20", drilldown: "row" },
      drilldown: `<set token="tenant_id">$row.tenant_id$</set><set token="tenant">$row.tenant$</set>`,
    },
  ],
  [
    {
      title: "Hosts that collect",
      kind: "table",
      after: `stats dc(customer_id) as inputs, max(_time) as newest_s by host | appendpipe [stats count | where count=0 | eval host="none"] | eval say=case(isnull(newest_s),"No health event has come in 30 days: no input is enabled, or no event arrives.", now()-newest_s>${SILENT_S},"No health event has come since then: no input of this host is enabled, or the program, the host or the forwarding is stopped.", true(),"Runs."), last_health=strftime(newest_s,"%Y-%m-%d %H:%M:%S") | sort 0 newest_s | table host, inputs, last_health, say`,
      options: { count: "10", drilldown: "none" },
    },
  ],
  [
    {
      title: "Every stream that is not ok",
      kind: "table",
      after: `search NOT state="ok" | sort 0 -rank tenant input stream | table tenant, input, stream, state, lag_s, failure, actor, say, next_step`,
      options: { count: "20", drilldown: "none" },
    },
    {
      title: "Credentials, soonest end first",
      kind: "table",
      after: `${ONE_ROW_PER_CUSTOMER} | where isnotnull(credential_days_left) | sort 0 credential_days_left | table tenant, input, credential, credential_days_left`,
      options: { count: "10", drilldown: "none" },
    },
  ],
  [
    {
      title: "List against reality",
      kind: "table",
      search: `\`${ROSTER.name}\` | table host, compared, under_contract, configured, consented, collected, silent, say, next_step`,
      earliest: ROSTER_EARLIEST,
      options: { count: "10", drilldown: "none" },
    },
    {
      title: "Customers that differ from the list",
      kind: "table",
      search: `\`${ROSTER.name}\` | spath path=roster.differences{} output=one | mvexpand one | eval tenant=json_extract(one,"tenant"), tenant_id=json_extract(one,"tenant_id"), difference=json_extract(one,"difference") | where isnotnull(tenant) | sort 0 difference tenant | table tenant, difference, tenant_id, host`,
      earliest: ROSTER_EARLIEST,
      options: { count: "20", drilldown: "none" },
    },
  ],
  [
    {
      title: "$tenant$: alerts by severity",
      kind: "chart",
      search: "`defender_mssp_alerts` tenant_id=$tenant_id|s$ | timechart dc(id) by severity",
      earliest: "$range.earliest$",
      latest: "$range.latest$",
      options: { "charting.chart": "column", "charting.chart.stackMode": "stacked" },
      depends: "tenant_id",
    },
    {
      title: "$tenant$: alerts by ATT&amp;CK technique",
      kind: "chart",
      search:
        "`defender_mssp_latest_alerts` | search tenant_id=$tenant_id|s$ | mvexpand mitre_technique_id | top limit=15 mitre_technique_id",
      earliest: "$range.earliest$",
      latest: "$range.latest$",
      options: { "charting.chart": "bar" },
      depends: "tenant_id",
    },
  ],
  [
    {
      title: "$tenant$: alerts as they are now",
      kind: "table",
      search:
        '`defender_mssp_latest_alerts` | search tenant_id=$tenant_id|s$ | eval updated=strftime(_time,"%Y-%m-%d %H:%M:%S"), dest=mvjoin(dest,", "), user=mvjoin(user,", ") | sort 0 -severity_id -updated | table updated, severity, status, signature, dest, user, incident_id, alert_url',
      earliest: "$range.earliest$",
      latest: "$range.latest$",
      options: { count: "20", drilldown: "cell" },
      drilldown: `<condition field="incident_id"><link target="_blank">search?q=%60defender_mssp_index%60%20tenant_id%3D$tenant_id$%20incident_id%3D$row.incident_id$&amp;earliest=$range.earliest$&amp;latest=$range.latest$</link></condition><condition field="alert_url"><link target="_blank">$row.alert_url|n$</link></condition><condition></condition>`,
      depends: "tenant_id",
    },
  ],
];

/** `default/data/ui/views/customers.xml`: Simple XML 1.1, no script. */
export function customersView(): string {
  const rows = [...CUSTOMER_PANELS, SEVERAL_CUSTOMERS_PANELS]
    .map((panels) => `  <row>\n${panels.map(panelXml).join("")}  </row>\n`)
    .join("");
  return `<!-- ${GENERATED} -->
<form version="1.1" theme="light">
  <label>Customers</label>
  <description>Customers that are silent, lagging, throttled, failing or about to lose a credential, and who must act.</description>
  <search id="base">
    <query>${escapeText(BASE)}</query>
    <earliest>${BASE_EARLIEST}</earliest>
    <latest>now</latest>
    <refresh>5m</refresh>
    <refreshType>delay</refreshType>
  </search>
  <fieldset submitButton="false">
    <input type="time" token="range">
      <label>Alerts of the chosen customer</label>
      <default><earliest>-7d</earliest><latest>now</latest></default>
    </input>
  </fieldset>
${rows}</form>
`;
}

function panelXml(panel: Panel): string {
  const search =
    panel.search === undefined
      ? `<search base="base"><query>${escapeText(panel.after ?? "")}</query></search>`
      : `<search><query>${escapeText(panel.search)}</query><earliest>${panel.earliest ?? "-24h"}</earliest><latest>${panel.latest ?? "now"}</latest></search>`;
  const options = Object.entries(panel.options ?? {}).map(
    ([name, text]) => `        <option name="${name}">${escapeText(text)}</option>\n`,
  );
  const drilldown = panel.drilldown === undefined ? "" : `        <drilldown>${panel.drilldown}</drilldown>\n`;
  const depends = panel.depends === undefined ? "" : ` depends="$${panel.depends}$"`;
  return `    <panel${depends}>
      <${panel.kind}>
        <title>${panel.title}</title>
        ${search}
${options.join("")}${drilldown}      </${panel.kind}>
    </panel>
`;
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** `default/data/ui/nav/default.xml`. The pages are where inputs run; the dashboard is where events are. */
export function navigation(app: AppName): string {
  const pages = `  <view name="start" default="true" />
  <view name="customers" />
`;
  return `<!-- ${GENERATED} -->
<nav search_view="search">
${app === "TA_defender_mssp" ? pages : '  <view name="customers" default="true" />\n'}  <view name="search" />
</nav>
`;
}
