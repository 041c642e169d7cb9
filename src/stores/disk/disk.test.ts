import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { diskPorts, newFolder } from "../../../test/harness/fakes/disk.ts";
import { type Disk, readIfThere, renameOver } from "./disk.ts";
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
