import { formatInstant, TICKS_PER_MS, type Ticks } from "../model/instant.ts";
import type { Question, SplitCondition } from "../model/ports.ts";
import type { StreamContract } from "./streams/contract.ts";

/** What a service turned out not to accept; kept as long as the process runs. */
export interface Learnt {
  readonly top?: number;
  readonly noOrder?: boolean;
}

/**
 * The complete address of one request. Pure: the same question always gives the same text.
 * @param base origin of the API without a trailing slash.
 */
export function questionUrl(contract: StreamContract, base: string, question: Question, learnt: Learnt): string {
  if (question.link !== undefined) return question.link;
  const options = contract.asks === "siem" ? siemOptions(question) : odataOptions(contract, question, learnt);
  const query = options.map(([name, value]) => `${name}=${queryText(value)}`).join("&");
  return query === "" ? base + contract.path : `${base}${contract.path}?${query}`;
}

type Option = readonly [name: string, value: string];

function odataOptions(contract: StreamContract, question: Question, learnt: Learnt): readonly Option[] {
  const conditions = [
    ...(question.from === undefined ? [] : [`${contract.timeName} ge ${formatInstant(question.from)}`]),
    ...(question.to === undefined ? [] : [`${contract.timeName} le ${formatInstant(question.to)}`]),
    ...(question.where ?? []).flatMap(odataConditions),
  ];
  return [
    ...(conditions.length === 0 ? [] : [["$filter", conditions.join(" and ")] as const]),
    ...(contract.ordered && learnt.noOrder !== true ? [["$orderby", `${contract.timeName} asc`] as const] : []),
    ...(contract.expand === undefined || question.withoutExpand === true
      ? []
      : [["$expand", contract.expand] as const]),
    ["$top", String(Math.min(question.top, learnt.top ?? contract.topMost))],
    ...(question.skip === undefined || question.skip === 0 ? [] : [["$skip", String(question.skip)] as const]),
  ];
}

/** A null is not equal to any value (OData 4.01 part 2, section 5.1.1.1.2), so `ne` finds it too. */
function odataConditions(condition: SplitCondition): readonly string[] {
  if ("noneOf" in condition) return condition.noneOf.map((value) => `${condition.property} ne ${odataText(value)}`);
  return [`${condition.property} eq ${odataText(condition.value)}`];
}

/** A quote inside a value is doubled: OData 4.01 part 2, section 5.1.1.6.1. */
function odataText(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

/**
 * The SIEM API's bounds have the documented form: milliseconds, no zone letter, UTC. Rounding outwards by a
 * millisecond keeps both bounds inclusive, however the service compares. Without a lower bound the service
 * answers only the last two hours, so it is always sent.
 */
function siemOptions(question: Question): readonly Option[] {
  const from = question.from ?? 0n;
  return [
    ["sinceTimeUtc", siemInstant(from - TICKS_PER_MS)],
    ...(question.to === undefined
      ? []
      : [["untilTimeUtc", siemInstant(question.to + 2n * TICKS_PER_MS - 1n)] as const]),
  ];
}

function siemInstant(ticks: Ticks): string {
  return formatInstant(ticks).slice(0, "2016-09-12T00:00:00.000".length);
}

/** Escapes a value for a query; `:` and `,` stay readable, as RFC 3986 allows. */
function queryText(value: string): string {
  return encodeURIComponent(value).replaceAll("%3A", ":").replaceAll("%2C", ",");
}
