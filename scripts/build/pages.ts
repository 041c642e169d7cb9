/** The pages in Splunk Web: one bundle of splunk-app/ui, whose packages are installed only for this. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { type BundledPackage, bundledPackages } from "./bundle.ts";
import { ROOT, ScriptProblem } from "./project.ts";

export const PAGES_FOLDER = resolve(ROOT, "splunk-app/ui");
/** Splunk's packages for dashboards: half a gigabyte, for one test. */
export const DASHBOARDS_FOLDER = resolve(ROOT, "splunk-app/dashboards");
/** Splunk's own page template loads `appserver/static/pages/<view>.js`; the view is `defender_mssp`. */
export const BUNDLE_PATH = "appserver/static/pages/defender_mssp.js";
/** What a browser loads at the first visit. */
const BUNDLE_GZIP_MOST = 500 * 1000;
const INSTALL_ATTEMPTS = 3;

export interface Pages {
  readonly code: Buffer;
  readonly packages: readonly BundledPackage[];
}

/** Installs a folder's packages when its lockfile has changed since the last time. */
export function installPagesPackages(folder = PAGES_FOLDER): void {
  const lock = readFileSync(resolve(folder, "package-lock.json"));
  const digest = createHash("sha256").update(lock).digest("hex");
  const stamp = resolve(folder, "node_modules/.installed-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  const shown = relative(ROOT, folder);
  process.stderr.write(`installing the packages of ${shown}\n`);
  for (let attempt = 1; ; attempt += 1) {
    const { status, stderr } = spawnSync("npm", ["ci", "--no-progress", "--loglevel=error"], {
      cwd: folder,
      encoding: "utf8",
      shell: process.platform === "win32",
    });
    if (status === 0) break;
    if (attempt === INSTALL_ATTEMPTS)
      throw new ScriptProblem(`The packages of ${shown} could not be installed: ${stderr.trim()}`);
  }
  writeFileSync(stamp, digest);
}

/** Throws ScriptProblem when the sources do not bundle, or a browser would have to load too much. */
export async function buildPages(): Promise<Pages> {
  installPagesPackages();
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: ["splunk-app/ui/src/main.ts"],
    outfile: "defender_mssp.js",
    bundle: true,
    write: false,
    metafile: true,
    minify: true,
    format: "iife",
    target: "es2020",
    jsx: "automatic",
    // Licence texts travel in THIRD-PARTY-NOTICES.txt, whole and once.
    legalComments: "none",
    define: {
      "process.env.NODE_ENV": '"production"',
      // On a dashboard `define` is require.js's, which refuses what a bundled UMD module gives it.
      define: "undefined",
    },
    // The reader of settings asks it only whether a path is absolute.
    alias: { "node:path": resolve(PAGES_FOLDER, "src/path.ts") },
    // Not csv-parse's own build for browsers: it holds this package without its licence.
    inject: [resolve(PAGES_FOLDER, "src/buffer.ts")],
    logLevel: "silent",
  }).catch((cause: unknown) => {
    throw new ScriptProblem(`The pages do not bundle: ${cause instanceof Error ? cause.message : String(cause)}`);
  });
  const code = Buffer.from(result.outputFiles[0]?.contents ?? []);
  const gzipped = gzipSync(code, { level: 9 }).length;
  if (gzipped > BUNDLE_GZIP_MOST)
    throw new ScriptProblem(
      `The pages' bundle has ${Math.ceil(gzipped / 1000)} kB (gzip), more than ${BUNDLE_GZIP_MOST / 1000} kB.`,
    );
  return { code, packages: bundledPackages(Object.keys(result.metafile.inputs)) };
}

/** What shows the definition in `window.definition` with Splunk's own packages. */
export async function buildDashboardViewer(): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: DASHBOARDS_FOLDER,
    entryPoints: ["render.tsx"],
    // Styles of maps and timelines come out beside it; nothing here shows one.
    outfile: "dashboard.js",
    bundle: true,
    write: false,
    minify: true,
    format: "iife",
    jsx: "automatic",
    legalComments: "none",
    define: { "process.env.NODE_ENV": '"production"', define: "undefined" },
    logLevel: "silent",
  });
  return outputFiles.find(({ path }) => path.endsWith(".js"))?.text ?? "";
}

/**
 * `[install] build` of app.conf. Browsers keep static files until it changes, so it follows their content.
 */
export function buildNumber(contents: readonly Buffer[]): number {
  const hash = createHash("sha256");
  for (const content of contents) hash.update(createHash("sha256").update(content).digest());
  return hash.digest().readUInt32BE() >>> 1;
}
