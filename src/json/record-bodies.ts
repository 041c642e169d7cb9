import type { RecordBody, SourceRecord } from "../model/record.ts";
import { scanAnswer } from "./answer-scanner.ts";
import { MEMBER_FIELDS } from "./member-table.ts";

/**
 * The bodies of records that were kept as one JSON list of their bytes, with their member tables, in the
 * list's order. They are views of `list`. Throws Failure `bad-answer` when it is not such a list.
 */
export function bodiesInList(list: Uint8Array): readonly SourceRecord["body"][] {
  const { records } = scanAnswer(list, {
    shape: "bare-array",
    fields: { kind: "alert", id: { sha256: true }, updated: "", updatedFallback: 0n },
    recordMaxBytes: Number.MAX_SAFE_INTEGER,
  });
  return records.map((record) => {
    if (!record.readable) throw new Error("a record that was readable when it was kept is not any more");
    return record.body;
  });
}

/** Numbers of a record's tables. */
export function intsOf({ memberCount, escapeCount }: RecordBody): number {
  return memberCount * MEMBER_FIELDS + escapeCount;
}

/**
 * The record's body with other memory: its bytes must lie, or be put, at `start` of `bytes`; its tables are
 * copied to `firstInt` of `ints`.
 */
export function movedBody(
  body: RecordBody,
  bytes: Uint8Array,
  start: number,
  ints: Int32Array,
  firstInt: number,
): RecordBody {
  const firstEscape = firstInt + body.memberCount * MEMBER_FIELDS;
  copyInts(body.members, body.firstMember, ints, firstInt, firstEscape - firstInt);
  copyInts(body.escapes, body.firstEscape, ints, firstEscape, body.escapeCount);
  return {
    bytes,
    start,
    end: start + body.end - body.start,
    members: ints,
    firstMember: firstInt,
    memberCount: body.memberCount,
    escapes: ints,
    firstEscape,
    escapeCount: body.escapeCount,
  };
}

/**
 * The bodies of records whose bytes lie one after another in `bytes` from `start` on, with one byte between
 * them. Their tables are copies in one array.
 */
export function bodiesAt(bodies: readonly RecordBody[], bytes: Uint8Array, start: number): readonly RecordBody[] {
  const ints = new Int32Array(bodies.reduce((sum, body) => sum + intsOf(body), 0));
  let at = start;
  let firstInt = 0;
  return bodies.map((body) => {
    const moved = movedBody(body, bytes, at, ints, firstInt);
    at = moved.end + 1;
    firstInt += intsOf(body);
    return moved;
  });
}

/** A view of each table would be garbage. */
function copyInts(from: Int32Array, at: number, to: Int32Array, toAt: number, count: number): void {
  for (let i = 0; i < count; i++) to[toAt + i] = from[at + i]!;
}
