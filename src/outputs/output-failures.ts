import { Failure } from "../model/failure.ts";
import { errnoOf } from "../stores/disk/disk.ts";

/**
 * errno → what an operator is told. Source: errno(3); EFTYPE, which Linux does not have, is our own for what
 * is no file.
 */
const REASONS: Readonly<
  Record<string, { readonly code: "output-full" | "output-broken"; readonly say: string; readonly nextStep: string }>
> = {
  ENOSPC: { code: "output-full", say: "the disk is full", nextStep: "Make room; collecting goes on by itself." },
  EDQUOT: {
    code: "output-full",
    say: "the disk quota is used up",
    nextStep: "Make room; collecting goes on by itself.",
  },
  EACCES: {
    code: "output-broken",
    say: "this account may not write there",
    nextStep: "Give the service's account the right to write there.",
  },
  EPERM: {
    code: "output-broken",
    say: "this account may not write there",
    nextStep: "Give the service's account the right to write there.",
  },
  EROFS: {
    code: "output-broken",
    say: "the file system is read-only",
    nextStep: "Choose another path, or allow this one in the systemd unit (ReadWritePaths=).",
  },
  EISDIR: {
    code: "output-broken",
    say: "a folder stands where the file should be",
    nextStep: "Write the file's name behind the folder in .path.",
  },
  EFTYPE: {
    code: "output-broken",
    say: "a pipe or a device stands where the file should be",
    nextStep: "Choose the path of a file, or send syslog to the connector.",
  },
  ENOTDIR: { code: "output-broken", say: "a file stands where a folder should be", nextStep: "Choose another path." },
};

/** Turns an errno error into the Failure an operator can act on; a defect of ours is handed back as it is. */
export function outputUnwritable(name: string, path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const known = REASONS[errno];
  return new Failure(known?.code ?? "output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: ${path} cannot be written: ${known?.say ?? errno}. Nothing is lost, the events are collected again later.`,
    nextStep: known?.nextStep ?? "Look at the disk and the folder; collecting goes on by itself.",
    cause: error,
  });
}

export function spoolFull(name: string, where: string, limitBytes: number): Failure {
  return new Failure("output-full", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: ${where} takes nothing and the ${Math.round(limitBytes / 1_048_576)} MiB kept for it on disk are used up, so collecting waits. Nothing is lost.`,
    nextStep: "Bring the receiver back; collecting then goes on by itself. Raise .spool_mib for longer outages.",
  });
}
