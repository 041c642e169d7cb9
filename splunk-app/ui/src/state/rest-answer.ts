import { RestProblem } from "./rest-problem.ts";

export interface RestAnswer {
  readonly ok: boolean;
  readonly status: number;
  readonly text: string;
}

/** A busy splunkd may take half a minute; who has waited longer wants to know it. */
export const ANSWER_WITHIN_MS = 60_000;
/** A search over many events takes minutes. */
export const SEARCH_WITHIN_MS = 300_000;

export interface Waiting {
  readonly withinMs: number;
  /** What is asked for changes something, and may have done so without an answer. */
  readonly isSave: boolean;
  /** Calls back once; returns what cancels that. */
  readonly after: (ms: number, then: () => void) => () => void;
}

/**
 * Waits for the whole answer. Throws RestProblem with status 0 where there is none in time, also when the
 * connection broke in the middle of it: a save may then have been carried out.
 *
 * @param request ends when its signal is aborted.
 */
export async function wholeAnswer(
  request: (stop: AbortSignal) => Promise<Response>,
  { withinMs, isSave, after }: Waiting,
): Promise<RestAnswer> {
  const late = new AbortController();
  const cancel = after(withinMs, () => late.abort());
  try {
    const answer = await request(late.signal);
    return { ok: answer.ok, status: answer.status, text: await answer.text() };
  } catch {
    throw new RestProblem(
      0,
      late.signal.aborted
        ? notAnsweredFor(withinMs, isSave)
        : "Splunk Web does not answer. What you typed stays; try again when the connection is back.",
    );
  } finally {
    cancel();
  }
}

function notAnsweredFor(ms: number, isSave: boolean): string {
  const silent = `Splunk Web has not answered for ${ms / 1000} seconds. What you typed stays`;
  return isSave
    ? `${silent}. It is not known whether this was saved: look in another tab before you try again.`
    : `${silent}; try again when Splunk is less busy.`;
}
