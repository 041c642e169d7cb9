import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

/** A mistake in calling a script is answered with one sentence, never with a stack. */

const SCRIPTS = join(import.meta.dirname, "../../scripts");
let folder: string;
let notes: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "scripts-"));
  notes = join(folder, "notes.txt");
  writeFileSync(notes, "these are\nmy notes\n");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function script(name: string, argv: readonly string[]): Promise<{ readonly code: number; readonly errors: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(SCRIPTS, `${name}.ts`), ...argv], { timeout: 240_000 }, (error, _, errors) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, errors });
    });
  });
}

describe("one sentence and exit code 2 answer", () => {
  test.each([
    "record",
    "scrub",
    "package",
    "build-binaries",
    "bench",
    "mutants",
    "fuzz",
    "words",
    "commit-subjects",
    "advisories",
  ])(
    "a call of %s with an unknown option",
    async (name) => {
      const { code, errors } = await script(name, ["--no-such-option"]);

      expect(code).toBe(2);
      expect(errors).toContain("--no-such-option");
      expect(errors).not.toContain("    at ");
    },
    90_000,
  );

  test("a call of scrub with a missing file, a text, or a recording in a fixture's place", async () => {
    const missing = join(folder, "missing");
    const ends = [
      await script("scrub", ["--check", missing]),
      await script("scrub", ["--check", notes]),
      await script("scrub", ["--in", notes, "--out", join(folder, "out")]),
      await script("scrub", ["--in", missing, "--out", join(folder, "out")]),
    ];

    expect(ends).toEqual([
      { code: 2, errors: `${missing} cannot be read (ENOENT).\n` },
      { code: 2, errors: `${notes} is not a fixture: "npm run scrub -- --in RECORDING --out FIXTURE" makes one.\n` },
      { code: 2, errors: `${notes}:1 is not an exchange: a recording is what "npm run record" wrote.\n` },
      { code: 2, errors: `${missing} cannot be read (ENOENT).\n` },
    ]);
  }, 300_000);
});

test("what measures the pages in a browser says what is missing for it, without Jest around it", async () => {
  const program = join(SCRIPTS, "../splunk-app/ui/browser/measure.ts");
  const { DEFENDER_MSSP_REAL_PARTS: _notWanted, ...env } = process.env;
  const answer = await promisify(execFile)(process.execPath, [program, "1"], { env, timeout: 240_000 });

  expect(JSON.parse(answer.stdout)).toEqual({ missing: "DEFENDER_MSSP_REAL_PARTS is not 1" });
});
