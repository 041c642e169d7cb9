/** Says that the secrets of a receiver were renewed, to whoever waits because the old ones were refused. */
export class Renewal {
  #next = new AbortController();

  /** Fires at the next renewal. */
  get signal(): AbortSignal {
    return this.#next.signal;
  }

  renewed(): void {
    const before = this.#next;
    this.#next = new AbortController();
    before.abort();
  }
}
