/** `npm run pages`: checks and bundles the pages in Splunk Web, and says how large they are. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { buildPages, DASHBOARDS_FOLDER, installPagesPackages, PAGES_FOLDER } from "./build/pages.ts";
import { ROOT, runScript, ScriptProblem } from "./build/project.ts";

const HELP = `npm run pages -- [--dashboards]

Installs the packages of splunk-app/ui when its lockfile has changed, checks types and lints, and writes dist/pages/defender_mssp.js.

  --dashboards   installs the packages that the test of the dashboard needs too (540 MB)
`;

async function main(): Promise<void> {
  if (process.argv.includes("--help")) {
    process.stdout.write(HELP);
    return;
  }
  installPagesPackages();
  if (process.argv.includes("--dashboards")) installPagesPackages(DASHBOARDS_FOLDER);
  const tsc = resolve(ROOT, "node_modules/typescript/bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", PAGES_FOLDER], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (status !== 0) throw new ScriptProblem("The types of splunk-app/ui do not agree.");
  const { code } = await buildPages();
  mkdirSync(resolve(ROOT, "dist/pages"), { recursive: true });
  writeFileSync(resolve(ROOT, "dist/pages/defender_mssp.js"), code);
  process.stdout.write(
    `dist/pages/defender_mssp.js: ${Math.ceil(code.length / 1000)} kB, ${Math.ceil(gzipSync(code, { level: 9 }).length / 1000)} kB with gzip\n`,
  );
}

if (import.meta.main) await runScript(main);
