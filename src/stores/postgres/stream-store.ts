import { isFailure } from "../../model/failure.ts";
import type { FleetStream, FleetStreamEvents, Lease } from "../../model/fleet.ts";
import { SerialQueue } from "../../model/serial-queue.ts";
import type { Checkpoint, LedgerEntry, PageCommit, StateKey, StreamStore } from "../../model/state.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../disk/checkpoint-file.ts";
import { CommittedPackets, type FreshPacket } from "./committed-packets.ts";
import type { Database } from "./connections.ts";
import { fenced, schemaFailure, sqlStateOf } from "./failures.ts";
import { compressed } from "./packet.ts";

export interface StorePlace {
  readonly database: Database;
  readonly schema: string;
  /** The member's. */
  readonly boot: string;
  /** Absent: none are kept. */
  readonly packets?: CommittedPackets;
}

export interface OpenStream {
  readonly key: StateKey;
  readonly lease: Lease;
  readonly outputs: readonly string[];
  readonly events: FleetStreamEvents;
  /** Other names under which the tenant is configured: what is theirs is not adopted. */
  readonly others: readonly string[];
}

export interface StreamRow {
  readonly id: number;
  readonly next_seq: string;
  readonly checkpoint: string | null;
}

interface LedgerRow {
  readonly stream: number;
  readonly object: string;
  readonly ticks: string;
  readonly written: number;
  readonly bytes: number;
  readonly crc: string;
  readonly is_new: boolean;
}

/** `check_violation`: there is no partition for this hour. */
const NO_PARTITION = "23514";

/**
 * Opens a stream under a lease. From here on no older lease can write to it, also one that opened it in the
 * same moment. Throws Failure `fleet-fenced` when the lease is another's by now.
 */
export async function openFleetStream(place: StorePlace, open: OpenStream): Promise<FleetStream> {
  const { database, schema: s, boot } = place;
  const { key, lease, others } = open;
  const held = [lease.shard, String(lease.epoch), boot];
  await database.query(
    `with held as (select from ${s}.shard where id = $1 and epoch = $2 and owner = $3 for share),
     left_behind as (
       select id from ${s}.customer where tenant = $4 and input <> all($6::text[])
         and not exists (select from ${s}.customer where tenant = $4 and input = $5)
       order by id desc limit 1),
     adopted as (
       update ${s}.customer c set input = $5 from left_behind, held where c.id = left_behind.id returning c.id)
     insert into ${s}.customer(tenant, input)
     select $4, $5 from held where not exists (select from adopted) on conflict do nothing`,
    [...held, key.tenantId, key.stanza, others],
  );
  const [row] = await database.query<StreamRow>(
    `with held as (select from ${s}.shard where id = $1 and epoch = $2 and owner = $3 for share)
     insert into ${s}.stream(customer, name, shard, epoch)
     select c.id, $6, $1, $2 from held, ${s}.customer c where c.tenant = $4 and c.input = $5
     on conflict (customer, name) do update set epoch = excluded.epoch, shard = excluded.shard
     returning id, next_seq, checkpoint`,
    [...held, key.tenantId, key.stanza, key.stream],
  );
  if (row === undefined) throw fenced();
  await prepareOutputs(place, [row.id], open);
  const ledgers = await readLedgers(place, [row.id]);
  return fleetStream(place, open, row, ledgers.get(row.id) ?? []);
}

/** A stream that was read under this lease. */
export function fleetStream(
  place: StorePlace,
  open: OpenStream,
  row: StreamRow,
  entries: readonly LedgerEntry[],
): FleetStream {
  return { id: row.id, lease: open.lease, store: new PostgresStreamStore(place, open, row, entries) };
}

/**
 * An output that is new gets what is collected from now on, or goes on where one of its type stopped that is
 * configured no more. One that is gone is forgotten once nothing waits for it, and only while no member of
 * the last day has another configuration: that one may still have it, and would miss what is committed.
 */
export async function prepareOutputs(
  { database, schema: s, boot }: StorePlace,
  streams: readonly number[],
  { lease, outputs }: Pick<OpenStream, "lease" | "outputs">,
): Promise<void> {
  await database.query(
    `with t as (select id, next_seq, epoch from ${s}.stream where id = any($1::int[]) and epoch = $2),
     mixed as (
       select from ${s}.member
       where config_hash is distinct from (select config_hash from ${s}.member where boot = $4)),
     gone as (
       select d.stream, d.output, d.seq, ${typeOf("d.output")} as type from ${s}.delivery d join t on d.stream = t.id
       where d.output <> all($3::text[])),
     fresh as (
       select t.id as stream, ${typeOf("o")} as type from t, unnest($3::text[]) o
       where not exists (select from ${s}.delivery d where d.stream = t.id and d.output = o)),
     forgotten as (
       delete from ${s}.delivery d using gone
       where d.stream = gone.stream and d.output = gone.output and not exists (select from mixed)
         and (exists (select from fresh where fresh.stream = gone.stream and fresh.type = gone.type)
           or not exists (select from ${s}.packet p where p.stream = d.stream and p.seq > d.seq)))
     insert into ${s}.delivery(stream, output, seq, epoch)
     select t.id, o, coalesce(
       (select min(seq) from gone where stream = t.id and type = ${typeOf("o")}), t.next_seq - 1), t.epoch
     from t, unnest($3::text[]) o
     on conflict (stream, output) do update set epoch = excluded.epoch where delivery.epoch < excluded.epoch`,
    [streams, String(lease.epoch), outputs, boot],
  );
}

/** @param mostEach a stream that has more is left out. */
export async function readLedgers(
  { database, schema: s }: StorePlace,
  streams: readonly number[],
  mostEach?: number,
): Promise<ReadonlyMap<number, readonly LedgerEntry[]>> {
  const rows = await database.query<LedgerRow>(
    `select t.id as stream, l.* from unnest($1::int[]) t(id) cross join lateral (
       select object, ticks, written, bytes, crc, is_new from ${s}.ledger where stream = t.id limit $2) l
     order by t.id, l.written, l.ticks, l.object`,
    [streams, mostEach === undefined ? null : mostEach + 1],
  );
  const ledgers = new Map<number, LedgerEntry[]>(streams.map((stream) => [stream, []]));
  for (const row of rows) ledgers.get(row.stream)?.push(entryOf(row));
  for (const [stream, { length }] of ledgers) if (length > (mostEach ?? length)) ledgers.delete(stream);
  return ledgers;
}

/** Of an output, by its name: what stands before the last hyphen. */
function typeOf(output: string): string {
  return `substring(${output} from '^(.*)-[^-]*$')`;
}

class PostgresStreamStore implements StreamStore {
  readonly keepsBodies = true;
  /** Nothing is provisional here: what was committed is delivered from the database. */
  readonly lastStopWasOrderly = true;
  readonly key: StateKey;
  readonly #place: StorePlace;
  readonly #packets: CommittedPackets;
  readonly #lease: Lease;
  readonly #events: FleetStreamEvents;
  readonly #outputs: readonly string[];
  readonly #id: number;
  readonly #commits = new SerialQueue();
  #nextSeq: bigint;
  #checkpoint: Checkpoint | undefined;
  #entries: readonly LedgerEntry[];
  #isLost = false;
  #isClosed = false;

  constructor(place: StorePlace, open: OpenStream, row: StreamRow, entries: readonly LedgerEntry[]) {
    const { key, lease, outputs, events } = open;
    this.#place = place;
    this.#packets = place.packets ?? new CommittedPackets();
    this.#outputs = outputs;
    this.key = key;
    this.#lease = lease;
    this.#events = events;
    this.#id = row.id;
    this.#nextSeq = BigInt(row.next_seq);
    this.#checkpoint = row.checkpoint === null ? undefined : readCheckpoint(row.checkpoint);
    this.#entries = entries;
  }

  get checkpoint(): Checkpoint | undefined {
    return this.#checkpoint;
  }

  takeEntries(): readonly LedgerEntry[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }

  async commit({ entries = [], checkpoint, deliveries = [], huge }: PageCommit): Promise<void> {
    if (huge !== undefined) throw new Error("a record that is too large for memory was not made smaller first");
    if (entries.length === 0 && checkpoint === undefined && deliveries.length === 0) return;
    const packet = deliveries.length === 0 ? undefined : this.#packets.pack(deliveries);
    await this.#commits.run(() => this.#commit(entries, checkpoint, packet, deliveries.length));
  }

  flush(): Promise<void> {
    return this.#commits.idle();
  }

  async compact(entries: Iterable<LedgerEntry>): Promise<void> {
    const kept = columnsOf([...entries]);
    const { schema: s } = this.#place;
    await this.#commits.run(async () => {
      await this.#fencedQuery(
        `with f as (
           update ${s}.stream set next_seq = next_seq + 1
           where id = $1::int and epoch = $2::bigint and next_seq = $3::bigint returning next_seq - 1 as seq),
         gone as (
           delete from ${s}.ledger l using f
           where l.stream = $1 and not exists (select from unnest($4::uuid[]) k where k = l.object)),
         kept as (${this.#putLedger(4)})
         select seq from f`,
        kept,
      );
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#commits.idle();
    this.#packets.forget(this.#id);
  }

  async #commit(
    entries: readonly LedgerEntry[],
    checkpoint: Checkpoint | undefined,
    packet: FreshPacket | undefined,
    records: number,
  ): Promise<void> {
    const packets = this.#packets;
    const seq = this.#nextSeq;
    let bytes: number;
    try {
      bytes = await this.#commitBody(
        entries,
        checkpoint,
        packet === undefined ? null : await compressed(packet.bytes),
        records,
      );
    } catch (error) {
      if (packet !== undefined) packets.dropped(packet);
      throw error;
    }
    if (checkpoint !== undefined) this.#checkpoint = checkpoint;
    if (packet === undefined) return;
    const outputs = this.#isClosed ? [] : this.#outputs;
    packets.committed({ stream: this.#id, seq, epoch: this.#lease.epoch }, packet, outputs);
    this.#events.committed(this.#id, bytes);
  }

  async #commitBody(
    entries: readonly LedgerEntry[],
    checkpoint: Checkpoint | undefined,
    body: Buffer | null,
    records: number,
  ): Promise<number> {
    const { schema: s } = this.#place;
    await this.#fencedQuery(
      `with f as (
         update ${s}.stream set next_seq = next_seq + 1, checkpoint = coalesce($10::text, checkpoint)
         where id = $1::int and epoch = $2::bigint and next_seq = $3::bigint returning next_seq - 1 as seq),
       l as (${this.#putLedger(4)}),
       p as (
         insert into ${s}.packet(hour, stream, seq, records, epoch, body)
         select ${s}.this_hour(), $1::int, f.seq, $11::int, $2::bigint, $12::bytea from f where $12::bytea is not null)
       select seq from f`,
      [...columnsOf(entries), checkpoint === undefined ? null : encodeCheckpoint(checkpoint), records, body],
    );
    return body?.length ?? 0;
  }

  /** @param first number of the first of six parameters. */
  #putLedger(first: number): string {
    const types = ["uuid", "bigint", "int", "int", "bigint", "boolean"];
    const columns = types.map((type, i) => `$${first + i}::${type}[]`).join(", ");
    return `insert into ${this.#place.schema}.ledger as l(stream, object, ticks, written, bytes, crc, is_new)
      select $1::int, u.* from f, unnest(${columns}) u
      on conflict (stream, object) do update set ticks = excluded.ticks, written = excluded.written,
        bytes = excluded.bytes, crc = excluded.crc, is_new = excluded.is_new
      where (l.ticks, l.written, l.bytes, l.crc, l.is_new)
        is distinct from (excluded.ticks, excluded.written, excluded.bytes, excluded.crc, excluded.is_new)`;
  }

  /**
   * A statement that begins with the fence: the lease's epoch, and the place in the chain of this stream's
   * commits. Without a row nothing was written, and the shard is another's. Without an answer nobody knows.
   * The shard is forgotten then: a second try could commit the page twice.
   */
  async #fencedQuery(sql: string, values: readonly unknown[]): Promise<void> {
    if (this.#isLost) throw fenced();
    const { database, schema } = this.#place;
    const fence = [this.#id, String(this.#lease.epoch), String(this.#nextSeq)];
    let rows: readonly unknown[];
    try {
      rows = await database.query(sql, [...fence, ...values]);
    } catch (error) {
      if (isFailure(error) && error.code === "fleet-unsettled") this.#lose();
      // The server's clock may have jumped past the hours that were made.
      if (sqlStateOf(error) === NO_PARTITION) await database.query(`select ${schema}.make_packet_hours()`);
      throw error;
    }
    if (rows.length === 0) {
      this.#lose();
      throw fenced();
    }
    this.#nextSeq += 1n;
  }

  #lose(): void {
    this.#isLost = true;
    this.#packets.forget(this.#id);
    this.#events.lost(this.#lease);
  }
}

function readCheckpoint(text: string): Checkpoint {
  const reading = decodeCheckpoint(text);
  if (reading.kind === "checkpoint") return reading.checkpoint;
  throw schemaFailure(
    "A checkpoint in the fleet's database is damaged or was written by a newer release.",
    "Install the newest release on this host.",
  );
}

/** By column, each object once: a later entry of the same page counts. */
function columnsOf(entries: readonly LedgerEntry[]): readonly (readonly unknown[])[] {
  const newest = [...new Map(entries.map((entry) => [objectText(entry.hash), entry]))];
  return [
    newest.map(([object]) => object),
    newest.map(([, { updated }]) => String(updated)),
    newest.map(([, { writtenAtS }]) => writtenAtS),
    newest.map(([, { byteLength }]) => byteLength),
    newest.map(([, { bodyCrc }]) => bodyCrc),
    newest.map(([, { change }]) => change === "new"),
  ];
}

function objectText(hash: LedgerEntry["hash"]): string {
  return hash.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

function entryOf({ object, ticks, written, bytes, crc, is_new }: LedgerRow): LedgerEntry {
  const hex = object.replaceAll("-", "");
  const word = (i: number): number => Number.parseInt(hex.slice(i * 8, i * 8 + 8), 16) | 0;
  return {
    hash: [word(0), word(1), word(2), word(3)],
    updated: BigInt(ticks),
    writtenAtS: written,
    byteLength: bytes,
    bodyCrc: Number(crc),
    change: is_new ? "new" : "updated",
  };
}
