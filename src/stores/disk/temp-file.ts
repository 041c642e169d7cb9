import { join } from "node:path";
import type { TempFile } from "../../model/state.ts";
import { type Disk, makeFolder, removeIfThere, stateUnwritable } from "./disk.ts";

const PIECE_BYTES = 256 * 1024;
const FILE_MODE = 0o600;

/** Temporary files that a crash left behind hold customers' records, so they are removed first. */
export function clearTempFiles(disk: Disk, stateFolder: string): void {
  const folder = join(stateFolder, "spool");
  if (!disk.existsSync(folder)) return;
  for (const name of disk.readdirSync(folder)) removeIfThere(disk, join(folder, name));
}

/**
 * One record on disk (0600 in 0700), because it is too large for memory. Throws Failure `state-unwritable`.
 */
export class DiskTempFile implements TempFile {
  static #made = 0;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #fd: number;
  #length = 0;
  #closed = false;

  constructor(disk: Disk, stateFolder: string) {
    const folder = join(stateFolder, "spool");
    makeFolder(disk, folder);
    this.#disk = disk;
    DiskTempFile.#made += 1;
    this.#path = join(folder, `record-${DiskTempFile.#made}`);
    try {
      this.#fd = disk.openSync(this.#path, "w+", FILE_MODE);
    } catch (error) {
      throw stateUnwritable(this.#path, error);
    }
  }

  get byteLength(): number {
    return this.#length;
  }

  async append(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; )
        done += this.#disk.writeSync(this.#fd, bytes, done, bytes.length - done, this.#length + done);
    } catch (error) {
      throw stateUnwritable(this.#path, error);
    }
    this.#length += bytes.length;
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    for (let at = 0; at < this.#length; ) {
      const read = this.#disk.readSync(this.#fd, piece, 0, PIECE_BYTES, at);
      if (read === 0) throw stateUnwritable(this.#path, Object.assign(new Error("short"), { code: "EIO" }));
      yield piece.subarray(0, read);
      at += read;
    }
  }

  async dispose(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#disk.closeSync(this.#fd);
    removeIfThere(this.#disk, this.#path);
  }
}
