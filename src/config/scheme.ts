import type { StanzaSetting } from "../model/settings-table.ts";
import { settingsFor } from "../model/settings-table.ts";

/** The input scheme of this add-on: `<scheme>://<customer>`. */
export const SCHEME = "defender_mssp";

/**
 * The output of `--scheme`. `streaming_mode` is given because splunkd's default is `simple`. One process
 * serves every customer. Format: Splunk, "Modular inputs: introspection scheme".
 */
export function schemeDocument(): string {
  const args = settingsFor("splunk").map(argument).join("");
  return `<scheme>
  <title>Microsoft Defender for many customers (MSSP)</title>
  <description>Collects Microsoft Defender alerts and incidents of one customer's tenant. Add one input per customer.</description>
  <use_external_validation>true</use_external_validation>
  <use_single_instance>true</use_single_instance>
  <streaming_mode>xml</streaming_mode>
  <endpoint>
    <args>
      <arg name="name">
        <title>Customer</title>
        <description>A short name for this customer. It is the customer name in events unless another one is given below.</description>
        <data_type>string</data_type>
        <required_on_edit>false</required_on_edit>
        <required_on_create>true</required_on_create>
      </arg>
${args}    </args>
  </endpoint>
</scheme>
`;
}

function argument(row: StanzaSetting): string {
  // Every data_type is string: splunkd's own error for a wrong number names neither the limit nor a valid
  // value; this program's error does. Nothing is required on edit, so that a user who changes one field does
  // not have to type the others again.
  return `      <arg name="${row.key}">
        <title>${escapeText(row.title)}</title>
        <description>${escapeText(`${row.help}${defaultNote(row)}`)}</description>
        <data_type>string</data_type>
        <required_on_edit>false</required_on_edit>
        <required_on_create>${row.required === true}</required_on_create>
      </arg>
`;
}

function defaultNote(row: StanzaSetting): string {
  if (row.default !== undefined) return ` Default: ${row.default}.`;
  return row.otherwise === undefined || row.otherwise === "none" ? "" : ` Default: ${row.otherwise}.`;
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
