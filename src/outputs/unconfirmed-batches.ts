import type { Clock } from "../model/ports.ts";
import type { Batch } from "./output.ts";
import type { Spool, Spooled, SpoolPlace } from "./spool.ts";

/** What an output needs of the place where events are until their receiver has confirmed them. */
export type ConfirmedQueue = Pick<
  Spool,
  "next" | "pass" | "read" | "confirm" | "reportUnreadable" | "waitingBytes" | "waitingSinceMs" | "close"
> &
  Partial<Pick<Spool, "release">>;

interface Waiting {
  readonly batch: Batch;
  readonly atMs: number;
  readonly done: () => void;
  readonly failed: (why: Error) => void;
}

/**
 * Batches on their way to a receiver that confirms, in memory: whoever wrote them keeps them until they are
 * confirmed, so no spool on disk has to. In the order in which they were added.
 */
export class UnconfirmedBatches implements ConfirmedQueue {
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  /** Next to be given. */
  #next = 1;
  #newest = 0;
  #bytes = 0;
  #closed: Error | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get waitingBytes(): number {
    return this.#bytes;
  }

  get waitingSinceMs(): number | undefined {
    for (const { atMs } of this.#waiting.values()) return atMs;
    return undefined;
  }

  /** Resolves when the receiver has confirmed all of it. Rejects when the output closes before, or has. */
  add(batch: Batch): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    this.#newest += 1;
    this.#bytes += batch.bytes.length;
    return new Promise((done, failed) => {
      this.#waiting.set(this.#newest, { batch, atMs: this.#clock.nowMs(), done, failed });
    });
  }

  next(): Spooled | undefined {
    const waiting = this.#waiting.get(this.#next);
    return waiting && spooled(this.#next, waiting);
  }

  pass({ segment }: SpoolPlace): void {
    this.#next = segment + 1;
  }

  read({ segment }: SpoolPlace): Spooled | undefined {
    const waiting = this.#waiting.get(segment);
    return waiting && spooled(segment, waiting);
  }

  confirm({ segment }: SpoolPlace): void {
    const waiting = this.#waiting.get(segment);
    if (waiting === undefined) return;
    this.#waiting.delete(segment);
    this.#bytes -= waiting.batch.bytes.length;
    waiting.done();
  }

  /** What is read here cannot be damaged. */
  reportUnreadable(): void {}

  /** @param why what a write gets whose events nobody confirmed. */
  close(why: Error = new Error("closed")): void {
    this.#closed = why;
    for (const { failed } of this.#waiting.values()) failed(why);
    this.#waiting.clear();
    this.#bytes = 0;
  }
}

function spooled(segment: number, { batch: { bytes, keys } }: Waiting): Spooled {
  return { segment, startsAt: 0, endsAt: bytes.length, lines: bytes, keys };
}
