import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

export type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * Splunk ships OpenSSL's stock configuration; every process it starts inherits the variable that points to
 * it.
 */
const OPENSSL_CNF = `HOME = .\n\n[ req ]\ndefault_bits = 2048\ndistinguished_name = req_distinguished_name\n\n[ req_distinguished_name ]\ncommonName = Common Name\n`;

/**
 * The environment that splunkd gives to what it starts: nothing of the caller's own, so that a variable set
 * in a shell cannot make a test pass.
 */
export function splunkEnvironment(home: string): Record<string, string> {
  mkdirSync(join(home, "openssl"), { recursive: true });
  mkdirSync(join(home, "lib"), { recursive: true });
  writeFileSync(join(home, "openssl", "openssl.cnf"), OPENSSL_CNF);
  return {
    HOME: home,
    LANG: "C",
    LD_LIBRARY_PATH: join(home, "lib"),
    OPENSSL_CONF: join(home, "openssl", "openssl.cnf"),
    PATH: `${join(home, "bin")}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    PYTHONHTTPSVERIFY: "0",
    SPLUNK_DB: join(home, "var", "lib", "splunk"),
    SPLUNK_ETC: join(home, "etc"),
    SPLUNK_HOME: home,
    SPLUNK_SERVER_NAME: "Splunkd",
    SPLUNK_WEB_NAME: "splunkweb",
  };
}

/**
 * Starts the executable as splunkd does: working folder `/`, umask 077, an environment of its own, stdin left
 * open.
 */
export function startChild(
  executable: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Child {
  // The umask is inherited at fork and there is no other way to set it for a child only; spawn() is
  // synchronous up to there.
  const before = process.umask(0o077);
  try {
    return spawn(executable, args, { cwd: "/", env: { ...environment }, stdio: ["pipe", "pipe", "pipe"] });
  } finally {
    process.umask(before);
  }
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs it to its end with a document on a stdin that stays open; killed after `limitMs`. */
export async function runToEnd(child: Child, document: Buffer | undefined, limitMs: number): Promise<Ended> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on("error", () => undefined);
  if (document) child.stdin.write(document);
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (...ended) => resolve(ended));
  });
  clearTimeout(timer);
  child.stdin.destroy();
  return {
    code,
    signal,
    stdout: Buffer.concat(stdout).toString("utf8"),
    stderr: Buffer.concat(stderr).toString("utf8"),
  };
}

/**
 * Writes a document to stdin and leaves it open; in pieces of `pieceBytes` when given, each in its own turn
 * of the event loop.
 */
export async function feed(child: Child, document: Buffer, pieceBytes: number | undefined): Promise<void> {
  child.stdin.on("error", () => undefined);
  const size = pieceBytes ?? document.length;
  for (let at = 0; at < document.length && child.stdin.writable; at += size) {
    child.stdin.write(document.subarray(at, at + size));
    if (pieceBytes !== undefined) await new Promise((resolve) => setImmediate(resolve));
  }
}
