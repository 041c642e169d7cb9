import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { BundledPackage } from "../build/bundle.ts";
import { BUNDLE_PATH, buildNumber, type Pages } from "../build/pages.ts";
import { binaryPath, PLATFORMS, type Platform } from "../build/platforms.ts";
import { ROOT, ScriptProblem, VERSION } from "../build/project.ts";
import type { ArchiveEntry } from "../build/tar.ts";
import { appManifest, type SplunkApp, SUPPORTING_ADDON, TECHNOLOGY_ADDON } from "./app-manifest.ts";
import { thirdPartyNotices } from "./notices.ts";
import { softwareBill } from "./sbom.ts";

/**
 * Where Splunk looks for an executable (Splunk docs, "Modular inputs overview"; the folders that AppInspect
 * 1.6.1 knows). It has no folder for ARM64, so that executable is in the plain `bin/`, which a platform's own
 * folder beats. In a package for several platforms a host without a folder of its own would start it, so it
 * has a package of its own.
 */
export const SHIPPED_PLATFORMS = {
  "linux-x64": { archive: "linux_x86_64", programFolder: "linux_x86_64/bin" },
  "linux-arm64": { archive: "linux_arm64", programFolder: "bin" },
  "win-x64": { archive: "windows_x86_64", programFolder: "windows_x86_64/bin" },
} as const;
export type ShippedPlatform = keyof typeof SHIPPED_PLATFORMS;

/** Never in a package: what a running Splunk writes, and what an editor or a file manager leaves behind. */
const UNWANTED =
  /(^|\/)(\.[^/]*|__MACOSX|Thumbs\.db|local|local\.meta|passwords\.conf|[^/]*\.(orig|rej|bak|swp))(\/|$)|[\s~]/i;

const FILE_MODE = 0o644;
const EXECUTABLE_MODE = 0o755;

type Files = Map<string, { readonly content: Buffer; readonly mode: number }>;

/**
 * TA_defender_mssp with the executables of these platforms.
 *
 * @param pages undefined only in tests of the program, which need no browser.
 */
export function technologyAddon(
  platforms: readonly ShippedPlatform[],
  packages: readonly BundledPackage[],
  pages?: Pages,
): ArchiveEntry[] {
  const files = splunkApp(TECHNOLOGY_ADDON);
  const readme = files.get("README.md")?.content.toString("utf8") ?? "";
  if (!/^# Binary File Declaration$/m.test(readme)) {
    throw new ScriptProblem(
      'splunk-app/TA_defender_mssp/README.md lacks the heading "# Binary File Declaration", without which Splunk refuses a package that holds executables.',
    );
  }
  if (pages !== undefined) addPagesBundle(files, pages);
  addNotices(files, platforms, [...packages, ...(pages?.packages ?? [])]);
  for (const platform of platforms) {
    addBinary(
      files,
      platform,
      `${SHIPPED_PLATFORMS[platform].programFolder}/defender_mssp${PLATFORMS[platform].suffix}`,
    );
  }
  return entriesBelow(TECHNOLOGY_ADDON.id, files);
}

/** SA_defender_mssp: knowledge only, nothing that runs. */
export function supportingAddon(): ArchiveEntry[] {
  return entriesBelow(SUPPORTING_ADDON.id, splunkApp(SUPPORTING_ADDON));
}

/** The ArcSight kit of one platform, below a folder named `top`. */
export function arcsightKit(
  platform: ShippedPlatform,
  top: string,
  packages: readonly BundledPackage[],
): ArchiveEntry[] {
  const files = filesBelow("arcsight");
  for (const page of KIT_PAGES) addPages(files, page);
  files.set("LICENSE", plain(readFileSync(resolve(ROOT, "LICENSE"))));
  addNotices(files, [platform], packages);
  addBinary(files, platform, `defender-mssp${PLATFORMS[platform].suffix}`);
  files.set("SHA256SUMS", plain(Buffer.from(sums([...files].map(([path, { content }]) => [path, content])))));
  return entriesBelow(top, files);
}

/** Pages that a user of ArcSight needs, and those that these link to or that the program's sentences name. */
const KIT_PAGES = [
  "docs/arcsight",
  "docs/settings.md",
  "docs/fields-cef.md",
  "docs/onboarding.md",
  "docs/from-microsofts-page.md",
  "docs/failures.md",
  "docs/hunting.md",
  "docs/hunting",
  "docs/upgrade.md",
  "docs/network.md",
  "docs/monitoring.md",
  "docs/monitoring",
  "docs/containers.md",
  "docs/splunk/hec.md",
  "docs/fleet",
  "docs/proofs.json",
];

function addPages(files: Files, path: string): void {
  if (/\.(?:md|json)$/.test(path)) {
    files.set(path, plain(readFileSync(resolve(ROOT, path))));
    return;
  }
  for (const [name, file] of filesBelow(path)) files.set(`${path}/${name}`, file);
}

/** Lines of `sha256sum`, sorted by path. */
export function sums(files: readonly (readonly [path: string, content: Buffer])[]): string {
  return files
    .map(([path, content]) => `${createHash("sha256").update(content).digest("hex")}  ${path}\n`)
    .sort((left, right) => (left.slice(66) < right.slice(66) ? -1 : 1))
    .join("");
}

function splunkApp(app: SplunkApp): Files {
  const files = filesBelow(`splunk-app/${app.id}`);
  const conf = files.get("default/app.conf");
  if (conf === undefined)
    throw new ScriptProblem(
      `splunk-app/${app.id}/default/app.conf is missing: without it Splunk does not take the folder for an app.`,
    );
  // package.json is the one place of the version.
  files.set(
    "default/app.conf",
    plain(Buffer.from(conf.content.toString("utf8").replaceAll(/^version\s*=.*$/gm, `version = ${VERSION}`))),
  );
  files.set("app.manifest", plain(Buffer.from(appManifest(app))));
  files.set("LICENSE", plain(readFileSync(resolve(ROOT, "LICENSE"))));
  return files;
}

function addPagesBundle(files: Files, { code }: Pages): void {
  files.set(BUNDLE_PATH, plain(code));
  const shown = [...files.keys()].filter((path) => path.startsWith("appserver/static/")).sort();
  const build = buildNumber(shown.flatMap((path) => files.get(path)?.content ?? []));
  const conf = files.get("default/app.conf")?.content.toString("utf8") ?? "";
  files.set("default/app.conf", plain(Buffer.from(conf.replace(/^build\s*=.*$/m, `build = ${build}`))));
}

function addNotices(files: Files, platforms: readonly Platform[], packages: readonly BundledPackage[]): void {
  files.set("THIRD-PARTY-NOTICES.txt", plain(Buffer.from(thirdPartyNotices(packages))));
  files.set("sbom.cdx.json", plain(Buffer.from(softwareBill(packages, platforms))));
}

function addBinary(files: Files, platform: Platform, path: string): void {
  files.set(path, { content: readFileSync(resolve(ROOT, binaryPath(platform))), mode: EXECUTABLE_MODE });
}

function plain(content: Buffer): { content: Buffer; mode: number } {
  return { content, mode: FILE_MODE };
}

/** Modes of the checkout say nothing (a umask, Windows): all files here are plain ones. */
function filesBelow(folder: string): Files {
  const top = resolve(ROOT, folder);
  if (!existsSync(top)) throw new ScriptProblem(`${folder}/ is missing from this checkout.`);
  const files: Files = new Map();
  for (const entry of readdirSync(top, { recursive: true, withFileTypes: true })) {
    const path = resolve(entry.parentPath, entry.name)
      .slice(top.length + 1)
      .replaceAll("\\", "/");
    if (UNWANTED.test(path))
      throw new ScriptProblem(`${folder}/${path} must not be shipped: move it out of ${folder}/.`);
    if (entry.isDirectory()) continue;
    if (!entry.isFile())
      throw new ScriptProblem(`${folder}/${path} is neither a file nor a folder, so it cannot be shipped.`);
    if (!path.endsWith(".test.ts")) files.set(path, plain(readFileSync(resolve(top, path))));
  }
  return files;
}

/**
 * Every folder before what it holds, all in the order of their bytes: the same files give the same archive on
 * every machine.
 */
function entriesBelow(top: string, files: Files): ArchiveEntry[] {
  const folders = new Set<string>([`${top}/`]);
  for (const path of files.keys()) {
    for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1))
      folders.add(`${top}/${path.slice(0, slash + 1)}`);
  }
  const entries: ArchiveEntry[] = [...folders].map((path) => ({ path, mode: 0o755, content: Buffer.alloc(0) }));
  for (const [path, { content, mode }] of files) entries.push({ path: `${top}/${path}`, mode, content });
  return entries.sort((left, right) => Buffer.compare(Buffer.from(left.path), Buffer.from(right.path)));
}
