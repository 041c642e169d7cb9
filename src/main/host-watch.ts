import { fstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Clock } from "../model/ports.ts";

/** What the system tells about the program that started this one and reads its output. */
export interface HostSigns {
  /** The parent, and above a shell the shell's parent too. */
  readonly ancestors: () => readonly number[];
  readonly isAlive: (pid: number) => boolean;
  /** `file`: also a device. */
  readonly output: () => "pipe" | "file" | "other";
  /** Undefined where the system does not tell it. */
  readonly pipeHasReader: () => boolean | undefined;
}

const LOOK_EVERY_MS = 1_000;

/**
 * Resolves true when the host has ended, false at the stop. A write would notice it too, but a program whose
 * customers are quiet writes once an hour, and until then it holds the state folder that splunkd's next start
 * needs.
 *
 * The host has ended when the parent has, unless another process still reads the pipe. An output into a file
 * needs no host.
 */
export async function hostGone(signs: HostSigns, clock: Pick<Clock, "pause">, stop: AbortSignal): Promise<boolean> {
  const output = signs.output();
  const first = signs.ancestors();
  const areThere = (): boolean => {
    const now = signs.ancestors();
    return first.every((pid, at) => isSame(now[at], pid) && signs.isAlive(pid));
  };
  // A parent that had ended before says nothing.
  const isWatched = output !== "file" && first.every((pid) => pid > 1) && areThere();
  for (;;) {
    await clock.pause(LOOK_EVERY_MS, stop);
    if (stop.aborted) return false;
    if (isWatched && !areThere() && !(output === "pipe" && signs.pipeHasReader() === true)) return true;
  }
}

/** What could not be read is not another parent. */
function isSame(now: number | undefined, before: number): boolean {
  return now === undefined || now <= 0 || now === before;
}

const SHELLS = /^(sh|bash|dash|ksh|zsh)$/;

export const realHostSigns: HostSigns = {
  ancestors() {
    const parent = process.ppid;
    const known = process.platform === "linux" ? parentOf(parent) : undefined;
    return known !== undefined && SHELLS.test(known.name) ? [parent, known.parent] : [parent];
  },
  isAlive(pid) {
    try {
      process.kill(pid, 0);
      return true;
    } catch (error) {
      // EPERM: it belongs to another account.
      return (error as NodeJS.ErrnoException).code !== "ESRCH";
    }
  },
  output() {
    try {
      const stat = fstatSync(1);
      return stat.isFIFO() ? "pipe" : stat.isFile() || stat.isCharacterDevice() ? "file" : "other";
    } catch {
      // Windows does not describe every pipe.
      return "other";
    }
  },
  pipeHasReader() {
    if (process.platform !== "linux") return undefined;
    try {
      const pipe = readlinkSync("/proc/self/fd/1");
      return readdirSync("/proc").some((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid && reads(pid, pipe));
    } catch {
      return undefined;
    }
  },
};

/** From /proc/<pid>/stat: `50 (name) S 1 …` (proc(5)). */
function parentOf(pid: number): { readonly name: string; readonly parent: number } | undefined {
  try {
    const [, name, parent] = /\((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "latin1")) ?? [];
    return name === undefined ? undefined : { name, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

/** Whether a process has this pipe open for reading; false for one of another account, which is hidden. */
function reads(pid: string, pipe: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some(
      (fd) =>
        readlinkSync(`/proc/${pid}/fd/${fd}`) === pipe &&
        /^flags:\s*\d*[02]$/m.test(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1")),
    );
  } catch {
    return false;
  }
}
