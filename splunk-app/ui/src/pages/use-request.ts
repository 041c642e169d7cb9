import { useEffect, useState } from "react";
import { pause } from "../after.ts";
import { type Answer, type Ask, answerTo, ask, forget, RestProblem } from "../rest.ts";
import { followRequest } from "../state/follow.ts";
import { commandFor } from "../state/without-page.ts";
import { pauseUntilSeen } from "./parts.tsx";

const LOOK_MS = 1_000;
/** A running input answers within seconds; one that was just saved is restarted first. */
const ANSWER_EXPECTED_MS = 60_000;

export interface Asked {
  readonly answer: Answer;
  /** Something that the person should know while there is no answer. */
  readonly note: string;
}

/**
 * Asks the running input once and follows its answer. What goes wrong on the way is shown and tried again: an
 * answer may come any time later.
 *
 * @param customer undefined while there is nothing to ask.
 * @param attempt another number asks again.
 */
export function useRequest(customer: string | undefined, what: Ask, attempt: number): Asked {
  const [asked, setAsked] = useState<Asked>({ answer: {}, note: "" });
  useEffect(() => {
    if (customer === undefined) return undefined;
    const over = new AbortController();
    setAsked({ answer: {}, note: "" });
    const startedMs = Date.now();
    void followRequest({
      calls: { ask: () => ask(customer, what), answerTo, forget },
      stop: over.signal,
      nowMs: () => performance.now(),
      pause: (ms) => pauseUntilSeen(ms, over.signal),
      onAnswer: (answer) => {
        const isLate = answer.state === undefined && Date.now() - startedMs > ANSWER_EXPECTED_MS;
        setAsked({ answer, note: isLate ? noAnswer(what, customer) : "" });
      },
      onProblem: (error) => setAsked((before) => ({ ...before, note: noteOf(error, what, customer) })),
    });
    return () => over.abort();
  }, [customer, what, attempt]);
  return asked;
}

/**
 * Asks the running input once, and waits for the answer a minute. Throws RestProblem; what the input does
 * after that is seen by the next look.
 */
export async function answerOf(customer: string, what: Ask, stop: AbortSignal): Promise<Answer> {
  const untilMs = Date.now() + ANSWER_EXPECTED_MS;
  const key = await ask(customer, what).catch((error: unknown) => {
    throw error instanceof RestProblem ? new RestProblem(error.status, noteOf(error, what, customer)) : error;
  });
  try {
    while (!stop.aborted && Date.now() < untilMs) {
      const answer = await answerTo(key);
      if (answer.state === "done" || answer.state === "refused") return answer;
      await pause(LOOK_MS);
    }
  } finally {
    void forget(key).catch(() => undefined);
  }
  throw new RestProblem(0, noAnswer(what, customer));
}

function noAnswer(what: Ask, customer: string): string {
  return `The input has not answered for a minute. Check that an input is enabled and runs on this host; on a universal forwarder use ${commandFor(what, customer)}.`;
}

function noteOf(error: unknown, what: Ask, customer: string): string {
  if (!(error instanceof RestProblem)) throw error;
  const instead = `use ${commandFor(what, customer)} on the host of the input.`;
  if (error.status === 404) return `Splunk has no KV store here, so the input cannot be asked. Instead ${instead}`;
  // While it starts, and where it is off in server.conf.
  return error.status === 503 ? `${error.message} If the KV store stays off, ${instead}` : error.message;
}
