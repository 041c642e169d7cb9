import { type Random, seededRandom } from "./seeded-random.ts";
import type { StreamName } from "./streams.ts";

/** What a request is, as far as faults care. */
export type FaultTarget =
  | "token"
  | "authorize"
  | "discovery"
  | "hunting"
  | "relationships"
  | "governance"
  | "directory"
  | "partner-center"
  | "imds"
  | StreamName;

export const FAULT_TARGETS: readonly FaultTarget[] = [
  "token",
  "authorize",
  "discovery",
  "hunting",
  "alerts",
  "incidents",
  "xdr-incidents",
  "mde-alerts",
  "siem-alerts",
  "relationships",
  "governance",
  "directory",
  "partner-center",
  "imds",
];

export const BODY_FAULTS = [
  "truncated",
  "wrong-length",
  "broken-gzip",
  "html",
  "empty",
  "reset",
  "hang",
  "bom",
] as const;
export const VALUE_FAULTS = ["missing", "null", "object", "strings"] as const;
export const LINK_FAULTS = ["repeats", "elsewhere", "plain-http", "absent"] as const;

/** What happens instead of, or to, the right answer. */
export interface FaultAnswer {
  readonly status?: number;
  readonly code?: string;
  readonly message?: string;
  readonly retry_after_seconds?: number;
  readonly retry_after_form?: "seconds" | "date";
  /** An Entra error by its number. */
  readonly aadsts?: number;
  /** `bom`: the right body behind a byte order mark, as gateways write one. */
  readonly body?: (typeof BODY_FAULTS)[number];
  /** The right body, but under this Content-Type. */
  readonly content_type?: string;
  readonly delay_ms?: number;
  readonly bytes_per_second?: number;
  readonly value?: (typeof VALUE_FAULTS)[number];
  readonly link?: (typeof LINK_FAULTS)[number];
  /** 206 Partial Content with this `Warning` header. */
  readonly warning?: string;
}

/** When a fault strikes. All conditions given must hold. Times are the simulator's, ms. */
export interface FaultRule {
  readonly on: readonly FaultTarget[];
  readonly customers?: readonly string[];
  readonly fromMs?: number;
  readonly untilMs?: number;
  /** `linked`: requests that follow a next link; `first`: all others. */
  readonly page?: "first" | "linked";
  /** Only requests with (or without) `$expand`. */
  readonly expand?: boolean;
  /** Which of a customer's matching requests, counted from 1. */
  readonly requests?: readonly number[];
  /** Each n-th request of a customer that matches. */
  readonly every?: number;
  /** The share of matching requests, 0 to 1, drawn with the scenario's seed. */
  readonly rate?: number;
  /** Strikes at most this often per customer. */
  readonly times?: number;
  readonly answer: FaultAnswer;
}

export interface FaultRequest {
  readonly target: FaultTarget;
  readonly customer: string;
  readonly nowMs: number;
  readonly linked: boolean;
  readonly expand: boolean;
}

export interface Faults {
  /** Adds a rule and returns its number. Earlier rules win. */
  add(rule: FaultRule): number;
  remove(number: number | undefined): void;
  list(): { number: number; struck: number; rule: FaultRule }[];
  /**
   * The fault that strikes this request, if any. The request counts for every rule that it matches, also
   * where an earlier one strikes.
   */
  next(request: FaultRequest): FaultAnswer | undefined;
}

interface Counted {
  matched: number;
  struck: number;
  readonly random: Random;
}

/**
 * Faults by script or by rate. Each rule counts, and draws, per customer, so that a run repeats whatever the
 * others do.
 */
export function makeFaults(seed: string | number): Faults {
  const rules = new Map<number, { readonly rule: FaultRule; readonly counts: Map<string, Counted> }>();
  let last = 0;
  return {
    add(rule) {
      last += 1;
      rules.set(last, { rule, counts: new Map() });
      return last;
    },
    remove(number) {
      if (number === undefined) rules.clear();
      else rules.delete(number);
    },
    list: () =>
      [...rules].map(([number, { rule, counts }]) => ({
        number,
        struck: [...counts.values()].reduce((sum, { struck }) => sum + struck, 0),
        rule,
      })),
    next(request) {
      let struck: FaultAnswer | undefined;
      for (const [number, { rule, counts }] of rules) {
        if (!matches(rule, request)) continue;
        let counted = counts.get(request.customer);
        if (counted === undefined) {
          counted = { matched: 0, struck: 0, random: seededRandom(seed, number, request.customer) };
          counts.set(request.customer, counted);
        }
        counted.matched += 1;
        if (!strikes(rule, counted) || struck !== undefined) continue;
        counted.struck += 1;
        struck = rule.answer;
      }
      return struck;
    },
  };
}

function matches(rule: FaultRule, request: FaultRequest): boolean {
  return (
    rule.on.includes(request.target) &&
    (rule.customers === undefined || rule.customers.includes(request.customer)) &&
    (rule.fromMs === undefined || request.nowMs >= rule.fromMs) &&
    (rule.untilMs === undefined || request.nowMs < rule.untilMs) &&
    (rule.page === undefined || (rule.page === "linked") === request.linked) &&
    (rule.expand === undefined || rule.expand === request.expand)
  );
}

function strikes(rule: FaultRule, counted: Counted): boolean {
  if (rule.times !== undefined && counted.struck >= rule.times) return false;
  if (rule.requests !== undefined && !rule.requests.includes(counted.matched)) return false;
  if (rule.every !== undefined && counted.matched % rule.every !== 0) return false;
  return rule.rate === undefined || counted.random() < rule.rate;
}

/** Whether a client that got this answer could not have read its rows. */
export function unreadable(answer: FaultAnswer | undefined): boolean {
  if (answer === undefined) return false;
  return (
    answer.status !== undefined ||
    answer.aadsts !== undefined ||
    (answer.body !== undefined && answer.body !== "bom") ||
    (answer.content_type !== undefined && !/json/i.test(answer.content_type)) ||
    answer.value !== undefined
  );
}
