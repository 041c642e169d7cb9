import { pbkdf2 } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { expect, test } from "@jest/globals";
import { quiet, settled } from "./clock.ts";

/** More than there are threads for files, so that a call for a file waits, as on a slow disk. */
const OTHERS = 16;

const CALLS: readonly (readonly [string, (handle: FileHandle) => Promise<unknown>])[] = [
  ["looked at", () => stat(import.meta.filename)],
  ["read", (handle) => handle.read()],
  ["closed", (handle) => handle.close()],
];

test.each(CALLS)("what is settled has no file that is still being %s", async (_, call) => {
  const handle = await open(import.meta.filename);
  const others = Array.from({ length: OTHERS }, () => promisify(pbkdf2)("", "", 20_000, 64, "sha512"));
  let isDone = false;
  const called = (async () => {
    await call(handle);
    isDone = true;
  })();
  await settled();
  expect(isDone).toBe(true);
  await Promise.all([...others, called]);
  await handle.close();
});

test("what is quiet is no longer busy, and what follows of that has happened too", async () => {
  let isBusy = true;
  let isRead = false;
  // As a request: neither a turn of the event loop nor a call for a file shows it.
  const request = (async () => {
    await promisify(pbkdf2)("", "", 20_000, 64, "sha512");
    isBusy = false;
    await stat(import.meta.filename);
    await stat(import.meta.filename);
    isRead = true;
  })();
  await quiet(() => isBusy);
  expect([isBusy, isRead]).toEqual([false, true]);
  await request;
});
