import type { Clock } from "../model/ports.ts";

/**
 * Does work that a person waits for. After the limit the work's signal is aborted as one of
 * `AbortSignal.timeout` is, so that a request under way fails with `timed-out`.
 *
 * @param stop ends the work too, as a stop.
 */
export async function withTimeLimit<T>(
  clock: Pick<Clock, "pause">,
  limitMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  stop?: AbortSignal,
): Promise<T> {
  const late = new AbortController();
  const done = new AbortController();
  void abortLate();
  try {
    return await work(stop === undefined ? late.signal : AbortSignal.any([stop, late.signal]));
  } finally {
    done.abort();
  }

  async function abortLate(): Promise<void> {
    await clock.pause(limitMs, done.signal);
    if (!done.signal.aborted) late.abort(new DOMException(`not done within ${limitMs} ms`, "TimeoutError"));
  }
}
