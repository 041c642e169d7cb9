/**
 * Instants as Microsoft writes them: `2021-04-27T12:19:27.7211305Z`, with none to seven fraction digits. Kept
 * as 100 ns ticks since 1970 (bigint), because a JavaScript Date keeps milliseconds only. Written apart from
 * the product's own reading of instants on purpose: one misreading must not be made twice.
 */

const PATTERN = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?$/;
const TICKS_PER_MS = 10_000n;

/**
 * Ticks of an ISO 8601 instant, or undefined when the text is not one. A date alone is midnight; a missing
 * zone is UTC. Digits beyond the seventh are cut.
 */
export function ticksOf(text: string): bigint | undefined {
  const full = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text;
  const match = PATTERN.exec(full);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second = "00", fraction = "", zone = "Z"] = match;
  const base = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone}`);
  if (Number.isNaN(base)) return undefined;
  return BigInt(base) * TICKS_PER_MS + BigInt(fraction.padEnd(7, "0").slice(0, 7));
}

/** The instant as text, UTC, with exactly `digits` (0 to 7) fraction digits; further digits are cut. */
export function textOfTicks(ticks: bigint, digits = 7): string {
  const second = ticks - (((ticks % 10_000_000n) + 10_000_000n) % 10_000_000n);
  const fraction = (ticks - second).toString().padStart(7, "0").slice(0, digits);
  const head = new Date(Number(second / TICKS_PER_MS)).toISOString().slice(0, 19);
  return digits === 0 ? `${head}Z` : `${head}.${fraction}Z`;
}

export function ticksOfMs(ms: number): bigint {
  return BigInt(Math.floor(ms)) * TICKS_PER_MS;
}

export function msOfTicks(ticks: bigint): number {
  return Number(ticks / TICKS_PER_MS);
}

const QUOTED_INSTANT = /"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z"/g;

/**
 * Moves every string of a JSON text that is wholly an instant in UTC; each keeps its number of fraction
 * digits.
 */
export function shiftInstants(json: string, byTicks: bigint): string {
  return json.replace(QUOTED_INSTANT, (whole, head: string, fraction: string | undefined) => {
    const ticks = ticksOf(`${head}${fraction === undefined ? "" : `.${fraction}`}Z`);
    return ticks === undefined ? whole : `"${textOfTicks(ticks + byTicks, fraction?.length ?? 0)}"`;
  });
}

const DURATION = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;

/** Milliseconds of an ISO 8601 duration made of weeks to seconds (`PT10M`, `P7D`), or undefined. */
export function durationMs(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null || text === "P" || text.endsWith("T")) return undefined;
  const [, weeks = "0", days = "0", hours = "0", minutes = "0", seconds = "0"] = match;
  return (
    (((Number(weeks) * 7 + Number(days)) * 24 + Number(hours)) * 60 + Number(minutes)) * 60_000 + Number(seconds) * 1000
  );
}
