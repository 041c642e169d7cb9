import { Failure } from "../model/failure.ts";
import type { HttpAnswer } from "../model/ports.ts";
import { jsonObjectOf } from "../net/json-answer.ts";
import { retryAfter } from "../net/retry-after.ts";
import type { TokenAnswer } from "./entra-failures.ts";

/** Token answers are below 20 KiB. The limit also covers a proxy's block page. */
const ANSWER_LIMIT_BYTES = 256 * 1024;

/**
 * Reads a small JSON answer of the sign-in service. Throws Failure `bad-answer` when a success is not a JSON
 * object, or when an error came as a web page (of a proxy, a firewall, a portal). A 429 or 5xx without a body
 * is returned, because its status is enough.
 */
export async function readJsonAnswer(answer: HttpAnswer, host: string, nowMs: number): Promise<TokenAnswer> {
  const text = await answer.text(ANSWER_LIMIT_BYTES);
  const wait = retryAfter(answer.headers, nowMs);
  const body = jsonObjectOf(text);
  const passing = answer.status === 429 || answer.status >= 500;
  if (body === undefined && !passing) {
    const page = /^\s*</.test(text);
    throw new Failure("bad-answer", {
      actor: "operator",
      retry: { when: "later" },
      say: page
        ? `${host} answered the sign-in with a web page (status ${answer.status}).`
        : `${host} answered the sign-in with text that is not JSON (status ${answer.status}).`,
      nextStep: "Check `login_url`, and check that no proxy or firewall answers instead of Microsoft.",
      status: answer.status,
    });
  }
  return {
    status: answer.status,
    body,
    ...(wait === undefined ? {} : { waitUntilMs: nowMs + wait.ms }),
    ...(wait?.note === undefined ? {} : { waitNote: wait.note }),
  };
}
