/** No wait is longer, because nobody notices a customer that waits for weeks. */
export const LONGEST_WAIT_MS = 24 * 3_600_000;

export interface AskedWait {
  /** At most a day. */
  readonly ms: number;
  /** A sentence for the failure when a longer wait was asked for. */
  readonly note?: string;
}

/** The wait that is kept when a service asks for `askedMs`. */
export function keptWait(askedMs: number): AskedWait {
  if (askedMs <= LONGEST_WAIT_MS) return { ms: askedMs };
  const days = Math.floor(askedMs / LONGEST_WAIT_MS);
  const asked = Number.isSafeInteger(days) ? `${days} ${days === 1 ? "day" : "days"} or more` : "more than a day";
  return { ms: LONGEST_WAIT_MS, note: `It asked for a wait of ${asked}; the request is repeated after one day.` };
}

/**
 * How long `Retry-After` asks the client to wait, from now; undefined when absent or unreadable. Both
 * forms of RFC 9110 §10.2.3: whole seconds, or an HTTP date. A date is compared with the answer's own `Date`
 * header, so that a wrong clock on either side cannot lengthen or skip the wait.
 */
export function retryAfter(headers: Readonly<Record<string, string>>, nowMs: number): AskedWait | undefined {
  const value = headers["retry-after"]?.trim();
  if (value === undefined || value === "") return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return keptWait(Math.ceil(Number(value) * 1000));
  const at = httpDateMs(value);
  if (at === undefined) return undefined;
  return keptWait(Math.max(0, at - serverNowMs(headers, nowMs)));
}

/** The service's clock from the `Date` header, ms; `nowMs` when the header is missing or unreadable. */
export function serverNowMs(headers: Readonly<Record<string, string>>, nowMs: number): number {
  const date = headers["date"];
  return (date === undefined ? undefined : httpDateMs(date)) ?? nowMs;
}

function httpDateMs(text: string): number | undefined {
  // Only the forms of an HTTP date: Date.parse would also read "5" as a year.
  if (!/^[A-Za-z]{3,9},? /.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
