import type { Sealed } from "../model/sealed.ts";
import type { FleetTokenPlace } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { FleetTokens } from "../stores/postgres/fleet-tokens.ts";
import { placeOf } from "./command-place.ts";
import { settingsFailure } from "./configuration.ts";
import { fleetOf } from "./fleet-command.ts";
import { withFleetDatabase } from "./fleet-database.ts";
import { readKeyFile } from "./fleet-key-file.ts";
import { presentFingerprint, realClock } from "./world.ts";

/**
 * Where `token acquire --to fleet` stores a refresh token: sealed, in the fleet's database. Throws Failure
 * `settings`, `fleet-schema`, and what the database says, before anybody signs in.
 */
export async function fleetTokenPlace(
  argv: Readonly<Record<string, unknown>>,
  customer: Stanza,
  environment: NodeJS.ProcessEnv,
): Promise<FleetTokenPlace> {
  const config = argv["config"];
  if (typeof config !== "string")
    throw settingsFailure("--to fleet needs --config FILE, the properties file of a member");
  const tenantId = tenantIdFrom(customer.tenantId);
  if (tenantId === undefined)
    throw settingsFailure(`tenant_id of ${customer.name} is a domain; write the tenant's GUID`);
  const place = placeOf(argv, { typed: true, secrets: "files" });
  const fleet = await fleetOf({ config, overrides: {}, environment, place });
  if (fleet.keyFile === undefined)
    throw settingsFailure(
      `${config} has no fleet.key_file, which refresh tokens in the fleet's database are sealed with`,
    );
  const key = readKeyFile(fleet.keyFile);
  // Before a person signs in. A connection that stays open would keep a command alive meanwhile.
  await withFleetDatabase(fleet, async () => undefined);
  return {
    name: `the database of the fleet ${fleet.name}`,
    put: async (stanza: Stanza, token: Sealed) => {
      const owner = { tenantId, stanza: stanza.name, fingerprint: presentFingerprint(stanza) };
      await withFleetDatabase(fleet, (database) =>
        new FleetTokens({ database, fleet: fleet.name, key, timers: realClock }).put(owner, token),
      );
    },
  };
}
