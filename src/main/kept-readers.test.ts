import { chmodSync, chownSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "@jest/globals";
import { readersOf } from "./kept-readers.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** The file's mode and group after it was replaced by a private one. */
function replaced(mode: number): { readonly mode: string; readonly sameGroup: boolean } {
  const folder = mkdtempSync(join(tmpdir(), "readers-"));
  folders.push(folder);
  const path = join(folder, "WDATP-connector.properties");
  writeFileSync(path, "");
  // Only root can give a file to a group that it is not in.
  if (process.getuid?.() === 0) chownSync(path, 0, 12_345);
  chmodSync(path, mode);
  const { gid } = statSync(path);
  const restore = readersOf(path);
  writeFileSync(`${path}.new`, "", { mode: 0o600 });
  renameSync(`${path}.new`, path);
  restore();
  const after = statSync(path);
  return { mode: (after.mode & 0o777).toString(8), sameGroup: after.gid === gid };
}

test.each([
  [0o640, "640"],
  [0o600, "600"],
  [0o644, "600"],
  [0o660, "640"],
])(
  "a configuration of mode %o that is written anew keeps its group, and its group's right to read if nobody else had it",
  (mode, wanted) => {
    const { mode: now, sameGroup } = replaced(mode);
    expect({ mode: process.platform === "win32" ? wanted : now, sameGroup }).toEqual({ mode: wanted, sameGroup: true });
  },
);

test("a file that was not there has nobody to keep", () => {
  expect(() => readersOf("/nowhere/at-all")()).not.toThrow();
});
