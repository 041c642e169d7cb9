import { dirname } from "node:path";
import type { ConcurrencyLimiter } from "../../model/concurrency-limiter.ts";
import type { Log } from "../../model/ports.ts";
import type { LedgerEntry } from "../../model/state.ts";
import { newerFormat } from "./damage.ts";
import {
  type DiskPorts,
  errnoOf,
  makeFolder,
  openForAppend,
  readIfThere,
  removeIfThere,
  renameOver,
  stateUnreadable,
  stateUnwritable,
  syncFile,
  syncFileContent,
  writeWhole,
} from "./disk.ts";
import type { Handles } from "./handles.ts";
import {
  blockEnd,
  decodeBlock,
  decodeHeader,
  encodeBlocks,
  encodeHeader,
  HEADER_BYTES,
  LEDGER_VERSION,
} from "./ledger-format.ts";
import type { EventLoopYielder } from "./yield-to-event-loop.ts";

/**
 * Above this a journal is read through the thread pool, so that one large customer does not block the loop.
 */
const READ_AT_ONCE_BYTES = 256 * 1024;
/** Entries written at a time while compacting: 82 kB, well under a millisecond. */
const COMPACT_CHUNK = 2_048;
/** One for all journals that are not being compacted: thousands are open. */
const NOTHING_CARRIED: readonly LedgerEntry[][] = [];

export interface LedgerParts {
  readonly ports: DiskPorts;
  readonly log: Log;
  readonly handles: Handles;
  readonly yielder: EventLoopYielder;
  /**
   * Flushes pass it, so that thousands of streams that stop at once neither hold all their files open nor the
   * loop.
   */
  readonly limiter: ConcurrencyLimiter;
}

interface Loaded {
  readonly entries: LedgerEntry[];
  /** How many bytes from the file's start pass their checksums. */
  readonly goodBytes: number;
  readonly tornBytes: number;
  readonly damagedBlocks: number;
}

/** One stream's journal: append without flush, flush, compact aside. */
export class LedgerFile {
  readonly #path: string;
  readonly #parts: LedgerParts;
  /**
   * Bytes that hold whole blocks; anything beyond is the rest of a write that failed and is cut before the
   * next.
   */
  #length: number;
  /** The last compaction asked for, until it is done. */
  #compacting: Promise<void> | undefined;
  /** For each compaction asked for and not done, what was appended since it was asked for. */
  #carrying: readonly LedgerEntry[][] = NOTHING_CARRIED;
  /** How often this file was written, and how many of these writes are surely on the disk. */
  #writes: number;
  #flushedWrites = 0;

  private constructor(path: string, parts: LedgerParts, length: number) {
    this.#path = path;
    this.#parts = parts;
    this.#length = length;
    // A killed process may have left what it wrote in memory only.
    this.#writes = length === 0 ? 0 : 1;
  }

  /** A journal that is not there yet. */
  static none(path: string, parts: LedgerParts): LedgerFile {
    return new LedgerFile(path, parts, 0);
  }

  /**
   * Reads the journal. A torn tail is cut away, a damaged block inside is left out, each reported once; a
   * file whose header is not a ledger's is set aside as `.damaged`. Throws Failure `state-damaged` (written
   * by a newer release), `state-unreadable`.
   */
  static async open(
    path: string,
    parts: LedgerParts,
  ): Promise<{ readonly file: LedgerFile; readonly entries: LedgerEntry[] }> {
    const bytes = await readJournal(path, parts.ports);
    if (bytes === undefined || bytes.length === 0) return { file: new LedgerFile(path, parts, 0), entries: [] };
    const header = decodeHeader(bytes);
    if (header.kind === "newer") throw newerFormat(path, header.version, LEDGER_VERSION);
    if (header.kind === "damaged") {
      await setAside(path, bytes.length, parts);
      return { file: new LedgerFile(path, parts, 0), entries: [] };
    }
    const loaded = await decodeJournal(bytes, parts.yielder);
    const file = new LedgerFile(path, parts, loaded.goodBytes);
    if (loaded.tornBytes > 0) {
      parts.log.warn("the torn end of a ledger was removed; what it held may be sent again with equal keys", {
        path,
        bytes: loaded.tornBytes,
      });
      file.#cutTail();
    }
    if (loaded.damagedBlocks > 0) {
      parts.log.warn("a ledger holds damaged blocks; what they held may be sent again with equal keys", {
        path,
        blocks: loaded.damagedBlocks,
      });
      await file.compact(loaded.entries);
    }
    return { file, entries: loaded.entries };
  }

  append(entries: readonly LedgerEntry[]): void {
    if (entries.length === 0) return;
    for (const carried of this.#carrying) for (const entry of entries) carried.push(entry);
    this.#put(entries);
  }

  #put(entries: readonly LedgerEntry[]): void {
    if (entries.length === 0) return;
    const { disk } = this.#parts.ports;
    try {
      if (this.#length === 0) makeFolder(disk, dirname(this.#path));
      const blocks = encodeBlocks(entries);
      const bytes = this.#length === 0 ? Buffer.concat([encodeHeader(), blocks]) : blocks;
      const fd = this.#parts.handles.fdOf(this.#path);
      const there = disk.fstatSync(fd);
      if (there.nlink === 0) throw Object.assign(new Error("the file was deleted"), { code: "ENOENT" });
      // A write that failed half-way leaves bytes that would hide every later block from the next reader.
      if (there.size > this.#length) disk.ftruncateSync(fd, this.#length);
      this.#writes += 1;
      writeWhole(disk, fd, bytes);
      this.#length += bytes.length;
    } catch (error) {
      // The descriptor may point to a deleted file or a read-only mount: open anew next time.
      this.#parts.handles.drop(this.#path);
      if (errnoOf(error) === "ENOENT") this.#length = 0;
      throw stateUnwritable(this.#path, error);
    }
  }

  /** Resolves when all that was appended is on the disk; does nothing when it is already. */
  async flush(): Promise<void> {
    if (this.#compacting) await this.#compacting;
    if (this.#length === 0 || this.#flushedWrites === this.#writes) return;
    try {
      const { limiter, handles, ports } = this.#parts;
      await limiter.run(async () => {
        const writes = this.#writes;
        await handles.pin(this.#path, (fd) => syncFileContent(ports.disk, fd));
        this.#flushedWrites = Math.max(this.#flushedWrites, writes);
      });
    } catch (error) {
      this.#parts.handles.drop(this.#path);
      throw stateUnwritable(this.#path, error);
    }
  }

  /** `entries` is taken over several turns of the loop; what is appended meanwhile is carried over. */
  compact(entries: Iterable<LedgerEntry>): Promise<void> {
    const before = this.#compacting ?? Promise.resolve();
    const carried: LedgerEntry[] = [];
    this.#carrying = [...this.#carrying, carried];
    const running: Promise<void> = before
      .catch(() => undefined)
      .then(() => this.#rewrite(entries, carried))
      .finally(() => {
        this.#carryNoMore(carried);
        if (this.#compacting === running) this.#compacting = undefined;
      });
    this.#compacting = running;
    return running;
  }

  #carryNoMore(carried: LedgerEntry[]): void {
    const others = this.#carrying.filter((other) => other !== carried);
    this.#carrying = others.length === 0 ? NOTHING_CARRIED : others;
  }

  async close(): Promise<void> {
    if (this.#compacting) await this.#compacting.catch(() => undefined);
    this.#parts.handles.drop(this.#path);
  }

  async #rewrite(entries: Iterable<LedgerEntry>, carried: LedgerEntry[]): Promise<void> {
    const { ports, handles } = this.#parts;
    const aside = `${this.#path}.new`;
    try {
      makeFolder(ports.disk, dirname(this.#path));
      removeIfThere(ports.disk, aside);
      const length = await this.#writeAside(aside, entries, carried);
      // On Windows the rename may have to wait; what is appended until it is done goes to both files.
      const inBoth = carried.length;
      handles.drop(this.#path);
      await renameOver(ports, aside, this.#path);
      handles.drop(this.#path);
      this.#length = length;
      // What was carried over was written after the new file's flush.
      this.#writes += 1;
      this.#carryNoMore(carried);
      this.#put(carried.slice(inBoth));
    } catch (error) {
      throw stateUnwritable(this.#path, error);
    }
  }

  /**
   * Header, entries, flush, then what was appended meanwhile; returns the length. Nothing runs between its
   * last write and the caller's next line.
   */
  async #writeAside(aside: string, entries: Iterable<LedgerEntry>, carried: readonly LedgerEntry[]): Promise<number> {
    const { disk } = this.#parts.ports;
    const fd = openForAppend(disk, aside);
    let length = 0;
    const put = (bytes: Uint8Array): void => {
      writeWhole(disk, fd, bytes);
      length += bytes.length;
    };
    try {
      put(encodeHeader());
      let chunk: LedgerEntry[] = [];
      for (const entry of entries) {
        chunk.push(entry);
        if (chunk.length < COMPACT_CHUNK) continue;
        put(encodeBlocks(chunk));
        chunk = [];
        await this.#parts.yielder.take();
      }
      put(encodeBlocks(chunk));
      await syncFile(disk, fd);
      put(encodeBlocks(carried));
      return length;
    } finally {
      disk.closeSync(fd);
    }
  }

  #cutTail(): void {
    try {
      const fd = this.#parts.handles.fdOf(this.#path);
      this.#parts.ports.disk.ftruncateSync(fd, this.#length);
    } catch (error) {
      // Not fatal now: `append` truncates again before it writes, and fails when it cannot.
      this.#parts.handles.drop(this.#path);
      if (errnoOf(error) === undefined) throw error;
    }
  }
}

/** Undefined when there is no journal. */
async function readJournal(path: string, ports: DiskPorts): Promise<Buffer | undefined> {
  let size: number;
  try {
    size = ports.disk.statSync(path).size;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw stateUnreadable(path, error);
  }
  if (size <= READ_AT_ONCE_BYTES) return readIfThere(ports.disk, path);
  return new Promise((resolve, reject) => {
    ports.disk.readFile(path, (error, bytes) => (error ? reject(stateUnreadable(path, error)) : resolve(bytes)));
  });
}

/**
 * Every block whose checksum is right. A wrong one is skipped when another block follows where its count says
 * that it ends (bits changed inside the file); otherwise it and all after it are the torn end.
 */
async function decodeJournal(bytes: Buffer, yielder: EventLoopYielder): Promise<Loaded> {
  const entries: LedgerEntry[] = [];
  let damagedBlocks = 0;
  let at = HEADER_BYTES;
  while (at < bytes.length) {
    const block = decodeBlock(bytes, at);
    if (block) {
      for (const entry of block.entries) entries.push(entry);
      at = block.next;
    } else {
      const end = blockEnd(bytes, at);
      if (end === undefined || !decodeBlock(bytes, end)) break;
      damagedBlocks += 1;
      at = end;
    }
    await yielder.take();
  }
  return { entries, goodBytes: at, tornBytes: bytes.length - at, damagedBlocks };
}

async function setAside(path: string, byteLength: number, { ports, log }: LedgerParts): Promise<void> {
  log.error("a ledger is not readable and was set aside; what it held may be sent again with equal keys", {
    path,
    aside: `${path}.damaged`,
    bytes: byteLength,
  });
  try {
    await renameOver(ports, path, `${path}.damaged`);
  } catch (error) {
    throw stateUnwritable(path, error);
  }
}
