/** The last 24 hours of customers, from a search for their health events: pure functions. */
import type { Found } from "../rest-watch.ts";

export const HISTORY_EARLIEST = "-24h";
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** One stream in one health event. */
export interface Moment {
  readonly atMs: number;
  readonly input: string;
  readonly stream: string;
  readonly state: string;
  readonly lagS: number | undefined;
  /** Since the health event before. */
  readonly events: number;
}

/** A text inside quotes of a search. */
export function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** Health events of these inputs, one row per stream. */
export function historySearch(inputs: readonly string[]): string {
  const anyOf = inputs.map((input) => `input=${quoted(input)}`).join(" OR ");
  const of = (member: string) => `json_extract(stream_json,"${member}")`;
  return `\`defender_mssp_health_rows\` | where ${anyOf} | spath path=streams{} output=stream_json | mvexpand stream_json | eval at=_time, stream=${of("stream")}, state=${of("state")}, lag_s=${of("lag_s")}, events=tonumber(${of("new")})+tonumber(${of("updated")}) | table at, input, stream, state, lag_s, events`;
}

/** Oldest first. */
export function momentsOf(rows: readonly Found[]): readonly Moment[] {
  return rows
    .map((row): Moment => {
      const lagS = Number(textIn(row, "lag_s"));
      return {
        atMs: Number(textIn(row, "at")) * 1000,
        input: textIn(row, "input"),
        stream: textIn(row, "stream"),
        state: textIn(row, "state"),
        lagS: textIn(row, "lag_s") === "" || !Number.isFinite(lagS) ? undefined : lagS,
        events: Number(textIn(row, "events")) || 0,
      };
    })
    .filter(({ atMs }) => Number.isFinite(atMs))
    .toSorted((a, b) => a.atMs - b.atMs);
}

export function textIn(row: Found, name: string): string {
  const value = row[name];
  return value === undefined ? "" : typeof value === "string" ? value : value.join(", ");
}

/** A place in a plot: 0 is 24 hours ago, 1 is now. */
export interface Point {
  readonly at: number;
  readonly value: number;
}

/** The largest lag of all streams at each health event. */
export function lagPoints(moments: readonly Moment[], nowMs: number): readonly Point[] {
  const latest = new Map<string, number>();
  const points = new Map<number, number>();
  for (const { atMs, stream, lagS } of moments) {
    if (lagS === undefined) continue;
    latest.set(stream, lagS);
    points.set(placeOf(atMs, nowMs), Math.max(...latest.values()));
  }
  return [...points].map(([at, value]) => ({ at, value }));
}

/** Events of all streams in each of the last 24 hours, the oldest hour first. */
export function eventsPerHour(moments: readonly Moment[], nowMs: number): readonly number[] {
  const hours = Array.from({ length: 24 }, () => 0);
  for (const { atMs, events } of moments) {
    const hour = Math.floor((atMs - (nowMs - DAY_MS)) / HOUR_MS);
    const at = Math.min(Math.max(hour, 0), hours.length - 1);
    hours[at] = (hours[at] ?? 0) + events;
  }
  return hours;
}

export interface Span {
  readonly state: string;
  readonly from: number;
  readonly to: number;
}

/** How long a health event holds without another one. */
const HOLDS_MS = 2 * HOUR_MS;

/** What state one stream had when; gaps are times of which nothing is known. */
export function spansOf(moments: readonly Moment[], stream: string, nowMs: number): readonly Span[] {
  const own = moments.filter((moment) => moment.stream === stream);
  const spans: Span[] = [];
  for (const [at, { atMs, state }] of own.entries()) {
    const endMs = Math.min(own[at + 1]?.atMs ?? nowMs, atMs + HOLDS_MS);
    const [from, to] = [placeOf(atMs, nowMs), placeOf(endMs, nowMs)];
    const last = spans.at(-1);
    if (last?.state === state && last.to === from) spans[spans.length - 1] = { ...last, to };
    else spans.push({ state, from, to });
  }
  return spans;
}

function placeOf(atMs: number, nowMs: number): number {
  return Math.min(1, Math.max(0, 1 - (nowMs - atMs) / DAY_MS));
}
