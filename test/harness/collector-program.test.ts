import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { collectorProgram } from "./collector-program.ts";

let root: string;
let said: string[];
const chosen = (isRequired: boolean) => collectorProgram({ root, isRequired, say: (line) => said.push(line) });

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "collector-program-"));
  said = [];
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

test.each([true, false])(
  "the built executable is started where it is there (real parts required: %s)",
  (isRequired) => {
    const file = join(root, binaryPath("linux-x64"));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "");

    expect(chosen(isRequired)).toEqual({ file, before: [] });
    expect(said).toEqual([]);
  },
);

test("where real parts are required, a missing executable fails with the command that builds it", () => {
  expect(() => chosen(true)).toThrow(
    "dist/linux-x64/defender-mssp is not built, and DEFENDER_MSSP_REAL_PARTS=1 requires it; run npm run build:binaries",
  );
});

test("elsewhere the sources are started instead of a missing executable, and that is said", () => {
  expect(chosen(false)).toEqual({ file: process.execPath, before: [join(root, "src/main/main.ts")] });
  expect(said).toEqual([
    "NOT tested with the built executable, but with the sources: dist/linux-x64/defender-mssp is not built\n",
  ]);
});
