import * as fs from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { describe, expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { CONTOSO, diskThatFails, entries, newFolder } from "../../../test/harness/fakes/disk.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { isFailure } from "../../model/failure.ts";
import type { Checkpoint, StateFolder, StreamStore } from "../../model/state.ts";
import type { TenantId } from "../../model/tenant.ts";
import type { Disk } from "./disk.ts";
import { type OpenStateFolderOptions, openStateFolder } from "./folder.ts";

const key = { stanza: "Contoso", tenantId: CONTOSO, stream: "alerts" } as const;
const files = (dir: string): string => join(dir, "tenants", CONTOSO, "+contoso");

function checkpoint(n: number): Checkpoint {
  return {
    version: 1,
    start: BigInt(n),
    upTo: BigInt(n) * 10n,
    nextPollAtMs: n,
    nextSweepAtMs: n + 1,
    pollsSinceFullReach: 2,
  };
}

interface Opened {
  readonly folder: StateFolder;
  readonly store: StreamStore;
  readonly log: FakeLog;
}

async function open(
  dir: string,
  options: Partial<OpenStateFolderOptions> & { disk?: Disk; key?: typeof key } = {},
): Promise<Opened> {
  const log = new FakeLog();
  const { disk, key: wanted = key, ...rest } = options;
  const folder = await openStateFolder(
    dir,
    { clock: new FakeClock(T0, { pauses: "pass" }), log, ...(disk ? { disk } : {}) },
    { waitForLock: "10s", ...rest },
  );
  const store = await folder.open(wanted).catch(async (error: unknown) => {
    await folder.release({ orderly: false });
    throw error;
  });
  return { folder, store, log };
}

/** Ends a holder as a crash does: nothing is recorded, only the lock is released. */
const abandon = ({ folder }: Opened): Promise<void> => folder.release({ orderly: false });

function newerHeader(): Buffer {
  const head = Buffer.alloc(16);
  head.write("dmsspLGR");
  head.writeUInt32LE(2, 8);
  head.writeUInt32LE(crc32(head.subarray(0, 12)), 12);
  return head;
}

describe("after a restart", () => {
  test("the saved checkpoint and ledger are read again", async () => {
    const dir = newFolder();
    const first = await open(dir);
    expect(first.store.checkpoint).toBeUndefined();
    await first.store.commit({ checkpoint: checkpoint(1) });
    await first.store.commit({
      checkpoint: {
        ...checkpoint(2),
        reachedUpTo: 19n,
        walk: { from: 1n, cursor: 2n, startedAtMs: 3 },
        walkCompletedAtMs: 9,
        queries: { a: 5n, b: -6n },
      },
    });
    await first.store.commit({ entries: entries(0, 3) });
    await first.store.commit({ entries: entries(3, 5) });
    await first.store.flush();
    await abandon(first);

    const second = await open(dir);

    expect(second.store.checkpoint).toEqual({
      ...checkpoint(2),
      reachedUpTo: 19n,
      walk: { from: 1n, cursor: 2n, startedAtMs: 3 },
      walkCompletedAtMs: 9,
      queries: { a: 5n, b: -6n },
    });
    expect(second.store.takeEntries()).toEqual(entries(0, 5));
    expect(second.store.takeEntries()).toEqual([]);
    expect(second.log.lines).toEqual([]);
    await abandon(second);
  });

  test("the saved facts are read again", async () => {
    const dir = newFolder();
    const first = await open(dir);
    await Promise.all([first.folder.writeFact("contoso.com", CONTOSO), first.folder.writeFact("fabrikam.com", "x")]);
    await abandon(first);
    const second = await open(dir);
    expect(await second.folder.readFact("contoso.com")).toBe(CONTOSO);
    expect(await second.folder.readFact("fabrikam.com")).toBe("x");
    expect(await second.folder.readFact("nobody.com")).toBeUndefined();
    await abandon(second);
  });

  test("an append during a compaction is found in the compacted journal", async () => {
    const dir = newFolder();
    const first = await open(dir);
    await first.store.commit({ entries: entries(0, 10) });
    const one = first.store.compact(entries(5, 10));
    await first.store.commit({ entries: entries(10, 11) });
    const two = first.store.compact(entries(6, 11));
    await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    await first.store.commit({ entries: entries(11, 12) });
    await first.store.flush();
    await Promise.all([one, two]);
    await first.store.commit({ entries: entries(12, 13) });
    await abandon(first);

    const second = await open(dir);
    expect(second.store.takeEntries()).toEqual(entries(6, 13));
    await abandon(second);
  });

  test("no other account can read the state", async () => {
    const dir = join(newFolder(), "state");
    const first = await open(dir);
    await first.store.commit({ checkpoint: checkpoint(1) });
    await first.store.commit({ entries: entries(0, 1) });
    await first.folder.writeFact("a", "b");
    await first.folder.release({ orderly: true });
    const modes = fs.readdirSync(dir, { recursive: true, withFileTypes: true }).map((item) => {
      const mode = (fs.statSync(join(item.parentPath, item.name)).mode & 0o777).toString(8);
      return item.isDirectory() ? `folder ${mode}` : `file ${mode}`;
    });
    expect(new Set(modes)).toEqual(new Set(["folder 700", "file 600"]));
    expect((fs.statSync(dir).mode & 0o777).toString(8)).toBe("700");
  });
});

async function prepared(): Promise<string> {
  const dir = newFolder();
  const first = await open(dir);
  await first.store.commit({ checkpoint: checkpoint(1) });
  await first.store.commit({ checkpoint: checkpoint(2) });
  await first.store.commit({ entries: entries(0, 3) });
  await first.store.commit({ entries: entries(3, 5) });
  await first.store.commit({ entries: entries(5, 6) });
  await abandon(first);
  return dir;
}

describe("damage causes repeats, never more, and is logged once:", () => {
  test("a damaged checkpoint is replaced by the previous one", async () => {
    const dir = await prepared();
    fs.writeFileSync(join(files(dir), "alerts.mark.json"), '{"version":1,"crc32":1,"mark":{"start":"7"}}');
    const second = await open(dir);
    expect(second.store.checkpoint).toEqual(checkpoint(1));
    expect(second.log.lines.map((line) => line.level)).toEqual(["warn"]);
    await abandon(second);
  });

  test("a crash between the two renames leaves the previous checkpoint, and nothing is logged", async () => {
    const dir = await prepared();
    fs.unlinkSync(join(files(dir), "alerts.mark.json"));
    const second = await open(dir);
    expect(second.store.checkpoint).toEqual(checkpoint(1));
    expect(second.log.lines).toEqual([]);
    await abandon(second);
  });

  test("two damaged checkpoints let the stream begin again at its start", async () => {
    const dir = await prepared();
    fs.writeFileSync(join(files(dir), "alerts.mark.json"), "");
    fs.writeFileSync(join(files(dir), "alerts.mark.json.prev"), "\0\0\0\0");
    const second = await open(dir);
    expect(second.store.checkpoint).toBeUndefined();
    expect(second.store.takeEntries()).toEqual(entries(0, 6));
    expect(second.log.lines.map((line) => line.level)).toEqual(["error"]);
    await abandon(second);
  });

  test("a journal cut at any byte keeps every whole block, is truncated there, and continues", async () => {
    const dir = await prepared();
    const path = join(files(dir), "alerts.ledger");
    const whole = fs.readFileSync(path);
    const ends = [16, 16 + 8 + 120, 16 + 8 + 120 + 8 + 80, whole.length];
    const kept = [0, 3, 5, 6];
    expect(ends[3]).toBe(ends[2]! + 8 + 40);
    for (let cut = 16; cut < whole.length; cut += 1) {
      fs.writeFileSync(path, whole.subarray(0, cut));
      const blocks = ends.filter((end) => end <= cut).length - 1;

      const second = await open(dir);
      const found = second.store.takeEntries();
      await second.store.commit({ entries: entries(90, 91) });
      await abandon(second);
      const third = await open(dir);

      expect(found).toEqual(entries(0, kept[blocks]!));
      expect(second.log.lines.map((line) => line.level)).toEqual(ends.includes(cut) ? [] : ["warn"]);
      expect(third.store.takeEntries()).toEqual([...found, ...entries(90, 91)]);
      expect(third.log.lines).toEqual([]);
      await abandon(third);
    }
  });

  test("a journal whose end is filled with zeros after a power cut is truncated there", async () => {
    const dir = await prepared();
    fs.appendFileSync(join(files(dir), "alerts.ledger"), Buffer.alloc(4096));
    const second = await open(dir);
    expect(second.store.takeEntries()).toEqual(entries(0, 6));
    await abandon(second);
  });

  test("a flipped bit in the middle loses only its own block", async () => {
    const dir = await prepared();
    const path = join(files(dir), "alerts.ledger");
    const bytes = fs.readFileSync(path);
    bytes[16 + 8 + 120 + 8 + 3]! ^= 1;
    fs.writeFileSync(path, bytes);
    const second = await open(dir);
    expect(second.store.takeEntries()).toEqual([...entries(0, 3), ...entries(5, 6)]);
    expect(second.log.lines.map((line) => line.level)).toEqual(["warn"]);
    await abandon(second);
    const third = await open(dir);
    expect(third.store.takeEntries()).toEqual([...entries(0, 3), ...entries(5, 6)]);
    expect(third.log.lines).toEqual([]);
    await abandon(third);
  });

  test.each<[string, string | Buffer]>([
    ["alerts.mark.json", '{"version":2,"crc32":0}'],
    ["alerts.ledger", newerHeader()],
  ])("a %s of a newer release is refused and not changed", async (name, content) => {
    const dir = await prepared();
    const path = join(files(dir), name);
    fs.writeFileSync(path, content);
    const before = fs.readFileSync(path);
    await expect(open(dir)).rejects.toMatchObject({
      code: "state-damaged",
      actor: "operator",
      say: expect.stringContaining("format 2"),
    });
    expect(fs.readFileSync(path)).toEqual(before);
  });

  test("another file under the journal's name is set aside, not overwritten", async () => {
    const dir = await prepared();
    fs.writeFileSync(join(files(dir), "alerts.ledger"), "somebody's diary, long enough");
    const second = await open(dir);
    expect(second.store.takeEntries()).toEqual([]);
    expect(second.log.lines.map((line) => line.level)).toEqual(["error"]);
    expect(fs.readFileSync(join(files(dir), "alerts.ledger.damaged"), "latin1")).toContain("diary");
    await abandon(second);
  });
});

/** A run with every kind of write; returns what was acknowledged. */
async function runOf(
  disk: Disk,
  dir: string,
): Promise<{ checkpoints: number[]; appended: number; failures: unknown[] }> {
  const done = { checkpoints: [0], appended: 0, failures: [] as unknown[] };
  const attempt = async (work: () => Promise<void> | void): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      done.failures.push(error);
      return false;
    }
  };
  const opened = await open(dir, { disk }).catch((error: unknown) => void done.failures.push(error));
  if (!opened) return done;
  const { store, folder } = opened;
  for (let n = 1; n <= 4; n += 1) {
    if (await attempt(() => store.commit({ entries: entries(done.appended, done.appended + 2) }))) done.appended += 2;
    await attempt(() => store.flush());
    if (n === 3) {
      await attempt(() => store.compact(entries(0, done.appended)));
      if (await attempt(() => store.commit({ entries: entries(done.appended, done.appended + 1) }))) done.appended += 1;
    }
    if (await attempt(() => store.commit({ checkpoint: checkpoint(n) }))) done.checkpoints = [n];
    else done.checkpoints.push(n);
  }
  await attempt(() => folder.release({ orderly: true }));
  return done;
}

describe("what was acknowledged survives", () => {
  test.each(["dies", "ENOSPC", "EROFS"] as const)("when the disk %s at any call", async (how) => {
    const calls = (() => {
      const counting = diskThatFails(Number.POSITIVE_INFINITY, "dies");
      return runOf(counting, newFolder()).then(() => counting.calls());
    })();
    for (let at = 1; at <= (await calls); at += 1) {
      const dir = newFolder();
      const done = await runOf(diskThatFails(at, how), dir);
      const second = await open(dir);
      const found = second.store.takeEntries();
      // A failed append may have reached the disk whole or not at all; nothing before it may be missing.
      expect(found.slice(0, done.appended).map((item) => item.updated)).toEqual(
        entries(0, done.appended).map((item) => item.updated),
      );
      expect(done.checkpoints).toContain(
        second.store.checkpoint === undefined ? 0 : Number(second.store.checkpoint.start),
      );
      for (const failure of done.failures)
        expect(isFailure(failure) ? failure.code : failure).toMatch(/^state-un(writ|read)able$/);
      // One failing call spoils what it belongs to; everything after it works again.
      expect(done.failures.length).toBeLessThanOrEqual(how === "dies" ? Number.POSITIVE_INFINITY : 2);
      await abandon(second);
    }
  });

  test("a folder that vanished is reported, and made anew by the next write", async () => {
    const dir = newFolder();
    const first = await open(dir);
    await first.store.commit({ entries: entries(0, 1) });
    fs.rmSync(join(dir, "tenants"), { recursive: true });
    await expect(first.store.commit({ entries: entries(1, 2) })).rejects.toEqual(
      expect.objectContaining({ code: "state-unwritable", actor: "operator" }),
    );
    await first.store.commit({ entries: entries(1, 2) });
    await first.store.commit({ checkpoint: checkpoint(1) });
    await abandon(first);
    const second = await open(dir);
    expect(second.store.takeEntries()).toEqual(entries(1, 2));
    await abandon(second);
  });
});

const configured = (...stanzas: string[]): OpenStateFolderOptions["configured"] =>
  stanzas.map((stanza) => ({ stanza, tenantId: CONTOSO.toUpperCase() }));

async function left(dir: string, ...stanzas: string[]): Promise<void> {
  for (const [i, stanza] of stanzas.entries()) {
    const first = await open(dir, { key: { ...key, stanza: stanza as "Contoso" } });
    await first.store.commit({ entries: entries(0, i + 1) });
    await abandon(first);
    fs.utimesSync(join(dir, "tenants", CONTOSO, stanza, "alerts.ledger"), 1_000 + i, 1_000 + i);
  }
}

describe("a renamed stanza", () => {
  test.each<[string, readonly string[], ReturnType<typeof configured>, number]>([
    ["takes over the state of a name that is no longer configured", ["old"], configured("Contoso"), 1],
    ["leaves the state that another stanza still uses", ["old"], configured("Contoso", "old"), 0],
    ["takes over the newest of several states", ["older", "newer"], configured("Contoso"), 2],
    ["takes over nothing when the configured names are not known", ["old"], undefined, 0],
  ])("%s", async (_, before, list, found) => {
    const dir = newFolder();
    await left(dir, ...before);
    const second = await open(dir, list ? { configured: list } : {});
    expect(second.store.takeEntries()).toHaveLength(found);
    await abandon(second);
  });

  test("names the stanza that left its state", async () => {
    const dir = newFolder();
    await left(dir, "old");
    const second = await open(dir, { configured: [{ stanza: "Contoso", tenantId: CONTOSO }] });
    expect(["old", "older", "Contoso"].filter((name) => second.folder.wasLeftUnder?.(key, name))).toEqual(["old"]);
    expect(second.folder.wasLeftUnder?.({ ...key, stanza: "other" }, "old")).toBe(false);
    await abandon(second);
  });

  test("never takes over another tenant's state", async () => {
    const dir = newFolder();
    await left(dir, "old");
    const other = "99999999-2222-4333-8444-555555555555" as TenantId;
    const second = await open(dir, { configured: [], key: { ...key, tenantId: other } });
    expect(second.store.takeEntries()).toEqual([]);
    await abandon(second);
  });
});

describe("only an orderly stop says that nothing has to be sent again", () => {
  const incidents = { ...key, stream: "incidents" } as unknown as typeof key;

  async function runWith(dir: string, orderly: boolean, wanted = key): Promise<Opened> {
    const opened = await open(dir, { key: wanted });
    await opened.store.commit({ entries: entries(0, 1) });
    await opened.folder.release({ orderly });
    return opened;
  }

  test("a new folder and an orderly stop say so, a crash does not", async () => {
    const dir = newFolder();
    expect((await runWith(dir, true)).folder.lastStopWasOrderly).toBe(true);
    expect((await runWith(dir, false)).store.lastStopWasOrderly).toBe(true);
    expect((await runWith(dir, true)).store.lastStopWasOrderly).toBe(false);
    const last = await runWith(dir, true);
    expect([last.folder.lastStopWasOrderly, last.store.lastStopWasOrderly]).toEqual([true, true]);
  });

  test("a crashed run that wrote nothing does not change what is known", async () => {
    const dir = newFolder();
    await runWith(dir, true);
    await abandon(await open(dir));
    const last = await open(dir);
    expect(last.store.lastStopWasOrderly).toBe(true);
    await abandon(last);
  });

  test("after a crash, an orderly stop of a run that opened one stream does not count for the other", async () => {
    const dir = newFolder();
    await runWith(dir, true, incidents);
    await runWith(dir, false);
    await runWith(dir, false, incidents);

    await runWith(dir, true);
    const other = await open(dir, { key: incidents });
    const same = await other.folder.open(key);

    expect([other.folder.lastStopWasOrderly, other.store.lastStopWasOrderly, same.lastStopWasOrderly]).toEqual([
      false,
      false,
      true,
    ]);
    await abandon(other);
  });

  test("a renamed stanza keeps what is known of its last stop", async () => {
    const dir = newFolder();
    await runWith(dir, true, incidents);
    await runWith(dir, false);
    const renamed = await open(dir, {
      configured: [{ stanza: "new", tenantId: CONTOSO }],
      key: { ...key, stanza: "new" as "Contoso" },
    });
    expect(renamed.store.lastStopWasOrderly).toBe(false);
    await renamed.folder.release({ orderly: true });
    const last = await open(dir, { key: { ...incidents, stanza: "new" as "Contoso" } });
    expect(last.store.lastStopWasOrderly).toBe(false);
    await abandon(last);
  });
});

test("a customer whose folder may not be read has a failure, and is not taken for a new one", async () => {
  const dir = newFolder();
  const first = await open(dir);
  await first.store.commit({ checkpoint: checkpoint(1) });
  await first.folder.release({ orderly: true });
  const refuses = ((path: fs.PathLike, ...rest: [fs.StatSyncOptions]) => {
    if (path === files(dir)) throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    return fs.statSync(path, ...rest);
  }) as typeof fs.statSync;

  await expect(open(dir, { disk: { ...fs, statSync: refuses } })).rejects.toMatchObject({ code: "state-unreadable" });
  const again = await open(dir);
  expect(again.store.checkpoint).toEqual(checkpoint(1));
  await abandon(again);
});

test("two thousand customers hold no more than a few files open", async () => {
  let held = 0;
  let most = 0;
  const disk: Disk = {
    ...fs,
    openSync: (...args) => {
      held += 1;
      most = Math.max(most, held);
      return fs.openSync(...args);
    },
    closeSync: (fd) => {
      held -= 1;
      fs.closeSync(fd);
    },
  };
  const first = await open(newFolder(), { disk });
  const stores: StreamStore[] = [];
  for (let n = 0; n < 2_000; n += 1) {
    const store = await first.folder.open({ stanza: `customer-${n}`, tenantId: CONTOSO, stream: "alerts" });
    await store.commit({ entries: entries(n, n + 1) });
    stores.push(store);
  }
  await Promise.all(stores.map((store) => Promise.all([store.flush(), store.commit({ checkpoint: checkpoint(1) })])));
  expect(most).toBeLessThan(100);
  await first.folder.release({ orderly: true });
  expect(held).toBe(0);
});

describe("a journal is flushed", () => {
  /** Flushes end when the test says so, in place of at once. */
  class HeldCalls {
    #opened: Promise<void> | undefined;

    close(): () => void {
      let release = (): void => {};
      const opened = new Promise<void>((resolve) => {
        release = resolve;
      });
      this.#opened = opened;
      return () => {
        if (this.#opened === opened) this.#opened = undefined;
        release();
      };
    }

    pass(go: () => void): void {
      if (this.#opened === undefined) go();
      else void this.#opened.finally(go);
    }
  }

  /** A disk that notes how often journals are flushed. */
  function notingDisk(): {
    disk: Disk;
    flushed: () => number;
    fails: (error: Error) => void;
    flushes: HeldCalls;
    compactions: HeldCalls;
  } {
    let count = 0;
    let failure: Error | undefined;
    const [flushes, compactions] = [new HeldCalls(), new HeldCalls()];
    const fdatasync = ((fd: number, done: (error: Error | null) => void) => {
      count += 1;
      const error = failure;
      failure = undefined;
      flushes.pass(() => (error === undefined ? fs.fdatasync(fd, done) : done(error)));
    }) as typeof fs.fdatasync;
    const fsync = ((fd: number, done: (error: Error | null) => void) =>
      compactions.pass(() => fs.fsync(fd, done))) as typeof fs.fsync;
    return {
      disk: { ...fs, fdatasync, fsync },
      flushed: () => count,
      fails: (error) => {
        failure = error;
      },
      flushes,
      compactions,
    };
  }

  test("once for all that was appended, and not again while nothing is", async () => {
    const { disk, flushed } = notingDisk();
    const opened = await open(newFolder(), { disk });
    const { store } = opened;
    await store.flush();
    expect(flushed()).toBe(0);
    await store.commit({ entries: entries(0, 3) });
    await store.commit({ entries: entries(3, 5) });
    await store.flush();
    await store.flush();
    await store.commit({ checkpoint: checkpoint(1) });
    expect(flushed()).toBe(1);
    await store.commit({ entries: entries(5, 6), checkpoint: checkpoint(2) });
    await store.commit({ checkpoint: checkpoint(3) });
    expect(flushed()).toBe(2);
    await abandon(opened);
  });

  test("once after a restart, because a killed process may have left it in memory", async () => {
    const dir = newFolder();
    const first = await open(dir);
    await first.store.commit({ entries: entries(0, 3) });
    await abandon(first);
    const { disk, flushed } = notingDisk();
    const second = await open(dir, { disk });
    await second.store.commit({ checkpoint: checkpoint(1) });
    await second.store.commit({ checkpoint: checkpoint(2) });
    expect(flushed()).toBe(1);
    await abandon(second);
  });

  test("again when a flush failed", async () => {
    const { disk, flushed, fails } = notingDisk();
    const opened = await open(newFolder(), { disk });
    await opened.store.commit({ entries: entries(0, 3) });
    fails(Object.assign(new Error("EIO"), { code: "EIO" }));
    await expect(opened.store.flush()).rejects.toMatchObject({ code: "state-unwritable" });
    await opened.store.flush();
    expect(flushed()).toBe(2);
    await abandon(opened);
  });

  test("again for what was appended while a flush was under way, and no second one ends before it is done", async () => {
    const { disk, flushed, flushes } = notingDisk();
    const opened = await open(newFolder(), { disk });
    await opened.store.commit({ entries: entries(0, 3) });
    const release = flushes.close();
    const one = opened.store.flush();
    let isDone = false;
    const two = opened.store.flush().finally(() => {
      isDone = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    await opened.store.commit({ entries: entries(3, 4) });
    expect(isDone).toBe(false);
    release();
    await Promise.all([one, two]);
    const before = flushed();
    await opened.store.flush();
    expect(flushed()).toBe(before + 1);
    await opened.store.flush();
    expect(flushed()).toBe(before + 1);
    await abandon(opened);
  });

  test("after a compaction too, also when a flush of the old file ends later", async () => {
    const { disk, flushed, flushes, compactions } = notingDisk();
    const opened = await open(newFolder(), { disk });
    const { store, folder } = opened;
    await store.commit({ entries: entries(0, 10) });
    // So many at once that the next flush waits.
    const others: StreamStore[] = [];
    for (let n = 0; n < 16; n += 1) {
      const other = await folder.open({ stanza: `other ${n}`, tenantId: CONTOSO, stream: "alerts" });
      await other.commit({ entries: entries(n, n + 1) });
      others.push(other);
    }
    const releaseOthers = flushes.close();
    const othersFlushed = others.map((other) => other.flush());
    const flushOfOldFile = store.flush();
    const releaseCompaction = compactions.close();
    const compacted = store.compact(entries(5, 10));
    await new Promise((resolve) => setImmediate(resolve));
    await store.commit({ entries: entries(10, 11) });
    const releaseFlush = flushes.close();
    releaseOthers();
    await Promise.all(othersFlushed);
    await new Promise((resolve) => setImmediate(resolve));
    expect(flushed()).toBe(17);
    releaseCompaction();
    await compacted;
    releaseFlush();
    await flushOfOldFile;

    await store.flush();
    expect(flushed()).toBe(18);
    await store.flush();
    expect(flushed()).toBe(18);
    await abandon(opened);
  });
});

describe("a tenant that is forgotten", () => {
  test("loses its checkpoints and journals, and no other tenant does", async () => {
    const dir = newFolder();
    const clock = new FakeClock(T0, { pauses: "pass" });
    const openIt = () => openStateFolder(dir, { clock, log: new FakeLog() }, { waitForLock: "10s" });
    const other = "22222222-2222-4333-8444-555555555555" as TenantId;
    const state = await openIt();
    for (const tenantId of [CONTOSO, other]) {
      const store = await state.open({ stanza: "any name", tenantId, stream: "alerts" });
      await store.commit({ entries: entries(0, 3) });
      // While a stream is open nothing of its tenant goes.
      await state.forget?.(tenantId);
      await store.close();
    }
    expect(fs.readdirSync(join(dir, "tenants")).toSorted()).toEqual([CONTOSO, other]);
    await state.forget?.(CONTOSO);
    await state.forget?.("33333333-2222-4333-8444-555555555555" as TenantId);
    expect(fs.readdirSync(join(dir, "tenants"))).toEqual([other]);
    await state.release({ orderly: true });
    // Another program may hold the folder by now.
    await expect(state.forget?.(other)).rejects.toThrow("given up");
    expect(fs.readdirSync(join(dir, "tenants"))).toEqual([other]);
    fs.rmSync(dir, { recursive: true, force: true });
  });
});
