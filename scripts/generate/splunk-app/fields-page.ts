import type { StreamHealth } from "../../../src/model/event.ts";
import { GENERATED } from "../generated.ts";
import { EVENT_TYPES } from "./classes.ts";
import { ALERT_SOURCES, FIELDS, type FieldRow, INCIDENT_SOURCES, NULLABLE } from "./knowledge.ts";
import { REPORTS } from "./reports.ts";
import { MACROS, SAVED_SEARCHES } from "./searches.ts";
import { SOURCE_KINDS, SOURCES } from "./sources.ts";
import { CUTS } from "./transforms.ts";

/** `docs/splunk/fields.md`. */
export function splunkFieldsPage(): string {
  return `<!-- ${GENERATED} -->
# Fields in Splunk

This page applies only to events whose source begins with \`defender_mssp:\`.
Splunk prefers a source's settings to a sourcetype's.
So another add-on with the same sourcetypes (for example Splunk Add-on for Microsoft Security) does not change these fields, and they do not change its fields.
\`TA_defender_mssp\` and \`SA_defender_mssp\` contain the same files, but for which saved searches are on.

An event is one line of JSON: Microsoft's own members, unchanged, and one member \`mssp\` (\`tenant\`, \`tenant_id\`, \`stream\`, \`cloud\`, \`change\`, \`found\`, \`key\`).

| Source | What it is | Time is taken from |
|---|---|---|
${SOURCE_KINDS.map((kind) => `| \`defender_mssp:${kind}:<tenant GUID>\` | ${KINDS[kind]} | \`${SOURCES[kind].timeMember}\` |\n`).join("")}
## Mapped fields

*Alerts* and *Ticket Management* are data models of the Common Information Model (Splunk Common Information Model Add-on 8.6).
A test shows that every sample event has a value for each **required** field.

| Field | Alerts | Ticket Management | On | Meaning |
|---|---|---|---|---|
${FIELDS.map(fieldRow).join("")}
Graph's evidence can have roles.
\`attacker\`, \`source\` and \`commandAndControl\` are a source's, \`attacked\`, \`destination\` and \`compromised\` a target's.
Where one item has roles of both sides, it is a source.
An account is never on both sides: where only sources are known, \`user\` is \`unknown\` and \`src_user\` names them.

A \`null\` from Microsoft gives no value, never the text "null".
This applies to every field above and to: ${nullables()}.
Inside evidence, Splunk's own extraction still writes the text.

## Extracted from the evidence

Splunk's automatic extraction reads only the first 5,000 bytes of an event.
These fields are extracted from the whole event and hold every value found.
Most searches need only the mapped fields above.

| Field | Meaning |
|---|---|
${[...Map.groupBy(CUTS, ({ field }) => field)].map(([field, cuts]) => `| \`${field}\` | ${cuts.map(({ help }) => help).join("; ")} |\n`).join("")}
## Health events

A health event has \`streams\`, one entry for each stream, and names its customer in \`tenant\`, \`tenant_id\` and \`input\` (the input's name).
Two inputs may collect the same tenant; \`input\` keeps them apart.
Counts are since the customer's previous health event.

| Member of an entry | Meaning |
|---|---|
${Object.entries(HEALTH_MEMBERS)
  .map(([name, meaning]) => `| \`${name}\` | ${meaning} |\n`)
  .join("")}
## Event types and tags

| Event type | Tags | Search |
|---|---|---|
${EVENT_TYPES.map((one) => `| \`${one.name}\` | ${one.tags.join(", ") || "none"} | \`${one.search}\` |\n`).join("")}
## Macros

| Macro | Meaning | Definition |
|---|---|---|
${MACROS.map((one) => `| \`${one.name}\` | ${one.why} | ${codeCell(one.definition)} |\n`).join("")}
## Saved searches

Those that are on run where \`SA_defender_mssp\` is installed; in \`TA_defender_mssp\` all of them are off ([single instance](install.md#on-a-single-instance)).

| Name | Shipped | Meaning |
|---|---|---|
${SAVED_SEARCHES.map((one) => `| ${one.name} | ${one.enabled ? "on" : "off"} | ${one.description} |\n`).join("")}${REPORTS.map((one) => `| ${one.name} | on request | ${one.description} |\n`).join("")}
## Tools for AI assistants

\`default/tools.conf\` offers five of these searches to Splunk's MCP server ([how to use them](ai-assistants.md)).
Each only reads.

| Tool | Saved search |
|---|---|
${REPORTS.map((one) => `| \`${one.tool}\` | ${one.name} |\n`).join("")}`;
}

const KINDS: Readonly<Record<(typeof SOURCE_KINDS)[number], string>> = {
  alerts: "alerts from Microsoft Graph",
  incidents: "incidents from Microsoft Graph",
  "xdr-incidents": "incidents of the Defender XDR API, and their alerts as separate events",
  "mde-alerts": "alerts of the Defender for Endpoint API",
  "siem-alerts": "alerts of the retired SIEM API",
  hunting: "rows of hunting queries",
  health: "the state of a customer",
};

const HEALTH_MEMBERS: Readonly<Record<keyof StreamHealth, string>> = {
  stream: "the stream's name; `*` for a customer that is refused as a whole",
  state: "`ok`, `catching-up`, `throttled`, `failing`, `signed-out`, `awaiting-consent`, `misconfigured` or `off`",
  lag_s: "seconds since the last complete walk began; null before the first",
  walk_completed_at: "when the last complete walk ended; null before the first",
  new: "events sent of objects that are new",
  updated: "events sent of objects that changed",
  swept: "of those, how many only the hourly sweep found",
  replayed: "events sent again after a crash, with the keys they had before",
  superseded: "versions that were not sent because a newer one of their object was",
  requests: "requests to Microsoft",
  throttled: "requests that Microsoft answered with 429",
  invalid_utf8: "events sent in which Microsoft's bytes were not valid UTF-8 and were replaced by U+FFFD",
  retry_at: "when the stream is tried again, while it waits; otherwise null",
  failure: "code of the failure, or null",
  actor: "who must act: `microsoft`, `customer`, `operator` or `us`",
  say: "what happened, in one sentence",
  next_step: "what to do",
};

function fieldRow(row: FieldRow): string {
  const need = (level: "required" | "optional" | undefined) => (level === "required" ? "**required**" : (level ?? ""));
  return `| \`${row.field}\` | ${need(row.alerts)} | ${need(row.ticketing)} | ${where(row)} | ${row.help} |\n`;
}

function where(row: FieldRow): string {
  if (row.on !== undefined) return row.on;
  const sources = Object.keys(row.eval);
  const alerts = ALERT_SOURCES.filter((source) => sources.includes(source));
  const incidents = INCIDENT_SOURCES.filter((source) => sources.includes(source));
  if (sources.includes("hunting")) return "everything but health";
  if (alerts.length === ALERT_SOURCES.length)
    return incidents.includes("incidents") ? "alerts and incidents" : "alerts";
  if (row.ticketing && incidents.length === INCIDENT_SOURCES.length && alerts.length === 1) return "incidents";
  return sources.map((source) => `\`${source}\``).join(", ");
}

function nullables(): string {
  return [...new Set(Object.values(NULLABLE).flat())]
    .toSorted()
    .map((name) => `\`${name}\``)
    .join(", ");
}

/** Text with backticks and pipes inside a table's cell. */
function codeCell(text: string): string {
  return `<code>${text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("|", "&#124;")}</code>`;
}
