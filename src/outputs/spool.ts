import { join } from "node:path";
import { crc32 } from "node:zlib";
import { BatchMemory } from "../model/batch-memory.ts";
import type { Clock } from "../model/ports.ts";
import { PROVISIONAL_FOR_MS } from "../model/provisional.ts";
import type { Disk } from "../stores/disk/disk.ts";
import {
  errnoOf,
  makeFolder,
  openForAppend,
  readIfThere,
  removeIfThere,
  stateUnreadable,
  stateUnwritable,
  syncFileContent,
  syncLeftFile,
  writeWhole,
} from "../stores/disk/disk.ts";
import type { Batch } from "./output.ts";

const SEGMENT_BYTES = 1 << 20;
/** Length of the keys, of the lines, CRC-32 of both. */
const HEAD_BYTES = 12;
const SENT_KEPT_BYTES = 16 << 20;
/** Ages are as exact as this: an entry for each record would take more memory than it is worth. */
const AGE_STEP_MS = 10_000;
/** Files that cannot be deleted are tried again this often, when something is added or delivered. */
const DELETE_AGAIN_MS = 10_000;

export interface SpoolParts {
  /** A folder of its own. */
  readonly folder: string;
  readonly limitBytes: number;
  readonly disk: Disk;
  readonly clock: Clock;
  /**
   * What lets a record go. `sent` (syslog): the receiver confirms nothing. `confirmed` (HEC, Kafka): each
   * record stays until `confirm`, in any order, and its body can be read again.
   */
  readonly until?: "sent" | "confirmed";
  /** When a segment is closed and the next begins; 1 MiB when absent. */
  readonly segmentBytes?: number;
  /**
   * With `confirmed`: so many bytes of the newest records stay in memory until they are next, while none
   * waits before them, so that they are not read from the disk again. None when absent. `release` is then
   * called for each record.
   */
  readonly freshBytes?: number;
  /** So many bytes of records could not be read, and nothing will send them: somebody has to hear of it. */
  readonly onSkipped: (bytes: number) => void;
  /**
   * A file whose records are delivered cannot be deleted. It is tried again, and holds nothing up until such
   * files fill the spool. Called once until all of them are gone, and then with undefined.
   */
  readonly onUndeletable: (file: { readonly path: string; readonly error: unknown } | undefined) => void;
}

/** The file that is written to. */
interface OpenFile {
  readonly fd: number;
  /** Flushes under way: until they have ended the number must not become another file's. */
  flushes: number;
  /** Nothing is written to it any more. */
  isDone: boolean;
}

interface Segment {
  readonly id: number;
  /** By this machine's clock: a restart must not make what waits younger. */
  readonly beganAtMs: number;
  bytes: number;
  /** Where the confirmed records begin, and where they end. */
  readonly confirmed: Map<number, number>;
  confirmedBytes: number;
  /** Where the first record begins that is not confirmed. */
  openFrom: number;
  /** Records that came at least `AGE_STEP_MS` after the segment's first one, or the one before them here. */
  readonly added: { readonly startsAt: number; readonly atMs: number }[];
  /** Monotonic; set when all of it was sent, or confirmed but kept. */
  sentAtMs?: number;
}

/** Where a record lies. */
export interface SpoolPlace {
  readonly segment: number;
  readonly startsAt: number;
  readonly endsAt: number;
}

/** A record that is next to be sent. */
export interface Spooled extends SpoolPlace {
  /** Valid as long as it is referenced, or until `release`. */
  readonly lines: Uint8Array;
  readonly keys: readonly string[];
  /** What the lines lie in, if nothing else does. */
  readonly memory?: Buffer;
}

/**
 * What waits on disk for a receiver, in order, in segments.
 *
 * A syslog connection acknowledges nothing, so a segment that was sent is kept for an hour, 16 MiB of them at
 * most, and sent again when the connection breaks in that time. A receiver that confirms gets each record
 * until it has confirmed it: the spool holds the bodies, so nothing has to be read from Microsoft again. A
 * version that a newer one replaced meanwhile is still delivered.
 */
export class Spool {
  readonly #p: SpoolParts;
  readonly #segments: Segment[] = [];
  /** Their records are delivered, and their files could not be deleted; they count for the limit. */
  readonly #undeleted: Segment[] = [];
  #deleteAgainAtMs = Number.NEGATIVE_INFINITY;
  #isUndeletableSaid = false;
  #nextId = 1;
  #total = 0;
  #waitingBytes = 0;
  #current: OpenFile | undefined;
  /** Next to be sent. */
  #at: { id: number; offset: number } = { id: 0, offset: 0 };
  readonly #memory = new BatchMemory();
  /** The newest records, if all that were not passed are here: the first one is next. */
  readonly #fresh: (Spooled & { readonly memory: Buffer })[] = [];
  #freshBytes = 0;
  /** Where the last record ends that is on the disk alone. */
  #onDiskAlone: Omit<SpoolPlace, "startsAt"> = { segment: 0, endsAt: 0 };
  #loaded: { readonly id: number; length: number; readonly bytes: Buffer } | undefined;

  private constructor(parts: SpoolParts) {
    this.#p = parts;
  }

  /**
   * Takes over what an earlier run left; a record that was not written whole is removed. Throws Failure
   * `state-unwritable`, `state-unreadable`.
   */
  static open(parts: SpoolParts): { readonly spool: Spool; readonly keys: readonly string[] } {
    const spool = new Spool(parts);
    return { spool, keys: spool.#takeUp() };
  }

  get bytes(): number {
    return this.#total;
  }

  /** Bytes of the records that are not confirmed. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** When the oldest record that waits was added, within some seconds; undefined when nothing waits. */
  get waitingSinceMs(): number | undefined {
    const { id: atId, offset } = this.#at;
    const waitsFrom = ({ id, openFrom }: Segment) =>
      this.#p.until === "confirmed" ? openFrom : id < atId ? Number.POSITIVE_INFINITY : id === atId ? offset : 0;
    const oldest = this.#segments.find((segment) => waitsFrom(segment) < segment.bytes);
    if (oldest === undefined) return undefined;
    return oldest.added.findLast(({ startsAt }) => startsAt <= waitsFrom(oldest))?.atMs ?? oldest.beganAtMs;
  }

  /** The oldest segment, if there is one, and the number that the next one gets. */
  get segmentIds(): { readonly first: number | undefined; readonly next: number } {
    return { first: this.#segments[0]?.id, next: this.#nextId };
  }

  /** Where the newest record ends; undefined when there is none. */
  get end(): Pick<SpoolPlace, "segment" | "endsAt"> | undefined {
    const last = this.#segments.at(-1);
    return last === undefined ? undefined : { segment: last.id, endsAt: last.bytes };
  }

  /** True when nothing waits. */
  get isDrained(): boolean {
    const last = this.#segments.at(-1);
    return last === undefined || this.#at.id > last.id || (this.#at.id === last.id && this.#at.offset >= last.bytes);
  }

  /**
   * Resolves to false when there is no room; to true when the batch survives a crash of the host. Throws an
   * errno error.
   */
  append(batch: Batch): Promise<boolean> {
    return this.appendAll([batch]);
  }

  /** As `append`, for batches that share one flush: all of them are in the spool afterwards, or none. */
  async appendAll(batches: readonly Batch[]): Promise<boolean> {
    const records = batches.flatMap(({ bytes, keys }) =>
      bytes.length + keys.length > 0 ? [{ names: Buffer.from(keys.join("\n"), "utf8"), bytes, keys }] : [],
    );
    if (records.length === 0) return true;
    const byteLength = records.reduce((sum, record) => sum + encodedBytes(record), 0);
    this.#dropSent(byteLength);
    this.#deleteAgain();
    if (this.#total + byteLength > this.#p.limitBytes && this.#total > 0) return false;
    const { disk, segmentBytes = SEGMENT_BYTES } = this.#p;
    let segment = this.#segments.at(-1);
    if (segment === undefined || this.#current === undefined || segment.bytes + byteLength > segmentBytes)
      segment = this.#begin();
    const file = this.#current as OpenFile;
    const before = segment.bytes;
    let startsAt = before;
    try {
      for (const record of records) {
        const place = { segment: segment.id, startsAt, endsAt: startsAt + encodedBytes(record) };
        const memory = this.#memoryOfFresh(place);
        const written = encode(record, memory);
        writeWhole(disk, file.fd, written);
        if (memory === undefined) this.#onDiskAlone = place;
        else this.#keepFresh({ ...place, lines: linesIn(record, written), keys: record.keys, memory });
        startsAt = place.endsAt;
      }
    } catch (error) {
      this.#forgetFreshFrom(segment.id, before);
      if (!this.#cut(file, before)) this.#closeCurrent();
      throw error;
    }
    const agesBefore = segment.added.length;
    this.#noteAge(segment);
    segment.bytes += byteLength;
    this.#total += byteLength;
    this.#waitingBytes += byteLength;
    try {
      await this.#flush(file);
    } catch (error) {
      const isOnItsWay = this.#at.id > segment.id || (this.#at.id === segment.id && this.#at.offset > before);
      // What another append wrote behind it must stay where it is.
      if (file === this.#current && segment.bytes === before + byteLength && !isOnItsWay)
        this.#rollBack(segment, file, { bytes: before, ages: agesBefore });
      throw error;
    }
    return true;
  }

  /** The caller brings the newest records again: they are not sent from here. */
  #rollBack(segment: Segment, file: OpenFile, before: { readonly bytes: number; readonly ages: number }): void {
    const byteLength = segment.bytes - before.bytes;
    segment.bytes = before.bytes;
    segment.added.splice(before.ages);
    this.#total -= byteLength;
    this.#waitingBytes -= byteLength;
    this.#cut(file, before.bytes);
    // Nothing new may lie where they lay: somebody may still hold them, and continue behind them.
    this.#closeCurrent();
    if (before.bytes === 0) this.#remove(segment);
  }

  /** False when it failed: then nothing may be written behind what stays. */
  #cut({ fd }: OpenFile, bytes: number): boolean {
    try {
      this.#p.disk.ftruncateSync(fd, bytes);
      return true;
    } catch {
      return false;
    }
  }

  /** The oldest record that was neither sent nor passed; undefined when all were. */
  next(): Spooled | undefined {
    for (;;) {
      const segment = this.#segments.find(({ id }) => id >= this.#at.id);
      if (segment === undefined) return undefined;
      if (segment.id > this.#at.id) this.#at = { id: segment.id, offset: 0 };
      const { offset } = this.#at;
      const confirmedTo = segment.confirmed.get(offset);
      if (offset >= segment.bytes) {
        if (segment === this.#segments.at(-1)) return undefined;
        this.#at = { id: segment.id + 1, offset: 0 };
      } else if (confirmedTo !== undefined) this.#at = { id: segment.id, offset: confirmedTo };
      else {
        const fresh = this.#fresh[0];
        if (fresh?.segment === segment.id && fresh.startsAt === offset) return fresh;
        const read: (Decoded & Pick<Spooled, "memory">) | undefined =
          this.#p.until === "confirmed" ? this.#recordAt(segment, offset) : decode(this.#load(segment), offset);
        if (read !== undefined) {
          const { end, ...record } = read;
          return { segment: segment.id, startsAt: offset, endsAt: end, ...record };
        }
        // It was whole when it was written or taken over. What can no longer be read is skipped, because the
        // rest must not wait for it.
        this.#skipRest(segment, offset);
      }
    }
  }

  /** Nobody reads the lines of this record any more: the next record may lie where they lie. */
  release({ memory }: Spooled): void {
    if (memory !== undefined) this.#memory.release(memory);
  }

  /** The record that `next` gave is on its way: `next` gives the one behind it. */
  pass({ segment, endsAt }: SpoolPlace): void {
    this.#at = { id: segment, offset: endsAt };
    while (this.#fresh[0] !== undefined && this.#isPassed(this.#fresh[0])) this.#forgetFresh(0, 1);
  }

  #isPassed({ segment, endsAt }: Omit<SpoolPlace, "startsAt">): boolean {
    const { id, offset } = this.#at;
    return id > segment || (id === segment && offset >= endsAt);
  }

  /** What the record is written from and stays in until it is next; undefined: it is read from the disk. */
  #memoryOfFresh({ startsAt, endsAt }: SpoolPlace): Buffer | undefined {
    const { until, freshBytes = 0 } = this.#p;
    const byteLength = endsAt - startsAt;
    const isKept =
      until === "confirmed" &&
      this.#freshBytes + byteLength <= freshBytes &&
      // Else those on the disk are sent first, and this one would occupy memory until then.
      this.#isPassed(this.#onDiskAlone);
    return isKept ? this.#memory.lend(byteLength) : undefined;
  }

  #keepFresh(record: Spooled & { readonly memory: Buffer }): void {
    this.#fresh.push(record);
    this.#freshBytes += record.memory.length;
  }

  #forgetFresh(first: number, count: number): void {
    for (const { memory } of this.#fresh.splice(first, count)) this.#freshBytes -= memory.length;
  }

  /** They were not written, and others will lie at their places. */
  #forgetFreshFrom(id: number, from: number): void {
    const first = this.#fresh.findIndex(({ segment, startsAt }) => segment === id && startsAt >= from);
    if (first >= 0) this.#forgetFresh(first, this.#fresh.length - first);
  }

  /** `read` gave nothing for a record, so that part of it cannot be sent. */
  reportUnreadable({ segment }: SpoolPlace, bytes: number): void {
    // Of a segment that is gone it was said.
    if (this.#segments.some(({ id }) => id === segment)) this.#p.onSkipped(bytes);
  }

  /** A record that was passed, once more; undefined when it can no longer be read. */
  read(place: SpoolPlace): Spooled | undefined {
    const segment = this.#segments.find(({ id }) => id === place.segment);
    if (segment === undefined) return undefined;
    const isLoaded = this.#loaded?.id === segment.id;
    const bytes = isLoaded ? this.#load(segment) : Buffer.alloc(place.endsAt - place.startsAt);
    if (!isLoaded) this.#readInto(segment, bytes, place.startsAt);
    const read = decode(bytes, isLoaded ? place.startsAt : 0);
    return read && { ...place, lines: read.lines, keys: read.keys };
  }

  /**
   * The receiver has the record. `keepsAWhile`: it only said so, and may lose it; the segment is kept as long
   * as a sent one, for a start after a crash.
   */
  confirm(place: SpoolPlace, { keepsAWhile }: { readonly keepsAWhile: boolean }): void {
    const segment = this.#segments.find(({ id }) => id === place.segment);
    if (segment === undefined || segment.confirmed.has(place.startsAt)) return;
    segment.confirmed.set(place.startsAt, place.endsAt);
    for (let end = segment.confirmed.get(segment.openFrom); end !== undefined; end = segment.confirmed.get(end))
      segment.openFrom = end;
    segment.confirmedBytes += place.endsAt - place.startsAt;
    this.#waitingBytes -= place.endsAt - place.startsAt;
    if (segment.confirmedBytes < segment.bytes) return;
    if (keepsAWhile) {
      segment.sentAtMs = this.#p.clock.monotonicMs();
      if (segment === this.#segments.at(-1)) this.#closeCurrent();
      this.#dropSent(0);
      return;
    }
    if (segment === this.#segments.at(-1)) this.#closeCurrent();
    this.#remove(segment);
  }

  #noteAge({ added, beganAtMs, bytes }: Segment): void {
    const atMs = this.#p.clock.nowMs();
    if (atMs - (added.at(-1)?.atMs ?? beganAtMs) >= AGE_STEP_MS) added.push({ startsAt: bytes, atMs });
  }

  /** Nothing behind this place can be read: it counts as confirmed, or sent. */
  #skipRest(segment: Segment, from: number): void {
    this.#at = { id: segment.id + 1, offset: 0 };
    // What comes now goes into the next file: the old one may be deleted, and is not read any more.
    if (segment === this.#segments.at(-1)) this.#closeCurrent();
    if (this.#p.until !== "confirmed") {
      segment.sentAtMs = this.#p.clock.monotonicMs();
      this.#p.onSkipped(segment.bytes - from);
      return;
    }
    let bytes = segment.bytes - from;
    for (const [startsAt, endsAt] of segment.confirmed)
      if (startsAt >= from) {
        segment.confirmed.delete(startsAt);
        segment.confirmedBytes -= endsAt - startsAt;
        this.#waitingBytes += endsAt - startsAt;
        bytes -= endsAt - startsAt;
      }
    // Records before it may be on their way: the file stays until they are confirmed.
    this.confirm({ segment: segment.id, startsAt: from, endsAt: segment.bytes }, { keepsAWhile: false });
    this.#p.onSkipped(bytes);
  }

  /** The record that `next` gave was sent. */
  advance({ endsAt }: Spooled): void {
    this.#at = { ...this.#at, offset: endsAt };
    const segment = this.#segments.find(({ id }) => id === this.#at.id);
    if (segment !== undefined && endsAt >= segment.bytes) {
      segment.sentAtMs = this.#p.clock.monotonicMs();
      if (segment === this.#segments.at(-1)) this.#closeCurrent();
      this.#dropSent(0);
    }
  }

  /** The connection broke: what was sent lately is sent again. */
  rewind(): void {
    this.#dropSent(0);
    const first = this.#segments[0];
    if (first === undefined) return;
    for (const segment of this.#segments) delete segment.sentAtMs;
    this.#at = { id: first.id, offset: 0 };
  }

  /**
   * After a normal stop only what was not sent, or not confirmed, stays. Throws Failure `state-unwritable`:
   * the next start sends again what it cannot know to be delivered.
   */
  close(): void {
    this.#closeCurrent();
    this.#deleteAgainAtMs = Number.NEGATIVE_INFINITY;
    this.#deleteAgain();
    if (this.#p.until === "confirmed") {
      for (const segment of this.#segments.filter((one) => one.confirmedBytes >= one.bytes)) this.#remove(segment);
      const confirmed = [...this.#undeleted, ...this.#segments].flatMap((segment) =>
        [...segment.confirmed.keys()].map((at) => [segment.id, at]),
      );
      if (confirmed.length > 0) this.#note(this.#confirmedPath, confirmed);
      return;
    }
    this.#removeSent();
    if (!this.isDrained || this.#undeleted.length > 0) this.#note(this.#cursorPath, this.#at);
  }

  #removeSent(): void {
    const { id: atId, offset } = this.#at;
    for (const segment of this.#segments.filter(({ id, bytes }) => id < atId || (id === atId && bytes <= offset)))
      this.#remove(segment);
  }

  #note(path: string, what: unknown): void {
    try {
      this.#p.disk.writeFileSync(path, JSON.stringify(what), { mode: 0o600 });
    } catch (error) {
      throw stateUnwritable(path, error);
    }
  }

  #begin(): Segment {
    this.#closeCurrent();
    const segment = emptySegment(this.#nextId, this.#p.clock.nowMs());
    makeFolder(this.#p.disk, this.#p.folder);
    this.#current = { fd: openForAppend(this.#p.disk, this.#pathOf(segment)), flushes: 0, isDone: false };
    this.#nextId += 1;
    this.#segments.push(segment);
    return segment;
  }

  /** Ends with the flush of the file that holds the records, whatever happens to it meanwhile. */
  async #flush(file: OpenFile): Promise<void> {
    file.flushes += 1;
    try {
      await syncFileContent(this.#p.disk, file.fd);
    } finally {
      file.flushes -= 1;
      this.#closeIfDone(file);
    }
  }

  /** A record can be confirmed, and the next segment begun, before the flush of the old one has ended. */
  #closeCurrent(): void {
    const file = this.#current;
    this.#current = undefined;
    if (file === undefined) return;
    file.isDone = true;
    this.#closeIfDone(file);
  }

  #closeIfDone({ fd, flushes, isDone }: OpenFile): void {
    if (!isDone || flushes > 0) return;
    try {
      this.#p.disk.closeSync(fd);
    } catch (error) {
      // The flush has said whether the records are on the disk, and the descriptor is gone all the same.
      if (errnoOf(error) === undefined) throw error;
    }
  }

  /** Deletes sent segments that are old enough, too many, or whose space is needed. */
  #dropSent(neededBytes: number): void {
    const before = this.#p.clock.monotonicMs() - PROVISIONAL_FOR_MS;
    let sentBytes = this.#segments.reduce((sum, { sentAtMs, bytes }) => sum + (sentAtMs === undefined ? 0 : bytes), 0);
    for (const segment of this.#segments.slice()) {
      if (segment.sentAtMs === undefined) return;
      const mustGo =
        segment.sentAtMs < before || sentBytes > SENT_KEPT_BYTES || this.#total + neededBytes > this.#p.limitBytes;
      if (!mustGo) return;
      sentBytes -= segment.bytes;
      this.#remove(segment);
    }
  }

  #remove(segment: Segment): void {
    const at = this.#segments.indexOf(segment);
    if (at >= 0) this.#segments.splice(at, 1);
    this.#deleteAgain();
    this.#delete([segment]);
  }

  /** Files that could not be deleted, when it is time: they may be all that keeps the spool full. */
  #deleteAgain(): void {
    if (this.#undeleted.length === 0 || this.#p.clock.monotonicMs() < this.#deleteAgainAtMs) return;
    this.#delete(this.#undeleted.splice(0));
  }

  #delete(segments: readonly Segment[]): void {
    this.#undeleted.push(...segments.filter((one) => !this.#isDeleted(one)));
    if (this.#undeleted.length > 0 || !this.#isUndeletableSaid) return;
    this.#isUndeletableSaid = false;
    this.#p.onUndeletable(undefined);
  }

  #isDeleted(segment: Segment): boolean {
    const path = this.#pathOf(segment);
    try {
      this.#p.disk.unlinkSync(path);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      if (errno !== "ENOENT") {
        this.#deleteAgainAtMs = this.#p.clock.monotonicMs() + DELETE_AGAIN_MS;
        if (!this.#isUndeletableSaid) this.#p.onUndeletable({ path, error });
        this.#isUndeletableSaid = true;
        return false;
      }
    }
    this.#total -= segment.bytes;
    return true;
  }

  /**
   * One record alone. Several are under way at once, and each would keep the whole segment in memory that it
   * was cut from.
   */
  #recordAt(segment: Segment, offset: number): (Decoded & Pick<Spooled, "memory">) | undefined {
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    if (this.#readInto(segment, head, offset) < HEAD_BYTES) return undefined;
    const byteLength = HEAD_BYTES + head.readUInt32LE(0) + head.readUInt32LE(4);
    if (offset + byteLength > segment.bytes) return undefined;
    const memory = this.#memory.lend(byteLength);
    const bytes = memory.subarray(0, byteLength);
    if (this.#readInto(segment, bytes, offset) < byteLength) return undefined;
    const read = decode(bytes, 0);
    return read && { ...read, end: offset + byteLength, memory };
  }

  /** The segment's bytes; of one that grew only the new ones are read. */
  #load(segment: Segment): Buffer {
    const { id, bytes } = segment;
    if (this.#loaded?.id !== id || this.#loaded.bytes.length < bytes) {
      const size = Math.max(bytes, segment === this.#segments.at(-1) ? (this.#p.segmentBytes ?? SEGMENT_BYTES) : 0);
      this.#loaded = { id, length: 0, bytes: Buffer.alloc(size) };
    }
    const loaded = this.#loaded;
    if (loaded.length < bytes) {
      const read = this.#readInto(segment, loaded.bytes.subarray(loaded.length, bytes), loaded.length);
      loaded.length += read;
    }
    return loaded.bytes.subarray(0, loaded.length);
  }

  /** How many bytes could be read: fewer when the file was cut or is gone. Throws `state-unreadable`. */
  #readInto(segment: Segment, into: Buffer, from: number): number {
    const { disk } = this.#p;
    const path = this.#pathOf(segment);
    try {
      const fd = disk.openSync(path, "r");
      try {
        let at = 0;
        for (let n = -1; n !== 0 && at < into.length; at += n)
          n = disk.readSync(fd, into, at, into.length - at, from + at);
        return at;
      } finally {
        disk.closeSync(fd);
      }
    } catch (error) {
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return 0;
      throw stateUnreadable(path, error);
    }
  }

  #takeUp(): readonly string[] {
    const { disk, folder } = this.#p;
    makeFolder(disk, folder);
    const keys: string[] = [];
    const ids = readable(folder, () => disk.readdirSync(folder))
      .flatMap((name) => (/^\d{9}\.spool$/.test(name) ? [Number(name.slice(0, 9))] : []))
      .sort((a, b) => a - b);
    for (const id of ids) {
      const path = this.#pathOf({ id });
      const segment = emptySegment(
        id,
        readable(path, () => disk.statSync(path).mtimeMs),
      );
      const bytes = readIfThere(disk, this.#pathOf(segment)) ?? Buffer.alloc(0);
      for (let read = decode(bytes, 0); read !== undefined; read = decode(bytes, read.end)) {
        segment.bytes = read.end;
        keys.push(...read.keys);
      }
      // A crash leaves only the last segment with a record that is not whole, and that comes again.
      if (segment.bytes < bytes.length && id !== ids.at(-1)) this.#p.onSkipped(bytes.length - segment.bytes);
      if (segment.bytes === 0) this.#remove(segment);
      else {
        // From here on its records count as safe, and the engine may forget them.
        syncLeftFile(disk, this.#pathOf(segment));
        this.#segments.push(segment);
        this.#total += segment.bytes;
        this.#waitingBytes += segment.bytes;
      }
      this.#nextId = id + 1;
    }
    const last = this.#segments.at(-1);
    if (last !== undefined) this.#onDiskAlone = { segment: last.id, endsAt: last.bytes };
    if (this.#p.until === "confirmed") {
      this.#takeUpConfirmed();
      return keys;
    }
    const cursor = readIfThere(disk, this.#cursorPath)?.toString("utf8");
    if (cursor !== undefined) {
      removeIfThere(disk, this.#cursorPath);
      this.#at = readCursor(cursor) ?? this.#at;
      // Its file may be gone, and a new one of its number would count as sent.
      this.#nextId = Math.max(this.#nextId, this.#at.id + 1);
      // Those that could not be deleted at the stop.
      this.#removeSent();
    }
    return keys;
  }

  /** What the last orderly stop knew to be confirmed, in segments that hold other records too. */
  #takeUpConfirmed(): void {
    const { disk } = this.#p;
    const text = readIfThere(disk, this.#confirmedPath)?.toString("utf8");
    if (text === undefined) return;
    // Removed first: after a crash its numbers could mean other records.
    removeIfThere(disk, this.#confirmedPath);
    const places = new Set(readConfirmed(text));
    for (const segment of this.#segments.slice()) {
      const bytes = this.#load(segment);
      for (let at = 0, read = decode(bytes, 0); read !== undefined; at = read.end, read = decode(bytes, at))
        if (places.has(`${segment.id} ${at}`))
          this.confirm({ segment: segment.id, startsAt: at, endsAt: read.end }, { keepsAWhile: false });
    }
    this.#loaded = undefined;
  }

  get #confirmedPath(): string {
    return join(this.#p.folder, "confirmed");
  }

  get #cursorPath(): string {
    return join(this.#p.folder, "cursor");
  }

  #pathOf({ id }: Pick<Segment, "id">): string {
    return join(this.#p.folder, `${String(id).padStart(9, "0")}.spool`);
  }
}

/** Throws Failure `state-unreadable`. */
function readable<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw stateUnreadable(path, error);
  }
}

function emptySegment(id: number, beganAtMs: number): Segment {
  return { id, beganAtMs, bytes: 0, confirmed: new Map(), confirmedBytes: 0, openFrom: 0, added: [] };
}

function readConfirmed(text: string): readonly string[] {
  try {
    const places = JSON.parse(text) as unknown;
    return Array.isArray(places) ? places.map((place) => (Array.isArray(place) ? place.join(" ") : "")) : [];
  } catch {
    return [];
  }
}

function readCursor(text: string): { id: number; offset: number } | undefined {
  try {
    const { id, offset } = JSON.parse(text) as { id?: unknown; offset?: unknown };
    return Number.isInteger(id) && Number.isInteger(offset)
      ? { id: id as number, offset: offset as number }
      : undefined;
  } catch {
    return undefined;
  }
}

interface Unencoded {
  readonly names: Buffer;
  readonly keys: readonly string[];
  readonly bytes: Uint8Array;
}

function encodedBytes({ names, bytes }: Omit<Unencoded, "keys">): number {
  return HEAD_BYTES + names.length + bytes.length;
}

/** A record is written at once, so one memory serves all but the largest. */
const encoded = { memory: Buffer.alloc(0) };
const ENCODED_KEPT_BYTES = 1 << 20;

/** Memory for a record that does not have its own, until the next one. */
function memoryOfOne(byteLength: number): Buffer {
  if (byteLength > ENCODED_KEPT_BYTES) return Buffer.allocUnsafeSlow(byteLength);
  if (encoded.memory.length < byteLength) encoded.memory = Buffer.allocUnsafeSlow(ENCODED_KEPT_BYTES);
  return encoded.memory;
}

/** In `memory`; without it valid until the next call. */
function encode({ names, bytes }: Unencoded, memory: Buffer | undefined): Buffer {
  const byteLength = encodedBytes({ names, bytes });
  const record = (memory ?? memoryOfOne(byteLength)).subarray(0, byteLength);
  record.writeUInt32LE(names.length, 0);
  record.writeUInt32LE(bytes.length, 4);
  names.copy(record, HEAD_BYTES);
  record.set(bytes, HEAD_BYTES + names.length);
  record.writeUInt32LE(crc32(record.subarray(HEAD_BYTES)), 8);
  return record;
}

function linesIn({ names }: Unencoded, record: Buffer): Uint8Array {
  return record.subarray(HEAD_BYTES + names.length);
}

interface Decoded {
  readonly keys: readonly string[];
  readonly lines: Uint8Array;
  readonly end: number;
}

function decode(bytes: Buffer, at: number): Decoded | undefined {
  if (at + HEAD_BYTES > bytes.length) return undefined;
  const namesLength = bytes.readUInt32LE(at);
  const end = at + HEAD_BYTES + namesLength + bytes.readUInt32LE(at + 4);
  // The checksum of nothing is 0: zeros that a crash of the host left would pass for records.
  if (end === at + HEAD_BYTES) return undefined;
  if (end > bytes.length || crc32(bytes.subarray(at + HEAD_BYTES, end)) !== bytes.readUInt32LE(at + 8))
    return undefined;
  const linesAt = at + HEAD_BYTES + namesLength;
  const names = bytes.toString("utf8", at + HEAD_BYTES, linesAt);
  return { keys: names === "" ? [] : names.split("\n"), lines: bytes.subarray(linesAt, end), end };
}
