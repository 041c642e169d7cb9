import { saysWhereEventsGo } from "../config/hec-settings.ts";
import { settingsRefused } from "../config/settings.ts";
import { LOOK_EVERY_MS, type SplunkHost } from "../hosts/splunk/index.ts";
import type { SettingProblem } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import type { CollectorCustomers } from "./collector.ts";

type Customers = Required<Pick<CollectorCustomers, "wanted" | "refused" | "misconfigured" | "credentials">>;

const NAME_FILES: ReadonlySet<string> = new Set(["hec_ca_file", "fleet_ca_file", "fleet_password", "fleet_key_file"]);
/** splunkd starts this program anew when an input changes, and not when a file appears. */
const LOOK_FOR_FILE_AGAIN = "If its file was missing, disable and enable one input once it is there.";

/**
 * The customers while `hec_*` or `fleet_*` is wrong, so that nobody knows where events belong, or whether
 * another host collects: nobody is collected, and each one's health says why, also of those that something
 * else keeps from being collected.
 *
 * @param all every problem of the settings.
 */
export function customersWithoutDestination(
  host: Pick<SplunkHost, "customers" | "refused" | "misconfigured" | "look">,
  all: readonly SettingProblem[],
): Customers {
  const problems = all.filter(({ key }) => saysWhereEventsGo(key));
  const thenDo = problems.some(({ key }) => NAME_FILES.has(key)) ? LOOK_FOR_FILE_AGAIN : "";
  const stanzas = [...host.customers, ...host.refused].map(({ stanza: { name, tenantName, tenantId } }) => {
    const refused = { name, tenantName, tenantId: tenantIdFrom(tenantId) ?? ("" as const), problems };
    return { ...refused, failure: settingsRefused(refused, "the stanza [defender_mssp]", thenDo) };
  });
  const misconfigured = host.misconfigured.map((one) => {
    const refused = { ...one, problems: [...one.problems, ...problems] };
    const where = `the input ${JSON.stringify(one.name)} and the stanza [defender_mssp]`;
    return { ...refused, failure: settingsRefused(refused, where, thenDo) };
  });
  return {
    wanted: [],
    refused: [],
    misconfigured: [...stanzas, ...misconfigured],
    credentials: {
      everyMs: LOOK_EVERY_MS,
      async look(failing) {
        // It stores secrets that were typed in clear text.
        await host.look(failing);
        return { ready: [], refused: [] };
      },
    },
  };
}
