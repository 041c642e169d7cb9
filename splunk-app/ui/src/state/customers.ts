/** What the page knows of customers: pure functions over the inputs and their status rows. */
import type { HealthEvent, HealthState, StreamHealth } from "../../../../src/model/event.ts";
import { WHO_ACTS } from "../../../../src/model/failure-codes.ts";
import { slice } from "./paging.ts";

export interface Input {
  readonly name: string;
  readonly isDisabled: boolean;
  readonly values: Readonly<Record<string, string>>;
}

/** What the pages read of a stream. */
export type StreamStatus = Pick<
  StreamHealth,
  "stream" | "state" | "lag_s" | "actor" | "say" | "next_step" | "failure" | "retry_at" | "new" | "updated"
>;

/** The input's last health event: a row of the collection defender_mssp_status, or the input's answer. */
export interface Status extends Pick<HealthEvent, "input" | "time" | "credential_days_left" | "version" | "roster"> {
  /** Absent while it is not known. */
  readonly tenant_id?: string;
  readonly streams: readonly StreamStatus[];
  readonly first_event_at: string | null;
  /** What was before it is not known. */
  readonly first_event_since?: string;
}

/** What a page says of a customer: its worst stream's state, or what no health event can say. */
export type State = HealthState | "silent" | "no report yet" | "new";

export interface CustomerRow {
  readonly name: string;
  readonly tenant: string;
  readonly tenantId: string;
  readonly isDisabled: boolean;
  readonly state: State;
  readonly lagS: number | undefined;
  readonly daysLeft: number | undefined;
  readonly actor: string;
  readonly say: string;
  readonly nextStep: string;
  readonly reportedMs: number | undefined;
  readonly firstEventAt: string | undefined;
  /** What a filter looks at, in lower case: it looks at all customers again with each key. */
  readonly searched: string;
}

/** In the order of how much somebody must act. */
const RANKS: Readonly<Record<State, number>> = {
  misconfigured: 0,
  "signed-out": 1,
  "awaiting-consent": 2,
  failing: 3,
  silent: 4,
  "no report yet": 5,
  throttled: 6,
  "catching-up": 7,
  new: 8,
  ok: 9,
  off: 10,
};
/** Each customer reports hourly. */
const SILENT_AFTER_MS = 2 * 3_600_000;

export function rowsOf(inputs: readonly Input[], statuses: readonly Status[], nowMs: number): readonly CustomerRow[] {
  const byInput = new Map(statuses.map((status) => [status.input, status]));
  const isHeard = (time: string): boolean => nowMs - Date.parse(time) <= SILENT_AFTER_MS;
  const othersReport = inputs.some(({ name }) => isHeard(byInput.get(name)?.time ?? ""));
  return inputs.map((input) => {
    const row = rowOf(input, byInput.get(input.name), othersReport, nowMs);
    return { ...row, searched: `${row.name} ${row.tenant} ${row.tenantId} ${row.say}`.toLowerCase() };
  });
}

/** The one whose state asks most for somebody to act. */
export function worstOf<One extends { readonly state: State }>(those: readonly One[]): One | undefined {
  return those.toSorted((a, b) => RANKS[a.state] - RANKS[b.state])[0];
}

function rowOf(
  { name, isDisabled, values }: Input,
  status: Status | undefined,
  othersReport: boolean,
  nowMs: number,
): Omit<CustomerRow, "searched"> {
  const streams = status?.streams ?? [];
  const worst = worstOf(streams);
  const reportedMs = status === undefined ? undefined : Date.parse(status.time);
  const isSilent = reportedMs !== undefined && nowMs - reportedMs > SILENT_AFTER_MS;
  const lags = streams.flatMap(({ lag_s: lagS }) => lagS ?? []);
  const base = {
    name,
    tenant: values["tenant_name"]?.trim() || name,
    tenantId: values["tenant_id"] ?? "",
    isDisabled,
    lagS: lags.length === 0 ? undefined : Math.max(...lags),
    daysLeft: status?.credential_days_left ?? undefined,
    reportedMs,
    firstEventAt: status?.first_event_at ?? undefined,
  };
  const quiet = { actor: "", say: "", nextStep: "" };
  if (isDisabled) return { ...base, ...quiet, state: "off" };
  // A report from before it was enabled says only that it was enabled after that.
  if (worst === undefined || worst.state === "off") {
    const isJustEnabled = reportedMs !== undefined && !isSilent;
    if (isJustEnabled || !othersReport) return { ...base, ...quiet, state: "new" };
    return {
      ...base,
      state: "no report yet",
      actor: "you",
      say: "The input is enabled and has not reported, while others have.",
      nextStep:
        "A new input reports within minutes. If this stays, look for its name in splunkd.log on the host of the inputs.",
    };
  }
  if (isSilent)
    return {
      ...base,
      state: "silent",
      actor: "you",
      say: "The input has not reported for two hours.",
      nextStep: "Check that Splunk runs on the host of this input, and look into splunkd.log.",
    };
  const { state, actor, say, next_step: nextStep } = worst;
  return { ...base, state, actor: actor === null ? "" : WHO_ACTS[actor], say: say ?? "", nextStep: nextStep ?? "" };
}

/** Some customer, or one of its streams, is at its beginning, so that its state changes soon. */
export function expectsNews(those: readonly { readonly state: State }[]): boolean {
  return those.some(({ state }) => state === "new" || state === "no report yet" || state === "catching-up");
}

export type SortKey = "name" | "state" | "lagS" | "daysLeft" | "actor";

export interface Order {
  readonly sort: SortKey;
  readonly isDescending: boolean;
}

/** What a column's heading asks for. Costs more than a filter, which leaves the order as it is. */
export function inOrder(rows: readonly CustomerRow[], { sort, isDescending }: Order): readonly CustomerRow[] {
  const sign = isDescending ? -1 : 1;
  return rows.toSorted((a, b) => sign * compare(a, b, sort) || a.name.localeCompare(b.name));
}

export interface Shown {
  readonly filter: string;
  readonly state: string;
  readonly page: number;
}

/** One page of what fits the filter, in the order that it comes in. */
export function pageOf(
  rows: readonly CustomerRow[],
  { filter, state, page }: Shown,
): { readonly rows: readonly CustomerRow[]; readonly found: number; readonly pages: number; readonly page: number } {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter(
    (row) => (state === "" || row.state === state) && words.every((word) => row.searched.includes(word)),
  );
  return { ...slice(found, page), found: found.length };
}

function compare(a: CustomerRow, b: CustomerRow, sort: SortKey): number {
  if (sort === "state") return RANKS[a.state] - RANKS[b.state];
  if (sort === "lagS" || sort === "daysLeft") return (a[sort] ?? Infinity) - (b[sort] ?? Infinity) || 0;
  return a[sort].localeCompare(b[sort]);
}

/** How many customers are in each state, worst first. */
export function countsOf(rows: readonly CustomerRow[]): readonly (readonly [state: State, customers: number])[] {
  const byState = Map.groupBy(rows, ({ state }) => state);
  return [...byState]
    .map(([state, those]) => [state, those.length] as const)
    .toSorted(([a], [b]) => RANKS[a] - RANKS[b]);
}

/**
 * When the first event of a new customer went out; undefined before it.
 *
 * @param earlierTime of the row that an input of this name had before: a deleted customer's row stays.
 */
export function firstEventOf(status: Status | undefined, earlierTime: string | undefined): string | undefined {
  return status === undefined || status.time === earlierTime ? undefined : (status.first_event_at ?? undefined);
}

/** How far this Splunk is: for a person. */
export function progressOf(inputs: readonly Input[], statuses: readonly Status[]): string {
  if (inputs.length === 0) return "No customer yet. Begin with step 1, or with step 2 if you have an app.";
  const names = new Set(inputs.map(({ name }) => name));
  const seen = statuses.filter(({ input, first_event_at: at }) => names.has(input) && at !== null).length;
  const isSinceStart = statuses.some(({ first_event_since: since }) => since !== undefined);
  return `${inputs.length} customers are configured. Events of ${seen} of them have arrived${isSinceStart ? " since the program started" : ""}.`;
}

/** `3 min`, for a person. */
export function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
