import { createHash } from "node:crypto";
import { ticksOf } from "./instant.ts";
import type { Row } from "./odata.ts";
import type { StreamFacts } from "./streams.ts";

/**
 * What a version is made from. The text comes by a function, so that a generated one need not be kept in
 * memory.
 */
export interface NewVersion {
  readonly id: string;
  readonly updated: string;
  readonly created: string;
  /** The simulator's time, ms, from which polls can see it; undefined: from the beginning. */
  readonly visibleAtMs?: number;
  /** The record has no id or no update time; both are made up here and are not in `/shown`. */
  readonly unkeyed?: boolean;
  /** The record vanishes instead of changing. */
  readonly gone?: boolean;
  text(): string;
}

/** One state of one record. */
export interface Version extends NewVersion {
  readonly updatedTicks: bigint;
  readonly createdTicks: bigint;
  readonly order: number;
  row(): Row;
  /** When a poll could first see it, and whether an answer ever held it: what `/shown` is made from. */
  seenAtMs: number | undefined;
  served: boolean;
  /** How its text looked when it first went out: newer enum members masked, children left out or put in. */
  sentAs: ((version: Version) => string) | undefined;
}

/**
 * Reads a record's id and times, or says in words what is missing. `line` is compact JSON. A record without
 * an id or a time is taken all the same, because Microsoft's answers may hold one: it is served, last in
 * order, and never filtered out.
 */
export function readVersion(facts: StreamFacts, line: string, visibleAtMs?: number): NewVersion | string {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch {
    return "is not JSON";
  }
  if (typeof row !== "object" || row === null || Array.isArray(row)) return "is not a JSON object";
  const members = row as Row;
  const id = members[facts.id] ?? (facts.name === "siem-alerts" ? members["AlertId"] : undefined);
  const hasId = typeof id === "string" || typeof id === "number";
  const updated = instantIn(members[facts.updated]);
  return {
    id: hasId ? String(id) : `without id: ${createHash("sha256").update(line).digest("hex")}`,
    updated: updated ?? NO_TIME,
    created: instantIn(members[facts.created]) ?? updated ?? NO_TIME,
    unkeyed: !hasId || updated === undefined,
    ...(visibleAtMs === undefined ? {} : { visibleAtMs }),
    text: () => line,
  };
}

const NO_TIME = "9999-12-31T23:59:59Z";

const instantIn = (value: unknown): string | undefined =>
  typeof value === "string" && ticksOf(value) !== undefined ? value : undefined;

/**
 * The same JSON without white space outside strings: numbers, escapes and order stay as they were written.
 */
export function compact(json: string): string {
  return hasOuterSpace(json)
    ? json.replaceAll(/"(?:[^"\\]|\\.)*"|[\t\n\r ]+/g, (part) => (part.startsWith('"') ? part : ""))
    : json;
}

/** Most lines are compact already, and this look is many times cheaper than a replacement. */
function hasOuterSpace(json: string): boolean {
  let inString = false;
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at);
    if (code === 0x22) inString = !inString;
    else if (inString) {
      if (code === 0x5c) at += 1;
    } else if (code <= 0x20) return true;
  }
  return false;
}

/** One list of one customer: every version ever, those visible now, and which of them a poll could see. */
export interface Table {
  readonly facts: StreamFacts;
  add(version: NewVersion): void;
  /** Makes visible what is due at `nowMs`. Time that steps back takes nothing away again. */
  settle(nowMs: number): void;
  /** Visible versions, newest per id, by update time and then id, ascending. Never changed in place. */
  visible(): readonly Version[];
  find(id: string): Version | undefined;
  /** Changes with each visible change; prepared pages go by it. */
  revision(): number;
  /** Notes that a poll looked: see `shown`. */
  polled(lookback: Lookback, nowMs: number): void;
  /** Notes that an answer held the version. */
  served(version: Version, nowMs: number, sentAs: (version: Version) => string): void;
  /** Every version a poll could see, in the order in which they became visible. */
  shown(): Version[];
  /** The next time at which something becomes visible, ms. */
  nextDueMs(): number | undefined;
  versionCount(): number;
}

/** How far back a request looked: a lower bound on update time or creation time, or on neither. */
export interface Lookback {
  readonly updatedFrom?: bigint;
  readonly createdFrom?: bigint;
}

export function makeTable(facts: StreamFacts, parse: (text: string) => Row = (text) => JSON.parse(text) as Row): Table {
  const rows = new Map<string, Version>();
  const everVisible: Version[] = [];
  let pending: Version[] = [];
  let pendingSorted = true;
  let sorted: Version[] | undefined = [];
  // Visible but not yet seen by a poll: since the last poll, and those older than any poll has looked.
  let fresh: Version[] = [];
  let beyond: Version[] = [];
  let revision = 0;
  let order = 0;
  let furthestUpdated: bigint | undefined | "all";
  let furthestCreated: bigint | undefined | "all";

  function show(version: Version): void {
    const before = rows.get(version.id);
    // "The newest per id": a version that arrives after a newer one is already visible is never visible
    // itself.
    if (before !== undefined && before.updatedTicks > version.updatedTicks && version.gone !== true) return;
    revision += 1;
    sorted = undefined;
    if (version.gone === true) {
      rows.delete(version.id);
      return;
    }
    rows.set(version.id, version);
    everVisible.push(version);
    fresh.push(version);
  }

  const reached = (version: Version): boolean =>
    furthestUpdated === "all" ||
    furthestCreated === "all" ||
    (furthestUpdated !== undefined && version.updatedTicks >= furthestUpdated) ||
    (furthestCreated !== undefined && version.createdTicks >= furthestCreated);

  return {
    facts,
    add(given) {
      let parsed: Row | undefined;
      const version: Version = {
        ...given,
        updatedTicks: ticksOf(given.updated) ?? 0n,
        createdTicks: ticksOf(given.created) ?? 0n,
        order: order++,
        row: () => {
          // Parsed only where a filter asks for more than times, and then kept: a page of rows is asked for
          // many times.
          parsed ??= parse(given.text());
          return parsed;
        },
        seenAtMs: undefined,
        served: false,
        sentAs: undefined,
      };
      if (version.visibleAtMs === undefined) show(version);
      else {
        pending.push(version);
        pendingSorted = false;
      }
    },
    settle(nowMs) {
      if (pending.length === 0) return;
      if (!pendingSorted) {
        pending.sort((a, b) => (a.visibleAtMs ?? 0) - (b.visibleAtMs ?? 0) || a.order - b.order);
        pendingSorted = true;
      }
      let due = 0;
      while (due < pending.length && (pending[due]?.visibleAtMs ?? 0) <= nowMs) due += 1;
      if (due === 0) return;
      for (const version of pending.slice(0, due)) show(version);
      pending = pending.slice(due);
    },
    visible() {
      sorted ??= [...rows.values()].sort(byUpdate);
      return sorted;
    },
    find: (id) => rows.get(id),
    revision: () => revision,
    polled(lookback, nowMs) {
      const before = [furthestUpdated, furthestCreated];
      if (lookback.updatedFrom === undefined && lookback.createdFrom === undefined) furthestUpdated = "all";
      if (lookback.updatedFrom !== undefined) furthestUpdated = further(furthestUpdated, lookback.updatedFrom);
      if (lookback.createdFrom !== undefined && lookback.updatedFrom === undefined)
        furthestCreated = further(furthestCreated, lookback.createdFrom);
      const looksFurther = before[0] !== furthestUpdated || before[1] !== furthestCreated;
      if (!looksFurther && fresh.length === 0) return;
      const looking = looksFurther ? [...beyond, ...fresh] : fresh;
      if (looksFurther) beyond = [];
      fresh = [];
      for (const version of looking) {
        // Replaced before any poll came by: nobody could see it.
        if (rows.get(version.id) !== version) continue;
        if (reached(version)) version.seenAtMs = version.visibleAtMs ?? nowMs;
        else beyond.push(version);
      }
    },
    served(version, nowMs, sentAs) {
      version.sentAs ??= sentAs;
      version.served = true;
      version.seenAtMs ??= version.visibleAtMs ?? nowMs;
    },
    shown: () =>
      everVisible.filter(
        (version) => version.served || (version.seenAtMs !== undefined && rows.get(version.id) === version),
      ),
    nextDueMs() {
      return pending.length === 0
        ? undefined
        : Math.min(...pending.slice(0, pendingSorted ? 1 : undefined).map((version) => version.visibleAtMs ?? 0));
    },
    versionCount: () => order,
  };
}

function further(before: bigint | undefined | "all", bound: bigint): bigint | "all" {
  if (before === "all") return before;
  return before === undefined || bound < before ? bound : before;
}

/** By update time, then by id. */
export function byUpdate(a: Version, b: Version): number {
  if (a.updatedTicks !== b.updatedTicks) return a.updatedTicks < b.updatedTicks ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
