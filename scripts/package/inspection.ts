/**
 * What must hold for each archive that leaves this machine, read from the archive's own bytes. A rule that
 * the runtime does not keep today has a row in EXCEPTIONS with its reason, and a test fails when a row is not
 * needed any more.
 */
import { gunzipSync } from "node:zlib";
import { elfProtections, neededLibraries, neededVersions } from "../build/elf.ts";
import { peProtections } from "../build/pe.ts";
import { ROOT } from "../build/project.ts";
import { type ArchiveEntry, readTar } from "../build/tar.ts";
import { readZip } from "../build/zip.ts";
import { ALLOWED_LIBRARIES } from "../build-binaries.ts";

/** The oldest glibc that the documentation promises. */
const GLIBC_MOST = [2, 28] as const;
/** GCC 8, as old as that glibc: its C++ runtime is on the same hosts. */
const GLIBCXX_MOST = [3, 4, 25] as const;

interface Exception {
  /** The finding begins so, after the file's path. */
  readonly finding: string;
  readonly reason: string;
}

/** What does not hold, and why it is shipped all the same. */
export const EXCEPTIONS: readonly Exception[] = [
  {
    finding: "is not position independent",
    reason: "Node's own Linux build is not. Its libraries, stack and heap are loaded at random addresses.",
  },
  {
    finding: "contains the path /home/iojs/build/",
    reason:
      "Where the Node project builds OpenSSL. It names no machine of this project, and --openssl-config makes it unused.",
  },
];

/** Folders in which people and build machines work. The build's own one is the same on every machine. */
const BUILD_PATHS = [
  /\/home\/[\w.-]+\/[\w.-]*\/?/,
  /\/Users\/[\w.-]+\/[\w.-]*\/?/,
  /\/root\/[\w.-]+/,
  /[A-Z]:\\Users\\\w+/,
];

/** Where a secret-like text begins, and its whole shape. */
const SECRETS: readonly (readonly [what: string, anchor: string, shape: RegExp])[] = [
  ["a private key", "PRIVATE KEY-----", /PRIVATE KEY-----\\?r?\\?n?\s*[A-Za-z0-9+/]{40}/],
  ["a client secret of Entra", "Q~", /[A-Za-z0-9~._-]{3}[78]Q~[A-Za-z0-9~._-]{34}/],
  ["a token (JWT)", "eyJ", /\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}/],
  ["a refresh token of Entra", ".A", /\b[01]\.A[A-Za-z0-9_-]{80}/],
  ["a key of AWS", "AKIA", /\bAKIA[0-9A-Z]{16}\b/],
  ["a token of GitHub", "ghp_", /ghp_[A-Za-z0-9]{36}/],
  ["a token of npm", "npm_", /\bnpm_[A-Za-z0-9]{36}\b/],
  ["a login for a registry", "_authToken", /_authToken\s*=\s*\S{8}/],
];
/** Characters before and after an anchor that a shape may need. */
const AROUND = 200;

/** Every entry of an archive, by its name's ending. */
export function readArchive(name: string, bytes: Buffer): ArchiveEntry[] {
  return name.endsWith(".zip") ? readZip(bytes) : readTar(gunzipSync(bytes));
}

/** One sentence for each rule that an archive breaks; none for one that may be shipped. */
export function inspectArchive(name: string, bytes: Buffer): string[] {
  return readArchive(name, bytes).flatMap(inspectFile);
}

/** The same for one file. Exceptions are left out. */
export function inspectFile(file: Pick<ArchiveEntry, "path" | "content">): string[] {
  return findingsOf(file.content)
    .filter((finding) => !EXCEPTIONS.some((exception) => finding.startsWith(exception.finding)))
    .map((finding) => `${file.path} ${finding}`);
}

/** What would be said of a file's content without exceptions. */
export function findingsOf(content: Buffer): string[] {
  return [...programFindings(content), ...textFindings(content)];
}

/** The rules for programs alone. */
export function programFindings(content: Buffer): string[] {
  const isElf = content.length > 4 && content.readUInt32BE(0) === 0x7f454c46;
  const isPe = content.toString("latin1", 0, 2) === "MZ";
  return isElf ? elfFindings(content) : isPe ? peFindings(content) : [];
}

function elfFindings(program: Buffer): string[] {
  const found = elfProtections(program);
  const libraries = neededLibraries(program).filter((library) => !ALLOWED_LIBRARIES.test(library));
  const versions = [...neededVersions(program).values()].flat();
  const newer = versions.filter(
    (version) => isNewer(version, "GLIBC_", GLIBC_MOST) || isNewer(version, "GLIBCXX_", GLIBCXX_MOST),
  );
  return [
    ...libraries.map((library) => `needs ${library}`),
    ...newer.map((version) => `needs ${version}`),
    ...(versions.length === 0 ? ["names no version of a library"] : []),
    ...(found.writableAndExecutable ? ["has memory that is writable and executable"] : []),
    ...(found.readOnlyRelocations && found.boundAtStart ? [] : ["keeps the loader's tables writable (no full RELRO)"]),
    ...(found.positionIndependent ? [] : ["is not position independent"]),
  ];
}

function peFindings(program: Buffer): string[] {
  const found = peProtections(program);
  return [
    ...(found.randomAddress && found.highEntropy ? [] : ["is not loaded at a random 64 bit address (ASLR)"]),
    ...(found.dataNotExecutable ? [] : ["allows data to be executed (no NX)"]),
    ...(found.writableAndExecutable ? ["has memory that is writable and executable"] : []),
    ...(found.sectionsAdjacent ? [] : ["has sections that are not one after another, which Windows does not load"]),
    ...(found.signature !== "lost" ? [] : ["names a signature that is not in the file"]),
    ...(found.checksumValid ? [] : ["has a wrong checksum"]),
  ];
}

function isNewer(version: string, prefix: string, most: readonly number[]): boolean {
  if (!version.startsWith(prefix)) return false;
  const parts = version.slice(prefix.length).split(".").map(Number);
  for (const [index, limit] of most.entries()) if ((parts[index] ?? 0) !== limit) return !((parts[index] ?? 0) < limit);
  return false;
}

function textFindings(content: Buffer): string[] {
  const found = new Set<string>();
  if (content.includes(ROOT)) found.add(`contains the path ${ROOT}`);
  for (const anchor of ["/home/", "/Users/", "/root/", ":\\Users\\"])
    for (const text of around(content, anchor))
      for (const path of BUILD_PATHS) {
        const match = path.exec(text)?.[0];
        if (match !== undefined) found.add(`contains the path ${match}`);
      }
  for (const [what, anchor, shape] of SECRETS)
    for (const text of around(content, anchor)) if (shape.test(text)) found.add(`contains ${what}`);
  return [...found];
}

/** The text around each place of an anchor: searching bytes first keeps 100 MB cheap. */
function* around(content: Buffer, anchor: string): Generator<string> {
  for (let at = content.indexOf(anchor, 0, "latin1"); at !== -1; at = content.indexOf(anchor, at + 1, "latin1"))
    yield content.toString("latin1", Math.max(0, at - AROUND), at + AROUND);
}
