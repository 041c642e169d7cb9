/**
 * When customers that were taken over together are polled first: each gets a slot of its own, at or after
 * the moment when it is due. Who is due later takes a later slot, so nobody who is due waits for it.
 */
export class JoinSlots {
  readonly #slotMs: number;
  /** Of a slot that is taken, a later one up to which all are taken: tens of thousands may be due at once. */
  readonly #after = new Map<number, number>();
  #last = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#slotMs = 1_000 / perSecond;
  }

  /**
   * Acquires the next free slot. Returns how long it is until then, ms.
   *
   * @param nowMs on the clock that never steps.
   * @param dueInMs infinite: never, so any time is right.
   */
  acquire(nowMs: number, dueInMs: number): number {
    if (this.#last * this.#slotMs < nowMs) this.#after.clear();
    const first = Math.ceil((nowMs + (Number.isFinite(dueInMs) ? dueInMs : 0)) / this.#slotMs);
    const passed: number[] = [];
    let slot = first;
    for (let after = this.#after.get(slot); after !== undefined; after = this.#after.get(slot)) {
      passed.push(slot);
      slot = after;
    }
    // The next search has a short way.
    for (const taken of [...passed, slot]) this.#after.set(taken, slot + 1);
    this.#last = Math.max(this.#last, slot);
    return slot * this.#slotMs - nowMs;
  }
}
