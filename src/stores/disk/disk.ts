import * as fs from "node:fs";
import { resolve as absolute, dirname } from "node:path";
import { errnoOf } from "../../model/errno.ts";
import { Failure } from "../../model/failure.ts";
import type { Clock } from "../../model/ports.ts";

export { errnoOf } from "../../model/errno.ts";

/** The file system as the stores use it; tests pass one that fails at chosen calls. */
export type Disk = Pick<
  typeof fs,
  | "chmodSync"
  | "chownSync"
  | "closeSync"
  | "existsSync"
  | "fchownSync"
  | "fdatasync"
  | "fdatasyncSync"
  | "fstatSync"
  | "fsync"
  | "ftruncateSync"
  | "mkdirSync"
  | "openSync"
  | "readFile"
  | "readFileSync"
  | "readSync"
  | "readdirSync"
  | "readlinkSync"
  | "realpathSync"
  | "renameSync"
  | "rmdirSync"
  | "statSync"
  | "unlinkSync"
  | "writeFileSync"
  | "writeSync"
>;

export const realDisk: Disk = fs;

/** What every store needs from outside. `platform` decides only how a refused rename is treated. */
export interface DiskPorts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly platform: NodeJS.Platform;
}

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

interface Reason {
  readonly say: string;
  readonly nextStep: string;
}

const NO_SPACE = "Free disk space. Collection resumes by itself.";
const GRANT = "Give the account that runs this program the right to write there. Collection resumes by itself.";
const OPEN_FILES = "Raise the limit of open files (in a systemd unit LimitNOFILE=), then restart this program.";

/** errno → what an operator reads; any other errno is named by its code. Source: errno(3). */
const REASONS: Readonly<Record<string, Reason>> = {
  ENOSPC: { say: "the disk is full", nextStep: NO_SPACE },
  EDQUOT: { say: "the disk quota is used up", nextStep: NO_SPACE },
  EROFS: {
    say: "the file system is read-only",
    nextStep:
      "Set `state_dir` to a folder on a writable file system, or allow this one in the systemd unit (ReadWritePaths=).",
  },
  EACCES: { say: "this account has no write access", nextStep: GRANT },
  EPERM: { say: "this account has no write access", nextStep: GRANT },
  ENOENT: {
    say: "the folder is gone",
    nextStep: "Find out what removes the folder. The next write makes it again.",
  },
  ENOTDIR: { say: "a part of the path is a file, not a folder", nextStep: "Set `state_dir` to a folder." },
  EEXIST: {
    say: "a part of the path is a file or a symlink that leads nowhere, not a folder",
    nextStep: "Set `state_dir` to a folder, or correct the symlink.",
  },
  EBUSY: {
    say: "another program has it open, for example a virus scanner or a backup",
    nextStep: "Exclude the folder from scans and from backups of open files. Collection resumes by itself.",
  },
  EIO: { say: "the disk reports an error", nextStep: "Check the disk. Collection resumes by itself." },
  EMFILE: { say: "this process has too many files open", nextStep: OPEN_FILES },
  ENFILE: { say: "this machine has too many files open", nextStep: OPEN_FILES },
};

/**
 * Turns an errno error into the Failure an operator can act on; any other error is a defect and is returned
 * unchanged.
 */
export function stateUnwritable(path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const { say, nextStep } = reasonOf(errno);
  return new Failure("state-unwritable", {
    actor: "operator",
    retry: { when: "later" },
    say: `The state file ${path} cannot be written: ${say}. What was stored before is intact.`,
    nextStep,
    cause: error,
  });
}

function reasonOf(errno: string): Reason {
  return (
    REASONS[errno] ?? { say: errno, nextStep: "Free disk space or grant write access. Collection resumes by itself." }
  );
}

/**
 * The file's bytes, or undefined when there is none. Throws Failure `state-unreadable` when it is there but
 * cannot be read.
 */
export function readIfThere(disk: Disk, path: string): Buffer | undefined {
  try {
    return disk.readFileSync(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw stateUnreadable(path, error);
  }
}

export function stateUnreadable(path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  return new Failure("state-unreadable", {
    actor: "operator",
    retry: { when: "later" },
    say: `The state file ${path} cannot be read: ${errno === "EACCES" || errno === "EPERM" ? "this account may not read it" : reasonOf(errno).say}.`,
    nextStep: "Give the account that runs this program the right to read it.",
    cause: error,
  });
}

export function makeFolder(disk: Disk, path: string): void {
  try {
    makeFolders(disk, path, FOLDER_MODE);
  } catch (error) {
    throw folderUnusable(disk, path, error);
  }
}

/** Why the state folder cannot be used; an error without an errno is a defect and is returned unchanged. */
export function folderUnusable(disk: Disk, path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const reason = reasonOf(errno);
  const file = errno === "EEXIST" || errno === "ENOTDIR" ? fileInPath(disk, path) : undefined;
  const { say, nextStep } =
    file !== undefined
      ? { say: `${file} is a file, not a folder`, nextStep: "Set `state_dir` to a folder." }
      : errno === "ENOENT"
        ? { say: "no folder can be created there", nextStep: "Set `state_dir` to a folder on a disk." }
        : reason;
  return new Failure("state-unwritable", {
    actor: "operator",
    retry: { when: "later" },
    say: `The state folder ${path} cannot be used: ${say}.`,
    nextStep,
    cause: error,
  });
}

/** The path, or the part of it, that is there but is not a folder. */
function fileInPath(disk: Disk, path: string): string | undefined {
  let there = absolute(path);
  while (!disk.existsSync(there) && dirname(there) !== there) there = dirname(there);
  return disk.statSync(there).isDirectory() ? undefined : there;
}

/**
 * Creates the folder and the missing ones above it. The runtime's own way (`recursive`) never returns for a
 * path below /proc, where a folder that is there may refuse new ones with ENOENT.
 *
 * @param made is called for each new folder, from the top.
 */
export function makeFolders(
  disk: Disk,
  path: string,
  mode: number,
  made: (folder: string) => void = () => undefined,
): void {
  const missing: string[] = [];
  let there = absolute(path);
  for (; !disk.existsSync(there) && dirname(there) !== there; there = dirname(there)) missing.push(there);
  if (missing.length === 0 && !disk.statSync(there).isDirectory())
    throw Object.assign(new Error(`${there} is not a folder`), { code: "EEXIST" });
  for (const folder of missing.reverse()) {
    try {
      disk.mkdirSync(folder, { mode });
    } catch (error) {
      // Another process may have been faster. A dangling symlink is there too, but is not a folder.
      if (errnoOf(error) === "EEXIST" && disk.existsSync(folder)) continue;
      throw error;
    }
    made(folder);
  }
}

/** Opens for appending, made with 0600 when it is new. */
export function openForAppend(disk: Disk, path: string): number {
  return disk.openSync(path, "a", FILE_MODE);
}

export function writeWhole(disk: Disk, fd: number, bytes: Uint8Array): void {
  let at = 0;
  while (at < bytes.length) at += disk.writeSync(fd, bytes, at, bytes.length - at);
}

export function syncFile(disk: Disk, fd: number): Promise<void> {
  return new Promise((resolve, reject) => disk.fsync(fd, (error) => (error ? reject(error) : resolve())));
}

export function syncFileContent(disk: Disk, fd: number): Promise<void> {
  return new Promise((resolve, reject) => disk.fdatasync(fd, (error) => (error ? reject(error) : resolve())));
}

/**
 * What a killed process wrote may still be in memory only: this puts it on the disk. Throws Failure
 * `state-unwritable`.
 */
export function syncLeftFile(disk: Disk, path: string): void {
  try {
    // Windows flushes only what is open for writing.
    const fd = disk.openSync(path, "r+");
    try {
      disk.fdatasyncSync(fd);
    } finally {
      disk.closeSync(fd);
    }
  } catch (error) {
    throw stateUnwritable(path, error);
  }
}

/**
 * Makes a rename in this folder survive a crash of the host. Windows has no such call and journals renames
 * itself.
 */
export async function syncFolder(ports: DiskPorts, path: string): Promise<void> {
  if (ports.platform === "win32") return;
  const fd = ports.disk.openSync(path, "r");
  try {
    await syncFile(ports.disk, fd);
  } finally {
    ports.disk.closeSync(fd);
  }
}

const RENAME_REFUSED = new Set(["EPERM", "EACCES", "EBUSY"]);
const RENAME_RETRIED_FOR_MS = 2_000;
const RENAME_PAUSE_MS = 50;

/**
 * Renames over what is there. On Windows a virus scanner or backup that has the target open makes this fail
 * for a moment with EPERM, EACCES or EBUSY, so it is tried for 2 s.
 */
export async function renameOver(ports: DiskPorts, from: string, to: string): Promise<void> {
  const began = ports.clock.monotonicMs();
  for (;;) {
    try {
      ports.disk.renameSync(from, to);
      return;
    } catch (error) {
      const mayPass = ports.platform === "win32" && RENAME_REFUSED.has(errnoOf(error) ?? "");
      if (!mayPass || ports.clock.monotonicMs() - began >= RENAME_RETRIED_FOR_MS) throw error;
      await ports.clock.pause(RENAME_PAUSE_MS);
    }
  }
}

/**
 * Writes beside the target and flushes; the target is untouched until the caller renames. Returns the path
 * written.
 */
export async function writeAside(ports: DiskPorts, path: string, bytes: Uint8Array): Promise<string> {
  const aside = `${path}.new`;
  const fd = ports.disk.openSync(aside, "w", FILE_MODE);
  try {
    writeWhole(ports.disk, fd, bytes);
    await syncFile(ports.disk, fd);
  } finally {
    ports.disk.closeSync(fd);
  }
  return aside;
}

/**
 * Replaces a small file so that after any crash either the old or the new content is there. Throws Failure
 * `state-unwritable`.
 */
export async function replaceFile(ports: DiskPorts, path: string, bytes: Uint8Array): Promise<void> {
  try {
    makeFolder(ports.disk, dirname(path));
    const aside = await writeAside(ports, path, bytes);
    await renameOver(ports, aside, path);
    await syncFolder(ports, dirname(path));
  } catch (error) {
    throw stateUnwritable(path, error);
  }
}

export function removeIfThere(disk: Disk, path: string): void {
  try {
    disk.unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw stateUnwritable(path, error);
  }
}
