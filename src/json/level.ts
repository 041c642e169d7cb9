import { createHash, type Hash } from "node:crypto";
import type { Ticks } from "../model/instant.ts";
import type { RecordHead } from "../model/record.ts";
import { MEMBER_FIELDS } from "./member-table.ts";
import { type FieldNames, FieldValues } from "./record-fields.ts";

/**
 * Takes a record that is too large to be held: its bytes as they come, in vendor order, without white space
 * outside strings.
 */
export interface HugeRecordSink {
  /** The record is wanted: it is begun also when its time comes after the member that made it too large. */
  readonly wanted?: { readonly id: string; readonly updated: Ticks };
  /** False: not this one; it is then only counted and hashed. */
  begin(head: RecordHead): boolean;
  /** A view that is valid until the chunk has been handled. The first piece begins with `{`. */
  piece(bytes: Uint8Array): void;
  /** `complete` is false when the record turned out to be broken. `head`: all that its members said. */
  end(complete: boolean, head: RecordHead | undefined): void;
}

/**
 * One level at which members are cut: the answer's envelope, a record, a record that is taken out of a
 * record.
 */
export interface LevelSpec {
  readonly role: "envelope" | "record" | "nested" | "stray";
  readonly maxBytes: number;
  readonly fields: FieldNames | undefined;
  /** The member whose elements become records of their own. */
  readonly nestedName: string | undefined;
  readonly nestedSpec: LevelSpec | undefined;
  readonly sink: HugeRecordSink | undefined;
}

/** The longest member that is read of a record above its limit. */
const KEPT_MEMBER_BYTES = 1024;

/**
 * Most answers for idle customers hold no record, so a level's memory grows from nothing, each step at least
 * twice the one before.
 */
const NO_BYTES = new Uint8Array(0);
const FIRST_BYTES = 1024;
const FIRST_MEMBERS = 16;

/** The bytes and members of the object being cut. Reused from one record to the next. */
export class Level {
  spec: LevelSpec;
  /** Number of open containers inside which its members lie; -1 for a stray value, which has none. */
  depth = -1;
  /**
   * Holds the bytes from `dropped` to `dropped + length` (offsets from the record's start); empty while a
   * record lies in one chunk.
   */
  buffer: Uint8Array = NO_BYTES;
  length = 0;
  dropped = 0;
  malformed = false;
  /** U+FFFD put in place of invalid UTF-8, without those in records nested out of it. */
  invalidUtf8Count = 0;
  /** Set once the record is above its limit: its bytes leave. */
  hash: Hash | undefined = undefined;
  passing = false;
  members: Int32Array = new Int32Array(FIRST_MEMBERS * MEMBER_FIELDS);
  memberCount = 0;
  escapes: Int32Array = new Int32Array(FIRST_MEMBERS);
  escapeCount = 0;
  /** Members that stay in the record (nested ones do not). */
  kept = 0;
  /** The member before was nested and nothing stands before it: its comma goes too. */
  skipComma = false;
  /** What its members said of it. */
  readonly values: FieldValues = new FieldValues();

  constructor(spec: LevelSpec) {
    this.spec = spec;
  }

  reset(spec: LevelSpec, depth: number): void {
    this.spec = spec;
    this.depth = depth;
    this.length = 0;
    this.dropped = 0;
    this.malformed = false;
    this.invalidUtf8Count = 0;
    this.hash = undefined;
    this.passing = false;
    this.memberCount = 0;
    this.escapeCount = 0;
    this.kept = 0;
    this.skipComma = false;
  }

  addMember(
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    kind: number,
    escapesFrom: number,
  ): void {
    const at = this.memberCount * MEMBER_FIELDS;
    if (at + MEMBER_FIELDS > this.members.length) this.members = doubled(this.members);
    const members = this.members;
    members[at] = nameStart;
    members[at + 1] = nameEnd;
    members[at + 2] = valueStart;
    members[at + 3] = valueEnd;
    members[at + 4] = kind;
    members[at + 5] = escapesFrom;
    members[at + 6] = this.escapeCount;
    this.memberCount++;
    this.kept++;
  }

  noteEscape(offset: number): void {
    if (this.hash !== undefined) return;
    if (this.escapeCount === this.escapes.length) this.escapes = doubled(this.escapes);
    this.escapes[this.escapeCount++] = offset;
  }

  /**
   * Appends bytes; those of a record above its limit leave, but for the ones from `keepFrom` on (the member
   * being read) and the last `hold`.
   */
  append(chunk: Uint8Array, from: number, to: number, keepFrom: number, hold: number): void {
    const n = to - from;
    if (n > 0) {
      this.#makeRoom(n);
      if (n < 32) for (let i = from, at = this.length; i < to; i++, at++) this.buffer[at] = chunk[i]!;
      else this.buffer.set(chunk.subarray(from, to), this.length);
      this.length += n;
    }
    if (this.hash !== undefined) this.leave(keepFrom, hold);
  }

  /** From here on the record's bytes leave. */
  beginLeaving(keepFrom: number, hold: number): void {
    this.hash = createHash("sha256");
    this.leave(keepFrom, hold);
  }

  leave(keepFrom: number, hold: number): void {
    const end = this.dropped + this.length;
    const cut = keepFrom >= this.dropped && end - keepFrom <= KEPT_MEMBER_BYTES ? keepFrom : end - hold;
    const leaving = cut - this.dropped;
    if (leaving === 0) return;
    const bytes = this.buffer.subarray(0, leaving);
    this.hash!.update(bytes);
    if (this.passing) this.spec.sink!.piece(bytes.slice());
    this.buffer.copyWithin(0, leaving, this.length);
    this.length -= leaving;
    this.dropped = cut;
    if (this.buffer.length > 1 << 20) this.buffer = this.buffer.slice(0, Math.max(8192, this.length));
  }

  /** Takes the last `n` bytes back and puts `bytes` in their place. */
  replaceTail(n: number, bytes: Uint8Array): void {
    this.length -= n;
    this.#makeRoom(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  #makeRoom(n: number): void {
    if (this.length + n <= this.buffer.length) return;
    const doubledLength = Math.min(Math.max(FIRST_BYTES, this.buffer.length * 2), this.spec.maxBytes + 65_536);
    const larger = new Uint8Array(Math.max(doubledLength, this.length + n));
    larger.set(this.buffer.subarray(0, this.length));
    this.buffer = larger;
  }
}

function doubled(ints: Int32Array): Int32Array {
  const larger = new Int32Array(ints.length * 2);
  larger.set(ints);
  return larger;
}
