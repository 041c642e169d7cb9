import type { Clock } from "../model/ports.ts";
import type { Batch, Output } from "./output.ts";

const NEWLINE = 0x0a;

/**
 * At most so many events a second: `.max_eps`. What comes too fast waits, and waiting is the back-pressure.
 */
export class EventRate {
  /** At most this many events may be sent at once. */
  readonly perSecond: number;
  readonly #clock: Clock;
  #freeAtMs = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number, clock: Clock) {
    this.perSecond = perSecond;
    this.#clock = clock;
  }

  /** Resolves when `events` may be sent, or at once when `stop` fires. Call it for one group at a time. */
  async acquire(events: number, stop?: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const startMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = startMs + (events / this.perSecond) * 1_000;
    if (startMs > nowMs) await this.#clock.pause(startMs - nowMs, stop);
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
    name: output.name,
    where: output.where,
    kind: output.kind,
    wants: (key) => output.wants(key),
    write(batch) {
      const written = last.then(() => write(batch));
      last = written.catch(() => undefined);
      return written;
    },
    condition: () => output.condition(),
    listen: (listener) => output.listen(listener),
    renew: (secrets) => output.renew?.(secrets),
    // What still waits is written at once: a stop has no time for the cap.
    async close(withinMs) {
      stop.abort();
      await last;
      await output.close(withinMs);
    },
  };
}
