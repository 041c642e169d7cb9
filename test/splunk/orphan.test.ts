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

const textOf = (name: string): string => {
  const file = join(folder, name);
  return existsSync(file) ? readFileSync(file, "utf8") : "";
};

/** The process number that a shell writes into this file. */
async function writtenPid(name: string): Promise<number> {
  while (!textOf(name).endsWith("\n")) await pause(50);
  return Number(textOf(name));
}

/** The input's process number, when it has read its document. */
async function startedInput(): Promise<number> {
  while (!textOf("stderr").includes("no input is enabled")) await pause(50);
  return writtenPid("pid");
}

function isRunning(pid: number): boolean {
  let state: string;
  try {
    state = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    // It may go at any moment, also between two looks.
    return false;
  }
  // A process that has ended and is not yet collected by its parent is still in /proc.
  return !/^\d+ \(.*\) Z/.test(state);
}

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
    const reader = hasReader ? await writtenPid("reader") : undefined;

    splunkd.kill("SIGKILL");
    if (reader !== undefined) process.kill(reader, "SIGKILL");
    expect(await ended(pid)).toBe(true);
  });
});
