import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { binaryPath, hostPlatform } from "../../scripts/build/platforms.ts";
import { checkLibraries } from "../../scripts/build-binaries.ts";

const platform = hostPlatform() ?? "linux-x64";
const binary = resolve(import.meta.dirname, "../..", binaryPath(platform));

beforeAll(() => {
  if (!existsSync(binary))
    throw new Error(`${binaryPath(platform)} is missing: "npm test" builds it, or "npm run build:binaries"`);
});

function scheme(environment: Readonly<Record<string, string>>, cwd?: string) {
  const { status, stdout, stderr } = spawnSync(binary, ["--scheme"], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"] ?? "", ...environment },
    ...(cwd === undefined ? {} : { cwd }),
  });
  return { status, stdout, stderr };
}

describe("the built binary", () => {
  test("prints its scheme and nothing on stderr, which splunkd would log as an error", () => {
    const { status, stdout, stderr } = scheme({});

    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^(<\?xml[^>]*>\s*)?<scheme>[\s\S]*<\/scheme>\s*$/);
  });

  test.each([
    "--require /nonexistent",
    "--inspect=0",
    "--max-old-space-size=1",
    "--import data:text/javascript,process.exit(9)",
  ])("is not changed by NODE_OPTIONS=%s", (options) => {
    const { status, stdout } = scheme({ NODE_OPTIONS: options });

    expect({ status, stdout }).toEqual({ status: 0, stdout: scheme({}).stdout });
  });

  test("needs no library beyond glibc and the C++ runtime", () => {
    expect(() => checkLibraries(readFileSync(binary))).not.toThrow();
  });

  test("writes nothing into the folder it is started in", () => {
    const folder = mkdtempSync(join(tmpdir(), "started-in-"));
    try {
      expect(scheme({ HOME: folder }, folder).status).toBe(0);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
