import type { Clock } from "../../model/ports.ts";

const AT_ONCE_MAX = 8;
/** Edits that run at the same time must end within this part of the time that a stop leaves. */
const PART_OF_STOP = 0.5;
/** An edit may take so much longer than the ones before it. */
const RESERVE = 1.5;
/** How soon after an edit's answer splunkd stops the program, if it does. */
const RESTART_WITHIN_MS = 1000;

/**
 * When the next edit of an input may begin. splunkd can restart this program for each edit. An edit that is
 * interrupted would be sent again by the next start and cost a second restart, so no more edits run than can
 * end within the time that a stop leaves. The first edit runs alone and shows how long one takes.
 */
export class EditPace {
  readonly #clock: Clock;
  readonly #stop: AbortSignal;
  readonly #finishMs: number;
  #stoppedAtMs: number | undefined;
  /** Of one edit, if splunkd handles them one after the other. */
  #costMs: number | undefined;
  #fastestMs = 0;
  #answeredAtMs: number | undefined;

  constructor(clock: Clock, stop: AbortSignal, finishMs: number) {
    this.#clock = clock;
    this.#stop = stop;
    this.#finishMs = finishMs;
    const note = (): void => {
      this.#stoppedAtMs ??= clock.monotonicMs();
    };
    if (stop.aborted) note();
    else stop.addEventListener("abort", note, { once: true });
  }

  mayBegin(running: number): boolean {
    if (this.#costMs === undefined) return running === 0 && !this.#stop.aborted;
    if (this.#stoppedAtMs !== undefined) {
      const leftMs = this.#stoppedAtMs + this.#finishMs - this.#clock.monotonicMs();
      if (Math.max((running + 1) * this.#costMs, this.#fastestMs) * RESERVE > leftMs) return false;
    }
    const atOnce = Math.floor((this.#finishMs * PART_OF_STOP) / Math.max(1, this.#costMs));
    return running < Math.min(AT_ONCE_MAX, Math.max(1, atOnce));
  }

  /**
   * Waits for the stop that may follow the edit before, if the next edit could not end after that stop.
   */
  async awaitRestart(running: number): Promise<void> {
    if (running > 0 || this.#costMs === undefined || this.#answeredAtMs === undefined) return;
    if (this.#costMs * RESERVE <= this.#finishMs) return;
    const leftMs = this.#answeredAtMs + RESTART_WITHIN_MS - this.#clock.monotonicMs();
    if (leftMs > 0) await this.#clock.pause(leftMs, this.#stop);
  }

  /** @param atOnce edits that run now, this one included. */
  async timed<T>(atOnce: number, edit: () => Promise<T>): Promise<T> {
    const beganAtMs = this.#clock.monotonicMs();
    const answer = await edit();
    this.#answeredAtMs = this.#clock.monotonicMs();
    const tookMs = this.#answeredAtMs - beganAtMs;
    this.#costMs = tookMs / atOnce;
    this.#fastestMs = this.#fastestMs === 0 ? tookMs : Math.min(this.#fastestMs, tookMs);
    return answer;
  }
}
