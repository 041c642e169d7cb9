/**
 * Which program a test starts as collector: the built executable, or the sources where it was not built. A
 * proof about built executables that ran the sources would prove something else, so where real parts are
 * required (DEFENDER_MSSP_REAL_PARTS=1) only the executable will do.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { REAL_PARTS_REQUIRED } from "./real-parts.ts";

const ROOT = resolve(import.meta.dirname, "../..");

/** What to start, with the arguments that come before those of the command line. */
export interface CollectorProgram {
  readonly file: string;
  readonly before: readonly string[];
}

interface Chosen {
  readonly root?: string;
  readonly isRequired?: boolean;
  readonly say?: (line: string) => void;
}

/** Throws Error where the executable is required and is not there. */
export function collectorProgram({
  root = ROOT,
  isRequired = REAL_PARTS_REQUIRED,
  say = (line) => process.stderr.write(line),
}: Chosen = {}): CollectorProgram {
  const built = binaryPath("linux-x64");
  const file = join(root, built);
  if (existsSync(file)) return { file, before: [] };
  if (isRequired)
    throw new Error(`${built} is not built, and DEFENDER_MSSP_REAL_PARTS=1 requires it; run npm run build:binaries`);
  say(`NOT tested with the built executable, but with the sources: ${built} is not built\n`);
  return { file: process.execPath, before: [join(root, "src/main/main.ts")] };
}
