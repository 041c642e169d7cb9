import { fstatSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import type { ConsentJournal, JournalEntry, JournalStep } from "../../model/partner-consent.ts";
import { openConsentJournal } from "./consent-journal.ts";
import { type Disk, realDisk } from "./disk.ts";
import { takeLock } from "./lock.ts";

const HOME = "aaaaaaaa-0000-4000-8000-000000000000";
const BRIDGE = "bbbbbbbb-0000-4000-8000-000000000000";
const tenant = (n: number): string => `cccccccc-0000-4000-8000-00000000000${n}`;

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "consent-journal-"));
  path = join(folder, "partner-consent", "journal.ndjson");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const ports = (disk: Disk = realDisk) => ({
  disk,
  clock: new FakeClock(undefined, { pauses: "pass" }),
  platform: process.platform,
  log: new FakeLog(),
});
const open = (disk?: Disk): Promise<ConsentJournal> => openConsentJournal(ports(disk), folder);

const entry = (step: JournalStep, n = 1): JournalEntry => ({ step, home: HOME, tenant: tenant(n), bridge: BRIDGE });

async function withJournal<T>(work: (journal: ConsentJournal) => T | Promise<T>, disk?: Disk): Promise<T> {
  const journal = await open(disk);
  try {
    return await work(journal);
  } finally {
    await journal.close();
  }
}

async function write(...entries: readonly JournalEntry[]): Promise<void> {
  await withJournal(async (journal) => {
    for (const one of entries) await journal.append(one);
  });
}

const openTenants = (): Promise<readonly string[]> =>
  withJournal((journal) => journal.openGrants().map((grant) => grant.tenant));

describe("after a restart the journal knows where the bridge may still be:", () => {
  test.each<[string, readonly JournalEntry[], readonly string[]]>([
    ["nothing was done", [], []],
    ["it was let in", [entry("grant-bridge")], [tenant(1)]],
    ["its removal was begun", [entry("grant-bridge"), entry("grant-role"), entry("remove-bridge")], [tenant(1)]],
    ["it was removed", [entry("grant-bridge"), entry("remove-bridge"), entry("bridge-removed")], []],
    ["it was refused", [entry("grant-bridge"), entry("bridge-refused")], []],
    [
      "a refused grant leaves an earlier one",
      [entry("grant-bridge"), entry("grant-bridge"), entry("bridge-refused")],
      [tenant(1)],
    ],
    [
      "one removal is enough for several grants",
      [entry("grant-bridge"), entry("grant-bridge"), entry("bridge-removed")],
      [],
    ],
    [
      "each customer for itself",
      [entry("grant-bridge", 1), entry("grant-bridge", 2), entry("bridge-removed", 1)],
      [tenant(2)],
    ],
  ])("%s", async (_, entries, wanted) => {
    await write(...entries);
    expect(await openTenants()).toEqual(wanted);
  });
});

test("a line is flushed to the disk before the caller goes on", async () => {
  const order: string[] = [];
  const disk: Disk = {
    ...realDisk,
    writeSync: ((...args: Parameters<typeof realDisk.writeSync>) => {
      order.push("written");
      return realDisk.writeSync(...args);
    }) as typeof realDisk.writeSync,
    fsync: ((fd: number, done: (error: Error | null) => void) =>
      realDisk.fsync(fd, (error) => {
        order.push("flushed");
        done(error);
      })) as typeof realDisk.fsync,
  };
  await withJournal(async (journal) => {
    order.length = 0;
    await journal.append(entry("grant-bridge"));
    order.push("goes on");
  }, disk);
  expect(order).toEqual(["written", "flushed", "goes on"]);
});

test("only its owner can read it, and each line has a time", async () => {
  await write(entry("grant-bridge"));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
    v: 1,
    time: "2026-11-24T12:00:00.000Z",
    ...entry("grant-bridge"),
  });
});

test("a line that a crash cut is counted, and the next one stays readable", async () => {
  await write(entry("grant-bridge", 1));
  writeFileSync(path, `${readFileSync(path, "utf8")}{"v":1,"step":"grant-bri`);
  await write(entry("grant-bridge", 2));
  await withJournal((journal) => {
    expect(journal.unreadable).toBe(1);
    expect(journal.openGrants().map((grant) => grant.tenant)).toEqual([tenant(1), tenant(2)]);
  });
});

test.each(["[]", "null", '{"v":1,"step":"grant-bridge"}', '{"v":1,"step":"x","home":"../","tenant":"a","bridge":"b"}'])(
  "%s is counted as unreadable",
  async (line) => {
    await write();
    writeFileSync(path, `${line}\n`);
    await withJournal((journal) => expect([journal.unreadable, journal.openGrants()]).toEqual([1, []]));
  },
);

test("the journal of a newer release is refused, because this one cannot tell where the bridge is", async () => {
  await write();
  writeFileSync(path, '{"v":2}\n');
  await expect(open()).rejects.toMatchObject({ code: "state-damaged", say: expect.stringContaining(path) });
  // Nothing of the refusal is in the way of the next run.
  rmSync(path);
  expect(await openTenants()).toEqual([]);
});

test("a second run at the same time is refused, because it would remove the bridge under the first one", async () => {
  await withJournal(() => expect(open()).rejects.toMatchObject({ code: "state-locked" }));
  await withJournal((journal) => expect(journal.openGrants()).toEqual([]));
});

test("a collector that runs over the same state folder is not in the way", async () => {
  const lock = await takeLock(folder, ports(), "10s");
  try {
    expect(await openTenants()).toEqual([]);
  } finally {
    await lock.release();
  }
});

test("a full disk is a failure of the run", async () => {
  const disk: Disk = { ...realDisk };
  await withJournal(async (journal) => {
    disk.writeSync = () => {
      throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
    };
    await expect(journal.append(entry("grant-bridge"))).rejects.toMatchObject({ code: "state-unwritable" });
    expect(journal.openGrants()).toEqual([]);
  }, disk);
});

test("a line that the disk took in part does not swallow the next one", async () => {
  const disk: Disk = { ...realDisk };
  await withJournal(async (journal) => {
    let calls = 0;
    disk.writeSync = ((fd: number, bytes: Buffer, ...rest: number[]) => {
      calls += 1;
      if (calls > 1) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      return realDisk.writeSync(fd, bytes.subarray(0, 10), ...rest.map((n, at) => (at === 1 ? 10 : n)));
    }) as typeof realDisk.writeSync;
    await expect(journal.append(entry("grant-bridge", 1))).rejects.toMatchObject({ code: "state-unwritable" });
    disk.writeSync = realDisk.writeSync;
    await journal.append(entry("grant-bridge", 2));
  }, disk);
  await withJournal((journal) => {
    expect(journal.openGrants().map((grant) => grant.tenant)).toEqual([tenant(2)]);
    expect(journal.unreadable).toBe(1);
  });
});

test("the names of a new folder and a new journal are flushed to the disk too, and what an earlier run wrote", async () => {
  const flushed: number[] = [];
  const disk: Disk = {
    ...realDisk,
    fsync: ((fd: number, done: (error: Error | null) => void) => {
      flushed.push(fstatSync(fd).ino);
      realDisk.fsync(fd, done);
    }) as typeof realDisk.fsync,
  };
  await withJournal(() => undefined, disk);
  const isFlushed = (name: string): boolean => flushed.includes(statSync(name).ino);
  const onlyUnix = process.platform !== "win32";
  expect([folder, join(path, ".."), path].map(isFlushed)).toEqual([onlyUnix, onlyUnix, true]);
});
