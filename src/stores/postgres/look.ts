import type { Database } from "./connections.ts";
import { schemaOf } from "./schema.ts";

/** How much the database itself may lose. */
export interface Durability {
  readonly version: string;
  readonly synchronousCommit: string;
  /** Standbys that follow now, and how many of them a commit waits for. */
  readonly standbys: number;
  readonly synchronousStandbys: number;
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

export async function lookAtDatabase(database: Database): Promise<Durability> {
  const [row] = await database.query<{ version: string; commit: string; standbys: number; synchronous: number }>(
    `select current_setting('server_version') as version, current_setting('synchronous_commit') as commit,
       (select count(*)::int from pg_stat_replication) as standbys,
       (select count(*)::int from pg_stat_replication where sync_state in ('sync', 'quorum')) as synchronous`,
  );
  if (row === undefined) throw new Error("the database answered a question about itself with nothing");
  const { version, commit, standbys, synchronous } = row;
  return { version, synchronousCommit: commit, standbys, synchronousStandbys: synchronous };
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
