import type { Exchange } from "./exchange.ts";
import type { FaultAnswer, FaultTarget } from "./faults.ts";
import type { World } from "./world.ts";

/**
 * Lets a fault strike a request: what it does to the answer is now on the exchange. Returns it with the
 * headers of a refusal, or undefined where none strikes. Without a status the service answers.
 */
export function struckFault(
  exchange: Exchange,
  world: World,
  target: FaultTarget,
  customer: string,
): (FaultAnswer & { readonly headers: Record<string, string> }) | undefined {
  const search = exchange.url.searchParams;
  const fault = world.faults.next({
    target,
    customer,
    nowMs: exchange.nowMs,
    linked: search.has("$skiptoken"),
    expand: search.has("$expand"),
  });
  exchange.damage = fault;
  if (fault === undefined) return undefined;
  const { retry_after_seconds: seconds, retry_after_form: form } = fault;
  return {
    ...fault,
    headers: seconds === undefined ? {} : { "retry-after": retryAfter(seconds, form, exchange.nowMs) },
  };
}

/** A `Retry-After` in either of its two forms (RFC 9110). */
export function retryAfter(seconds: number, form: "seconds" | "date" = "seconds", nowMs = 0): string {
  return form === "seconds" ? String(seconds) : new Date(Math.ceil(nowMs / 1000) * 1000 + seconds * 1000).toUTCString();
}
