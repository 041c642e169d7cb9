import { BatchMemory } from "../model/batch-memory.ts";
import type { Spooled, SpoolPlace } from "./spool.ts";
import type { ConfirmedQueue } from "./unconfirmed-batches.ts";
import { objectOfKey } from "./version-key.ts";

/** HEC would take more. Each connection holds a request twice, plain and encrypted (docs/benchmarks.md). */
const BATCH_MOST_BYTES = 1 << 19;
const BATCH_MOST_EVENTS = 500;
/** A batch up to this size gets memory of its size: one that trickles needs no more. */
const SMALL_BYTES = 1 << 16;
const NEWLINE = 0x0a;

/** A record of the spool of which lines are not confirmed yet. */
interface OpenRecord {
  readonly place: SpoolPlace;
  openLines: number;
  /**
   * Lines `[from, to)` that are confirmed, apart from each other. A line that was sent twice is acknowledged
   * twice, and must not count for another one.
   */
  confirmed: readonly (readonly [from: number, to: number])[];
}

/** Lines of one record that are sent together. */
interface Slice {
  readonly record: OpenRecord;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  /** The first line's number in the record. */
  readonly first: number;
}

/** The record that is being cut, and how far. */
interface Cutting {
  readonly record: OpenRecord;
  readonly spooled: Spooled;
  at: number;
  line: number;
}

/** What one request carries. */
export interface HecBatch {
  readonly slices: readonly Slice[];
  readonly bytes: Uint8Array;
  readonly count: number;
  /** Objects of which it holds versions. */
  readonly objects: readonly string[];
  /** Not before this one was taken: it may hold older versions of the same objects. */
  readonly after?: HecBatch;
  isTaken: boolean;
  /** What `bytes` lie in, if nobody else's bytes do: the next batch may lie there once HEC has this one. */
  memory: Buffer | undefined;
}

/** What is left of a batch when HEC has taken it: enough to confirm it, or to read it again. */
export type TakenBatch = Pick<HecBatch, "slices" | "count">;

/**
 * Cuts the spool's records into batches. Batches go over several connections at once, so a version of an
 * object waits until HEC has taken the one before it: each object's versions arrive oldest first.
 */
export class HecBatches {
  readonly #spool: ConfirmedQueue;
  readonly #again: HecBatch[] = [];
  readonly #resend: TakenBatch[] = [];
  /** Objects of batches that HEC has not taken yet, with the number of such batches. */
  readonly #busy = new Map<string, number>();
  #cutting: Cutting | undefined;
  readonly #memory = new BatchMemory();

  constructor(spool: ConfirmedQueue) {
    this.#spool = spool;
  }

  /**
   * The next batch to be sent; undefined when there is none, or it has to wait for another. Throws Failure
   * `state-unreadable`: nothing is lost, and it is tried again at the next call.
   */
  next(): HecBatch | undefined {
    for (;;) {
      const ready = this.#again.findIndex(({ after }) => after === undefined || after.isTaken);
      if (ready < 0) break;
      const [batch] = this.#again.splice(ready, 1) as [HecBatch];
      if (!this.isConfirmed(batch)) return batch;
      // Another sending of it was acknowledged meanwhile.
      this.taken(batch);
    }
    for (let old = this.#resend[0]; old !== undefined; old = this.#resend[0]) {
      if (this.isConfirmed(old)) {
        this.#resend.shift();
        continue;
      }
      const batch = this.#readAgain(old);
      this.#resend.shift();
      if (batch !== undefined) return this.#claim(batch);
    }
    return this.#cut();
  }

  /** It was not taken, or that is not known: it is given again before all others. */
  putBack(batch: HecBatch): void {
    // A request that failed, or was answered early, may still send from it.
    batch.memory = undefined;
    this.#again.unshift(batch);
  }

  /** It was taken by a channel that will not confirm it any more. */
  sendAgain(batches: readonly TakenBatch[]): void {
    this.#resend.push(...batches);
  }

  /** HEC has it: newer versions of its objects may follow. Its bytes must not be read any more. */
  taken(batch: HecBatch): void {
    batch.isTaken = true;
    if (batch.memory !== undefined) this.#memory.release(batch.memory);
    batch.memory = undefined;
    for (const object of batch.objects) {
      const left = (this.#busy.get(object) ?? 1) - 1;
      if (left === 0) this.#busy.delete(object);
      else this.#busy.set(object, left);
    }
  }

  /** Also of a batch that was confirmed before, as a whole or in parts: each line counts once. */
  confirm({ slices }: TakenBatch, options: { readonly keepsAWhile: boolean }): void {
    for (const { record, first, count } of slices) {
      if (record.openLines === 0) continue;
      record.openLines -= noteConfirmed(record, first, first + count);
      if (record.openLines === 0) this.#spool.confirm(record.place, options);
    }
  }

  /** True when nothing of it has to be sent any more. */
  isConfirmed({ slices }: TakenBatch): boolean {
    return slices.every(
      ({ record: { openLines, confirmed }, first, count }) =>
        openLines === 0 || confirmed.some(([from, to]) => from <= first && first + count <= to),
    );
  }

  /**
   * In two halves that are sent one after the other; only of a batch with more than one event. Throws Failure
   * `state-unreadable` before anything changes.
   */
  halve(batch: HecBatch): void {
    const middle = Math.ceil(batch.count / 2);
    const first = this.#part(batch, 0, middle);
    this.#replace(batch, first, this.#part(batch, middle, batch.count, first));
  }

  /**
   * One event of a batch: its line without the line break, and its key. `takeOut` takes it out of the batch,
   * and it is then confirmed: its file is what remains of it. Throws Failure `state-unreadable`.
   */
  eventAt(
    batch: HecBatch,
    index: number,
  ): { readonly line: string; readonly key: string; readonly takeOut: () => void } {
    const event = this.#part(batch, index, index + 1);
    const slice = event.slices[0] as Slice;
    const keys = this.#spool.read(slice.record.place)?.keys ?? [];
    // Now: once its file is written nothing of this may fail.
    const first = index > 0 ? this.#part(batch, 0, index) : undefined;
    const rest = index + 1 < batch.count ? this.#part(batch, index + 1, batch.count, first) : undefined;
    return {
      line: Buffer.from(event.bytes).toString("utf8").trimEnd(),
      key: keys[slice.first] ?? "",
      takeOut: () => {
        this.confirm(event, { keepsAWhile: false });
        this.#replace(batch, ...[first, rest].filter((part) => part !== undefined));
      },
    };
  }

  #replace(batch: HecBatch, ...parts: readonly HecBatch[]): void {
    this.#again.unshift(...parts.map((part) => this.#claim(part)));
    // The parts lie in it.
    batch.memory = undefined;
    this.taken(batch);
    // Nobody waits for a batch that was replaced; its parts are what the next one waits for.
    for (const waiting of this.#again) if (waiting.after === batch) Object.assign(waiting, { after: parts.at(-1) });
  }

  #claim(batch: HecBatch): HecBatch {
    for (const object of batch.objects) this.#busy.set(object, (this.#busy.get(object) ?? 0) + 1);
    return batch;
  }

  #part(batch: HecBatch, fromLine: number, toLine: number, after?: HecBatch): HecBatch {
    const slices: Slice[] = [];
    const pieces: Uint8Array[] = [];
    let line = 0;
    let base = 0;
    for (const slice of batch.slices) {
      const length = slice.to - slice.from;
      const [from, to] = [Math.max(0, fromLine - line), Math.min(slice.count, toLine - line)];
      if (from < to) {
        const bytes = batch.bytes.subarray(base, base + length);
        const [begin, end] = [offsetOfLine(bytes, from), offsetOfLine(bytes, to)];
        pieces.push(bytes.subarray(begin, end));
        slices.push({
          record: slice.record,
          from: slice.from + begin,
          to: slice.from + end,
          count: to - from,
          first: slice.first + from,
        });
      }
      line += slice.count;
      base += length;
    }
    return this.#made(slices, pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces), after);
  }

  #made(slices: readonly Slice[], bytes: Uint8Array, after?: HecBatch): HecBatch {
    return {
      slices,
      bytes,
      count: slices.reduce((sum, { count }) => sum + count, 0),
      objects: slices.flatMap((slice) => this.#objectsOf(slice)),
      isTaken: false,
      memory: undefined,
      ...(after === undefined ? {} : { after }),
    };
  }

  #objectsOf({ record, first, count }: Slice): readonly string[] {
    const keys = this.#spool.read(record.place)?.keys ?? [];
    return keys.slice(first, first + count).map(objectOfKey);
  }

  #readAgain({ slices }: TakenBatch): HecBatch | undefined {
    const found = slices.map((slice) => ({ slice, lines: this.#spool.read(slice.record.place)?.lines }));
    const readable = found.flatMap(({ slice, lines }) => (lines === undefined ? [] : [{ slice, lines }]));
    const batch =
      readable.length === 0
        ? undefined
        : this.#made(
            readable.map(({ slice }) => slice),
            // A copy: a late acknowledgement may give the writer its memory back while this is being sent.
            Buffer.concat(readable.map(({ slice, lines }) => lines.subarray(slice.from, slice.to))),
          );
    // Not before: what throws above is called again.
    for (const { slice, lines } of found) {
      if (lines !== undefined) continue;
      // The file was deleted or damaged: nothing can send it again, and its record must not wait for ever.
      this.#spool.reportUnreadable(slice.record.place, slice.to - slice.from);
      this.confirm({ slices: [slice], count: slice.count }, { keepsAWhile: false });
    }
    return batch;
  }

  #cut(): HecBatch | undefined {
    const slices: Slice[] = [];
    const pieces: Uint8Array[] = [];
    const objects: string[] = [];
    /** Their lines are needed until they are copied. */
    const finished: Spooled[] = [];
    let byteLength = 0;
    let count = 0;
    while (count < BATCH_MOST_EVENTS) {
      try {
        this.#cutting ??= this.#begin();
      } catch (error) {
        if (count === 0) throw error;
        // What was cut before it is sent; who asks next hears of it.
        break;
      }
      const cutting = this.#cutting;
      if (cutting === undefined) break;
      const { record, spooled } = cutting;
      const { lines, keys } = spooled;
      const [from, first] = [cutting.at, cutting.line];
      let isFull = false;
      while (cutting.at < lines.length && count < BATCH_MOST_EVENTS) {
        const end = lineEnd(lines, cutting.at);
        const key = keys[cutting.line];
        const object = key === undefined ? undefined : objectOfKey(key);
        isFull =
          (count > 0 && byteLength + end - cutting.at > BATCH_MOST_BYTES) ||
          (object !== undefined && this.#busy.has(object));
        if (isFull) break;
        byteLength += end - cutting.at;
        count += 1;
        if (object !== undefined) objects.push(object);
        cutting.at = end;
        cutting.line += 1;
      }
      if (cutting.at > from) {
        slices.push({ record, from, to: cutting.at, count: cutting.line - first, first });
        pieces.push(lines.subarray(from, cutting.at));
      }
      if (cutting.at >= lines.length) {
        finished.push(spooled);
        this.#cutting = undefined;
      }
      if (isFull) break;
    }
    const batch = count === 0 ? undefined : this.#copied(slices, pieces, { byteLength, count, objects });
    for (const spooled of finished) this.#spool.release?.(spooled);
    return batch && this.#claim(batch);
  }

  #copied(
    slices: readonly Slice[],
    pieces: readonly Uint8Array[],
    { byteLength, count, objects }: Pick<HecBatch, "count" | "objects"> & { readonly byteLength: number },
  ): HecBatch {
    // In a catch-up each batch has another size: of one size, any memory fits the next batch.
    const memory = this.#memory.lend(byteLength > SMALL_BYTES ? Math.max(byteLength, BATCH_MOST_BYTES) : byteLength);
    let at = 0;
    for (const piece of pieces) {
      memory.set(piece, at);
      at += piece.length;
    }
    return { slices, bytes: memory.subarray(0, byteLength), count, objects, isTaken: false, memory };
  }

  #begin(): Cutting | undefined {
    const spooled = this.#spool.next();
    if (spooled === undefined) return undefined;
    this.#spool.pass(spooled);
    const { segment, startsAt, endsAt, lines } = spooled;
    let openLines = 0;
    for (let at = 0; at < lines.length; at = lineEnd(lines, at)) openLines += 1;
    return { record: { place: { segment, startsAt, endsAt }, openLines, confirmed: [] }, spooled, at: 0, line: 0 };
  }
}

/** How many of the lines `[from, to)` were not confirmed before. */
function noteConfirmed(record: OpenRecord, from: number, to: number): number {
  let [mergedFrom, mergedTo, known] = [from, to, 0];
  const apart: (readonly [number, number])[] = [];
  for (const range of record.confirmed) {
    const [begin, end] = range;
    if (end < from || begin > to) {
      apart.push(range);
      continue;
    }
    known += Math.min(to, end) - Math.max(from, begin);
    mergedFrom = Math.min(mergedFrom, begin);
    mergedTo = Math.max(mergedTo, end);
  }
  record.confirmed = [...apart, [mergedFrom, mergedTo]];
  return to - from - known;
}

/** Behind the line break of the line that begins at `at`. */
function lineEnd(lines: Uint8Array, at: number): number {
  const end = lines.indexOf(NEWLINE, at);
  return end === -1 ? lines.length : end + 1;
}

function offsetOfLine(lines: Uint8Array, line: number): number {
  let at = 0;
  for (let i = 0; i < line; i += 1) at = lineEnd(lines, at);
  return at;
}
