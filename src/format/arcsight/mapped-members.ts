import { ByteWriter } from "../../json/byte-writer.ts";
import { parseExactly } from "../../json/exact-numbers.ts";
import { memberField, NAME_END, NAME_START, VALUE_END } from "../../json/member-table.ts";
import type { JsonObject } from "../../json/record-object.ts";
import type { RecordBody } from "../../model/record.ts";

/** What is kept of nearly every record fits, and no more memory than this is kept for the next one. */
const SCRATCH_BYTES = 1 << 16;
const scratch = new ByteWriter(SCRATCH_BYTES);

/**
 * The record as an object, less the members `left`, whose names are ASCII. Their neighbours are joined as
 * bytes, so that the runtime makes one text of them and not several and another of these.
 */
export function mappedObject(body: RecordBody, left: readonly string[]): JsonObject {
  const { bytes, start, end } = body;
  const kept = end - start > SCRATCH_BYTES ? new ByteWriter(end - start) : scratch;
  kept.reset();
  let from = start;
  // Cutting out the first member would take its comma too.
  for (let i = 1; i < body.memberCount; i++) {
    if (!isOneOf(body, i, left)) continue;
    kept.copy(bytes, from, start + memberField(body, i - 1, VALUE_END));
    from = start + memberField(body, i, VALUE_END);
  }
  kept.copy(bytes, from, end);
  return parseExactly(kept.toString()) as JsonObject;
}

function isOneOf(body: RecordBody, member: number, names: readonly string[]): boolean {
  const from = body.start + memberField(body, member, NAME_START) + 1;
  const length = body.start + memberField(body, member, NAME_END) - 1 - from;
  for (const name of names) {
    if (name.length !== length) continue;
    let at = 0;
    while (at < length && body.bytes[from + at] === name.charCodeAt(at)) at++;
    if (at === length) return true;
  }
  return false;
}
