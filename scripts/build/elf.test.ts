import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { checkLibraries } from "../build-binaries.ts";
import { neededLibraries, stripped } from "./elf.ts";

// The runtime that runs this test is the one that ships (tests run on Linux, CONTRIBUTING.md).
const runtime = readFileSync(process.execPath);

describe("the runtime that ships", () => {
  test("asks for glibc and the C++ runtime alone, so that it starts on minimal hosts", () => {
    expect(neededLibraries(runtime)).toEqual(
      expect.arrayContaining(["libc.so.6", "libm.so.6", "libpthread.so.0", "libstdc++.so.6", "libgcc_s.so.1"]),
    );
    expect(() => checkLibraries(runtime)).not.toThrow();
  });

  test("still runs, and is smaller, after its symbols are dropped", () => {
    const folder = mkdtempSync(join(tmpdir(), "stripped-"));
    try {
      const small = stripped(runtime);
      writeFileSync(join(folder, "node"), small, { mode: 0o755 });

      const { stdout } = spawnSync(join(folder, "node"), ["--print", "6 * 7"], { encoding: "utf8" });

      expect(stdout.trim()).toBe("42");
      expect(small.length).toBeLessThan(runtime.length * 0.9);
      expect(neededLibraries(small)).toEqual(neededLibraries(runtime));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("a binary", () => {
  test("that asks for a library beyond those is refused by its name", () => {
    const other = Buffer.from(runtime);
    other.write("libssl.so.3\0", other.indexOf("libgcc_s.so.1\0"), "latin1");

    expect(() => checkLibraries(other)).toThrow("asks for libssl.so.3, which minimal hosts lack");
  });

  test("that is not an ELF file is refused", () => {
    expect(() => checkLibraries(Buffer.alloc(200, "MZ"))).toThrow("not a 64 bit little-endian ELF file");
  });
});
