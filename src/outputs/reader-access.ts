import { dirname } from "node:path";
import type { OutputSettings } from "../config/arcsight-settings.ts";
import { type Disk, errnoOf, makeFolders, readIfThere } from "../stores/disk/disk.ts";

/** Who may read what an output writes: `.mode` and `.group`. */
export interface ReaderAccess {
  /** Of new files. New folders add x where it has r. */
  readonly mode: number;
  /** Name or number; undefined: the group of the folder in which a file or folder is created. */
  readonly group?: string | undefined;
}

/** Windows has neither. */
export function accessOf(
  { mode, group }: Pick<OutputSettings, "mode" | "group">,
  platform: NodeJS.Platform,
): ReaderAccess {
  return platform === "win32" ? { mode } : { mode, group };
}

/** What a file had that a new one takes the place of. */
export interface KeptAccess {
  readonly mode: number;
  readonly gid: number;
}

/** Codes beside those of errno(3); `output-failures.ts` has a sentence for each. */
const UNKNOWN_GROUP = "EGROUPUNKNOWN";
const NOT_IN_GROUP = "EGROUPDENIED";

/** Creates the folder and the missing ones above it, so that the readers can reach what is in it. */
export function makeFolderForReaders(disk: Disk, path: string, access: ReaderAccess): void {
  const mode = access.mode | ((access.mode & 0o444) >> 2);
  ignoringUmask(() =>
    makeFolders(disk, path, mode, (folder) => {
      const wanted = wantedGroup(disk, folder, access);
      if (disk.statSync(folder).gid === wanted) return;
      giveTo(
        access,
        () => disk.chownSync(folder, -1, wanted),
        () => disk.rmdirSync(folder),
      );
    }),
  );
}

/**
 * Opens a file to write to; one that exists keeps its mode and group.
 *
 * @param kept what a file had in whose place this one comes.
 */
export function openForReaders(
  disk: Disk,
  path: string,
  flags: "a" | "wx",
  access: ReaderAccess,
  kept?: KeptAccess,
): number {
  const isNew = flags === "wx" || !disk.existsSync(path);
  const fd = ignoringUmask(() => disk.openSync(path, flags, kept?.mode ?? access.mode));
  if (!isNew) return fd;
  try {
    const wanted = kept?.gid ?? wantedGroup(disk, path, access);
    if (disk.fstatSync(fd).gid !== wanted)
      giveTo(kept === undefined ? access : {}, () => disk.fchownSync(fd, -1, wanted));
  } catch (error) {
    // Left there, it would be an existing file at the next attempt, and so keep the wrong group.
    disk.closeSync(fd);
    disk.unlinkSync(path);
    throw error;
  }
  return fd;
}

/** Throws an error with a code of its own when the group of `.group` does not exist on this machine. */
export function groupIdOf(disk: Pick<Disk, "readFileSync">, group: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  const file = readIfThere(disk as Disk, "/etc/group")?.toString("utf8") ?? "";
  const line = file.split("\n").find((one) => one.startsWith(`${group}:`));
  const gid = Number(line?.split(":")[2]);
  if (line === undefined || !Number.isInteger(gid))
    throw Object.assign(new Error(`no group ${group}`), { code: UNKNOWN_GROUP });
  return gid;
}

function wantedGroup(disk: Disk, path: string, { group }: ReaderAccess): number {
  return group === undefined ? disk.statSync(dirname(path)).gid : groupIdOf(disk, group);
}

/**
 * Without a `.group` a file stays with this account's own group where the account may not give it to the
 * folder's: nobody asked for more.
 */
function giveTo({ group }: Pick<ReaderAccess, "group">, give: () => void, undo: () => void = () => undefined): void {
  try {
    give();
  } catch (error) {
    if (errnoOf(error) !== "EPERM") throw error;
    if (group === undefined) return;
    undo();
    throw Object.assign(new Error(`not in group ${group}`, { cause: error }), { code: NOT_IN_GROUP });
  }
}

/**
 * The mode is given at creation and not set afterwards: a later chmod would take the setgid bit off a new
 * folder and overrule the folder's default ACL, and between the two the readers would be refused. The umask
 * is the whole process's, so nothing may be awaited in `create`.
 */
function ignoringUmask<T>(create: () => T): T {
  const umask = process.umask(0);
  try {
    return create();
  } finally {
    process.umask(umask);
  }
}
