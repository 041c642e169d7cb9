/** A list of customers on the page Import: what each row would do, and the writing of it. */
import { type ListedCustomer, readCustomerList, wrongRowSentence } from "../../../../src/config/customer-list.ts";
import {
  compareList,
  differing,
  type FoundCustomer,
  foundCustomer,
  type ListedDifference,
  type ListPlace,
  settingsInWords,
  settingsOfRow,
} from "../../../../src/config/list-difference.ts";
import { encodingOf } from "../../../../src/config/text-encoding.ts";
import { CLOUD_NAMES } from "../../../../src/model/cloud.ts";
import type { RosterChange } from "../../../../src/model/roster.ts";
import { tenantIdFrom } from "../../../../src/model/tenant.ts";
import type { Input } from "./customers.ts";
import { RestProblem } from "./rest-problem.ts";

/** What a comparison with a list needs to know of each input, beside its tenant. */
export const COMPARED_KEYS = ["index", "cloud", "streams", "credential"] as const;

export type Verdict = "new" | "changed" | "same" | "wrong";

/** One row of the list, and what is to be done for it. */
export interface PlannedRow {
  readonly line: number;
  readonly name: string;
  readonly verdict: Verdict;
  /** What is set, or what is wrong: for a person. */
  readonly say: string;
  /** Undefined where nothing is to be written. */
  readonly change: RosterChange | undefined;
  /** Of a changed setting: what it was when the list was checked. */
  readonly before?: Readonly<Record<string, string>>;
}

export type Plan =
  | {
      readonly ok: true;
      readonly rows: readonly PlannedRow[];
      readonly warnings: readonly string[];
      /** Names of inputs that are not in the list; they stay. */
      readonly notListed: readonly string[];
      /** Rows that need a shared credential and name none. */
      readonly withoutCredential: number;
    }
  | { readonly ok: false; readonly say: string };

/** The text of a file, whatever it was saved as. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder(encodingOf(bytes)).decode(bytes);
}

/**
 * Compares a list with the inputs by the rules of `customers import`. A page cannot ask Microsoft who a
 * tenant is, so a domain stays a domain; the input looks it up when it starts.
 */
export function planOf(text: string, credential: string, inputs: readonly Input[], nowMs: number): Plan {
  const list = readCustomerList(text);
  if (!list.ok) return { ok: false, say: `The list ${list.say}.` };
  const customers = inputs.map(({ name, values }) => ({ name, values: ofComparison(values) }));
  const place: ListPlace = { host: "splunk", customers, common: {}, usesIndex: true };
  const byName = new Map(customers.toReversed().map((customer) => [customer.name.toLowerCase(), customer]));
  const wrong = [...list.wrong];
  const found = new Map<ListedCustomer, FoundCustomer>();
  let withoutCredential = 0;
  for (const row of list.customers) {
    const present = byName.get(row.name.toLowerCase());
    if (present === undefined && row.credential === "" && credential === "") withoutCredential += 1;
    const defaults = { credential: credential || undefined, given: {}, present };
    const settings = settingsOfRow(row, place, defaults, nowMs);
    if (typeof settings === "string") {
      wrong.push({ line: row.line, name: row.name, say: settings });
      continue;
    }
    const tenantId = tenantLike(row.tenant, present?.values["tenant_id"]);
    const cloud = CLOUD_NAMES.find((name) => name === row.cloud);
    found.set(row, foundCustomer(row, place, settings, { tenantId, cloud }));
  }
  const configured = customers.map((customer) => ({
    customer,
    tenantId: tenantOf(customer.values["tenant_id"] ?? ""),
  }));
  const difference = compareList(list.customers, found, wrong, configured, place);
  const added = difference.rows.filter(({ kind }) => kind === "add");
  const uncertain = new Set(added.filter((row) => mayBeAnother(row, added, configured)));
  const rows = difference.rows.map(
    (row): PlannedRow => ({
      line: row.line,
      name: row.name,
      verdict: row.kind === "add" ? "new" : row.kind === "change" ? "changed" : "same",
      say: [row.tenantId, ...settingsInWords(row), row.remark, ...domainSentences(row, uncertain.has(row))]
        .filter((part) => part !== "")
        .join(" · "),
      change: row.kind === "unchanged" ? undefined : row.change,
      before: row.before,
    }),
  );
  const refused = difference.wrong.map(
    (row): PlannedRow => ({
      line: row.line,
      name: row.name,
      verdict: "wrong",
      say: wrongRowSentence(row),
      change: undefined,
    }),
  );
  return {
    ok: true,
    rows: [...rows, ...refused].toSorted((a, b) => a.line - b.line),
    warnings: uncertain.size === 0 ? list.warnings : [...list.warnings, notCompared(uncertain.size)],
    notListed: difference.notListed.map(({ name }) => name),
    withoutCredential,
  };
}

/** A domain and a GUID may be one tenant, which nothing here can tell: then the configured one stays. */
function tenantLike(typed: string, present: string | undefined): string {
  const isGuid = tenantIdFrom(typed) !== undefined;
  const isUnknown = present !== undefined && isGuid !== (tenantIdFrom(present) !== undefined);
  return tenantOf(isUnknown ? present : typed);
}

/** A domain and another tenant may be one, and nothing here can say so; two tenant IDs can be compared. */
function mayBeAnother(
  { name, tenantId }: ListedDifference,
  added: readonly ListedDifference[],
  configured: readonly { readonly tenantId: string }[],
): boolean {
  const isDomain = (tenant: string): boolean => tenantIdFrom(tenant) === undefined;
  return isDomain(tenantId)
    ? configured.length > 0 || added.some((other) => other.name !== name)
    : configured.some((other) => isDomain(other.tenantId));
}

function domainSentences({ kind, tenantId }: ListedDifference, isUncertain: boolean): readonly string[] {
  if (kind !== "add") return [];
  const isDomain = tenantIdFrom(tenantId) === undefined;
  return [
    ...(isDomain ? ["This page cannot look up a domain; the input does when it starts."] : []),
    ...(isUncertain && !isDomain ? ["Some inputs have a domain, which this page cannot look up."] : []),
    ...(isUncertain ? ["If its tenant is configured under another name, each of its events comes twice."] : []),
  ];
}

function notCompared(count: number): string {
  return `${count} new rows cannot be compared, because this page cannot look up a domain: two inputs of one tenant send each event twice. Give tenant IDs, or use \`defender_mssp customers import\`.`;
}

function tenantOf(typed: string): string {
  return tenantIdFrom(typed) ?? typed.trim().toLowerCase();
}

function ofComparison(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    ["tenant_id", "tenant_name", ...COMPARED_KEYS].flatMap((key) =>
      values[key] === undefined ? [] : [[key, values[key]] as const],
    ),
  );
}

/** What became of a row. */
export interface Outcome {
  readonly is: "written" | "exists" | "failed";
  readonly say: string;
}

/** Calls to splunkd; each throws RestProblem. */
export interface ImportWrites {
  create(name: string, values: Readonly<Record<string, string>>): Promise<void>;
  edit(name: string, changes: Readonly<Record<string, string>>): Promise<void>;
  settingsOf(name: string): Promise<Readonly<Record<string, string>>>;
}

export interface ImportRun {
  readonly writes: ImportWrites;
  readonly stop: AbortSignal;
  /** Before each next try while Splunk Web does not answer. */
  readonly pause: () => Promise<void>;
  readonly report: (row: PlannedRow, outcome: Outcome) => void;
  /** A sentence while something is waited for; empty when it goes on. */
  readonly note: (say: string) => void;
}

/**
 * Writes the rows one after the other, each input once. A row that splunkd refuses stops no other one.
 * Ends early when it is stopped, or when nothing can be written: then returns why, and the same rows can be
 * given again.
 */
export async function importRows(rows: readonly PlannedRow[], run: ImportRun): Promise<string> {
  for (const row of rows) {
    if (row.change === undefined) continue;
    const outcome = await written(row.change, row.before ?? {}, run);
    if (outcome === undefined) return "";
    if (typeof outcome === "string") return outcome;
    run.report(row, outcome);
  }
  return "";
}

/** Undefined when it was stopped, a sentence when no row can be written now. */
async function written(
  change: RosterChange,
  before: Readonly<Record<string, string>>,
  run: ImportRun,
): Promise<Outcome | string | undefined> {
  while (!run.stop.aborted) {
    try {
      const outcome = await (change.kind === "change"
        ? changeOnce(change, before, run.writes)
        : createOnce(change, run.writes));
      run.note("");
      return outcome;
    } catch (error) {
      if (!(error instanceof RestProblem)) throw error;
      if (OF_THE_SESSION.has(error.status)) return error.message;
      if (!PASSING.has(error.status)) return { is: "failed", say: error.message };
      // Whether it was written is unknown: the next try finds it, if it was.
      run.note(`${error.message} The import continues by itself.`);
      await run.pause();
    }
  }
  return undefined;
}

const OF_THE_SESSION: ReadonlySet<number> = new Set([401, 403]);
/** No connection, or splunkd is restarting. */
const PASSING: ReadonlySet<number> = new Set([0, 503]);

/** Hours can lie between the check of a list and its writing. */
async function changeOnce(
  { name, values }: RosterChange,
  before: Readonly<Record<string, string>>,
  writes: ImportWrites,
): Promise<Outcome> {
  const now = await writes.settingsOf(name);
  if (Object.keys(differing(now, values)).length === 0)
    return { is: "exists", say: "It has the settings of this list already." };
  const theirs = Object.keys(differing(now, before));
  if (theirs.length > 0) {
    const say = `Somebody else changed ${theirs.join(", ")} since the list was checked, so nothing is written. Check the list again.`;
    return { is: "failed", say };
  }
  await writes.edit(name, values);
  return { is: "written", say: "Changed." };
}

async function createOnce({ name, values }: RosterChange, writes: ImportWrites): Promise<Outcome> {
  try {
    await writes.create(name, values);
    return { is: "written", say: "Created." };
  } catch (error) {
    if (!(error instanceof RestProblem && error.status === 409)) throw error;
    const present = await settingsIfThere(name, writes);
    // Somebody else is just adding it.
    if (present === undefined) return { is: "failed", say: error.message };
    const others = Object.keys(differing(present, values));
    return others.length === 0
      ? { is: "exists", say: "It exists already, with the settings of this list." }
      : { is: "failed", say: `An input with this name exists already, with other settings: ${others.join(", ")}.` };
  }
}

async function settingsIfThere(
  name: string,
  writes: ImportWrites,
): Promise<Readonly<Record<string, string>> | undefined> {
  try {
    return await writes.settingsOf(name);
  } catch (error) {
    if (error instanceof RestProblem && error.status === 404) return undefined;
    throw error;
  }
}

/** A result that a spreadsheet opens, and none of whose fields it runs as a formula. */
export function resultCsv(rows: readonly PlannedRow[], outcomes: ReadonlyMap<number, Outcome>): string {
  const lines = rows.map((row) => {
    const outcome = outcomes.get(row.line);
    return [String(row.line), row.name, outcome?.is ?? row.verdict, outcome?.say ?? row.say].map(csvField).join(",");
  });
  return ["line,name,result,remark", ...lines, ""].join("\r\n");
}

function csvField(text: string): string {
  const shown = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",;\r\n]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
}
