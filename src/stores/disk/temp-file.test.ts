import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { newFolder } from "../../../test/harness/fakes/disk.ts";
import { realDisk } from "./disk.ts";
import { clearTempFiles, DiskTempFile } from "./temp-file.ts";

test("a record goes through its temporary file byte for byte, in pieces, and leaves nothing behind", async () => {
  const folder = newFolder();
  const tempFile = new DiskTempFile(realDisk, folder);
  const parts = [Buffer.alloc(300_000, 1), Buffer.alloc(7, 2), Buffer.alloc(500_000, 3)];
  for (const part of parts) await tempFile.append(part);

  const got: Buffer[] = [];
  for await (const piece of tempFile.pieces()) got.push(Buffer.from(piece));

  expect(Buffer.concat(got).equals(Buffer.concat(parts))).toBe(true);
  expect(tempFile.byteLength).toBe(800_007);
  expect(Math.max(...got.map((p) => p.length))).toBeLessThanOrEqual(256 * 1024);
  expect(statSync(join(folder, "spool", readdirSync(join(folder, "spool"))[0] as string)).mode & 0o777).toBe(0o600);
  await tempFile.dispose();
  expect(readdirSync(join(folder, "spool"))).toEqual([]);
});

test("temporary files that a crash left behind are removed at the next start", () => {
  const folder = newFolder();
  mkdirSync(join(folder, "spool"));
  writeFileSync(join(folder, "spool", "record-1"), "one customer's alert");
  clearTempFiles(realDisk, folder);
  expect(existsSync(join(folder, "spool", "record-1"))).toBe(false);
});

test("a full disk is a failure that the operator must act on, in one sentence", async () => {
  const full = {
    ...realDisk,
    writeSync: () => {
      throw Object.assign(new Error("full"), { code: "ENOSPC" });
    },
  } as unknown as typeof realDisk;
  const tempFile = new DiskTempFile(full, newFolder());
  await expect(tempFile.append(Buffer.from("x"))).rejects.toMatchObject({
    code: "state-unwritable",
    actor: "operator",
  });
});
