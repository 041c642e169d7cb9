import type { Database } from "./connections.ts";
import { schemaOf } from "./schema.ts";

/** What the database says of itself: how much it may lose, and how full it is. */
export interface DatabaseLook {
  readonly version: string;
  /** As it counts for the role that asks. */
  readonly synchronousCommit: string;
  readonly fsync: string;
  /** The setting; empty: a commit waits for no standby. */
  readonly synchronousStandbyNames: string;
  /** Standbys that follow now. */
  readonly standbys: number;
  /** How many of them a commit waits for; undefined: this role may not see that. */
  readonly inSync: number | undefined;
  readonly isReadOnly: boolean;
  readonly bytes: number;
  readonly connections: number;
  readonly connectionsMost: number;
}

export interface MemberLook {
  readonly name: string;
  readonly version: string;
  readonly isAlive: boolean;
  readonly shards: number;
  readonly configHash: string;
  /** It runs with the configuration that was applied last. */
  readonly isApplied: boolean;
  readonly isDraining: boolean;
  /** It cannot open the fleet's secrets. */
  readonly hasOtherKey: boolean;
  /** How far its host's clock is ahead of the database's. */
  readonly clockAheadMs: number;
  /** Configured customers of its shards that were ever collected. */
  readonly customers: number;
}

export interface OutputLook {
  readonly output: string;
  readonly packets: number;
  readonly streams: number;
  readonly bytes: number;
  /** At most so long does the oldest of them wait. */
  readonly oldestS: number;
}

export interface SetAside {
  readonly customer: string;
  readonly stream: string;
  readonly packets: number;
  readonly records: number;
  /** When the first was found, and what is wrong with it. */
  readonly sinceMs: number;
  readonly damage: string;
}

export interface FleetLook {
  /** Of the last day, the newest of each name. */
  readonly members: readonly MemberLook[];
  /** Shards without a live owner. */
  readonly unowned: number;
  readonly outputs: readonly OutputLook[];
  /** Damaged packets of each stream. */
  readonly setAside: readonly SetAside[];
}

export async function lookAtDatabase(database: Database): Promise<DatabaseLook> {
  const [row] = await database.query<{
    version: string;
    commit: string;
    fsync: string;
    standby_names: string;
    standbys: number;
    in_sync: number | null;
    read_only: boolean;
    bytes: string;
    connections: number;
    connections_most: number;
  }>(
    // To others than this role, the server shows that a standby follows, and not its state.
    `select current_setting('server_version') as version, current_setting('synchronous_commit') as commit,
       current_setting('fsync') as fsync, current_setting('synchronous_standby_names') as standby_names,
       (select count(*)::int from pg_stat_replication) as standbys,
       case when pg_has_role('pg_read_all_stats', 'usage') then
         (select count(*)::int from pg_stat_replication where sync_state in ('sync', 'quorum')) end as in_sync,
       current_setting('transaction_read_only')::boolean as read_only,
       pg_database_size(current_database()) as bytes,
       (select sum(numbackends)::int from pg_stat_database) as connections,
       current_setting('max_connections')::int as connections_most`,
  );
  if (row === undefined) throw new Error("the database answered a question about itself with nothing");
  return {
    version: row.version,
    synchronousCommit: row.commit,
    fsync: row.fsync,
    synchronousStandbyNames: row.standby_names.trim(),
    standbys: row.standbys,
    inSync: row.in_sync ?? undefined,
    isReadOnly: row.read_only,
    bytes: Number(row.bytes),
    connections: row.connections,
    connectionsMost: row.connections_most,
  };
}

/** A customer as it is configured, and when one of its streams counts as late. */
export interface ExpectedCustomer {
  readonly stanza: string;
  readonly tenantId: string;
  readonly lateAfterMs: number;
}

/** Streams of one shard that are configured and were ever opened. */
export interface ShardLook {
  readonly shard: number;
  /** Name of the live member that owns it. */
  readonly owner: string | undefined;
  readonly streams: number;
  /** Of these: the last complete walk that was saved is too long ago. */
  readonly late: number;
  /** The largest time since such a walk; undefined where none was ever complete. */
  readonly lagS: number | undefined;
}

export interface LateStream {
  readonly customer: string;
  readonly stream: string;
  readonly shard: number;
  readonly lagS: number;
}

/** How long ago each customer's last walk was saved. A walk that finds nothing is saved every ten minutes. */
export interface LagLook {
  /** All 256. */
  readonly shards: readonly ShardLook[];
  /** The worst first. */
  readonly late: readonly LateStream[];
  /** Configured customers that no member has ever opened. */
  readonly neverOpened: number;
}

/** Streams that are named. */
const LATE_MOST = 5;

export async function lookAtLag(
  database: Database,
  fleet: string,
  expected: readonly ExpectedCustomer[],
): Promise<LagLook> {
  const s = schemaOf(fleet);
  const columns = [
    expected.map(({ tenantId }) => tenantId),
    expected.map(({ stanza }) => stanza),
    expected.map(({ lateAfterMs }) => lateAfterMs),
  ];
  // Not read as JSON: one damaged checkpoint must not hide all others.
  const streams = `
    expected as (select * from unnest($1::uuid[], $2::text[], $3::bigint[]) x(tenant, input, late_ms)),
    streams as (
      select t.shard, c.id as customer, x.input, t.name, x.late_ms,
        floor(extract(epoch from clock_timestamp()) * 1000)::bigint
          - substring(t.checkpoint from '"walkCompletedAtMs":([0-9]{1,15})')::bigint as lag_ms
      from expected x join ${s}.customer c on c.tenant = x.tenant and c.input = x.input
        join ${s}.stream t on t.customer = c.id)`;
  const shards = await database.query<{
    shard: number;
    owner: string | null;
    streams: number;
    late: number;
    lag_ms: string | null;
    opened: number;
  }>(
    `with ${streams}
     select o.id as shard, m.name as owner, count(t.name)::int as streams, max(t.lag_ms) as lag_ms,
       count(*) filter (where t.lag_ms > t.late_ms)::int as late, count(distinct t.customer)::int as opened
     from ${s}.shard o left join ${s}.member m on m.boot = o.owner and m.alive_until > clock_timestamp()
       left join streams t on t.shard = o.id group by 1, 2 order by 1`,
    columns,
  );
  const late = await database.query<{ customer: string; stream: string; shard: number; lag_ms: string }>(
    `with ${streams}
     select input as customer, name as stream, shard, lag_ms from streams where lag_ms > late_ms
     order by lag_ms desc, input, name limit ${LATE_MOST}`,
    columns,
  );
  const seconds = (ms: string) => Math.max(0, Math.round(Number(ms) / 1_000));
  return {
    shards: shards.map(({ shard, owner, streams: count, late: lateCount, lag_ms }) => ({
      shard,
      owner: owner ?? undefined,
      streams: count,
      late: lateCount,
      lagS: lag_ms === null ? undefined : seconds(lag_ms),
    })),
    late: late.map(({ lag_ms, ...one }) => ({ ...one, lagS: seconds(lag_ms) })),
    neverOpened: expected.length - shards.reduce((sum, { opened }) => sum + opened, 0),
  };
}

/** Who owns what, and what waits. */
export async function lookAtFleet(database: Database, fleet: string): Promise<FleetLook> {
  const s = schemaOf(fleet);
  const members = await database.query<{
    name: string;
    version: string;
    alive: boolean;
    shards: number;
    config_hash: string;
    applied: boolean;
    draining: boolean;
    other_key: boolean;
    ahead: string;
    customers: number;
  }>(
    `select distinct on (m.name) m.name, m.version, m.alive_until > clock_timestamp() as alive, m.config_hash,
       (select count(*)::int from ${s}.shard where owner = m.boot) as shards,
       (select count(distinct t.customer)::int from ${s}.stream t join ${s}.shard o on o.id = t.shard
        where o.owner = m.boot) as customers,
       m.config_hash = (select hash from ${s}.configuration) as applied, m.draining, m.other_key, m.clock_ahead_ms as ahead
     from ${s}.member m order by m.name, m.alive_until desc`,
  );
  const [unowned] = await database.query<{ n: number }>(
    `select count(*)::int as n from ${s}.shard x
     where not exists (select from ${s}.member m where m.boot = x.owner and m.alive_until > clock_timestamp())`,
  );
  const outputs = await database.query<OutputLook & { packets: string; bytes: string; oldestS: string }>(
    `select d.output, count(*) as packets, count(distinct d.stream)::int as streams,
       sum(octet_length(p.body)) as bytes,
       floor(extract(epoch from clock_timestamp()) - min(p.hour) * 3600::bigint)::text as "oldestS"
     from ${s}.delivery d join ${s}.packet p on p.stream = d.stream and p.seq > d.seq group by 1 order by 1`,
  );
  const setAside = await database.query<SetAside & { sinceMs: string }>(
    `select c.input as customer, t.name as stream, count(*)::int as packets, sum(a.records)::int as records,
       floor(extract(epoch from min(a.found)) * 1000)::text as "sinceMs",
       (array_agg(a.damage order by a.found))[1] as damage
     from ${s}.set_aside a join ${s}.stream t on t.id = a.stream join ${s}.customer c on c.id = t.customer
     group by 1, 2 order by 1, 2`,
  );
  return {
    setAside: setAside.map((one) => ({ ...one, sinceMs: Number(one.sinceMs) })),
    members: members.map(
      ({ name, version, alive, shards, config_hash, applied, draining, other_key, ahead, customers }) => ({
        name,
        version,
        isAlive: alive,
        shards: alive ? shards : 0,
        configHash: config_hash,
        isApplied: applied,
        isDraining: draining,
        hasOtherKey: other_key,
        clockAheadMs: Number(ahead),
        customers: alive ? customers : 0,
      }),
    ),
    unowned: unowned?.n ?? 0,
    outputs: outputs.map(({ output, packets, streams, bytes, oldestS }) => ({
      output,
      packets: Number(packets),
      streams,
      bytes: Number(bytes),
      oldestS: Number(oldestS),
    })),
  };
}
