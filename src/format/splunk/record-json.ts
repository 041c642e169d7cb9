/**
 * One record as one line of JSON in the order that suits Splunk: its automatic extraction reads the first
 * 5,000 bytes of an event and makes at most 100 fields (limits.conf, [spath] extraction_cutoff, [kv] limit),
 * so short scalars come first and lists of evidence last.
 */

import type { ByteWriter } from "../../json/byte-writer.ts";
import { stringAt } from "../../json/json-text.ts";
import {
  ESCAPES_END,
  ESCAPES_FROM,
  KIND,
  KIND_MASK,
  KIND_SCALARS,
  KIND_STRING,
  MEMBER_FIELDS,
  memberField,
  NAME_END,
  NAME_HAS_ESCAPES,
  NAME_START,
  VALUE_END,
  VALUE_START,
} from "../../json/member-table.ts";
import type { Delivery } from "../../model/event.ts";
import type { RecordBody } from "../../model/record.ts";
import type { Stanza } from "../../model/stanza.ts";
import { classicEntities } from "./classic-entities.ts";
import { escapeMarkup, jsonForXml } from "./xml-text.ts";

/** The settings of a customer that shape its events. */
export type EventStyle = Pick<Stanza, "layout" | "envelope" | "alertsSourcetype" | "classicEntities" | "cimEntityZone">;

/** A scalar of at most this many bytes, quotes included, stands among the first. */
const SHORT_SCALAR_BYTES = 256;

const SHORT_SCALARS = 0;
const LONG_STRINGS = 1;
const SCALAR_LISTS = 2;
const THE_REST = 3;

const COMMA = 0x2c;
const QUOTE = 0x22;
/** ASCII that neither JSON nor XML writes in another way. */
const PLAIN_KEY = /^[ !#-%'-;=?-[\]-~]*$/;

/** Reused for the members' groups; a record with more members gets its own. */
let groups = new Uint8Array(256);

/**
 * Writes the record with our `mssp` member; `xml` escapes what an XML document cannot hold as it is. No line
 * end.
 */
export function writeRecordJson(out: ByteWriter, delivery: Delivery, style: EventStyle, xml: boolean): void {
  const { body } = delivery.record;
  out.byte(0x7b);
  let first = true;
  if (style.layout === "vendor") {
    if (style.envelope) {
      writeEnvelope(out, delivery, style, xml, hasOurName(body) ? "mssp_" : "mssp");
      first = false;
    }
    if (body.memberCount > 0) {
      if (!first) out.byte(COMMA);
      writeMembers(out, body, 0, body.memberCount - 1, xml);
      first = false;
    }
  } else {
    groupMembers(body);
    first = writeGroup(out, body, SHORT_SCALARS, xml, first);
    if (style.envelope) {
      if (!first) out.byte(COMMA);
      writeEnvelope(out, delivery, style, xml, hasOurName(body) ? "mssp_" : "mssp");
      first = false;
    }
    first = writeGroup(out, body, LONG_STRINGS, xml, first);
    first = writeGroup(out, body, SCALAR_LISTS, xml, first);
    first = writeGroup(out, body, THE_REST, xml, first);
  }
  if (style.classicEntities && delivery.stream === "alerts") {
    const entities = classicEntities(body);
    if (entities !== undefined) {
      if (!first) out.byte(COMMA);
      const text = `"entities":${jsonForXml(entities)}`;
      out.text(xml ? escapeMarkup(text) : text);
    }
  }
  out.byte(0x7d);
}

function groupMembers(body: RecordBody): void {
  if (body.memberCount > groups.length) groups = new Uint8Array(body.memberCount * 2);
  const { members } = body;
  let row = body.firstMember;
  for (let i = 0; i < body.memberCount; i++, row += MEMBER_FIELDS) {
    const kind = members[row + KIND]! & KIND_MASK;
    if (kind <= KIND_STRING)
      groups[i] =
        members[row + VALUE_END]! - members[row + VALUE_START]! <= SHORT_SCALAR_BYTES ? SHORT_SCALARS : LONG_STRINGS;
    else groups[i] = kind === KIND_SCALARS ? SCALAR_LISTS : THE_REST;
  }
}

/**
 * Members that follow each other in the record are written as one stretch, commas included. Returns whether
 * still nothing was written.
 */
function writeGroup(out: ByteWriter, body: RecordBody, group: number, xml: boolean, first: boolean): boolean {
  const n = body.memberCount;
  let nothingYet = first;
  for (let i = 0; i < n; i++) {
    if (groups[i] !== group) continue;
    let last = i;
    while (last + 1 < n && groups[last + 1] === group) last++;
    if (!nothingYet) out.byte(COMMA);
    nothingYet = false;
    writeMembers(out, body, i, last, xml);
    i = last;
  }
  return nothingYet;
}

function writeMembers(out: ByteWriter, body: RecordBody, firstIndex: number, lastIndex: number, xml: boolean): void {
  const { bytes, start, escapes, firstEscape } = body;
  let from = start + memberField(body, firstIndex, NAME_START);
  const to = start + memberField(body, lastIndex, VALUE_END);
  if (xml) {
    const end = firstEscape + memberField(body, lastIndex, ESCAPES_END);
    for (let e = firstEscape + memberField(body, firstIndex, ESCAPES_FROM); e < end; e++) {
      const at = start + escapes[e]!;
      out.copy(bytes, from, at);
      const sign = bytes[at];
      out.ascii(sign === 0x26 ? "&amp;" : sign === 0x3c ? "&lt;" : "&gt;");
      from = at + 1;
    }
  }
  out.copy(bytes, from, to);
}

/**
 * What of the envelope is equal for a customer's stream, made once and kept while the same customer's records
 * come.
 */
interface EnvelopeHead {
  readonly tenant: Delivery["tenant"];
  readonly stream: Delivery["stream"];
  readonly zone: string | undefined;
  /** As bytes, because a text would be written anew for each event. */
  readonly plain: EnvelopeText;
  readonly xml: EnvelopeText;
}
interface EnvelopeText {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}
let lastHead: EnvelopeHead | undefined;

function envelopeHead({ tenant, stream }: Pick<Delivery, "tenant" | "stream">, zone: string | undefined): EnvelopeHead {
  if (lastHead !== undefined && lastHead.tenant === tenant && lastHead.stream === stream && lastHead.zone === zone)
    return lastHead;
  const members = jsonForXml({ tenant: tenant.name, tenant_id: tenant.id, stream, cloud: tenant.cloud });
  const start = `${members.slice(0, -1)},"change":"`;
  const end = zone === undefined ? "}" : `,"cim_entity_zone":${jsonForXml(zone)}}`;
  lastHead = {
    tenant,
    stream,
    zone,
    plain: { start: Buffer.from(start), end: Buffer.from(end) },
    xml: { start: Buffer.from(escapeMarkup(start)), end: Buffer.from(escapeMarkup(end)) },
  };
  return lastHead;
}

/** Writes our member. `name` gives way to a vendor's own. */
export function writeEnvelope(
  out: ByteWriter,
  delivery: Omit<Delivery, "record">,
  style: EventStyle,
  xml: boolean,
  name: "mssp" | "mssp_",
): void {
  const head = envelopeHead(delivery, style.cimEntityZone);
  const { start, end } = xml ? head.xml : head.plain;
  out.ascii(name === "mssp" ? '"mssp":' : '"mssp_":');
  const { key } = delivery;
  out.bytes(start);
  out.ascii(delivery.change);
  out.ascii('","found":"');
  out.ascii(delivery.found);
  out.ascii('","key":');
  if (PLAIN_KEY.test(key)) {
    out.byte(QUOTE);
    out.ascii(key);
    out.byte(QUOTE);
  } else out.text(xml ? escapeMarkup(jsonForXml(key)) : jsonForXml(key));
  out.bytes(end);
}

/** True when the vendor's record has a member called `mssp`. */
function hasOurName(body: RecordBody): boolean {
  const { bytes, start, members } = body;
  let row = body.firstMember;
  for (let i = 0; i < body.memberCount; i++, row += MEMBER_FIELDS) {
    const at = start + members[row + NAME_START]!;
    const end = start + members[row + NAME_END]!;
    if ((members[row + KIND]! & NAME_HAS_ESCAPES) !== 0) {
      if (stringAt(bytes, at, end, true) === "mssp") return true;
    } else if (
      end - at === 6 &&
      bytes[at + 1] === 0x6d &&
      bytes[at + 2] === 0x73 &&
      bytes[at + 3] === 0x73 &&
      bytes[at + 4] === 0x70
    )
      return true;
  }
  return false;
}
