import { durationMs, ticksOf, ticksOfMs } from "../instant.ts";

/** A query that Microsoft would refuse; `message` is what the body says. */
export class BadQuery extends Error {}

export interface HuntingResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** Rows as JSON. One that no operator reshaped is the line of the table, byte for byte. */
  readonly rows: readonly string[];
}

type Cells = Readonly<Record<string, unknown>>;

interface Line {
  readonly cells: Cells;
  /** The row as the table holds it, as long as nothing reshaped it. */
  readonly text: string | undefined;
}

const ROWS_MAX = 100_000;

type Token = { readonly kind: "word" | "number" | "string" | "sign"; readonly text: string };

const TOKEN =
  /\s*(?:(@?"(?:[^"\\]|\\.)*"|@?'(?:[^'\\]|\\.)*')|(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?|\d+(?:\.\d+)?[a-z]*)|(!?in~|[A-Za-z_]\w*(?:\.\w+)*)|(==|!=|=~|!~|>=|<=|\.\.|[|,()=<>!;]))/gy;

/**
 * Runs a query over tables: `where` (comparisons, `has`, `contains`, `startswith`, `endswith`, `in`,
 * `between`, `ago`, `now`, `datetime`, `and`, `or`, `not`), `project`, `take`, `limit`, `order by`, `sort
 * by`, `top`, `count`, `summarize count() by`, `distinct`. Anything else is refused as Microsoft refuses a
 * query it cannot read.
 */
export function runKql(
  query: string,
  tables: ReadonlyMap<string, readonly string[]>,
  nowMs: number,
  timespanMs?: { fromMs: number; toMs: number },
): HuntingResult {
  const stages = split(tokens(query.replaceAll(/\/\/[^\n]*/g, "")));
  const [source] = stages.shift() ?? [];
  if (source?.kind !== "word")
    throw new BadQuery("Syntax error: A recognition error occurred. Fix syntax errors in your query.");
  const rows = tables.get(source.text);
  if (rows === undefined)
    throw new BadQuery(
      `'${source.text}' could not be resolved: Failed to resolve table or column expression named '${source.text}'. Fix semantic errors in your query.`,
    );
  let lines: Line[] = rows.map((text) => ({ text, cells: JSON.parse(text) as Cells }));
  let columns = columnsOf(lines);
  if (timespanMs !== undefined) lines = lines.filter(({ cells }) => inTimespan(cells["Timestamp"], timespanMs));
  for (const stage of stages) ({ lines, columns } = applyStage(stage, lines, columns, nowMs));
  if (lines.length > ROWS_MAX) lines = lines.slice(0, ROWS_MAX);
  return { columns, rows: lines.map(({ cells, text }) => text ?? JSON.stringify(cells)) };
}

function inTimespan(value: unknown, span: { fromMs: number; toMs: number }): boolean {
  const ticks = typeof value === "string" ? ticksOf(value) : undefined;
  return ticks === undefined || (ticks >= ticksOfMs(span.fromMs) && ticks <= ticksOfMs(span.toMs));
}

function tokens(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  while (text.slice(TOKEN.lastIndex).trim() !== "") {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null)
      throw new BadQuery(
        `Syntax error: A recognition error occurred near '${text.slice(at, at + 20).trim()}'. Fix syntax errors in your query.`,
      );
    const [, quoted, number, word, sign] = match;
    if (quoted !== undefined) found.push({ kind: "string", text: unquoted(quoted) });
    else if (number !== undefined) found.push({ kind: "number", text: number });
    else if (word !== undefined) found.push({ kind: "word", text: word });
    else if (sign !== undefined && sign !== ";") found.push({ kind: "sign", text: sign });
  }
  return found;
}

function unquoted(quoted: string): string {
  if (quoted.startsWith("@")) return quoted.slice(2, -1);
  return quoted.slice(1, -1).replaceAll(/\\(.)/g, (_, char: string) => ({ n: "\n", t: "\t", r: "\r" })[char] ?? char);
}

function split(all: readonly Token[]): Token[][] {
  const stages: Token[][] = [[]];
  for (const token of all) {
    if (token.kind === "sign" && token.text === "|") stages.push([]);
    else stages.at(-1)?.push(token);
  }
  return stages;
}

type Columns = HuntingResult["columns"];

/** Types as Microsoft names them, read off the values. */
function columnsOf(lines: readonly Line[]): Columns {
  const types = new Map<string, string>();
  for (const { cells } of lines) {
    for (const [name, value] of Object.entries(cells)) {
      const type = typeOf(value);
      if (!types.has(name) || types.get(name) === "") types.set(name, type);
    }
  }
  return [...types].map(([name, type]) => ({ name, type: type === "" ? "String" : type }));
}

function typeOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isInteger(value) ? "Int64" : "Double";
  if (typeof value === "boolean") return "SByte";
  if (typeof value === "object") return "Object";
  return typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) && ticksOf(value) !== undefined
    ? "DateTime"
    : "String";
}

function applyStage(
  stage: readonly Token[],
  lines: Line[],
  columns: Columns,
  nowMs: number,
): { lines: Line[]; columns: Columns } {
  const reader = readerOf(stage, columns, nowMs);
  const operator = reader.word();
  switch (operator) {
    case "where":
    case "filter": {
      const test = reader.condition();
      reader.end();
      return { lines: lines.filter(({ cells }) => test(cells)), columns };
    }
    case "take":
    case "limit": {
      const count = reader.count();
      reader.end();
      return { lines: lines.slice(0, count), columns };
    }
    case "count":
      reader.end();
      return reshaped([{ Count: lines.length }]);
    case "project":
    case "distinct": {
      const names = reader.columns();
      reader.end();
      const picked = lines.map(({ cells }) => Object.fromEntries(names.map((name) => [name, cells[name] ?? null])));
      const unique =
        operator === "project" ? picked : [...new Map(picked.map((cells) => [JSON.stringify(cells), cells])).values()];
      return {
        lines: unique.map((cells) => ({ cells, text: undefined })),
        columns: names.map((name) => columns.find((column) => column.name === name) ?? { name, type: "String" }),
      };
    }
    case "order":
    case "sort": {
      reader.expect("by");
      const order = reader.order();
      reader.end();
      return { lines: sorted(lines, order), columns };
    }
    case "top": {
      const count = reader.count();
      reader.expect("by");
      const order = reader.order();
      reader.end();
      return { lines: sorted(lines, order).slice(0, count), columns };
    }
    case "summarize": {
      const name = reader.countCall();
      const by = reader.accept("by") ? reader.columns() : [];
      reader.end();
      const groups = new Map<string, { cells: Cells; count: number }>();
      for (const { cells } of lines) {
        const key = Object.fromEntries(by.map((column) => [column, cells[column] ?? null]));
        const group = groups.get(JSON.stringify(key)) ?? { cells: key, count: 0 };
        group.count += 1;
        groups.set(JSON.stringify(key), group);
      }
      return reshaped([...groups.values()].map(({ cells, count }) => ({ ...cells, [name]: count })));
    }
    default:
      throw new BadQuery(`Syntax error: '${operator}' operator is not supported. Fix syntax errors in your query.`);
  }
}

function reshaped(rows: readonly Cells[]): { lines: Line[]; columns: Columns } {
  const lines = rows.map((cells) => ({ cells, text: undefined }));
  return { lines, columns: columnsOf(lines) };
}

interface Sort {
  readonly column: string;
  readonly descending: boolean;
}

function sorted(lines: readonly Line[], order: Sort): Line[] {
  const sign = order.descending ? -1 : 1;
  return [...lines].sort((a, b) => sign * (orderOf(a.cells[order.column], b.cells[order.column]) ?? 0));
}

/** Instants by ticks, numbers by value, texts by letters. */
function orderOf(left: unknown, right: unknown): number | undefined {
  if (typeof left === "number" && typeof right === "number") return left - right;
  const [a, b] = [ticksFrom(left), ticksFrom(right)];
  if (a !== undefined && b !== undefined) return a < b ? -1 : a > b ? 1 : 0;
  if (typeof left !== "string" || typeof right !== "string") return undefined;
  return left < right ? -1 : left > right ? 1 : 0;
}

const ticksFrom = (value: unknown): bigint | undefined =>
  typeof value === "bigint" ? value : typeof value === "string" ? ticksOf(value) : undefined;

type Test = (cells: Cells) => boolean;
type Value = (cells: Cells) => unknown;

function readerOf(stage: readonly Token[], columns: Columns, nowMs: number) {
  let at = 0;
  const fail = (): never => {
    throw new BadQuery(
      `Syntax error: A recognition error occurred near '${stage[at]?.text ?? "end of query"}'. Fix syntax errors in your query.`,
    );
  };
  const peek = (text: string): boolean => stage[at]?.text.toLowerCase() === text && stage[at]?.kind !== "string";
  const accept = (text: string): boolean => {
    if (!peek(text)) return false;
    at += 1;
    return true;
  };
  const expect = (text: string): void => {
    if (!accept(text)) fail();
  };
  const take = (): Token => {
    const token = stage[at] ?? fail();
    at += 1;
    return token;
  };
  const column = (name: string): string => {
    if (!columns.some((one) => one.name === name))
      throw new BadQuery(
        `'where' operator: Failed to resolve column or scalar expression named '${name}'. Fix semantic errors in your query.`,
      );
    return name;
  };
  const columnWord = (): string => {
    const token = take();
    return token.kind === "word" ? column(token.text) : fail();
  };
  const list = <T>(one: () => T): T[] => {
    const all = [one()];
    while (accept(",")) all.push(one());
    return all;
  };
  const either = (): Test => {
    let left = both();
    while (accept("or")) {
      const [a, b] = [left, both()];
      left = (cells) => a(cells) || b(cells);
    }
    return left;
  };
  const both = (): Test => {
    let left = one();
    while (accept("and")) {
      const [a, b] = [left, one()];
      left = (cells) => a(cells) && b(cells);
    }
    return left;
  };
  const one = (): Test => {
    if (peek("not") && stage[at + 1]?.text === "(") {
      at += 1;
      const inner = one();
      return (cells) => !inner(cells);
    }
    if (accept("(")) {
      const inner = either();
      expect(")");
      return inner;
    }
    const left = value();
    if (peek("between")) {
      at += 1;
      expect("(");
      const low = value();
      expect("..");
      const high = value();
      expect(")");
      return (cells) => (orderOf(left(cells), low(cells)) ?? -1) >= 0 && (orderOf(left(cells), high(cells)) ?? 1) <= 0;
    }
    const sign = take();
    let how = sign.text.toLowerCase();
    if (how === "!" && stage[at]?.kind === "word") how = `!${take().text.toLowerCase()}`;
    if (["in", "!in", "in~", "!in~"].includes(how)) {
      expect("(");
      const among = list(value);
      expect(")");
      return (cells) =>
        among.some((candidate) => same(left(cells), candidate(cells), !how.endsWith("~"))) !== how.startsWith("!");
    }
    const test = COMPARE[how];
    if (test === undefined) return fail();
    const right = value();
    return (cells) => test(left(cells), right(cells));
  };
  const value = (): Value => {
    const token = take();
    if (token.kind === "string") return () => token.text;
    if (token.kind === "number") {
      const number = Number(token.text);
      return Number.isNaN(number) ? fail() : () => number;
    }
    if (token.kind !== "word") return fail();
    if (peek("(")) return call(token.text);
    if (token.text === "true" || token.text === "false") return () => token.text === "true";
    const name = column(token.text);
    return (cells) => cells[name];
  };
  const call = (name: string): Value => {
    expect("(");
    let inner = "";
    while (!peek(")")) inner += take().text;
    expect(")");
    if (name === "now" && inner === "") return () => ticksOfMs(nowMs);
    if (name === "ago") {
      const ms = spanMs(inner);
      return ms === undefined ? fail() : () => ticksOfMs(nowMs - ms);
    }
    const ticks = name === "datetime" || name === "todatetime" ? ticksOf(inner.replace(" ", "T")) : undefined;
    if (ticks === undefined) throw new BadQuery(`Unknown function: '${name}'. Fix semantic errors in your query.`);
    return () => ticks;
  };
  return {
    word: () => take().text.toLowerCase(),
    accept,
    expect,
    condition: either,
    columns: () => list(columnWord),
    count: () => {
      const number = Number(take().text);
      return Number.isInteger(number) && number >= 0 ? number : fail();
    },
    order: (): Sort => {
      const name = columnWord();
      if (accept("asc")) return { column: name, descending: false };
      accept("desc");
      return { column: name, descending: true };
    },
    countCall: (): string => {
      let name = "count_";
      if (stage[at + 1]?.text === "=") {
        name = take().text;
        expect("=");
      }
      for (const part of ["count", "(", ")"]) expect(part);
      return name;
    },
    end: (): void => {
      if (at < stage.length) fail();
    },
  };
}

const same = (left: unknown, right: unknown, exact: boolean): boolean =>
  typeof left === "string" && typeof right === "string"
    ? exact
      ? left === right
      : left.toLowerCase() === right.toLowerCase()
    : orderOf(left, right) === 0 || left === right;

const folded = (test: (whole: string, part: string) => boolean) => (left: unknown, right: unknown) =>
  typeof left === "string" && typeof right === "string" && test(left.toLowerCase(), right.toLowerCase());

const hasTerm = (whole: string, part: string): boolean =>
  whole.split(/[^\p{L}\p{N}]+/u).includes(part) || (/[^\p{L}\p{N}]/u.test(part) && whole.includes(part));

const COMPARE: Readonly<Record<string, (left: unknown, right: unknown) => boolean>> = {
  "==": (left, right) => same(left, right, true),
  "!=": (left, right) => !same(left, right, true),
  "=~": (left, right) => same(left, right, false),
  "!~": (left, right) => !same(left, right, false),
  ">": (left, right) => (orderOf(left, right) ?? 0) > 0,
  ">=": (left, right) => (orderOf(left, right) ?? -1) >= 0,
  "<": (left, right) => (orderOf(left, right) ?? 0) < 0,
  "<=": (left, right) => (orderOf(left, right) ?? 1) <= 0,
  has: folded(hasTerm),
  "!has": (left, right) => !folded(hasTerm)(left, right),
  contains: folded((whole, part) => whole.includes(part)),
  "!contains": (left, right) => !folded((whole, part) => whole.includes(part))(left, right),
  startswith: folded((whole, part) => whole.startsWith(part)),
  endswith: folded((whole, part) => whole.endsWith(part)),
};

const UNITS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** Milliseconds of a Kusto timespan (`1h`, `30m`, `7d`) or an ISO duration. */
function spanMs(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|[dhms])$/.exec(text);
  if (match === null) return durationMs(text);
  return Number(match[1]) * (UNITS[match[2] ?? ""] ?? 0);
}
