import { dirname, join } from "node:path";
import { ByteWriter } from "../../../format/byte-writer.ts";
import { writeFlatHealth, writeFlatJson } from "../../../format/flat-json.ts";
import { siemRows } from "../../../format/siem-rows.ts";
import type { Delivery, HealthEvent } from "../../../model/event.ts";
import type { Ticks } from "../../../model/instant.ts";
import { formatInstant, TICKS_PER_MS, ticksFromMs } from "../../../model/instant.ts";
import type { Clock, Outlet } from "../../../model/kit.ts";
import { type Disk, makeFolder, openForAppend, removeIfThere, stateUnreadable, syncFileContent, writeWhole } from "../../../stores/disk.ts";
import { folderNameOf } from "../../../stores/names.ts";
import { CommitQueue } from "../outputs/commit-queue.ts";
import { outputUnwritable } from "../outputs/output-failures.ts";
import { RecentKeys } from "../outputs/recent-keys.ts";
import type { PollQuery } from "./query.ts";

const SEGMENT_BYTES = 4 << 20;
const DAY_MS = 86_400_000;
const TICK_DIGITS = 19;
/** More than what can be under way for one customer when the process dies. */
const KEYS_KEPT = 4_000;

/** `old`: rows of the retired SIEM API. `flat`: flat JSON of everything, health included. */
export type RowKind = "old" | "flat";
const LETTERS: Readonly<Record<RowKind, string>> = { old: "O", flat: "F" };

export interface BufferParts {
  /** Folder of all customers' buffers. */
  readonly folder: string;
  readonly keepDays: number;
  /** Everybody who may have events. */
  readonly customers: readonly { readonly stanza: string; readonly tenantName: string }[];
  readonly disk: Disk;
  readonly clock: Clock;
}

interface Segment {
  readonly path: string;
  readonly first: Ticks;
  bytes: number;
}

interface Shelf {
  readonly folder: string;
  readonly segments: Segment[];
  readonly recent: RecentKeys;
}

type Entry = { readonly stanza: string; readonly delivery: Delivery } | { readonly stanza: string; readonly health: HealthEvent };

/**
 * The events of the last days on disk, as `arcsight serve` answers polls from them. Every row has an arrival time of its own, strictly increasing over all customers: a poller
 * that moves by that time, or by its own clock, misses nothing that Microsoft showed late. What one flush made durable begins in a millisecond of its own, so that a poller which
 * keeps milliseconds and adds one misses nothing either.
 *
 * A segment is text: `O <ticks> <row>` and `F <ticks> <row>` per row, `C <key>` behind the rows of an event; rows without their `C` were not written whole and are cut away.
 */
export class ServeBuffer implements Outlet {
  readonly kind = "durable";
  readonly #p: BufferParts;
  readonly #shelves = new Map<string, Shelf>();
  readonly #stanzasByTenantName: ReadonlyMap<string, string>;
  readonly #queue: CommitQueue<readonly Entry[]>;
  #last: Ticks = 0n;

  /** Takes up what earlier runs left. Throws Failure `state-unreadable`, `state-unwritable`. */
  constructor(parts: BufferParts) {
    this.#p = parts;
    this.#stanzasByTenantName = new Map(parts.customers.map(({ stanza, tenantName }) => [tenantName, stanza]));
    this.#queue = new CommitQueue(
      (groups) => this.#commit(groups.flat()),
      (entries) => entries.reduce((sum, entry) => sum + ("delivery" in entry ? entry.delivery.record.body.end - entry.delivery.record.body.start : 1_024), 0),
    );
    for (const { stanza } of parts.customers) this.#shelves.set(stanza, this.#takeUp(stanza));
  }

  async write(batch: readonly Delivery[]): Promise<number> {
    const entries = batch.flatMap((delivery) => (this.#shelfOf(delivery.stanza).recent.wants(delivery.key) ? [{ stanza: delivery.stanza, delivery }] : []));
    if (entries.length > 0) await this.#queue.write(entries);
    return batch.reduce((sum, { record }) => sum + record.body.end - record.body.start, 0);
  }

  async health(event: HealthEvent): Promise<void> {
    const stanza = this.#stanzasByTenantName.get(event.tenant);
    if (stanza !== undefined) await this.#queue.write([{ stanza, health: event }]);
  }

  onBroken(): void {
    // A disk has no connection that could break.
  }

  async close(): Promise<void> {
    await this.#queue.idle();
  }

  /**
   * The rows a poll asks for, oldest first, each as JSON text. What is answered is what was whole at the call: everything that comes later also has a later arrival time.
   */
  async *rows(stanza: string, kind: RowKind, query: PollQuery): AsyncGenerator<string> {
    await this.#queue.presentGroup();
    const segments = this.#shelfOf(stanza).segments.map((segment) => ({ ...segment }));
    const after = ticksText(query.after < 0n ? 0n : query.after);
    const until = query.until === undefined ? undefined : ticksText(query.until < 0n ? 0n : query.until);
    const letter = LETTERS[kind].charCodeAt(0);
    for (const [i, segment] of segments.entries()) {
      const next = segments[i + 1];
      if (next !== undefined && next.first <= query.after) continue;
      if (query.until !== undefined && segment.first > query.until) return;
      const bytes = await this.#read(segment);
      for (let from = 0; from < bytes.length; ) {
        const end = bytes.indexOf(0x0a, from);
        if (end === -1) break;
        if (bytes[from] === letter) {
          const at = bytes.toString("latin1", from + 2, from + 2 + TICK_DIGITS);
          if (at > after && (until === undefined || at <= until)) yield bytes.toString("utf8", from + 3 + TICK_DIGITS, end);
        }
        from = end + 1;
      }
    }
  }

  #shelfOf(stanza: string): Shelf {
    const shelf = this.#shelves.get(stanza);
    if (!shelf) throw new Error(`no stanza ${stanza} was given to the buffer`);
    return shelf;
  }

  async #commit(entries: readonly Entry[]): Promise<void> {
    const touched: { readonly shelf: Shelf; readonly segment: Segment; readonly out: ByteWriter; readonly keys: string[] }[] = [];
    // A millisecond of its own: see the class.
    const now = ticksFromMs(this.#p.clock.nowMs());
    let at = now > this.#last ? now : (this.#last / TICKS_PER_MS + 1n) * TICKS_PER_MS;
    for (const [stanza, those] of Map.groupBy(entries, (entry) => entry.stanza)) {
      const shelf = this.#shelfOf(stanza);
      const out = new ByteWriter(1 << 16);
      const keys: string[] = [];
      const first = at;
      for (const entry of those) {
        if ("health" in entry) at = writeRows(out, LETTERS.flat, at, healthRows(entry.health));
        else {
          const { delivery } = entry;
          if (delivery.record.kind === "alert") {
            const begin = at;
            at = writeRows(out, LETTERS.old, at, siemRows(delivery, formatInstant(at)).map((row, i) => JSON.stringify({ ...row, LastProcessedTimeUtc: formatInstant(begin + BigInt(i)) })));
          }
          at = writeRows(out, LETTERS.flat, at, flatRows(delivery));
          keys.push(delivery.key);
          out.text(`C ${delivery.key}\n`);
        }
      }
      touched.push({ shelf, segment: this.#segmentFor(shelf, first), out, keys });
    }
    const written: { readonly segment: Segment; readonly bytes: number }[] = [];
    try {
      await Promise.all(
        touched.map(async ({ segment, out }) => {
          written.push({ segment, bytes: segment.bytes });
          await this.#append(segment, out.view());
        }),
      );
    } catch (error) {
      // Each customer's part is whole or not there: the whole group comes again.
      for (const { segment, bytes } of written) this.#cut(segment, bytes);
      throw outputUnwritable("serve", this.#p.folder, error);
    }
    this.#last = at;
    for (const { shelf, segment, out, keys } of touched) {
      if (segment.bytes === 0) shelf.segments.push(segment);
      segment.bytes += out.length;
      shelf.recent.took(keys);
      this.#dropOld(shelf);
    }
  }

  #segmentFor(shelf: Shelf, first: Ticks): Segment {
    const last = shelf.segments.at(-1);
    if (last !== undefined && last.bytes < SEGMENT_BYTES) return last;
    return { path: join(shelf.folder, `${ticksText(first)}.rows`), first, bytes: 0 };
  }

  async #append(segment: Segment, bytes: Uint8Array): Promise<void> {
    const { disk } = this.#p;
    const folder = dirname(segment.path);
    if (!disk.existsSync(folder)) disk.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const fd = openForAppend(disk, segment.path);
    try {
      writeWhole(disk, fd, bytes);
      await syncFileContent(disk, fd);
    } finally {
      disk.closeSync(fd);
    }
  }

  #cut(segment: Segment, bytes: number): void {
    const { disk } = this.#p;
    try {
      const fd = disk.openSync(segment.path, "r+");
      disk.ftruncateSync(fd, bytes);
      disk.closeSync(fd);
    } catch {
      // Nothing of it was written.
    }
  }

  /** A segment goes when all of it is too old; the newest stays, because it says which time came last. */
  #dropOld(shelf: Shelf): void {
    const before = ticksFromMs(this.#p.clock.nowMs() - this.#p.keepDays * DAY_MS);
    for (let next = shelf.segments[1]; next !== undefined && next.first < before; next = shelf.segments[1]) {
      const [oldest] = shelf.segments.splice(0, 1);
      if (oldest) removeIfThere(this.#p.disk, oldest.path);
    }
  }

  #takeUp(stanza: string): Shelf {
    const { disk, folder } = this.#p;
    const own = join(folder, folderNameOf(stanza));
    makeFolder(disk, own);
    const segments = disk
      .readdirSync(own)
      .filter((name) => /^\d+\.rows$/.test(name))
      .sort()
      .map((name): Segment => ({ path: join(own, name), first: BigInt(name.slice(0, -".rows".length)), bytes: disk.statSync(join(own, name)).size }));
    const shelf: Shelf = { folder: own, segments, recent: new RecentKeys(KEYS_KEPT) };
    for (const segment of segments.slice(-2)) this.#readTail(shelf, segment);
    return shelf;
  }

  /** What the newest segments say: which events are here, and the last time given. A tail without its `C` is cut away. */
  #readTail(shelf: Shelf, segment: Segment): void {
    let text: string;
    try {
      text = this.#p.disk.readFileSync(segment.path, "utf8");
    } catch (error) {
      throw stateUnreadable(segment.path, error);
    }
    let whole = 0;
    let from = 0;
    let open = false;
    const keys: string[] = [];
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", from)) {
      const line = text.slice(from, end);
      from = end + 1;
      if (line.startsWith("C ")) {
        keys.push(line.slice(2));
        open = false;
      } else {
        const at = BigInt(line.slice(2, 2 + TICK_DIGITS).replace(/\D.*/s, "") || 0);
        if (at > this.#last) this.#last = at;
        // A health row stands alone, at the place of an event.
        open = open || !isHealthLine(line);
      }
      if (!open) whole = from;
    }
    shelf.recent.took(keys);
    const wholeBytes = Buffer.byteLength(text.slice(0, whole), "utf8");
    if (wholeBytes < segment.bytes) this.#cut(segment, wholeBytes);
    segment.bytes = wholeBytes;
  }

  async #read(segment: Segment): Promise<Buffer> {
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      this.#p.disk.readFile(segment.path, (error, content) => (error ? reject(error) : resolve(content)));
    }).catch((error: NodeJS.ErrnoException) => {
      // It became too old while the answer was under way.
      if (error.code === "ENOENT") return Buffer.alloc(0);
      throw stateUnreadable(segment.path, error);
    });
    return bytes.subarray(0, segment.bytes);
  }
}

function writeRows(out: ByteWriter, letter: string, from: Ticks, rows: readonly string[]): Ticks {
  let at = from;
  for (const row of rows) {
    out.text(`${letter} ${ticksText(at)} ${row}\n`);
    at += 1n;
  }
  return at;
}

function flatRows(delivery: Delivery): readonly string[] {
  const out = new ByteWriter(1 << 13);
  writeFlatJson(out, delivery);
  return out.toString().split("\n").slice(0, -1);
}

function healthRows(event: HealthEvent): readonly string[] {
  const out = new ByteWriter(1 << 12);
  writeFlatHealth(out, event);
  return out.toString().split("\n").slice(0, -1);
}

function isHealthLine(line: string): boolean {
  return line.startsWith("F ") && line.includes('"kind":"health"');
}

function ticksText(ticks: Ticks): string {
  return ticks.toString().padStart(TICK_DIGITS, "0");
}
