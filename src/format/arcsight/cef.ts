/** Deliveries and health as CEF lines for ArcSight. */

import type { ByteWriter } from "../../json/byte-writer.ts";
import { digitsOf, wholeNumber } from "../../json/exact-numbers.ts";
import type { Delivery, HealthEvent } from "../../model/event.ts";
import { msFromTicks, parseInstant } from "../../model/instant.ts";
import { ownEntry } from "../../model/own-entry.ts";
import { isIpv4, isIpv6, macAddress } from "./addresses.ts";
import { CefBytes } from "./cef-bytes.ts";
import { CEF_INTEGER_MAX, CEF_KEYS, type CefKey, type CefVersion } from "./cef-dictionary.ts";
import {
  type CefHeader,
  type CefPair,
  cefHead,
  cefIdentifier,
  cefText,
  fittedCefLine,
  fittedCefValue,
} from "./cef-line.ts";
import {
  CEF_SEVERITY,
  type CefProfile,
  type CefValueKind,
  HEALTH_CLASSES,
  type HealthNotice,
  type LegacyExtras,
  LONG_ID_ROW,
  type MappingRow,
  mappingTable,
} from "./cef-mapping.ts";
import { type FlatRecord, flatten, isTimeOfEvent } from "./flat-record.ts";
import { customerOf, type SiemRow, siemRow, siemSummary } from "./siem-rows.ts";

/** `none`: one line per alert. `each`: one more for each evidence item. */
export type CefEvidence = "none" | "each";

/** Writes the delivery's lines, each with a line end; returns how many. */
export function writeCef(
  out: ByteWriter,
  delivery: Delivery,
  profile: CefProfile,
  evidence: CefEvidence = "none",
  version: CefVersion = 0,
): number {
  const { summary, perItem } = flatten(delivery);
  const line = (flat: FlatRecord, source: SiemRow | undefined): void => {
    const row = (source === undefined ? flat : legacySource(flat, source)) as Source;
    const header = headerOf(profile, flat, row, version);
    const rows = PREPARED[version][profile];
    if (!writePlainLine(out, header, rows, row)) out.text(`${fittedCefLine(header, pairsOf(rows, row))}\n`);
  };
  line(summary, profile === "legacy" ? siemSummary(delivery, summary) : undefined);
  if (evidence === "none" || summary.kind !== "alert") return 1;
  const items = delivery.stream === "siem-alerts" ? [] : perItem();
  for (const item of items) line(item, profile === "legacy" ? siemRow(item, delivery, "", "") : undefined);
  return 1 + items.length;
}

type Source = Readonly<Record<string, unknown>>;

function legacySource(flat: FlatRecord, row: SiemRow): object {
  const extras: LegacyExtras = customerOf(flat);
  if (flat.evidenceKind !== undefined) extras.EvidenceKind = flat.evidenceKind;
  if (flat.evidenceKind !== undefined && flat.evidenceContext !== undefined)
    extras.EvidenceContext = flat.evidenceContext;
  return Object.assign(row, extras);
}

function headerOf(profile: CefProfile, flat: FlatRecord, source: Source, version: CefVersion): CefHeader {
  const { deviceVendor, deviceProduct, deviceVersion, name, severity } = mappingTable[profile];
  const title = source[name];
  const words = CEF_SEVERITY[profile];
  const word = source[severity];
  return {
    version,
    deviceVendor,
    deviceProduct,
    deviceVersion,
    deviceEventClassId: flat.eventClassId,
    name: typeof title === "string" && cefText(title) !== "" ? title : `Defender ${flat.kind}`,
    severity: ownEntry(words, typeof word === "string" ? word.toLowerCase() : undefined) ?? "Unknown",
  };
}

function pairsOf(rows: readonly PreparedRow[], source: Source): readonly CefPair[] {
  const pairs = new Map<CefKey, CefPair>();
  let longId: string | undefined;
  for (const { row } of rows) {
    if (pairs.has(row.key)) continue;
    const value = cefValue(row, source[row.from]);
    if (value === undefined || value === "") continue;
    const { max } = CEF_KEYS[row.key];
    if (row.kind === "identifier" && row.key === "externalId" && max > 0 && value.length > max) longId = value;
    pairs.set(row.key, {
      key: row.key,
      value: row.kind === "identifier" ? cefIdentifier(value, max) : value,
      ...(row.cutOrder === undefined ? {} : { cutOrder: row.cutOrder }),
      ...(row.label === undefined ? {} : { label: row.label }),
    });
  }
  if (longId !== undefined && longId.length <= CEF_KEYS[LONG_ID_ROW.key].max) {
    pairs.set(LONG_ID_ROW.key, { key: LONG_ID_ROW.key, value: longId, label: LONG_ID_ROW.label });
  }
  return Array.from(pairs.values());
}

/** A mapping row with all that is the same in every line. */
interface PreparedRow {
  readonly row: MappingRow;
  readonly beginning: string;
  readonly label: string;
  readonly max: number;
  /** The row before it with the same key: of two the first that has a value is written. -1: none. */
  readonly earlier: number;
}

function preparedRows(profile: CefProfile, version: CefVersion): readonly PreparedRow[] {
  const { rows: always, rowsOfVersion1 } = mappingTable[profile];
  const rows = version === 0 ? always : [...always, ...rowsOfVersion1];
  return rows.map((row, i) => ({
    row,
    beginning: ` ${row.key}=`,
    label: row.label === undefined ? "" : ` ${row.key}Label=${row.label}`,
    max: CEF_KEYS[row.key].max,
    earlier: rows.slice(0, i).findLastIndex(({ key }) => key === row.key),
  }));
}

function preparedProfiles(version: CefVersion): Readonly<Record<CefProfile, readonly PreparedRow[]>> {
  return {
    legacy: preparedRows("legacy", version),
    xdr: preparedRows("xdr", version),
    mcas: preparedRows("mcas", version),
  };
}

const PREPARED: Readonly<Record<CefVersion, Readonly<Record<CefProfile, readonly PreparedRow[]>>>> = {
  0: preparedProfiles(0),
  1: preparedProfiles(1),
};
const written = new Uint8Array(Math.max(...Object.values(PREPARED[1]).map(({ length }) => length)));

const LINE_END = 0x0a;
/** A line is made here and copied out when it is whole. */
const plain = new CefBytes();

/**
 * The line that `fittedCefLine` makes of `pairsOf`, without making the pairs: nearly every line is such.
 * False when it is too long or an identifier is, and nothing is written: then one field bears on others.
 */
function writePlainLine(out: ByteWriter, header: CefHeader, rows: readonly PreparedRow[], source: Source): boolean {
  plain.reset();
  plain.text(cefHead(header));
  const start = plain.length;
  for (let i = 0; i < rows.length; i++) {
    const { row, beginning, label, max, earlier } = rows[i]!;
    written[i] = earlier < 0 ? 0 : written[earlier]!;
    if (written[i] === 1) continue;
    const given = source[row.from];
    if (given === undefined || given === null || given === "") continue;
    const value = cefValue(row, given);
    if (value === undefined) continue;
    written[i] = 1;
    const isLong = max > 0 && value.length > max;
    if (row.kind === "identifier" && isLong) return false;
    const before = plain.length;
    // The first pair has no blank before it.
    plain.ascii(before === start ? beginning.slice(1) : beginning);
    if (isLong || !plain.printable(value)) {
      const text = fittedCefValue(value, row.key, row.cutOrder, max);
      if (text === "") {
        plain.back(before);
        continue;
      }
      plain.text(text);
    }
    plain.ascii(label);
    if (plain.isTooLong) return false;
  }
  out.copy(plain.bytes, 0, plain.length);
  out.byte(LINE_END);
  return true;
}

const FLAGS = { true: "1", false: "0" } as const;

/** How each kind of value is written; undefined where the value is not of that kind. */
const WRITTEN: Readonly<Record<CefValueKind, (text: string, key: CefKey) => string | undefined>> = {
  text: (text) => text,
  identifier: (text) => text,
  list: (text, key) => wholeElements(text, CEF_KEYS[key].max),
  framework: () => "MITRE ATT&CK",
  time: (text) => {
    const ticks = parseInstant(text);
    return ticks === undefined ? undefined : writtenTime(msFromTicks(ticks));
  },
  flag: (text) => ownEntry(FLAGS, text),
  number: (text, key) => {
    const digits = digitsOf(wholeNumber(text));
    if (digits === undefined) return undefined;
    return CEF_KEYS[key].type === "integer" && Math.abs(Number(digits)) > CEF_INTEGER_MAX ? undefined : digits;
  },
  ipv4: (text) => (isIpv4(text) ? text : undefined),
  ipv6: (text) => (isIpv6(text) ? text : undefined),
  mac: (text) => macAddress(text),
};

function wholeElements(list: string, max: number): string | undefined {
  if (list.length <= max) return list;
  const end = list.lastIndexOf(",", max);
  return end <= 0 ? undefined : list.slice(0, end);
}

function writtenTime(ms: number): string | undefined {
  return isTimeOfEvent(ms) ? String(ms) : undefined;
}

function cefValue({ kind, key }: MappingRow, value: unknown): string | undefined {
  // Most values are such.
  if (typeof value === "string" && value !== "" && (kind === "text" || kind === "identifier")) return value;
  if (typeof value === "number" && kind === "time") return writtenTime(value);
  // Most numbers are such, and no pattern is needed for them.
  if (kind === "number" && typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= CEF_INTEGER_MAX)
    return String(value);
  if (typeof value === "boolean" && kind !== "flag") return undefined;
  const text = typeof value === "string" || typeof value === "boolean" ? String(value) : digitsOf(value);
  return text === undefined || text === "" ? undefined : WRITTEN[kind](text, key);
}

/** From this many days on a credential's end is reported; at this many it is urgent. */
const CREDENTIAL_DAYS_REPORTED = 60;
const CREDENTIAL_DAYS_URGENT = 7;

/**
 * A health event as one line per stream, and one for each condition that an analyst may want a rule for;
 * returns how many.
 */
export function writeCefHealth(
  out: ByteWriter,
  event: HealthEvent,
  profile: CefProfile,
  version: CefVersion = 0,
): number {
  let lines = 0;
  const line = (state: keyof typeof HEALTH_CLASSES, pairs: readonly CefPair[], severity?: string): void => {
    writeHealthLine(out, { profile, version }, state, event, pairs, severity);
    lines++;
  };
  if (event.roster?.failure) {
    const { roster } = event;
    const pairs: CefPair[] = [
      number("cn1", roster.differences.length + roster.more, "Differences"),
      { key: "reason", value: roster.failure ?? "", cutOrder: 3 },
      { key: "cs1", value: roster.actor ?? "", label: "Who Must Act", cutOrder: 4 },
      { key: "msg", value: [roster.say, roster.next_step ?? ""].join(" "), cutOrder: 1 },
    ];
    line("roster-difference", pairs);
  }
  const days = event.credential_days_left;
  for (const stream of event.streams) {
    const pairs: CefPair[] = [
      { key: "cat", value: stream.stream },
      { key: "outcome", value: stream.state },
      ...(stream.lag_s === null ? [] : [number("cn1", stream.lag_s, "Lag Seconds")]),
      number("cn2", stream.swept, "Sweep Found"),
      ...(stream.failure === null ? [] : [{ key: "reason", value: stream.failure, cutOrder: 3 } as const]),
      ...(stream.actor === null
        ? []
        : [{ key: "cs1", value: stream.actor, label: "Who Must Act", cutOrder: 4 } as const]),
      ...(stream.say === null
        ? []
        : [{ key: "msg", value: [stream.say, stream.next_step ?? ""].join(" "), cutOrder: 1 } as const]),
    ];
    line(stream.state, pairs);
    if (stream.swept > 0)
      line("sweep-found", [{ key: "cat", value: stream.stream }, number("cn2", stream.swept, "Sweep Found")]);
  }
  if (days !== null && days <= CREDENTIAL_DAYS_REPORTED) {
    const pairs: CefPair[] = [
      number("cn3", Math.max(0, days), "Credential Days Left"),
      ...(event.credential === null
        ? []
        : [{ key: "cs2", value: event.credential, label: "Credential", cutOrder: 2 } as const]),
    ];
    line("credential-expiring", pairs, days <= CREDENTIAL_DAYS_URGENT ? "8" : undefined);
  }
  return lines;
}

/** A condition of the helper itself (a spool that fills); `say` is one sentence. */
export function writeCefNotice(
  out: ByteWriter,
  notice: HealthNotice,
  event: Pick<HealthEvent, "time" | "tenant" | "tenant_id">,
  say: string,
  profile: CefProfile,
  version: CefVersion = 0,
): void {
  writeHealthLine(out, { profile, version }, notice, event, [{ key: "msg", value: say, cutOrder: 1 }]);
}

function number(key: CefKey, value: number, label: string): CefPair {
  return { key, value: String(Math.round(value)), label };
}

function writeHealthLine(
  out: ByteWriter,
  { profile, version }: { readonly profile: CefProfile; readonly version: CefVersion },
  state: keyof typeof HEALTH_CLASSES,
  event: Pick<HealthEvent, "time" | "tenant" | "tenant_id">,
  pairs: readonly CefPair[],
  severity: string = HEALTH_CLASSES[state].severity,
): void {
  const { deviceVendor, deviceProduct, deviceVersion } = mappingTable[profile];
  const at = parseInstant(event.time);
  const header: CefHeader = {
    version,
    deviceVendor,
    deviceProduct,
    deviceVersion,
    deviceEventClassId: `health:${state}`,
    name: HEALTH_CLASSES[state].name,
    severity,
  };
  const common: CefPair[] = [
    ...(event.tenant_id === "" ? [] : [{ key: "deviceExternalId", value: event.tenant_id } as const]),
    ...(event.tenant === "" ? [] : [{ key: "cs3", value: event.tenant, label: "Tenant", cutOrder: 5 } as const]),
    ...(at === undefined ? [] : [{ key: "rt", value: String(msFromTicks(at)) } as const]),
  ];
  out.text(`${fittedCefLine(header, [...common, ...pairs])}\n`);
}
