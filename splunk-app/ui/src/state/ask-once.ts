/** One question to the running input that is worth nothing later. */
import type { Answer } from "../rest.ts";
import type { RequestCalls } from "./follow.ts";
import { ANSWER_PACE, Looks } from "./poll-pace.ts";

export interface AskingOnce {
  readonly withinMs: number;
  readonly nowMs: () => number;
  readonly pause: (ms: number) => Promise<void>;
  readonly isOver?: () => boolean;
}

/**
 * Asks, and looks for the answer each second, later less often; undefined where there is none in time.
 * The request is deleted at the end, whatever that is. Throws RestProblem.
 */
export async function askedOnce(
  calls: RequestCalls,
  { withinMs, nowMs, pause, isOver = () => false }: AskingOnce,
): Promise<Answer | undefined> {
  const untilMs = nowMs() + withinMs;
  const key = await calls.ask();
  const looks = new Looks(ANSWER_PACE, nowMs());
  try {
    while (!isOver() && nowMs() < untilMs) {
      const answer = await calls.answerTo(key);
      if (answer.state === "done" || answer.state === "refused") return answer;
      await pause(looks.pauseMs(nowMs()));
    }
    return undefined;
  } finally {
    void calls.forget(key).catch(() => undefined);
  }
}
