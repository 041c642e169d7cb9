import { type Disk, openForAppend } from "./disk.ts";

interface Handle {
  readonly fd: number;
  pins: number;
  dropped: boolean;
}

/**
 * Journals open for appending, the least recently used closed when there are too many: 2,000 customers have
 * 4,000 journals and a service often may open only 1,024 files.
 */
export class Handles {
  readonly #disk: Disk;
  readonly #most: number;
  readonly #open = new Map<string, Handle>();

  constructor(disk: Disk, most = 64) {
    this.#disk = disk;
    this.#most = most;
  }

  /**
   * The file's descriptor, opened if needed. Valid until the caller awaits something; keep it over an `await`
   * with `pin`.
   */
  fdOf(path: string): number {
    return this.#get(path).fd;
  }

  /** Runs `use` with a descriptor that is not closed meanwhile. */
  async pin<T>(path: string, use: (fd: number) => Promise<T>): Promise<T> {
    const handle = this.#get(path);
    handle.pins += 1;
    try {
      return await use(handle.fd);
    } finally {
      handle.pins -= 1;
      if (handle.dropped && handle.pins === 0) this.#disk.closeSync(handle.fd);
    }
  }

  /** Forgets the file's descriptor: its path is about to mean another file. */
  drop(path: string): void {
    const handle = this.#open.get(path);
    if (!handle) return;
    this.#open.delete(path);
    handle.dropped = true;
    if (handle.pins === 0) this.#disk.closeSync(handle.fd);
  }

  dropAll(): void {
    for (const path of this.#open.keys()) this.drop(path);
  }

  #get(path: string): Handle {
    const known = this.#open.get(path);
    if (known) {
      this.#open.delete(path);
      this.#open.set(path, known);
      return known;
    }
    const handle: Handle = { fd: openForAppend(this.#disk, path), pins: 0, dropped: false };
    this.#open.set(path, handle);
    for (const [other, { pins }] of this.#open) {
      if (this.#open.size <= this.#most) break;
      if (pins === 0 && other !== path) this.drop(other);
    }
    return handle;
  }
}
