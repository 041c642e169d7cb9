import type { Change } from "../../model/event.ts";
import type { Ticks } from "../../model/instant.ts";
import type { LedgerEntry } from "../../model/state.ts";
import type { RecordKind } from "../../model/stream.ts";

/** Numbers per slot: four of the object's hash, two of the instant, then written-at, bytes, CRC and flags. */
const SLOT = 10;
/** Takes two, which are read as one number of 64 bits. */
const UPDATED = 4;
const WRITTEN_AT = 6;
const BYTES = 7;
const CRC = 8;
const FLAGS = 9;
const USED = 1;
const IS_NEW = 2;
const REPLAY = 4;
/**
 * The table grows above the first fill level, down to the second: 40 bytes a slot over 0.7 is 57 bytes a key,
 * which stays below the promised 64.
 */
const FULLEST = 0.88;
const AFTER_GROWING = 0.7;
/** Most streams of most customers hold a few objects or none. */
const SMALLEST = 4;

export type ObjectHash = readonly [number, number, number, number];

/** A version as the ledger holds it. */
export interface HeldVersion extends LedgerEntry {
  /** It is still to be sent again. */
  readonly awaitsReplay: boolean;
}

/** What the ledger says of a version it is shown. */
export type Verdict =
  /** No version of this object is held. */
  | { readonly is: "unknown" }
  /**
   * An older version was sent. `awaitedReplay`: it was still to be sent again, and this version replaces it.
   */
  | { readonly is: "newer"; readonly awaitedReplay: boolean }
  /** This very version was sent. */
  | { readonly is: "sent" }
  /** This very version was sent with other bytes. */
  | { readonly is: "sent-with-other-bytes" }
  /** A newer version was sent. */
  | { readonly is: "superseded" }
  /** This very version was written before a crash or a broken connection and may not have arrived. */
  | { readonly is: "replay"; readonly change: Change };

/**
 * 128 bits over kind and id: a collision would lose an alert, and with 64 bits one is likely in a large
 * deployment's lifetime. This is MurmurHash3_x86_128 (A. Appleby, public domain) over the UTF-16 units, two
 * to a word. A cryptographic digest is not needed, because Microsoft chooses the ids and nobody can aim at a
 * collision. It would also cost a call out of JavaScript and a buffer for each record.
 */
export function objectHash(kind: RecordKind, id: string): ObjectHash {
  const { length } = id;
  // Kinds differ in their first letter.
  const seed = kind.charCodeAt(0);
  let h1 = seed;
  let h2 = seed;
  let h3 = seed;
  let h4 = seed;
  for (let i = 0; i < length; i += 8) {
    // Past the end charCodeAt returns NaN, which counts as 0 here. The length distinguishes such an id from
    // one that ends in U+0000.
    h1 ^= scrambled(id.charCodeAt(i) | (id.charCodeAt(i + 1) << 16), 0x239b961b, 15, 0xab0e9789);
    h1 = (Math.imul(((h1 << 19) | (h1 >>> 13)) + h2, 5) + 0x561ccd1b) | 0;
    h2 ^= scrambled(id.charCodeAt(i + 2) | (id.charCodeAt(i + 3) << 16), 0xab0e9789, 16, 0x38b34ae5);
    h2 = (Math.imul(((h2 << 17) | (h2 >>> 15)) + h3, 5) + 0x0bcaa747) | 0;
    h3 ^= scrambled(id.charCodeAt(i + 4) | (id.charCodeAt(i + 5) << 16), 0x38b34ae5, 17, 0xa1e38b93);
    h3 = (Math.imul(((h3 << 15) | (h3 >>> 17)) + h4, 5) + 0x96cd1c35) | 0;
    h4 ^= scrambled(id.charCodeAt(i + 6) | (id.charCodeAt(i + 7) << 16), 0xa1e38b93, 18, 0x239b961b);
    h4 = (Math.imul(((h4 << 13) | (h4 >>> 19)) + h1, 5) + 0x32ac3b17) | 0;
  }
  h1 = ((h1 ^ length) + (h2 ^ length) + (h3 ^ length) + (h4 ^ length)) | 0;
  h2 = ((h2 ^ length) + h1) | 0;
  h3 = ((h3 ^ length) + h1) | 0;
  h4 = ((h4 ^ length) + h1) | 0;
  h1 = finished(h1);
  h2 = finished(h2);
  h3 = finished(h3);
  h4 = finished(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  return [h1, (h2 + h1) | 0, (h3 + h1) | 0, (h4 + h1) | 0];
}

function scrambled(word: number, first: number, rotation: number, second: number): number {
  const k = Math.imul(word, first);
  return Math.imul((k << rotation) | (k >>> (32 - rotation)), second);
}

/** Mixes the word: each input bit affects all output bits. */
function finished(word: number): number {
  let h = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * The newest version sent of each object, in one typed array (a Map of strings takes ten times the memory).
 * Only the newest version of an object matters: an older one that appears later is never sent.
 */
export class Ledger {
  #slots: Int32Array;
  /** The same memory. */
  #ticks: BigInt64Array;
  #capacity: number;
  #size = 0;

  constructor() {
    this.#capacity = SMALLEST;
    this.#slots = new Int32Array(SMALLEST * SLOT);
    this.#ticks = new BigInt64Array(this.#slots.buffer);
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes that the table takes. */
  get byteLength(): number {
    return this.#slots.byteLength;
  }

  /** @param bodyCrc called only when the same version is met again. */
  judge(hash: ObjectHash, updated: Ticks, bodyCrc: () => number): Verdict {
    const at = this.#find(hash);
    const flags = this.#slots[at + FLAGS]!;
    if (!(flags & USED)) return { is: "unknown" };
    const held = this.#updatedAt(at);
    if (updated > held) return { is: "newer", awaitedReplay: (flags & REPLAY) !== 0 };
    if (updated < held) return { is: "superseded" };
    if (flags & REPLAY) return { is: "replay", change: flags & IS_NEW ? "new" : "updated" };
    const isSameBody = (bodyCrc() | 0) === this.#slots[at + CRC];
    return isSameBody ? { is: "sent" } : { is: "sent-with-other-bytes" };
  }

  put(entry: LedgerEntry): void {
    if (this.#size + 1 > this.#capacity * FULLEST)
      this.#rebuild(Math.ceil((this.#size + 1) / AFTER_GROWING), () => true);
    const at = this.#find(entry.hash);
    const slots = this.#slots;
    if (!(slots[at + FLAGS]! & USED)) this.#size += 1;
    slots[at] = entry.hash[0];
    slots[at + 1] = entry.hash[1];
    slots[at + 2] = entry.hash[2];
    slots[at + 3] = entry.hash[3];
    this.#ticks[(at + UPDATED) >> 1] = entry.updated;
    slots[at + WRITTEN_AT] = entry.writtenAtS | 0;
    slots[at + BYTES] = entry.byteLength | 0;
    slots[at + CRC] = entry.bodyCrc | 0;
    slots[at + FLAGS] = USED | (entry.change === "new" ? IS_NEW : 0);
  }

  /** Has the version sent again when a poll meets it, if it is still the newest one held. False otherwise. */
  askForReplay(hash: ObjectHash, updated: Ticks): boolean {
    const at = this.#find(hash);
    if (!(this.#slots[at + FLAGS]! & USED) || this.#updatedAt(at) !== updated) return false;
    this.#slots[at + FLAGS]! |= REPLAY;
    return true;
  }

  /** Stops waiting for replays. Returns how many had not come. */
  dropReplays(): number {
    let dropped = 0;
    for (let at = 0; at < this.#slots.length; at += SLOT) {
      if ((this.#slots[at + FLAGS]! & (USED | REPLAY)) !== (USED | REPLAY)) continue;
      this.#slots[at + FLAGS]! &= ~REPLAY;
      dropped += 1;
    }
    return dropped;
  }

  /**
   * Restarts the age of a nested record at `atS`: it must be remembered as long as polls meet it.
   * @returns false when that would be less than `stepS` later: nothing changes.
   */
  touch(hash: ObjectHash, atS: number, stepS: number): boolean {
    const at = this.#find(hash);
    const flags = this.#slots[at + FLAGS]!;
    if (!(flags & USED) || flags & REPLAY || this.#slots[at + WRITTEN_AT]! + stepS > atS) return false;
    this.#slots[at + WRITTEN_AT] = atS;
    return true;
  }

  /** Rolls back a version whose write failed: puts back what was held before. */
  restore(hash: ObjectHash, previous: HeldVersion | undefined): void {
    if (previous) {
      this.put(previous);
      if (previous.awaitsReplay) this.askForReplay(hash, previous.updated);
      return;
    }
    const removed = this.#find(hash);
    if (!(this.#slots[removed + FLAGS]! & USED)) return;
    this.#rebuild(this.#capacity, (at) => at !== removed);
  }

  get(hash: ObjectHash): HeldVersion | undefined {
    const at = this.#find(hash);
    const flags = this.#slots[at + FLAGS]!;
    return flags & USED ? { ...this.#entryAt(at), awaitsReplay: (flags & REPLAY) !== 0 } : undefined;
  }

  /**
   * Forgets versions updated before `before` (and, when given, also last written before `writtenBeforeS`).
   * Returns how many.
   */
  prune(before: Ticks, writtenBeforeS = Number.POSITIVE_INFINITY): number {
    const isOutdated = (at: number) =>
      this.#updatedAt(at) < before &&
      this.#slots[at + WRITTEN_AT]! < writtenBeforeS &&
      !(this.#slots[at + FLAGS]! & REPLAY);
    let outdated = 0;
    for (let at = 0; at < this.#slots.length; at += SLOT)
      if (this.#slots[at + FLAGS]! & USED && isOutdated(at)) outdated += 1;
    if (outdated > 0)
      this.#rebuild(Math.max(SMALLEST, Math.ceil((this.#size - outdated) / AFTER_GROWING)), (at) => !isOutdated(at));
    return outdated;
  }

  *entries(): Generator<LedgerEntry> {
    for (let at = 0; at < this.#slots.length; at += SLOT) if (this.#slots[at + FLAGS]! & USED) yield this.#entryAt(at);
  }

  /** Offset of the object's slot, or of the free one where it belongs. */
  #find(hash: ObjectHash): number {
    const slots = this.#slots;
    // Entries read from a journal have unsigned words.
    const h0 = hash[0] | 0;
    const h1 = hash[1] | 0;
    const h2 = hash[2] | 0;
    const h3 = hash[3] | 0;
    let index = (h0 >>> 0) % this.#capacity;
    for (;;) {
      const at = index * SLOT;
      if (!(slots[at + FLAGS]! & USED)) return at;
      if (slots[at] === h0 && slots[at + 1] === h1 && slots[at + 2] === h2 && slots[at + 3] === h3) return at;
      index = index + 1 === this.#capacity ? 0 : index + 1;
    }
  }

  #updatedAt(at: number): Ticks {
    return this.#ticks[(at + UPDATED) >> 1]!;
  }

  #entryAt(at: number): LedgerEntry {
    const s = this.#slots;
    return {
      hash: [s[at]!, s[at + 1]!, s[at + 2]!, s[at + 3]!],
      updated: this.#updatedAt(at),
      writtenAtS: s[at + WRITTEN_AT]!,
      byteLength: s[at + BYTES]!,
      bodyCrc: s[at + CRC]! >>> 0,
      change: s[at + FLAGS]! & IS_NEW ? "new" : "updated",
    };
  }

  /** @param keeps is asked with an offset into the table as it was. */
  #rebuild(capacity: number, keeps: (at: number) => boolean): void {
    const old = this.#slots;
    const newCapacity = Math.max(SMALLEST, capacity);
    const slots = new Int32Array(newCapacity * SLOT);
    let size = 0;
    for (let at = 0; at < old.length; at += SLOT) {
      if (!(old[at + FLAGS]! & USED) || !keeps(at)) continue;
      // No object is in the table twice, so the first free slot is its own. Number by number, because a
      // catch-up moves each entry several times, and a view of each would be garbage.
      let index = (old[at]! >>> 0) % newCapacity;
      while (slots[index * SLOT + FLAGS]! & USED) index = index + 1 === newCapacity ? 0 : index + 1;
      for (let n = 0; n < SLOT; n++) slots[index * SLOT + n] = old[at + n]!;
      size += 1;
    }
    this.#capacity = newCapacity;
    this.#slots = slots;
    this.#ticks = new BigInt64Array(slots.buffer);
    this.#size = size;
    // Otherwise its memory would wait for a collection of the whole heap.
    (old.buffer as ArrayBuffer).transfer(0);
  }
}
