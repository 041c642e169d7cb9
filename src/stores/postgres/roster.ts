import type { ConfiguredCustomer } from "../../model/roster.ts";
import type { Database } from "./connections.ts";
import { schemaOf } from "./schema.ts";
import { membersWithoutRoster } from "./schema-roster.ts";

/** A setting of a customer, and its column. The tenant never changes. */
const COLUMNS = { cloud: "cloud", index: "index_name", streams: "streams", credential: "credential" } as const;
const KEYS = ["cloud", "index", "streams", "credential"] as const;

/** May the fleet's database hold this setting of a customer? */
export function isKeptInRoster(key: string): boolean {
  return key === "tenant_id" || Object.hasOwn(COLUMNS, key);
}

/** The customers of the fleet's database. */
export interface FleetRosterRead {
  /** Another one after each change, also after a restore of the database. */
  readonly revision: string;
  readonly customers: readonly ConfiguredCustomer[];
}

/** What became of a change. */
export type RosterWritten =
  | { readonly isDone: true }
  /** `members`: live ones of an older release, for which nothing is written. */
  | { readonly isDone: false; readonly members: string | undefined };

interface Row {
  readonly revision: string;
  /** Null in the one row of an empty roster. */
  readonly name: string | null;
  readonly tenant: string;
  readonly cloud: string | null;
  readonly index: string | null;
  readonly streams: string | null;
  readonly credential: string | null;
}

/**
 * Customers of the database are apps that sign in as themselves: a refresh token has a place of its own.
 * Throws Failure as `Database.query`, as the others here.
 */
export async function readRoster(database: Database, fleet: string): Promise<FleetRosterRead> {
  const s = schemaOf(fleet);
  const rows = await database.query<Row>(
    `select v.id as revision, r.name, r.tenant, r.cloud, r.index_name as index, r.streams, r.credential
     from ${s}.roster_revision v left join ${s}.roster r on true order by r.name`,
  );
  return {
    revision: rows[0]?.revision ?? "",
    customers: rows.flatMap(({ name, tenant, ...row }) => {
      if (name === null) return [];
      const given = KEYS.flatMap((key) => (row[key] ? [[key, row[key]] as const] : []));
      return [{ name, values: { tenant_id: tenant, auth: "app", ...Object.fromEntries(given) } }];
    }),
  };
}

/** Undefined: it is still that of `revision`. */
export async function readChangedRoster(
  database: Database,
  fleet: string,
  revision: string | undefined,
): Promise<FleetRosterRead | undefined> {
  if (revision !== undefined) {
    const [now] = await database.query<{ id: string }>(`select id from ${schemaOf(fleet)}.roster_revision`);
    if (now?.id === revision) return undefined;
  }
  return readRoster(database, fleet);
}

/** Adds a customer; not done when its name or its tenant is there. */
export function addToRoster(
  database: Database,
  fleet: string,
  { name, values }: ConfiguredCustomer,
): Promise<RosterWritten> {
  const s = schemaOf(fleet);
  return written(
    database,
    s,
    `insert into ${s}.roster(name, tenant, cloud, index_name, streams, credential)
     select $1::text, $2::uuid, $3::text, $4::text, $5::text, $6::text
     where ${membersWithoutRoster(s)} is null on conflict do nothing`,
    [name, values["tenant_id"], ...KEYS.map((key) => values[key] ?? null)],
  );
}

/** Changes the settings that are given; not done when the customer is not there. */
export function changeInRoster(
  database: Database,
  fleet: string,
  { name, values }: ConfiguredCustomer,
): Promise<RosterWritten> {
  const s = schemaOf(fleet);
  const set = KEYS.map((key, i) => `${COLUMNS[key]} = coalesce($${i + 2}::text, ${COLUMNS[key]})`).join(", ");
  return written(
    database,
    s,
    `update ${s}.roster set ${set}, changed = clock_timestamp()
     where name = $1::text and ${membersWithoutRoster(s)} is null`,
    [name, ...KEYS.map((key) => values[key] ?? null)],
  );
}

/** Not done when the customer is not there. What it has collected stays known. */
export function removeFromRoster(database: Database, fleet: string, name: string): Promise<RosterWritten> {
  const s = schemaOf(fleet);
  return written(database, s, `delete from ${s}.roster where name = $1::text`, [name]);
}

/**
 * Members of an older release that came back after customers were added give up what they have, as long as
 * another member lives. Returns nothing of an empty roster.
 */
export async function drainMembersWithoutRoster(database: Database, fleet: string): Promise<readonly string[]> {
  const s = schemaOf(fleet);
  const rows = await database.query<{ name: string }>(
    `update ${s}.member set draining = true
     where not knows_roster and not draining and alive_until > clock_timestamp() and exists (select from ${s}.roster)
     returning name`,
  );
  return rows.map(({ name }) => name);
}

/** The change and the new revision are one statement: a member never sees one without the other. */
async function written(
  database: Database,
  schema: string,
  change: string,
  values: readonly unknown[],
): Promise<RosterWritten> {
  const [row] = await database.query<{ count: number; members: string | null }>(
    `with done as (${change} returning name),
     revised as (update ${schema}.roster_revision set id = gen_random_uuid() where exists (select from done))
     select (select count(*)::int from done) as count, ${membersWithoutRoster(schema)} as members`,
    values,
  );
  return row?.count === 1 ? { isDone: true } : { isDone: false, members: row?.members ?? undefined };
}
