import type { FleetSettings } from "../config/fleet-settings.ts";
import type { Stanza } from "../model/stanza.ts";
import type { CustomerStatus, StatusDocument } from "../model/status.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import type { Database } from "../stores/postgres/connections.ts";
import { shardOf } from "../stores/postgres/fleet-store.ts";
import { type ExpectedCustomer, lookAtFleet, lookAtLag } from "../stores/postgres/look.ts";
import { readRoster } from "../stores/postgres/roster.ts";
import { withFleetDatabase } from "./fleet-database.ts";
import { type RosterReader, rosterCustomers } from "./fleet-roster.ts";

/** A walk that finds nothing is saved so often; the rest is for a busy machine. */
const SAVED_AT_LEAST_EVERY_MS = 900_000;

/** Customers that members collect: of the file and of the database. Throws Failure as `Database.query`. */
export async function expectedOf(
  database: Database,
  fleet: string,
  reader: RosterReader,
): Promise<readonly ExpectedCustomer[]> {
  const { entries } = rosterCustomers((await readRoster(database, fleet)).customers, reader);
  const stanzas = [...reader.inFile, ...entries].flatMap((one) =>
    "stanza" in one && one.stanza !== undefined ? [one.stanza] : [],
  );
  return expectedCustomers(stanzas);
}

/** Customers by what the database calls them. One with a domain is refused in a fleet. */
function expectedCustomers(
  stanzas: readonly Pick<Stanza, "name" | "tenantId" | "pollSeconds">[],
): readonly ExpectedCustomer[] {
  return stanzas.flatMap(({ name, tenantId, pollSeconds }) => {
    const id = tenantIdFrom(tenantId);
    return id === undefined
      ? []
      : [{ stanza: name, tenantId: id, lateAfterMs: SAVED_AT_LEAST_EVERY_MS + 2 * pollSeconds * 1_000 }];
  });
}

/** As `fleetStatus`, with connections of its own. */
export async function fleetStatusOf(
  settings: FleetSettings,
  reader: RosterReader,
  version: string,
): Promise<StatusDocument> {
  return withFleetDatabase(settings, async (database) => {
    const expected = await expectedOf(database, settings.name, reader);
    return fleetStatus(database, settings.name, expected, version);
  });
}

/**
 * What the database knows of a fleet as `status` shows it: members, and what waits for each output. How each
 * customer is, only the member knows that collects it. Throws Failure as `Database.query`.
 */
async function fleetStatus(
  database: Database,
  fleet: string,
  expected: readonly ExpectedCustomer[],
  version: string,
): Promise<StatusDocument> {
  const { members, outputs } = await lookAtFleet(database, fleet);
  const { shards } = await lookAtLag(database, fleet, expected);
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
    shards: shards.map(({ shard, owner, streams, late, lagS }) => ({
      shard,
      collector: owner ?? null,
      streams,
      late,
      lag_s: lagS ?? null,
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
