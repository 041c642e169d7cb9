/** Limits how much work runs in parallel; waiting work starts in the order of its calls. */
export class ConcurrencyLimiter {
  #free: number;
  readonly #waiting: (() => void)[] = [];
  #next = 0;

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /** Resolves when a slot is free; each slot must be released once. */
  async acquire(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Gives the slot directly to the caller that has waited longest. */
  release(): void {
    const next = this.#waiting[this.#next];
    if (!next) {
      this.#free += 1;
      return;
    }
    this.#next += 1;
    if (this.#next > 256 && this.#next * 2 > this.#waiting.length) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    next();
  }

  /** Resolves or rejects as `work` does. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.acquire();
    try {
      return await work();
    } finally {
      this.release();
    }
  }
}

/** Does the work of all items, begun in their order, at most `atOnce` of them at the same time. */
export async function inParallel<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const limiter = new ConcurrencyLimiter(atOnce);
  await Promise.all(items.map((item) => limiter.run(() => work(item))));
}
