/** Runs pieces of work one after another, in the order of the calls. A failed one does not stop the next. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves or rejects like `work`, after all earlier work has ended. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work, work);
    this.#last = done;
    // The caller may use the result later; until then a rejection must not count as unhandled.
    done.catch(() => undefined);
    return done;
  }

  /** Resolves when all work so far has ended, with or without an error. */
  async idle(): Promise<void> {
    await this.#last.catch(() => undefined);
  }
}
