/**
 * Instants in ticks of 100 ns since 1970-01-01T00:00:00Z. Microsoft sends up to seven fraction digits and any
 * number of them (none, 2, 3, 7 within one answer), so text does not sort and a JavaScript Date would lose
 * the last four digits.
 */
export type Ticks = bigint;

export const TICKS_PER_MS = 10_000n;
export const TICKS_PER_SECOND = 10_000_000n;

const SHAPE =
  /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?\s*(?:([Zz])|([+-])(\d{2}):?(\d{2}))?$/;

/**
 * Reads an ISO 8601 instant exactly. Without a zone it is UTC: the Defender APIs write UTC and some omit the
 * letter. Digits beyond the seventh are dropped. Returns undefined for anything that is not an instant.
 */
export function parseInstant(text: string): Ticks | undefined {
  const m = SHAPE.exec(text);
  if (!m) return undefined;
  const [, year, month, day, hour, minute, second = "00", fraction = "", , sign, zoneHours = "00", zoneMinutes = "00"] =
    m;
  const y = Number(year);
  const mo = Number(month);
  const d = Number(day);
  const wholeMs = Date.UTC(y, mo - 1, d, Number(hour), Number(minute), Number(second));
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const check = new Date(wholeMs);
  if (y < 100 || check.getUTCFullYear() !== y || check.getUTCMonth() !== mo - 1 || check.getUTCDate() !== d)
    return undefined;
  const offsetMinutes = Number(zoneHours) * 60 + Number(zoneMinutes);
  const offsetMs = (sign === "-" ? -1 : 1) * offsetMinutes * 60_000;
  return BigInt(wholeMs - offsetMs) * TICKS_PER_MS + BigInt(fraction.slice(0, 7).padEnd(7, "0"));
}

/**
 * One instant as two halves, because arithmetic with bigints calls out of compiled code and leaves garbage
 * for each record. Where a product or a sum of doubles is rounded, it is off by less than 1,000, and division
 * and rounding to a whole number remove that.
 */
const halves = new DataView(new ArrayBuffer(8));
const FRACTIONS = 10_000_000;
const HIGH = 2 ** 32;

/** `seconds` is whole, `fraction` counts ticks below one second. */
export function ticksFromSeconds(seconds: number, fraction: number): Ticks {
  const low = (Math.imul(seconds, FRACTIONS) + fraction) >>> 0;
  halves.setUint32(0, low, true);
  halves.setInt32(4, Math.round((seconds * FRACTIONS + fraction - low) / HIGH), true);
  return halves.getBigInt64(0, true);
}

let lastSecond = 0;

/** The ticks beyond the last whole second, and that second in `lastSecond`. */
function fractionOf(ticks: Ticks): number {
  halves.setBigInt64(0, ticks, true);
  const low = halves.getUint32(0, true);
  const high = halves.getInt32(4, true);
  const rest = high * (HIGH % FRACTIONS) + low;
  const fraction = rest - Math.floor(rest / FRACTIONS) * FRACTIONS;
  lastSecond = Math.round((high * HIGH + low - fraction) / FRACTIONS);
  return fraction;
}

/** The last written day, because thousands of records are from the same few days. */
let lastDay = Number.NaN;
let lastDayText = "";

/**
 * Writes UTC with exactly seven fraction digits and `Z`: the form in keys and in requests to Microsoft.
 */
export function formatInstant(ticks: Ticks): string {
  const fraction = fractionOf(ticks);
  const second = lastSecond;
  const day = Math.floor(second / 86_400);
  if (day !== lastDay) {
    lastDayText = new Date(day * 86_400_000).toISOString().slice(0, -13);
    lastDay = day;
  }
  const ofDay = second - day * 86_400;
  const hour = Math.floor(ofDay / 3600);
  const minute = Math.floor((ofDay - hour * 3600) / 60);
  // One more digit in front keeps the zeros.
  return `${lastDayText}${TWO_DIGITS[hour]}:${TWO_DIGITS[minute]}:${TWO_DIGITS[ofDay % 60]}.${String(fraction + FRACTIONS).slice(1)}Z`;
}

const TWO_DIGITS: readonly string[] = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, "0"));

export function ticksFromMs(ms: number): Ticks {
  return BigInt(Math.round(ms)) * TICKS_PER_MS;
}

/** Milliseconds since 1970, rounded down. */
export function msFromTicks(ticks: Ticks): number {
  const fraction = fractionOf(ticks);
  return lastSecond * 1000 + Math.floor(fraction / 10_000);
}
