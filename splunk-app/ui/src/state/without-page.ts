import type { Ask } from "../../../../src/config/request-stanza.ts";
import { quotedForPosix } from "../../../../src/model/command-line.ts";

/** Where the pages save inputs. */
const INPUTS_CONF = "$SPLUNK_HOME/etc/apps/TA_defender_mssp/local/inputs.conf";

/** What does the same without a page, on the host of the input: as docs/splunk/first-customer.md has it. */
export function commandFor(what: Ask, customer: string): string {
  if (what !== "consent" && what !== "doctor") return "`defender_mssp credential set NAME --to splunk`";
  const command = what === "consent" ? "consent-url" : "doctor";
  return `\`defender_mssp ${command} --config "${INPUTS_CONF}" --customer ${quotedForPosix(customer)} --splunk-user admin\``;
}
