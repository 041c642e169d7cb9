import type { GlobalSettings } from "../model/stanza.ts";
import { type FleetSettings, readFleet } from "./fleet-settings.ts";
import { withSplunksKeys } from "./hec-settings.ts";

const PREFIX = "fleet_";

/** `fleet_*` of Splunk's global keys, without the password: every user who can read inputs sees these. */
export interface FleetReference {
  /** As `fleet.*` has them, without the password. */
  readonly values: Readonly<Record<string, string>>;
  /** `file:PATH` or `credential:NAME`; undefined: the role has no password. */
  readonly password: string | undefined;
}

/**
 * Reads `fleet_*`. Undefined without all of them: this host works alone. `wrong`: nothing may be collected,
 * because another host may have the customers.
 *
 * @param hasHec events go to HEC, or would if its settings were right.
 */
export function fleetOfGlobals(
  globals: GlobalSettings,
  hasHec: boolean,
  complain: (key: string, say: string) => void,
): FleetReference | "wrong" | undefined {
  const { fleetUrl, fleetUser, fleetPassword, fleetName, fleetMember, fleetKeyFile, fleetCaFile, discover } = globals;
  const given = {
    url: fleetUrl,
    user: fleetUser,
    name: fleetName,
    member: fleetMember,
    key_file: fleetKeyFile,
    ca_file: fleetCaFile,
  };
  const values = Object.fromEntries(
    Object.entries(given).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
  if (Object.keys(values).length === 0 && fleetPassword === undefined) return undefined;
  if (fleetUrl !== undefined && !hasHec) {
    complain("fleet_url", OVER_THE_PIPE);
    return "wrong";
  }
  if (fleetUrl !== undefined && discover !== undefined) {
    complain("fleet_url", "cannot be used with discover; run `defender-mssp customers discover` beside the fleet");
    return "wrong";
  }
  const fleet = fleetSettingsOf(
    { values, password: fleetPassword },
    fleetPassword === undefined ? undefined : "-",
    complain,
  );
  return fleet === undefined ? "wrong" : { values, password: fleetPassword };
}

const OVER_THE_PIPE =
  "needs hec_urls: nothing tells which events in splunkd's pipe have arrived when a host fails, so no other host could go on without losing some; set hec_urls, or remove fleet_url";

/** With the password itself; undefined when something is wrong, which was then passed to `complain`. */
export function fleetSettingsOf(
  { values }: FleetReference,
  password: string | undefined,
  complain: (key: string, say: string) => void,
): FleetSettings | undefined {
  return readFleet(
    { ...values, ...(password === undefined ? {} : { password }) },
    { complain: ({ key, say }) => complain(`${PREFIX}${key}`, withSplunksKeys(say)), warn: () => undefined },
  );
}
