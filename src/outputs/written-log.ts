import { dirname } from "node:path";
import type { Disk } from "../stores/disk/disk.ts";
import { errnoOf, makeFolder, openForAppend, readIfThere, syncFileContent, writeWhole } from "../stores/disk/disk.ts";
import { outputUnwritable } from "./output-failures.ts";
import { REMEMBERED } from "./recent-keys.ts";

const COMPACT_ABOVE_BYTES = 16 << 20;
interface Entry {
  readonly file: string;
  readonly part: number;
  readonly size: number;
  readonly key: string;
}

/** As many as the running output knows, so that a restart forgets none of them. */
const KEPT_KEYS = REMEMBERED;

/**
 * Which events a file output wrote, in the order in which it wrote them: written before the events are, with
 * the size that the file has when they are whole. After a kill it says which of the last events are in the
 * file, although the engine's own journal, which comes after the file, does not hold them yet. Without it
 * they would be written twice. It outlives a normal stop: when the next run is killed, the engine replays
 * the last hour for an output that may have lost some of it, and that hour may begin before the stop. Only a
 * crash of this program matters here: after one of the host, a repeat is allowed.
 *
 * Lines: `F <file>` begins a file, `<size> <key>` is an event. A line without its end is not counted.
 */
export class WrittenLog {
  readonly #name: string;
  readonly #disk: Disk;
  readonly #path: string;
  /** Undefined while it is closed; what comes next opens it. */
  #openFd: number | undefined;
  #bytes: number;
  #compactAboveBytes = COMPACT_ABOVE_BYTES;
  #file: string | undefined;
  #beforeLast: { readonly bytes: number; readonly file: string | undefined; readonly tail: number } | undefined;
  /** What a shorter log must still hold. */
  #tail: Entry[] = [];
  /**
   * Counts the files begun: a file that was set aside and the one in its place have one name, and sizes of
   * their own.
   */
  #part = 0;

  /**
   * @param name the output's.
   * @param found the events of the last run that are whole in `file`, as far as `sizeOf` says (undefined: the
   *   file is gone, so it was whole and has been taken).
   */
  static open(
    name: string,
    disk: Disk,
    path: string,
    sizeOf: (file: string) => number | undefined,
  ): {
    readonly log: WrittenLog;
    readonly keys: readonly string[];
    readonly files: ReadonlySet<string>;
    readonly lastFile: string | undefined;
  } {
    const text = readIfThere(disk, path)?.toString("utf8") ?? "";
    const entries: Entry[] = [];
    let file: string | undefined;
    let part = 0;
    for (const line of text.split("\n").slice(0, -1)) {
      if (line.startsWith("F ")) {
        file = line.slice(2);
        part += 1;
      } else if (file !== undefined) {
        const space = line.indexOf(" ");
        const size = Number(line.slice(0, space));
        if (space > 0 && Number.isInteger(size)) entries.push({ file, part, size, key: line.slice(space + 1) });
      }
    }
    const lastSize = file === undefined ? undefined : sizeOf(file);
    // Files before the last one were whole when the next was begun.
    const whole = entries.filter((entry) => entry.part !== part || lastSize === undefined || entry.size <= lastSize);
    const log = new WrittenLog(name, disk, path);
    log.#tail = whole.slice(-KEPT_KEYS);
    log.#part = part + 1;
    // An event that was not whole must not count as one of an earlier file when this run crashes too.
    if (whole.length < entries.length || (text !== "" && !text.endsWith("\n"))) log.#compactOrThrow();
    return { log, keys: whole.map(({ key }) => key), files: new Set(whole.map((entry) => entry.file)), lastFile: file };
  }

  private constructor(name: string, disk: Disk, path: string) {
    this.#name = name;
    this.#disk = disk;
    this.#path = path;
    makeFolder(disk, dirname(path));
    try {
      this.#bytes = disk.fstatSync(this.#fd).size;
    } catch (error) {
      throw this.#unwritable(error);
    }
  }

  get #fd(): number {
    this.#openFd ??= openForAppend(this.#disk, this.#path);
    return this.#openFd;
  }

  /** To be called before a file is begun or opened anew, also when it has the name of the one before. */
  begin(file: string): void {
    this.#beforeLast = { bytes: this.#bytes, file: this.#file, tail: this.#tail.length };
    this.#part += 1;
    this.#file = file;
    this.#append(`F ${file}\n`);
  }

  /** To be called before the events are written. When they could not be, `rollback` follows. */
  note(file: string, events: readonly { readonly size: number; readonly key: string }[]): void {
    if (this.#tail.length > KEPT_KEYS * 1.25) this.#tail = this.#tail.slice(-KEPT_KEYS);
    if (this.#bytes > this.#compactAboveBytes) this.#compactOrThrow();
    this.#beforeLast = { bytes: this.#bytes, file: this.#file, tail: this.#tail.length };
    let text = "";
    if (file !== this.#file) {
      this.#part += 1;
      text = `F ${file}\n`;
    }
    for (const { size, key } of events) {
      text += `${size} ${key}\n`;
      this.#tail.push({ file, part: this.#part, size, key });
    }
    this.#file = file;
    this.#append(text);
  }

  #append(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    this.#bytes += bytes.length;
    try {
      writeWhole(this.#disk, this.#fd, bytes);
    } catch (error) {
      this.rollback();
      throw this.#unwritable(error);
    }
  }

  /** The state folder's disk is full or broken, which need not be the one that events go to. */
  #unwritable(error: unknown): unknown {
    return outputUnwritable(this.#name, dirname(this.#path), error);
  }

  /** The events noted last were not written after all. Making a file shorter works on a full disk too. */
  rollback(): void {
    const before = this.#beforeLast;
    if (before === undefined) return;
    this.#bytes = before.bytes;
    this.#file = before.file;
    this.#tail.length = before.tail;
    this.#beforeLast = undefined;
    try {
      this.#disk.ftruncateSync(this.#fd, before.bytes);
    } catch (error) {
      throw this.#unwritable(error);
    }
  }

  /** After this, what is noted survives a crash of the host too. */
  async sync(): Promise<void> {
    try {
      await syncFileContent(this.#disk, this.#fd);
    } catch (error) {
      throw this.#unwritable(error);
    }
  }

  close(): void {
    const fd = this.#openFd;
    // A closed descriptor's number may be given to another file.
    this.#openFd = undefined;
    try {
      if (fd !== undefined) this.#disk.closeSync(fd);
    } catch (error) {
      // Writing and flushing have said what is in the file, and the descriptor is gone all the same.
      if (errnoOf(error) === undefined) throw error;
    }
  }

  #compactOrThrow(): void {
    try {
      this.#compact();
    } catch (error) {
      throw this.#unwritable(error);
    }
  }

  /** Also keeps the tail short. */
  #compact(): void {
    const kept = this.#tail.slice(-KEPT_KEYS);
    let text = "";
    let part: number | undefined;
    for (const entry of kept) {
      if (entry.part !== part) text += `F ${entry.file}\n`;
      part = entry.part;
      text += `${entry.size} ${entry.key}\n`;
    }
    if (this.#file !== undefined && part !== this.#part) text += `F ${this.#file}\n`;
    const aside = `${this.#path}.new`;
    const fd = this.#disk.openSync(aside, "w", 0o600);
    const bytes = Buffer.from(text, "utf8");
    try {
      writeWhole(this.#disk, fd, bytes);
    } finally {
      this.#disk.closeSync(fd);
    }
    // Windows does not rename over an open file.
    this.close();
    this.#disk.renameSync(aside, this.#path);
    this.#bytes = bytes.length;
    // Long keys may leave more than that, and then each note would write all of it again.
    this.#compactAboveBytes = Math.max(COMPACT_ABOVE_BYTES, 2 * bytes.length);
    this.#tail = kept;
  }
}
