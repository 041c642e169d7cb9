import type { Ticks } from "../../model/instant.ts";
import type { Clock } from "../../model/ports.ts";
import { PROVISIONAL_FOR_MS } from "../../model/provisional.ts";
import type { LedgerEntry } from "../../model/state.ts";
import type { Ledger, ObjectHash } from "./ledger.ts";

interface Item {
  readonly owner: ProvisionalOwner;
  readonly hash: ObjectHash;
  readonly updated: Ticks;
  /** A question that begins here finds the version again. */
  readonly askFrom: Ticks;
  readonly byteLength: number;
  readonly writtenAtMs: number;
}

/** One stream's part of the window: knows the oldest instant that must be requested again after a crash. */
export class ProvisionalOwner {
  readonly #queue: { at: Ticks; order: number }[] = [];
  #added = 0;
  #settled = 0;

  get oldest(): Ticks | undefined {
    return this.#queue[0]?.at;
  }

  add(at: Ticks): void {
    this.#added += 1;
    // Only instants below all later ones can ever be the smallest.
    while (this.#queue.length > 0 && this.#queue[this.#queue.length - 1]!.at >= at) this.#queue.pop();
    this.#queue.push({ at, order: this.#added });
  }

  settleOne(): void {
    this.#settled += 1;
    if (this.#queue[0] !== undefined && this.#queue[0].order <= this.#settled) this.#queue.shift();
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
  #items: Item[] = [];
  #first = 0;
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

  add(
    owner: ProvisionalOwner,
    version: {
      readonly hash: ObjectHash;
      readonly updated: Ticks;
      readonly askFrom: Ticks;
      readonly byteLength: number;
    },
  ): void {
    this.#items.push({ owner, ...version, writtenAtMs: this.#clock.monotonicMs() });
    owner.add(version.askFrom);
    this.#bytes += version.byteLength;
    this.settle();
  }

  /** Drops what is old enough, or does not fit beside newer bytes. */
  settle(): void {
    const before = this.#clock.monotonicMs() - PROVISIONAL_FOR_MS;
    while (this.#first < this.#items.length) {
      const oldest = this.#items[this.#first]!;
      // The newest item stays even when it is larger than the whole window.
      if (oldest.writtenAtMs >= before && (this.#bytes <= this.#maxBytes || this.#first === this.#items.length - 1))
        break;
      this.#first += 1;
      this.#bytes -= oldest.byteLength;
      oldest.owner.settleOne();
    }
    if (this.#first > 1024 && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
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
    for (const item of this.#items.slice(this.#first)) {
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
  all(): readonly {
    readonly owner: ProvisionalOwner;
    readonly hash: ObjectHash;
    readonly updated: Ticks;
    readonly askFrom: Ticks;
  }[] {
    this.settle();
    return this.#items.slice(this.#first);
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
