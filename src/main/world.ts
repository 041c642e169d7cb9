import { createHash } from "node:crypto";
import { readFileSync, realpathSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import manifest from "../../package.json" with { type: "json" };
import type { FileLook } from "../config/settings.ts";
import type { FingerprintOf } from "../model/endpoint-binding.ts";
import { endpointBinding } from "../model/endpoint-binding.ts";
import type { Clock, Log, Random } from "../model/ports.ts";

/** The only source of the version. */
export const VERSION: string = manifest.version;

/** The longest time of a runtime timer; longer timers would fire at once. */
const LONGEST_TIMER_MS = 2_147_483_647;

export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  pause(forMs, stop) {
    if (stop?.aborted || forMs <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stop?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(forMs, LONGEST_TIMER_MS));
      stop?.addEventListener("abort", done, { once: true });
    });
  },
};

export const realRandom: Random = { next: () => Math.random() };

export const realFiles: FileLook = {
  look(file) {
    try {
      const realPath = realpathSync(file);
      const stat = statSync(realPath);
      return {
        kind: stat.isFile() ? "file" : stat.isDirectory() ? "folder" : "other",
        realPath,
        openToOthers: process.platform !== "win32" && (stat.mode & 0o077) !== 0,
      };
    } catch {
      return { kind: "missing" };
    }
  },
};

/** The binding of secrets to the current endpoints, with the current content of the CA file. */
export const presentFingerprint: FingerprintOf = endpointBinding({
  readFile: (path) => readFileSync(path),
  sha256Hex: (bytes) => createHash("sha256").update(bytes).digest("hex"),
});

/** Undefined if the file does not exist or cannot be read. */
export async function readBytes(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file);
  } catch {
    return undefined;
  }
}

/**
 * Fires at the first stop signal of the system or splunkd (SIGBREAK is Windows' CTRL_BREAK).
 *
 * @param reload called at SIGHUP by a host that reads its configuration again; without it SIGHUP stops.
 */
export function stopSignal(reload?: () => void): AbortController {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT", "SIGBREAK"] as const) process.on(name, () => stop.abort(name));
  if (reload === undefined) process.on("SIGHUP", () => stop.abort("SIGHUP"));
  else if (process.platform !== "win32") process.on("SIGHUP", reload);
  return stop;
}

/**
 * Variables with which another user could weaken or redirect this program. SECURITY.md names those that the
 * runtime obeys anyway.
 */
const DISTRUSTED = [
  "NODE_OPTIONS",
  "NODE_TLS_REJECT_UNAUTHORIZED",
  "NODE_DEBUG",
  "NODE_EXTRA_CA_CERTS",
  "NODE_V8_COVERAGE",
  "NODE_USE_SYSTEM_CA",
  "SSLKEYLOGFILE",
  "SSL_CERT_DIR",
  "SSL_CERT_FILE",
] as const;

/** Variables that the runtime reads before this program's first line, so removing them is too late. */
const READ_BEFORE_US: ReadonlySet<string> = new Set(["NODE_DEBUG", "NODE_EXTRA_CA_CERTS", "NODE_V8_COVERAGE"]);

/** Names the variables that were set, one line each. */
export function warnOfDistrusted(variables: readonly string[], log: Pick<Log, "warn">): void {
  for (const variable of variables)
    log.warn(
      READ_BEFORE_US.has(variable)
        ? "an environment variable is set that the runtime obeys before this program starts; unset it where this program is started"
        : "an environment variable is ignored because it could weaken or redirect this program",
      { variable },
    );
}

/** Removes them from the environment before anything reads them, and returns those that were set. */
export function dropDistrustedVariables(environment: NodeJS.ProcessEnv): readonly string[] {
  const found = DISTRUSTED.filter((name) => environment[name] !== undefined && environment[name] !== "");
  for (const name of found) delete environment[name];
  return found;
}
