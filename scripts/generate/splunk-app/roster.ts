import { ROSTER_SOURCE } from "../../../src/format/splunk/splunk-event.ts";

/** Events come hourly while something differs, and at each change: what is older may still hold. */
export const ROSTER_EARLIEST = "-30d";

const MEMBERS = ["under_contract", "configured", "consented", "collected", "silent"] as const;

/** The newest comparison of each host. While nothing differs, it may be old. */
export const ROSTER = {
  name: "defender_mssp_roster",
  definition: [
    `\`defender_mssp_index\` sourcetype="defender_mssp:health" source="${ROSTER_SOURCE}"`,
    "dedup host",
    `eval ${MEMBERS.map((member) => `${member}=tonumber(json_extract(_raw,"roster.${member}"))`).join(", ")}`,
    'eval say=json_extract(_raw,"roster.say"), next_step=nullif(json_extract(_raw,"roster.next_step"),"null"), compared=strftime(_time,"%Y-%m-%d %H:%M:%S")',
  ].join(" | "),
  why: "The newest comparison of the list of customers with reality, one row per host that collects.",
};
