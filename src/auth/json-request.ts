import { backoffMs } from "../model/backoff.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { AddressSetting, Clock, Http, Random } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import type { Route } from "../model/stanza.ts";
import { jsonObjectOf } from "../net/json-answer.ts";
import { retryAfter } from "../net/retry-after.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";

export type Json = Readonly<Record<string, unknown>>;

export interface JsonRequest {
  readonly method: "GET" | "POST" | "DELETE";
  readonly url: string;
  readonly addressSetting: AddressSetting;
  readonly token: Sealed;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly route: Route;
}

export interface JsonReply {
  readonly status: number;
  /** Undefined where the body is not a JSON object. */
  readonly body: Json | undefined;
  /** How long `Retry-After` asks to wait. */
  readonly waitMs: number | undefined;
}

/** Graph's list of the permissions of its own service principal has more than a megabyte. */
const ANSWER_LIMIT_BYTES = 4 * 1024 * 1024;

/** One request with a bearer token, and its small JSON answer of any status. Throws network failures. */
export async function requestJson(
  world: { readonly http: Http; readonly clock: Clock },
  { method, url, addressSetting, token, body, headers, route }: JsonRequest,
): Promise<JsonReply> {
  const answer = await token.open((bearer) =>
    world.http.send({
      method,
      url,
      addressSetting,
      headers: {
        authorization: `Bearer ${bearer.trim()}`,
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      route,
      headersTimeoutMs: TIME_LIMITS.signIn.ms,
    }),
  );
  return {
    status: answer.status,
    body: jsonObjectOf(await answer.text(ANSWER_LIMIT_BYTES)),
    waitMs: retryAfter(answer.headers, world.clock.nowMs())?.ms,
  };
}

export function isSuccess({ status }: Pick<JsonReply, "status">): boolean {
  return status >= 200 && status <= 299;
}

const TRIES = 4;
const BACKOFF = { firstMs: 1_000, longestMs: 30_000 };
/** A longer `Retry-After` is not waited for: the person runs the command again. */
const LONGEST_WAIT_MS = 120_000;

/**
 * Repeats a request while Microsoft throttles, fails or cannot be reached. Returns the last answer, or throws
 * the last network failure.
 */
export async function patiently(
  world: { readonly clock: Clock; readonly random: Random },
  ask: () => Promise<JsonReply>,
): Promise<JsonReply> {
  for (let n = 1; ; n += 1) {
    let waitMs = backoffMs(BACKOFF, n, world.random);
    try {
      const reply = await ask();
      if (reply.status !== 429 && reply.status < 500) return reply;
      waitMs = reply.waitMs ?? waitMs;
      if (n === TRIES || waitMs > LONGEST_WAIT_MS) return reply;
    } catch (error) {
      if (!isFailure(error) || error.retry.when === "never" || n === TRIES) throw error;
    }
    await world.clock.pause(waitMs);
  }
}

/** A success whose body is not what was asked for. */
export function unusableAnswer(who: string): Failure {
  return new Failure("bad-answer", {
    actor: "microsoft",
    retry: { when: "later" },
    say: `${who} answered with text that cannot be used.`,
    nextStep: "Run the command again.",
  });
}
