const SHAPE = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d+))?)?\s*(?:[Zz]|([+-])(\d{2}):?(\d{2}))?$/;

/**
 * An instant as UTC text with exactly seven fraction digits (100 ns), so that text order is time order:
 * `2026-01-02T03:04:05.6700000Z`. Services write none to seven digits, with or without a zone (then UTC).
 * Undefined for anything else.
 */
export function sevenDigits(text: string): string | undefined {
  const parts = SHAPE.exec(text);
  if (!parts) return undefined;
  const [, date, minutes, seconds = "00", fraction = "", sign, zoneHours, zoneMinutes] = parts;
  let whole = `${date}T${minutes}:${seconds}`;
  const ms = Date.parse(`${whole}Z`);
  if (Number.isNaN(ms)) return undefined;
  if (sign) {
    const offsetMs = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60_000;
    whole = new Date(ms - (sign === "-" ? -offsetMs : offsetMs)).toISOString().slice(0, 19);
  }
  return `${whole}.${fraction.slice(0, 7).padEnd(7, "0")}Z`;
}
