import type { FleetSettings } from "../config/fleet-settings.ts";
import { isLoopback } from "../model/loopback.ts";
import type { Sealed } from "../model/sealed.ts";
import { databaseTls } from "../net/database-tls.ts";
import { Connections, type ConnectionsOptions } from "../stores/postgres/connections.ts";
import { schemaVersion } from "../stores/postgres/fleet-store.ts";
import { checkSchemaVersion } from "../stores/postgres/schema.ts";

/** Who connects, where it is not the member's own role. */
export interface DatabaseLogin {
  readonly user: string;
  readonly password: Sealed | undefined;
}

/**
 * Connections to the fleet's database; nothing is connected yet. A database on this machine goes without TLS
 * unless `fleet.ca_file` is given. Throws Failure `ca-file-unusable`.
 */
export async function fleetConnections(
  settings: FleetSettings,
  count: number,
  login: DatabaseLogin = { user: settings.user, password: settings.password },
  within: Pick<ConnectionsOptions, "connectWithinMs" | "answerWithinMs" | "primary"> = {},
): Promise<Connections> {
  const { hosts, database, caFile } = settings;
  const verified = await databaseTls(caFile);
  return new Connections({
    address: {
      hosts,
      database,
      user: login.user,
      ...(login.password === undefined ? {} : { password: login.password }),
    },
    tlsFor: (host) => (caFile === undefined && isLoopback(host) ? undefined : verified(host)),
    count,
    ...within,
  });
}

/** For a command, with connections of its own. Throws also Failure `fleet-schema`. */
export async function withFleetDatabase<T>(
  settings: FleetSettings,
  work: (database: Connections) => Promise<T>,
  count = 1,
): Promise<T> {
  const database = await fleetConnections(settings, count);
  try {
    checkSchemaVersion(settings.name, await schemaVersion(database, settings.name));
    return await work(database);
  } finally {
    await database.close();
  }
}
