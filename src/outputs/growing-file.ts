import { dirname, extname } from "node:path";
import type { Clock } from "../model/ports.ts";
import type { Disk } from "../stores/disk/disk.ts";
import { openForAppend, syncFileContent, writeWhole } from "../stores/disk/disk.ts";
import { CommitQueue } from "./commit-queue.ts";
import type { Batch, Output, OutputCondition } from "./output.ts";
import { outputUnwritable } from "./output-failures.ts";
import { RecentKeys } from "./recent-keys.ts";
import { WrittenLog } from "./written-log.ts";

export interface GrowingFileParts {
  readonly name: string;
  readonly path: string;
  readonly rotateBytes: number;
  /** Where this output keeps what it knows; a folder of its own. */
  readonly stateFolder: string;
  readonly disk: Disk;
  readonly clock: Clock;
}

/**
 * `cef-file` and `json-lines`: lines at the end of one file. Taken means flushed to the disk, so the kind is
 * durable although nobody confirms that the file was read.
 *
 * A file that reached its size, or whose last line an earlier run left unfinished, is renamed with the time
 * in its name and a new one begun: a file that is followed never shrinks, and no half line is glued to a
 * whole one. A file or folder that was moved or deleted is made anew.
 */
export class GrowingFile implements Output {
  readonly kind = "durable";
  readonly name: string;
  readonly where: string;
  readonly #p: GrowingFileParts;
  readonly #recent = new RecentKeys();
  readonly #queue = new CommitQueue<Batch>(
    (batches) => this.#commit(batches),
    ({ bytes }) => bytes.length,
  );
  readonly #log: WrittenLog;
  #fd: number | undefined;
  #size = 0;

  /**
   * Throws Failure `state-unwritable`, `state-unreadable`; a path that cannot be written is reported only
   * when something is written.
   */
  constructor(parts: GrowingFileParts) {
    this.#p = parts;
    this.name = parts.name;
    this.where = parts.path;
    const opened = WrittenLog.open(parts.name, parts.disk, `${parts.stateFolder}/written`, (file) =>
      sizeIfThere(parts.disk, file),
    );
    this.#log = opened.log;
    this.#recent.took(opened.keys);
  }

  wants(key: string): boolean {
    return this.#recent.wants(key);
  }

  write(batch: Batch): Promise<void> {
    return this.#queue.write(batch);
  }

  condition(): OutputCondition {
    return { state: "up", spooledBytes: 0, spoolLimitBytes: 0 };
  }

  listen(): void {
    // A file has no connection that could break.
  }

  async close(): Promise<void> {
    await this.#queue.idle();
    if (this.#fd !== undefined) this.#p.disk.closeSync(this.#fd);
    this.#fd = undefined;
    this.#log.clear();
  }

  async #commit(batches: readonly Batch[]): Promise<void> {
    try {
      const fd = this.#ready(batches.reduce((sum, { bytes }) => sum + bytes.length, 0));
      const sizeBefore = this.#size;
      const noted = this.#noteKeys(batches);
      try {
        for (const { bytes } of batches) {
          writeWhole(this.#p.disk, fd, bytes);
          this.#size += bytes.length;
        }
        await syncFileContent(this.#p.disk, fd);
      } catch (error) {
        this.#undo(fd, sizeBefore);
        if (noted) this.#log.rollback();
        throw error;
      }
      for (const { keys } of batches) this.#recent.took(keys);
    } catch (error) {
      throw outputUnwritable(this.name, this.where, error);
    }
  }

  #noteKeys(batches: readonly Batch[]): boolean {
    let from = this.#size;
    const events: { size: number; key: string }[] = [];
    for (const { bytes, keys, ends } of batches) {
      events.push(...keys.map((key, i) => ({ size: from + (ends[i] as number), key })));
      from += bytes.length;
    }
    if (events.length > 0) this.#log.note(this.where, events);
    return events.length > 0;
  }

  /**
   * A full disk may accept the first half of a line. The part of a failed group that was written must go,
   * because the whole group comes again.
   */
  #undo(fd: number, sizeBefore: number): void {
    try {
      this.#p.disk.ftruncateSync(fd, sizeBefore);
      this.#size = sizeBefore;
    } catch {
      // The next opening finds the file torn and sets it aside.
      this.#closeQuietly();
    }
  }

  /** An open file with room for `bytes`. */
  #ready(bytes: number): number {
    if (this.#fd !== undefined && !this.#isStillThere(this.#fd)) this.#closeQuietly();
    if (this.#fd === undefined) this.#open();
    if (this.#size > 0 && this.#size + bytes > this.#p.rotateBytes) {
      this.#setAside();
      this.#open();
    }
    return this.#fd as unknown as number;
  }

  #open(): void {
    const { disk, path } = this.#p;
    makeFolderOf(disk, path);
    // Opening a pipe without a reader would block the whole process, SIGTERM included.
    if (isOtherThanFile(disk, path)) throw Object.assign(new Error("not a regular file"), { code: "EFTYPE" });
    if (isTorn(disk, path)) this.#setAside();
    this.#log.begin(path);
    this.#fd = openForAppend(disk, path);
    this.#size = disk.fstatSync(this.#fd).size;
  }

  /** False when the file was moved or deleted: no reader would see what is written to it. */
  #isStillThere(fd: number): boolean {
    try {
      const named = this.#p.disk.statSync(this.where);
      const open = this.#p.disk.fstatSync(fd);
      // Somebody may have emptied it (a log rotation that copies), or `check` added its line: where our
      // events begin is where the file ends now.
      this.#size = open.size;
      return named.ino === open.ino && named.dev === open.dev;
    } catch {
      return false;
    }
  }

  #setAside(): void {
    this.#closeQuietly();
    const { disk, path, clock } = this.#p;
    const ending = extname(path);
    const stem = ending === "" ? path : path.slice(0, -ending.length);
    // Names sort in the order of writing: of two in one millisecond the second gets the next one.
    for (let atMs = clock.nowMs(); ; atMs += 1) {
      const target = `${stem}-${new Date(atMs).toISOString().replaceAll(/[-:.]/g, "")}${ending}`;
      if (disk.existsSync(target)) continue;
      disk.renameSync(path, target);
      return;
    }
  }

  #closeQuietly(): void {
    if (this.#fd === undefined) return;
    try {
      this.#p.disk.closeSync(this.#fd);
    } catch {
      // The file is closed either way.
    }
    this.#fd = undefined;
  }
}

function makeFolderOf(disk: Disk, path: string): void {
  const folder = dirname(path);
  if (!disk.existsSync(folder)) disk.mkdirSync(folder, { recursive: true, mode: 0o700 });
}

function sizeIfThere(disk: Disk, path: string): number | undefined {
  try {
    return disk.statSync(path).size;
  } catch {
    return undefined;
  }
}

function isOtherThanFile(disk: Disk, path: string): boolean {
  try {
    const found = disk.statSync(path);
    return !found.isFile() && !found.isDirectory();
  } catch {
    return false;
  }
}

/** True when the file's last line has no end. */
function isTorn(disk: Disk, path: string): boolean {
  const size = sizeIfThere(disk, path);
  if (size === undefined || size === 0) return false;
  const fd = disk.openSync(path, "r");
  try {
    const last = new Uint8Array(1);
    disk.readSync(fd, last, 0, 1, size - 1);
    return last[0] !== 0x0a;
  } finally {
    disk.closeSync(fd);
  }
}
