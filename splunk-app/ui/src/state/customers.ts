/** What the page knows of customers: pure functions over the inputs and their status rows. */

export interface Input {
  readonly name: string;
  readonly isDisabled: boolean;
  readonly values: Readonly<Record<string, string>>;
}

export interface StreamStatus {
  readonly stream: string;
  readonly state: string;
  readonly lag_s: number | null;
  readonly actor: string | null;
  readonly say: string | null;
  readonly next_step: string | null;
}

/** A row of the collection defender_mssp_status: the input's last health event. */
export interface Status {
  readonly input: string;
  readonly time: string;
  readonly streams: readonly StreamStatus[];
  readonly credential_days_left: number | null;
  readonly first_event_at: string | null;
}

export interface CustomerRow {
  readonly name: string;
  readonly tenant: string;
  readonly tenantId: string;
  readonly isDisabled: boolean;
  readonly state: string;
  readonly lagS: number | undefined;
  readonly daysLeft: number | undefined;
  readonly actor: string;
  readonly say: string;
  readonly nextStep: string;
  readonly reportedMs: number | undefined;
  readonly firstEventAt: string | undefined;
}

/** In the order of how much somebody must act. */
const STATES = [
  "misconfigured",
  "signed-out",
  "awaiting-consent",
  "failing",
  "silent",
  "throttled",
  "catching-up",
  "new",
  "ok",
  "off",
];
/** Each customer reports hourly. */
const SILENT_AFTER_MS = 2 * 3_600_000;

const ACTORS: Readonly<Record<string, string>> = {
  operator: "you",
  customer: "the customer",
  microsoft: "Microsoft",
  us: "this program",
};

export function rowsOf(inputs: readonly Input[], statuses: readonly Status[], nowMs: number): readonly CustomerRow[] {
  const byInput = new Map(statuses.map((status) => [status.input, status]));
  return inputs.map((input) => rowOf(input, byInput.get(input.name), nowMs));
}

function rowOf({ name, isDisabled, values }: Input, status: Status | undefined, nowMs: number): CustomerRow {
  const streams = status?.streams ?? [];
  const worst = streams.toSorted((a, b) => rank(a.state) - rank(b.state))[0];
  const reportedMs = status === undefined ? undefined : Date.parse(status.time);
  const isSilent = reportedMs !== undefined && nowMs - reportedMs > SILENT_AFTER_MS;
  const isOff = isDisabled || worst?.state === "off";
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
  // A report from before it was enabled says nothing any more.
  if (worst === undefined || isOff) return { ...base, ...quiet, state: "new" };
  if (isSilent)
    return {
      ...base,
      state: "silent",
      actor: "you",
      say: "The input has not reported for two hours.",
      nextStep: "Check that Splunk runs on the host of this input, and look into splunkd.log.",
    };
  const { state, actor, say, next_step: nextStep } = worst;
  return { ...base, state, actor: ACTORS[actor ?? ""] ?? "", say: say ?? "", nextStep: nextStep ?? "" };
}

function rank(state: string): number {
  const at = STATES.indexOf(state);
  return at === -1 ? STATES.length : at;
}

export const SORTS = ["name", "state", "lagS", "daysLeft", "actor"] as const;
export type SortKey = (typeof SORTS)[number];

export interface Shown {
  readonly filter: string;
  readonly state: string;
  readonly sort: SortKey;
  readonly isDescending: boolean;
  readonly page: number;
}

export const PAGE_SIZE = 50;

/** One page of what fits the filter. */
export function pageOf(
  rows: readonly CustomerRow[],
  { filter, state, sort, isDescending, page }: Shown,
): { readonly rows: readonly CustomerRow[]; readonly found: number; readonly pages: number; readonly page: number } {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter((row) => {
    const text = `${row.name} ${row.tenant} ${row.tenantId} ${row.say}`.toLowerCase();
    return (state === "" || row.state === state) && words.every((word) => text.includes(word));
  });
  const sign = isDescending ? -1 : 1;
  const sorted = found.toSorted((a, b) => sign * compare(a, b, sort) || a.name.localeCompare(b.name));
  const pages = Math.max(1, Math.ceil(sorted.length / PAGE_SIZE));
  const at = Math.min(page, pages);
  return { rows: sorted.slice((at - 1) * PAGE_SIZE, at * PAGE_SIZE), found: sorted.length, pages, page: at };
}

function compare(a: CustomerRow, b: CustomerRow, sort: SortKey): number {
  if (sort === "state") return rank(a.state) - rank(b.state);
  if (sort === "lagS" || sort === "daysLeft") return (a[sort] ?? Infinity) - (b[sort] ?? Infinity) || 0;
  return a[sort].localeCompare(b[sort]);
}

/** How many customers are in each state, worst first. */
export function countsOf(rows: readonly CustomerRow[]): readonly (readonly [state: string, customers: number])[] {
  const counts = Map.groupBy(rows, ({ state }) => state);
  return STATES.flatMap((state) => {
    const those = counts.get(state);
    return those === undefined ? [] : [[state, those.length] as const];
  });
}

/** `3 min`, for a person. */
export function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
