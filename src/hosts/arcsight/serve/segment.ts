import { type Disk, errnoOf, stateUnreadable } from "../../../stores/disk/disk.ts";
import { HEAD_BYTES, headOf } from "./rows.ts";

/** One file of the buffer. */
export interface Segment {
  readonly path: string;
  /** Earlier than each of its rows, and later than all rows of the previous segment. */
  readonly first: bigint;
  /** Length of its whole events. The rest is being written, or is incomplete. */
  bytes: number;
}

export interface StoredRow {
  /** Arrival, 19 digits. */
  readonly at: string;
  readonly json: string;
}

/** A smaller part of a segment is read sequentially instead of being halved again. */
const NEAR_BYTES = 1 << 15;
const PROBE_BYTES = 1 << 12;

/**
 * The rows of a segment with one of `rowTypes` and `after` < arrival <= `until`, in order. At no time more
 * than `pieceBytes` and one row are held, and no file is kept open, and other work runs between
 * pieces.
 */
export async function* rowsOf(
  disk: Disk,
  segment: Segment,
  rowTypes: string,
  after: string,
  until: string,
  pieceBytes: number,
): AsyncGenerator<StoredRow> {
  const { bytes } = segment;
  let carried: Buffer = Buffer.alloc(0);
  for (let offset = startOf(disk, segment, after); offset < bytes; ) {
    const read = readAt(disk, segment, offset, Math.min(Math.max(pieceBytes, carried.length), bytes - offset));
    if (read.length === 0) return;
    offset += read.length;
    const piece: Buffer = carried.length === 0 ? read : Buffer.concat([carried, read]);
    let line = 0;
    for (let end = piece.indexOf(0x0a); end !== -1; line = end + 1, end = piece.indexOf(0x0a, line)) {
      const head = headOf(piece.toString("latin1", line, Math.min(end, line + HEAD_BYTES)));
      if (head === undefined || head.at <= after) continue;
      if (head.at > until) return;
      if (rowTypes.includes(head.rowType)) yield { at: head.at, json: piece.toString("utf8", line + HEAD_BYTES, end) };
    }
    carried = piece.subarray(line);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/**
 * The offset of a line with no row later than `after` before it. Binary search, because arrival times only
 * increase.
 */
function startOf(disk: Disk, segment: Segment, after: string): number {
  let low = 0;
  let high = segment.bytes;
  while (high - low > NEAR_BYTES) {
    const middle = (low + high) >>> 1;
    const row = firstRowFrom(disk, segment, middle, high);
    if (row === undefined || row.at > after) high = middle;
    else low = row.offset;
  }
  return low;
}

/** The first row that begins after `from`. */
function firstRowFrom(
  disk: Disk,
  segment: Segment,
  from: number,
  to: number,
): { readonly offset: number; readonly at: string } | undefined {
  let seen: Buffer = Buffer.alloc(0);
  for (
    let read = readAt(disk, segment, from, PROBE_BYTES);
    read.length > 0;
    read = readAt(disk, segment, from + seen.length, Math.max(PROBE_BYTES, seen.length))
  ) {
    seen = Buffer.concat([seen, read]);
    for (
      let end = seen.indexOf(0x0a);
      end !== -1 && end + 1 + HEAD_BYTES <= seen.length;
      end = seen.indexOf(0x0a, end + 1)
    ) {
      const head = headOf(seen.toString("latin1", end + 1, end + 1 + HEAD_BYTES));
      if (head) return { offset: from + end + 1, at: head.at };
    }
    if (from + seen.length >= to) return undefined;
  }
  return undefined;
}

/**
 * The bytes of the whole part; empty if the segment became too old in the meantime. Throws Failure
 * `state-unreadable`.
 */
function readAt(disk: Disk, { path, bytes }: Segment, offset: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, bytes - offset)));
  if (buffer.length === 0) return buffer;
  try {
    const fd = disk.openSync(path, "r");
    try {
      return buffer.subarray(0, disk.readSync(fd, buffer, 0, buffer.length, offset));
    } finally {
      disk.closeSync(fd);
    }
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return Buffer.alloc(0);
    throw stateUnreadable(path, error);
  }
}
