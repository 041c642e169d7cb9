import { chmodSync, chownSync, statSync } from "node:fs";

/**
 * Records who can read this file now. Call the result after this program has replaced the file (0600). Owner
 * and group are kept, and so is read access for the group alone, because a service with its own account may
 * read its configuration that way. A file that everybody could read is then readable only by its owner. If
 * the account cannot change the owner, the file stays with this account, 0600.
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
