/**
 * `npm run build:binaries`: makes dist/<platform>/defender-mssp[.exe] from src/main/main.ts and the pinned
 * runtime.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { bundle } from "./build/bundle.ts";
import { neededLibraries } from "./build/elf.ts";
import { makeExecutable } from "./build/inject.ts";
import { inputsHash } from "./build/inputs.ts";
import { withoutOldSignature } from "./build/pe.ts";
import { binaryPath, hostPlatform, isPlatform, PLATFORMS, type Platform } from "./build/platforms.ts";
import { ROOT, RUNTIME, runScript, ScriptProblem, VERSION } from "./build/project.ts";
import { pinnedRuntime } from "./build/runtime.ts";

const HELP = `npm run build:binaries -- [--platform P]... [--force]

Leaves dist/P/defender-mssp[.exe], one executable without dependencies beyond glibc 2.28 (Linux).

  --platform P   ${Object.keys(PLATFORMS).join(", ")}; may be given more than once; default: this machine's
  --force        builds even when nothing that decides the binary has changed
  --quiet        says nothing when there is nothing to do
`;

/**
 * Libraries that every glibc 2.28 host has; a binary that asks for another would not start on a minimal one.
 */
export const ALLOWED_LIBRARIES = /^(libc|libdl|libm|libpthread|libgcc_s|libstdc\+\+|ld-linux[a-z0-9_-]*)\.so(\.\d+)*$/;

/**
 * One fixed place, because the path of the file that is packed becomes part of the executable: same sources,
 * same bytes, in any checkout.
 */
const BUILD_FOLDER = join(tmpdir(), "defender-mssp-build");

/** Beside each binary: what it was made from. */
interface BuildRecord {
  readonly version: string;
  readonly runtime: string;
  readonly inputs: string;
  readonly sha256: string;
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly licence: string;
    readonly folder: string;
  }[];
}

/** Refuses a Linux binary that needs a library which a minimal host may lack. Throws ScriptProblem. */
export function checkLibraries(program: Buffer): void {
  const others = neededLibraries(program).filter((name) => !ALLOWED_LIBRARIES.test(name));
  if (others.length > 0)
    throw new ScriptProblem(
      `The binary asks for ${others.join(", ")}, which minimal hosts lack: choose a runtime that does not.`,
    );
}

/** What the binary in dist/ was made from, or nothing when there is none, or it was changed since. */
export function readBuildRecord(platform: Platform): BuildRecord | undefined {
  const binary = resolve(ROOT, binaryPath(platform));
  const record = join(dirname(binary), "build.json");
  if (!existsSync(binary) || !existsSync(record)) return undefined;
  const built = JSON.parse(readFileSync(record, "utf8")) as BuildRecord;
  return built.sha256 === sha256(readFileSync(binary)) ? built : undefined;
}

async function buildBinary(platform: Platform, { force, quiet }: { force: boolean; quiet: boolean }): Promise<void> {
  const say = (text: string) => process.stderr.write(`${binaryPath(platform)}: ${text}\n`);
  const isFresh = () => !force && readBuildRecord(platform)?.inputs === inputsHash(platform);
  if (isFresh()) {
    if (!quiet) say("up to date");
    return;
  }
  const release = await takeBuildFolder();
  try {
    if (isFresh()) return;
    const inputs = inputsHash(platform);
    const runtime = pinnedRuntime(platform);
    say("bundling");
    const { code, packages } = await bundle("src/main/main.ts");
    say(`packing into Node ${RUNTIME}`);
    const made = join(BUILD_FOLDER, "executable");
    await makeExecutable(code, runtime, platform, BUILD_FOLDER, made);
    const packed = readFileSync(made);
    const program = PLATFORMS[platform].pkgPlatform === "win" ? withoutOldSignature(packed) : packed;
    if (PLATFORMS[platform].pkgPlatform === "linux") checkLibraries(program);
    const target = resolve(ROOT, binaryPath(platform));
    mkdirSync(dirname(target), { recursive: true });
    // Written aside and renamed: a running binary cannot be written over, and nobody may start half of one.
    writeFileSync(`${target}.new`, program, { mode: 0o755 });
    renameSync(`${target}.new`, target);
    const record: BuildRecord = { version: VERSION, runtime: RUNTIME, inputs, sha256: sha256(program), packages };
    writeFileSync(join(dirname(target), "build.json"), `${JSON.stringify(record, undefined, 2)}\n`);
    say(`${Math.round(program.length / 1e6)} MB, SHA-256 ${record.sha256}`);
  } finally {
    release();
  }
}

/**
 * One build at a time on this machine. A build that crashed leaves its folder behind, and the next build
 * takes the folder over.
 */
async function takeBuildFolder(): Promise<() => void> {
  const owner = join(BUILD_FOLDER, "owner.pid");
  for (let waitedMs = 0; ; waitedMs += 500) {
    try {
      mkdirSync(BUILD_FOLDER, { mode: 0o700 });
      break;
    } catch {
      if (!isAlive(owner) && waitedMs > 2000) rmSync(BUILD_FOLDER, { recursive: true, force: true });
      if (waitedMs > 600_000)
        throw new ScriptProblem(
          `Another build has held ${BUILD_FOLDER} for 10 minutes: end it, or remove that folder.`,
        );
      await pause(500);
    }
  }
  writeFileSync(owner, String(process.pid));
  return () => rmSync(BUILD_FOLDER, { recursive: true, force: true });
}

function isAlive(pidFile: string): boolean {
  try {
    process.kill(Number(readFileSync(pidFile, "utf8")), 0);
    return true;
  } catch {
    return false;
  }
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      platform: { type: "string", multiple: true },
      force: { type: "boolean", default: false },
      quiet: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const host = hostPlatform();
  const wanted = values.platform ?? (host === undefined ? [] : [host]);
  if (wanted.length === 0) {
    throw new ScriptProblem(
      `No runtime is pinned for this machine (${process.platform}-${process.arch}); name one of ${Object.keys(PLATFORMS).join(", ")} with --platform.`,
      2,
    );
  }
  for (const name of wanted) {
    if (!isPlatform(name))
      throw new ScriptProblem(`--platform ${name} is none of ${Object.keys(PLATFORMS).join(", ")}.`, 2);
    await buildBinary(name, values);
  }
}

if (import.meta.main) await runScript(main);
