import { backoffMs, spread } from "../model/backoff.ts";
import { type Failure, isFailure } from "../model/failure.ts";
import type { Clock, Random } from "../model/ports.ts";
import type { KafkaClient } from "./kafka.ts";

const BACKOFF = { firstMs: 250, longestMs: 60_000 };
/** Somebody has to change something in Kafka; this program does not hear when. */
export const STOPPED_FOR_MS = 60_000;
/** So often in so long a time another collector has our id: one take-over is nothing to report. */
const FENCED_MOST = 3;
const FENCED_WITHIN_MS = 60_000;
/** A failure that the next writer does not see is not worth a person's time. */
const REPORTED_FROM = 2;

/** When the next writer of a transactional id is opened after a failure, and whether a person hears of it. */
export class KafkaRetry {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #fencedAtMs: number[] = [];
  #failures = 0;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Throws the error when it is a defect. */
  failed(
    client: Pick<KafkaClient, "isFenced" | "failure" | "sharedId"> | undefined,
    error: unknown,
  ): { readonly failure: Failure; readonly waitMs: number; readonly isReported: boolean } {
    this.#failures += 1;
    if (client?.isFenced(error) === true && this.#isFencedOften())
      return { failure: client.sharedId(), waitMs: spread(STOPPED_FOR_MS, this.#random), isReported: true };
    const { failure, needsPerson } = isFailure(error)
      ? { failure: error, needsPerson: true }
      : client === undefined
        ? { failure: undefined, needsPerson: false }
        : client.failure(error);
    // The client itself could not be loaded: that is a defect.
    if (failure === undefined) throw error;
    const waitMs = needsPerson
      ? spread(STOPPED_FOR_MS, this.#random)
      : backoffMs(BACKOFF, this.#failures, this.#random);
    return { failure, waitMs, isReported: needsPerson || this.#failures >= REPORTED_FROM };
  }

  succeeded(): void {
    this.#failures = 0;
  }

  #isFencedOften(): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#fencedAtMs.push(nowMs);
    const lately = this.#fencedAtMs.filter((atMs) => nowMs - atMs <= FENCED_WITHIN_MS);
    this.#fencedAtMs.splice(0, this.#fencedAtMs.length, ...lately);
    return lately.length >= FENCED_MOST;
  }
}
