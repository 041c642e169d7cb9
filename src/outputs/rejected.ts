import { join } from "node:path";
import type { Clock } from "../model/ports.ts";
import { type Disk, makeFolder, readIfThere, removeIfThere, syncFile, writeWhole } from "../stores/disk/disk.ts";

const FILE_MODE = 0o600;
const NAME = /^\d{8}T\d{9}Z-\d+\.json$/;

/** An event that a receiver refuses for good, with what a person needs to judge it. */
export interface RejectedEvent {
  readonly time: string;
  /** `outputs[0]`, as it was named then. */
  readonly output: string;
  readonly where: string;
  /** Empty for an event that holds no version of an object: health, a notice. */
  readonly key: string;
  readonly reason: string;
  /** The line as the output sends it, without its line break. */
  readonly event: string;
}

export interface RejectedFile extends RejectedEvent {
  readonly path: string;
  /** Folder of the output's rejected events. */
  readonly folder: string;
}

/** The rejected events of all outputs: `<state_dir>/rejected/<output>/<time>-<n>.json`. */
export class RejectedEvents {
  readonly #root: string;
  readonly #disk: Disk;
  readonly #clock: Clock;
  #n = 0;

  constructor(stateDir: string, disk: Disk, clock: Clock) {
    this.#root = join(stateDir, "rejected");
    this.#disk = disk;
    this.#clock = clock;
  }

  /**
   * Keeps the event; it survives a crash of the host afterwards. Throws an errno error or Failure
   * `state-unwritable`.
   *
   * @param output names the folder.
   */
  async park(output: string, event: Omit<RejectedEvent, "time">): Promise<string> {
    const disk = this.#disk;
    const folder = join(this.#root, output);
    makeFolder(disk, folder);
    const time = new Date(this.#clock.nowMs()).toISOString();
    this.#n += 1;
    const path = join(folder, `${time.replace(/[-:.]/g, "")}-${this.#n}.json`);
    // A file of an earlier run with the same name must not be overwritten.
    const fd = disk.openSync(path, "wx", FILE_MODE);
    try {
      writeWhole(disk, fd, Buffer.from(`${JSON.stringify({ time, ...event })}\n`));
      await syncFile(disk, fd);
    } catch (error) {
      removeIfThere(disk, path);
      throw error;
    } finally {
      disk.closeSync(fd);
    }
    return path;
  }

  /** All of them, oldest first. A file that cannot be read as one is left out. */
  list(): readonly RejectedFile[] {
    return this.#namesIn(this.#root)
      .flatMap((output) => {
        const folder = join(this.#root, output);
        return this.#namesIn(folder)
          .filter((name) => NAME.test(name))
          .flatMap((name) => this.#read(folder, name));
      })
      .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  }

  remove({ path }: Pick<RejectedFile, "path">): void {
    removeIfThere(this.#disk, path);
  }

  #read(folder: string, name: string): readonly RejectedFile[] {
    const path = join(folder, name);
    try {
      const { time, output, where, key, reason, event } = JSON.parse(
        readIfThere(this.#disk, path)?.toString("utf8") ?? "",
      ) as Record<string, unknown>;
      const texts = [time, output, where, key, reason, event];
      if (!texts.every((one) => typeof one === "string")) return [];
      const [t, o, w, k, r, e] = texts as [string, string, string, string, string, string];
      return [{ time: t, output: o, where: w, key: k, reason: r, event: e, path, folder }];
    } catch {
      return [];
    }
  }

  #namesIn(folder: string): readonly string[] {
    try {
      return this.#disk.readdirSync(folder).sort();
    } catch {
      return [];
    }
  }
}
