import { crc32 } from "node:zlib";
import type { LedgerEntry } from "../../model/state.ts";

/**
 * The journal of delivered versions, little-endian:
 *
 *   header   "dmsspLGR"  u32 version  u32 CRC-32 of the 12 bytes before
 *   block    u32 count   u32 CRC-32 of count and entries   count × entry
 *   entry    4 × i32 hash   i64 ticks   u32 writtenAtS   u32 byteLength   u32 bodyCrc   u32 flags (bit 0: updated)   (40 bytes)
 *
 * A block is what was appended together, so a page is either known whole or not at all.
 */
export const LEDGER_VERSION = 1;
export const HEADER_BYTES = 16;
const ENTRY_BYTES = 40;
const BLOCK_HEAD_BYTES = 8;
const UPDATED = 1;
const MAGIC = "dmsspLGR";
/** Bounds what one broken length makes this program read, and how long one block's checksum takes. */
const BLOCK_MAX_ENTRIES = 16_384;

export function encodeHeader(): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(MAGIC, 0, "latin1");
  bytes.writeUInt32LE(LEDGER_VERSION, 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 12)), 12);
  return bytes;
}

export type HeaderReading =
  | { readonly kind: "good" }
  | { readonly kind: "damaged" }
  | { readonly kind: "newer"; readonly version: number };

export function decodeHeader(bytes: Buffer): HeaderReading {
  if (bytes.length < HEADER_BYTES || bytes.toString("latin1", 0, 8) !== MAGIC) return { kind: "damaged" };
  if (crc32(bytes.subarray(0, 12)) !== bytes.readUInt32LE(12)) return { kind: "damaged" };
  const version = bytes.readUInt32LE(8);
  return version > LEDGER_VERSION ? { kind: "newer", version } : { kind: "good" };
}

/** One block, or several when there are more than BLOCK_MAX_ENTRIES; empty for no entries. */
export function encodeBlocks(entries: readonly LedgerEntry[]): Buffer {
  const blocks = Math.ceil(entries.length / BLOCK_MAX_ENTRIES);
  const bytes = Buffer.allocUnsafe(blocks * BLOCK_HEAD_BYTES + entries.length * ENTRY_BYTES);
  const out = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  for (let first = 0; first < entries.length; first += BLOCK_MAX_ENTRIES) {
    const start = at;
    const count = Math.min(BLOCK_MAX_ENTRIES, entries.length - first);
    bytes.writeUInt32LE(count, start);
    at += BLOCK_HEAD_BYTES;
    for (let i = 0; i < count; i += 1) {
      writeEntry(out, at, entries[first + i] as LedgerEntry);
      at += ENTRY_BYTES;
    }
    bytes.writeUInt32LE(blockCrc(bytes, start, at), start + 4);
  }
  return bytes;
}

function blockCrc(bytes: Buffer, start: number, end: number): number {
  return crc32(bytes.subarray(start + BLOCK_HEAD_BYTES, end), crc32(bytes.subarray(start, start + 4)));
}

function writeEntry(out: DataView, at: number, entry: LedgerEntry): void {
  const { hash } = entry;
  out.setInt32(at, hash[0], true);
  out.setInt32(at + 4, hash[1], true);
  out.setInt32(at + 8, hash[2], true);
  out.setInt32(at + 12, hash[3], true);
  out.setBigInt64(at + 16, entry.updated, true);
  out.setUint32(at + 24, Math.max(0, Math.min(0xffffffff, entry.writtenAtS)), true);
  out.setUint32(at + 28, Math.min(0xffffffff, entry.byteLength), true);
  out.setUint32(at + 32, entry.bodyCrc, true);
  out.setUint32(at + 36, entry.change === "updated" ? UPDATED : 0, true);
}

function readEntry(bytes: Buffer, at: number): LedgerEntry {
  return {
    hash: [bytes.readInt32LE(at), bytes.readInt32LE(at + 4), bytes.readInt32LE(at + 8), bytes.readInt32LE(at + 12)],
    updated: bytes.readBigInt64LE(at + 16),
    writtenAtS: bytes.readUInt32LE(at + 24),
    byteLength: bytes.readUInt32LE(at + 28),
    bodyCrc: bytes.readUInt32LE(at + 32),
    change: (bytes.readUInt32LE(at + 36) & UPDATED) === 0 ? "new" : "updated",
  };
}

export interface BlockReading {
  readonly entries: readonly LedgerEntry[];
  /** Offset after this block. */
  readonly next: number;
}

/** The block at `at`, or undefined when no block with a right checksum begins there. */
export function decodeBlock(bytes: Buffer, at: number): BlockReading | undefined {
  const next = blockEnd(bytes, at);
  if (next === undefined || blockCrc(bytes, at, next) !== bytes.readUInt32LE(at + 4)) return undefined;
  const entries: LedgerEntry[] = [];
  for (let entryAt = at + BLOCK_HEAD_BYTES; entryAt < next; entryAt += ENTRY_BYTES)
    entries.push(readEntry(bytes, entryAt));
  return { entries, next };
}

/**
 * Where the block at `at` ends by its own count, whether its checksum is right or not; undefined when it
 * cannot be a block.
 */
export function blockEnd(bytes: Buffer, at: number): number | undefined {
  if (at + BLOCK_HEAD_BYTES > bytes.length) return undefined;
  const count = bytes.readUInt32LE(at);
  const next = at + BLOCK_HEAD_BYTES + count * ENTRY_BYTES;
  return count === 0 || count > BLOCK_MAX_ENTRIES || next > bytes.length ? undefined : next;
}
