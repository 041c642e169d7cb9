import { Failure } from "../../model/failure.ts";
import type { Lease } from "../../model/fleet.ts";
import type { StateKey, StreamStore } from "../../model/state.ts";
import type { TenantId } from "../../model/tenant.ts";
import type { Database } from "./connections.ts";
import { NEW_EPOCH } from "./fleet-store.ts";
import { schemaOf } from "./schema.ts";
import { openFleetStream } from "./stream-store.ts";

/**
 * Streams on their way between the fleet's database and a state folder. While one is noted, all shards belong
 * to it for ever, so that no member of any release collects. Out of the fleet it stays after the last stream.
 */
export interface FleetMove {
  readonly direction: "in" | "out";
  /** The folder's identity. */
  readonly folder: string;
  /** Where the folder is, for a person. */
  readonly place: string;
}

/** Undefined while the fleet has its streams. Throws Failure as `Database.query`, as the others here. */
export async function moveOf(database: Database, fleet: string): Promise<FleetMove | undefined> {
  const [row] = await database.query<FleetMove>(`select direction, folder, place from ${schemaOf(fleet)}.move`);
  return row;
}

/**
 * Takes all shards, unless a member lives or another folder's move is noted. Repeating it is safe.
 *
 * @returns names of live members for which nothing was done.
 */
export async function beginMove(
  database: Database,
  fleet: string,
  { direction, folder, place }: FleetMove,
  version: string,
): Promise<string | undefined> {
  const s = schemaOf(fleet);
  const [row] = await database.query<{ members: string | null; shards: number }>(
    `with alive as (select name from ${s}.member where alive_until > clock_timestamp() and alive_until < 'infinity'),
     holder as (
       insert into ${s}.member(boot, name, version, config_hash, alive_until, draining, knows_roster)
       select $2::uuid, case $1 when 'in' then 'import-state of ' else 'export-state to ' end || $3::text, $4, '',
         'infinity', true, true
       where not exists (select from alive) and not exists (select from ${s}.move where folder <> $2::uuid)
       on conflict (boot) do update set name = excluded.name, version = excluded.version returning boot),
     noted as (
       insert into ${s}.move as m(direction, folder, place) select $1, boot, $3 from holder
       on conflict (only_row) do update set direction = excluded.direction, place = excluded.place),
     taken as (
       update ${s}.shard x set owner = holder.boot, epoch = greatest(x.epoch + 1, ${NEW_EPOCH}) from holder
       returning x.id, x.epoch),
     streams as (
       update ${s}.stream t set epoch = taken.epoch from taken where t.shard = taken.id returning t.id, t.epoch),
     deliveries as (
       update ${s}.delivery d set epoch = streams.epoch from streams where d.stream = streams.id)
     select (select string_agg(name, ', ' order by name) from alive) as members,
       (select count(*)::int from taken) as shards`,
    [direction, folder, place, version],
  );
  return row?.shards ? undefined : (row?.members ?? "");
}

/** From now on members collect. False: the move was not noted any more. */
export async function endMove(database: Database, fleet: string, folder: string): Promise<boolean> {
  const s = schemaOf(fleet);
  const rows = await database.query(
    `with gone as (delete from ${s}.move where folder = $1 returning folder),
     shards as (update ${s}.shard x set owner = null from gone where x.owner = gone.folder),
     member as (delete from ${s}.member m using gone where m.boot = gone.folder)
     select folder from gone`,
    [folder],
  );
  return rows.length === 1;
}

/** All shards as `beginMove` took them. */
export async function leasesOf(database: Database, fleet: string, folder: string): Promise<ReadonlyMap<number, Lease>> {
  const rows = await database.query<{ id: number; epoch: string }>(
    `select id, epoch from ${schemaOf(fleet)}.shard where owner = $1`,
    [folder],
  );
  return new Map(rows.map(({ id, epoch }) => [id, { shard: id, epoch: BigInt(epoch) }]));
}

export interface KnownStream extends StateKey {
  /** It was collected, so it has a checkpoint or entries. */
  readonly isBegun: boolean;
}

/** Every stream that the fleet was ever asked for. */
export async function streamsOf(database: Database, fleet: string): Promise<readonly KnownStream[]> {
  const s = schemaOf(fleet);
  const rows = await database.query<{ tenant: TenantId; input: string; name: KnownStream["stream"]; begun: boolean }>(
    `select c.tenant, c.input, t.name,
       t.checkpoint is not null or exists (select from ${s}.ledger l where l.stream = t.id) as begun
     from ${s}.stream t join ${s}.customer c on c.id = t.customer order by 1, 2, 3`,
  );
  return rows.map(({ tenant, input, name, begun }) => ({
    tenantId: tenant,
    stanza: input,
    stream: name,
    isBegun: begun,
  }));
}

/** Packets that an output has not confirmed, and damaged ones that were set aside, by what they wait for. */
export async function packetsLeft(database: Database, fleet: string): Promise<ReadonlyMap<string, number>> {
  const s = schemaOf(fleet);
  const rows = await database.query<{ output: string; packets: string }>(
    `select d.output, count(*) as packets from ${s}.delivery d join ${s}.packet p on p.stream = d.stream and p.seq > d.seq
     group by 1
     union all select 'somebody who looks at damaged packets', count(*) from ${s}.set_aside having count(*) > 0
     order by 1`,
  );
  return new Map(rows.map(({ output, packets }) => [output, Number(packets)]));
}

/**
 * Opens a stream under the move.
 *
 * @param others see `OpenStream`.
 */
export async function openMoved(
  database: Database,
  fleet: string,
  { folder }: Pick<FleetMove, "folder">,
  key: StateKey,
  lease: Lease,
  others: readonly string[],
): Promise<StreamStore> {
  const events = { committed: () => undefined, lost: () => undefined };
  const place = { database, schema: schemaOf(fleet), boot: folder };
  return (await openFleetStream(place, { key, lease, outputs: [], events, others })).store;
}

/** What a member asks before it begins, also again after its place expired. Throws Failure `fleet-moved`. */
export function admission(database: Database, fleet: string): () => Promise<void> {
  return async () => {
    const move = await moveOf(database, fleet);
    if (move !== undefined) throw fleetMoved(fleet, move);
  };
}

/** @param place of the folder that has the streams, or that gives them to the fleet. */
export function fleetMoved(fleet: string, { direction, place }: FleetMove): Failure {
  return new Failure("fleet-moved", {
    actor: "operator",
    retry: { when: "never" },
    say:
      direction === "out"
        ? `The streams of the fleet ${fleet} were moved to the state folder ${place}. Members collect nothing.`
        : `The streams of the state folder ${place} are not yet all in the fleet ${fleet}. Members collect nothing.`,
    nextStep: `Run \`defender-mssp fleet import-state\` on that host, with that folder as --state.`,
  });
}
