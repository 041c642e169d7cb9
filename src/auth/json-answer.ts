import { Failure } from "../model/failure.ts";
import type { HttpAnswer } from "../model/ports.ts";
import { jsonOf } from "../net/json-answer.ts";
import { retryAfterMs } from "../net/retry-after.ts";
import type { TokenAnswer } from "./entra-failures.ts";

/** Token answers are below 20 KiB; a proxy's block page is not worth more either. */
const ANSWER_LIMIT_BYTES = 256 * 1024;

/**
 * Reads a small JSON answer of the sign-in service. Throws Failure `bad-answer` when a success is not a JSON
 * object, or when a refusal came as a web page (a proxy's, a firewall's, a portal's); a body-less 429 or 5xx
 * is handed on, because its status says enough.
 */
export async function readJsonAnswer(answer: HttpAnswer, host: string, nowMs: number): Promise<TokenAnswer> {
  const text = await answer.text(ANSWER_LIMIT_BYTES);
  const waitMs = retryAfterMs(answer.headers, nowMs);
  const body = parsed(text);
  const passing = answer.status === 429 || answer.status >= 500;
  if (body === undefined && !passing) {
    const page = /^\s*</.test(text);
    throw new Failure("bad-answer", {
      actor: "operator",
      retry: { when: "later" },
      say: page
        ? `A web page came back instead of a sign-in answer from ${host} (status ${answer.status}).`
        : `${host} gave a sign-in answer that is not JSON (status ${answer.status}).`,
      nextStep: "Check login_url, and whether a proxy or firewall answers in Microsoft's place.",
      status: answer.status,
    });
  }
  return { status: answer.status, body, ...(waitMs === undefined ? {} : { waitUntilMs: nowMs + waitMs }) };
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  const value = jsonOf(text);
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}
