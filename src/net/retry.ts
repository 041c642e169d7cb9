/**
 * How long `Retry-After` asks the client to wait, in ms from now; undefined when absent or unreadable. Both
 * forms of RFC 9110 §10.2.3: whole seconds, or an HTTP date. A date is compared with the answer's own `Date`
 * header, so that a wrong clock on either side cannot lengthen or skip the wait.
 */
export function retryAfterMs(headers: Readonly<Record<string, string>>, nowMs: number): number | undefined {
  const value = headers["retry-after"]?.trim();
  if (value === undefined || value === "") return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return Math.ceil(Number(value) * 1000);
  const at = httpDateMs(value);
  if (at === undefined) return undefined;
  return Math.max(0, at - serverNowMs(headers, nowMs));
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

/** What the caller does after an answer. `wait.forMs` is undefined when the service named no time. */
export type Move =
  | { readonly do: "use" }
  /** The service rejected the token: renew it once, then repeat the request. */
  | { readonly do: "renew-token" }
  | { readonly do: "wait"; readonly forMs: number | undefined }
  | { readonly do: "try-again" }
  /** Repeating the request changes nothing. */
  | { readonly do: "give-up" };

/**
 * One row per status. A status without a row is decided by its class (2xx use, 5xx try again, others give
 * up). Source:
 * RFC 9110 §15, RFC 6585 §4, Microsoft Graph docs "Throttling".
 */
const MOVES: Readonly<Record<number, Move["do"]>> = {
  401: "renew-token",
  408: "try-again",
  423: "try-again",
  425: "try-again",
  429: "wait",
  501: "give-up",
  505: "give-up",
  509: "wait",
};

export function nextMove(
  answer: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
  nowMs: number,
): Move {
  const { status, headers } = answer;
  const named = MOVES[status] ?? (status >= 200 && status < 300 ? "use" : status >= 500 ? "try-again" : "give-up");
  const forMs = retryAfterMs(headers, nowMs);
  if (named === "wait") return { do: "wait", forMs };
  // A service that is down and names a time is treated like one that is busy.
  if (named === "try-again" && forMs !== undefined) return { do: "wait", forMs };
  return { do: named };
}
