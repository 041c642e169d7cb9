import { ticksOf } from "./instant.ts";

/** A query the service refuses; `message` is what the body says. */
export class QueryRefused extends Error {}

export type Literal =
  | { readonly kind: "instant"; readonly ticks: bigint }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "null" }
  | { readonly kind: "boolean"; readonly value: boolean };

type Comparison = "eq" | "ne" | "gt" | "ge" | "lt" | "le";

export type Filter =
  | { readonly op: "and"; readonly left: Filter; readonly right: Filter }
  | { readonly op: "or"; readonly left: Filter; readonly right: Filter }
  | { readonly op: "not"; readonly inner: Filter }
  | { readonly op: "compare"; readonly path: string; readonly how: Comparison; readonly value: Literal }
  | {
      readonly op: "call";
      readonly name: "contains" | "startswith" | "endswith";
      readonly path: string;
      readonly text: string;
    }
  | { readonly op: "any"; readonly path: string; readonly variable: string; readonly inner: Filter };

type Token = { readonly text: string; readonly kind: "word" | "string" | "open" | "close" | "comma" | "colon" };

const TOKEN = /\s*(?:('(?:[^']|'')*')|(\()|(\))|(,)|(:)(?=\s)|([^\s(),']+))/gy;

function tokens(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null)
      throw new QueryRefused(`Invalid filter clause: There is an unterminated literal at position ${at} in '${text}'.`);
    const [, quoted, open, close, comma, colon, word] = match;
    if (quoted !== undefined) found.push({ kind: "string", text: quoted.slice(1, -1).replaceAll("''", "'") });
    else if (open !== undefined) found.push({ kind: "open", text: "(" });
    else if (close !== undefined) found.push({ kind: "close", text: ")" });
    else if (comma !== undefined) found.push({ kind: "comma", text: "," });
    else if (colon !== undefined) found.push({ kind: "colon", text: ":" });
    else if (word?.endsWith(":") && word.length > 1)
      found.push({ kind: "word", text: word.slice(0, -1) }, { kind: "colon", text: ":" });
    else if (word !== undefined) found.push({ kind: "word", text: word });
  }
  return found;
}

const COMPARISONS = new Set<string>(["eq", "ne", "gt", "ge", "lt", "le"]);
const CALLS = new Set<string>(["contains", "startswith", "endswith"]);

/**
 * Reads an OData `$filter`: comparisons, `and`, `or`, `not`, parentheses, `contains`, `startswith`,
 * `endswith` and one level of `path/any(x: …)`. `and` binds tighter than `or`. Throws QueryRefused with the
 * service's kind of sentence.
 */
export function parseFilter(text: string): Filter {
  const all = tokens(text);
  let at = 0;
  const fail = (): never => {
    throw new QueryRefused(`Invalid filter clause: Syntax error at position ${at} in '${text}'.`);
  };
  const take = (kind?: Token["kind"]): Token => {
    const token = all[at];
    if (token === undefined || (kind !== undefined && token.kind !== kind)) return fail();
    at += 1;
    return token;
  };
  const word = (...texts: string[]): boolean => {
    const token = all[at];
    return token?.kind === "word" && texts.includes(token.text.toLowerCase());
  };
  const either = (): Filter => {
    let left = both();
    while (word("or")) {
      at += 1;
      left = { op: "or", left, right: both() };
    }
    return left;
  };
  const both = (): Filter => {
    let left = one();
    while (word("and")) {
      at += 1;
      left = { op: "and", left, right: one() };
    }
    return left;
  };
  const one = (): Filter => {
    if (word("not")) {
      at += 1;
      return { op: "not", inner: one() };
    }
    if (all[at]?.kind === "open") {
      at += 1;
      const inner = either();
      take("close");
      return inner;
    }
    const path = take("word").text;
    if (all[at]?.kind === "open") {
      if (path.endsWith("/any")) return anyOf(path.slice(0, -4));
      if (CALLS.has(path.toLowerCase())) return call(path.toLowerCase() as "contains");
      return fail();
    }
    const how = take("word").text.toLowerCase();
    if (!COMPARISONS.has(how)) return fail();
    return { op: "compare", path, how: how as Comparison, value: literal() };
  };
  const anyOf = (path: string): Filter => {
    take("open");
    const variable = take("word").text;
    take("colon");
    const inner = either();
    take("close");
    return { op: "any", path, variable, inner };
  };
  const call = (name: "contains" | "startswith" | "endswith"): Filter => {
    take("open");
    const path = take("word").text;
    take("comma");
    const value = take("string").text;
    take("close");
    return { op: "call", name, path, text: value };
  };
  const literal = (): Literal => {
    const token = take();
    if (token.kind === "string") return { kind: "text", text: token.text };
    if (token.kind !== "word") return fail();
    if (token.text === "null") return { kind: "null" };
    if (token.text === "true" || token.text === "false") return { kind: "boolean", value: token.text === "true" };
    const ticks = ticksOf(token.text);
    if (ticks !== undefined && /\d{4}-\d\d-\d\d/.test(token.text)) return { kind: "instant", ticks };
    if (/^-?\d+(\.\d+)?$/.test(token.text)) return { kind: "number", value: Number(token.text) };
    throw new QueryRefused(`Invalid filter clause: Could not find a property named '${token.text}' on the type.`);
  };
  const filter = either();
  if (at < all.length) fail();
  return filter;
}

/** Every member path a filter names outside of lambdas. */
export function pathsOf(filter: Filter): string[] {
  if (filter.op === "and" || filter.op === "or") return [...pathsOf(filter.left), ...pathsOf(filter.right)];
  if (filter.op === "not") return pathsOf(filter.inner);
  return [filter.path];
}

/** Every text that a filter compares a member with. */
export function textsOf(filter: Filter): string[] {
  if (filter.op === "and" || filter.op === "or") return [...textsOf(filter.left), ...textsOf(filter.right)];
  if (filter.op === "not" || filter.op === "any") return textsOf(filter.inner);
  return filter.op === "compare" && filter.value.kind === "text" ? [filter.value.text] : [];
}

/** One row as a filter sees it: members by name, already parsed. */
export type Row = Readonly<Record<string, unknown>>;

/**
 * Whether a row passes. Texts compare without regard to case (enum members do in Graph), instants by ticks.
 */
export function passes(filter: Filter, row: Row): boolean {
  if (filter.op === "and") return passes(filter.left, row) && passes(filter.right, row);
  if (filter.op === "or") return passes(filter.left, row) || passes(filter.right, row);
  if (filter.op === "not") return !passes(filter.inner, row);
  if (filter.op === "any") {
    const list = row[filter.path];
    return (
      Array.isArray(list) && list.some((element) => passes(unprefixed(filter.inner, filter.variable), element as Row))
    );
  }
  const member = memberOf(row, filter.path);
  if (filter.op === "call") {
    if (typeof member !== "string") return false;
    const [whole, part] = [member.toLowerCase(), filter.text.toLowerCase()];
    if (filter.name === "contains") return whole.includes(part);
    return filter.name === "startswith" ? whole.startsWith(part) : whole.endsWith(part);
  }
  return compared(member, filter.how, filter.value);
}

/** A lambda's paths without their variable and without a type cast in the middle. */
function unprefixed(filter: Filter, variable: string): Filter {
  if (filter.op === "and" || filter.op === "or")
    return { ...filter, left: unprefixed(filter.left, variable), right: unprefixed(filter.right, variable) };
  if (filter.op === "not") return { ...filter, inner: unprefixed(filter.inner, variable) };
  const path = filter.path
    .split("/")
    .filter((part, index) => !(index === 0 && part === variable) && !part.startsWith("microsoft.graph."))
    .join("/");
  return { ...filter, path };
}

function memberOf(row: Row, path: string): unknown {
  let value: unknown = row;
  for (const part of path.split("/")) {
    if (typeof value !== "object" || value === null) return undefined;
    const holder = value as Record<string, unknown>;
    value = holder[part] ?? holder[Object.keys(holder).find((key) => key.toLowerCase() === part.toLowerCase()) ?? part];
  }
  return value;
}

function compared(member: unknown, how: Comparison, value: Literal): boolean {
  const order = orderOf(member, value);
  if (how === "eq") return order === 0;
  if (how === "ne") return order !== 0;
  if (order === undefined) return false;
  if (how === "gt") return order > 0;
  if (how === "ge") return order >= 0;
  return how === "lt" ? order < 0 : order <= 0;
}

/**
 * Negative, zero or positive, or undefined where the two cannot be compared (a null member, another type).
 */
function orderOf(member: unknown, value: Literal): number | undefined {
  if (value.kind === "null") return member === null || member === undefined ? 0 : undefined;
  if (member === null || member === undefined) return undefined;
  if (value.kind === "instant") {
    const ticks = typeof member === "bigint" ? member : typeof member === "string" ? ticksOf(member) : undefined;
    return ticks === undefined ? undefined : ticks < value.ticks ? -1 : ticks > value.ticks ? 1 : 0;
  }
  if (value.kind === "number") {
    const number = Number(member);
    return Number.isNaN(number) ? undefined : number - value.value;
  }
  if (value.kind === "boolean") return typeof member === "boolean" ? Number(member) - Number(value.value) : undefined;
  if (typeof member !== "string" && typeof member !== "number" && typeof member !== "boolean") return undefined;
  const [left, right] = [String(member).toLowerCase(), value.text.toLowerCase()];
  return left < right ? -1 : left > right ? 1 : 0;
}

/**
 * The lower bound a filter puts on one instant member, with `ge` and `gt` alike, when every passing row must
 * obey it; undefined when rows of any age may pass.
 */
export function lowerBound(filter: Filter | undefined, path: string): bigint | undefined {
  if (filter === undefined) return undefined;
  if (filter.op === "and") {
    const [left, right] = [lowerBound(filter.left, path), lowerBound(filter.right, path)];
    if (left === undefined || right === undefined) return left ?? right;
    return left > right ? left : right;
  }
  if (filter.op === "or") {
    const [left, right] = [lowerBound(filter.left, path), lowerBound(filter.right, path)];
    return left === undefined || right === undefined ? undefined : left < right ? left : right;
  }
  const bounds =
    filter.op === "compare" &&
    filter.path === path &&
    filter.value.kind === "instant" &&
    ["ge", "gt", "eq"].includes(filter.how);
  return bounds && filter.op === "compare" && filter.value.kind === "instant" ? filter.value.ticks : undefined;
}

export interface Order {
  readonly path: string;
  readonly descending: boolean;
}

/** Reads `$orderby`: one or more members, each with `asc` or `desc`. */
export function parseOrder(text: string): Order[] {
  return text.split(",").map((part) => {
    const [path, way = "asc", ...rest] = part.trim().split(/\s+/);
    if (path === undefined || path === "" || rest.length > 0 || !/^(asc|desc)$/i.test(way))
      throw new QueryRefused(`Invalid orderby clause: Syntax error in '${text}'.`);
    return { path, descending: way.toLowerCase() === "desc" };
  });
}
