/**
 * Events as Splunk's HTTP Event Collector takes them (Splunk docs, "Format events for HTTP Event Collector").
 * `event` is a string, not an object: Splunk writes an object anew, with its own order and numbers, and a
 * string becomes `_raw` as it is. So `_raw` is what Microsoft sent, as with the modular input. No real Splunk
 * has shown that yet.
 */

import { ByteWriter } from "../../json/byte-writer.ts";
import type { Delivery, HealthEvent } from "../../model/event.ts";
import { parseInstant, TICKS_PER_SECOND, type Ticks } from "../../model/instant.ts";
import type { StreamName } from "../../model/stream.ts";
import { type EventStyle, writeRecordJson } from "./record-json.ts";
import { HEALTH_SOURCETYPE, healthSourceOf, ROSTER_SOURCE, sourceOf, sourcetypeOf } from "./splunk-event.ts";

export type { EventStyle } from "./record-json.ts";

/** Where HEC files an event; without an index the token's own holds. */
export interface HecPlace {
  readonly host: string;
  readonly index: string | undefined;
}

/** `event` is made here first: the string that holds it needs escapes. */
const raw = new ByteWriter(1 << 16);

/** What stands between time and event is made once while the same customer's records come. */
let lastMeta:
  | {
      readonly tenantId: string;
      readonly stream: StreamName;
      readonly host: string;
      readonly index: string | undefined;
      readonly ofSourcetype: Map<string, Uint8Array>;
    }
  | undefined;

function metaOf(delivery: Delivery, sourcetype: string, { host, index }: HecPlace): Uint8Array {
  const { tenant, stream } = delivery;
  if (
    lastMeta?.tenantId !== tenant.id ||
    lastMeta.stream !== stream ||
    lastMeta.host !== host ||
    lastMeta.index !== index
  )
    lastMeta = { tenantId: tenant.id, stream, host, index, ofSourcetype: new Map() };
  let bytes = lastMeta.ofSourcetype.get(sourcetype);
  if (bytes === undefined) {
    bytes = metaBytes({ host, index, source: sourceOf(delivery), sourcetype });
    lastMeta.ofSourcetype.set(sourcetype, bytes);
  }
  return bytes;
}

/** One line, with its line break. */
export function writeHecEvent(out: ByteWriter, delivery: Delivery, style: EventStyle, place: HecPlace): void {
  const { record, stream } = delivery;
  const sourcetype = sourcetypeOf(stream, record.kind, record.service, style);
  raw.reset();
  writeRecordJson(raw, delivery, style, false);
  writeHec(out, record.updated, metaOf(delivery, sourcetype, place));
}

/** A health event, beside the customer's other events. */
export function writeHecHealth(out: ByteWriter, event: HealthEvent, place: HecPlace): void {
  const source = event.roster === undefined ? healthSourceOf(event.tenant_id) : ROSTER_SOURCE;
  writeHecFrom(out, event, event.time, source, place);
}

/** Any other event of this program: a notice, a test event. */
export function writeHecOwn(out: ByteWriter, event: object, time: string, tenantId: string, place: HecPlace): void {
  writeHecFrom(out, event, time, healthSourceOf(tenantId), place);
}

function writeHecFrom(out: ByteWriter, event: object, time: string, source: string, place: HecPlace): void {
  raw.reset();
  raw.text(JSON.stringify(event));
  writeHec(out, parseInstant(time) ?? 0n, metaBytes({ ...place, source, sourcetype: HEALTH_SOURCETYPE }));
}

function metaBytes({
  host,
  index,
  source,
  sourcetype,
}: HecPlace & { readonly source: string; readonly sourcetype: string }): Uint8Array {
  const toIndex = index === undefined ? "" : `,"index":${JSON.stringify(index)}`;
  return Buffer.from(
    `"host":${JSON.stringify(host)},"source":${JSON.stringify(source)},"sourcetype":${JSON.stringify(sourcetype)}${toIndex},"event":"`,
  );
}

function writeHec(out: ByteWriter, time: Ticks, meta: Uint8Array): void {
  out.ascii(`{"time":${epochSeconds(time)},`);
  out.bytes(meta);
  out.insideString(raw.view());
  out.ascii('"}\n');
}

/** A JSON number with all of an instant's digits: 100 ns each. */
function epochSeconds(ticks: Ticks): string {
  const whole = ticks < 0n ? 0n : ticks;
  return `${Number(whole / TICKS_PER_SECOND)}.${String(Number(whole % TICKS_PER_SECOND)).padStart(7, "0")}`;
}
