/** Sizes are rounded up to it, so that what one batch leaves fits the next. */
const STEP_BYTES = 1 << 16;
/** More than this is not kept: one page of large alerts must not cost memory for ever. */
const KEPT_MAX_BYTES = 4 << 20;

/**
 * Memory for formatted batches, lent and given back. A batch waits for its receiver, so its memory outlives
 * the young generation, and megabytes of such garbage stay until the whole heap is collected.
 */
export class BatchMemory {
  readonly #free: Buffer[] = [];
  #freeBytes = 0;

  /** What waits here to be lent. */
  get keptBytes(): number {
    return this.#freeBytes;
  }

  /** At least so many bytes, with anything in them. */
  lend(byteLength: number): Buffer {
    const at = this.#free.findIndex(({ length }) => length >= byteLength);
    if (at === -1) return Buffer.allocUnsafeSlow(Math.max(1, Math.ceil(byteLength / STEP_BYTES)) * STEP_BYTES);
    const [memory] = this.#free.splice(at, 1) as [Buffer];
    this.#freeBytes -= memory.length;
    return memory;
  }

  /** Call it when the memory is no longer read. */
  giveBack(memory: Buffer): void {
    if (this.#freeBytes + memory.length > KEPT_MAX_BYTES) return;
    this.#free.push(memory);
    this.#freeBytes += memory.length;
  }
}
