import { createHash } from "node:crypto";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "../../model/failure.ts";
import type { Clock, Log } from "../../model/ports.ts";
import { type Disk, errnoOf, removeIfThere } from "./disk.ts";

/** `for-ever`: another run takes over when the holder ends. `10s`: a command gives up. */
export type LockWait = "for-ever" | "10s";

const TRY_EVERY_MS = 2_000;
const SAY_EVERY_MS = 60_000;
const GIVE_UP_AFTER_MS = 10_000;
const ASK_HOLDER_MS = 1_000;

export interface HeldLock {
  release(): Promise<void>;
}

export interface LockPorts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  readonly platform: NodeJS.Platform;
}

/**
 * The address that stands for a folder. Linux: a name in the abstract socket space, which has no file;
 * Windows: a named pipe. Both vanish with the process that holds them, however it ends. Elsewhere it is a
 * socket file, which is stale when no process answers. docs/decisions/state-lock.md says why.
 */
export function lockAddressOf(realFolder: string, platform: NodeJS.Platform): string {
  const known = platform === "win32" ? realFolder.toLowerCase() : realFolder;
  const name = `defender-mssp-${createHash("sha256").update(known, "utf8").digest("hex").slice(0, 40)}`;
  if (platform === "linux") return `\0${name}`;
  if (platform === "win32") return `\\\\.\\pipe\\${name}`;
  return join(tmpdir(), `${name}.sock`);
}

/**
 * Takes the folder for this process. Waits as `wait` says, trying every 2 s and logging it each minute.
 * Throws Failure `state-locked` after 10 s (`10s`) or when `stop` fires.
 */
export async function takeLock(
  folder: string,
  ports: LockPorts,
  wait: LockWait,
  stop?: AbortSignal,
): Promise<HeldLock> {
  const address = lockAddressOf(ports.disk.realpathSync(folder), ports.platform);
  const isFile = ports.platform !== "linux" && ports.platform !== "win32";
  const began = ports.clock.monotonicMs();
  let saidAt: number | undefined;
  for (;;) {
    const server = await listen(address);
    if (server) return { release: () => close(server) };
    const holder = await askHolder(address);
    if (isFile && holder.kind === "nobody") {
      removeIfThere(ports.disk, address);
      continue;
    }
    const now = ports.clock.monotonicMs();
    if (stop?.aborted || (wait === "10s" && now - began >= GIVE_UP_AFTER_MS)) throw stateLocked(folder, holder.pid);
    if (wait === "for-ever" && (saidAt === undefined || now - saidAt >= SAY_EVERY_MS)) {
      ports.log.warn("the state folder is held by another process; waiting for it to end", {
        folder,
        holder_pid: holder.pid,
        next_step: "Stop that process, or set another `state_dir`.",
      });
      saidAt = now;
    }
    await ports.clock.pause(TRY_EVERY_MS, stop);
  }
}

function stateLocked(folder: string, pid: number | undefined): Failure {
  return new Failure("state-locked", {
    actor: "operator",
    retry: { when: "later" },
    say: `The state folder ${folder} is in use by ${pid === undefined ? "another process" : `process ${pid}`}.`,
    nextStep: "Stop that process first, or give this command another --state folder.",
  });
}

function listen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.end(`${process.pid}\n`);
    });
    server.once("error", (error) => {
      const errno = errnoOf(error);
      if (errno === "EADDRINUSE" || errno === "EACCES") resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => {
      // The lock alone must not keep the process alive.
      server.unref();
      resolve(server);
    });
  });
}

/** Who answers at the address; a holder that is stopped in a debugger does not answer but still holds it. */
function askHolder(address: string): Promise<{ readonly kind: "held" | "nobody"; readonly pid?: number }> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(address);
    const silent = setTimeout(() => done({ kind: "held" }), ASK_HOLDER_MS);
    const done = (answer: { kind: "held" | "nobody"; pid?: number }): void => {
      clearTimeout(silent);
      socket.destroy();
      resolve(answer);
    };
    socket.setEncoding("latin1");
    socket.on("data", (piece: string) => (text += piece));
    socket.once("error", (error) =>
      done({ kind: errnoOf(error) === "ECONNREFUSED" || errnoOf(error) === "ENOENT" ? "nobody" : "held" }),
    );
    socket.once("end", () => {
      const pid = /^\d+\n$/.test(text) ? Number(text) : undefined;
      done(pid === undefined ? { kind: "held" } : { kind: "held", pid });
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
