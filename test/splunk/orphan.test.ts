/**
 * splunkd is killed while the input has nothing to write: the input ends by itself, so that its state folder
 * is free for the next start. With real processes, because the system tells a program of its host's end.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
/** No input is enabled: the program says so on stderr once an hour, and writes nothing on stdout. */
const QUIET = `<?xml version="1.0"?><input><server_uri>https://127.0.0.1:1</server_uri><checkpoint_dir>/nowhere</checkpoint_dir><configuration></configuration></input>\n`;
const ENDS_WITHIN_MS = 30_000;

let folder: string;
let processes: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "orphan-"));
  writeFileSync(join(folder, "document.xml"), QUIET);
});
afterEach(() => {
  for (const one of processes) one.kill("SIGKILL");
  processes = [];
  rmSync(folder, { recursive: true, force: true });
});

/** The input's process number, when it has read its document. */
async function startedInput(): Promise<number> {
  const log = join(folder, "stderr");
  const pid = join(folder, "pid");
  while (
    !existsSync(pid) ||
    readFileSync(pid, "utf8") === "" ||
    !existsSync(log) ||
    !readFileSync(log, "utf8").includes("no input is enabled")
  )
    await pause(50);
  return Number(readFileSync(pid, "utf8"));
}

const isRunning = (pid: number): boolean => {
  // A process that has ended and is not yet collected by its parent is still in /proc.
  return existsSync(`/proc/${pid}/stat`) && !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
};

async function ended(pid: number): Promise<boolean> {
  const until = performance.now() + ENDS_WITHIN_MS;
  while (isRunning(pid) && performance.now() < until) await pause(50);
  if (!isRunning(pid)) return true;
  process.kill(pid, "SIGKILL");
  return false;
}

/** Starts these words with pipes, writes the document, and runs until it is killed. */
const SPLUNKD = `
  const { spawn } = require("node:child_process");
  const { openSync, readFileSync } = require("node:fs");
  const input = spawn(process.argv[1], process.argv.slice(2), { stdio: ["pipe", "pipe", openSync("stderr", "w")] });
  input.stdin.write(readFileSync("document.xml"));
  input.stdout.resume();`;

describe("a quiet input ends when splunkd is killed", () => {
  test.each([
    ["started it itself", `echo $$ > pid; exec "$1"`, false],
    ["started it by a shell, which goes on", `"$1" <&3 & echo $! > pid; wait`, false],
    [
      "started it by a shell, with another reader that ends too",
      `sh -c 'echo $$ > pid; exec "$0"' "$1" <&3 | cat & echo $! > reader; wait`,
      true,
    ],
  ])("that %s", async (_, line, hasReader) => {
    const words = ["sh", "-c", `exec 3<&0; ${line}`, "sh", BINARY];
    const splunkd = spawn(process.execPath, ["-e", SPLUNKD, ...words], { stdio: "ignore", cwd: folder });
    processes.push(splunkd);
    const pid = await startedInput();

    splunkd.kill("SIGKILL");
    if (hasReader) process.kill(Number(readFileSync(join(folder, "reader"), "utf8")), "SIGKILL");
    expect(await ended(pid)).toBe(true);
  });
});
