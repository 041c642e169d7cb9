import { basename, join } from "node:path";
import type { Clock } from "../model/ports.ts";
import type { DiskPorts } from "../stores/disk/disk.ts";
import { renameOver, syncFile, syncFolder, writeWhole } from "../stores/disk/disk.ts";
import { CommitQueue } from "./commit-queue.ts";
import type { Batch, Output, OutputCondition } from "./output.ts";
import { outputUnwritable } from "./output-failures.ts";
import { makeFolderForReaders, openForReaders, type ReaderAccess } from "./reader-access.ts";
import { RecentKeys } from "./recent-keys.ts";
import { WrittenLog } from "./written-log.ts";

export interface FolderParts {
  readonly name: string;
  readonly path: string;
  /** Lines stay lines, or become the elements of one JSON array. */
  readonly content: "lines" | "json-array";
  readonly access: ReaderAccess;
  /** Older files of this output are deleted, by the time in their names; 0: none. */
  readonly keepDays: number;
  readonly stateFolder: string;
  readonly ports: DiskPorts;
  readonly clock: Clock;
}

/** A name that no follower's `*.cef` or `*.json` matches. */
const PART = ".part";
const STEM = "defender-";
const OWN_NAME = /^defender-(\d{8}T\d{9}Z)-\d{4,}\.(?:cef|json)$/;
const DAY_MS = 24 * 3_600_000;
const DELETE_EVERY_MS = 3_600_000;

function stampOf(ms: number): string {
  return new Date(ms).toISOString().replaceAll(/[-:.]/g, "");
}

/**
 * `cef-folder` and `json-folder`: each group of batches is a new file, written under another name, flushed
 * and renamed, so that a follower sees whole files only. Names sort in the order of writing. A file in its
 * place is delivered: reading and removing it is the connector's part.
 */
export class FolderOutput implements Output {
  readonly kind = "durable";
  readonly name: string;
  readonly where: string;
  readonly #p: FolderParts;
  readonly #recent = new RecentKeys();
  readonly #queue = new CommitQueue<Batch>(
    (batches) => this.#commit(batches),
    ({ bytes }) => bytes.length,
  );
  readonly #log: WrittenLog;
  #lastStampMs = 0;
  #sequence = 0;
  #deleteNextMs = Number.NEGATIVE_INFINITY;

  /**
   * Finishes what an earlier run had written aside whole. Throws Failure `state-unwritable`,
   * `state-unreadable`.
   */
  constructor(parts: FolderParts) {
    this.#p = parts;
    this.name = parts.name;
    this.where = parts.path;
    // A file is noted only when it is whole, so every noted event counts.
    const opened = WrittenLog.open(parts.name, parts.ports.disk, join(parts.stateFolder, "written"), () => undefined);
    this.#log = opened.log;
    this.#recent.took(opened.keys);
    this.#finish(opened.files);
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
    // A folder has no connection that could break.
  }

  async close(): Promise<void> {
    await this.#queue.idle();
    this.#log.close();
  }

  async #commit(batches: readonly Batch[]): Promise<void> {
    const {
      access,
      ports: { disk },
    } = this.#p;
    try {
      makeFolderForReaders(disk, this.where, access);
      const file = join(this.where, this.#nextName());
      const part = join(this.where, `.${basename(file)}${PART}`);
      const keys = batches.flatMap((batch) => batch.keys);
      let noted = false;
      try {
        const fd = openForReaders(disk, part, "wx", access);
        try {
          for (const piece of this.#pieces(batches)) writeWhole(disk, fd, piece);
          await syncFile(disk, fd);
        } finally {
          disk.closeSync(fd);
        }
        if (keys.length > 0)
          this.#log.note(
            file,
            keys.map((key) => ({ size: 0, key })),
          );
        noted = keys.length > 0;
        await renameOver(this.#p.ports, part, file);
      } catch (error) {
        this.#remove(part);
        if (noted) this.#log.rollback();
        throw error;
      }
      await syncFolder(this.#p.ports, this.where);
      this.#deleteOld();
      this.#recent.took(keys);
    } catch (error) {
      throw outputUnwritable(this.name, this.where, error);
    }
  }

  /** After a write and at most hourly: a folder may hold very many files. */
  #deleteOld(): void {
    const {
      keepDays,
      clock,
      ports: { disk },
    } = this.#p;
    const nowMs = clock.monotonicMs();
    if (keepDays === 0 || nowMs < this.#deleteNextMs) return;
    this.#deleteNextMs = nowMs + DELETE_EVERY_MS;
    const oldest = stampOf(clock.nowMs() - keepDays * DAY_MS);
    for (const name of disk.readdirSync(this.where)) {
      const stamp = OWN_NAME.exec(name)?.[1];
      if (stamp === undefined || stamp >= oldest) continue;
      try {
        disk.unlinkSync(join(this.where, name));
      } catch {
        // The connector may have taken it just now; else the next hour tries again.
      }
    }
  }

  #pieces(batches: readonly Batch[]): readonly Uint8Array[] {
    if (this.#p.content === "lines") return batches.map(({ bytes }) => bytes);
    const text = Buffer.concat(batches.map(({ bytes }) => bytes))
      .toString("utf8")
      .trimEnd();
    return [Buffer.from(`[${text.replaceAll("\n", ",\n")}]\n`, "utf8")];
  }

  #nextName(): string {
    // A clock that was set back must not make a name that sorts before an earlier file's.
    const nowMs = Math.max(this.#p.clock.nowMs(), this.#lastStampMs);
    this.#sequence = nowMs === this.#lastStampMs ? this.#sequence + 1 : 0;
    this.#lastStampMs = nowMs;
    const stamp = stampOf(nowMs);
    return `${STEM}${stamp}-${String(this.#sequence).padStart(4, "0")}.${this.#p.content === "lines" ? "cef" : "json"}`;
  }

  /** What an earlier run left aside is whole if it was noted. */
  #finish(noted: ReadonlySet<string>): void {
    const { disk } = this.#p.ports;
    let names: readonly string[];
    try {
      names = disk.readdirSync(this.where);
    } catch {
      return;
    }
    for (const name of names) {
      if (!name.startsWith(`.${STEM}`) || !name.endsWith(PART)) continue;
      const file = join(this.where, name.slice(1, -PART.length));
      try {
        if (noted.has(file)) disk.renameSync(join(this.where, name), file);
        else this.#remove(join(this.where, name));
      } catch (error) {
        throw outputUnwritable(this.name, file, error);
      }
    }
  }

  #remove(part: string): void {
    try {
      this.#p.ports.disk.unlinkSync(part);
    } catch {
      // It was never made, or the next start finds it.
    }
  }
}
