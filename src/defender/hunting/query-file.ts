import type { HuntingQuery } from "../../model/hunting.ts";

export interface QueryFile {
  readonly queries: readonly HuntingQuery[];
  /**
   * One sentence each: which query, which member, its limits. A query with a problem is skipped; the others
   * are used.
   */
  readonly problems: readonly string[];
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$/;
const KQL_MOST = 100_000;
const HISTORY_MINUTES = 30 * 24 * 60;

interface Bound {
  readonly least: number;
  readonly most: number;
  readonly otherwise: number;
}

/** The members that are minutes. Hunting tables keep 30 days, so longer windows are not useful. */
const MINUTES = {
  every_minutes: { least: 1, most: 7 * 24 * 60, otherwise: 60 },
  delay_minutes: { least: 0, most: 24 * 60, otherwise: 5 },
} satisfies Record<string, Bound>;

const MEMBERS = new Set(["name", "kql", "every_minutes", "window_minutes", "delay_minutes", "customers"]);

/**
 * Reads `{"queries":[{"name","kql","every_minutes","window_minutes","delay_minutes","customers"}]}`. Only
 * `name` and `kql` are required: by default a query runs every 60 minutes over the time since its last run,
 * 5 minutes late, for every customer. Pure; never throws.
 */
export function readQueryFile(text: string): QueryFile {
  let outer: unknown;
  try {
    outer = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    return { queries: [], problems: [`The file is not JSON${placeOf(error)}.`] };
  }
  const list = isObject(outer) ? outer.queries : undefined;
  if (!Array.isArray(list)) return { queries: [], problems: ['The file must contain {"queries":[…]}.'] };
  if (list.length === 0) return { queries: [], problems: ["The file contains no queries."] };
  const queries: HuntingQuery[] = [];
  const problems: string[] = [];
  const taken = new Set<string>();
  for (const [i, item] of list.entries()) {
    const { query, wrong } = readQuery(item, `queries[${i}]`);
    if (query !== undefined && wrong.length === 0) {
      // Names that differ only in case can be one folder or one search term in other products.
      if (taken.has(query.name.toLowerCase()))
        wrong.push(`${where(item, `queries[${i}]`)}: another query already has this name.`);
      else queries.push(query);
      taken.add(query.name.toLowerCase());
    }
    problems.push(...wrong);
  }
  return { queries, problems };
}

/**
 * The runtime's message quotes the file, which may be a key file that was named by mistake. So only the
 * position is used.
 */
function placeOf(error: unknown): string {
  const place = error instanceof SyntaxError ? /line \d+ column \d+/.exec(error.message) : null;
  return place === null ? "" : ` (${place[0]})`;
}

function readQuery(
  item: unknown,
  place: string,
): { readonly query: HuntingQuery | undefined; readonly wrong: string[] } {
  if (!isObject(item)) return { query: undefined, wrong: [`${place} is not an object.`] };
  const named = where(item, place);
  const wrong: string[] = [];
  for (const member of Object.keys(item))
    if (!MEMBERS.has(member))
      wrong.push(`${named}: ${member} is not a known member. Known members: ${[...MEMBERS].join(", ")}.`);
  const { name, kql, customers } = item;
  if (typeof name !== "string" || !NAME.test(name)) {
    wrong.push(
      `${named}: name must have 1 to 64 letters, digits, spaces, dots, dashes or underscores, and begin with a letter or digit.`,
    );
  }
  if (typeof kql !== "string" || kql.trim() === "") wrong.push(`${named}: kql must be the text of the query.`);
  else if (kql.length > KQL_MOST)
    wrong.push(`${named}: kql has ${kql.length} characters; at most ${KQL_MOST} are allowed.`);
  const everyMinutes = minutes(item, "every_minutes", MINUTES.every_minutes, named, wrong);
  const delayMinutes = minutes(item, "delay_minutes", MINUTES.delay_minutes, named, wrong);
  // With a window shorter than the interval some rows would never be requested.
  const windowMinutes = minutes(
    item,
    "window_minutes",
    { least: everyMinutes, most: HISTORY_MINUTES, otherwise: everyMinutes },
    named,
    wrong,
  );
  if (customers !== undefined && !isTexts(customers))
    wrong.push(`${named}: customers must be a list of customer names or tenant ids.`);
  const query: HuntingQuery = {
    name: String(name),
    kql: String(kql),
    everyMinutes,
    windowMinutes,
    delayMinutes,
    ...(isTexts(customers) ? { customers } : {}),
  };
  return { query, wrong };
}

function minutes(item: Record<string, unknown>, member: string, bound: Bound, named: string, wrong: string[]): number {
  const value = item[member];
  if (value === undefined) return bound.otherwise;
  if (typeof value === "number" && Number.isInteger(value) && value >= bound.least && value <= bound.most) return value;
  wrong.push(`${named}: ${member} must be a whole number from ${bound.least} to ${bound.most}.`);
  return bound.otherwise;
}

function where(item: unknown, place: string): string {
  const name = isObject(item) ? item.name : undefined;
  return typeof name === "string" && NAME.test(name) ? `${place} (${name})` : place;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === "string" && text !== "");
}
