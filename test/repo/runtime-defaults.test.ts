/** What the program may do in one place only, so that no default of the runtime comes in elsewhere. */
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";

const ROOT = path.resolve(import.meta.dirname, "../..");

/** The program's own sources, by path. */
function sources(): readonly (readonly [file: string, text: string])[] {
  return globSync("src/**/*.ts", { cwd: ROOT })
    .filter((file) => !file.endsWith(".test.ts"))
    .toSorted()
    .map((file) => [file.replaceAll("\\", "/"), readFileSync(path.join(ROOT, file), "utf8")]);
}

/** Lines that match and are not comments, as `file: line`. */
function linesWith(pattern: RegExp): readonly string[] {
  return sources().flatMap(([file, text]) =>
    text
      .split("\n")
      .filter((line) => pattern.test(line) && !/^\s*(\*|\/\/)/.test(line))
      .map((line) => `${file}: ${line.trim()}`),
  );
}

/** The first argument of each call that starts a program, as `file: argument`. */
function startedPrograms(): readonly string[] {
  return sources().flatMap(([file, text]) =>
    [...text.matchAll(/(?<![.\w])(?:spawn|spawnSync|exec|execSync|execFile|execFileSync|fork)\(\s*([^\s,]+),/g)].map(
      ([, program]) => `${file}: ${program}`,
    ),
  );
}

test("another program is started in two places, and never by a bare name that a planted file could answer to", () => {
  expect(linesWith(/child_process/)).toEqual([
    'src/main/onboarding.ts: import { spawn } from "node:child_process";',
    'src/main/windows-acl.ts: import { spawnSync } from "node:child_process";',
  ]);
  expect(startedPrograms()).toEqual([
    "src/main/onboarding.ts: command",
    'src/main/windows-acl.ts: windowsProgram("whoami.exe")',
    'src/main/windows-acl.ts: windowsProgram("icacls.exe")',
  ]);
  // The command of onboarding.ts.
  expect(linesWith(/\[command,/)).toEqual([
    "src/main/onboarding.ts: const [command, ...before] = browserOpener(process.platform) ?? [];",
  ]);
});

test("a connection is opened in one place, which sets every time limit, and TLS begins in two", () => {
  expect(linesWith(/\b(net\.(connect|createConnection)|new (net\.)?Socket)\(/)).toEqual([
    "src/net/tcp.ts: const socket = net.connect({ ...to, port: this.#port, autoSelectFamily: false });",
  ]);
  expect(linesWith(/\b(tls\.connect|buildConnector)\(/)).toEqual([
    expect.stringMatching(/^src\/net\/connect\.ts: .*undici\.buildConnector\(\{$/),
    "src/outputs/dial.ts: const socket = tls.connect({ ...options, socket: tcp });",
  ]);
  expect(linesWith(/\bhttps?\.(get|request)\(|\bfetch\(|new undici\./)).toEqual([
    "src/net/connect.ts: const pool = new undici.Pool(origin, {",
    "src/net/http.ts: const agent = new undici.Agent({",
  ]);
});
