/** The states of customers where there is no KV store: the running input is asked for them. */
import { askedOnce } from "./ask-once.ts";
import type { Status } from "./customers.ts";
import type { RequestCalls } from "./follow.ts";
import { RestProblem } from "./rest-problem.ts";

/** While pages are used, the input looks for requests every two seconds. */
const SOON_MS = 4_000;
/** An input that nobody asked for an hour looks every half minute. */
const WITHIN_MS = 60_000;

const NOT_YET =
  "There is no KV store here, so the running input is asked for its states. That takes up to half a minute.";
const UNANSWERED =
  "There is no KV store here, and the input has not said its states for a minute. Check that an input is enabled and runs on this host.";

export interface AskedStatesParts {
  readonly calls: RequestCalls;
  readonly nowMs: () => number;
  readonly pause: (ms: number) => Promise<void>;
}

/**
 * Asks anew each time, one question at a time. Nobody waits long: what was answered before is shown until the
 * input has answered again.
 */
export class AskedStates {
  readonly #p: AskedStatesParts;
  #asking: Promise<void> | undefined;
  #rows: readonly Status[] | undefined;
  #problem: RestProblem | undefined;

  constructor(parts: AskedStatesParts) {
    this.#p = parts;
  }

  /** Throws RestProblem while nothing is known, and when the last question failed. */
  async rows(): Promise<readonly Status[]> {
    this.#asking ??= this.#ask();
    await Promise.race([this.#asking, this.#p.pause(SOON_MS)]);
    if (this.#problem !== undefined) throw this.#problem;
    if (this.#rows === undefined) throw new RestProblem(0, NOT_YET);
    return this.#rows;
  }

  async #ask(): Promise<void> {
    const { calls, nowMs, pause } = this.#p;
    try {
      const answer = await askedOnce(calls, { withinMs: WITHIN_MS, nowMs, pause });
      if (answer?.states === undefined) throw new RestProblem(0, UNANSWERED);
      this.#rows = answer.states;
      this.#problem = undefined;
    } catch (error) {
      if (!(error instanceof RestProblem)) throw error;
      this.#problem = error;
    } finally {
      this.#asking = undefined;
    }
  }
}
