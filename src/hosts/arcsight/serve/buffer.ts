import { dirname, join } from "node:path";
import { ByteWriter } from "../../../json/byte-writer.ts";
import type { Delivery, HealthEvent, HugeDelivery } from "../../../model/event.ts";
import type { Ticks } from "../../../model/instant.ts";
import { TICKS_PER_MS, ticksFromMs } from "../../../model/instant.ts";
import type { Log, Sink } from "../../../model/ports.ts";
import { CommitQueue } from "../../../outputs/commit-queue.ts";
import { outputUnwritable } from "../../../outputs/output-failures.ts";
import { joined, RecentKeys } from "../../../outputs/recent-keys.ts";
import { writeReduced } from "../../../outputs/reduced.ts";
import type { DiskPorts } from "../../../stores/disk/disk.ts";
import {
  errnoOf,
  makeFolder,
  makeFolders,
  openForAppend,
  readIfThere,
  removeIfThere,
  syncFileContent,
  syncFolder,
  writeWhole,
} from "../../../stores/disk/disk.ts";
import { folderNameOf } from "../../../stores/disk/names.ts";
import {
  Arrivals,
  ROW_KINDS,
  ROW_TYPES_OF,
  type RowKind,
  ticksText,
  wholeEvents,
  writeDelivery,
  writeHealth,
} from "./rows.ts";
import { rowsOf, type Segment, type StoredRow } from "./segment.ts";

const SEGMENT_BYTES = 4 << 20;
const DAY_MS = 86_400_000;
/** More than what can be under way for one customer when the process crashes. */
const KEYS_KEPT = 4_000;
/** Memory of one answer for all customers' files together, and for one file. */
const PIECES_BYTES = 4 << 20;
const PIECE_MOST_BYTES = 1 << 16;
const PIECE_LEAST_BYTES = 1 << 12;
const HEALTH_BYTES = 1_024;

export interface BufferParts {
  /** Folder of all customers' buffers. */
  readonly folder: string;
  readonly keepDays: number;
  /** All customers that may have events. */
  readonly customers: readonly { readonly stanza: string }[];
  readonly ports: DiskPorts;
  readonly log: Log;
}

interface CustomerBuffer {
  readonly folder: string;
  readonly segments: Segment[];
  readonly recent: RecentKeys;
  /**
   * By row type, a time that no such row is later than. Most polls find nothing new and then need not read
   * the files.
   */
  readonly lastByRowType: Map<string, Ticks>;
}

type Entry =
  | { readonly stanza: string; readonly delivery: Delivery }
  | { readonly stanza: string; readonly health: HealthEvent };

/** A customer's part of one flush. */
interface Part {
  readonly buffer: CustomerBuffer;
  readonly segment: Segment;
  readonly rows: Uint8Array;
  readonly keys: readonly string[];
  readonly rowTypes: ReadonlySet<string>;
  readonly last: Ticks;
}

/**
 * The events of the last days on disk, from which `arcsight serve` answers polls: a folder per customer with
 * append-only files, named by the time of their first row. Every row has its own arrival time, which strictly
 * increases over all customers, restarts and changes of this machine's clock. A poller that advances by it
 * misses nothing that Microsoft showed late. Rows are read from the files at each poll; none is kept in
 * memory.
 */
export class ServeBuffer implements Sink {
  readonly kind = "durable";
  readonly #p: BufferParts;
  readonly #buffers = new Map<string, CustomerBuffer>();
  readonly #queue: CommitQueue<readonly Entry[]>;
  readonly #tenantIds = new Map<string, string>();
  /** Segments of a failed group that are not truncated yet. */
  readonly #uncut: Segment[] = [];
  #last: Ticks = 0n;

  /** Takes over what earlier runs left. Throws Failure `state-unreadable`, `state-unwritable`. */
  constructor(parts: BufferParts) {
    this.#p = parts;
    this.#queue = new CommitQueue(
      (groups) => this.#commit(groups.flat()),
      (entries) =>
        entries.reduce((sum, entry) => sum + ("delivery" in entry ? lengthOf(entry.delivery) : HEALTH_BYTES), 0),
    );
    for (const { stanza } of parts.customers) {
      const buffer = this.#readFolder(stanza);
      this.#buffers.set(stanza, buffer);
      for (const last of buffer.lastByRowType.values()) if (last > this.#last) this.#last = last;
    }
  }

  /**
   * Resolves when the rows are on disk. An existing event is not written again. Rejects with Failure
   * `output-full` or `output-broken`; then nothing of the batch is on disk.
   */
  async write(batch: readonly Delivery[]): Promise<number> {
    for (const { stanza, tenant } of batch) this.#tenantIds.set(stanza, tenant.id);
    const entries = batch.flatMap((delivery) =>
      this.#bufferOf(delivery.stanza).recent.wants(delivery.key) ? [{ stanza: delivery.stanza, delivery }] : [],
    );
    if (entries.length > 0) await this.#queue.write(entries);
    return batch.reduce((sum, delivery) => sum + lengthOf(delivery), 0);
  }

  writeHuge(delivery: HugeDelivery, pieces: AsyncIterable<Uint8Array>): Promise<number> {
    return writeReduced(this, delivery, pieces, this.#p.log);
  }

  async health(event: HealthEvent): Promise<void> {
    const stanza = event.input;
    if (!this.#buffers.has(stanza)) return;
    if (event.tenant_id !== "") this.#tenantIds.set(stanza, event.tenant_id);
    await this.#queue.write([{ stanza, health: event }]);
  }

  /** The customer's tenant GUID, once an event named it: settings may name a domain. */
  tenantIdOf(stanza: string): string | undefined {
    return this.#tenantIds.get(stanza);
  }

  async close(): Promise<void> {
    await this.#queue.idle();
  }

  /**
   * The newest arrival time of a readable row. Every row up to it is present, for all customers, and every
   * later row gets a later time, so an answer that ends here is complete. Waits for the running flush, so
   * that a poller that continues from the time of its own request also misses nothing.
   */
  async present(): Promise<Ticks> {
    await this.#queue.presentGroup();
    return this.#last;
  }

  /**
   * Rows of these customers, oldest first. `until` must not be later than the result of `present`. Throws
   * Failure `state-unreadable`.
   */
  async *rows(stanzas: readonly string[], kind: RowKind, after: Ticks, until: Ticks): AsyncGenerator<StoredRow> {
    const buffers = stanzas
      .map((stanza) => this.#bufferOf(stanza))
      .filter(({ lastByRowType }) =>
        Array.from(ROW_KINDS[kind]).some((rowType) => (lastByRowType.get(rowType) ?? 0n) > after),
      );
    const pieceBytes = Math.max(
      PIECE_LEAST_BYTES,
      Math.min(PIECE_MOST_BYTES, Math.floor(PIECES_BYTES / (buffers.length || 1))),
    );
    const runs: { row: StoredRow; readonly following: AsyncGenerator<StoredRow> }[] = [];
    for (const buffer of buffers) {
      const following = this.#rowsOfBuffer(buffer, kind, after, until, pieceBytes);
      const first = await following.next();
      if (!first.done) runs.push({ row: first.value, following });
    }
    while (runs.length > 0) {
      let earliest = runs[0] as (typeof runs)[number];
      for (const run of runs) if (run.row.at < earliest.row.at) earliest = run;
      yield earliest.row;
      const next = await earliest.following.next();
      if (next.done) runs.splice(runs.indexOf(earliest), 1);
      else earliest.row = next.value;
    }
  }

  async *#rowsOfBuffer(
    buffer: CustomerBuffer,
    kind: RowKind,
    after: Ticks,
    until: Ticks,
    pieceBytes: number,
  ): AsyncGenerator<StoredRow> {
    const segments = buffer.segments.map((segment) => ({ ...segment }));
    for (const [i, segment] of segments.entries()) {
      const next = segments[i + 1];
      if (next !== undefined && next.first <= after) continue;
      if (segment.first > until) return;
      yield* rowsOf(this.#p.ports.disk, segment, ROW_KINDS[kind], ticksText(after), ticksText(until), pieceBytes);
    }
  }

  #bufferOf(stanza: string): CustomerBuffer {
    const buffer = this.#buffers.get(stanza);
    if (!buffer) throw new Error(`no stanza ${stanza} was given to the buffer`);
    return buffer;
  }

  async #commit(entries: readonly Entry[]): Promise<void> {
    if (!this.#cut())
      throw outputUnwritable(
        "serve",
        this.#p.folder,
        Object.assign(new Error("a file cannot be truncated"), { code: "EIO" }),
      );
    const arrivals = new Arrivals(this.#last, ticksFromMs(this.#p.ports.clock.nowMs()));
    const parts: Part[] = [];
    for (const [stanza, those] of Map.groupBy(entries, (entry) => entry.stanza)) {
      const buffer = this.#bufferOf(stanza);
      const segment = this.#segmentFor(buffer, arrivals.last + 1n);
      const out = new ByteWriter();
      for (const entry of those) {
        if ("health" in entry) writeHealth(out, entry.health, arrivals);
        else writeDelivery(out, entry.delivery, arrivals);
      }
      const keys = those.flatMap((entry) => ("delivery" in entry ? [entry.delivery.key] : []));
      const rowTypes = new Set(
        those.flatMap((entry) => Array.from(ROW_TYPES_OF["delivery" in entry ? entry.delivery.record.kind : "health"])),
      );
      parts.push({ buffer, segment, rows: out.view(), keys, rowTypes, last: arrivals.last });
    }
    // No part can be read before all parts are durable: a poll that got one customer's part would advance
    // past another's.
    const written = await Promise.allSettled(parts.map((part) => this.#append(part)));
    const failed = written.find((one) => one.status === "rejected");
    if (failed) {
      this.#uncut.push(...parts.map(({ segment }) => segment));
      this.#cut();
      throw outputUnwritable("serve", this.#p.folder, failed.reason);
    }
    for (const [i, { buffer, segment, rows, keys, rowTypes, last }] of parts.entries()) {
      const began = written[i] as PromiseFulfilledResult<number>;
      if (buffer.segments.at(-1) !== segment) buffer.segments.push(segment);
      segment.bytes = began.value + rows.length;
      for (const rowType of rowTypes) buffer.lastByRowType.set(rowType, last);
      buffer.recent.took(joined(keys));
    }
    this.#last = arrivals.last;
    for (const { buffer } of parts) this.#dropOld(buffer);
  }

  #segmentFor(buffer: CustomerBuffer, first: Ticks): Segment {
    const newest = buffer.segments.at(-1);
    const goesOn =
      newest !== undefined && newest.bytes < SEGMENT_BYTES && first < newest.first + BigInt(DAY_MS) * TICKS_PER_MS;
    return goesOn ? newest : { path: join(buffer.folder, `${ticksText(first)}.rows`), first, bytes: 0 };
  }

  /**
   * Removes what a failed group has left. Until that is done nothing is written: after a restart its rows
   * would appear with times that pollers have passed meanwhile.
   */
  #cut(): boolean {
    const { disk } = this.#p.ports;
    for (let segment = this.#uncut.at(-1); segment !== undefined; segment = this.#uncut.at(-1)) {
      try {
        if (disk.existsSync(segment.path)) {
          const fd = openForAppend(disk, segment.path);
          try {
            if (disk.fstatSync(fd).size > segment.bytes) disk.ftruncateSync(fd, segment.bytes);
          } finally {
            disk.closeSync(fd);
          }
        }
      } catch {
        return false;
      }
      this.#uncut.pop();
    }
    return true;
  }

  /** Returns the offset of the rows. */
  async #append({ segment, rows }: Part): Promise<number> {
    const { disk } = this.#p.ports;
    const folder = dirname(segment.path);
    const isNew = !disk.existsSync(segment.path);
    if (isNew) makeFolders(disk, folder, 0o700);
    const fd = openForAppend(disk, segment.path);
    try {
      const { size } = disk.fstatSync(fd);
      // Longer: the rest of a group that failed. Shorter: the file was removed, and it begins anew.
      if (size > segment.bytes) disk.ftruncateSync(fd, segment.bytes);
      writeWhole(disk, fd, rows);
      await syncFileContent(disk, fd);
      if (isNew) await syncFolder(this.#p.ports, folder);
      return Math.min(size, segment.bytes);
    } finally {
      disk.closeSync(fd);
    }
  }

  /**
   * Deletes segments whose rows are all too old. The newest is kept, because it contains the newest arrival
   * time.
   */
  #dropOld(buffer: CustomerBuffer): void {
    const before = ticksFromMs(this.#p.ports.clock.nowMs() - this.#p.keepDays * DAY_MS);
    for (let next = buffer.segments[1]; next !== undefined && next.first < before; next = buffer.segments[1]) {
      const oldest = buffer.segments.shift();
      try {
        if (oldest) removeIfThere(this.#p.ports.disk, oldest.path);
      } catch (error) {
        this.#p.log.warn("an old file of the buffer cannot be deleted; the next start tries again", {
          path: oldest?.path,
          error: errnoOf(error),
        });
      }
    }
  }

  /**
   * What earlier runs left: which events are here, the time given last. A partial event at the end is
   * removed.
   */
  #readFolder(stanza: string): CustomerBuffer {
    const { disk } = this.#p.ports;
    const folder = join(this.#p.folder, folderNameOf(stanza));
    makeFolder(disk, folder);
    const segments = disk
      .readdirSync(folder)
      .filter((name) => /^\d{19}\.rows$/.test(name))
      .sort()
      .map(
        (name): Segment => ({
          path: join(folder, name),
          first: BigInt(name.slice(0, -".rows".length)),
          bytes: disk.statSync(join(folder, name)).size,
        }),
      );
    const newest = segments.slice(-2);
    const buffer: CustomerBuffer = { folder, segments, recent: new RecentKeys(KEYS_KEPT), lastByRowType: new Map() };
    // Rows that are not in these segments are earlier than the first.
    for (const rowType of Object.values(ROW_TYPES_OF).join(""))
      buffer.lastByRowType.set(rowType, newest[0]?.first ?? 0n);
    const began = segments.at(-1)?.first ?? 0n;
    if (began > this.#last) this.#last = began;
    for (const segment of newest) {
      const whole = wholeEvents(readIfThere(disk, segment.path) ?? Buffer.alloc(0));
      buffer.recent.took(whole.keys);
      for (const [rowType, last] of whole.lastByRowType) buffer.lastByRowType.set(rowType, last);
      // The next append truncates the rest; earlier segments were complete when the next one began.
      if (segment !== segments.at(-1)) continue;
      if (whole.bytes < segment.bytes)
        this.#p.log.warn("a partial event at the end of the buffer was removed; it is collected again", {
          path: segment.path,
          bytes: segment.bytes - whole.bytes,
        });
      segment.bytes = whole.bytes;
    }
    return buffer;
  }
}

function lengthOf({ record }: Delivery): number {
  return record.body.end - record.body.start;
}
