/** Enough that pages of many customers are one disk flush, and little enough that memory stays flat. */
const GROUP_MAX_BYTES = 4 << 20;

interface Waiting<T> {
  readonly item: T;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * What arrives while the disk is busy is written together: one flush serves all of it. A group that fails,
 * fails for each of its items.
 */
export class CommitQueue<T> {
  #waiting: Waiting<T>[] = [];
  #running: Promise<void> | undefined;
  #group: Promise<void> = Promise.resolve();
  readonly #commit: (items: readonly T[]) => Promise<void>;
  readonly #sizeOf: (item: T) => number;

  constructor(commit: (items: readonly T[]) => Promise<void>, sizeOf: (item: T) => number) {
    this.#commit = commit;
    this.#sizeOf = sizeOf;
  }

  write(item: T): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ item, done, failed });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Resolves when the group that is being written now is written; others may wait behind it. */
  async presentGroup(): Promise<void> {
    await this.#group;
  }

  async #run(): Promise<void> {
    // One turn of the event loop later, so that all writes of the same turn go together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group: Waiting<T>[] = [];
      for (let bytes = 0; this.#waiting.length > 0 && (group.length === 0 || bytes < GROUP_MAX_BYTES); ) {
        const next = this.#waiting.shift() as Waiting<T>;
        bytes += this.#sizeOf(next.item);
        group.push(next);
      }
      const committing = this.#commit(group.map(({ item }) => item));
      this.#group = committing.catch(() => undefined);
      try {
        await committing;
        for (const { done } of group) done();
      } catch (error) {
        for (const { failed } of group) failed(error);
      }
    }
    this.#running = undefined;
  }
}
