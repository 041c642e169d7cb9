/**
 * Requests allowed per (app, tenant, API). Sources: Microsoft Graph docs, "Throttling limits: security
 * detections and incidents" (150 per minute per app per tenant); Defender docs, get-alerts (100 per minute,
 * 1,500 per hour) and api-list-incidents (50 per minute, 1,500 per hour); runHuntingQuery (45 per minute).
 */
export interface BudgetLimits {
  readonly perMinute: number;
  readonly perHour: number | undefined;
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

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/**
 * The strictest reading of "N per minute": no stretch of 60 s ever holds more than N. Requests refused are
 * not counted. Times that step back are taken as they come.
 */
export function makeBudget(): Budget {
  let taken: number[] = [];
  const waitFor = (nowMs: number, limit: number, windowMs: number): number => {
    const nth = taken.at(-limit);
    return nth === undefined || nth + windowMs <= nowMs ? 0 : nth + windowMs - nowMs;
  };
  return {
    tryConsume(nowMs, { perMinute, perHour }) {
      const wait = Math.max(
        waitFor(nowMs, perMinute, MINUTE_MS),
        perHour === undefined ? 0 : waitFor(nowMs, perHour, HOUR_MS),
      );
      if (wait > 0) return wait;
      taken.push(nowMs);
      const keep = perHour ?? perMinute;
      if (taken.length > 2 * keep) taken = taken.slice(-keep);
      return 0;
    },
  };
}
