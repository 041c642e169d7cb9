import type { Database } from "./connections.ts";
import { schemaVersion } from "./fleet-store.ts";
import { SCHEMA_VERSION, schemaOf, upgradeSql } from "./schema.ts";

/**
 * Creates or upgrades the fleet's schema. Throws Failure `fleet-schema` when a newer release made it, and as
 * `Database.query`. One statement list is one transaction: an upgrade is done as a whole or not at all.
 */
export async function initFleet(
  database: Database,
  fleet: string,
): Promise<{ readonly before: number; readonly now: number }> {
  const before = (await schemaVersion(database, fleet)) ?? 0;
  const sql = upgradeSql(fleet, before);
  if (sql !== "") await database.query(sql);
  return { before, now: SCHEMA_VERSION };
}

/**
 * The fingerprint of the key with which the fleet's secrets are sealed; undefined while no member has used
 * one. Throws as `Database.query`.
 */
export async function keyInUse(database: Database, fleet: string): Promise<string | undefined> {
  const [row] = await database.query<{ fingerprint: string }>(`select fingerprint from ${schemaOf(fleet)}.key`);
  return row?.fingerprint;
}
