/** Runs one piece of work after another, in the order asked for; a failed one does not stop those behind it. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves or rejects as `work` does, once it had its turn. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work, work);
    this.#last = done;
    // The caller may not look at the result until later; a rejection must not count as unhandled meanwhile.
    done.catch(() => undefined);
    return done;
  }

  /** Resolves when everything asked for so far has ended, however it ended. */
  async idle(): Promise<void> {
    await this.#last.catch(() => undefined);
  }
}
