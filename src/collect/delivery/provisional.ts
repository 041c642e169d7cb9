import type { Ticks } from "../../model/instant.ts";
import type { Clock } from "../../model/ports.ts";
import { PROVISIONAL_FOR_MS } from "../../model/provisional.ts";
import type { LedgerEntry } from "../../model/state.ts";
import type { Ledger, ObjectHash } from "./ledger.ts";

/** A version that was written. */
interface WrittenVersion {
  readonly hash: ObjectHash;
  readonly updated: Ticks;
  /** A question that begins here finds the version again. */
  readonly askFrom: Ticks;
  readonly byteLength: number;
}

/** A version in the window. */
interface Item extends Omit<WrittenVersion, "byteLength"> {
  readonly owner: ProvisionalOwner;
}

/** Of a row's 8-byte words, four numbers of the hash take the first two. */
const UPDATED = 2;
const ASK_FROM = 3;
const BYTE_LENGTH = 4;
const WRITTEN_AT = 5;
const ROW_WORDS = 6;
const FEWEST_ROWS = 16;

/**
 * A queue of versions, as numbers in one buffer: a catch-up keeps tens of thousands of them for a while, and
 * as objects they would be most of what the garbage collector copies and moves.
 */
class ItemQueue {
  #owners: (ProvisionalOwner | undefined)[] = [];
  #ints = new Int32Array(0);
  #ticks = new BigInt64Array(0);
  #numbers = new Float64Array(0);
  #first = 0;
  length = 0;

  constructor() {
    this.#resize(FEWEST_ROWS);
  }

  push(owner: ProvisionalOwner, version: WrittenVersion, writtenAtMs: number): void {
    if (this.length === this.#owners.length) this.#resize(this.length * 2);
    const row = this.#rowOf(this.length);
    this.length += 1;
    this.#owners[row] = owner;
    const word = row * ROW_WORDS;
    for (let n = 0; n < 4; n++) this.#ints[word * 2 + n] = version.hash[n]!;
    this.#ticks[word + UPDATED] = version.updated;
    this.#ticks[word + ASK_FROM] = version.askFrom;
    this.#numbers[word + BYTE_LENGTH] = version.byteLength;
    this.#numbers[word + WRITTEN_AT] = writtenAtMs;
  }

  get oldestBytes(): number {
    return this.#numbers[this.#first * ROW_WORDS + BYTE_LENGTH]!;
  }

  get oldestWrittenAtMs(): number {
    return this.#numbers[this.#first * ROW_WORDS + WRITTEN_AT]!;
  }

  /** The owner of what was oldest. The queue must not be empty. */
  shift(): ProvisionalOwner {
    const owner = this.#owners[this.#first]!;
    this.#owners[this.#first] = undefined;
    this.#first = this.#rowOf(1);
    this.length -= 1;
    if (this.length > FEWEST_ROWS && this.length < this.#owners.length / 4) this.#resize(this.#owners.length / 2);
    return owner;
  }

  /** Oldest first. */
  all(): Item[] {
    return Array.from({ length: this.length }, (_, i) => {
      const row = this.#rowOf(i);
      const word = row * ROW_WORDS;
      const [a, b, c, d] = this.#ints.subarray(word * 2, word * 2 + 4);
      return {
        owner: this.#owners[row]!,
        hash: [a!, b!, c!, d!],
        updated: this.#ticks[word + UPDATED]!,
        askFrom: this.#ticks[word + ASK_FROM]!,
      };
    });
  }

  /** @param index counted from the oldest. */
  #rowOf(index: number): number {
    return (this.#first + index) % this.#owners.length;
  }

  #resize(rows: number): void {
    const numbers = new Float64Array(rows * ROW_WORDS);
    const untilEnd = Math.min(this.length, this.#owners.length - this.#first);
    const old = this.#numbers;
    numbers.set(old.subarray(this.#first * ROW_WORDS, (this.#first + untilEnd) * ROW_WORDS));
    numbers.set(old.subarray(0, (this.length - untilEnd) * ROW_WORDS), untilEnd * ROW_WORDS);
    this.#owners = Array.from({ length: rows }, (_, i) => (i < this.length ? this.#owners[this.#rowOf(i)] : undefined));
    this.#numbers = numbers;
    this.#ints = new Int32Array(numbers.buffer);
    this.#ticks = new BigInt64Array(numbers.buffer);
    this.#first = 0;
    // Otherwise its memory would wait for a collection of the whole heap.
    old.buffer.transfer(0);
  }
}

/** One stream's part of the window: knows the oldest instant that must be requested again after a crash. */
export class ProvisionalOwner {
  /** In two lists, because an object for each version would outlive the young generation. */
  readonly #instants: Ticks[] = [];
  readonly #orders: number[] = [];
  #added = 0;
  #settled = 0;

  get oldest(): Ticks | undefined {
    return this.#instants[0];
  }

  add(at: Ticks): void {
    this.#added += 1;
    // Only instants below all later ones can ever be the smallest.
    while (this.#instants.length > 0 && this.#instants[this.#instants.length - 1]! >= at) {
      this.#instants.pop();
      this.#orders.pop();
    }
    this.#instants.push(at);
    this.#orders.push(this.#added);
  }

  settleOne(): void {
    this.#settled += 1;
    if (this.#orders[0] !== undefined && this.#orders[0] <= this.#settled) {
      this.#instants.shift();
      this.#orders.shift();
    }
  }
}

/**
 * What was written to a pipe or socket in the last hour and may not have arrived, at most `maxBytes` over all
 * customers. The receiver does not acknowledge, so after a crash or a broken connection all of it is read
 * from Microsoft and sent again. No bodies are kept.
 */
export class Provisional {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #items = new ItemQueue();
  #bytes = 0;
  #writtenMs = 0;
  #writtenReadAtMs = 0;
  #hasBegun = false;

  constructor(clock: Clock, maxBytes: number) {
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /** A journal holds an entry of this time; later entries must not get an earlier one. */
  sawWritten(writtenAtS: number): void {
    if (writtenAtS * 1000 <= this.#writtenMs) return;
    this.#writtenMs = writtenAtS * 1000;
    this.#writtenReadAtMs = this.#clock.monotonicMs();
  }

  /**
   * The time of journal entries, s. A run starts with the wall clock, but never before the last entry of the
   * previous run, and continues by the monotonic clock. After a crash this time decides which versions were
   * written in the last hour; a wall clock that was set forward or back by an hour would hide some of them.
   */
  writtenNowS(): number {
    const monotonicMs = this.#clock.monotonicMs();
    this.#writtenMs += monotonicMs - this.#writtenReadAtMs;
    if (!this.#hasBegun) this.#writtenMs = Math.max(this.#clock.nowMs(), this.#writtenMs);
    this.#hasBegun = true;
    this.#writtenReadAtMs = monotonicMs;
    return Math.floor(this.#writtenMs / 1000);
  }

  add(owner: ProvisionalOwner, version: WrittenVersion): void {
    const nowMs = this.#clock.monotonicMs();
    this.#items.push(owner, version, nowMs);
    owner.add(version.askFrom);
    this.#bytes += version.byteLength;
    this.#settle(nowMs);
  }

  /** Drops what is old enough, or does not fit beside newer bytes. */
  settle(): void {
    this.#settle(this.#clock.monotonicMs());
  }

  #settle(nowMs: number): void {
    const before = nowMs - PROVISIONAL_FOR_MS;
    const items = this.#items;
    while (items.length > 0) {
      // The newest item stays even when it is larger than the whole window.
      if (items.oldestWrittenAtMs >= before && (this.#bytes <= this.#maxBytes || items.length === 1)) break;
      this.#bytes -= items.oldestBytes;
      items.shift().settleOne();
    }
  }

  /**
   * A ledger's entries for a journal that is rewritten. What these owners have in the window comes last, in
   * the order it was written: after a crash the newest `maxBytes` are counted from the journal's end, and the
   * times do not order them, since one second may hold thousands.
   */
  *inWrittenOrder(owner: ProvisionalOwner | readonly ProvisionalOwner[], ledger: Ledger): Generator<LedgerEntry> {
    const owners = new Set(owner instanceof ProvisionalOwner ? [owner] : owner);
    const lately = new Map<string, ObjectHash>();
    for (const item of this.#items.all()) {
      if (!owners.has(item.owner)) continue;
      const object = item.hash.join(" ");
      lately.delete(object);
      lately.set(object, item.hash);
    }
    for (const entry of ledger.entries()) if (lately.size === 0 || !lately.has(entry.hash.join(" "))) yield entry;
    for (const hash of lately.values()) {
      const entry = ledger.get(hash);
      if (entry) yield entry;
    }
  }

  /** Everything still provisional, oldest first. It stays provisional. */
  all(): readonly Item[] {
    this.settle();
    return this.#items.all();
  }
}

/** What matters of a journal's latest entries after an abnormal end. */
export interface LateEntry {
  readonly writtenAtS: number;
  readonly byteLength: number;
}

/**
 * Which entries of all journals together were provisional when the process ended: written in its last hour,
 * the newest `maxBytes`. Returns the number to take from the end of each list.
 */
export function provisionalAtEnd(lists: readonly (readonly LateEntry[])[], maxBytes: number): number[] {
  const taken = lists.map(() => 0);
  const takenBytes = lists.map(() => 0);
  const lastS = Math.max(0, ...lists.map((entries) => entries.at(-1)?.writtenAtS ?? 0));
  const earliestS = lastS - PROVISIONAL_FOR_MS / 1000;
  for (let second = lastS; second >= earliestS; ) {
    if (takenBytes.reduce((sum, n) => sum + n, 0) >= maxBytes) break;
    // The order of several journals within one second is not known, so the newest entry may be in any of
    // them.
    lists.forEach((entries, i) => {
      for (
        let entry = entries[entries.length - 1 - taken[i]!];
        entry !== undefined;
        entry = entries[entries.length - 1 - taken[i]!]
      ) {
        if (entry.writtenAtS < second || takenBytes[i]! >= maxBytes) break;
        taken[i]! += 1;
        takenBytes[i]! += entry.byteLength;
      }
    });
    const earlier = lists.map(
      (entries, i) => entries[entries.length - 1 - taken[i]!]?.writtenAtS ?? Number.NEGATIVE_INFINITY,
    );
    second = Math.max(Number.NEGATIVE_INFINITY, ...earlier.filter((at) => at < second));
  }
  return taken;
}
