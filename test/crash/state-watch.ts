import { type FSWatcher, readdirSync, watch } from "node:fs";
import { join } from "node:path";

/**
 * Tells of every change of a name in a folder and all below it (made, renamed, removed), counted from 1. It
 * looks from outside (inotify), so it comes a moment after the change, and names made in a folder before that
 * folder was noticed are counted once, when it is.
 */
export function watchNames(folder: string, changed: (n: number) => void): { close(): void } {
  const watchers = new Map<string, FSWatcher>();
  let count = 0;
  let closed = false;
  const tell = (): void => {
    count += 1;
    if (!closed) changed(count);
  };
  const follow = (path: string): void => {
    if (closed || watchers.has(path)) return;
    let names: readonly { isDirectory(): boolean; name: string }[];
    try {
      watchers.set(
        path,
        watch(path, (event, name) => {
          if (event !== "rename" || closed) return;
          tell();
          if (name !== null) follow(join(path, name));
        }),
      );
      names = readdirSync(path, { withFileTypes: true });
    } catch {
      // A file, or gone already.
      watchers.get(path)?.close();
      watchers.delete(path);
      return;
    }
    for (const entry of names) if (entry.isDirectory()) follow(join(path, entry.name));
  };
  follow(folder);
  return {
    close() {
      closed = true;
      for (const watcher of watchers.values()) watcher.close();
    },
  };
}
