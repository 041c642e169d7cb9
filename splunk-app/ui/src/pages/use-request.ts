import { useEffect, useState } from "react";
import { type Answer, answerTo, ask, forget, RestProblem } from "../rest.ts";

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
export function useRequest(customer: string | undefined, what: "doctor" | "consent", attempt: number): Asked {
  const [asked, setAsked] = useState<Asked>({ answer: {}, note: "" });
  useEffect(() => {
    if (customer === undefined) return undefined;
    const over = new AbortController();
    let key: string | undefined;
    setAsked({ answer: {}, note: "" });
    const startedMs = Date.now();
    const step = async (): Promise<void> => {
      key ??= await ask(customer, what);
      const answer = await answerTo(key);
      if (over.signal.aborted) return;
      const isLate = answer.state === undefined && Date.now() - startedMs > ANSWER_EXPECTED_MS;
      setAsked({ answer, note: isLate ? NO_ANSWER : "" });
      if (answer.state === "done" || answer.state === "refused") over.abort();
    };
    const follow = async (): Promise<void> => {
      while (!over.signal.aborted) {
        try {
          await step();
        } catch (error) {
          // A request that has expired is asked anew.
          if (error instanceof RestProblem && error.status === 404) key = undefined;
          if (!over.signal.aborted) setAsked((before) => ({ ...before, note: noteOf(error) }));
        }
        if (!over.signal.aborted) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    };
    void follow();
    return () => {
      over.abort();
      if (key !== undefined) void forget(key).catch(() => undefined);
    };
  }, [customer, what, attempt]);
  return asked;
}

const NO_ANSWER =
  "The input has not answered for a minute. Check that it is enabled and runs on this host; on a universal forwarder use `defender_mssp doctor`.";

function noteOf(error: unknown): string {
  if (!(error instanceof RestProblem)) throw error;
  return error.status === 404
    ? "Splunk has no KV store here, so the input cannot be asked. Use `defender_mssp doctor` on the host of the input."
    : error.message;
}
