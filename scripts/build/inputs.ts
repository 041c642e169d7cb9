import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { PLATFORMS, type Platform } from "./platforms.ts";
import { ROOT } from "./project.ts";

/** Beside src/: what decides a binary's bytes. The lockfile stands for everything below node_modules/. */
const OTHER_INPUTS = [
  "package.json",
  "package-lock.json",
  "scripts/build",
  "scripts/build-binaries.ts",
  "splunk-app/TA_defender_mssp/static",
];

/** One hash over everything a binary is made from: while it stays the same, so does the binary. */
export function inputsHash(platform: Platform): string {
  const hash = createHash("sha256");
  hash.update(`${platform} ${PLATFORMS[platform].executableSha256}\n`);
  for (const path of [...filesBelow("src"), ...OTHER_INPUTS.flatMap(filesBelow)].sort()) {
    if (path.endsWith(".test.ts")) continue;
    hash.update(`${path}\0`);
    hash.update(
      createHash("sha256")
        .update(readFileSync(resolve(ROOT, path)))
        .digest(),
    );
  }
  return hash.digest("hex");
}

function filesBelow(path: string): string[] {
  if (/\.\w+$/.test(path)) return [path];
  return readdirSync(resolve(ROOT, path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => resolve(entry.parentPath, entry.name).slice(ROOT.length + 1));
}
