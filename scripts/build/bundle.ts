import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { build } from "esbuild";
import { ROOT, RUNTIME, ScriptProblem } from "./project.ts";

/** A package whose code lies in the bundle. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX identifier or expression, as its package.json says. */
  readonly licence: string;
  /** From the repository's root; its last folders are node_modules/<name>. */
  readonly folder: string;
}

export interface Bundle {
  readonly code: string;
  readonly packages: readonly BundledPackage[];
}

/**
 * The program as one CommonJS file, which is what a single executable can hold. `await import()` stays lazy:
 * a module is evaluated when it is first asked for, so that `--scheme` pays neither for HTTP nor for sign-in.
 * Throws ScriptProblem without an entry.
 */
export async function bundle(entry: string): Promise<Bundle> {
  if (!existsSync(resolve(ROOT, entry))) throw new ScriptProblem(`There is no ${entry} to build a binary from.`);
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    outfile: "defender-mssp.cjs",
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    format: "cjs",
    target: `node${RUNTIME}`,
    // Licence texts travel in THIRD-PARTY-NOTICES.txt beside the binary, whole and once.
    legalComments: "none",
    // The source stays in memory as long as the program runs, two bytes a character as soon as one comment
    // holds a dash: without comments 2 MB instead of 7. Names stay.
    minifyWhitespace: true,
    // A single executable resolves no import() at run time; require() of Node's own modules works, and stays
    // as lazy.
    supported: { "dynamic-import": false },
    // The library of Kafka: its WebAssembly comes as text, and what it can do without stays away. Native code
    // would be one file for each platform beside the executable.
    alias: { "@platformatic/wasm-utils": "@platformatic/wasm-utils/bundled" },
    external: ["@node-rs/crc32", "protobufjs"],
    define: { "import.meta.url": "importMetaUrl" },
    banner: { js: 'const importMetaUrl=require("node:url").pathToFileURL(__filename).href;' },
    logLevel: "silent",
  }).catch((cause: unknown) => {
    throw new ScriptProblem(`The program does not bundle: ${cause instanceof Error ? cause.message : String(cause)}`);
  });
  const code = result.outputFiles[0]?.text;
  if (code === undefined) throw new ScriptProblem("esbuild wrote no bundle.");
  return { code, packages: bundledPackages(Object.keys(result.metafile.inputs)) };
}

/** The packages that hold any of these files, sorted by name, each once. */
export function bundledPackages(files: readonly string[]): BundledPackage[] {
  const folders = new Set<string>();
  for (const file of files) {
    const match = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file);
    if (match !== null) folders.add(match[0]);
  }
  return [...folders]
    .map((folder) => {
      const { name, version, license } = JSON.parse(
        readFileSync(resolve(ROOT, folder, "package.json"), "utf8"),
      ) as Record<string, string>;
      if (name === undefined || version === undefined || license === undefined) {
        throw new ScriptProblem(`${folder} names no licence or version, so it cannot be shipped.`);
      }
      return { name, version, licence: license, folder };
    })
    .sort((left, right) => (left.folder < right.folder ? -1 : 1));
}
