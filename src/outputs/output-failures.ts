import { Failure } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import { errnoOf } from "../stores/disk/disk.ts";
import type { SpoolParts } from "./spool.ts";

/**
 * errno → what an operator reads. Source: errno(3). Linux does not have EFTYPE; this program uses it for what
 * is not a file, EDANGLING for a symlink that leads nowhere, and EGROUP… for `.group`.
 */
const REASONS: Readonly<
  Record<string, { readonly code: "output-full" | "output-broken"; readonly say: string; readonly nextStep: string }>
> = {
  ENOSPC: { code: "output-full", say: "the disk is full", nextStep: "Free disk space. Collection resumes by itself." },
  EDQUOT: {
    code: "output-full",
    say: "the disk quota is used up",
    nextStep: "Free disk space. Collection resumes by itself.",
  },
  EACCES: {
    code: "output-broken",
    say: "this account has no write access",
    nextStep: "Grant the service's account write access.",
  },
  EPERM: {
    code: "output-broken",
    say: "this account has no write access",
    nextStep: "Grant the service's account write access.",
  },
  EROFS: {
    code: "output-broken",
    say: "the file system is read-only",
    nextStep: "Choose another path, or allow this one in the systemd unit (ReadWritePaths=).",
  },
  EBUSY: {
    code: "output-broken",
    say: "another program has it open, for example a virus scanner or a backup",
    nextStep: "Exclude it from scans and from backups of open files. Collection resumes by itself.",
  },
  EIO: {
    code: "output-broken",
    say: "the disk reports an error",
    nextStep: "Check the disk. Collection resumes by itself.",
  },
  EISDIR: {
    code: "output-broken",
    say: "it is a folder, not a file",
    nextStep: "Add the file's name to .path.",
  },
  EFTYPE: {
    code: "output-broken",
    say: "it is a pipe or a device, not a file",
    nextStep: "Choose the path of a file, or send syslog to the connector.",
  },
  ENOENT: {
    code: "output-broken",
    say: "no file or folder can be created there",
    nextStep: "Choose another path.",
  },
  EDANGLING: {
    code: "output-broken",
    say: "it is a symlink to a file that does not exist",
    nextStep: "Create that file, or correct the symlink.",
  },
  ELOOP: {
    code: "output-broken",
    say: "its symlinks lead back to themselves",
    nextStep: "Correct the symlinks, or choose another path.",
  },
  EGROUPUNKNOWN: {
    code: "output-broken",
    say: "the group in .group does not exist on this machine",
    nextStep: "Correct .group, or write the group's number.",
  },
  EGROUPDENIED: {
    code: "output-broken",
    say: "this account is not a member of the group in .group",
    nextStep: "Add the account to that group, or correct .group.",
  },
  EEXIST: {
    code: "output-broken",
    say: "a part of the path is a file or a symlink that leads nowhere, not a folder",
    nextStep: "Choose another path, or correct the symlink.",
  },
  ENOTDIR: {
    code: "output-broken",
    say: "a part of the path is a file, not a folder",
    nextStep: "Choose another path.",
  },
};

/**
 * Turns an errno error into the Failure an operator can act on; any other error is a defect and is returned.
 */
export function outputUnwritable(name: string, path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const known = REASONS[errno];
  return new Failure(known?.code ?? "output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: ${path} cannot be written: ${known?.say ?? errno}. Nothing is lost, the events are collected again later.`,
    nextStep: known?.nextStep ?? "Check the disk and the folder. Collection resumes by itself.",
    cause: error,
  });
}

/** What an output says of its spool's files. */
export function spoolReports(
  { name, where, log }: { readonly name: string; readonly where: string; readonly log: Log },
  folder: string,
): Pick<SpoolParts, "onSkipped" | "onUndeletable"> {
  return {
    onSkipped: (bytes) =>
      log.error(
        `${name}: ${bytes} bytes of events in the spool ${folder} are damaged or deleted. They are lost for ${where}; all others are sent.`,
        {
          output: name,
          next_step: `Check the disk, and find out what changes files in ${folder}. The lost alerts are still in Microsoft Defender's portal.`,
        },
      ),
    onUndeletable(file) {
      if (file === undefined) return log.info("files that are no longer needed were deleted", { output: name, folder });
      const errno = errnoOf(file.error) ?? "";
      const { say, nextStep } = REASONS[errno] ?? { say: errno, nextStep: "Check the disk and the folder." };
      log.error(
        `${name}: ${file.path} cannot be deleted: ${say}. Its events are delivered. After a crash they are sent to ${where} again with the same keys. It is tried again.`,
        { output: name, failure: "output-broken", next_step: nextStep },
      );
    },
  };
}

export function spoolFull(name: string, where: string, limitBytes: number): Failure {
  return new Failure("output-full", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: ${where} accepts no events and its spool of ${Math.round(limitBytes / 1_048_576)} MiB is full, so collection waits. Nothing is lost.`,
    nextStep: "Start the receiver again, and collection resumes by itself. Raise .spool_mib for longer outages.",
  });
}
