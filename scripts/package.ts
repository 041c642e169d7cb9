/**
 * `npm run package`: the archives that are installed at a customer's, from dist/<platform>/ and the folders
 * splunk-app/ and arcsight/.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs, promisify } from "node:util";
import { gzip } from "node:zlib";
import { type BundledPackage, bundle } from "./build/bundle.ts";
import { inputsHash } from "./build/inputs.ts";
import { buildPages, type Pages } from "./build/pages.ts";
import { binaryPath } from "./build/platforms.ts";
import { ROOT, runScript, ScriptProblem, VERSION } from "./build/project.ts";
import { type ArchiveEntry, writeTar } from "./build/tar.ts";
import { writeZip } from "./build/zip.ts";
import { readBuildRecord } from "./build-binaries.ts";
import {
  arcsightKit,
  SHIPPED_PLATFORMS,
  type ShippedPlatform,
  sums,
  supportingAddon,
  technologyAddon,
} from "./package/contents.ts";
import { inspectArchive } from "./package/inspection.ts";
import { provenance, sourceState } from "./package/provenance.ts";

const HELP = `npm run package -- [--require P,P] [--only NAME]...

Packs every platform whose binary lies in dist/ and names on stderr what it left out. The same binaries and version give the same bytes.

  --require P,P   ${Object.keys(SHIPPED_PLATFORMS).join(", ")}: a missing one is an error
  --only NAME     only the archives whose name contains NAME; may be given more than once
  --help
`;

/** Every entry's time: 2026-01-01T00:00:00Z. Archives say what they hold, not when they were packed. */
const ENTRY_SECONDS = 1_767_225_600;

interface Archive {
  readonly name: string;
  readonly needs: readonly ShippedPlatform[];
  readonly entries: (packages: readonly BundledPackage[], pages?: Pages) => ArchiveEntry[];
}

/** All archives of a release. */
export function archives(version: string): Archive[] {
  const kit = (platform: ShippedPlatform) => `defender-mssp-arcsight-${version}-${platform}`;
  const shipped = Object.keys(SHIPPED_PLATFORMS) as ShippedPlatform[];
  return [
    ...shipped.map((platform) => ({
      name: `TA_defender_mssp-${version}-${SHIPPED_PLATFORMS[platform].archive}.tgz`,
      needs: [platform],
      entries: (...[packages, pages]: Parameters<Archive["entries"]>) => technologyAddon([platform], packages, pages),
    })),
    {
      name: `TA_defender_mssp-${version}.tgz`,
      needs: ["linux-x64", "win-x64"],
      entries: (packages, pages) => technologyAddon(["linux-x64", "win-x64"], packages, pages),
    },
    { name: `SA_defender_mssp-${version}.tgz`, needs: [], entries: () => supportingAddon() },
    ...shipped.map((platform) => ({
      name: `${kit(platform)}.${platform === "win-x64" ? "zip" : "tar.gz"}`,
      needs: [platform],
      entries: (packages: readonly BundledPackage[]) => arcsightKit(platform, kit(platform), packages),
    })),
  ];
}

/** The bytes of an archive, by its name's ending. */
export async function archiveBytes(name: string, entries: readonly ArchiveEntry[]): Promise<Buffer> {
  if (name.endsWith(".zip")) return writeZip(entries, ENTRY_SECONDS);
  const packed = await promisify(gzip)(writeTar(entries, ENTRY_SECONDS), { level: 6 });
  // The header names the system that packed; "Unix" everywhere keeps the bytes equal.
  packed[9] = 3;
  return packed;
}

/**
 * The bytes of an archive that may leave this machine. Throws ScriptProblem with one line for each rule that
 * it breaks.
 */
export async function inspectedArchive(name: string, entries: readonly ArchiveEntry[]): Promise<Buffer> {
  const bytes = await archiveBytes(name, entries);
  const findings = inspectArchive(name, bytes);
  if (findings.length === 0) return bytes;
  throw new ScriptProblem(`${name} must not be shipped:\n${findings.map((finding) => `  ${finding}`).join("\n")}`);
}

function presentPlatforms(required: readonly string[]): ShippedPlatform[] {
  const shipped = Object.keys(SHIPPED_PLATFORMS) as ShippedPlatform[];
  const unknown = required.filter((name) => !shipped.some((platform) => platform === name));
  if (unknown.length > 0)
    throw new ScriptProblem(`--require ${unknown.join(",")} is none of ${shipped.join(", ")}.`, 2);
  const present = shipped.filter((platform) => existsSync(resolve(ROOT, binaryPath(platform))));
  const missing = required.filter((name) => !present.some((platform) => platform === name));
  if (missing.length > 0)
    throw new ScriptProblem(
      `${missing.map((name) => `dist/${name}`).join(", ")} holds no binary: npm run build:binaries -- --platform ${missing.join(" --platform ")}`,
    );
  return present;
}

/** A binary that lies in dist/ is packed whatever made it; whoever packs should know. */
function warnAboutStale(platforms: ReadonlySet<ShippedPlatform>): void {
  for (const platform of platforms) {
    if (readBuildRecord(platform)?.inputs === inputsHash(platform)) continue;
    process.stderr.write(
      `warning: ${binaryPath(platform)} was not made from these sources; npm run build:binaries -- --platform ${platform} makes it anew\n`,
    );
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      require: { type: "string", default: "" },
      only: { type: "string", multiple: true },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const present = presentPlatforms(values.require.split(",").filter((name) => name !== ""));
  const [{ packages }, pages] = await Promise.all([bundle("src/main/main.ts"), buildPages()]);
  mkdirSync(resolve(ROOT, "dist"), { recursive: true });
  const wanted = archives(VERSION).filter(
    ({ name }) => values.only === undefined || values.only.some((part) => name.includes(part)),
  );
  warnAboutStale(new Set(wanted.flatMap(({ needs }) => needs.filter((platform) => present.includes(platform)))));
  await Promise.all(
    wanted.map(async ({ name, needs, entries }) => {
      const missing = needs.filter((platform) => !present.includes(platform));
      if (missing.length > 0) {
        process.stderr.write(
          `left out: ${name} (no binary in ${missing.map((platform) => `dist/${platform}`).join(", ")})\n`,
        );
        return;
      }
      const target = resolve(ROOT, "dist", name);
      writeFileSync(`${target}.new`, await inspectedArchive(name, entries(packages, pages)));
      renameSync(`${target}.new`, target);
      process.stdout.write(`dist/${name}\n`);
    }),
  );
  writeSumsAndProvenance(present);
}

/**
 * SHA256SUMS and provenance.json over the archives of this version that lie in dist/, so that those of an
 * earlier call with --only stay true.
 */
function writeSumsAndProvenance(present: readonly ShippedPlatform[]): void {
  const known = new Set(archives(VERSION).map(({ name }) => name));
  const inDist = (name: string) => readFileSync(resolve(ROOT, "dist", name));
  const packed = readdirSync(resolve(ROOT, "dist"))
    .filter((name) => known.has(name))
    .sort();
  const source = sourceState();
  if (source.commit === undefined || !source.clean)
    process.stderr.write("warning: dist/provenance.json names no clean commit; a release is packed from one\n");
  const statement = provenance({
    source,
    lockfileSha256: sha256(readFileSync(resolve(ROOT, "package-lock.json"))),
    executables: present.map((platform) => ({
      platform,
      name: binaryPath(platform),
      sha256: sha256(readFileSync(resolve(ROOT, binaryPath(platform)))),
    })),
    archives: packed.map((name) => ({ name, sha256: sha256(inDist(name)) })),
  });
  writeFileSync(resolve(ROOT, "dist/provenance.json"), statement);
  writeFileSync(
    resolve(ROOT, "dist/SHA256SUMS"),
    sums([...packed, "provenance.json"].map((name) => [name, inDist(name)])),
  );
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

if (import.meta.main) await runScript(main);
