import { useEffect, useState } from "react";
import type { Ask } from "../../../../src/config/request-stanza.ts";
import { pause } from "../after.ts";
import { type Answer, answerTo, ask, forget, RestProblem } from "../rest.ts";
import { askedOnce } from "../state/ask-once.ts";
import { followRequest } from "../state/follow.ts";
import { NotAsked } from "../state/rest-problem.ts";
import { commandFor } from "../state/without-page.ts";
import { pauseUntilSeen } from "./parts.tsx";

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
  const answer = await askedOnce(
    { ask: () => ask(customer, what).catch(noted(what, customer)), answerTo, forget },
    { withinMs: ANSWER_EXPECTED_MS, nowMs: Date.now, pause, isOver: () => stop.aborted },
  );
  if (answer === undefined) throw new RestProblem(0, noAnswer(what, customer));
  return answer;
}

/** Asks an input that starts later: nobody waits for its answer. Throws RestProblem. */
export async function leave(customer: string, what: Ask): Promise<undefined> {
  await ask(customer, what).catch(noted(what, customer));
}

/** Adds to what went wrong how the same is done without a page. */
function noted(what: Ask, customer: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof NotAsked ? new RestProblem(error.status, noteOf(error, what, customer)) : error;
  };
}

function noAnswer(what: Ask, customer: string): string {
  return `The input has not answered for a minute. Check that an input is enabled and runs on this host; on a universal forwarder use ${commandFor(what, customer)}.`;
}

function noteOf(error: unknown, what: Ask, customer: string): string {
  if (!(error instanceof RestProblem)) throw error;
  if (!(error instanceof NotAsked)) return error.message;
  return `${error.message} If this stays so, use ${commandFor(what, customer)} on the host of the input.`;
}
