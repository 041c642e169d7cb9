import { chmodSync, chownSync, statSync } from "node:fs";

/**
 * Who may read this file now; call the result when it has been replaced by a new one of ours (0600). Owner
 * and group stay, and so does a group that alone was let in: a service with an account of its own reads its
 * configuration that way. What everybody could read is afterwards its owner's alone. Where the account may
 * not give the file away it stays ours, 0600.
 */
export function readersOf(path: string, platform: NodeJS.Platform = process.platform): () => void {
  const before = platform === "win32" ? undefined : statSync(path, { throwIfNoEntry: false });
  if (before === undefined) return () => undefined;
  const forGroup = (before.mode & 0o007) === 0 ? before.mode & 0o040 : 0;
  return () => {
    try {
      chownSync(path, before.uid, before.gid);
      chmodSync(path, 0o600 | forGroup);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
    }
  };
}
