/** What every script needs to know of this repository: where it lies, its version, the pinned runtime. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

interface PackageFile {
  readonly version: string;
  readonly config: { readonly runtime: string };
}

const packageFile = JSON.parse(readFileSync(resolve(ROOT, "package.json"), "utf8")) as PackageFile;

/** The product's version; package.json is its one place. */
export const VERSION = packageFile.version;
/** The runtime that is developed on and shipped. */
export const RUNTIME = packageFile.config.runtime;

/** A sentence for the person at the terminal: printed without a stack. */
export class ScriptProblem extends Error {
  override readonly name = "ScriptProblem";
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * Runs a script's main function: a ScriptProblem becomes one sentence and its exit code, an option it does
 * not know exit code 2, anything else keeps its stack.
 */
export async function runScript(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (cause) {
    const wrongOption =
      cause instanceof TypeError && "code" in cause && String(cause.code).startsWith("ERR_PARSE_ARGS_");
    if (!wrongOption && !(cause instanceof ScriptProblem)) throw cause;
    process.stderr.write(`${cause.message}\n`);
    process.exitCode = cause instanceof ScriptProblem ? cause.exitCode : 2;
  }
}
