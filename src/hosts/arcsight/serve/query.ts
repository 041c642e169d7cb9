/**
 * The parameters that a poller of the retired SIEM API may send. Source: Microsoft Defender ATP docs, "Pull
 * detections using SIEM REST API". Forms of times: what pollers, Java and shells write.
 */
import type { Ticks } from "../../../model/instant.ts";
import { formatInstant, parseInstant, TICKS_PER_MS, TICKS_PER_SECOND, ticksFromMs } from "../../../model/instant.ts";

export interface PollQuery {
  /** Exclusive. */
  readonly after: Ticks;
  /** Inclusive; undefined: all rows present. */
  readonly until?: Ticks;
  /** Only this many newest rows. */
  readonly limit?: number;
  readonly machineGroups: readonly string[];
  readonly machineTags: readonly string[];
}

export type QueryReading =
  | { readonly ok: true; readonly query: PollQuery }
  | { readonly ok: false; readonly say: string };

const DEFAULT_LOOKBACK_MS = 2 * 3_600_000;
/** Tolerated difference between two machines' clocks; a later start is a mistake. */
const AHEAD_MAX_MS = 10 * 60_000;
const SHOWN_MAX = 60;
const INSTEAD = "write it as 2026-11-24T16:00:00Z, or as epoch milliseconds";

/**
 * Reads a poll's parameters, with names in any case. `since` and `until` are short forms of the old names.
 * `sinceTimeUtc` overrides `ago`.
 *
 * @param newest the time given last to a row. After this machine's clock stepped back it is in the future,
 * and
 *   pollers rightly ask from there.
 */
export function readPollQuery(params: URLSearchParams, nowMs: number, newest: Ticks): QueryReading {
  const one = (...names: readonly string[]): string | undefined => {
    const found = [...params].find(
      ([key, value]) => names.some((name) => key.toLowerCase() === name.toLowerCase()) && value.trim() !== "",
    );
    return found?.[1].trim();
  };
  const all = (name: string): readonly string[] =>
    [...params].flatMap(([key, value]) =>
      key.toLowerCase() === name.toLowerCase() && value.trim() !== "" ? [value.trim()] : [],
    );
  const now = ticksFromMs(nowMs);
  let after = now - ticksFromMs(DEFAULT_LOOKBACK_MS);
  const since = one("sinceTimeUtc", "since");
  const ago = one("ago");
  if (since !== undefined) {
    const at = readTime(since);
    if (at === undefined) return { ok: false, say: notATime("sinceTimeUtc", since) };
    const latest = now > newest ? now : newest;
    if (at > latest + ticksFromMs(AHEAD_MAX_MS))
      return {
        ok: false,
        say: `sinceTimeUtc ${formatInstant(at)} is in the future, here it is ${formatInstant(now)}; correct the connector's clock or time zone`,
      };
    after = at;
  } else if (ago !== undefined) {
    const lookback = readDuration(ago);
    if (lookback === undefined)
      return { ok: false, say: `ago ${shown(ago)} is not a duration; write it as PT10M or P1D` };
    after = now - lookback;
  }
  const untilText = one("untilTimeUtc", "until");
  const until = untilText === undefined ? undefined : readTime(untilText);
  if (untilText !== undefined && until === undefined) return { ok: false, say: notATime("untilTimeUtc", untilText) };
  const limitText = one("limit");
  if (limitText !== undefined && !/^\d{1,9}$/.test(limitText))
    return { ok: false, say: `limit ${shown(limitText)} is not a whole number; leave it out or write one` };
  return {
    ok: true,
    query: {
      after,
      ...(until === undefined ? {} : { until }),
      ...(limitText === undefined ? {} : { limit: Number(limitText) }),
      machineGroups: all("machinegroups"),
      machineTags: [...all("DeviceCreatedMachineTags"), ...all("CloudCreatedMachineTags")],
    },
  };
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/** `Tue Nov 24 19:00:00 UTC 2026`, Java's form of a date. */
const JAVA_DATE = /^[a-z]{3} ([a-z]{3}) (\d{1,2}) (\d{2}:\d{2}:\d{2}) (?:utc|gmt|z) (\d{4})$/i;
/** `Tue, 24 Nov 2026 19:00:00 GMT` (RFC 9110, 5.6.7). */
const HTTP_DATE = /^[a-z]{3}, (\d{1,2}) ([a-z]{3}) (\d{4}) (\d{2}:\d{2}:\d{2}) (?:utc|gmt|z)$/i;

/**
 * `Nov 24 2026 19:00:00` and `Nov 24 2026 19:00:00.123`, as connectors write times (CEF standard, "Date
 * Formats"); UTC, with or without a zone.
 */
const CONNECTOR_DATE = /^([a-z]{3}) (\d{1,2}),? (\d{4}) (\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)(?: (?:utc|gmt|z))?$/i;
/** `20261124T190000Z`: ISO 8601, basic format. */
const BASIC_DATE = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2}(?:\.\d+)?)(.*)$/i;

/** A time in any plausible form; undefined for any other text. */
export function readTime(text: string): Ticks | undefined {
  // A plus sign that was not encoded arrives as a space.
  const unquoted = text
    .trim()
    .replace(/^(["'])(.*)\1$/, "$2")
    .trim();
  const plain = unquoted
    .replace(/(:\d{2}),(\d)/, "$1.$2")
    .replace(/(:\d{2}(?:\.\d+)?) (\d{2}:?\d{2})$/, "$1+$2")
    .replace(/^(\d{4})\/(\d{2})\/(\d{2})/, "$1-$2-$3");
  if (/^\d{9,11}(\.\d{1,7})?$/.test(plain))
    return BigInt(plain.split(".")[0] as string) * TICKS_PER_SECOND + fraction(plain);
  if (/^\d{12,14}$/.test(plain)) return BigInt(plain) * TICKS_PER_MS;
  if (/^\d{4}-\d{2}-\d{2}$/.test(plain)) return parseInstant(`${plain}T00:00:00Z`);
  const java = JAVA_DATE.exec(plain);
  if (java) return fromWords(java[4], java[1], java[2], java[3]);
  const http = HTTP_DATE.exec(plain);
  if (http) return fromWords(http[3], http[2], http[1], http[4]);
  const connector = CONNECTOR_DATE.exec(plain);
  if (connector) return fromWords(connector[3], connector[1], connector[2], connector[4]);
  return parseInstant(plain.replace(BASIC_DATE, "$1-$2-$3T$4:$5:$6$7").replace(/ ?(utc|gmt)$/i, "Z"));
}

function fraction(text: string): bigint {
  return BigInt((text.split(".")[1] ?? "").padEnd(7, "0"));
}

function fromWords(
  year: string | undefined,
  month: string | undefined,
  day: string | undefined,
  time: string | undefined,
): Ticks | undefined {
  const index = MONTHS.indexOf((month ?? "").toLowerCase());
  if (index === -1) return undefined;
  return parseInstant(`${year}-${String(index + 1).padStart(2, "0")}-${(day ?? "").padStart(2, "0")}T${time}Z`);
}

/** ISO 8601 duration in weeks, days, hours, minutes and seconds. */
function readDuration(text: string): Ticks | undefined {
  const m = /^P(?:(\d{1,5})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})(?:[.,]\d+)?S)?)?$/i.exec(
    text,
  );
  if (!m || /^PT?$/i.test(text)) return undefined;
  const [weeks, days, hours, minutes, seconds] = m.slice(1).map((part) => BigInt(part ?? 0)) as [
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  return ((((weeks * 7n + days) * 24n + hours) * 60n + minutes) * 60n + seconds) * TICKS_PER_SECOND;
}

function notATime(name: string, text: string): string {
  if (/^\$[A-Z_{]/i.test(text))
    return `${name} still contains the variable ${shown(text)}, which the connector did not replace; use a connector type whose Events URL supports ${shown(text)}`;
  return `${name} ${shown(text)} is not a time; ${INSTEAD}`;
}

function shown(text: string): string {
  const plain = text.replaceAll(/[^\x20-\x7e]/g, "?");
  return plain.length <= SHOWN_MAX ? plain : `${plain.slice(0, SHOWN_MAX)}...`;
}
