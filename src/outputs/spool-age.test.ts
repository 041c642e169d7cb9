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

function openSpool(clock: FakeClock, folder?: string, until: "sent" | "confirmed" = "sent") {
  const place = folder ?? mkdtempSync(join(tmpdir(), "spool-"));
  if (folder === undefined) folders.push(place);
  return {
    folder: place,
    spool: Spool.open({
      folder: place,
      limitBytes: 8 << 20,
      disk: realDisk,
      clock,
      until,
      onSkipped: () => undefined,
      onUndeletable: () => undefined,
    }).spool,
  };
}

const batchOf = (bytes: number) => ({ bytes: Buffer.alloc(bytes, "x"), keys: ["contoso|key"], ends: [bytes] });

test("what waits has the age of the oldest record that was not sent, and none when all was sent", async () => {
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

test.each(["sent", "confirmed"] as const)(
  "what waits in a segment that goes on growing does not have the segment's age: kept until it is %s",
  async (until) => {
    const clock = new FakeClock();
    const { spool } = openSpool(clock, undefined, until);
    await spool.append(batchOf(1_000));
    for (let minute = 1; minute <= 60; minute += 1) {
      await clock.advance(60_000);
      await spool.append(batchOf(1_000));
      const oldest = spool.next()!;
      if (until === "sent") spool.advance(oldest);
      else {
        spool.pass(oldest);
        spool.confirm(oldest, { keepsAWhile: false });
      }
      expect(spool.waitingSinceMs).toBe(T0 + minute * 60_000);
    }
    expect(spool.bytes).toBeGreaterThan(60_000);
  },
);

test("what a receiver confirms out of order makes nothing younger that still waits before it", async () => {
  const clock = new FakeClock();
  const { spool } = openSpool(clock, undefined, "confirmed");
  const places = [];
  for (let minute = 0; minute < 3; minute += 1) {
    await spool.append(batchOf(1_000));
    const place = spool.next()!;
    spool.pass(place);
    places.push(place);
    await clock.advance(60_000);
  }
  const [first, second, third] = places as [(typeof places)[0], (typeof places)[0], (typeof places)[0]];
  spool.confirm(second, { keepsAWhile: false });
  expect(spool.waitingSinceMs).toBe(T0);
  spool.confirm(first, { keepsAWhile: false });
  expect(spool.waitingSinceMs).toBe(T0 + 120_000);
  spool.confirm(third, { keepsAWhile: false });
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
