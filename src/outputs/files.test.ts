import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { EVENING_MS, FakeClock } from "../../test/harness/fakes/clock.ts";
import { batchOf, brokenDisk, errno, newFolder, portsOf } from "../../test/harness/fakes/receiver.ts";
import type { Disk } from "../stores/disk/disk.ts";
import { FolderOutput } from "./folder.ts";
import { GrowingFile } from "./growing-file.ts";

const clock = new FakeClock(EVENING_MS);

function growing(folder: string, disk: Disk = fs, rotateBytes = 1 << 20): GrowingFile {
  return new GrowingFile({
    name: "outputs[0]",
    path: join(folder, "out", "a.cef"),
    rotateBytes,
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
    expect(fs.statSync(join(folder, "out")).mode & 0o777).toBe(0o700);
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
      await file.write({ bytes: Buffer.from("one\n"), keys: ["k".repeat(5 << 20)], ends: [4] });
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

  test("remembers nothing after a normal stop, since nothing comes again", async () => {
    const folder = newFolder();
    const before = growing(folder);
    await before.write(batchOf("one"));
    await before.close();

    expect(fs.readFileSync(join(folder, "state", "written"), "utf8")).toBe("");
  });
});

describe("a folder of events", () => {
  const folderOutput = (folder: string, content: "lines" | "json-array" = "lines", disk: Disk = fs) =>
    new FolderOutput({
      name: "outputs[1]",
      path: join(folder, "out"),
      content,
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
