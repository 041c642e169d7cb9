import type { Ticks } from "../model/instant.ts";
import { parseInstant, ticksFromSeconds } from "../model/instant.ts";
import { textAt } from "./json-text.ts";

function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = bytes[at]! - 0x30;
  const ones = bytes[at + 1]! - 0x30;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

/**
 * Days since 1970-01-01 of a Gregorian date (the era arithmetic of H. Hinnant's "chrono-compatible low-level
 * date algorithms").
 */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

const DAYS_IN_MONTH = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * parseInstant for the form that Microsoft sends, `2026-11-24T16:05:58[.fraction]Z`, straight from bytes;
 * every other form goes to parseInstant itself. The two agree on every input (instant-bytes.test.ts).
 */
export function parseInstantBytes(bytes: Uint8Array, from: number, to: number): Ticks | undefined {
  const fast = plainInstant(bytes, from, to);
  return fast ?? parseInstant(textAt(bytes, from, to));
}

function plainInstant(bytes: Uint8Array, from: number, to: number): Ticks | undefined {
  const length = to - from;
  if (length < 20 || length > 30 || bytes[to - 1] !== 0x5a) return undefined;
  if (bytes[from + 4] !== 0x2d || bytes[from + 7] !== 0x2d || bytes[from + 10] !== 0x54) return undefined;
  if (bytes[from + 13] !== 0x3a || bytes[from + 16] !== 0x3a) return undefined;
  const century = twoDigits(bytes, from);
  const yearOfCentury = twoDigits(bytes, from + 2);
  const month = twoDigits(bytes, from + 5);
  const day = twoDigits(bytes, from + 8);
  const hour = twoDigits(bytes, from + 11);
  const minute = twoDigits(bytes, from + 14);
  const second = twoDigits(bytes, from + 17);
  if (century < 1 || yearOfCentury < 0 || month < 1 || month > 12 || day < 1) return undefined;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return undefined;
  const year = century * 100 + yearOfCentury;
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (day > DAYS_IN_MONTH[month]! && !(leap && month === 2 && day === 29)) return undefined;
  let fraction = 0;
  if (length > 20) {
    if (bytes[from + 19] !== 0x2e || length === 21) return undefined;
    let scale = 1_000_000;
    for (let i = from + 20; i < to - 1; i++) {
      const digit = bytes[i]! - 0x30;
      if (digit < 0 || digit > 9) return undefined;
      fraction += digit * scale;
      scale = scale >= 10 ? scale / 10 : 0;
    }
  }
  return ticksFromSeconds(daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second, fraction);
}
