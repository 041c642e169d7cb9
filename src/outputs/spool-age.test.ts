import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../test/harness/fakes/clock.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { Spool } from "./spool.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function openSpool(clock: FakeClock, folder?: string) {
  const place = folder ?? mkdtempSync(join(tmpdir(), "spool-"));
  if (folder === undefined) folders.push(place);
  return { folder: place, spool: Spool.open({ folder: place, limitBytes: 8 << 20, disk: realDisk, clock }).spool };
}

const batchOf = (bytes: number) => ({ bytes: Buffer.alloc(bytes, "x"), keys: ["contoso|key"], ends: [bytes] });

test("what waits has the age of the oldest segment that was not sent whole, and none when all was sent", async () => {
  const clock = new FakeClock();
  const { spool } = openSpool(clock);
  expect(spool.waitingSinceMs).toBeUndefined();
  await spool.append(batchOf(800_000));
  await clock.advance(60_000);
  await spool.append(batchOf(800_000));
  expect(spool.waitingSinceMs).toBe(T0);
  spool.advance(spool.next()!);
  expect(spool.waitingSinceMs).toBe(T0 + 60_000);
  spool.advance(spool.next()!);
  expect(spool.waitingSinceMs).toBeUndefined();
});

test("a restart does not lose the age of what waits", async () => {
  const clock = new FakeClock();
  const { folder, spool } = openSpool(clock);
  await spool.append(batchOf(1_000));
  spool.close();
  const again = openSpool(clock, folder).spool;
  expect(again.waitingSinceMs).toBe(realDisk.statSync(join(folder, "000000001.spool")).mtimeMs);
});
