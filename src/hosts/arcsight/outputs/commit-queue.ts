import type { Batch } from "./output.ts";

/** Enough that a page of many customers is one disk flush, and little enough that memory stays flat. */
const GROUP_MAX_BYTES = 4 << 20;

interface Waiting {
  readonly batch: Batch;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Batches that arrive while the disk is busy are written together: one flush serves all of them. A group that fails, fails for each of its batches.
 */
export class CommitQueue {
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  readonly #commit: (batches: readonly Batch[]) => Promise<void>;

  constructor(commit: (batches: readonly Batch[]) => Promise<void>) {
    this.#commit = commit;
  }

  write(batch: Batch): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ batch, done, failed });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // One turn later, so that what is written in the same turn goes together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group: Waiting[] = [];
      for (let bytes = 0; this.#waiting.length > 0 && (group.length === 0 || bytes < GROUP_MAX_BYTES); ) {
        const next = this.#waiting.shift() as Waiting;
        bytes += next.batch.bytes.length;
        group.push(next);
      }
      try {
        await this.#commit(group.map(({ batch }) => batch));
        for (const { done } of group) done();
      } catch (error) {
        for (const { failed } of group) failed(error);
      }
    }
    this.#running = undefined;
  }
}
