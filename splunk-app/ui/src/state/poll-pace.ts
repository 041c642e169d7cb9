/** How often something is looked at: often while it changes, seldom afterwards. */
export interface Pace {
  readonly oftenMs: number;
  readonly seldomMs: number;
  /** So long after the last news, looks still come often. */
  readonly oftenForMs: number;
}

/** What inputs report comes at each change and hourly, so most looks find what is known. */
export const STATES_PACE: Pace = { oftenMs: 10_000, seldomMs: 60_000, oftenForMs: 60_000 };
/** Somebody waits for it, but a quiet tenant may have no event for a long time. */
export const FIRST_EVENT_PACE: Pace = { oftenMs: 2_000, seldomMs: 10_000, oftenForMs: 60_000 };
/** A check takes seconds; a consent may take half an hour, and the input looks for it every ten seconds. */
export const ANSWER_PACE: Pace = { oftenMs: 1_000, seldomMs: 5_000, oftenForMs: 15_000 };

/** When to look again. */
export class Looks {
  readonly #pace: Pace;
  #newsAtMs: number;
  #seen: string | undefined;

  constructor(pace: Pace, nowMs: number) {
    this.#pace = pace;
    this.#newsAtMs = nowMs;
  }

  /** What a look found; undefined is a failure or a beginning, whose end somebody waits for. */
  found(what: unknown, nowMs: number): void {
    const seen = what === undefined ? undefined : JSON.stringify(what);
    if (seen === undefined || seen !== this.#seen) this.expectNews(nowMs);
    this.#seen = seen;
  }

  /** Something was done that may change what the next looks find. */
  expectNews(nowMs: number): void {
    this.#newsAtMs = nowMs;
  }

  pauseMs(nowMs: number): number {
    const { oftenMs, seldomMs, oftenForMs } = this.#pace;
    return nowMs - this.#newsAtMs < oftenForMs ? oftenMs : seldomMs;
  }
}
