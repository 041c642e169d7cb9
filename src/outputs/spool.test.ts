import * as fs from "node:fs";
import { basename, join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { EVENING_MS, FakeClock } from "../../test/harness/fakes/clock.ts";
import { batchOf, newFolder } from "../../test/harness/fakes/receiver.ts";
import type { Disk } from "../stores/disk/disk.ts";
import { Spool, type Spooled, type SpoolParts } from "./spool.ts";

const KEPT = { keepsAWhile: false };
const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true });
});

function folderOf(): string {
  const folder = newFolder();
  folders.push(folder);
  return folder;
}

function open(
  folder: string,
  options: {
    readonly until?: "sent" | "confirmed";
    readonly segmentBytes?: number;
    readonly freshBytes?: number;
    readonly limitBytes?: number;
    readonly clock?: FakeClock;
    readonly disk?: Disk;
  } = {},
) {
  const { limitBytes = 1 << 20, clock = new FakeClock(EVENING_MS), ...rest } = options;
  const skipped: number[] = [];
  const onSkipped = (bytes: number) => skipped.push(bytes);
  const undeletable: (string | undefined)[] = [];
  const onUndeletable: SpoolParts["onUndeletable"] = (file) => undeletable.push(file && basename(file.path));
  const parts = { folder, limitBytes, disk: fs, clock, onSkipped, onUndeletable, ...rest };
  return { ...Spool.open(parts), skipped, undeletable };
}

function text({ lines }: Pick<Spooled, "lines">): string {
  return Buffer.from(lines).toString("utf8");
}

/** Every record that is still to be sent, passed one after the other. */
function passAll(spool: Spool): Spooled[] {
  const all: Spooled[] = [];
  for (let next = spool.next(); next !== undefined; next = spool.next()) {
    spool.pass(next);
    all.push(next);
  }
  return all;
}

const segments = (folder: string) => fs.readdirSync(folder).filter((name) => name.endsWith(".spool"));

/** A disk on which a flush ends only when the test lets it, and which knows what was flushed. */
function slowDisk() {
  const paths = new Map<number, string>();
  const flushed: string[] = [];
  const waiting: (() => void)[] = [];
  const disk: typeof fs = {
    ...fs,
    openSync: (...given: Parameters<typeof fs.openSync>) => {
      const fd = fs.openSync(...given);
      paths.set(fd, basename(String(given[0])));
      return fd;
    },
    closeSync: (fd) => {
      paths.delete(fd);
      fs.closeSync(fd);
    },
    fdatasync: ((fd: number, done: fs.NoParamCallback) => {
      waiting.push(() => {
        const path = paths.get(fd);
        if (path === undefined) return done(Object.assign(new Error("EBADF"), { code: "EBADF" }));
        flushed.push(path);
        done(null);
      });
    }) as typeof fs.fdatasync,
  };
  return {
    disk,
    flushed,
    open: () => paths.size,
    finishFlushes() {
      for (const finish of waiting.splice(0)) finish();
    },
  };
}

describe.each(["sent", "confirmed"] as const)(
  "a spool on a disk that flushes slower than its receiver takes, until %s",
  (until) => {
    const spoolOn = (disk: typeof fs) =>
      Spool.open({
        folder: folderOf(),
        limitBytes: 1 << 20,
        segmentBytes: 1,
        disk,
        clock: new FakeClock(EVENING_MS),
        until,
        onSkipped: () => undefined,
        onUndeletable: () => undefined,
      }).spool;

    test("a record may be taken before its flush has ended", async () => {
      const slow = slowDisk();
      const spool = spoolOn(slow.disk);
      const appended = spool.append(batchOf("a"));
      const [taken] = passAll(spool);
      if (until === "sent") spool.advance(taken as Spooled);
      else spool.confirm(taken as Spooled, KEPT);
      slow.finishFlushes();
      expect(await appended).toBe(true);
      expect(slow.open()).toBe(0);
    });

    test("the flush of a segment is not the next one's", async () => {
      const slow = slowDisk();
      const spool = spoolOn(slow.disk);
      const appended = [spool.append(batchOf("a")), spool.append(batchOf("b"))];
      slow.finishFlushes();
      expect(await Promise.all(appended)).toEqual([true, true]);
      expect(new Set(slow.flushed).size).toBe(2);
      spool.close();
      expect(slow.open()).toBe(0);
    });
  },
);

describe.each(["sent", "confirmed"] as const)("a spool whose records wait until they are %s", (until) => {
  test("gives its records in order, with their keys, and again after a crash", async () => {
    const folder = folderOf();
    const { spool } = open(folder, { until });
    await spool.append(batchOf("a", "b"));
    await spool.append(batchOf("c"));
    expect(passAll(spool).map((one) => [text(one), one.keys])).toEqual([
      ["a\nb\n", ["a", "b"]],
      ["c\n", ["c"]],
    ]);

    const again = open(folder, { until });

    expect(again.keys).toEqual(["a", "b", "c"]);
    expect(passAll(again.spool).map(text)).toEqual(["a\nb\n", "c\n"]);
  });

  test("gives nothing of a batch whose flush failed, and keeps the ones before and behind it", async () => {
    for (const cuts of [true, false]) {
      const folder = folderOf();
      let failing = false;
      const eio = () => Object.assign(new Error("EIO"), { code: "EIO" });
      const disk = {
        ...fs,
        fdatasync: (fd: number, done: fs.NoParamCallback) => (failing ? done(eio()) : fs.fdatasync(fd, done)),
        ftruncateSync: (fd: number, length: number) => {
          if (!cuts) throw eio();
          fs.ftruncateSync(fd, length);
        },
      } as unknown as Disk;
      const { spool } = open(folder, { until, disk });
      const append = async (line: string, fails: boolean) => {
        failing = fails;
        const before = [spool.bytes, spool.waitingBytes];
        const appended = await spool.append(batchOf(line)).catch(String);
        const after = [spool.bytes, spool.waitingBytes];
        expect([appended, after.join() === before.join()]).toEqual(fails ? ["Error: EIO", true] : [true, false]);
      };
      await append("lost 1", true);
      await append("a", false);
      await append("lost 2", true);
      await append("b", false);

      expect(passAll(spool).map(text)).toEqual(["a\n", "b\n"]);
      expect(segments(folder)).toHaveLength(2);
      const left = passAll(open(folder, { until }).spool).map(text);
      expect(left.filter((line) => cuts || !line.startsWith("lost"))).toEqual(["a\n", "b\n"]);
    }
  });

  test("keeps a batch whose flush failed when another one lies behind it", async () => {
    const folder = folderOf();
    const flushes: fs.NoParamCallback[] = [];
    const fdatasync = (_: number, done: fs.NoParamCallback) => flushes.push(done);
    const { spool } = open(folder, { until, disk: { ...fs, fdatasync } as unknown as Disk });
    const appended = Promise.allSettled([spool.append(batchOf("a")), spool.append(batchOf("b"))]);
    flushes[0]?.(new Error("EIO"));
    flushes[1]?.(null);
    expect((await appended).map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(passAll(spool).map(text)).toEqual(["a\n", "b\n"]);
  });

  test("flushes what a killed run left before it counts as safe", async () => {
    const folder = folderOf();
    const { spool } = open(folder, { until, segmentBytes: 1 });
    for (const line of ["a", "b"]) await spool.append(batchOf(line));
    const opened = new Map<number, string>();
    const flushed: string[] = [];
    const disk: Disk = {
      ...fs,
      openSync: (...given) => {
        const fd = fs.openSync(...given);
        opened.set(fd, basename(String(given[0])));
        return fd;
      },
      fdatasyncSync: (fd) => {
        flushed.push(opened.get(fd) ?? "");
        fs.fdatasyncSync(fd);
      },
    };
    open(folder, { until, disk });
    expect(flushed).toEqual(segments(folder));
  });

  test("gives a record that was added after its segment was read", async () => {
    const { spool } = open(folderOf(), { until });
    await spool.append(batchOf("a"));
    passAll(spool);
    await spool.append(batchOf("b"));
    expect(passAll(spool).map(text)).toEqual(["b\n"]);
  });

  test("refuses a batch for which there is no room, and takes nothing of the group it is in", async () => {
    const { spool } = open(folderOf(), { until, limitBytes: 100 });
    expect(await spool.append(batchOf("a".repeat(40)))).toBe(true);
    expect(await spool.appendAll([batchOf("b"), batchOf("c".repeat(80))])).toBe(false);
    expect(passAll(spool).map(text)).toEqual([`${"a".repeat(40)}\n`]);
  });

  test("says what it skips because its file was deleted, and keeps what comes then", async () => {
    const folder = folderOf();
    const { spool, skipped } = open(folder, { until });
    await spool.append(batchOf("a"));
    const { bytes } = spool;
    fs.unlinkSync(join(folder, segments(folder)[0] as string));
    expect([passAll(spool), skipped]).toEqual([[], [bytes]]);

    await spool.append(batchOf("b"));
    expect(passAll(spool).map(text)).toEqual(["b\n"]);
    expect(passAll(open(folder, { until }).spool).map(text)).toEqual(["b\n"]);
  });

  test("skips a record whose length was damaged during the run, takes no such memory for it, and goes on behind it", async () => {
    const folder = folderOf();
    let largest = 0;
    const disk: typeof fs = {
      ...fs,
      readSync: ((fd: number, into: Buffer, ...more: [number, number, number]) => {
        largest = Math.max(largest, into.length);
        return fs.readSync(fd, into, ...more);
      }) as typeof fs.readSync,
    };
    const { spool, skipped } = open(folder, { until, segmentBytes: 1, disk });
    for (const line of ["a", "b"]) await spool.append(batchOf(line));
    const path = join(folder, segments(folder)[0] as string);
    const bytes = fs.readFileSync(path);
    fs.writeFileSync(path, bytes.fill(0xff, 0, 8));

    expect([passAll(spool).map(text), skipped]).toEqual([["b\n"], [bytes.length]]);
    expect(largest).toBeLessThanOrEqual(bytes.length);
  });

  test("says at a start what it skips because its file was damaged", async () => {
    const folder = folderOf();
    const { spool } = open(folder, { until, segmentBytes: 1 });
    for (const line of ["a", "b"]) await spool.append(batchOf(line));
    const path = join(folder, segments(folder)[0] as string);
    const { size } = fs.statSync(path);
    fs.writeFileSync(path, Buffer.alloc(size));

    const again = open(folder, { until });

    expect(again.skipped).toEqual([size]);
    expect(passAll(again.spool).map(text)).toEqual(["b\n"]);
  });

  test("cuts a record that a crash left half written, and keeps the ones before it", async () => {
    const folder = folderOf();
    const { spool } = open(folder, { until });
    await spool.append(batchOf("a"));
    await spool.append(batchOf("b"));
    const path = join(folder, segments(folder)[0] as string);
    fs.truncateSync(path, fs.statSync(path).size - 1);
    expect(open(folder, { until }).keys).toEqual(["a"]);
  });
});

describe("a spool whose records wait for a confirmation", () => {
  const until = "confirmed";

  test("keeps a record that was passed until it is confirmed, in any order", async () => {
    const folder = folderOf();
    const { spool } = open(folder, { until, segmentBytes: 1 });
    for (const line of ["a", "b", "c"]) await spool.append(batchOf(line));
    const [a, b, c] = passAll(spool) as [Spooled, Spooled, Spooled];

    spool.confirm(b, KEPT);
    expect(segments(folder)).toHaveLength(2);
    expect(text(spool.read(a) as Spooled)).toBe("a\n");
    spool.confirm(c, KEPT);
    spool.confirm(a, KEPT);

    expect(segments(folder)).toEqual([]);
    expect([spool.bytes, spool.waitingBytes]).toEqual([0, 0]);
  });

  test("counts a record that is confirmed twice once", async () => {
    const { spool } = open(folderOf(), { until });
    await spool.append(batchOf("a"));
    await spool.append(batchOf("b"));
    const [a] = passAll(spool) as [Spooled];
    spool.confirm(a, KEPT);
    spool.confirm(a, KEPT);
    expect(spool.waitingBytes).toBeGreaterThan(0);
  });

  test("gives every record of a segment again after a crash when one of it was not confirmed", async () => {
    const folder = folderOf();
    const { spool } = open(folder, { until });
    await spool.append(batchOf("a"));
    await spool.append(batchOf("b"));
    spool.confirm(passAll(spool)[0] as Spooled, KEPT);
    expect(passAll(open(folder, { until }).spool).map(text)).toEqual(["a\n", "b\n"]);
  });

  test("gives only what is not confirmed after an orderly stop, and forgets that list at the next start", async () => {
    const folder = folderOf();
    const { spool } = open(folder, { until });
    for (const line of ["a", "b", "c"]) await spool.append(batchOf(line));
    spool.confirm(passAll(spool)[1] as Spooled, KEPT);
    spool.close();

    const again = open(folder, { until });

    expect(again.keys).toEqual(["a", "b", "c"]);
    expect(passAll(again.spool).map(text)).toEqual(["a\n", "c\n"]);
    expect(fs.existsSync(join(folder, "confirmed"))).toBe(false);
  });

  test("goes past any number of confirmed records behind one that is not", async () => {
    const folder = folderOf();
    const room = { until, limitBytes: 8 << 20, segmentBytes: 8 << 20 } as const;
    const { spool } = open(folder, room);
    await spool.appendAll(Array.from({ length: 50_000 }, (_, n) => batchOf(`${n}`)));
    for (const record of passAll(spool).slice(1, -1)) spool.confirm(record, KEPT);
    spool.close();

    expect(passAll(open(folder, room).spool).map(text)).toEqual(["0\n", "49999\n"]);
  });

  test("takes a damaged list of confirmed records for none", async () => {
    const folder = folderOf();
    const { spool } = open(folder, { until });
    await spool.append(batchOf("a"));
    spool.close();
    fs.writeFileSync(join(folder, "confirmed"), '{"oops"');
    expect(passAll(open(folder, { until }).spool).map(text)).toEqual(["a\n"]);
  });

  test("frees its room as records are confirmed", async () => {
    const { spool } = open(folderOf(), { until, limitBytes: 60 });
    await spool.append(batchOf("a".repeat(40)));
    expect(await spool.append(batchOf("b"))).toBe(false);
    spool.confirm(passAll(spool)[0] as Spooled, KEPT);
    expect(await spool.append(batchOf("b"))).toBe(true);
  });

  test("keeps what the receiver only took for an hour, sends it again after a crash, and not after an orderly stop", async () => {
    const folder = folderOf();
    const clock = new FakeClock(EVENING_MS);
    const { spool } = open(folder, { until, clock });
    await spool.append(batchOf("a"));
    spool.confirm(passAll(spool)[0] as Spooled, { keepsAWhile: true });
    expect(spool.waitingBytes).toBe(0);
    expect(passAll(open(folder, { until, clock }).spool).map(text)).toEqual(["a\n"]);

    await clock.advance(3_600_001);
    await spool.append(batchOf("b"));
    expect(segments(folder)).toHaveLength(1);
    spool.confirm(passAll(spool)[0] as Spooled, { keepsAWhile: true });
    spool.close();
    expect(segments(folder)).toEqual([]);
  });

  test("drops what the receiver only took before it refuses a batch", async () => {
    const { spool } = open(folderOf(), { until, limitBytes: 60 });
    await spool.append(batchOf("a".repeat(40)));
    spool.confirm(passAll(spool)[0] as Spooled, { keepsAWhile: true });
    expect(await spool.append(batchOf("b".repeat(40)))).toBe(true);
  });

  test("keeps what is on its way in a segment of which the rest cannot be read", async () => {
    const folder = folderOf();
    const { spool, skipped } = open(folder, { until });
    await spool.append(batchOf("a"));
    const [a] = passAll(spool) as [Spooled];
    await spool.append(batchOf("b"));
    const path = join(folder, segments(folder)[0] as string);
    fs.truncateSync(path, a.endsAt);

    expect([passAll(spool), skipped]).toEqual([[], [a.endsAt]]);
    expect(passAll(open(folder, { until }).spool).map(text)).toEqual(["a\n"]);
    spool.confirm(a, KEPT);
    expect([segments(folder), spool.bytes, spool.waitingBytes]).toEqual([[], 0, 0]);
  });

  test("skips a segment that somebody deleted, and the rest does not wait for it", async () => {
    const folder = folderOf();
    const { spool } = open(folder, { until, segmentBytes: 1 });
    await spool.append(batchOf("a"));
    await spool.append(batchOf("b"));
    fs.unlinkSync(join(folder, segments(folder)[0] as string));
    expect(passAll(spool).map(text)).toEqual(["b\n"]);
  });
});

describe("a spool whose sent files could not be deleted until after the stop", () => {
  /** Sends it as syslog does. */
  async function send(spool: Spool, line: string): Promise<void> {
    await spool.append(batchOf(line));
    for (let next = spool.next(); next !== undefined; next = spool.next()) spool.advance(next);
  }

  /** What an orderly stop leaves behind that could delete nothing. */
  async function left(): Promise<string> {
    const folder = folderOf();
    const unlinkSync = (): never => {
      throw Object.assign(new Error("EBUSY"), { code: "EBUSY" });
    };
    const { spool, undeletable } = open(folder, { disk: { ...fs, unlinkSync } });
    await send(spool, "a");
    await send(spool, "b");
    spool.close();
    expect([segments(folder), undeletable]).toEqual([["000000001.spool", "000000002.spool"], ["000000001.spool"]]);
    return folder;
  }

  test("deletes them at the next start, and sends nothing of them when the connection breaks", async () => {
    const folder = await left();
    const clock = new FakeClock(EVENING_MS);
    const { spool } = open(folder, { clock });
    expect([segments(folder), spool.bytes, spool.isDrained]).toEqual([[], 0, true]);
    await send(spool, "c");
    spool.rewind();
    expect(passAll(spool).map(text)).toEqual(["c\n"]);
  });

  test("keeps what it sends for an hour, as every other spool, while they stay undeletable", async () => {
    const folder = await left();
    const clock = new FakeClock(EVENING_MS);
    const unlinkSync = (path: fs.PathLike): void => {
      if (/00000000[12]/.test(String(path))) throw Object.assign(new Error("EBUSY"), { code: "EBUSY" });
      fs.unlinkSync(path);
    };
    const { spool } = open(folder, { clock, disk: { ...fs, unlinkSync } });
    await send(spool, "c");
    await clock.advance(3_601_000);
    await send(spool, "d");
    expect(segments(folder)).toEqual(["000000001.spool", "000000002.spool", "000000004.spool"]);
    spool.close();
    expect(passAll(open(folder).spool)).toEqual([]);
  });

  test("sends what is written after somebody deleted them by hand", async () => {
    const folder = await left();
    for (const name of segments(folder)) fs.unlinkSync(join(folder, name));
    const { spool } = open(folder);
    await spool.append(batchOf("c"));
    await spool.append(batchOf("d"));
    expect(passAll(spool).map(text)).toEqual(["c\n", "d\n"]);
  });
});

describe.each(["sent", "confirmed"] as const)(
  "a spool whose records wait until they are %s, and whose files cannot be deleted for a while",
  (until) => {
    function stuck(limitBytes: number) {
      const clock = new FakeClock(EVENING_MS);
      const folder = folderOf();
      let isStuck = true;
      const unlinkSync = (path: fs.PathLike): void => {
        if (isStuck) throw Object.assign(new Error("EBUSY"), { code: "EBUSY" });
        fs.unlinkSync(path);
      };
      const { spool, undeletable } = open(folder, { clock, until, limitBytes, disk: { ...fs, unlinkSync } });
      const deliver = async (): Promise<boolean> => {
        const isTaken = await spool.append(batchOf("x".repeat(40)));
        for (let next = spool.next(); next !== undefined; next = spool.next())
          if (until === "sent") spool.advance(next);
          else {
            spool.pass(next);
            spool.confirm(next, KEPT);
          }
        return isTaken;
      };
      return { clock, folder, spool, undeletable, deliver, release: () => void (isStuck = false) };
    }

    test("takes records again afterwards, although it is full of such files and nothing else is done", async () => {
      const { clock, undeletable, deliver, release } = stuck(400);
      while (await deliver()) await clock.advance(1_000);
      release();
      await clock.advance(10_000);

      expect(await deliver()).toBe(true);
      expect(undeletable).toEqual(["000000001.spool", undefined]);
    });

    test("deletes them at the stop, although nothing else has to be deleted", async () => {
      const { folder, spool, deliver, release } = stuck(100);
      while (await deliver());
      release();
      spool.close();

      expect(fs.readdirSync(folder)).toEqual([]);
    });
  },
);

test("a record that was released lends its memory to the next one, and one that was not keeps its bytes", async () => {
  const { spool } = open(folderOf(), { until: "confirmed" });
  for (const name of ["a", "b", "c"]) await spool.append(batchOf(name));
  const take = () => {
    const next = spool.next() as Spooled;
    spool.pass(next);
    return next;
  };
  const [a, b] = [take(), take()];
  spool.release(b);
  const c = take();
  expect([a, c].map(text)).toEqual(["a\n", "c\n"]);
  expect(c.lines.buffer).toBe(b.lines.buffer);
});

describe("records that stay in memory until they are next", () => {
  const KEPT_IN_MEMORY = 1 << 17;

  test("are given without a look at the disk, and those behind them are read from it", async () => {
    let reads = 0;
    const readSync = ((...args: Parameters<typeof fs.readSync>) => {
      reads += 1;
      return fs.readSync(...args);
    }) as Disk["readSync"];
    const options = { until: "confirmed", freshBytes: KEPT_IN_MEMORY } as const;
    const { spool } = open(folderOf(), { ...options, disk: { ...fs, readSync } });
    // Memory is lent in steps of 64 KiB.
    for (const name of ["a", "b", "c"]) await spool.append(batchOf(name));
    const take = () => {
      const next = spool.next() as Spooled;
      spool.pass(next);
      return [text(next), next.keys, reads > 0];
    };
    expect([take(), take(), take()]).toEqual([
      ["a\n", ["a"], false],
      ["b\n", ["b"], false],
      ["c\n", ["c"], true],
    ]);
    // Nothing waits on the disk any more.
    reads = 0;
    await spool.append(batchOf("d"));
    expect(take()).toEqual(["d\n", ["d"], false]);
  });

  test("are the records that the disk holds, whatever fails between", async () => {
    const step = fc.oneof(
      fc.record({ is: fc.constant("append" as const), count: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ is: fc.constantFrom("fail to write" as const, "fail to flush" as const), count: fc.constant(2) }),
      fc.record({ is: fc.constantFrom("take" as const, "confirm" as const), count: fc.constant(1) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const given = await Promise.all([0, KEPT_IN_MEMORY].map((freshBytes) => storyOf(steps, freshBytes)));
        expect(given[1]).toEqual(given[0]);
      }),
    );
  });

  function failed(code: string): NodeJS.ErrnoException {
    return Object.assign(new Error(code), { code });
  }

  async function storyOf(steps: readonly { readonly is: string; readonly count: number }[], freshBytes: number) {
    let failing = "";
    const disk: Disk = {
      ...fs,
      writeSync: ((fd: number, bytes: Uint8Array, at: number, length: number) => {
        // The second record of the group.
        if (failing === "fail to write" && Buffer.from(bytes).includes("-1")) throw failed("ENOSPC");
        return fs.writeSync(fd, bytes, at, length);
      }) as Disk["writeSync"],
      fdatasync: ((fd: number, done: fs.NoParamCallback) =>
        failing === "fail to flush" ? done(failed("EIO")) : fs.fdatasync(fd, done)) as Disk["fdatasync"],
    };
    const { spool } = open(folderOf(), { until: "confirmed", freshBytes, segmentBytes: 100, disk });
    const given: string[] = [];
    const passed: Spooled[] = [];
    const take = (): boolean => {
      const next = spool.next();
      if (next === undefined) return false;
      spool.pass(next);
      given.push(`${next.segment} ${next.startsAt} ${next.endsAt} ${text(next)} ${next.keys.join()}`);
      spool.release(next);
      passed.push(next);
      return true;
    };
    for (const [n, { is, count }] of steps.entries()) {
      failing = is;
      const group = Array.from({ length: count }, (_, i) => batchOf(`${n}-${i}`));
      if (is === "take") take();
      else if (is === "confirm") for (const one of passed.splice(0, 1)) spool.confirm(one, { keepsAWhile: false });
      else await spool.appendAll(group).catch(() => given.push(`${n} failed`));
    }
    while (take());
    return given;
  }
});
