import type { KafkaEvent } from "./kafka-error.ts";
import type { Batch } from "./output.ts";
import { objectOfKey, withoutStanza } from "./version-key.ts";

const NEWLINE = 0x0a;

/** One event of the transaction that is being sent. */
export interface KafkaLine extends KafkaEvent {
  readonly fullKey: string;
}

/** An event may be several lines: each gets its event's key, so that a record of Kafka has it. */
export function withKeyPerLine({ bytes, keys, ends }: Batch): Batch {
  const perLine: string[] = [];
  let event = 0;
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, at) + 1 || bytes.length;
    while (event < ends.length && (ends[event] as number) <= at) event += 1;
    // Lines behind the last event are health.
    perLine.push(keys[event] ?? "");
    at = end;
  }
  return { bytes, keys: perLine, ends };
}

/** @param keys one for each line; a line without one belongs to no object. */
export function linesOf({
  lines,
  keys,
}: {
  readonly lines: Uint8Array;
  readonly keys: readonly string[];
}): readonly KafkaLine[] {
  const found: KafkaLine[] = [];
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf(NEWLINE, at) + 1 || lines.length;
    const fullKey = keys[found.length] ?? "";
    const text = lines.subarray(at, lines[end - 1] === NEWLINE ? end - 1 : end);
    found.push({
      fullKey,
      key: fullKey === "" ? undefined : objectOfKey(withoutStanza(fullKey)),
      value: Buffer.from(text.buffer, text.byteOffset, text.byteLength),
    });
    at = end;
  }
  return found;
}
