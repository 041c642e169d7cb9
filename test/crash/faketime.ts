import { globSync, writeFileSync } from "node:fs";

/** Debian's libfaketime, where it is installed. */
export const FAKETIME_LIBRARY: string | undefined = globSync("/usr/lib/*/faketime/libfaketimeMT.so.1")[0];

/** What makes a program read its wall clock from `file`; nothing where faketime is not installed. */
export function faketimeEnvironment(file: string): Readonly<Record<string, string>> {
  if (FAKETIME_LIBRARY === undefined) return {};
  return {
    LD_PRELOAD: FAKETIME_LIBRARY,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: "1",
    // Only the wall clock steps; no system steps the monotonic one.
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
}

/** Sets that wall clock, seconds from the true time. */
export function setWallClock(file: string, offsetS: number): void {
  writeFileSync(file, `${offsetS >= 0 ? "+" : ""}${Math.round(offsetS)}\n`);
}
