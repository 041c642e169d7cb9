import { asFailure, type Failure } from "../model/failure.ts";
import type { Clock, Random } from "../model/ports.ts";
import { customerBackoffMs } from "./backoff.ts";
import { concernsOutput, concernsSignIn, endsTheProcess, stateAfter } from "./failures.ts";
import type { CustomerReport, StreamReport } from "./report.ts";

export interface RoundLoopParts {
  readonly clock: Clock;
  /** By which due times are written; `clock` if undefined. */
  readonly times?: Pick<Clock, "nowMs"> | undefined;
  readonly random: Random;
  readonly report: StreamReport;
  readonly customer: CustomerReport;
}

/** May a failure be one of what ended? */
type Concerns = (failure: Failure) => boolean;

/** Runs the rounds of one runner one after another, with growing pauses after failures. */
export class RoundLoop {
  readonly #p: RoundLoopParts;
  #failures = 0;
  #wake: AbortController = new AbortController();
  /** The failure after which the present wait is. */
  #waitsAfter: Failure | undefined;
  /** What ended after the present round began. */
  #ended: Concerns[] = [];

  constructor(parts: RoundLoopParts) {
    this.#p = parts;
  }

  /** The last round failed. */
  get isFailing(): boolean {
    return this.#failures > 0;
  }

  /** Ends the present wait. */
  wakeUp(): void {
    this.#wake.abort();
  }

  /**
   * A credential changed, or a consent was given: a wait after a failed sign-in ends, and counts as no
   * failure. True when one ended.
   */
  tryAgain(): boolean {
    const hasWaited = this.#end(concernsSignIn);
    if (hasWaited) this.#failures = 0;
    return hasWaited;
  }

  /** An output accepts events again: a wait after one that refused them ends. True when one ended. */
  outputAccepts(): boolean {
    // Not as if nothing had failed: an output that accepts a little and refuses again is asked less often.
    return this.#end(concernsOutput);
  }

  /** A round that is under way may still fail of what ended: then the next one begins at once. */
  #end(concerns: Concerns): boolean {
    if (!this.#ended.includes(concerns)) this.#ended.push(concerns);
    if (this.#waitsAfter === undefined || !concerns(this.#waitsAfter)) return false;
    this.#waitsAfter = undefined;
    this.#wake.abort();
    return true;
  }

  /**
   * Runs rounds until `stop`. Rejects only with what concerns the whole process.
   *
   * @param round one round; resolves to the pause until the next, ms.
   * @param planned called with the time at which the next round is due, ms since 1970.
   */
  async run(
    stop: AbortSignal,
    firstInMs: number,
    round: () => Promise<number>,
    planned: (atMs: number) => void,
  ): Promise<void> {
    // One listener for the whole run: a combined signal for each wait costs thousands of weak references when
    // there are thousands of customers.
    const wake = () => this.#wake.abort();
    stop.addEventListener("abort", wake, { once: true });
    try {
      await this.#rest(firstInMs, stop);
      while (!stop.aborted) {
        let waitMs: number;
        this.#waitsAfter = undefined;
        this.#ended = [];
        try {
          waitMs = Math.max(0, await round());
          this.#failures = 0;
        } catch (error) {
          if (stop.aborted) break;
          waitMs = this.#afterFailure(error);
        }
        planned((this.#p.times ?? this.#p.clock).nowMs() + waitMs);
        this.#p.customer.flush();
        await this.#rest(waitMs, stop);
      }
    } finally {
      stop.removeEventListener("abort", wake);
    }
  }

  async #rest(forMs: number, stop: AbortSignal): Promise<void> {
    if (forMs <= 0 || stop.aborted) return;
    // A new signal for each wait for each of thousands of idle streams is garbage that has grown old.
    if (this.#wake.signal.aborted) this.#wake = new AbortController();
    await this.#p.clock.pause(forMs, this.#wake.signal);
  }

  #afterFailure(error: unknown): number {
    const { clock, random, report } = this.#p;
    const failure = asFailure(error);
    if (endsTheProcess(failure)) throw failure;
    if (this.#ended.some((concerns) => concerns(failure))) return 0;
    this.#failures += 1;
    this.#waitsAfter = failure;
    const waitMs = customerBackoffMs(this.#failures, failure, clock.nowMs(), random);
    report.be(stateAfter(failure), failure, clock.nowMs() + waitMs);
    return waitMs;
  }
}
