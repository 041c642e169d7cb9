import { statSync } from "node:fs";
import { errnoOf } from "../../model/errno.ts";

/** What the file system says of a file, unread: another text after each change of content or mode. */
export type StampOf = (file: string) => string;

/** Follows links. A file that cannot be reached has the reason as its stamp. */
export const realStampOf: StampOf = (file) => {
  try {
    const { mtimeNs, ctimeNs, size, ino, dev } = statSync(file, { bigint: true });
    return [mtimeNs, ctimeNs, size, ino, dev].join(".");
  } catch (error) {
    return errnoOf(error) ?? "unknown";
  }
};

/** Files of which a change is to be noticed, without reading them. */
export class FileStamps {
  readonly #stampOf: StampOf;
  readonly #stamps = new Map<string, string>();

  constructor(stampOf: StampOf) {
    this.#stampOf = stampOf;
  }

  /** Call it before the file is read, so that a later change is noticed. A known file keeps its stamp. */
  add(file: string): void {
    if (!this.#stamps.has(file)) this.#stamps.set(file, this.#stampOf(file));
  }

  /** The files that changed since the last call, or since they were added. */
  changed(): ReadonlySet<string> {
    const changed = new Set<string>();
    for (const [file, before] of this.#stamps) {
      const now = this.#stampOf(file);
      if (now === before) continue;
      this.#stamps.set(file, now);
      changed.add(file);
    }
    return changed;
  }
}
