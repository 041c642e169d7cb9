/**
 * Instants in ticks of 100 ns since 1970-01-01T00:00:00Z. Microsoft sends up to seven fraction digits and any number of
 * them (none, 2, 3, 7 within one answer), so text does not sort and a JavaScript Date would cut the last four digits.
 */
export type Ticks = bigint;

export const TICKS_PER_MS = 10_000n;
export const TICKS_PER_SECOND = 10_000_000n;

const SHAPE = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?\s*(?:([Zz])|([+-])(\d{2}):?(\d{2}))?$/;

/**
 * Reads an ISO 8601 instant exactly. Without a zone it is UTC: the Defender APIs write UTC and some leave the letter away.
 * Digits beyond the seventh are dropped. Returns undefined for anything that is not an instant.
 */
export function parseInstant(text: string): Ticks | undefined {
  const m = SHAPE.exec(text);
  if (!m) return undefined;
  const [, year, month, day, hour, minute, second = "00", fraction = "", , sign, zoneHours = "00", zoneMinutes = "00"] = m;
  const y = Number(year);
  const mo = Number(month);
  const d = Number(day);
  const wholeMs = Date.UTC(y, mo - 1, d, Number(hour), Number(minute), Number(second));
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const check = new Date(wholeMs);
  if (y < 100 || check.getUTCFullYear() !== y || check.getUTCMonth() !== mo - 1 || check.getUTCDate() !== d) return undefined;
  const offsetMinutes = Number(zoneHours) * 60 + Number(zoneMinutes);
  const offsetMs = (sign === "-" ? -1 : 1) * offsetMinutes * 60_000;
  return BigInt(wholeMs - offsetMs) * TICKS_PER_MS + BigInt(fraction.slice(0, 7).padEnd(7, "0"));
}

/** Writes UTC with exactly seven fraction digits and `Z`: the form used in keys and in questions to Microsoft. */
export function formatInstant(ticks: Ticks): string {
  let ms = ticks / TICKS_PER_MS;
  let rest = ticks % TICKS_PER_MS;
  if (rest < 0n) {
    rest += TICKS_PER_MS;
    ms -= 1n;
  }
  const iso = new Date(Number(ms)).toISOString();
  return `${iso.slice(0, -1)}${rest.toString().padStart(4, "0")}Z`;
}

export function ticksFromMs(ms: number): Ticks {
  return BigInt(Math.round(ms)) * TICKS_PER_MS;
}

/** Milliseconds since 1970, rounded down. */
export function msFromTicks(ticks: Ticks): number {
  const ms = ticks / TICKS_PER_MS;
  return Number(ticks % TICKS_PER_MS < 0n ? ms - 1n : ms);
}
