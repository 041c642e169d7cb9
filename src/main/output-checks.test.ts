import { existsSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { checkPlace, checkStateFolder } from "./output-checks.ts";

const folder = mkdtempSync(join(tmpdir(), "output-checks-"));
mkdirSync(join(folder, "a-folder"));
writeFileSync(join(folder, "a-file"), "x\n");
symlinkSync(join(folder, "nowhere"), join(folder, "dangling"));

const look = (type: "cef-file" | "cef-folder", path: string, group?: string) =>
  checkPlace({ name: "outputs[0]", type, path, ...(group === undefined ? {} : { group }) });

test.each([
  ["cef-file", "a-folder", "it is a folder, not a file"],
  ["cef-file", "dangling", "it is a symlink to a file that does not exist"],
  ["cef-file", "a-file/x.cef", "a part of the path is a file, not a folder"],
  ["cef-file", "dangling/x.cef", "a part of the path is a file or a symlink that leads nowhere, not a folder"],
  ["cef-folder", "a-file", "a part of the path is a file, not a folder"],
  ["cef-folder", "dangling", "a part of the path is a file or a symlink that leads nowhere, not a folder"],
] as const)("doctor sees that a %s cannot be at %s, in the sentence of run and check", async (type, path, say) => {
  await expect(look(type, join(folder, path))).rejects.toMatchObject({
    code: "output-broken",
    say: expect.stringContaining(`outputs[0]: ${join(folder, path)} cannot be written: ${say}.`),
  });
});

test("doctor sees a device and a group that does not exist", async () => {
  await expect(look("cef-file", "/dev/null")).rejects.toMatchObject({
    say: expect.stringContaining("it is a pipe or a device, not a file."),
  });
  await expect(look("cef-file", join(folder, "new.cef"), "no-such-group")).rejects.toMatchObject({
    say: expect.stringContaining("the group in .group does not exist on this machine."),
  });
});

test.each([
  ["cef-file", "a-file"],
  ["cef-file", "new/deeper/a.cef"],
  ["cef-folder", "a-folder"],
] as const)("doctor finds a %s at %s in order", async (type, path) => {
  await expect(look(type, join(folder, path))).resolves.toBe(`${join(folder, path)} can be written.`);
});

test.each([
  ["a-file", /a-file is a file, not a folder\.$/],
  ["a-file/state", /a-file is a file, not a folder\.$/],
  ["dangling", /a part of the path is a file or a symlink that leads nowhere, not a folder\.$/],
])("doctor and check see that the state folder cannot be at %s, in the sentence of run", async (name, say) => {
  await expect(checkStateFolder(join(folder, name))).rejects.toMatchObject({
    code: "state-unwritable",
    say: expect.stringMatching(say),
    nextStep: expect.stringContaining("Set `state_dir` to a folder"),
  });
});

(process.platform === "linux" ? test : test.skip).each(["/proc/x", "/proc/x/y", "/proc/self/x"])(
  "doctor and check see that the state folder cannot be at %s, where the folder's mode does not say so",
  async (place) => {
    await expect(checkStateFolder(place)).rejects.toMatchObject({
      code: "state-unwritable",
      say: expect.stringContaining("no folder can be created there"),
    });
  },
);

test("doctor and check find a state folder in order, also one that run has yet to create, and create nothing", async () => {
  const wanted = join(folder, "new", "state");
  await expect(checkStateFolder(folder)).resolves.toBe(`${folder} can be written.`);
  await expect(checkStateFolder(wanted)).resolves.toBe(`${wanted} can be written.`);
  expect(existsSync(join(folder, "new"))).toBe(false);
});
