/**
 * Events as splunkd takes them from a modular input in XML streaming mode (Splunk docs, "Set up streaming":
 * stanza, unbroken, time, source, sourcetype, data, done). Everything search-time knowledge keys on is
 * decided here: time, source, sourcetype, the order of members.
 */

import { IN_MARKUP, IN_STRING } from "../../json/byte-classes.ts";
import type { ByteWriter } from "../../json/byte-writer.ts";
import type { Delivery, HealthEvent, HugeDelivery } from "../../model/event.ts";
import { msFromTicks, parseInstant } from "../../model/instant.ts";
import type { RecordHead } from "../../model/record.ts";
import type { RecordKind, StreamName } from "../../model/stream.ts";
import { type EventStyle, writeEnvelope, writeRecordJson } from "./record-json.ts";
import { escapeMarkup, jsonForXml, xmlText } from "./xml-text.ts";

export type { EventStyle } from "./record-json.ts";

export const STREAM_OPEN = "<stream>\n";
export const STREAM_CLOSE = "</stream>\n";
export const SCHEME = "defender_mssp";

const SOURCETYPE = {
  endpointAlert: "ms:defender:atp:alerts",
  incident: "ms365:defender:incident",
  incidentAlert: "ms365:defender:incident:alerts",
  hunting: "m365:defender:incident:advanced_hunting",
  siemAlert: "wdatp:alerts",
  health: "defender_mssp:health",
} as const;

/** Content exists for these names: Splunk's own and the community's searches key on them. */
const SOURCETYPE_OF: Readonly<
  Record<StreamName, (kind: RecordKind, service: string | undefined, style: EventStyle) => string>
> = {
  alerts: (_kind, service, style) => {
    if (style.classicEntities) return SOURCETYPE.incidentAlert;
    if (style.alertsSourcetype !== "split") return style.alertsSourcetype;
    return service?.toLowerCase() === "microsoftdefenderforendpoint"
      ? SOURCETYPE.endpointAlert
      : SOURCETYPE.incidentAlert;
  },
  incidents: () => SOURCETYPE.incident,
  "xdr-incidents": (kind) => (kind === "incident" ? SOURCETYPE.incident : SOURCETYPE.incidentAlert),
  "mde-alerts": () => SOURCETYPE.endpointAlert,
  "siem-alerts": () => SOURCETYPE.siemAlert,
  hunting: () => SOURCETYPE.hunting,
};

export function sourcetypeOf(
  stream: StreamName,
  kind: RecordKind,
  service: string | undefined,
  style: EventStyle,
): string {
  return SOURCETYPE_OF[stream](kind, service, style);
}

/** Of every event of a customer's stream. */
export function sourceOf(delivery: Pick<Delivery, "stream" | "tenant">): string {
  return `${SCHEME}:${delivery.stream}:${delivery.tenant.id}`;
}

export const HEALTH_SOURCETYPE: string = SOURCETYPE.health;

/** Of the event that compares all customers with the list. Searches for customers' health do not find it. */
export const ROSTER_SOURCE = "defender_mssp:roster";

/** Of health events; the tenant may not be known. */
export function healthSourceOf(tenantId: string): string {
  return `${SOURCETYPE.health}:${tenantId || "unknown"}`;
}

/** Epoch seconds with three decimals, rounded down. */
function splunkTime(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${seconds}.${String(ms - seconds * 1000).padStart(3, "0")}`;
}

/** Everything before the time, made once while the same customer's records come. */
let lastOpen: { readonly stanza: string; readonly bytes: Uint8Array } | undefined;
let lastMeta:
  | { readonly tenantId: string; readonly stream: StreamName; readonly ofSourcetype: Map<string, Uint8Array> }
  | undefined;

function openOf(stanza: string): Uint8Array {
  if (lastOpen?.stanza !== stanza) {
    const text = `<event stanza="${xmlText(`${SCHEME}://${stanza}`)}" unbroken="1"><time>`;
    lastOpen = { stanza, bytes: Buffer.from(text) };
  }
  return lastOpen.bytes;
}

function metaOf(delivery: Pick<Delivery, "tenant" | "stream">, sourcetype: string): Uint8Array {
  const { tenant, stream } = delivery;
  if (lastMeta?.tenantId !== tenant.id || lastMeta.stream !== stream)
    lastMeta = { tenantId: tenant.id, stream, ofSourcetype: new Map() };
  let bytes = lastMeta.ofSourcetype.get(sourcetype);
  if (bytes === undefined) {
    bytes = Buffer.from(
      `</time><source>${xmlText(sourceOf(delivery))}</source><sourcetype>${xmlText(sourcetype)}</sourcetype><data>`,
    );
    lastMeta.ofSourcetype.set(sourcetype, bytes);
  }
  return bytes;
}

const END = "</data><done/></event>\n";

/** All of an event before its data. */
function writeStart(
  out: ByteWriter,
  delivery: Pick<Delivery, "stanza" | "tenant" | "stream"> & { readonly record: RecordHead },
  style: EventStyle,
): void {
  const { record } = delivery;
  out.bytes(openOf(delivery.stanza));
  out.ascii(splunkTime(msFromTicks(record.updated)));
  out.bytes(metaOf(delivery, sourcetypeOf(delivery.stream, record.kind, record.service, style)));
}

/** One `<event>` element and a line end. */
export function writeSplunkEvent(out: ByteWriter, delivery: Delivery, style: EventStyle): void {
  writeStart(out, delivery, style);
  writeRecordJson(out, delivery, style, true);
  out.ascii(END);
}

/** What `<data>` holds, as a line of its own: `collect` and json-lines outputs. */
export function writeJsonLine(out: ByteWriter, delivery: Delivery, style: EventStyle): void {
  writeRecordJson(out, delivery, style, false);
  out.byte(0x0a);
}

/**
 * Begins the event of a record that passes through in pieces: our member first, then what comes, in vendor
 * order.
 */
export function beginStreamedEvent(out: ByteWriter, delivery: HugeDelivery, style: EventStyle, xml: boolean): void {
  if (xml) writeStart(out, delivery, style);
  out.byte(0x7b);
  if (style.envelope) {
    writeEnvelope(out, delivery, style, xml, "mssp");
    out.byte(0x2c);
  }
}

/**
 * The next piece, as the scanner's HugeRecordSink gets it; `isFirst` drops its brace, which is written
 * already.
 */
export function writeStreamedPiece(out: ByteWriter, piece: Uint8Array, isFirst: boolean, xml: boolean): void {
  let from = isFirst ? 1 : 0;
  if (xml) {
    for (let i = from; i < piece.length; i++) {
      if (IN_STRING[piece[i]!] !== IN_MARKUP) continue;
      out.copy(piece, from, i);
      out.ascii(piece[i] === 0x26 ? "&amp;" : piece[i] === 0x3c ? "&lt;" : "&gt;");
      from = i + 1;
    }
  }
  out.copy(piece, from, piece.length);
}

export function endStreamedEvent(out: ByteWriter, xml: boolean): void {
  out.ascii(xml ? END : "\n");
}

/**
 * A health event; `stanza` decides index and host, as for the customer's other events.
 *
 * @param index instead of the stanza's.
 */
export function writeSplunkHealth(out: ByteWriter, stanza: string, event: HealthEvent, index?: string): void {
  const source = event.roster === undefined ? healthSourceOf(event.tenant_id) : ROSTER_SOURCE;
  writeSplunkOwn(out, stanza, event, source, index);
}

/** Any event of this program. */
export function writeSplunkOwn(
  out: ByteWriter,
  stanza: string,
  event: { readonly time: string },
  from: string,
  index?: string,
): void {
  const at = splunkTime(msFromTicks(parseInstant(event.time) ?? 0n));
  const source = xmlText(from);
  const toIndex = index === undefined ? "" : `<index>${xmlText(index)}</index>`;
  out.bytes(openOf(stanza));
  out.text(
    `${at}</time><source>${source}</source><sourcetype>${SOURCETYPE.health}</sourcetype>${toIndex}<data>${escapeMarkup(jsonForXml(event))}${END}`,
  );
}

/** The health event as a line of JSON: `collect` (stderr) and json-lines outputs. */
export function writeHealthLine(out: ByteWriter, event: HealthEvent): void {
  out.text(`${JSON.stringify(event)}\n`);
}
