import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { provideKeyFile, readKeyFile } from "./fleet-key-file.ts";

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "key-"));
  file = join(folder, "new", "fleet.key");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a key file is made once, for its owner alone, and never replaced", () => {
  expect(provideKeyFile(file, undefined)).toBe(true);
  const { fingerprint } = readKeyFile(file);

  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(provideKeyFile(file, undefined)).toBe(false);
  expect(provideKeyFile(file, fingerprint)).toBe(false);
  expect(readKeyFile(file).fingerprint).toBe(fingerprint);
});

test("a key file that others can read, that is missing or damaged is refused, with what to do and without its content", () => {
  provideKeyFile(file, undefined);
  chmodSync(file, 0o640);
  const refused = (say: string) => expect.objectContaining({ code: "settings", say: expect.stringContaining(say) });

  expect(() => readKeyFile(file, "linux")).toThrow(refused("can be read by others"));
  expect(readKeyFile(file, "win32").fingerprint).toMatch(/^[0-9a-f]{32}$/);
  expect(() => readKeyFile(join(folder, "missing"))).toThrow(refused("cannot be read"));
  writeFileSync(join(folder, "damaged"), "c2VjcmV0LXRleHQ=", { mode: 0o600 });
  expect(() => readKeyFile(join(folder, "damaged"))).toThrow(refused("holds no key"));
  expect(() => readKeyFile(join(folder, "damaged"))).not.toThrow(/c2Vj/);
});

test("the printed chmod runs as printed, also for a path with a space", () => {
  const spaced = join(folder, "of the fleet", "fleet.key");
  provideKeyFile(spaced, undefined);
  chmodSync(spaced, 0o644);

  expect(() => readKeyFile(spaced, "linux")).toThrow(
    expect.objectContaining({ nextStep: `Run \`chmod 600 '${spaced}'\`.` }),
  );
});

test("where the fleet has a key, no second one is made that could be copied over it", () => {
  const settings = (say: string) => expect.objectContaining({ code: "settings", say: expect.stringContaining(say) });

  expect(() => provideKeyFile(file, "0123456789abcdef0123456789abcdef")).toThrow(settings("cannot be read"));
  expect(existsSync(file)).toBe(false);
  provideKeyFile(file, undefined);
  expect(() => provideKeyFile(file, "0123456789abcdef0123456789abcdef")).toThrow(settings("another key"));
});
