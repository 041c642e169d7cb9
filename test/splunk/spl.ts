/**
 * Splunk searches, with the commands that this project uses, run over rows in memory. Strict: an unknown
 * command or form throws. Source: Splunk Enterprise Search Reference.
 */
import type { Value } from "./eval-language.ts";
import { fromMany, jsonExtract, many, parseEval, presentSeconds } from "./eval-language.ts";

export type Row = ReadonlyMap<string, Value>;

export interface SearchWorld {
  /** Events with their search-time fields, newest first as Splunk returns them. */
  readonly events: readonly Row[];
  /** `-30d`: how far back the search looks from `now()`; undefined: at all events. */
  readonly earliest?: string;
  readonly macros: ReadonlyMap<string, string>;
  readonly lookups: Map<string, Row[]>;
}

export function runSearch(text: string, world: SearchWorld): Row[] {
  return runCommands(expandMacros(text, world.macros), world, undefined);
}

/** Commands after a base search, as a dashboard's panels have them. */
export function runAfter(rows: readonly Row[], text: string, world: SearchWorld): Row[] {
  return runCommands(`| ${expandMacros(text, world.macros)}`, world, rows);
}

/** Replaces macros until none is left. */
export function expandMacros(text: string, macros: ReadonlyMap<string, string>): string {
  let now = text;
  for (let depth = 0; /`/.test(now); depth += 1) {
    if (depth > 5) throw new Error(`macros do not end: ${text}`);
    now = now.replace(/`([^`]+)`/g, (_, name: string) => {
      const definition = macros.get(name);
      if (definition === undefined) throw new Error(`macro ${name} is not defined`);
      return definition;
    });
  }
  return now;
}

function runCommands(text: string, world: SearchWorld, given: readonly Row[] | undefined): Row[] {
  const [head = "", ...rest] = splitTop(text, "|");
  let rows: Row[] = given
    ? [...given]
    : head.trim() === ""
      ? []
      : world.events.filter((row) => isWithin(row, world.earliest) && searchMatches(head, row));
  for (const command of rest) rows = run(command.trim(), rows, world);
  return rows;
}

/** A relative time modifier (Splunk Search Manual, "Specify time modifiers"). */
function isWithin(row: Row, earliest: string | undefined): boolean {
  if (earliest === undefined) return true;
  const [, count, unit] = /^-(\d+)([mhd])$/.exec(earliest) ?? [];
  const unitS = { m: 60, h: 3_600, d: 86_400 }[unit ?? ""];
  if (unitS === undefined) throw new Error(`time modifier not modelled: ${earliest}`);
  const nowS = presentSeconds();
  const atS = Number(row.get("_time"));
  return atS <= nowS && atS >= nowS - Number(count) * unitS;
}

function run(command: string, rows: Row[], world: SearchWorld): Row[] {
  const [, name = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(command) ?? [];
  const known = COMMANDS[name];
  if (!known) throw new Error(`unknown command ${name}`);
  return known(rest.trim(), rows, world);
}

const COMMANDS: Readonly<Record<string, (rest: string, rows: Row[], world: SearchWorld) => Row[]>> = {
  search: (rest, rows) => rows.filter((row) => searchMatches(rest, row)),
  where: (rest, rows) => rows.filter((row) => parseEval(rest).apply(row) === true),
  eval(rest, rows) {
    const assignments = splitTop(rest, ",").map((part) => {
      const [, field = "", expression = ""] = /^\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)$/s.exec(part) ?? [];
      if (field === "") throw new Error(`no assignment: ${part}`);
      return { field, apply: parseEval(expression).apply };
    });
    return rows.map((row) => {
      const next = new Map(row);
      // Later assignments see earlier ones, unlike calculated fields.
      for (const { field, apply } of assignments) {
        const value = apply(next);
        if (value === null) next.delete(field);
        else next.set(field, value);
      }
      return next;
    });
  },
  spath(rest, rows) {
    const [, path, output] = /^path=(\S+)\{\} output=(\S+)$/.exec(rest) ?? [];
    if (!path || !output) throw new Error(`spath not modelled: ${rest}`);
    return rows.map((row) => {
      const text = jsonExtract(String(row.get("_raw")), path);
      const items = typeof text === "string" ? (JSON.parse(text) as unknown[]).map((item) => JSON.stringify(item)) : [];
      return items.length === 0 ? row : new Map(row).set(output, fromMany(items));
    });
  },
  mvexpand: (rest, rows) =>
    rows.flatMap((row) => many(row.get(rest) ?? null).map((value) => new Map(row).set(rest, value))),
  dedup(rest, rows) {
    const fields = rest.split(/[\s,]+/);
    const seen = new Set<string>();
    return rows.filter((row) => {
      if (fields.some((field) => !row.has(field))) return false;
      const key = JSON.stringify(fields.map((field) => row.get(field)));
      return !seen.has(key) && seen.add(key);
    });
  },
  head: (rest, rows) => rows.slice(0, Number(rest)),
  sort: (rest, rows) => sortRows(rest.replace(/^0\s+/, ""), rows),
  table(rest, rows) {
    const fields = rest.split(/[\s,]+/);
    return rows.map(
      (row) => new Map(fields.flatMap((field) => (row.has(field) ? [[field, row.get(field) as Value] as const] : []))),
    );
  },
  /** What comes out of the commands in brackets is added at the end. */
  appendpipe: (rest, rows, world) => [...rows, ...runCommands(`| ${/^\[(.*)\]$/s.exec(rest)?.[1] ?? ""}`, world, rows)],
  stats: (rest, rows) => stats(rest, rows),
  eventstats(rest, rows) {
    const [, by = ""] = rest.split(/\s+by\s+/);
    const groupOf = (row: Row) => JSON.stringify(by.split(/[\s,]+/).map((field) => row.get(field) ?? null));
    const groups = new Map(stats(rest, rows).map((row) => [groupOf(row), row]));
    return rows.map((row) => new Map([...row, ...(groups.get(groupOf(row)) ?? [])]));
  },
  timechart: (rest, rows) => stats(rest, rows),
  top(rest, rows) {
    const field = rest.replace(/^limit=\d+\s+/, "");
    return stats(`count by ${field}`, rows).toSorted((a, b) => Number(b.get("count")) - Number(a.get("count")));
  },
  inputlookup(rest, rows, world) {
    const [, append, name = ""] = /^(append=true )?(\S+)$/.exec(rest) ?? [];
    if (append === undefined && rows.length > 0) throw new Error("inputlookup stands first, or appends");
    return [...rows, ...(world.lookups.get(name) ?? [])];
  },
  /** Without `append` the rows replace the lookup; of two with one key the later stays. */
  outputlookup(rest, rows, world) {
    const [, key, name] = /^key_field=(\S+) (\S+)$/.exec(rest) ?? [];
    if (!key || !name) throw new Error(`outputlookup not modelled: ${rest}`);
    world.lookups.set(name, [...new Map(rows.map((row) => [row.get(key), row])).values()]);
    return rows;
  },
};

function stats(rest: string, rows: Row[]): Row[] {
  const [what = "", by] = rest.split(/\s+by\s+/);
  const groups = by === undefined ? [] : by.split(/[\s,]+/);
  const measures = splitTop(what, ",").map((part) => {
    const [, call = "", name] = /^\s*(.*?)(?:\s+as\s+(\S+))?\s*$/.exec(part) ?? [];
    const [, work = "", field = ""] = /^(\w+)(?:\((.*)\))?$/s.exec(call) ?? [];
    const inner = /^eval\((.*)\)$/s.exec(field);
    const read = inner ? parseEval(inner[1] as string).apply : (row: Row) => row.get(field) ?? null;
    const measure = MEASURES[work];
    if (!measure) throw new Error(`unknown function of stats: ${work}`);
    return {
      name: name ?? call,
      value: (those: readonly Row[]) =>
        work === "count" ? those.length : measure(those.flatMap((row) => many(read(row)))),
    };
  });
  const found = new Map<string, Row[]>();
  for (const row of rows) {
    if (groups.some((field) => !row.has(field))) continue;
    const key = JSON.stringify(groups.map((field) => row.get(field)));
    found.set(key, [...(found.get(key) ?? []), row]);
  }
  if (groups.length === 0 && found.size === 0) found.set("[]", []);
  return [...found].map(([key, those]) => {
    const keys = JSON.parse(key) as Value[];
    const out = new Map<string, Value>(groups.map((field, i) => [field, keys[i] as Value]));
    for (const { name, value } of measures) {
      const result = value(those);
      if (result !== null) out.set(name, result);
    }
    return out;
  });
}

const MEASURES: Readonly<Record<string, (values: readonly string[]) => Value>> = {
  count: () => null,
  first: (values) => values[0] ?? null,
  values: (values) => fromMany([...new Set(values)].toSorted()),
  dc: (values) => new Set(values).size,
  max: (values) => (values.length === 0 ? null : Math.max(...values.map(Number))),
  min: (values) => (values.length === 0 ? null : Math.min(...values.map(Number))),
  sum: (values) => (values.length === 0 ? null : values.map(Number).reduce((a, b) => a + b, 0)),
};

function sortRows(order: string, rows: readonly Row[]): Row[] {
  const keys = order
    .split(/[\s,]+/)
    .map((word) => ({ field: word.replace(/^[-+]/, ""), sign: word.startsWith("-") ? -1 : 1 }));
  return rows.toSorted((a, b) => {
    for (const { field, sign } of keys) {
      const [left, right] = [a.get(field), b.get(field)];
      const difference = compareValues(left, right) * sign;
      if (difference !== 0) return difference;
    }
    return 0;
  });
}

function compareValues(left: Value | undefined, right: Value | undefined): number {
  const [a, b] = [String(left ?? ""), String(right ?? "")];
  const numbers = a !== "" && b !== "" && !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
  return numbers ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0;
}

/** `word a="x*" b=y NOT c="z"`: every term must hold. Parentheses and OR do not occur in our searches. */
function searchMatches(text: string, row: Row): boolean {
  const terms = text.trim().match(/(NOT\s+)?[A-Za-z_.]+=("(?:[^"\\]|\\.)*"|\S+)|(?<=^|\s)[a-z_]+(?=\s|$)/g) ?? [];
  if (terms.join(" ").replaceAll(/\s+/g, " ") !== text.trim().replaceAll(/\s+/g, " "))
    throw new Error(`search not modelled: ${text}`);
  return terms.every((term) => {
    const [, not, name = "", quotedText = ""] = /^(NOT\s+)?([^=]+)=(.*)$/s.exec(term) ?? [];
    if (name === "") return String(row.get("_raw")).toLowerCase().includes(term);
    if (name === "index") return true;
    const wanted = quotedText.replace(/^"(.*)"$/s, "$1").replaceAll(/\\(["\\])/g, "$1");
    const regex = new RegExp(
      `^${wanted
        .split("*")
        .map((part) => part.replace(/[.\\+?^${}()|[\]]/g, "\\$&"))
        .join(".*")}$`,
      "i",
    );
    const holds = many(row.get(name) ?? null).some((value) => regex.test(value));
    return not ? !holds : holds;
  });
}

/** Splits where `sign` stands outside quotes, parentheses and brackets. */
function splitTop(text: string, sign: string): string[] {
  const parts: string[] = [];
  let [depth, quoted, from] = [0, false, 0];
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (char === '"' && text[i - 1] !== "\\") quoted = !quoted;
    if (quoted) continue;
    if (char === "(" || char === "[") depth += 1;
    else if (char === ")" || char === "]") depth -= 1;
    else if (char === sign && depth === 0) {
      parts.push(text.slice(from, i));
      from = i + 1;
    }
  }
  if (quoted || depth !== 0) throw new Error(`quotes or parentheses do not match: ${text}`);
  return [...parts, text.slice(from)];
}
