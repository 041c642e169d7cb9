/**
 * Requests allowed per (app, tenant, API). Sources: Microsoft Graph docs, "Throttling limits: security
 * detections and incidents" (150 per minute per app per tenant); Defender docs, get-alerts (100 per minute,
 * 1,500 per hour) and api-list-incidents (50 per minute, 1,500 per hour); runHuntingQuery (45 per minute).
 */
export interface BudgetLimits {
  readonly perSecond?: number;
  readonly perMinute?: number;
  readonly perHour?: number | undefined;
}

export type BudgetName = "graph" | "hunting" | "xdr" | "mde" | "siem";

export const BUDGETS: Readonly<Record<BudgetName, BudgetLimits>> = {
  graph: { perMinute: 150, perHour: undefined },
  hunting: { perMinute: 45, perHour: 1500 },
  xdr: { perMinute: 50, perHour: 1500 },
  mde: { perMinute: 100, perHour: 1500 },
  siem: { perMinute: 100, perHour: undefined },
};

export interface Budget {
  /** Counts a request, or says for how many milliseconds none is allowed (then it is not counted). */
  tryConsume(nowMs: number, limits: BudgetLimits): number;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/**
 * The strictest reading of "N per minute", or per second or hour: no stretch of 60 s ever holds more than N.
 * Requests refused are not counted. Times that step back are taken as they come.
 */
export function makeBudget(): Budget {
  let taken: number[] = [];
  /** A limit of 0 is none. */
  const waitFor = (nowMs: number, limit: number, windowMs: number): number => {
    const nth = limit === 0 ? undefined : taken.at(-limit);
    return nth === undefined || nth + windowMs <= nowMs ? 0 : nth + windowMs - nowMs;
  };
  return {
    tryConsume(nowMs, { perSecond = 0, perMinute = 0, perHour = 0 }) {
      const wait = Math.max(
        waitFor(nowMs, perSecond, SECOND_MS),
        waitFor(nowMs, perMinute, MINUTE_MS),
        waitFor(nowMs, perHour, HOUR_MS),
      );
      if (wait > 0) return wait;
      taken.push(nowMs);
      const keep = Math.max(perSecond, perMinute, perHour);
      if (taken.length > 2 * keep) taken = taken.slice(-keep);
      return 0;
    },
  };
}
