/**
 * The text of a segment of the buffer. An event consists of its rows, one line each, and one closing line:
 *
 *   O 0017955363581234567 {"AlertTime":…}     a row of the retired SIEM API
 *   A 0017955363581234568 {"tenantId":…}      a flat alert; I an incident, R a row of hunting, H health
 *   C 1a2b3c4d <key>                          CRC-32 of the rows' bytes, and the version's key (none for health)
 *
 * The number is the row's arrival in ticks, 19 digits, so that it sorts as text.
 */
import { crc32 } from "node:zlib";
import { writeFlatHealth, writeFlatJson } from "../../../format/arcsight/flat-json.ts";
import { siemRows } from "../../../format/arcsight/siem-rows.ts";
import { ByteWriter } from "../../../json/byte-writer.ts";
import type { Delivery, HealthEvent } from "../../../model/event.ts";
import type { Ticks } from "../../../model/instant.ts";
import { formatInstant, TICKS_PER_MS } from "../../../model/instant.ts";
import type { RecordKind } from "../../../model/stream.ts";

/**
 * What can be polled, and its row types. `old`: the retired SIEM API's rows; all others are flat
 * JSON.
 */
export const ROW_KINDS = { old: "O", alerts: "A", incidents: "I", health: "H", events: "AIRH" } as const;
export type RowKind = keyof typeof ROW_KINDS;

/** Types of the rows that an event of this kind has. */
export const ROW_TYPES_OF: Readonly<Record<RecordKind | "health", string>> = {
  alert: "OA",
  incident: "I",
  row: "R",
  health: "H",
};

const FLAT_ROW_TYPES: Readonly<Record<RecordKind, string>> = { alert: "A", incident: "I", row: "R" };
const HEX_DIGITS = 8;
const TICK_DIGITS = 19;
/** Length of `O `, the ticks and a blank. */
export const HEAD_BYTES = TICK_DIGITS + 3;

export function ticksText(ticks: Ticks): string {
  return (ticks < 0n ? 0n : ticks).toString().padStart(TICK_DIGITS, "0");
}

/** The row's type and ticks if `text` begins with a row's head. */
export function headOf(text: string): { readonly rowType: string; readonly at: string } | undefined {
  return /^[OAIRH] \d{19} /.test(text) ? { rowType: text.charAt(0), at: text.slice(2, 2 + TICK_DIGITS) } : undefined;
}

/**
 * Strictly increasing arrival times. None is a whole millisecond, and each group of rows begins in a new
 * millisecond. So a poller that stores the last time in milliseconds, truncated or plus one, misses nothing.
 */
export class Arrivals {
  #last: Ticks;

  /** @param last the newest time so far; this machine's clock may have been set back since. */
  constructor(last: Ticks, now: Ticks) {
    const following = (last / TICKS_PER_MS + 1n) * TICKS_PER_MS;
    this.#last = now > following ? now : following;
  }

  get last(): Ticks {
    return this.#last;
  }

  next(): Ticks {
    this.#last += 1n;
    if (this.#last % TICKS_PER_MS === 0n) this.#last += 1n;
    return this.#last;
  }
}

/** Appends one event. Only alerts have rows in the old form. */
export function writeDelivery(out: ByteWriter, delivery: Delivery, arrivals: Arrivals): void {
  const from = out.length;
  if (delivery.record.kind === "alert") {
    for (const row of siemRows(delivery, "")) {
      const at = arrivals.next();
      out.text(`O ${ticksText(at)} ${JSON.stringify({ ...row, LastProcessedTimeUtc: formatInstant(at) })}\n`);
    }
  }
  const flat = new ByteWriter(1 << 13);
  writeFlatJson(flat, delivery);
  writeFlat(out, FLAT_ROW_TYPES[delivery.record.kind], flat, arrivals);
  close(out, from, delivery.key);
}

export function writeHealth(out: ByteWriter, event: HealthEvent, arrivals: Arrivals): void {
  const from = out.length;
  const flat = new ByteWriter(1 << 12);
  writeFlatHealth(flat, event);
  writeFlat(out, "H", flat, arrivals);
  close(out, from, "");
}

/** Flat rows contain their arrival time, because their poller advances by it. */
function writeFlat(out: ByteWriter, rowType: string, lines: ByteWriter, arrivals: Arrivals): void {
  for (const line of lines.toString().split("\n").slice(0, -1)) {
    const at = arrivals.next();
    out.text(`${rowType} ${ticksText(at)} ${line.slice(0, -1)},"arrivedAt":"${formatInstant(at)}"}\n`);
  }
}

function close(out: ByteWriter, from: number, key: string): void {
  out.text(`C ${checkOf(out.view().subarray(from))} ${key}\n`);
}

function checkOf(rows: Uint8Array): string {
  return crc32(rows).toString(16).padStart(HEX_DIGITS, "0");
}

export interface WholeEvents {
  /** Length of the part with whole events. */
  readonly bytes: number;
  /** Keys of their versions, oldest first. */
  readonly keys: readonly string[];
  /** The time given last, by row type. */
  readonly lastByRowType: ReadonlyMap<string, Ticks>;
}

/**
 * Reads a segment up to the first incomplete event: a killed process leaves a partial event, a power loss
 * leaves holes.
 */
export function wholeEvents(segment: Buffer): WholeEvents {
  const keys: string[] = [];
  const lastByRowType = new Map<string, Ticks>();
  let event = 0;
  let open = new Map<string, string>();
  for (let line = 0, end = segment.indexOf(0x0a); end !== -1; line = end + 1, end = segment.indexOf(0x0a, line)) {
    const head = headOf(segment.toString("latin1", line, Math.min(end, line + HEAD_BYTES)));
    if (head) {
      open.set(head.rowType, head.at);
      continue;
    }
    const closing = /^C ([0-9a-f]{8}) (.*)$/s.exec(segment.toString("utf8", line, end));
    if (!closing || closing[1] !== checkOf(segment.subarray(event, line))) break;
    if (closing[2] !== "") keys.push(closing[2] as string);
    for (const [rowType, at] of open) lastByRowType.set(rowType, BigInt(at));
    open = new Map();
    event = end + 1;
  }
  return { bytes: event, keys, lastByRowType };
}
