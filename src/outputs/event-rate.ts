import { aborted } from "../model/aborted.ts";
import type { PacedReceiver } from "../model/fleet.ts";
import type { Clock } from "../model/ports.ts";
import type { Batch, Output } from "./output.ts";

const NEWLINE = 0x0a;
/** A version of 5.7 kB as the database of a fleet keeps it; measured. */
const STORED_BYTES_OF_EVENT = 700;

/**
 * At most so many events a second: `.max_eps`. What comes too fast waits, and waiting is the back-pressure.
 */
export class EventRate implements PacedReceiver {
  readonly #perSecond: number;
  readonly #clock: Clock;
  readonly #sharedBy: () => number;
  #freeAtMs = Number.NEGATIVE_INFINITY;
  /** Ends when the last slot that was asked for is released. */
  #released: Promise<void> = Promise.resolve();

  /** @param sharedBy how many processes send to the receiver now, each an equal part. */
  constructor(perSecond: number, clock: Clock, sharedBy: () => number = () => 1) {
    this.#perSecond = perSecond;
    this.#clock = clock;
    this.#sharedBy = sharedBy;
  }

  /** At most this many events may be sent at once. */
  get perSecond(): number {
    return this.#perSecond / Math.max(1, this.#sharedBy());
  }

  get bytesAtOnce(): number {
    return Math.ceil(this.perSecond * STORED_BYTES_OF_EVENT);
  }

  /** Resolves when `events` may be sent, or at once when `stop` fires. Call it for one group at a time. */
  async acquire(events: number, stop?: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const startMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = startMs + (events / this.perSecond) * 1_000;
    if (startMs > nowMs) await this.#clock.pause(startMs - nowMs, stop);
  }

  async acquireSlot(stop: AbortSignal): Promise<(() => void) | undefined> {
    const before = this.#released;
    let release: () => void = () => undefined;
    const over = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#released = before.then(() => over);
    const waited = new AbortController();
    await Promise.race([before, aborted(stop, waited.signal)]);
    waited.abort();
    const waitMs = this.#freeAtMs - this.#clock.monotonicMs();
    if (waitMs > 0 && !stop.aborted) await this.#clock.pause(waitMs, stop);
    if (!stop.aborted) return release;
    release();
    return undefined;
  }

  /** These are sent now: whoever asks for a slot waits as long as they may take. */
  count(events: number): void {
    this.#freeAtMs = Math.max(this.#clock.monotonicMs(), this.#freeAtMs) + (events / this.perSecond) * 1_000;
  }
}

/** Whole lines in pieces of at most `most` lines. */
export function* piecesOfLines(lines: Uint8Array, most: number): Generator<{ bytes: Uint8Array; count: number }> {
  let from = 0;
  let count = 0;
  for (let end = lines.indexOf(NEWLINE); end !== -1; end = lines.indexOf(NEWLINE, end + 1)) {
    count += 1;
    if (count < most && end + 1 < lines.length) continue;
    yield { bytes: lines.subarray(from, end + 1), count };
    from = end + 1;
    count = 0;
  }
}

/**
 * The batch in parts of about `most` lines, each of whole events. When one part fails, those before it are
 * taken: their events are not wanted again when the batch comes again.
 */
function* partsOf(batch: Batch, most: number): Generator<{ part: Batch; count: number }> {
  let from = 0;
  let first = 0;
  let count = 0;
  let counted = 0;
  for (const [i, end] of batch.ends.entries()) {
    for (; counted < end; counted += 1) if (batch.bytes[counted] === NEWLINE) count += 1;
    if (count < most && i < batch.ends.length - 1) continue;
    yield {
      part: {
        bytes: batch.bytes.subarray(from, end),
        keys: batch.keys.slice(first, i + 1),
        ends: batch.ends.slice(first, i + 1).map((one) => one - from),
      },
      count,
    };
    [from, first, count] = [end, i + 1, 0];
  }
  // Health has no keys.
  if (from < batch.bytes.length) {
    for (; counted < batch.bytes.length; counted += 1) if (batch.bytes[counted] === NEWLINE) count += 1;
    yield { part: { bytes: batch.bytes.subarray(from), keys: [], ends: [] }, count };
  }
}

/** The output, which is written to no faster than `rate`. */
export function pacedOutput(output: Output, rate: EventRate): Output {
  let last: Promise<unknown> = Promise.resolve();
  const stop = new AbortController();
  const write = async (batch: Batch): Promise<void> => {
    for (const { part, count } of partsOf(batch, rate.perSecond)) {
      await rate.acquire(count, stop.signal);
      await output.write(part);
    }
  };
  return {
    ...asBefore(output),
    write(batch) {
      const written = last.then(() => write(batch));
      last = written.catch(() => undefined);
      return written;
    },
    // What still waits is written at once: a stop has no time for the cap.
    async close(withinMs) {
      stop.abort();
      await last;
      await output.close(withinMs);
    },
  };
}

/**
 * The output of a fleet's member. Its writer asks for a slot before it reads events from the database, so
 * that none wait in between: by the time that they are sent, they would be another member's. What is written
 * is sent at once.
 */
export function countedOutput(output: Output, rate: EventRate): Output {
  return {
    ...asBefore(output),
    ...(output.packets === undefined ? {} : { packets: output.packets }),
    ...(output.unacknowledged === undefined ? {} : { unacknowledged: output.unacknowledged }),
    pace: rate,
    write(batch) {
      rate.count(linesIn(batch.bytes));
      return output.write(batch);
    },
    close: (withinMs) => output.close(withinMs),
  };
}

function asBefore(output: Output): Omit<Output, "write" | "close"> {
  return {
    name: output.name,
    where: output.where,
    kind: output.kind,
    wants: (key) => output.wants(key),
    condition: () => output.condition(),
    listen: (listener) => output.listen(listener),
    renew: (secrets) => output.renew?.(secrets),
  };
}

function linesIn(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}
