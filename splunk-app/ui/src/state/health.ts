/** What the page Health shows: pure functions over the inputs and their status rows. */
import { type Actor, FAILURE_CODES, type FailureCode, WHO_ACTS } from "../../../../src/model/failure-codes.ts";
import type { RosterDifference, RosterGap, RosterReport } from "../../../../src/model/roster-report.ts";
import { type CustomerRow, type Status, worstOf } from "./customers.ts";

/** A person is told when all reports are older: inputs report at each change, and hourly while quiet. */
const OLD_AFTER_MS = 3_900_000;
/** While something differs, the comparison is repeated hourly. */
const ROSTER_OLD_AFTER_MS = 7_500_000;
const ENDS_SOON_DAYS = 30;

/** Why customers are not collected, and who must act: one row for all customers with one failure. */
export interface Reason {
  readonly actor: string;
  readonly failure: string;
  readonly meaning: string;
  readonly action: string;
  readonly customers: readonly string[];
}

export interface Throttled {
  readonly name: string;
  readonly tenant: string;
  readonly streams: string;
  readonly retryAt: string | undefined;
}

export interface Overview {
  readonly reasons: readonly Reason[];
  readonly silent: readonly CustomerRow[];
  /** Enabled, and nothing has been heard of them, while others report. */
  readonly unreported: readonly CustomerRow[];
  readonly throttled: readonly Throttled[];
  readonly expiring: readonly CustomerRow[];
  /** Since the newest report of all inputs that are enabled; undefined before the first. */
  readonly newestAgeMs: number | undefined;
}

/** @param rows of `rowsOf` over the same statuses. */
export function overviewOf(rows: readonly CustomerRow[], statuses: readonly Status[], nowMs: number): Overview {
  const watched = rows.filter(({ isDisabled }) => !isDisabled);
  const byInput = new Map(statuses.map((status) => [status.input, status]));
  const reported = watched.flatMap(({ reportedMs }) => reportedMs ?? []);
  return {
    reasons: reasonsOf(watched, byInput),
    silent: watched
      .filter(({ state }) => state === "silent")
      .toSorted((a, b) => (a.reportedMs ?? 0) - (b.reportedMs ?? 0)),
    unreported: watched
      .filter(({ state }) => state === "no report yet")
      .toSorted((a, b) => (a.reportedMs ?? Infinity) - (b.reportedMs ?? Infinity) || 0),
    throttled: watched.flatMap(({ name, tenant, state }): readonly Throttled[] => {
      const streams = state === "silent" ? [] : (byInput.get(name)?.streams ?? []);
      const slowed = streams.filter((stream) => stream.state === "throttled");
      if (slowed.length === 0) return [];
      const retryAt = slowed.flatMap(({ retry_at: at }) => at ?? []).toSorted()[0];
      return [{ name, tenant, streams: slowed.map(({ stream }) => stream).join(", "), retryAt }];
    }),
    expiring: watched
      .filter(({ daysLeft }) => daysLeft !== undefined && daysLeft <= ENDS_SOON_DAYS)
      .toSorted((a, b) => (a.daysLeft ?? 0) - (b.daysLeft ?? 0)),
    newestAgeMs: reported.length === 0 ? undefined : Math.max(0, nowMs - Math.max(...reported)),
  };
}

/** Whether nothing has been heard for so long that a person should be told. */
export function isOld({ newestAgeMs }: Overview): boolean {
  return newestAgeMs !== undefined && newestAgeMs > OLD_AFTER_MS;
}

/** Whether inputs are enabled and none of them has ever reported, so that nothing is known of any. */
export function isUnheard({ newestAgeMs }: Overview, rows: readonly CustomerRow[]): boolean {
  return newestAgeMs === undefined && rows.some(({ isDisabled }) => !isDisabled);
}

function reasonsOf(rows: readonly CustomerRow[], byInput: ReadonlyMap<string, Status>): readonly Reason[] {
  const found = new Map<string, { readonly actor: Actor; readonly failure: FailureCode; readonly names: string[] }>();
  for (const { name, state } of rows) {
    if (state === "silent") continue;
    // One customer counts once for a reason that several of its streams have.
    const own = new Map(
      (byInput.get(name)?.streams ?? []).flatMap(({ failure, actor, state: of }) =>
        failure === null || of === "ok" ? [] : [[`${actor} ${failure}`, { actor: actor ?? "operator", failure }]],
      ),
    );
    for (const [key, { actor, failure }] of own) {
      const reason = found.get(key) ?? { actor, failure, names: [] };
      reason.names.push(name);
      found.set(key, reason);
    }
  }
  return [...found.values()]
    .toSorted((a, b) => ACTORS.indexOf(a.actor) - ACTORS.indexOf(b.actor) || b.names.length - a.names.length)
    .map(({ actor, failure, names }) => ({
      actor: WHO_ACTS[actor],
      failure,
      // A row of a newer program may have a code that this page does not know.
      meaning: (FAILURE_CODES[failure] as { readonly meaning: string } | undefined)?.meaning ?? failure,
      action: inSplunk((FAILURE_CODES[failure] as { readonly action: string } | undefined)?.action ?? ""),
      customers: names,
    }));
}

const ACTORS: readonly Actor[] = ["operator", "customer", "us", "microsoft"];

/** The last comparison of the list of customers with reality, while it is news. */
export function rosterOf(
  statuses: readonly Status[],
  nowMs: number,
): { readonly report: RosterReport; readonly comparedMs: number; readonly isOld: boolean } | undefined {
  const row = statuses.find(({ roster }) => roster !== undefined);
  if (row?.roster === undefined) return undefined;
  const comparedMs = Date.parse(row.time);
  return { report: row.roster, comparedMs, isOld: nowMs - comparedMs > ROSTER_OLD_AFTER_MS };
}

/** A customer that differs from the list. */
export interface DifferenceRow extends RosterDifference {
  /** Its input; undefined where it has none. */
  readonly name: string | undefined;
  readonly actor: string;
  readonly action: string;
}

/** Who must act for each difference: where the customer's own state says it, that counts. */
export function differenceRows(
  { differences }: Pick<RosterReport, "differences">,
  rows: readonly CustomerRow[],
  statuses: readonly Status[],
): readonly DifferenceRow[] {
  const reportedIds = new Map(statuses.map(({ input, tenant_id: id }) => [input, id]));
  const byTenant = Map.groupBy(rows, ({ name, tenantId }) => reportedIds.get(name) || tenantId.toLowerCase());
  return differences.map((one) => {
    // Two inputs of one tenant are one customer there.
    const inputs = one.tenant_id === "" ? [] : (byTenant.get(one.tenant_id) ?? []);
    const waiting = inputs.find(({ state }) => one.difference === "not-consented" && state === "awaiting-consent");
    const row = waiting ?? worstOf(inputs);
    const { actor, action, isOfState } = OF_DIFFERENCE[one.difference] ?? OF_DIFFERENCE.silent;
    const isSaid = isOfState && row !== undefined && row.actor !== "";
    return {
      ...one,
      name: row?.name,
      actor: isSaid ? row.actor : WHO_ACTS[actor],
      action: isSaid ? row.nextStep : action,
    };
  });
}

const OF_DIFFERENCE: Readonly<
  Record<RosterGap, { readonly actor: Actor; readonly action: string; readonly isOfState: boolean }>
> = {
  "not-configured": {
    actor: "operator",
    action: "Add the customer, or leave it out with the setting discover_exclude.",
    isOfState: false,
  },
  "not-under-contract": {
    actor: "operator",
    action: "Ask whether the contract has ended. If so, delete the customer; it is collected until then.",
    isOfState: false,
  },
  "not-consented": { actor: "customer", action: "Send the customer the consent link.", isOfState: true },
  silent: { actor: "operator", action: "Test the customer to see why nothing is collected.", isOfState: true },
};

/** With commands as they are called in Splunk's add-on. */
function inSplunk(sentence: string): string {
  return sentence.replaceAll("`defender-mssp ", "`defender_mssp ");
}
