import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { EVENING_MS, FakeClock } from "../../test/harness/fakes/clock.ts";
import { batchOf, brokenDisk, errno, newFolder, portsOf } from "../../test/harness/fakes/receiver.ts";
import type { Disk } from "../stores/disk/disk.ts";
import { FolderOutput } from "./folder.ts";
import { GrowingFile } from "./growing-file.ts";
import type { ReaderAccess } from "./reader-access.ts";

const clock = new FakeClock(EVENING_MS);
const ACCESS: ReaderAccess = { mode: 0o640 };

function growing(
  folder: string,
  disk: Disk = fs,
  rotateBytes = 1 << 20,
  { path = join(folder, "out", "a.cef"), access = ACCESS }: { path?: string; access?: ReaderAccess } = {},
): GrowingFile {
  return new GrowingFile({
    name: "outputs[0]",
    path,
    rotateBytes,
    access,
    stateFolder: join(folder, "state"),
    disk,
    clock,
  });
}

function read(folder: string): string {
  return fs.readFileSync(join(folder, "out", "a.cef"), "utf8");
}

function names(folder: string): string[] {
  return fs.readdirSync(join(folder, "out")).sort();
}

describe("a growing file", () => {
  test("gets whole lines and no empty one, in a folder that is made for it", async () => {
    const folder = newFolder();
    const file = growing(folder);

    await file.write(batchOf("one", "two"));
    await file.write({ bytes: Buffer.from("health\n"), keys: [], ends: [] });

    expect(read(folder)).toBe("one\ntwo\nhealth\n");
  });

  test("names the state folder, not the file, when the state folder is full", async () => {
    const folder = newFolder();
    const broken = brokenDisk();
    const file = growing(folder, broken.disk);
    broken.failing = { writeSync: () => errno("ENOSPC") };
    await expect(file.write(batchOf("one"))).rejects.toMatchObject({
      code: "output-full",
      say: expect.stringContaining(`${join(folder, "state")} cannot be written: the disk is full`),
    });
    broken.failing = {};
    await file.write(batchOf("one"));
    expect(read(folder)).toBe("one\n");
  });

  test.each(["openSync", "writeSync", "renameSync"] as const)(
    "goes on after %s failed while its note of what was written was made shorter, and leaves nothing open",
    async (call) => {
      const folder = newFolder();
      const broken = brokenDisk();
      const file = growing(folder, broken.disk);
      await file.write({ bytes: Buffer.from("one\n"), keys: ["k".repeat(17 << 20)], ends: [4] });
      let open = 0;
      const count = (by: number) => () => {
        open += by;
        return undefined;
      };
      const isAside = (path: unknown) => String(path).endsWith(".new");
      broken.failing = {
        openSync: (path) => (call === "openSync" && isAside(path) ? errno("ENOSPC") : count(1)()),
        closeSync: count(-1),
        ...(call === "openSync" ? {} : { [call]: () => errno("ENOSPC") }),
      };

      await expect(file.write(batchOf("two"))).rejects.toMatchObject({
        say: expect.stringContaining(`${join(folder, "state")} cannot be`),
      });
      expect(open).toBeLessThanOrEqual(0);
      broken.failing = {};
      await file.write(batchOf("two"));

      expect(read(folder)).toBe("one\ntwo\n");
      expect(growing(folder).wants("two")).toBe(false);
    },
  );

  test("is refused at a pipe or a device, since opening a pipe without a reader would block the whole program", async () => {
    const folder = newFolder();
    const file = new GrowingFile({
      name: "outputs[0]",
      path: "/dev/null",
      rotateBytes: 1 << 20,
      access: ACCESS,
      stateFolder: join(folder, "state"),
      disk: fs,
      clock,
    });
    await expect(file.write(batchOf("one"))).rejects.toMatchObject({
      code: "output-broken",
      say: expect.stringContaining("/dev/null cannot be written: it is a pipe or a device, not a file."),
    });
  });

  test("is renamed at its size and a new one begun, and nothing is deleted", async () => {
    const folder = newFolder();
    const file = growing(folder, fs, 12);

    for (const line of ["first", "second", "third"]) await file.write(batchOf(line));

    expect(names(folder)).toEqual(["a-20261124T190000000Z.cef", "a-20261124T190000001Z.cef", "a.cef"]);
    expect(names(folder).map((name) => fs.readFileSync(join(folder, "out", name), "utf8"))).toEqual([
      "first\n",
      "second\n",
      "third\n",
    ]);
  });

  test("is set aside when a kill cut off its last line, so that no half line precedes a whole one", async () => {
    const folder = newFolder();
    await growing(folder).write(batchOf("one"));
    fs.appendFileSync(join(folder, "out", "a.cef"), "tw");

    await growing(folder).write(batchOf("three"));

    expect(read(folder)).toBe("three\n");
    expect(fs.readFileSync(join(folder, "out", "a-20261124T190000000Z.cef"), "utf8")).toBe("one\ntw");
  });

  test.each(["rename", "delete", "folder"])("is made anew after it was moved or deleted (%s)", async (how) => {
    const folder = newFolder();
    const file = growing(folder);
    await file.write(batchOf("one"));

    if (how === "rename") fs.renameSync(join(folder, "out", "a.cef"), join(folder, "out", "a.cef.1"));
    else if (how === "delete") fs.unlinkSync(join(folder, "out", "a.cef"));
    else fs.rmSync(join(folder, "out"), { recursive: true });
    await file.write(batchOf("two"));

    expect(read(folder)).toBe("two\n");
  });

  test("is neither padded with zero bytes nor truncated below foreign lines when a write fails after others changed it", async () => {
    const folder = newFolder();
    const broken = brokenDisk();
    const file = growing(folder, broken.disk);
    const failed = async () => {
      broken.failing = { fdatasync: () => errno("ENOSPC") };
      await expect(file.write(batchOf("lost"))).rejects.toMatchObject({ code: "output-full" });
      broken.failing = {};
    };
    await file.write(batchOf("one"));

    fs.truncateSync(join(folder, "out", "a.cef"), 0);
    await failed();
    expect(read(folder)).toBe("");
    fs.appendFileSync(join(folder, "out", "a.cef"), "foreign\n");
    await failed();
    await file.write(batchOf("two"));

    expect(read(folder)).toBe("foreign\ntwo\n");
  });

  test("on a full disk keeps no half line, says so in one sentence, and wants the events again", async () => {
    const folder = newFolder();
    const broken = brokenDisk();
    const file = growing(folder, broken.disk);
    await file.write(batchOf("one"));

    broken.failing = { fdatasync: () => errno("ENOSPC") };
    await expect(file.write(batchOf("two"))).rejects.toMatchObject({
      code: "output-full",
      say: expect.stringMatching(/^outputs\[0\]: .*a\.cef cannot be written: the disk is full\. Nothing is lost/),
    });
    expect(file.wants("two")).toBe(true);
    broken.failing = {};
    await file.write(batchOf("two"));

    expect(read(folder)).toBe("one\ntwo\n");
  });

  test("knows after a kill which events are in it, so that none is written twice and none is left out", async () => {
    const folder = newFolder();
    const before = growing(folder);
    await before.write(batchOf("one", "two"));
    await before.write(batchOf("three", "four"));
    // The kill came in the middle of the last write.
    fs.truncateSync(join(folder, "out", "a.cef"), "one\ntwo\nthree\nfo".length);

    const after = growing(folder);

    expect(["one", "two", "three", "four", "five"].filter((key) => after.wants(key))).toEqual(["four", "five"]);
  });

  test("knows after a kill what is in the file that was renamed just before, though the new one is shorter", async () => {
    const folder = newFolder();
    const killed = growing(folder, fs, 30);
    await killed.write(batchOf("a line that fills the file"));
    await killed.write(batchOf("next"));
    expect(names(folder)).toHaveLength(2);

    const again = growing(folder, fs, 30);
    expect(["a line that fills the file", "next", "other"].map((line) => again.wants(line))).toEqual([
      false,
      false,
      true,
    ]);
  });

  test.each([
    ["whole", "900 "],
    ["cut off in the log too", "9"],
  ])("wants an event that a kill kept out of the file after the next kill too (%s)", async (_how, size) => {
    const folder = newFolder();
    await growing(folder).write(batchOf("one"));
    fs.appendFileSync(join(folder, "state", "written"), size === "9" ? size : `${size}two\n`);

    const second = growing(folder, fs, 8);
    expect(second.wants("two")).toBe(true);
    await second.write(batchOf("x".repeat(2000)));
    await second.write(batchOf("three"));

    const third = growing(folder, fs, 8);
    expect(["one", "two", "x".repeat(2000), "three"].map((line) => third.wants(line))).toEqual([
      false,
      true,
      false,
      false,
    ]);
  });

  test("wants the events of a failed write again after a kill", async () => {
    const folder = newFolder();
    const broken = brokenDisk();
    const before = growing(folder, broken.disk);
    broken.failing = { fdatasync: () => errno("EIO") };
    await expect(before.write(batchOf("lost"))).rejects.toMatchObject({ code: "output-broken" });
    broken.failing = {};
    await before.write(batchOf("kept-kept-kept"));

    const after = growing(folder);

    expect([after.wants("lost"), after.wants("kept-kept-kept")]).toEqual([true, false]);
  });

  test("knows after a normal stop and a kill what it wrote before both, since another output may have it replayed", async () => {
    const folder = newFolder();
    const stopped = growing(folder);
    await stopped.write(batchOf("one"));
    await stopped.close();
    const killed = growing(folder);
    expect(killed.wants("one")).toBe(false);
    await killed.write(batchOf("two"));

    const again = growing(folder);

    expect(["one", "two", "three"].map((key) => again.wants(key))).toEqual([false, false, true]);
  });

  test("is taken by its reader after a normal stop, and its events are still known", async () => {
    const folder = newFolder();
    const stopped = growing(folder);
    await stopped.write(batchOf("one"));
    await stopped.close();
    fs.unlinkSync(join(folder, "out", "a.cef"));
    const killed = growing(folder);
    await killed.write(batchOf("2"));

    expect(["one", "2"].map((key) => growing(folder).wants(key))).toEqual([false, false]);
  });

  test("knows as many events after a restart as the engine may replay, and its note of them stays small", async () => {
    const folder = newFolder();
    const file = growing(folder, fs, 1 << 30);
    const many = Array.from({ length: 5_000 }, (_, i) => `${i}`.padStart(200, "-"));
    for (let part = 0; part < 24; part += 1) await file.write(batchOf(...many.map((key) => `${part}${key}`)));
    await file.close();

    const again = growing(folder, fs, 1 << 30);
    const known = Array.from({ length: 24 }, (_, part) => !again.wants(`${part}${many[0]}`));
    expect(known.slice(-10)).toEqual(Array.from({ length: 10 }, () => true));
    expect(fs.statSync(join(folder, "state", "written")).size).toBeLessThan(24 << 20);
  });
});

describe("a folder of events", () => {
  const folderOutput = (folder: string, content: "lines" | "json-array" = "lines", disk: Disk = fs, keepDays = 0) =>
    new FolderOutput({
      name: "outputs[1]",
      path: join(folder, "out"),
      content,
      access: ACCESS,
      keepDays,
      stateFolder: join(folder, "state"),
      ports: portsOf(disk, clock),
      clock,
    });

  test("gets whole files whose names sort in the order of writing", async () => {
    const folder = newFolder();
    const output = folderOutput(folder);

    await output.write(batchOf("one"));
    await output.write(batchOf("two"));

    expect(names(folder)).toEqual(["defender-20261124T190000000Z-0000.cef", "defender-20261124T190000000Z-0001.cef"]);
    expect(fs.readFileSync(join(folder, "out", names(folder)[1] as string), "utf8")).toBe("two\n");
  });

  test("holds one array per file for JSON", async () => {
    const folder = newFolder();
    const output = folderOutput(folder, "json-array");

    await Promise.all([output.write(batchOf('{"a":1}', '{"b":2}')), output.write(batchOf('{"c":3}'))]);

    expect(names(folder)).toHaveLength(1);
    expect(JSON.parse(fs.readFileSync(join(folder, "out", names(folder)[0] as string), "utf8"))).toEqual([
      { a: 1 },
      { b: 2 },
      { c: 3 },
    ]);
  });

  test("is made anew after it vanished", async () => {
    const folder = newFolder();
    const output = folderOutput(folder);
    await output.write(batchOf("one"));
    fs.rmSync(join(folder, "out"), { recursive: true });

    await output.write(batchOf("two"));

    expect(names(folder)).toHaveLength(1);
  });

  test("shows no part of a file that could not be written, and wants its events again", async () => {
    const folder = newFolder();
    const broken = brokenDisk();
    const output = folderOutput(folder, "lines", broken.disk);
    broken.failing = { renameSync: () => errno("EACCES") };

    await expect(output.write(batchOf("one"))).rejects.toMatchObject({ code: "output-broken" });

    expect(names(folder)).toEqual([]);
    expect(output.wants("one")).toBe(true);
    expect(folderOutput(folder).wants("one")).toBe(true);
  });

  test("deletes its files older than keep_days, and nothing that another program put there", async () => {
    const folder = newFolder();
    fs.mkdirSync(join(folder, "out"));
    const kept = [
      "defender-20261118T190000000Z-0000.cef",
      "defender-notes.cef",
      "defender-20261101T000000000Z-0000.cef.done",
      "other-20261101T000000000Z-0000.cef",
    ];
    const old = ["defender-20261117T185959999Z-0000.cef", "defender-20250101T000000000Z-0012.json"];
    for (const name of [...kept, ...old]) fs.writeFileSync(join(folder, "out", name), "x\n");

    await folderOutput(folder).write(batchOf("one"));
    expect(names(folder)).toEqual(expect.arrayContaining(old));
    await folderOutput(folder, "lines", fs, 7).write(batchOf("two"));

    expect(names(folder)).toEqual(expect.arrayContaining(kept));
    expect(names(folder).filter((name) => old.includes(name))).toEqual([]);
  });

  test("finishes whole files after a kill and removes partial ones", async () => {
    const folder = newFolder();
    const broken = brokenDisk();
    const before = folderOutput(folder, "lines", broken.disk);
    // Killed between the note and the rename: nothing after it ran.
    broken.failing = {
      renameSync: () => new Error("killed"),
      unlinkSync: () => errno("EIO"),
      ftruncateSync: () => new Error("killed"),
    };
    await before.write(batchOf("whole")).catch(() => undefined);
    fs.writeFileSync(join(folder, "out", ".defender-20261124T180000000Z-0000.cef.part"), "hal");

    const after = folderOutput(folder);

    expect(names(folder)).toEqual(["defender-20261124T190000000Z-0000.cef"]);
    expect(after.wants("whole")).toBe(false);
  });
});

describe("the connector's account", () => {
  const modeOf = (...path: string[]) => fs.statSync(join(...path)).mode & 0o7777;

  /** Runs as systemd's `UMask=` would have it. */
  async function withUmask(umask: number, run: () => Promise<void>): Promise<void> {
    const before = process.umask(umask);
    try {
      await run();
    } finally {
      expect(process.umask(before)).toBe(umask);
    }
  }

  /** Files belong to `group`, folders to 4321, and the account is in the groups of `member`. */
  function diskWithGroups(member: readonly number[], group = 1000) {
    const given: [string | number, number][] = [];
    const give = (what: fs.PathLike | number, _uid: number, gid: number) => {
      if (!member.includes(gid)) throw errno("EPERM");
      given.push([String(what), gid]);
    };
    const disk = {
      ...fs,
      fstatSync: (fd: number) => Object.assign(fs.fstatSync(fd), { gid: group }),
      statSync: (path: fs.PathLike) => Object.assign(fs.statSync(path), { gid: 4321 }),
      readFileSync: (path: fs.PathLike) =>
        path === "/etc/group" ? Buffer.from("root:x:0:\narcsight:x:777:connector\n") : fs.readFileSync(path),
      fchownSync: (_fd: number, uid: number, gid: number) => give("a file", uid, gid),
      chownSync: give,
    } as unknown as Disk;
    return { disk, given };
  }

  test.each([0o007, 0o022, 0o077])("gets read access to new files and folders whatever the umask is (%o)", (umask) =>
    withUmask(umask, async () => {
      const folder = newFolder();
      const path = join(folder, "new", "out", "a.cef");
      await growing(folder, fs, 1 << 20, { path }).write(batchOf("one"));

      expect(modeOf(path)).toBe(0o640);
      expect([modeOf(folder, "new"), modeOf(folder, "new", "out")]).toEqual([0o750, 0o750]);
      expect([modeOf(folder, "state"), modeOf(folder, "state", "written")]).toEqual([0o700, 0o600]);
    }),
  );

  test("may read each file of a folder output", () =>
    withUmask(0o077, async () => {
      const folder = newFolder();
      const output = new FolderOutput({
        name: "outputs[0]",
        path: join(folder, "out"),
        content: "lines",
        access: { mode: 0o664 },
        keepDays: 0,
        stateFolder: join(folder, "state"),
        ports: portsOf(fs, clock),
        clock,
      });
      await output.write(batchOf("one"));
      expect([modeOf(folder, "out"), modeOf(folder, "out", names(folder)[0] as string)]).toEqual([0o775, 0o664]);
    }));

  test("keeps what a chmod of the file gave it, also across a rotation, a removal and a restart", async () => {
    const folder = newFolder();
    const file = growing(folder, fs, 12);
    await file.write(batchOf("first"));
    fs.chmodSync(join(folder, "out", "a.cef"), 0o604);
    await file.write(batchOf("second"));
    expect(names(folder).map((name) => modeOf(folder, "out", name))).toEqual([0o604, 0o604]);

    fs.unlinkSync(join(folder, "out", "a.cef"));
    await file.write(batchOf("third"));
    expect(modeOf(folder, "out", "a.cef")).toBe(0o604);
    fs.appendFileSync(join(folder, "out", "a.cef"), "tor");
    await growing(folder, fs, 12).write(batchOf("fourth"));
    expect(names(folder).map((name) => modeOf(folder, "out", name))).toEqual([0o604, 0o604, 0o604]);
  });

  test("keeps its group folder: new folders in a setgid folder are setgid, and existing ones keep their mode", async () => {
    const folder = newFolder();
    fs.mkdirSync(join(folder, "out"));
    fs.chmodSync(join(folder, "out"), 0o2770);
    const path = join(folder, "out", "deeper", "a.cef");
    await growing(folder, fs, 1 << 20, { path }).write(batchOf("one"));
    expect([modeOf(folder, "out"), modeOf(folder, "out", "deeper")]).toEqual([0o2770, 0o2750]);
  });

  test.each([
    ["the folder's", undefined, 4321],
    ["the one named", "arcsight", 777],
    ["the one numbered", "31", 31],
  ])("gets files of its group: %s", async (_, group, gid) => {
    const folder = newFolder();
    fs.mkdirSync(join(folder, "out"));
    const { disk, given } = diskWithGroups([gid]);
    await growing(folder, disk, 1 << 20, { access: { mode: 0o640, group } }).write(batchOf("one"));
    expect(given).toEqual([["a file", gid]]);
  });

  test("does not stop the output when no group is configured and the folder's group cannot be set", async () => {
    const folder = newFolder();
    fs.mkdirSync(join(folder, "out"));
    await growing(folder, diskWithGroups([]).disk).write(batchOf("one"));
    expect(read(folder)).toBe("one\n");
  });

  test.each([
    ["arcsight", "this account is not a member of the group in .group"],
    ["nobody-knows", "the group in .group does not exist on this machine"],
  ])(
    "is never shut out quietly: group %s is refused at every attempt, and no file is left behind",
    async (group, say) => {
      const folder = newFolder();
      fs.mkdirSync(join(folder, "out"));
      const file = growing(folder, diskWithGroups([]).disk, 1 << 20, { access: { mode: 0o640, group } });
      for (let attempt = 0; attempt < 2; attempt += 1)
        await expect(file.write(batchOf("one"))).rejects.toMatchObject({
          code: "output-broken",
          say: expect.stringContaining(`a.cef cannot be written: ${say}.`),
        });
      expect(names(folder)).toEqual([]);
    },
  );

  test("finds the same symlink after a rotation: the file that it points to is set aside, not the symlink", async () => {
    const folder = newFolder();
    fs.mkdirSync(join(folder, "out"));
    fs.mkdirSync(join(folder, "disk"));
    fs.writeFileSync(join(folder, "disk", "real.cef"), "");
    fs.symlinkSync("../disk/real.cef", join(folder, "out", "a.cef"));
    const file = growing(folder, fs, 12);
    for (const line of ["first", "second"]) await file.write(batchOf(line));

    expect(names(folder)).toEqual(["a.cef"]);
    expect(fs.readlinkSync(join(folder, "out", "a.cef"))).toBe("../disk/real.cef");
    expect(fs.readdirSync(join(folder, "disk")).sort()).toEqual(["real-20261124T190000000Z.cef", "real.cef"]);
    expect(read(folder)).toBe("second\n");

    fs.unlinkSync(join(folder, "disk", "real.cef"));
    await file.write(batchOf("third"));
    expect(read(folder)).toBe("third\n");
    fs.unlinkSync(join(folder, "disk", "real.cef"));
    const again = growing(folder, fs, 12);
    await again.write(batchOf("fourth"));
    expect(read(folder)).toBe("fourth\n");
  });
});

describe("a path that can hold no output", () => {
  test.each<[string, (folder: string) => string, string]>([
    ["a folder", (folder) => folder, "it is a folder, not a file"],
    ["below /proc", () => "/proc/x", "no file or folder can be created there"],
    ["in a folder below /proc", () => "/proc/x/y/a.cef", "no file or folder can be created there"],
    [
      "a symlink that leads nowhere",
      (folder) => {
        fs.symlinkSync("gone", join(folder, "symlink"));
        return join(folder, "symlink");
      },
      "it is a symlink to a file that does not exist",
    ],
    [
      "a ring of symlinks",
      (folder) => {
        fs.symlinkSync("ring", join(folder, "ring"));
        return join(folder, "ring");
      },
      "its symlinks lead back to themselves",
    ],
    [
      "in a folder that is a symlink which leads nowhere",
      (folder) => {
        fs.symlinkSync("gone", join(folder, "symlink"));
        return join(folder, "symlink", "a.cef");
      },
      "a part of the path is a file or a symlink that leads nowhere, not a folder",
    ],
  ])("is refused in one sentence and never waited for: %s", async (_, make, say) => {
    const folder = newFolder();
    const file = growing(folder, fs, 1 << 20, { path: make(folder) });
    await expect(file.write(batchOf("one"))).rejects.toMatchObject({
      code: "output-broken",
      say: expect.stringContaining(`cannot be written: ${say}.`),
    });
  });

  test("is refused for the state folder too, in one sentence: below /proc", () => {
    const folder = newFolder();
    expect(
      () =>
        new GrowingFile({
          name: "outputs[0]",
          path: join(folder, "a.cef"),
          rotateBytes: 1,
          access: ACCESS,
          stateFolder: "/proc/x/y",
          disk: fs,
          clock,
        }),
    ).toThrow(/The state folder \/proc\/x\/y cannot be used: no folder can be created there/);
  });
});
