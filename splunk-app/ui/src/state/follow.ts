/** One question to the running input, followed until it is answered or nobody looks any more. */
import type { Answer } from "../rest.ts";
import { ANSWER_PACE, Looks } from "./poll-pace.ts";
import { RestProblem } from "./rest-problem.ts";

const PAUSE_MAX_MS = 30_000;

/** Calls to splunkd; each throws RestProblem. */
export interface RequestCalls {
  /** Returns the request's key. */
  ask(): Promise<string>;
  answerTo(key: string): Promise<Answer>;
  forget(key: string): Promise<void>;
}

export interface Following {
  readonly calls: RequestCalls;
  readonly stop: AbortSignal;
  readonly nowMs: () => number;
  /** Ends early when it is stopped, and lasts while nobody can see the page. */
  readonly pause: (ms: number) => Promise<void>;
  readonly onAnswer: (answer: Answer) => void;
  /** What went wrong; it is tried again, as an answer may come any time later. */
  readonly onProblem: (error: unknown) => void;
}

/**
 * Asks once and looks for the answer each second, later less often while nothing is added to it; after
 * problems in a row the pauses grow. The request is deleted at the end, whenever that comes: the input works
 * for a request as long as it is there.
 */
export async function followRequest({ calls, stop, nowMs, pause, onAnswer, onProblem }: Following): Promise<void> {
  const looks = new Looks(ANSWER_PACE, nowMs());
  let key: string | undefined;
  let pauseMs = ANSWER_PACE.oftenMs;
  while (!stop.aborted) {
    let nextPauseMs = ANSWER_PACE.oftenMs;
    try {
      key ??= await calls.ask();
      if (stop.aborted) break;
      const answer = await calls.answerTo(key);
      if (stop.aborted) break;
      onAnswer(answer);
      if (answer.state === "done" || answer.state === "refused") break;
      looks.found(answer, nowMs());
      pauseMs = looks.pauseMs(nowMs());
    } catch (error) {
      // A request that has expired is asked anew, for example after hours in which nobody saw the page.
      if (key !== undefined && error instanceof RestProblem && error.status === 404) key = undefined;
      else if (!stop.aborted) onProblem(error);
      nextPauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS);
    }
    await pause(pauseMs);
    pauseMs = nextPauseMs;
  }
  if (key !== undefined) await calls.forget(key).catch(() => undefined);
}
