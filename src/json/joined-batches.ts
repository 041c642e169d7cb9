import type { PageRecord, SourceRecord } from "../model/record.ts";
import { intsOf, movedBody } from "./record-bodies.ts";

/** More in one batch would hold up other work for longer, and a commit of more is hardly cheaper. */
const MOST_RECORDS = 180;
const MOST_BYTES = 1 << 20;
/** For the member tables of as many alerts. */
const MOST_INTS = 1 << 17;
/** Batches that are collected at once. Pages beyond them are passed on piece by piece. */
const MOST_AT_ONCE = 16;

type Batch = readonly PageRecord[];

/** The memory of one batch. */
class BatchCopy {
  readonly #bytes = Buffer.allocUnsafeSlow(MOST_BYTES);
  readonly #ints = new Int32Array(MOST_INTS);
  #bytesUsed = 0;
  #intsUsed = 0;
  #records: PageRecord[] = [];

  get isEmpty(): boolean {
    return this.#records.length === 0;
  }

  /** Copies the batch behind what is there. False when there is no room, and nothing was copied. */
  add(batch: Batch): boolean {
    let [bytes, ints] = [this.#bytesUsed, this.#intsUsed];
    for (const record of batch) {
      if (!record.readable) continue;
      bytes += record.body.end - record.body.start;
      ints += intsOf(record.body);
    }
    if (bytes > MOST_BYTES || ints > MOST_INTS || this.#records.length + batch.length > MOST_RECORDS) return false;
    for (const record of batch) this.#records.push(record.readable ? this.#copied(record) : record);
    return true;
  }

  /** What was collected. It is valid until the next `add`. */
  take(): Batch {
    const records = this.#records;
    this.#records = [];
    this.#bytesUsed = 0;
    this.#intsUsed = 0;
    return records;
  }

  #copied(record: SourceRecord): SourceRecord {
    const { body } = record;
    this.#bytes.set(body.bytes.subarray(body.start, body.end), this.#bytesUsed);
    const copy = movedBody(body, this.#bytes, this.#bytesUsed, this.#ints, this.#intsUsed);
    this.#bytesUsed = copy.end;
    this.#intsUsed += intsOf(body);
    return { ...record, body: copy };
  }
}

/**
 * Joins the batches of a page, which are as small as the pieces of the network, for a store to which each
 * batch is a transaction. Records are copied into memory that is used again for later pages; all pages
 * together take at most 24 MiB.
 */
export class JoinedBatches {
  readonly #free: BatchCopy[] = [];
  #lent = 0;

  /**
   * The same records in the same order, also those before a batch that throws. A batch is valid until the
   * next one is requested.
   */
  async *join(batches: AsyncIterable<Batch>): AsyncGenerator<Batch> {
    const copy = this.#lend();
    if (copy === undefined) {
      yield* batches;
      return;
    }
    try {
      try {
        for await (const batch of batches) {
          if (copy.add(batch)) continue;
          if (!copy.isEmpty) yield copy.take();
          if (!copy.add(batch)) yield batch;
        }
      } catch (error) {
        // A page that breaks at the same place again and again must still bring what it has.
        if (!copy.isEmpty) yield copy.take();
        throw error;
      }
      if (!copy.isEmpty) yield copy.take();
    } finally {
      copy.take();
      this.#lent -= 1;
      this.#free.push(copy);
    }
  }

  #lend(): BatchCopy | undefined {
    if (this.#lent >= MOST_AT_ONCE) return undefined;
    this.#lent += 1;
    return this.#free.pop() ?? new BatchCopy();
  }
}
