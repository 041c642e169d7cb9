/**
 * The table of a record's top-level members: one row of MEMBER_FIELDS numbers per member, in vendor order,
 * all offsets counted from the record's `{`. The scanner fills it, the writers read it; nothing else knows
 * the layout.
 */
import type { RecordBody } from "../model/record.ts";

export const MEMBER_FIELDS = 7;

/**
 * Where the name's opening quote is; `name":value` lie together, so a member is one stretch from here to
 * VALUE_END.
 */
export const NAME_START = 0;
/** One past the name's closing quote. */
export const NAME_END = 1;
export const VALUE_START = 2;
export const VALUE_END = 3;
/** One of the KIND_ values, perhaps with NAME_HAS_ESCAPES and VALUE_HAS_ESCAPES. */
export const KIND = 4;
/**
 * The member's part of the record's `escapes`: from this index (counted from `firstEscape`) up to, not
 * including, ESCAPES_END.
 */
export const ESCAPES_FROM = 5;
export const ESCAPES_END = 6;

export const KIND_NULL = 0;
export const KIND_BOOLEAN = 1;
export const KIND_NUMBER = 2;
export const KIND_STRING = 3;
/** An array without objects and arrays inside; also the empty one. */
export const KIND_SCALARS = 4;
export const KIND_ARRAY = 5;
export const KIND_OBJECT = 6;
export const KIND_MASK = 7;
/**
 * The value is a string that holds a backslash or a byte above 0x7F: it must be read properly, not copied.
 */
export const VALUE_HAS_ESCAPES = 8;
export const NAME_HAS_ESCAPES = 16;

/** One number of row `index` of a body's table. */
export function memberField(body: RecordBody, index: number, field: number): number {
  return body.members[body.firstMember + index * MEMBER_FIELDS + field]!;
}
