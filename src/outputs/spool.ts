import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Clock } from "../model/ports.ts";
import { PROVISIONAL_FOR_MS } from "../model/provisional.ts";
import type { Disk } from "../stores/disk/disk.ts";
import {
  makeFolder,
  openForAppend,
  readIfThere,
  removeIfThere,
  syncFileContent,
  writeWhole,
} from "../stores/disk/disk.ts";
import type { Batch } from "./output.ts";

const SEGMENT_BYTES = 1 << 20;
/** Length of the keys, of the lines, CRC-32 of both. */
const HEAD_BYTES = 12;
const SENT_KEPT_BYTES = 16 << 20;

export interface SpoolParts {
  /** A folder of its own. */
  readonly folder: string;
  readonly limitBytes: number;
  readonly disk: Disk;
  readonly clock: Clock;
}

interface Segment {
  readonly id: number;
  bytes: number;
  /** Monotonic; set when all of it was sent. */
  sentAtMs?: number;
}

/** A record that is next to be sent. */
export interface Spooled {
  readonly lines: Uint8Array;
  readonly endsAt: number;
}

/**
 * What waits on disk for a receiver that cannot be reached, in order, in segments of 1 MiB. A connection
 * acknowledges nothing, so a segment that was sent is kept for an hour, 16 MiB of them at most, and sent
 * again when the connection breaks in that time.
 */
export class Spool {
  readonly #p: SpoolParts;
  readonly #segments: Segment[] = [];
  #nextId = 1;
  #total = 0;
  #fd: number | undefined;
  /** Next to be sent. */
  #at: { id: number; offset: number } = { id: 0, offset: 0 };
  #loaded: { readonly id: number; readonly length: number; readonly bytes: Buffer } | undefined;

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

  /** True when nothing waits. */
  get isDrained(): boolean {
    const last = this.#segments.at(-1);
    return last === undefined || this.#at.id > last.id || (this.#at.id === last.id && this.#at.offset >= last.bytes);
  }

  /**
   * Resolves to false when there is no room; to true when the batch survives a crash of the host. Throws an
   * errno error.
   */
  async append(batch: Batch): Promise<boolean> {
    const record = encode(batch);
    this.#dropSent(record.length);
    if (this.#total + record.length > this.#p.limitBytes && this.#total > 0) return false;
    const { disk } = this.#p;
    let segment = this.#segments.at(-1);
    if (segment === undefined || this.#fd === undefined || segment.bytes + record.length > SEGMENT_BYTES)
      segment = this.#begin();
    const fd = this.#fd as number;
    const before = segment.bytes;
    try {
      writeWhole(disk, fd, record);
    } catch (error) {
      disk.ftruncateSync(fd, before);
      throw error;
    }
    segment.bytes += record.length;
    this.#total += record.length;
    await syncFileContent(disk, fd);
    return true;
  }

  /** The oldest record that was not sent; undefined when all were. */
  next(): Spooled | undefined {
    for (;;) {
      const segment = this.#segments.find(({ id }) => id >= this.#at.id);
      if (segment === undefined) return undefined;
      if (segment.id > this.#at.id) this.#at = { id: segment.id, offset: 0 };
      if (this.#at.offset < segment.bytes) break;
      if (segment === this.#segments.at(-1)) return undefined;
      this.#at = { id: segment.id + 1, offset: 0 };
    }
    const bytes = this.#load(this.#segments.find(({ id }) => id === this.#at.id) as Segment);
    const read = decode(bytes, this.#at.offset);
    // It was whole when it was written or taken over. What can no longer be read is skipped, because the rest
    // must not wait for it.
    if (read === undefined) {
      this.#at = { id: this.#at.id + 1, offset: 0 };
      return this.next();
    }
    return { lines: read.lines, endsAt: read.end };
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

  /** After a normal stop only what was not sent stays. */
  close(): void {
    this.#closeCurrent();
    for (const segment of this.#segments.filter(({ id }) => id < this.#at.id)) this.#remove(segment);
    const first = this.#segments[0];
    if (first !== undefined && first.id === this.#at.id && this.#at.offset >= first.bytes) this.#remove(first);
    if (!this.isDrained) this.#p.disk.writeFileSync(this.#cursorPath, JSON.stringify(this.#at), { mode: 0o600 });
  }

  #begin(): Segment {
    this.#closeCurrent();
    const segment: Segment = { id: this.#nextId, bytes: 0 };
    makeFolder(this.#p.disk, this.#p.folder);
    this.#fd = openForAppend(this.#p.disk, this.#pathOf(segment));
    this.#nextId += 1;
    this.#segments.push(segment);
    return segment;
  }

  #closeCurrent(): void {
    if (this.#fd !== undefined) this.#p.disk.closeSync(this.#fd);
    this.#fd = undefined;
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
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    this.#total -= segment.bytes;
    removeIfThere(this.#p.disk, this.#pathOf(segment));
  }

  #load(segment: Segment): Buffer {
    if (this.#loaded?.id !== segment.id || this.#loaded.length !== segment.bytes) {
      this.#loaded = {
        id: segment.id,
        length: segment.bytes,
        bytes: readIfThere(this.#p.disk, this.#pathOf(segment)) ?? Buffer.alloc(0),
      };
    }
    return this.#loaded.bytes;
  }

  #takeUp(): readonly string[] {
    const { disk, folder } = this.#p;
    makeFolder(disk, folder);
    const keys: string[] = [];
    const ids = disk
      .readdirSync(folder)
      .flatMap((name) => (/^\d{9}\.spool$/.test(name) ? [Number(name.slice(0, 9))] : []))
      .sort((a, b) => a - b);
    for (const id of ids) {
      const segment: Segment = { id, bytes: 0 };
      const bytes = readIfThere(disk, this.#pathOf(segment)) ?? Buffer.alloc(0);
      for (let read = decode(bytes, 0); read !== undefined; read = decode(bytes, read.end)) {
        segment.bytes = read.end;
        keys.push(...read.keys);
      }
      if (segment.bytes === 0) removeIfThere(disk, this.#pathOf(segment));
      else {
        this.#segments.push(segment);
        this.#total += segment.bytes;
      }
      this.#nextId = id + 1;
    }
    const cursor = readIfThere(disk, this.#cursorPath)?.toString("utf8");
    if (cursor !== undefined) {
      removeIfThere(disk, this.#cursorPath);
      this.#at = readCursor(cursor) ?? this.#at;
    }
    return keys;
  }

  get #cursorPath(): string {
    return join(this.#p.folder, "cursor");
  }

  #pathOf({ id }: Segment): string {
    return join(this.#p.folder, `${String(id).padStart(9, "0")}.spool`);
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

function encode({ bytes, keys }: Batch): Buffer {
  const names = Buffer.from(keys.join("\n"), "utf8");
  const record = Buffer.allocUnsafe(HEAD_BYTES + names.length + bytes.length);
  record.writeUInt32LE(names.length, 0);
  record.writeUInt32LE(bytes.length, 4);
  names.copy(record, HEAD_BYTES);
  record.set(bytes, HEAD_BYTES + names.length);
  record.writeUInt32LE(crc32(record.subarray(HEAD_BYTES)), 8);
  return record;
}

function decode(
  bytes: Buffer,
  at: number,
): { readonly keys: readonly string[]; readonly lines: Uint8Array; readonly end: number } | undefined {
  if (at + HEAD_BYTES > bytes.length) return undefined;
  const namesLength = bytes.readUInt32LE(at);
  const end = at + HEAD_BYTES + namesLength + bytes.readUInt32LE(at + 4);
  if (end > bytes.length || crc32(bytes.subarray(at + HEAD_BYTES, end)) !== bytes.readUInt32LE(at + 8))
    return undefined;
  const linesAt = at + HEAD_BYTES + namesLength;
  const names = bytes.toString("utf8", at + HEAD_BYTES, linesAt);
  return { keys: names === "" ? [] : names.split("\n"), lines: bytes.subarray(linesAt, end), end };
}
