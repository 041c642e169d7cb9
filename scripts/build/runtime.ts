import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { PLATFORMS, type Platform } from "./platforms.ts";
import { ROOT, RUNTIME, ScriptProblem } from "./project.ts";
import { readTar } from "./tar.ts";

/**
 * The pinned runtime's executable for a platform: the one that `npm ci` installed where the platform is this
 * machine's, else fetched once with `npm pack` and kept in .cache/. Either is compared with the hash that we
 * recorded, the archive also with the lockfile's. Throws ScriptProblem in one sentence when it cannot be had
 * or is another one.
 */
export function pinnedRuntime(platform: Platform): string {
  const { runtimePackage, executable } = PLATFORMS[platform];
  const installed = resolve(ROOT, "node_modules", runtimePackage, executable);
  if (existsSync(installed)) return verified(installed, platform);
  const kept = resolve(ROOT, ".cache/runtimes", `${runtimePackage}-${RUNTIME}`, executable);
  if (!existsSync(kept)) fetchRuntime(platform, kept);
  return verified(kept, platform);
}

/**
 * The licence text that travels with the runtime; some of its packages hold the executable alone, so any
 * installed one serves.
 */
export function runtimeLicence(): string {
  for (const { runtimePackage } of Object.values(PLATFORMS)) {
    const path = resolve(ROOT, "node_modules", runtimePackage, "LICENSE");
    if (existsSync(path)) return readFileSync(path, "utf8");
  }
  throw new ScriptProblem(
    "No installed runtime package holds Node's licence text: run npm ci on a platform that has one.",
  );
}

function verified(path: string, platform: Platform): string {
  const { executableSha256, runtimePackage } = PLATFORMS[platform];
  const found = createHash("sha256").update(readFileSync(path)).digest("hex");
  if (found !== executableSha256) {
    throw new ScriptProblem(
      `The runtime in ${runtimePackage} is not the one we ship (SHA-256 ${found}, pinned ${executableSha256}): run npm ci, or see docs/release.md if the pin has just been changed.`,
    );
  }
  return path;
}

function fetchRuntime(platform: Platform, target: string): void {
  const { runtimePackage, executable } = PLATFORMS[platform];
  const cache = resolve(ROOT, ".cache/runtimes");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "fetching-"));
  try {
    const pack = spawnSync(
      "npm",
      ["pack", "--silent", "--prefer-offline", "--pack-destination", folder, `${runtimePackage}@${RUNTIME}`],
      {
        cwd: folder,
        encoding: "utf8",
        shell: process.platform === "win32",
      },
    );
    if (pack.status !== 0) {
      throw new ScriptProblem(
        `The ${platform} runtime (${runtimePackage} ${RUNTIME}) is not installed here and npm could not fetch it, so this binary needs a network connection once: ${pack.stderr.trim().split("\n")[0] ?? ""}`,
      );
    }
    const archive = readFileSync(join(folder, pack.stdout.trim().split("\n").at(-1) ?? ""));
    const integrity = `sha512-${createHash("sha512").update(archive).digest("base64")}`;
    const pinned = lockedIntegrity(runtimePackage);
    if (integrity !== pinned) {
      throw new ScriptProblem(
        `The archive of ${runtimePackage} ${RUNTIME} has another hash than package-lock.json holds (${integrity}, pinned ${pinned}).`,
      );
    }
    const entry = readTar(gunzipSync(archive)).find(({ path }) => path === `package/${executable}`);
    if (entry === undefined)
      throw new ScriptProblem(`The archive of ${runtimePackage} ${RUNTIME} holds no ${executable}.`);
    const unpacked = join(folder, "executable");
    writeFileSync(unpacked, entry.content);
    chmodSync(unpacked, 0o755);
    mkdirSync(resolve(target, ".."), { recursive: true });
    renameSync(unpacked, target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function lockedIntegrity(name: string): string {
  const lock = JSON.parse(readFileSync(resolve(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, { version: string; integrity?: string } | undefined>;
  };
  const row = lock.packages[`node_modules/${name}`];
  if (row?.integrity === undefined || row.version !== RUNTIME) {
    throw new ScriptProblem(
      `package-lock.json pins no ${name} ${RUNTIME}: package.json's config.runtime and optionalDependencies must agree.`,
    );
  }
  return row.integrity;
}
