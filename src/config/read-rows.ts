import { type AssertionSetting, assertionFile } from "../model/assertion.ts";
import { sealed } from "../model/sealed.ts";
import type { MemberName, Setting, ValuesOf } from "../model/setting.ts";
import type { Reading } from "./kinds.ts";
import { readValue } from "./kinds.ts";

/** What a reader of settings knows beside the table. */
export interface RowRules {
  readonly nowMs: number;
  /** Whether a file or folder that a value names may be used; without them any path will do. */
  readonly file?: (path: string) => Reading<string>;
  readonly folder?: (path: string) => Reading<string>;
  /** What stands in place of a secret whose value lies elsewhere. */
  readonly mask?: string;
  /**
   * What was read so far, by row and text, without secrets. Thousands of customers have most values in
   * common: each is read once, and held once.
   */
  readonly readings?: Map<Setting, Map<string, Reading<unknown>>>;
}

export type Complain = (key: string, say: string) => void;

export interface RowsRead<R extends Setting> {
  /** Without what was wrong. */
  readonly partial: Partial<ValuesOf<R>>;
  /** Undefined when something was wrong. */
  readonly whole: ValuesOf<R> | undefined;
}

/** Reads the values of a table's rows, defaults filled in; complains of everything that is wrong. */
export function readRows<R extends Setting>(
  rows: readonly R[],
  given: Readonly<Record<string, string>>,
  rules: RowRules,
  complain: Complain,
): RowsRead<R> {
  const values: Record<string, unknown> = {};
  for (const { part } of rows) if (part !== undefined) values[part] = {};
  let isWhole = true;
  for (const row of rows) {
    const reading = readRow(row, given, rules);
    if (reading === undefined) continue;
    const holder = row.part === undefined ? values : (values[row.part] as Record<string, unknown>);
    if (reading.ok) holder[memberName(row.key)] = reading.value;
    else {
      isWhole = false;
      complain(row.key, reading.say);
    }
  }
  // The rows decide at run time what ValuesOf says of them.
  return { partial: values as Partial<ValuesOf<R>>, whole: isWhole ? (values as ValuesOf<R>) : undefined };
}

/** What holds when nothing is given. */
export function defaultsOf<R extends Setting>(rows: readonly R[]): ValuesOf<R> {
  const { whole } = readRows(rows, {}, { nowMs: 0 }, (key, say) => {
    throw new Error(`the table's default of ${key} ${say}`);
  });
  return whole as ValuesOf<R>;
}

/** One row's value; undefined when there is none and none is needed. */
function readRow(row: Setting, given: Readonly<Record<string, string>>, rules: RowRules): Reading<unknown> | undefined {
  // Outer white space belongs to nothing but a secret.
  const text = isGiven(given, row.key) ? (row.secret ? given[row.key] : given[row.key]?.trim()) : row.default;
  if (text === undefined) return row.required ? { ok: false, say: `is missing; write ${wanted(row)}` } : undefined;
  if (row.secret && text.trim() === rules.mask) return undefined;
  const known = isSealed(row) ? undefined : knownOf(row, rules);
  const reading = known?.get(text) ?? readText(row, text, rules);
  known?.set(text, reading);
  return reading;
}

function knownOf(row: Setting, { readings }: RowRules): Map<string, Reading<unknown>> | undefined {
  if (readings === undefined) return undefined;
  let known = readings.get(row);
  if (known === undefined) {
    known = new Map();
    readings.set(row, known);
  }
  return known;
}

function readText(row: Setting, text: string, rules: RowRules): Reading<unknown> {
  const reading = readValue(row.kind, text, rules.nowMs);
  if (!reading.ok) return { ok: false, say: row.wrong ?? reading.say };
  if (row.kind.is === "file" && rules.file) return rules.file(text);
  if (row.kind.is === "assertion") return assertionIn(reading.value as AssertionSetting, rules);
  if (row.kind.is === "folder" && rules.folder) return rules.folder(text);
  if (!isSealed(row)) return reading;
  if (typeof reading.value !== "string") throw new Error(`${row.key} must be sealed but is not a text`);
  return { ok: true, value: sealed(reading.value) };
}

/** A proxy's address may hold a login. */
function isSealed({ secret, kind }: Setting): boolean {
  return secret === true || (kind.is === "address" && kind.login === true);
}

/** The file of an assertion keeps to the rules of every other file. */
function assertionIn(setting: AssertionSetting, { file }: RowRules): Reading<AssertionSetting> {
  const path = assertionFile(setting);
  if (path === undefined || file === undefined) return { ok: true, value: setting };
  const found = file(path);
  return found.ok ? { ok: true, value: `file:${found.value}` } : found;
}

export function isGiven(given: Readonly<Record<string, string>>, key: string): boolean {
  return Object.hasOwn(given, key) && given[key]?.trim() !== "";
}

/** By key: one table's rows are read for each of thousands of customers. */
const memberNames = new Map<string, string>();

/** `tenant_id` is `tenantId`. */
function memberName<Key extends string>(key: Key): MemberName<Key> {
  let name = memberNames.get(key);
  if (name === undefined) {
    name = key.replace(/_(.)/g, (_, first: string) => first.toUpperCase());
    memberNames.set(key, name);
  }
  return name as MemberName<Key>;
}

function wanted(row: Setting): string {
  if (row.kind.is === "choice") return `one of ${row.kind.of.join(", ")}`;
  return row.help.charAt(0).toLowerCase() + row.help.slice(1).replace(/\.$/, "");
}
