import { isFailure } from "../../model/failure.ts";
import type { FleetStream, Lease } from "../../model/fleet.ts";
import type { LedgerEntry } from "../../model/state.ts";
import type { TenantId } from "../../model/tenant.ts";
import {
  fleetStream,
  type OpenStream,
  prepareOutputs,
  readLedgers,
  type StorePlace,
  type StreamRow,
} from "./stream-store.ts";

/** Answers stay small: a stream with a longer ledger is opened alone, and so many are read at once. */
const LEDGER_MOST = 1_000;
const LEDGERS_AT_ONCE = 100;

interface ShardRow extends StreamRow {
  readonly tenant: string;
  readonly input: string;
  readonly name: string;
}

interface ReadStream {
  readonly row: ShardRow;
  readonly entries: readonly LedgerEntry[];
}

type ReadShard = Map<string, ReadStream>;

/**
 * Reads all streams of a shard at once when the first of them is opened: a takeover of thousands of
 * customers then takes a few statements a shard. What is read stays true under its lease until the stream is
 * opened, because only the owner of the shard writes to it, and only after it has opened it. So each is given
 * out once.
 */
export class ShardStreams {
  readonly #tenants: () => ReadonlyMap<number, readonly TenantId[]>;
  readonly #shards = new Map<string, Promise<ReadShard>>();

  /** @param tenants of each shard, those that are configured now: others are not opened. */
  constructor(tenants: () => ReadonlyMap<number, readonly TenantId[]>) {
    this.#tenants = tenants;
  }

  /** Undefined: the stream must be opened alone. Throws Failure as `Database.query`. */
  async take(place: StorePlace, open: OpenStream): Promise<FleetStream | undefined> {
    const { lease, key } = open;
    const name = nameOf(lease);
    const reading = this.#shards.get(name) ?? this.#read(place, open);
    this.#shards.set(name, reading);
    try {
      const shard = await reading;
      const stream = streamName({ tenant: key.tenantId, input: key.stanza, name: key.stream });
      const read = shard.get(stream);
      if (read === undefined) return undefined;
      shard.delete(stream);
      return fleetStream(place, open, read.row, read.entries);
    } catch (error) {
      if (isFailure(error) && error.code !== "fleet-unreachable") {
        // One damaged row must not keep the others from being opened.
        this.#shards.set(name, Promise.resolve(new Map()));
        return undefined;
      }
      this.#shards.delete(name);
      throw error;
    }
  }

  forget(leases: readonly Lease[]): void {
    for (const lease of leases) this.#shards.delete(nameOf(lease));
  }

  forgetAll(): void {
    this.#shards.clear();
  }

  async #read(place: StorePlace, open: OpenStream): Promise<ReadShard> {
    const { database, schema: s, boot } = place;
    const { lease } = open;
    const tenants = this.#tenants().get(lease.shard) ?? [];
    if (tenants.length === 0) return new Map();
    // Those that the claim missed, because the old owner made them in the same moment, are opened alone.
    const rows = await database.query<ShardRow>(
      `with held as (select from ${s}.shard where id = $1 and epoch = $2 and owner = $3 for share)
       select t.id, c.tenant, c.input, t.name, t.next_seq, t.checkpoint
       from held, ${s}.stream t join ${s}.customer c on c.id = t.customer
       where t.shard = $1 and t.epoch = $2 and c.tenant = any($4::uuid[])`,
      [lease.shard, String(lease.epoch), boot, tenants],
    );
    const streams = rows.map(({ id }) => id);
    if (streams.length === 0) return new Map();
    await prepareOutputs(place, streams, open);
    const ledgers = new Map<number, readonly LedgerEntry[]>();
    for (let from = 0; from < streams.length; from += LEDGERS_AT_ONCE) {
      const some = streams.slice(from, from + LEDGERS_AT_ONCE);
      for (const [stream, entries] of await readLedgers(place, some, LEDGER_MOST)) ledgers.set(stream, entries);
    }
    return new Map(
      rows.flatMap((row) => {
        const entries = ledgers.get(row.id);
        return entries === undefined ? [] : [[streamName(row), { row, entries }]];
      }),
    );
  }
}

function nameOf({ shard, epoch }: Lease): string {
  return `${shard} ${epoch}`;
}

function streamName({ tenant, input, name }: Pick<ShardRow, "tenant" | "input" | "name">): string {
  return `${tenant}/${name}/${input}`;
}
