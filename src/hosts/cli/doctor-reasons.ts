import type { Failure } from "../../model/failure.ts";
import type { Actor, FailureCode } from "../../model/failure-codes.ts";
import type { PermissionDrift } from "../../model/granted-permissions.ts";
import { ownEntry } from "../../model/own-entry.ts";
import { printable } from "../../model/printable.ts";

/** A customer that is not ready. */
export interface Unready {
  /** As the report names it. */
  readonly tenant: string;
  /** Every name that sentences may call it by. */
  readonly names: readonly string[];
  readonly failure: Failure;
  /** ISO time since which a permission is missing that the customer withdrew. */
  readonly withdrawnSince?: string | undefined;
}

/** Why customers are not ready: the same failure, whose sentences differ only in their names. */
export interface Reason<One extends Unready = Unready> {
  readonly actor: string;
  readonly failure: FailureCode;
  /** The sentence and the next step of the first customer. */
  readonly say: string;
  readonly nextStep: string;
  /** In the order of their names. */
  readonly customers: readonly One[];
}

/** Reasons in the order of their first customers. */
export function reasonsOf<One extends Unready>(customers: readonly One[]): readonly Reason<One>[] {
  const sorted = customers.toSorted((a, b) => a.tenant.localeCompare(b.tenant));
  return [...Map.groupBy(sorted, sameness).values()].map((those) => {
    const { failure } = those[0]!;
    const { actor, code, say, nextStep } = failure;
    return { actor, failure: code, say, nextStep, customers: those };
  });
}

/** A reason as a person or a machine reads it. */
export interface ReasonLine {
  readonly actor: string;
  readonly failure: string;
  readonly customers: readonly string[];
  readonly say: string;
  readonly next_step: string;
  /** By customer: ISO time since which a permission is missing that it withdrew. Absent if nobody did. */
  readonly withdrawn?: Readonly<Record<string, string>>;
}

/** The line of a reason whose sentences hold the commands as they run here. */
export function reasonLine({ actor, failure, say, nextStep, customers }: Reason): ReasonLine {
  const dates = customers.flatMap(({ tenant, withdrawnSince }) =>
    withdrawnSince === undefined ? [] : [[tenant, withdrawnSince] as const],
  );
  return {
    actor,
    failure,
    customers: customers.map(({ tenant }) => tenant),
    say,
    next_step: nextStep,
    ...(dates.length === 0 ? {} : { withdrawn: Object.fromEntries(dates) }),
  };
}

/** One line per reason under a head; empty without reasons. */
export function reasonTable(reasons: readonly ReasonLine[]): string {
  if (reasons.length === 0) return "";
  const width = Math.max(8, ...reasons.map(({ failure }) => failure.length));
  const lines = reasons.map(({ actor, failure, customers, say, next_step, withdrawn = {} }) => {
    const isOne = customers.length === 1;
    // One sentence names one date, so that of each customer stands behind its name.
    const names = customers.map((name) => {
      const since = ownEntry(withdrawn, name);
      return isOne || since === undefined ? name : `${name} (since ${since.slice(0, 10)})`;
    });
    const others = isOne ? "" : " The same for the others.";
    return `${actor.padEnd(10)} ${String(customers.length).padStart(5)} ${failure.padEnd(width)} ${names.join(", ")}: ${say} ${next_step}${others}\n`;
  });
  return `${"ACTOR".padEnd(10)} COUNT ${"FAILURE".padEnd(width)} CUSTOMERS: WHAT\n${lines.join("")}`;
}

/** More customers than this are counted, and not named. */
const NAMED_MOST = 5;

/**
 * One line for each set of permissions that no stream needs. Nobody has to act: collection
 * works, and the same app registration is behind all of these customers.
 */
export function unneededRemarks(
  customers: readonly { readonly tenant: string; readonly permissions?: PermissionDrift }[],
): string {
  const those = customers.flatMap(({ tenant, permissions }) => {
    const unneeded = permissions?.unneeded.toSorted().map(printable).join(", ") ?? "";
    return unneeded === "" ? [] : [{ tenant: printable(tenant), unneeded }];
  });
  const lines = [...Map.groupBy(those, ({ unneeded }) => unneeded)].map(([unneeded, some]) => {
    const names = some.map(({ tenant }) => tenant).toSorted((a, b) => a.localeCompare(b));
    const who = names.length > NAMED_MOST ? `${names.length} customers` : names.join(", ");
    return `Granted to the app, and needed by no stream: ${unneeded} (${who}).\n`;
  });
  return lines.join("");
}

/** Who must act, in the order of tables. */
export const ACTORS_IN_ORDER: readonly Actor[] = ["operator", "customer", "microsoft", "us"];

function wholeWord(name: string): RegExp {
  return new RegExp(
    `(?<![\\p{L}\\p{N}_-])${name.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&")}(?![\\p{L}\\p{N}_-])`,
    "gu",
  );
}

/** Equal for customers whose failures differ only in names, ids and times. */
function sameness({ names, failure: { actor, code, say, nextStep } }: Unready): string {
  const longestFirst = names.filter((name) => name !== "").toSorted((a, b) => b.length - a.length);
  const nameless = (text: string): string =>
    longestFirst
      .reduce((rest, name) => rest.replaceAll(wholeWord(name), "CUSTOMER"), text)
      .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, "ID")
      .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d UTC/g, "TIME");
  return JSON.stringify([actor, code, nameless(say), nameless(nextStep)]);
}
