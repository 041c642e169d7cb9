import type { Ticks } from "./instant.ts";
import type { RecordKind } from "./stream.ts";

/**
 * One JSON object as Microsoft's own bytes with a table of its top-level members, made by the member scanner
 * in json/ and read by the event writers in format/. The bytes are a view of page memory: they are valid
 * until the batch that holds the record has been written, and no longer.
 */
export interface RecordBody {
  /**
   * Holds the object from `start` (its `{`) to `end` (one past its `}`), without white space outside strings,
   * as valid UTF-8 and without a character that XML 1.0 forbids (those are `\\uXXXX`).
   */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /**
   * Member i takes MEMBER_FIELDS numbers from `firstMember`: see json/member-table.ts. Offsets count from
   * `start`.
   */
  readonly members: Int32Array;
  readonly firstMember: number;
  readonly memberCount: number;
  /**
   * Offsets from `start`, ascending, of every `&`, `<` and `>` inside strings: what an XML writer must
   * escape. In `members`' memory or its own.
   */
  readonly escapes: Int32Array;
  readonly firstEscape: number;
  readonly escapeCount: number;
}

/** Facts about a record whose bytes are passed on without being kept in memory. */
export interface RecordHead {
  readonly kind: RecordKind;
  readonly id: string;
  readonly updated: Ticks;
  readonly created?: Ticks;
  readonly payloadTenantId?: string;
  readonly service?: string;
  /** Number of U+FFFD in place of invalid UTF-8; absent if there is none. */
  readonly invalidUtf8Count?: number;
}

/** A version of an object that a page showed. */
export interface SourceRecord {
  readonly readable: true;
  readonly kind: RecordKind;
  /** As the vendor wrote it (numbers as their digits). */
  readonly id: string;
  readonly updated: Ticks;
  readonly created?: Ticks;
  /**
   * Nested in a larger record (an XDR incident's alert): the request's bounds do not apply to its time.
   */
  readonly nested?: true;
  /** The payload's own tenant id in lower case, if it has one. */
  readonly payloadTenantId?: string;
  /** `serviceSource` or a similar member, as the vendor wrote it: hosts route by it. */
  readonly service?: string;
  /** Number of U+FFFD in place of invalid UTF-8; absent if there is none. */
  readonly invalidUtf8Count?: number;
  readonly body: RecordBody;
  /** Set if the record was too large for memory: `body` then lacks members. */
  readonly reduced?: Reduction;
}

/** The missing part of a record that was too large for memory. */
export interface Reduction {
  /** Of the whole record. */
  readonly byteLength: number;
  /** In vendor order. */
  readonly leftOut: readonly LeftOutMember[];
}

export interface LeftOutMember {
  /** Only the beginning of the name if the name itself is too long. */
  readonly name: string;
  /** Of its value. */
  readonly byteLength: number;
  /** Of a list. */
  readonly elementCount?: number;
}

/**
 * A piece of a page that is not a usable record: too large, without id or time, not an object. None of its
 * content is kept.
 */
export interface UnreadableRecord {
  readonly readable: false;
  readonly reason: "no-id" | "no-time" | "not-an-object" | "too-large" | "malformed";
  readonly id?: string;
  readonly updated?: Ticks;
  readonly byteLength: number;
  /**
   * Hex SHA-256 of those bytes: the record as received, less white space outside strings and what was nested
   * out of it.
   */
  readonly sha256: string;
}

export type PageRecord = SourceRecord | UnreadableRecord;
