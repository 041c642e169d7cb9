import * as fs from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { diskPorts, newFolder } from "../../../test/harness/fakes/disk.ts";
import { type Disk, makeFolder, readIfThere, renameOver, replaceFile } from "./disk.ts";
import { folderNameOf } from "./names.ts";

function refusing(times: number, code: string): Disk {
  let left = times;
  return {
    ...fs,
    renameSync: (from, to) => {
      if (left-- > 0) throw Object.assign(new Error(code), { code });
      fs.renameSync(from, to);
    },
  };
}

describe("a rename that Windows refuses for a moment is retried for two seconds", () => {
  test.each<[NodeJS.Platform, string, number, boolean]>([
    ["win32", "EBUSY", 5, true],
    ["win32", "EPERM", 39, true],
    ["win32", "EACCES", 41, false],
    ["win32", "ENOSPC", 1, false],
    ["linux", "EPERM", 1, false],
  ])("on %s after %s, %i times: %s", async (platform, code, times, passes) => {
    const dir = newFolder();
    fs.writeFileSync(join(dir, "a"), "");
    const outcome = await renameOver(diskPorts(refusing(times, code), platform), join(dir, "a"), join(dir, "b")).then(
      () => "renamed",
      (error: { code: string }) => error.code,
    );
    expect(outcome).toBe(passes ? "renamed" : code);
    expect(fs.existsSync(join(dir, "b"))).toBe(passes);
  });
});

describe("every stanza name is a folder of its own on every file system", () => {
  test.each([
    ["contoso", "contoso"],
    ["Contoso", "+contoso"],
    ["Contoso GmbH & Co. KG", "+contoso%20+gmb+h%20%26%20+co%2e%20+k+g"],
    ["..", "%2e%2e"],
    ["a/b\\c", "a%2fb%5cc"],
    ["日本", "%e6%97%a5%e6%9c%ac"],
    ["con", "%63on"],
    ["", "%"],
  ])("%j", (stanza, wanted) => expect(folderNameOf(stanza)).toBe(wanted));

  test("also when long names begin alike", () => {
    const long = "x".repeat(300);
    expect(folderNameOf(long).length).toBeLessThanOrEqual(120);
    expect(folderNameOf(long)).not.toBe(folderNameOf(`${long}y`));
  });
});

test("a state file that another account left behind is reported as unreadable, not unwritable", () => {
  const disk: Disk = {
    ...fs,
    readFileSync: () => {
      throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    },
  };
  expect(() => readIfThere(disk, "secrets/contoso")).toThrow("cannot be read: this account may not read it.");
});

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true });
});
function ownFolder(): string {
  const folder = newFolder();
  folders.push(folder);
  return folder;
}

/** A disk on which nothing can be made or opened for writing, for this reason. */
function closedDisk(code: string): Disk {
  const refuse = (): never => {
    throw Object.assign(new Error(code), { code });
  };
  return { ...fs, mkdirSync: refuse, openSync: refuse };
}

describe("a state folder that cannot be written says why, and what to do about that", () => {
  test.each([
    [
      "EROFS",
      "the file system is read-only",
      "Set `state_dir` to a folder on a writable file system, or allow this one in the systemd unit (ReadWritePaths=).",
    ],
    ["ENOSPC", "the disk is full", "Free disk space. Collection resumes by itself."],
    [
      "EACCES",
      "this account has no write access",
      "Give the account that runs this program the right to write there. Collection resumes by itself.",
    ],
    [
      "EBUSY",
      "another program has it open, for example a virus scanner or a backup",
      "Exclude the folder from scans and from backups of open files. Collection resumes by itself.",
    ],
    ["EUNKNOWN", "EUNKNOWN", "Free disk space or grant write access. Collection resumes by itself."],
  ])("%s: the folder and a file in it", async (code, reason, nextStep) => {
    const dir = ownFolder();
    const state = join(dir, "state");
    expect(() => makeFolder(closedDisk(code), state)).toThrow(
      expect.objectContaining({
        code: "state-unwritable",
        actor: "operator",
        say: `The state folder ${state} cannot be used: ${reason}.`,
        nextStep,
      }),
    );
    await expect(replaceFile(diskPorts(closedDisk(code)), join(dir, "facts.json"), Buffer.from("{}"))).rejects.toEqual(
      expect.objectContaining({
        code: "state-unwritable",
        say: `The state file ${join(dir, "facts.json")} cannot be written: ${reason}. What was stored before is intact.`,
        nextStep,
      }),
    );
  });

  test.each([["state"], ["state/below/it"]])("%s, where `state` is a file, names that file", (below) => {
    const dir = ownFolder();
    fs.writeFileSync(join(dir, "state"), "");
    expect(() => makeFolder(fs, join(dir, below))).toThrow(
      expect.objectContaining({
        code: "state-unwritable",
        actor: "operator",
        say: `The state folder ${join(dir, below)} cannot be used: ${join(dir, "state")} is a file, not a folder.`,
        nextStep: "Set `state_dir` to a folder.",
      }),
    );
  });

  test("a symlink that leads nowhere is named so", () => {
    const dir = ownFolder();
    fs.symlinkSync(join(dir, "nowhere"), join(dir, "state"));
    expect(() => makeFolder(fs, join(dir, "state"))).toThrow(
      expect.objectContaining({
        say: `The state folder ${join(dir, "state")} cannot be used: a part of the path is a file or a symlink that leads nowhere, not a folder.`,
        nextStep: "Set `state_dir` to a folder, or correct the symlink.",
      }),
    );
  });
});
