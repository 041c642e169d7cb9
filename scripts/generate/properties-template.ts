import { FLEET_SETTINGS } from "../../src/config/fleet-settings.ts";
import { METRICS_SETTINGS } from "../../src/config/metrics-settings.ts";
import { OUTPUT_SETTINGS, SERVE_SETTINGS } from "../../src/config/output-settings.ts";
import type { Setting } from "../../src/model/setting.ts";
import type { StanzaSetting } from "../../src/model/settings-table.ts";
import { settingsFor } from "../../src/model/settings-table.ts";
import { GENERATED } from "./generated.ts";

/** `arcsight/defender-mssp.properties.template`: every key for ArcSight, explained, with its default. */
export function arcsightTemplate(): string {
  const rows = settingsFor("arcsight");
  const customer = rows.filter((row) => row.global !== true).map(inProperties);
  const globals = rows.filter((row) => row.global === true).map(inProperties);
  // A customer's required keys are the ones that a first configuration fills in.
  return `# ${GENERATED}
# One block per customer: tenants[0], tenants[1] and so on. Write a backslash twice. Lines that begin with # show the defaults.

${customer.map((row) => entry("tenants[0].", row, row.required ? "" : "#")).join("\n")}
# For all customers

${globals.map((row) => entry("", row)).join("\n")}
# Where events go: outputs[0], outputs[1] and so on, several at once. \`arcsight run\` needs at least one, \`arcsight serve\` none.
# Instead of a secret (client_secret, refresh_token) you can write file:PATH, env:NAME or credential:NAME (systemd).

${OUTPUT_SETTINGS.map((row) => entry("outputs[0].", row)).join("\n")}
# Settings of \`arcsight serve\`

${SERVE_SETTINGS.map((row) => entry("serve.", row)).join("\n")}
# Metrics and health of this program

${METRICS_SETTINGS.map((row) => entry("metrics.", row)).join("\n")}
# Several collectors that share the customers

${FLEET_SETTINGS.map((row) => entry("fleet.", row)).join("\n")}`;
}

function inProperties(row: StanzaSetting): Setting {
  return { ...row, ...row.inProperties };
}

function entry(prefix: string, row: Setting, sign = "#"): string {
  const standard = row.required ? "Required." : `Default: ${row.default ?? row.otherwise ?? "none"}.`;
  return `# ${row.help}\n# ${standard}\n${sign}${prefix}${row.key}=${row.default ?? ""}\n`;
}
