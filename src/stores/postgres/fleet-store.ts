import { createHash, randomUUID } from "node:crypto";
import { asFailure, isFailure } from "../../model/failure.ts";
import type {
  Confirmation,
  DamagedPacket,
  FleetStore,
  FleetStream,
  FleetStreamEvents,
  Lease,
  MemberIdentity,
  PacketPlace,
  Standing,
  WaitingPacket,
} from "../../model/fleet.ts";
import { type LiveMember, sharing } from "../../model/fleet.ts";
import type { StateKey } from "../../model/state.ts";
import { type TenantId, tenantIdFrom } from "../../model/tenant.ts";
import { type BodiesAt, CommittedPackets, type KeptPacket } from "./committed-packets.ts";
import type { Database } from "./connections.ts";
import { asWrongSetting, sqlStateOf } from "./failures.ts";
import type { FleetKey } from "./fleet-key.ts";
import { type ReadBodies, unpacked } from "./packet.ts";
import { checkSchemaVersion, SHARD_COUNT, schemaOf } from "./schema.ts";
import { hasOtherKey } from "./schema-secrets.ts";
import { ShardStreams } from "./shard-streams.ts";
import { openFleetStream } from "./stream-store.ts";

/** A member that renews nothing for so long, by the database's clock, is gone. */
const LEASE_MS = 6_000;

/** After a long outage a stream may have thousands: no question looks at all of them. */
const PACKETS_OF_STREAM = 32;

export interface PostgresFleetParts {
  readonly database: Database & { close(): Promise<void> };
  /** A connection of its own, so that a renewal never waits behind a page. */
  readonly heartbeat: Database & { close(): Promise<void> };
  /** The fleet's name. */
  readonly fleet: string;
  /** What the fleet's secrets are sealed with; absent: this member has no key file. */
  readonly key?: FleetKey | undefined;
  /** Called before each `register`, and while this member owns nothing; throws why members must stay out. */
  readonly admits?: () => Promise<void>;
  /** Every stanza configured now: one without state adopts what its tenant left under another name. */
  readonly configured: () => readonly { readonly stanza: string; readonly tenantId: string }[];
  readonly bodiesOf: ReadBodies;
  readonly bodiesAt: BodiesAt;
  /** Of memory for packets that were committed here and are not confirmed. Absent: all are read back. */
  readonly keptMostBytes?: number;
  readonly newBoot?: () => string;
  /** This host's clock: it decides nothing, and is compared with the database's. */
  readonly nowMs: () => number;
}

/**
 * Above every epoch of a database that was restored from a backup since: a lease from before the restore must
 * not be valid again. It also says when the shard was claimed.
 */
export const NEW_EPOCH = "floor(extract(epoch from clock_timestamp()) * 1000)::bigint";

interface StandingRow extends LiveMember {
  readonly name: string;
  readonly isSelf: boolean;
  readonly hash: string;
  readonly ahead: string;
  readonly setAside: number;
  readonly timeline: string | null;
  readonly owned: readonly (readonly [shard: number, epoch: string])[];
}

interface ClaimedRow {
  readonly id: number;
  readonly epoch: string;
  readonly wasOwned: boolean;
  /** As in `LostOwner`, of an owner that it had. */
  readonly sinceMs: string;
  /** Null: its row is deleted, which is done after a day. */
  readonly untilMs: string | null;
}

/**
 * What a server that was promoted, or restored to a point in time, has anew: its timeline, which is the
 * beginning of the name of its log's files.
 */
const TIMELINE = "case when pg_is_in_recovery() then null else left(pg_walfile_name(pg_current_wal_lsn()), 8) end";

/** Unknown, not allowed, not supported: not what only interrupted this statement. */
const HAS_NO_SUCH_THING = /^(?:42|0A)/;

/** How far a clock is ahead of the database's. */
function aheadMs(parameter: string): string {
  return `${parameter}::bigint - floor(extract(epoch from clock_timestamp()) * 1000)::bigint`;
}

/** The first packet of each stream before the second of any: a busy stream must not hide the others. */
const OLDEST_OF_EACH_FIRST = "p.seq - t.seq, p.stream";

/** Before which packet of a stream nothing is asked for. A stream that is not in `taken` has null there. */
function takenOf(streams: string, taken: string): string {
  return `cross join lateral (
    select greatest(d.seq, (${taken}::bigint[])[array_position(${streams}::int[], d.stream)]) as seq) t`;
}

/** `data_corrupted`: a page of the database cannot be read. */
const DATA_CORRUPTED = "XX001";

/** What waits is asked for of these streams. */
interface Asked {
  readonly output: string;
  readonly streams: readonly number[];
  /** For each stream, up to where the receiver took it; null where nobody knows. */
  readonly takenTo: readonly (string | null)[];
  /** Whose bytes are here. */
  readonly kept: readonly KeptPacket[];
}

interface PacketRow {
  readonly stream: number;
  readonly seq: string;
  /** Absent where the packet is missing. */
  readonly epoch?: string;
  readonly size?: number;
  /** Absent or null when it cannot be read, or need not be. */
  readonly body?: Buffer | null;
  readonly damage?: string;
}

async function readPacket(
  body: Buffer | null | undefined,
  damage: string | undefined,
  bodiesOf: ReadBodies,
): Promise<Pick<WaitingPacket, "deliveries" | "damage">> {
  if (body === undefined || body === null) return { deliveries: [], damage: damage ?? "it has no body" };
  try {
    return { deliveries: await unpacked(body, bodiesOf) };
  } catch (error) {
    return { deliveries: [], damage: error instanceof Error ? error.message : String(error) };
  }
}

function isSamePacket(one: PacketPlace, other: PacketPlace): boolean {
  return one.seq === other.seq && one.stream === other.stream && one.epoch === other.epoch;
}

/** The shard of a customer: the same on every member and for ever. */
export function shardOf(tenantId: TenantId): number {
  return (createHash("sha256").update(tenantId).digest()[0] ?? 0) % SHARD_COUNT;
}

function tenantsByShard(
  configured: ReturnType<PostgresFleetParts["configured"]>,
): ReadonlyMap<number, readonly TenantId[]> {
  const shards = new Map<number, TenantId[]>();
  for (const { tenantId } of configured) {
    const tenant = tenantIdFrom(tenantId);
    if (tenant === undefined) continue;
    const shard = shardOf(tenant);
    shards.set(shard, [...(shards.get(shard) ?? []), tenant]);
  }
  return shards;
}

/** The version of the fleet's schema, undefined when there is none. Throws Failure as `Database.query`. */
export async function schemaVersion(database: Database, fleet: string): Promise<number | undefined> {
  try {
    const [row] = await database.query<{ version: number }>(`select version from ${schemaOf(fleet)}.fleet`);
    return row?.version;
  } catch (error) {
    // `undefined_table`, `invalid_schema_name`, `insufficient_privilege`.
    if (isFailure(error) && ["42P01", "3F000", "42501"].includes(sqlStateOf(error) ?? "")) return undefined;
    throw error;
  }
}

/**
 * The store that the members of a fleet share in PostgreSQL. It asks the database nothing before `register`,
 * which throws also Failure `fleet-schema`, and with `retry: never` what waiting cannot help with, such as a
 * wrong password.
 */
export class PostgresFleet implements FleetStore {
  readonly #p: PostgresFleetParts;
  readonly #schema: string;
  readonly #streams: ShardStreams;
  readonly #packets: CommittedPackets;
  #boot = "";
  #sorted:
    | {
        readonly configured: ReturnType<PostgresFleetParts["configured"]>;
        readonly byShard: ReadonlyMap<number, readonly TenantId[]>;
      }
    | undefined;
  #isPrepared = false;
  #saysTimeline = true;

  constructor(parts: PostgresFleetParts) {
    this.#p = parts;
    this.#schema = schemaOf(parts.fleet);
    this.#streams = new ShardStreams(() => this.#tenantsByShard());
    this.#packets = new CommittedPackets(parts.keptMostBytes ?? 0, parts.bodiesAt);
  }

  async #prepare(): Promise<void> {
    if (this.#isPrepared) return;
    try {
      checkSchemaVersion(this.#p.fleet, await schemaVersion(this.#p.database, this.#p.fleet));
      await this.#makeHours();
    } catch (error) {
      throw asWrongSetting(error);
    }
    this.#isPrepared = true;
  }

  /** Sorted once for each list: every shard of a takeover asks. */
  #tenantsByShard(): ReadonlyMap<number, readonly TenantId[]> {
    const configured = this.#p.configured();
    if (this.#sorted?.configured !== configured) this.#sorted = { configured, byShard: tenantsByShard(configured) };
    return this.#sorted.byShard;
  }

  async register({ name, version, configHash }: MemberIdentity): Promise<void> {
    await this.#prepare();
    await this.#p.admits?.();
    const boot = (this.#p.newBoot ?? randomUUID)();
    const s = this.#schema;
    // A fleet's first configuration is applied, and its first key counts. Who was drained stays so under a
    // new identity. A member of an older release knows no keys, and leaves nothing to one that is drained.
    const other = hasOtherKey(s, "$8");
    await this.#p.heartbeat.query(
      `with gone as (delete from ${s}.member where alive_until < clock_timestamp() - interval '1 day'),
       first as (insert into ${s}.configuration(hash) values ($4) on conflict do nothing),
       key as (insert into ${s}.key(fingerprint) select $8::text where $8::text is not null on conflict do nothing)
       insert into ${s}.member(boot, name, version, config_hash, alive_until, clock_ahead_ms, knows_roster, other_key, draining)
       values ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 millisecond', ${aheadMs("$6")}, true, ${other},
         coalesce((select draining from ${s}.member where boot = $7), false) or ${other})`,
      [
        boot,
        name,
        version,
        configHash,
        LEASE_MS,
        this.#p.nowMs(),
        this.#boot === "" ? null : this.#boot,
        this.#keyFingerprint,
      ],
    );
    this.#boot = boot;
    this.#streams.forgetAll();
  }

  async renew(): Promise<boolean> {
    const other = hasOtherKey(this.#schema, "$4");
    const rows = await this.#p.heartbeat.query(
      `update ${this.#schema}.member set alive_until = clock_timestamp() + $2 * interval '1 millisecond',
         clock_ahead_ms = ${aheadMs("$3")}, other_key = ${other}, draining = draining or ${other}
       where boot = $1 and alive_until > clock_timestamp() returning boot`,
      [this.#boot, LEASE_MS, this.#p.nowMs(), this.#keyFingerprint],
    );
    return rows.length === 1;
  }

  /** The identity that this process has now. */
  get boot(): string {
    return this.#boot;
  }

  get #keyFingerprint(): string | null {
    return this.#p.key?.fingerprint ?? null;
  }

  async standing(): Promise<Standing> {
    const rows = await this.#standingRows();
    const self = rows.find(({ isSelf }) => isSelf);
    const owned = (self?.owned ?? []).map(([shard, epoch]) => ({ shard, epoch: BigInt(epoch) }));
    // The streams may have left the fleet in the moment in which this member registered.
    if (owned.length === 0) await this.#p.admits?.();
    const others = sharing(rows);
    const timeline = self?.timeline ?? undefined;
    return {
      members: others.length,
      shares: others.some(({ isSelf }) => isSelf),
      shards: SHARD_COUNT,
      owned,
      otherConfigurations: rows.filter(({ hash }) => self !== undefined && hash !== self.hash).map(({ name }) => name),
      isDraining: self?.isDraining ?? false,
      hasOtherKey: self?.hasOtherKey ?? false,
      clockAheadMs: Number(self?.ahead ?? 0),
      setAside: rows[0]?.setAside ?? 0,
      ...(timeline === undefined ? {} : { timeline }),
    };
  }

  async #standingRows(): Promise<readonly StandingRow[]> {
    const s = this.#schema;
    const ask = (timeline: string) =>
      this.#p.database.query<StandingRow>(
        `select m.name, m.boot = $1 as "isSelf", m.draining as "isDraining", m.config_hash as hash,
         m.config_hash = (select hash from ${s}.configuration) as "isApplied", m.clock_ahead_ms::int8 as ahead, m.other_key as "hasOtherKey",
         (select count(*)::int from ${s}.set_aside) as "setAside",
         ${timeline} as timeline,
         (select coalesce(jsonb_agg(jsonb_build_array(id, epoch::text)), '[]') from ${s}.shard where owner = $1) as owned
       from ${s}.member m where m.alive_until > clock_timestamp()`,
        [this.#boot],
      );
    if (!this.#saysTimeline) return ask("null");
    try {
      return await ask(TIMELINE);
    } catch (error) {
      if (!isFailure(error) || error.code !== "fleet-refused") throw error;
      const rows = await ask("null");
      // What the server refuses is the timeline: services that are not quite PostgreSQL have none.
      if (HAS_NO_SUCH_THING.test(sqlStateOf(error) ?? "")) this.#saysTimeline = false;
      return rows;
    }
  }

  async claim(most: number): Promise<readonly Lease[]> {
    const s = this.#schema;
    // clock_timestamp() and not now(), here and in `renew`: now() is when the statement began. One that
    // waited for a lock or for the disk would judge by an old time, and renew a place that others have taken
    // over meanwhile. clock_timestamp() is volatile, so the planner cannot compute it once for all rows.
    //
    // A claim waits for nobody: a statement that hangs keeps its stream's rows locked, and all shards of the
    // claim would wait with it. So a shard is taken only when all of its rows could be locked. Whoever had
    // one of them may still commit, and the next claim sees that. Whoever comes after the claim is refused.
    // The order is random, because the same shards would be tried again and again else.
    const rows = await this.#p.database.query<ClaimedRow>(
      `with free as (
         select s.id, s.owner, s.epoch from ${s}.shard s
         where not exists (
           select from ${s}.member m where m.boot = s.owner and m.alive_until > clock_timestamp())
         order by random() limit $2 for update of s skip locked),
       locked_streams as (
         select t.shard from ${s}.stream t where t.shard in (select id from free)
         for no key update of t skip locked),
       locked_deliveries as (
         select t.shard from ${s}.delivery d join ${s}.stream t on t.id = d.stream
         where t.shard in (select id from free) for no key update of d skip locked),
       locked as (
         select shard, count(*) as rows from (
           select shard from locked_streams union all select shard from locked_deliveries) l group by shard),
       existing as (
         select t.shard, count(distinct t.id) + count(d.stream) as rows
         from ${s}.stream t left join ${s}.delivery d on d.stream = t.id
         where t.shard in (select id from free) group by t.shard),
       whole as (
         select free.id from free left join locked on locked.shard = free.id
           left join existing on existing.shard = free.id
         where coalesce(locked.rows, 0) = coalesce(existing.rows, 0)),
       taken as (
         update ${s}.shard s set owner = $1, epoch = greatest(s.epoch + 1, ${NEW_EPOCH}) from whole
         where s.id = whole.id
           and exists (select from ${s}.member where boot = $1 and alive_until > clock_timestamp())
         returning s.id, s.epoch),
       streams as (
         update ${s}.stream t set epoch = taken.epoch from taken where t.shard = taken.id returning t.id, t.epoch),
       deliveries as (
         update ${s}.delivery d set epoch = streams.epoch from streams where d.stream = streams.id)
       select taken.id, taken.epoch, free.owner is not null as "wasOwned", free.epoch as "sinceMs",
         floor(extract(epoch from m.alive_until) * 1000)::int8 - $3 as "untilMs"
       from taken join free on free.id = taken.id left join ${s}.member m on m.boot = free.owner
       order by taken.id`,
      [this.#boot, most, LEASE_MS],
    );
    return rows.map(({ id, epoch, wasOwned, sinceMs, untilMs }) => ({
      shard: id,
      epoch: BigInt(epoch),
      ...(wasOwned ? { lostOwner: { sinceMs: Number(sinceMs), untilMs: Number(untilMs ?? 0) } } : {}),
    }));
  }

  async release(leases: readonly Lease[]): Promise<void> {
    if (leases.length === 0) return;
    this.#streams.forget(leases);
    await this.#p.database.query(
      `update ${this.#schema}.shard s set owner = null from unnest($2::int[], $3::bigint[]) x(id, epoch)
       where s.id = x.id and s.epoch = x.epoch and s.owner = $1`,
      [this.#boot, leases.map(({ shard }) => shard), leases.map(({ epoch }) => String(epoch))],
    );
  }

  async leave(): Promise<void> {
    await this.#p.database.query(
      `with gone as (delete from ${this.#schema}.member where boot = $1)
       update ${this.#schema}.shard set owner = null where owner = $1`,
      [this.#boot],
    );
  }

  async open(key: StateKey, lease: Lease, outputs: readonly string[], events: FleetStreamEvents): Promise<FleetStream> {
    const isConfigured = ({ stanza, tenantId }: { readonly stanza: string; readonly tenantId: string }) =>
      tenantId.toLowerCase() === key.tenantId && stanza !== key.stanza;
    const others = this.#p
      .configured()
      .filter(isConfigured)
      .map(({ stanza }) => stanza);
    const place = { ...this.#p, schema: this.#schema, boot: this.#boot, packets: this.#packets };
    const open = { key, lease, outputs, events, others };
    return (await this.#streams.take(place, open)) ?? openFleetStream(place, open);
  }

  async waiting(
    output: string,
    streams: readonly number[],
    mostBytes: number,
    takenTo: ReadonlyMap<number, bigint> = new Map(),
  ): Promise<readonly WaitingPacket[]> {
    // It may take an hour to be confirmed, and is read back in the rare case that it must be sent again.
    for (const stream of streams) this.#packets.confirmed(output, { stream, seq: takenTo.get(stream) ?? 0n });
    const kept = this.#packets.using(streams);
    const packets: WaitingPacket[] = [];
    try {
      const asked: Asked = {
        output,
        streams,
        kept,
        takenTo: streams.map((one) => takenTo.get(one)?.toString() ?? null),
      };
      for (const { stream, seq, epoch = 0n, size = 0, body, damage } of await this.#rowsWaiting(asked, mostBytes)) {
        const place = { stream, seq: BigInt(seq), epoch: BigInt(epoch), bytes: size };
        const at = kept.findIndex((one) => isSamePacket(one, place));
        const [own] = at === -1 ? [] : kept.splice(at, 1);
        packets.push(
          own === undefined
            ? { ...place, ...(await readPacket(body, damage, this.#p.bodiesOf)) }
            : { ...place, deliveries: own.deliveries, done: () => this.#packets.done(own) },
        );
      }
      return packets;
    } catch (error) {
      for (const one of packets) one.done?.();
      throw error;
    } finally {
      for (const one of kept) this.#packets.done(one);
    }
  }

  /** One damaged page of the database must not hide what is whole. */
  async #rowsWaiting(asked: Asked, mostBytes: number): Promise<readonly PacketRow[]> {
    try {
      return await this.#query(asked, mostBytes);
    } catch (error) {
      if (sqlStateOf(error) !== DATA_CORRUPTED) throw error;
    }
    const rows: PacketRow[] = [];
    let bytes = 0;
    for (const place of await this.#placesWaiting(asked)) {
      const row = await this.#rowAt(place);
      bytes += row.size ?? 0;
      rows.push(row);
      if (bytes >= mostBytes) break;
    }
    return rows;
  }

  #placesWaiting({ output, streams, takenTo }: Asked): Promise<readonly PacketRow[]> {
    const s = this.#schema;
    return this.#p.database.query<PacketRow>(
      `select p.stream, p.seq from ${s}.delivery d ${takenOf("$2", "$4")} cross join lateral (
         select q.stream, q.seq from ${s}.packet q
         where q.stream = d.stream and q.seq > t.seq order by q.seq limit $3) p
       where d.output = $1 and d.stream = any($2::int[]) order by ${OLDEST_OF_EACH_FIRST}`,
      [output, streams, PACKETS_OF_STREAM, takenTo],
    );
  }

  async #rowAt({ stream, seq }: PacketRow): Promise<PacketRow> {
    try {
      const [row] = await this.#p.database.query<PacketRow>(
        `select stream, seq, epoch, octet_length(body) as size, body from ${this.#schema}.packet where stream = $1 and seq = $2`,
        [stream, seq],
      );
      return row ?? { stream, seq, damage: "it is missing in the database" };
    } catch (error) {
      if (sqlStateOf(error) !== DATA_CORRUPTED) throw error;
      return { stream, seq, damage: asFailure(error).say };
    }
  }

  #query({ output, streams, kept, takenTo }: Asked, mostBytes: number): Promise<readonly PacketRow[]> {
    const s = this.#schema;
    return this.#p.database.query<PacketRow>(
      // The bytes of what is kept here stay there.
      `select stream, seq, epoch, octet_length(body) as size, case when not exists (
           select from unnest($6::int[], $7::bigint[], $8::bigint[]) k(stream, seq, epoch)
           where k.stream = x.stream and k.seq = x.seq and k.epoch = x.epoch) then body end as body
       from (
         select p.stream, p.seq, p.epoch, p.body,
           sum(octet_length(p.body)) over (order by ${OLDEST_OF_EACH_FIRST} rows unbounded preceding) as bytes,
           row_number() over (order by ${OLDEST_OF_EACH_FIRST}) as place
         from ${s}.delivery d ${takenOf("$2", "$5")} cross join lateral (
           select q.stream, q.seq, q.epoch, q.body from ${s}.packet q
           where q.stream = d.stream and q.seq > t.seq order by q.seq limit $4) p
         where d.output = $1 and d.stream = any($2::int[])) x
       where bytes <= $3 or place = 1 order by stream, seq`,
      [
        output,
        streams,
        mostBytes,
        PACKETS_OF_STREAM,
        takenTo,
        kept.map(({ stream }) => stream),
        kept.map(({ seq }) => String(seq)),
        kept.map(({ epoch }) => String(epoch)),
      ],
    );
  }

  async setAside(packets: readonly DamagedPacket[]): Promise<void> {
    const s = this.#schema;
    await this.#p.database.query(
      `insert into ${s}.set_aside(stream, seq, hour, records, damage)
       select x.stream, x.seq, coalesce(p.hour, 0), coalesce(p.records, 0), x.damage
       from unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[]) x(stream, epoch, seq, damage)
         join ${s}.stream t on t.id = x.stream and t.epoch = x.epoch
         left join ${s}.packet p on p.stream = x.stream and p.seq = x.seq
       on conflict do nothing`,
      [
        packets.map(({ stream }) => stream),
        packets.map(({ epoch }) => String(epoch)),
        packets.map(({ seq }) => String(seq)),
        packets.map(({ damage }) => damage),
      ],
    );
  }

  async confirm(output: string, confirmations: readonly Confirmation[]): Promise<readonly number[]> {
    const rows = await this.#p.database.query<{ stream: number }>(
      // Not beyond what was committed: after a restore those packets do not exist yet, and others will.
      `update ${this.#schema}.delivery d set seq = greatest(d.seq, least(x.seq, t.next_seq - 1))
       from unnest($2::int[], $3::bigint[], $4::bigint[]) x(stream, epoch, seq)
         join ${this.#schema}.stream t on t.id = x.stream
       where d.stream = x.stream and d.output = $1 and d.epoch = x.epoch
       returning d.stream`,
      [
        output,
        confirmations.map(({ stream }) => stream),
        confirmations.map(({ epoch }) => String(epoch)),
        confirmations.map(({ seq }) => String(seq)),
      ],
    );
    const taken = rows.map(({ stream }) => stream);
    for (const one of confirmations) if (taken.includes(one.stream)) this.#packets.confirmed(output, one);
    return taken;
  }

  async keepHouse(): Promise<void> {
    await this.#makeHours();
    await this.#p.database.query(`select ${this.#schema}.drop_delivered_hours()`);
  }

  async #makeHours(): Promise<void> {
    await this.#p.database.query(`select ${this.#schema}.make_packet_hours()`);
  }

  async close(): Promise<void> {
    await Promise.all([this.#p.database.close(), this.#p.heartbeat.close()]);
  }
}
