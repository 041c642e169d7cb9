import { GENERATED } from "../generated.ts";
import type { AppName } from "./apps.ts";
import { SILENT_S } from "./customers.ts";
import { SEVERAL_CUSTOMERS_PANELS } from "./reports.ts";
import { ROSTER, ROSTER_EARLIEST } from "./roster.ts";

/** A dashboard's search with its time range. */
export interface Panel {
  readonly title: string;
  readonly kind: "single" | "table" | "column" | "bar";
  /** A complete search, or commands after the base search. */
  readonly search?: string;
  readonly after?: string;
  readonly earliest?: string;
  readonly latest?: string;
  /** A table's rows on one page. */
  readonly rows?: number;
  /** A table's columns, where its search does not end with them. */
  readonly fields?: readonly string[];
  /** Where its kind's own is not right. */
  readonly heightPx?: number;
  /** The colour of a number that is not 0; without it all numbers look the same. */
  readonly alarm?: "red" | "yellow";
  /** What a click on a row does. */
  readonly click?: Readonly<Record<string, unknown>>;
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
    { title: "Customers", kind: "single", after: "stats dc(tenant_id) as customers" },
    {
      title: "Silent for two hours",
      kind: "single",
      after: "stats dc(eval(if(rank=6,customer_id,null()))) as silent",
      alarm: "red",
    },
    {
      title: "Not collected",
      kind: "single",
      after: "stats dc(eval(if(rank=5 OR rank=4,customer_id,null()))) as failing",
      alarm: "red",
    },
    {
      title: "Throttled or catching up",
      kind: "single",
      after: "stats dc(eval(if(rank=3 OR rank=2,customer_id,null()))) as slow",
      alarm: "yellow",
    },
    {
      title: "Off (input disabled)",
      kind: "single",
      after: 'stats dc(eval(if(state="off",customer_id,null()))) as off',
    },
    {
      title: "Credentials ending soon",
      kind: "single",
      after: "stats dc(eval(if(credential_days_left<=30,customer_id,null()))) as ending",
      alarm: "yellow",
    },
  ],
  [
    {
      title: "Customers, worst first (click one for its alerts)",
      kind: "table",
      after: `${ONE_ROW_PER_CUSTOMER} | eval lag_s=if(state="ok",null(),lag_s), who_must_act=actor, _tenant_id=tenant_id | sort 0 -rank -lag_s tenant | table tenant, input, state, lag_s, who_must_act, say, next_step, _tenant_id`,
      rows: 20,
      heightPx: 640,
      click: {
        type: "drilldown.setToken",
        options: {
          tokens: [
            { token: "tenant_id", key: "row._tenant_id.value" },
            { token: "tenant", key: "row.tenant.value" },
          ],
        },
      },
    },
  ],
  [
    {
      title: "Hosts that collect",
      kind: "table",
      heightPx: 200,
      after: `stats dc(customer_id) as inputs, max(_time) as newest_s by host | appendpipe [stats count | where count=0 | eval host="none"] | eval say=case(isnull(newest_s),"No health event has come in 30 days: no input is enabled, or no event arrives.", now()-newest_s>${SILENT_S},"No health event has come since then: no input of this host is enabled, or the program, the host or the forwarding is stopped.", true(),"Runs."), last_health=strftime(newest_s,"%Y-%m-%d %H:%M:%S") | sort 0 newest_s | table host, inputs, last_health, say`,
      rows: 10,
    },
  ],
  [
    {
      title: "Every stream that is not ok",
      kind: "table",
      after: `search NOT state="ok" | sort 0 -rank tenant input stream | table tenant, input, stream, state, lag_s, failure, actor, say, next_step`,
      rows: 20,
    },
  ],
  [
    {
      title: "Credentials, soonest end first",
      kind: "table",
      heightPx: 240,
      after: `${ONE_ROW_PER_CUSTOMER} | where isnotnull(credential_days_left) | sort 0 credential_days_left | table tenant, input, credential, credential_days_left`,
      rows: 10,
    },
  ],
  [
    {
      title: "List against reality",
      kind: "table",
      search: `\`${ROSTER.name}\` | table host, compared, under_contract, configured, collected, silent, say, next_step`,
      earliest: ROSTER_EARLIEST,
      rows: 10,
      heightPx: 240,
    },
  ],
  [
    {
      title: "Customers that differ from the list",
      kind: "table",
      search: `\`${ROSTER.name}\` | spath path=roster.differences{} output=one | mvexpand one | eval tenant=json_extract(one,"tenant"), tenant_id=json_extract(one,"tenant_id"), difference=json_extract(one,"difference") | where isnotnull(tenant) | sort 0 difference tenant | table tenant, difference, tenant_id, host`,
      earliest: ROSTER_EARLIEST,
      rows: 20,
    },
  ],
  [
    {
      title: "$tenant$: alerts by severity",
      kind: "column",
      search: "`defender_mssp_alerts` tenant_id=$tenant_id|s$ | timechart dc(id) by severity",
      earliest: "$range.earliest$",
      latest: "$range.latest$",
    },
    {
      title: "$tenant$: alerts by ATT&CK technique",
      kind: "bar",
      search:
        "`defender_mssp_latest_alerts` | search tenant_id=$tenant_id|s$ | mvexpand mitre_technique_id | top limit=15 mitre_technique_id",
      earliest: "$range.earliest$",
      latest: "$range.latest$",
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
      rows: 20,
      // Only text that is escaped, and nothing of an event becomes an address.
      click: {
        type: "drilldown.linkToSearch",
        options: {
          query: "`defender_mssp_index` tenant_id=$tenant_id|s$ incident_id=$row.incident_id.value|s$",
          earliest: "$range.earliest$",
          latest: "$range.latest$",
          type: "custom",
          newTab: true,
        },
      },
    },
  ],
];

const WIDTH = 1200;
/** What Dashboard Studio gives a column that says nothing: longer words are broken. */
const COLUMN_PX = 90;
/** Room for what stands in a column, where its heading is shorter. */
const CONTENT_PX: Readonly<Record<string, number>> = {
  tenant: 120,
  input: 120,
  host: 120,
  state: 120,
  failure: 130,
  difference: 130,
  tenant_id: 290,
  last_health: 110,
  compared: 110,
  updated: 110,
};
/** A letter of a heading, in bold, and what stands around it: the arrows that sort, and the padding. */
const HEADING_LETTER_PX = 8.5;
const HEADING_AROUND_PX = 48;
/** Sentences: they share what the other columns leave. */
const SENTENCES: ReadonlySet<string> = new Set(["say", "next_step"]);
const SENTENCE_MIN_PX = 190;
/** Of a panel's width, what is not its table's: the gap to the next panel, the padding, and a scroll bar. */
const AROUND_TABLE_PX = 40;
const HEIGHTS: Readonly<Record<Panel["kind"], number>> = { single: 120, table: 360, column: 300, bar: 300 };
const FINE = "#53a051";
const ALARMS = { red: "#dc4e41", yellow: "#f8be34" } as const;
const TYPES: Readonly<Record<Panel["kind"], string>> = {
  single: "splunk.singlevalue",
  table: "splunk.table",
  column: "splunk.column",
  bar: "splunk.bar",
};

/** The definition of the dashboard, in the form that Dashboard Studio reads from Splunk 9 on. */
function definition(): unknown {
  const rows = [...CUSTOMER_PANELS, SEVERAL_CUSTOMERS_PANELS];
  const placed = rows.flatMap((panels, row) => {
    const y = rows.slice(0, row).reduce((sum, [first]) => sum + heightOf(first), 0);
    const w = WIDTH / panels.length;
    return panels.map((panel, column) => ({
      panel,
      name: `${row + 1}_${column + 1}`,
      position: { x: column * w, y, w, h: heightOf(panel) },
    }));
  });
  return {
    title: LABEL,
    description: DESCRIPTION,
    dataSources: {
      base: {
        type: "ds.search",
        name: "Streams of all customers",
        options: {
          query: BASE,
          queryParameters: { earliest: BASE_EARLIEST, latest: "now" },
          refresh: "5m",
          refreshType: "delay",
        },
      },
      ...Object.fromEntries(placed.map(({ panel, name }) => [`search_${name}`, dataSource(panel)])),
    },
    visualizations: Object.fromEntries(
      placed.map(({ panel, name, position }) => [`panel_${name}`, visualization(panel, `search_${name}`, position.w)]),
    ),
    inputs: {
      range: {
        type: "input.timerange",
        title: "Alerts of the chosen customer",
        options: { token: "range", defaultValue: "-7d,now" },
      },
    },
    // Panels of one customer wait until a row is clicked, because tenant_id has no value before.
    defaults: { tokens: { default: { tenant: { value: "Chosen customer" } } } },
    layout: {
      type: "grid",
      globalInputs: ["range"],
      options: { width: WIDTH },
      structure: placed.map(({ name, position }) => ({ item: `panel_${name}`, type: "block", position })),
    },
  };
}

/** All panels of one row are as high as the first. */
function heightOf(panel: Panel | undefined): number {
  return panel === undefined ? 0 : (panel.heightPx ?? HEIGHTS[panel.kind]);
}

function dataSource({ title, search, after, earliest = "-24h", latest = "now" }: Panel): unknown {
  return search === undefined
    ? { type: "ds.chain", name: title, options: { extend: "base", query: `| ${after ?? ""}` } }
    : { type: "ds.search", name: title, options: { query: search, queryParameters: { earliest, latest } } };
}

/** Columns that a click reads and nobody sees: Splunk's tables can hide what begins with an underscore. */
function isHidden(field: string): boolean {
  return field.startsWith("_");
}

function columnsOf({ kind, search = "", after = "", fields: named }: Panel): readonly string[] {
  const last = /\| table ([\w, ]+)$/.exec(search || after)?.[1]?.split(", ");
  return kind === "table" ? (named ?? last ?? []) : [];
}

/** Widths of a table's columns by field, where the usual one breaks a word. Throws for too many columns. */
function columnWidths(panel: Panel, panelPx: number): Readonly<Record<string, { readonly width: number }>> {
  const fields = columnsOf(panel).filter((field) => !isHidden(field));
  const sentences = fields.filter((field) => SENTENCES.has(field));
  const leastOf = (field: string): number => {
    if (SENTENCES.has(field)) return SENTENCE_MIN_PX;
    const heading = Math.ceil(field.length * HEADING_LETTER_PX + HEADING_AROUND_PX);
    return Math.max(heading, CONTENT_PX[field] ?? COLUMN_PX);
  };
  const left = panelPx - AROUND_TABLE_PX - fields.reduce((sum, field) => sum + leastOf(field), 0);
  if (left < 0) throw new Error(`the table "${panel.title}" is ${-left} pixels wider than its panel`);
  const more = sentences.length === 0 ? 0 : Math.floor(left / sentences.length);
  const widths = fields.map((field) => [field, { width: leastOf(field) + (SENTENCES.has(field) ? more : 0) }] as const);
  return Object.fromEntries(widths.filter(([, { width }]) => width > COLUMN_PX));
}

function visualization(panel: Panel, search: string, panelPx: number): unknown {
  const { title, kind, rows, alarm, click } = panel;
  const widths = columnWidths(panel, panelPx);
  return {
    type: TYPES[kind],
    title,
    dataSources: { primary: search },
    options: {
      ...(rows === undefined ? {} : { count: rows }),
      ...(Object.keys(widths).length === 0 ? {} : { columnFormat: widths }),
      ...(columnsOf(panel).some(isHidden) ? { showInternalFields: false } : {}),
      ...(kind === "column" ? { stackMode: "stacked" } : {}),
      ...(alarm === undefined ? {} : { majorColor: "> majorValue | rangeValue(colours)" }),
    },
    ...(alarm === undefined
      ? {}
      : {
          context: {
            colours: [
              { to: 1, value: FINE },
              { from: 1, value: ALARMS[alarm] },
            ],
          },
        }),
    ...(click === undefined ? {} : { eventHandlers: [click] }),
  };
}

const LABEL = "Customers";
const DESCRIPTION =
  "Customers that are silent, lagging, throttled, failing or about to lose a credential, and who must act.";

/** `default/data/ui/views/customers.xml`: a dashboard of Dashboard Studio, without any script. */
export function customersView(): string {
  const text = JSON.stringify(definition(), null, 2);
  if (text.includes("]]>")) throw new Error("the dashboard's definition would end its CDATA section");
  return `<!-- ${GENERATED} -->
<dashboard version="2" theme="light">
  <label>${LABEL}</label>
  <description>${DESCRIPTION}</description>
  <definition><![CDATA[
${text}
  ]]></definition>
</dashboard>
`;
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
