import { SCHEME } from "../../src/config/scheme.ts";
import type { StanzaSetting } from "../../src/model/settings-table.ts";
import { settingsFor } from "../../src/model/settings-table.ts";
import { GENERATED } from "./generated.ts";
import type { Wording } from "./wording.ts";
import { wordingOf } from "./wording.ts";

/** `README/inputs.conf.spec`: splunkd loads the scheme only when every argument is listed. */
export function inputsSpec(): string {
  const stanzaRows = settingsFor("splunk").filter((row) => row.global !== true);
  const globalRows = settingsFor("splunk").filter((row) => row.global === true);
  return `# ${GENERATED}

[${SCHEME}://<name>]
* One input per customer. <name> is the customer's name.
* 'interval' is ignored: one process serves all inputs and polls every poll_seconds.

${stanzaRows.map(specEntry).join("\n")}
${globalRows.map(specEntry).join("\n")}`;
}

/** `default/inputs.conf`: defaults of every input, under the scheme and never under [default]. */
export function defaultInputs(): string {
  const lines = settingsFor("splunk")
    .filter((row) => row.default !== undefined)
    .map((row) => `${row.key} = ${row.default}`);
  // start_by_shell: with a shell between, the stop signal would hit the shell and leave the program behind.
  return `# ${GENERATED}

[${SCHEME}]
start_by_shell = false
interval = 60
${lines.join("\n")}
`;
}

const SPEC_WORDING: Wording = {
  text: () => "string",
  choice: (kind) => kind.of.join("|"),
  choices: () => "comma-separated list",
  names: () => "comma-separated list",
  whole: (kind) => `integer from ${kind.min} to ${kind.max}`,
  "yes-no": () => "boolean",
  tenant: () => "string",
  guid: () => "string",
  start: () => "string",
  date: () => "date",
  address: () => "string",
  listen: () => "string",
  mode: () => "octal mode",
  audience: () => "string",
  file: () => "path",
  assertion: () => "file:PATH|managed-identity:CLIENT_ID",
  folder: () => "path",
};

function specEntry(row: StanzaSetting): string {
  return `${row.key} = <${wordingOf(row.kind, SPEC_WORDING)}>\n${specComment(row)}\n`;
}

function specComment(row: StanzaSetting): string {
  const standard = row.required ? "Required." : `Default: ${row.default ?? row.otherwise ?? "none"}.`;
  return [
    `* ${row.help}`,
    `* ${standard}`,
    ...(row.global ? [`* Holds for all inputs; set it once under [${SCHEME}].`] : []),
  ].join("\n");
}
