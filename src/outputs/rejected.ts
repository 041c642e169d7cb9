import { join } from "node:path";
import { Failure, isFailure } from "../model/failure.ts";
import type { Clock } from "../model/ports.ts";
import {
  type Disk,
  errnoOf,
  makeFolder,
  readIfThere,
  removeIfThere,
  stateUnreadable,
  syncFile,
  writeWhole,
} from "../stores/disk/disk.ts";

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

  /**
   * All of them, oldest first.
   *
   * @param unreadable gets Failure `state-unreadable` for each file or folder that is left out.
   */
  list(unreadable: (failure: Failure) => void): readonly RejectedFile[] {
    return this.#namesIn(this.#root, unreadable)
      .flatMap((output) => {
        const folder = join(this.#root, output);
        return this.#namesIn(folder, unreadable)
          .filter((name) => NAME.test(name))
          .flatMap((name) => this.#read(folder, name, unreadable));
      })
      .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  }

  remove({ path }: Pick<RejectedFile, "path">): void {
    removeIfThere(this.#disk, path);
  }

  #read(folder: string, name: string, unreadable: (failure: Failure) => void): readonly RejectedFile[] {
    const path = join(folder, name);
    try {
      const text = readIfThere(this.#disk, path)?.toString("utf8");
      // It was sent again and removed meanwhile.
      if (text === undefined) return [];
      const { time, output, where, key, reason, event } = objectIn(text);
      const texts = [time, output, where, key, reason, event];
      if (!texts.every((one) => typeof one === "string")) throw damaged(path);
      const [t, o, w, k, r, e] = texts as [string, string, string, string, string, string];
      return [{ time: t, output: o, where: w, key: k, reason: r, event: e, path, folder }];
    } catch (error) {
      if (!isFailure(error)) throw error;
      unreadable(error);
      return [];
    }
  }

  #namesIn(folder: string, unreadable: (failure: Failure) => void): readonly string[] {
    try {
      return this.#disk.readdirSync(folder).sort();
    } catch (error) {
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
      const failure = stateUnreadable(folder, error);
      if (!isFailure(failure)) throw failure;
      unreadable(failure);
      return [];
    }
  }
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function damaged(path: string): Failure {
  return new Failure("state-unreadable", {
    actor: "operator",
    retry: { when: "never" },
    say: `The file ${path} is damaged, so the rejected event in it cannot be shown or sent again.`,
    nextStep:
      "Check the disk. The alert is still in Microsoft Defender's portal; delete the file once you have seen it.",
  });
}
