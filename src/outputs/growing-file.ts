import { dirname, extname, resolve } from "node:path";
import type { Clock } from "../model/ports.ts";
import type { Disk } from "../stores/disk/disk.ts";
import { syncFileContent, writeWhole } from "../stores/disk/disk.ts";
import { CommitQueue } from "./commit-queue.ts";
import type { Batch, Output, OutputCondition } from "./output.ts";
import { outputUnwritable } from "./output-failures.ts";
import { type KeptAccess, makeFolderForReaders, openForReaders, type ReaderAccess } from "./reader-access.ts";
import { RecentKeys } from "./recent-keys.ts";
import { WrittenLog } from "./written-log.ts";

export interface GrowingFileParts {
  readonly name: string;
  readonly path: string;
  readonly rotateBytes: number;
  readonly access: ReaderAccess;
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
 * whole one. A file or folder that was moved or deleted is made anew. The file in the place of another has
 * that one's mode and group. Where the path is a symlink, all this happens to the file that it leads to.
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
  /** The file itself, where the path is a symlink. Undefined until there was one. */
  #target: string | undefined;
  #kept: KeptAccess | undefined;

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
    this.#target = opened.lastFile;
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
    this.#log.close();
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
    if (events.length > 0) this.#log.note(this.#target ?? this.where, events);
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
      this.#setAside(this.#target ?? this.where);
      this.#open();
    }
    return this.#fd as unknown as number;
  }

  #open(): void {
    const { disk, path, access } = this.#p;
    makeFolderForReaders(disk, dirname(path), access);
    const target = targetOf(disk, path, this.#target);
    // Opening a pipe without a reader would block the whole process, SIGTERM included.
    if (isOtherThanFile(disk, path)) throw Object.assign(new Error("not a regular file"), { code: "EFTYPE" });
    if (isTorn(disk, target)) {
      this.#kept = accessOf(disk.statSync(target));
      this.#setAside(target);
    }
    this.#log.begin(target);
    this.#fd = openForReaders(disk, target, "a", access, this.#kept);
    this.#target = target;
    this.#size = disk.fstatSync(this.#fd).size;
  }

  /** False when the file was moved or deleted: no reader would see what is written to it. */
  #isStillThere(fd: number): boolean {
    try {
      const open = this.#p.disk.fstatSync(fd);
      this.#kept = accessOf(open);
      const named = this.#p.disk.statSync(this.where);
      // Somebody may have emptied it (a log rotation that copies), or `check` added its line: where our
      // events begin is where the file ends now.
      this.#size = open.size;
      return named.ino === open.ino && named.dev === open.dev;
    } catch {
      return false;
    }
  }

  #setAside(path: string): void {
    this.#closeQuietly();
    const { disk, clock } = this.#p;
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

function accessOf({ mode, gid }: { readonly mode: number; readonly gid: number }): KeptAccess {
  return { mode: mode & 0o777, gid };
}

/**
 * The file that the path leads to. A symlink that leads nowhere is a mistake, unless this output had a file
 * there before: then it was taken away, and is made anew.
 */
function targetOf(disk: Disk, path: string, before: string | undefined): string {
  if (disk.existsSync(path)) return disk.realpathSync(path);
  let target = path;
  // Only a ring of symlinks is longer than this (Linux, path_resolution(7)).
  for (let followed = 0; followed < 40; followed += 1) {
    const next = symlinkTarget(disk, target);
    if (next === undefined) break;
    target = resolve(dirname(target), next);
  }
  if (target !== path && target !== before)
    throw Object.assign(new Error(`${path} is a dangling symlink`), { code: "EDANGLING" });
  return target;
}

function symlinkTarget(disk: Disk, path: string): string | undefined {
  try {
    return disk.readlinkSync(path);
  } catch {
    return undefined;
  }
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
