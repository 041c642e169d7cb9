import {
  type Filter,
  lowerBound,
  type Order,
  parseFilter,
  parseOrder,
  passes,
  pathsOf,
  QueryRefused,
  textsOf,
} from "../odata.ts";
import { byUpdate, type Table, type Version } from "../records.ts";
import type { StreamFacts } from "../streams.ts";
import type { Regime } from "../world.ts";

/** A list request, read and checked. */
export interface ListQuery {
  readonly filter: Filter | undefined;
  readonly order: readonly Order[];
  readonly top: number;
  readonly skip: number;
  readonly count: boolean;
  readonly expand: string | undefined;
  readonly place: Place | undefined;
}

/** What a skip token stands for. */
type Place = { readonly after: readonly [key: string | null, id: string] } | { readonly rows: number };

const OPTIONS = new Set(["$filter", "$orderby", "$top", "$skip", "$count", "$expand", "$skiptoken", "$select"]);

/**
 * Reads the query options of a list; throws QueryRefused with the sentence the service would use.
 * @param unknownMembers members of enumerations that this cloud does not know.
 */
export function readListQuery(
  facts: StreamFacts,
  search: URLSearchParams,
  unknownMembers: readonly string[] = [],
): ListQuery {
  for (const name of search.keys()) {
    if (name.startsWith("$") && !OPTIONS.has(name))
      throw new QueryRefused(`The query parameter '${name}' is not supported.`);
  }
  const filterText = search.get("$filter");
  const filter = filterText === null || filterText.trim() === "" ? undefined : parseFilter(filterText);
  for (const path of filter === undefined ? [] : pathsOf(filter)) {
    if (facts.api === "graph" && path === "evidence") continue;
    if (!facts.filterable.includes(path))
      throw new QueryRefused(`Filtering by the property '${path}' is not supported.`);
  }
  const unknown = (filter === undefined ? [] : textsOf(filter)).find((text) => unknownMembers.includes(text));
  // The sentence of Microsoft's own OData library for an enumeration without that member.
  if (unknown !== undefined)
    throw new QueryRefused(`The string '${unknown}' is not a valid enumeration type constant.`);
  const orderText = search.get("$orderby");
  const order = orderText === null || orderText === "" ? [] : parseOrder(orderText);
  for (const { path } of order) {
    if (!facts.orderable.includes(path)) throw new QueryRefused(`Ordering by the property '${path}' is not supported.`);
  }
  const asked = wholeNumber(search, "$top");
  if (asked !== undefined && asked > facts.pageMax && facts.aboveMax === "refuse") {
    throw new QueryRefused(
      `The limit of '${facts.pageMax}' for Top query has been exceeded. The value from the incoming request is '${asked}'.`,
    );
  }
  const skip = wholeNumber(search, "$skip") ?? 0;
  if (facts.skipMax !== undefined && skip > facts.skipMax) {
    throw new QueryRefused(
      `The limit of '${facts.skipMax}' for Skip query has been exceeded. The value from the incoming request is '${skip}'.`,
    );
  }
  const expand = search.get("$expand") ?? undefined;
  const allowed = facts.name === "incidents" ? "alerts" : facts.name === "mde-alerts" ? "evidence" : undefined;
  if (expand !== undefined && expand !== allowed)
    throw new QueryRefused(`Could not find a property named '${expand}' on type '${facts.context.split("#").at(-1)}'.`);
  const token = search.get("$skiptoken");
  return {
    filter,
    order,
    top: Math.min(asked ?? facts.pageMax, facts.pageMax),
    skip,
    count: search.get("$count")?.toLowerCase() === "true",
    expand,
    place: token === null ? undefined : readPlace(token),
  };
}

function wholeNumber(search: URLSearchParams, name: string): number | undefined {
  const text = search.get(name);
  if (text === null) return undefined;
  if (!/^\d{1,9}$/.test(text))
    throw new QueryRefused(
      `Invalid value '${text}' for ${name} query option found. The ${name} query option requires a non-negative integer value.`,
    );
  return Number(text);
}

function readPlace(token: string): Place {
  try {
    const [kind, ...rest] = JSON.parse(Buffer.from(token, "base64url").toString()) as [string, ...unknown[]];
    if (kind === "rows") return { rows: Number(rest[0]) };
    if (kind === "after") return { after: [rest[0] as string | null, String(rest[1])] };
  } catch {
    // Falls through to the refusal below.
  }
  throw new QueryRefused("Skip token is invalid.");
}

export interface ListAnswer {
  readonly rows: readonly Version[];
  /** How many rows pass the filter, before `$skip` and `$top`. */
  readonly matching: number;
  /** The token of the next page, when there is one. */
  readonly next: string | undefined;
  /** Equal for equal rows of an unchanged table. */
  readonly cacheKey: string | undefined;
}

/** Evaluates a list request on the visible rows: filter, order, place or skip, top. Pure. */
export function evaluateList(table: Table, query: ListQuery, regime: Regime): ListAnswer {
  const { facts } = table;
  const order = orderInForce(facts, query.order, regime);
  const ordered = orderedRows(table, order, regime);
  const simple = regime.order === "ignored" ? undefined : fastLowerBound(facts, query, order);
  let matching: readonly Version[];
  let base = 0;
  if (simple !== undefined) {
    base = firstIndex(
      ordered,
      (row) => row.updatedTicks >= simple.from && (simple.inclusive || row.updatedTicks > simple.from),
    );
    matching = ordered;
  } else if (query.filter === undefined) matching = ordered;
  else {
    const { filter } = query;
    matching = ordered.filter((row) => passes(filter, viewOf(facts, row, filter)));
  }
  const comparator = comparatorOf(facts, order);
  let start = base + query.skip;
  const { place } = query;
  if (place !== undefined && "rows" in place) start = base + place.rows;
  else if (place !== undefined) {
    const [key, id] = place.after;
    start =
      Math.max(
        base,
        firstIndex(matching, (row) => comparator(row, { key, id }) > 0),
      ) + query.skip;
  }
  const end = Math.min(start + Math.min(query.top, regime.page_max ?? query.top), matching.length);
  const rows = matching.slice(start, end);
  const last = rows.at(-1);
  const more = end < matching.length && rows.length > 0 && last !== undefined;
  return {
    rows,
    matching: matching.length - base,
    next: more
      ? tokenOf(
          regime.token === "count" || regime.order === "ignored"
            ? { rows: end - base }
            : { after: [keyOf(facts, order, last), last.id] },
        )
      : undefined,
    cacheKey:
      simple === undefined && query.filter !== undefined ? undefined : `${orderName(order, regime)} ${start} ${end}`,
  };
}

function tokenOf(place: Place): string {
  return Buffer.from(JSON.stringify("rows" in place ? ["rows", place.rows] : ["after", ...place.after])).toString(
    "base64url",
  );
}

/** Without `$orderby`, and under `newest-first` whatever was asked, the newest update comes first. */
function orderInForce(facts: StreamFacts, asked: readonly Order[], regime: Regime): Order {
  if (regime.order === "newest-first" || asked[0] === undefined) return { path: facts.updated, descending: true };
  return asked[0];
}

const orderName = (order: Order, regime: Regime): string =>
  regime.order === "ignored" ? "ignored" : `${order.path} ${order.descending}`;

const ticksBy = (facts: StreamFacts, order: Order, row: Version): bigint | string | null => {
  if (order.path === facts.updated) return row.updatedTicks;
  if (order.path === facts.created) return row.createdTicks;
  const member = row.row()[order.path];
  return typeof member === "string" ? member : null;
};

const keyOf = (facts: StreamFacts, order: Order, row: Version): string | null =>
  ticksBy(facts, order, row)?.toString() ?? null;

/**
 * Compares a row with a place: by the ordered member, then by id, so that rows of one instant have one order.
 */
function comparatorOf(
  facts: StreamFacts,
  order: Order,
): (row: Version, place: { key: string | null; id: string }) => number {
  const sign = order.descending ? -1 : 1;
  const ticks = order.path === facts.updated || order.path === facts.created;
  return (row, place) => {
    const mine = ticksBy(facts, order, row) ?? "";
    const theirs = ticks ? BigInt(place.key ?? "0") : (place.key ?? "");
    if (mine !== theirs) return mine < theirs ? -sign : sign;
    return row.id < place.id ? -sign : row.id > place.id ? sign : 0;
  };
}

const orderedCache = new WeakMap<readonly Version[], Map<string, readonly Version[]>>();

function orderedRows(table: Table, order: Order, regime: Regime): readonly Version[] {
  const visible = table.visible();
  const name = orderName(order, regime);
  if (name === `${table.facts.updated} false`) return visible;
  const cached = orderedCache.get(visible) ?? new Map<string, readonly Version[]>();
  orderedCache.set(visible, cached);
  const known = cached.get(name);
  if (known !== undefined) return known;
  const sorted = regime.order === "ignored" ? scrambled(visible) : sortedBy(table.facts, visible, order);
  cached.set(name, sorted);
  return sorted;
}

function sortedBy(facts: StreamFacts, rows: readonly Version[], order: Order): readonly Version[] {
  if (order.path === facts.updated) return [...rows].sort((a, b) => byUpdate(b, a));
  const sign = order.descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [ticksBy(facts, order, a) ?? "", ticksBy(facts, order, b) ?? ""];
    if (left !== right) return left < right ? -sign : sign;
    return a.id < b.id ? -sign : a.id > b.id ? sign : 0;
  });
}

/** A fixed order that follows no member of the rows: by a hash of the id. */
function scrambled(rows: readonly Version[]): readonly Version[] {
  return rows
    .map((row) => [hash(row.id), row] as const)
    .sort(([a, x], [b, y]) => a - b || byUpdate(x, y))
    .map(([, row]) => row);
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 2_166_136_261;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 16_777_619);
  return value >>> 0;
}

/** `updated ge X` alone, in ascending order, needs no look at any row. */
function fastLowerBound(
  facts: StreamFacts,
  query: ListQuery,
  order: Order,
): { from: bigint; inclusive: boolean } | undefined {
  const { filter } = query;
  if (filter?.op !== "compare" || filter.path !== facts.updated || filter.value.kind !== "instant") return undefined;
  if (order.path !== facts.updated || order.descending || (filter.how !== "ge" && filter.how !== "gt"))
    return undefined;
  return { from: filter.value.ticks, inclusive: filter.how === "ge" };
}

function firstIndex(rows: readonly Version[], holds: (row: Version) => boolean): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const row = rows[middle];
    if (row !== undefined && holds(row)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** What a filter looks at. Times were read when the row was added, so most rows are never parsed. */
function viewOf(facts: StreamFacts, row: Version, filter: Filter): Record<string, unknown> {
  const times = { [facts.updated]: row.updatedTicks, [facts.created]: row.createdTicks };
  const onlyTimes = pathsOf(filter).every((path) => path in times);
  return onlyTimes ? times : { ...row.row(), ...times };
}

/** How far back a request looked, for `/shown`. */
export function lookbackOf(
  facts: StreamFacts,
  filter: Filter | undefined,
): { updatedFrom?: bigint; createdFrom?: bigint } {
  const updatedFrom = lowerBound(filter, facts.updated);
  const createdFrom = lowerBound(filter, facts.created);
  return {
    ...(updatedFrom === undefined ? {} : { updatedFrom }),
    ...(createdFrom === undefined ? {} : { createdFrom }),
  };
}
