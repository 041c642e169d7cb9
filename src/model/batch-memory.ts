/** Sizes are rounded up to this, so that released memory fits the next batch. */
const STEP_BYTES = 1 << 16;
/** No more than this is kept: one page of large alerts must not occupy memory for ever. */
const KEPT_MAX_BYTES = 4 << 20;

/**
 * Reuses the memory of formatted batches. A batch waits for its receiver, so its memory outlives the young
 * generation, and megabytes of such garbage would stay until a full collection of the heap.
 */
export class BatchMemory {
  readonly #free: Buffer[] = [];
  #freeBytes = 0;

  /** How much memory is kept for the next batches. */
  get keptBytes(): number {
    return this.#freeBytes;
  }

  /** At least this many bytes, with undefined content. */
  lend(byteLength: number): Buffer {
    const at = this.#free.findIndex(({ length }) => length >= byteLength);
    if (at === -1) return Buffer.allocUnsafeSlow(Math.max(1, Math.ceil(byteLength / STEP_BYTES)) * STEP_BYTES);
    const [memory] = this.#free.splice(at, 1) as [Buffer];
    this.#freeBytes -= memory.length;
    return memory;
  }

  /** Call this when the memory is no longer read. */
  release(memory: Buffer): void {
    if (this.#freeBytes + memory.length > KEPT_MAX_BYTES) return;
    this.#free.push(memory);
    this.#freeBytes += memory.length;
  }
}
