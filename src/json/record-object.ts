/** A record as an object: only for formats that map fields. Splunk's way never builds one. */
import type { RecordBody } from "../model/record.ts";
import { parseExactly } from "./exact-numbers.ts";
import { stringAt, textAt } from "./json-text.ts";
import { KIND, memberField, NAME_END, NAME_HAS_ESCAPES, NAME_START, VALUE_END, VALUE_START } from "./member-table.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function objectsOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** A string that says something: not null, not empty. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(textOf).filter((text) => text !== undefined) : [];
}

/**
 * The whole record, or all but members that may be left out to save time. A number with more digits than a
 * double holds is an ExactNumber.
 */
export function recordObject(body: RecordBody, without: readonly string[] = []): JsonObject {
  const { bytes, start, end } = body;
  let text = "";
  let from = start;
  for (const left of without.map((name) => plainMember(body, name)).toSorted((a, b) => a - b)) {
    // Cutting out the first member would take its comma too.
    if (left <= 0) continue;
    text += textAt(bytes, from, start + memberField(body, left - 1, VALUE_END));
    from = start + memberField(body, left, VALUE_END);
  }
  return parseExactly(text + textAt(bytes, from, end)) as JsonObject;
}

/** Where the first member of that ASCII name stands; -1: nowhere. */
function plainMember(body: RecordBody, name: string): number {
  const { bytes, start } = body;
  for (let i = 0; i < body.memberCount; i++) {
    const from = start + memberField(body, i, NAME_START) + 1;
    if (start + memberField(body, i, NAME_END) - 1 - from !== name.length) continue;
    let at = 0;
    while (at < name.length && bytes[from + at] === name.charCodeAt(at)) at++;
    if (at === name.length) return i;
  }
  return -1;
}

/** One member's value, undefined when there is none; of several the last, as JSON.parse has it. */
export function memberValue(body: RecordBody, name: string): unknown {
  const { bytes, start } = body;
  for (let i = body.memberCount - 1; i >= 0; i--) {
    const from = start + memberField(body, i, NAME_START);
    const to = start + memberField(body, i, NAME_END);
    const escaped = (memberField(body, i, KIND) & NAME_HAS_ESCAPES) !== 0;
    if (!escaped && to - from !== name.length + 2) continue;
    if (stringAt(bytes, from, to, escaped) === name) {
      return parseExactly(
        textAt(bytes, start + memberField(body, i, VALUE_START), start + memberField(body, i, VALUE_END)),
      );
    }
  }
  return undefined;
}
