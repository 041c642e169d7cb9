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

/** The whole record. A number with more digits than a double holds is an ExactNumber. */
export function recordObject({ bytes, start, end }: RecordBody): JsonObject {
  return parseExactly(textAt(bytes, start, end)) as JsonObject;
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
