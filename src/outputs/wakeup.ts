/** What loops without work wait for. */
export class Wakeup {
  #sleepers: (() => void)[] = [];

  /** Resolves at the next `wake`, or at once when it is time to stop: whoever stops a loop wakes it, too. */
  woken(stop: AbortSignal): Promise<void> {
    if (stop.aborted) return Promise.resolve();
    return new Promise((resolve) => this.#sleepers.push(resolve));
  }

  wake(): void {
    const sleepers = this.#sleepers;
    this.#sleepers = [];
    for (const wake of sleepers) wake();
  }
}
