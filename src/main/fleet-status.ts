import type { FleetSettings } from "../config/fleet-settings.ts";
import type { CustomerStatus, StatusDocument } from "../model/status.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import type { Database } from "../stores/postgres/connections.ts";
import { schemaVersion, shardOf } from "../stores/postgres/fleet-store.ts";
import { lookAtFleet } from "../stores/postgres/look.ts";
import { checkSchemaVersion } from "../stores/postgres/schema.ts";
import { fleetConnections } from "./fleet-database.ts";

/** As `fleetStatus`, with connections of its own. */
export async function fleetStatusOf(settings: FleetSettings, version: string): Promise<StatusDocument> {
  const connections = await fleetConnections(settings, 1);
  try {
    checkSchemaVersion(settings.name, await schemaVersion(connections, settings.name));
    return await fleetStatus(connections, settings.name, version);
  } finally {
    await connections.close();
  }
}

/**
 * What the database knows of a fleet as `status` shows it: members, and what waits for each output. How each
 * customer is, only the member knows that collects it. Throws Failure as `Database.query`.
 */
async function fleetStatus(database: Database, fleet: string, version: string): Promise<StatusDocument> {
  const { members, outputs } = await lookAtFleet(database, fleet);
  return {
    version,
    collectors: members.map(({ name, version: ofMember, isAlive, customers }) => ({
      name,
      version: ofMember,
      alive: isAlive,
      customers,
    })),
    customers: [],
    outputs: outputs.map(({ output, bytes, oldestS }) => ({
      name: output,
      type: output.slice(0, output.lastIndexOf("-")),
      state: "waiting",
      spool_bytes: bytes,
      oldest_s: oldestS,
      unconfirmed: null,
      rejected: 0,
    })),
  };
}

/** The largest lag of each shard of which a stream was read. */
export function lagByShard(customers: readonly CustomerStatus[]): ReadonlyMap<number, number> {
  const lags = new Map<number, number>();
  for (const { tenantId, streams } of customers) {
    const id = tenantIdFrom(tenantId);
    if (id === undefined) continue;
    const shard = shardOf(id);
    for (const { lag_s } of streams) if (lag_s !== null) lags.set(shard, Math.max(lags.get(shard) ?? 0, lag_s));
  }
  return lags;
}
