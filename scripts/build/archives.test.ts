import { spawnSync } from "node:child_process";
import { describe, expect, test } from "@jest/globals";
import { type ArchiveEntry, readTar, writeTar } from "./tar.ts";
import { readZip, writeZip } from "./zip.ts";

const AT_SECONDS = 1_767_225_600;
const entries: ArchiveEntry[] = [
  { path: "app/", mode: 0o755, content: Buffer.alloc(0) },
  { path: "app/bin/program", mode: 0o755, content: Buffer.from("#!/bin/sh\n") },
  { path: `app/${"deep/".repeat(20)}${"n".repeat(60)}.txt`, mode: 0o644, content: Buffer.alloc(513, "x") },
];

describe("a tar archive of this build", () => {
  test("is read back entry for entry, with modes", () => {
    expect(readTar(writeTar(entries, AT_SECONDS))).toEqual(entries);
  });

  test("is listed by the system's own tar: owner root, the fixed time, modes and sizes", () => {
    const { stdout, status } = spawnSync("tar", ["tvf", "-", "--numeric-owner", "--utc"], {
      input: writeTar(entries, AT_SECONDS),
      encoding: "utf8",
      env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
    });

    expect(status).toBe(0);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.replace(/\s+/g, " ")),
    ).toEqual([
      "drwxr-xr-x 0/0 0 2026-01-01 00:00 app/",
      "-rwxr-xr-x 0/0 10 2026-01-01 00:00 app/bin/program",
      `-rw-r--r-- 0/0 513 2026-01-01 00:00 ${entries[2]?.path}`,
    ]);
  });

  test("refuses a path that an old tar would truncate", () => {
    expect(() => writeTar([{ path: "x".repeat(101), mode: 0o644, content: Buffer.alloc(0) }], AT_SECONDS)).toThrow(
      "too long for a tar",
    );
  });
});

test("a zip archive's directory leads to every file's bytes, checksum, mode and time", () => {
  const zip = writeZip(entries, AT_SECONDS);

  const directory = zip.indexOf("PK\u0001\u0002", undefined, "latin1");
  expect([zip.readUInt16LE(directory + 12), zip.readUInt16LE(directory + 14)]).toEqual([0, (46 << 9) | (1 << 5) | 1]);
  expect(readZip(zip)).toEqual(entries);
  zip.writeUInt32LE(1, directory + 16);
  expect(() => readZip(zip)).toThrow("app/ is damaged in the zip");
});
