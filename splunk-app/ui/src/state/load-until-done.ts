/** What a page loads once: a lost connection, a session that ended and a busy splunkd pass by themselves. */
import { isLost, RestProblem } from "./rest-problem.ts";

const FIRST_PAUSE_MS = 3_000;
const LONGEST_PAUSE_MS = 30_000;
const AGAIN = "The page tries again by itself.";

export interface Loading {
  /** What arrives after the stop may change nothing any more. */
  readonly load: (stop: AbortSignal) => Promise<void>;
  readonly stop: AbortSignal;
  /** Ends early when it is stopped. */
  readonly pause: (ms: number) => Promise<void>;
  /** What a person reads; empty when it is loaded. */
  readonly say: (sentence: string) => void;
}

/** Loads until that worked, with growing pauses; what another try cannot change is tried once. */
export async function loadUntilDone({ load, stop, pause, say }: Loading): Promise<void> {
  let pauseMs = FIRST_PAUSE_MS;
  while (!stop.aborted) {
    try {
      await load(stop);
      if (!stop.aborted) say("");
      return;
    } catch (error) {
      if (stop.aborted) return;
      if (!(error instanceof RestProblem)) throw error;
      const { status, message } = error;
      const passes = status === 401 || isLost(error);
      say(passes ? `${message} ${AGAIN}` : message);
      if (!passes) return;
    }
    await pause(pauseMs);
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}
