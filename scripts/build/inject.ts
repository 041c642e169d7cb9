import childProcess from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { stripped } from "./elf.ts";
import { hostPlatform, PLATFORMS, type Platform } from "./platforms.ts";
import { RUNTIME } from "./project.ts";
import { withOwnResources } from "./windows-resources.ts";

/** What @yao-pkg/pkg 6.23 does for one file; its command line drops `seaConfig`, so its module is called. */
type SingleExecutable = (
  file: string,
  options: {
    readonly targets: readonly {
      readonly nodeRange: string;
      readonly platform: string;
      readonly arch: string;
      readonly output: string;
    }[];
    readonly signature: boolean;
    readonly nodePath?: string;
    readonly seaConfig: {
      readonly disableExperimentalSEAWarning: boolean;
      readonly useCodeCache: boolean;
      readonly execArgv: readonly string[];
      readonly execArgvExtension: "none";
    };
  },
) => Promise<void>;

/**
 * Flags of the shipped runtime: its own warnings would be unlevelled lines in splunkd.log. The young
 * generation has 4 MB from the start: of 1 MB a quarter outlived each collection, because the events of many
 * customers are under way at once, and the runtime's own 16 MB raise the peak. V8's helpers share one thread,
 * because each thread keeps memory of its own. These three leave the code caches valid, as other flags may
 * not. The last two take away what OPENSSL_CONF, NODE_USE_SYSTEM_CA, SSL_CERT_FILE and SSL_CERT_DIR would
 * change: the runtime reads them before this program's first line, and a broken OpenSSL configuration ends it
 * there.
 */
function runtimeFlags(platform: Platform): readonly string[] {
  const noFile = platform.startsWith("win") ? "NUL" : "/dev/null";
  return [
    "--no-warnings",
    "--min-semi-space-size=4",
    "--max-semi-space-size=4",
    "--v8-pool-size=1",
    "--no-use-system-ca",
    `--openssl-config=${noFile}`,
  ];
}

/**
 * Puts `code` into a copy of the runtime and leaves the executable at `output` (absolute). `folder` is an
 * empty folder of the caller's; its path is part of the executable's bytes. Code cache only where the runtime
 * that makes it is the one that reads it.
 */
export async function makeExecutable(
  code: string,
  runtime: string,
  platform: Platform,
  folder: string,
  output: string,
): Promise<void> {
  const main = join(folder, "defender-mssp.cjs");
  writeFileSync(main, code);
  const isHost = platform === hostPlatform();
  const { pkgPlatform, arch } = PLATFORMS[platform];
  const base = join(folder, "runtime");
  if (pkgPlatform === "linux") {
    writeFileSync(base, stripped(readFileSync(runtime)));
    chmodSync(base, 0o755);
  } else {
    writeFileSync(base, withOwnResources(readFileSync(runtime)));
  }
  const targets = [{ nodeRange: `node${RUNTIME}`, platform: pkgPlatform, arch, output }];
  const seaConfig = {
    disableExperimentalSEAWarning: true,
    useCodeCache: isHost,
    execArgv: runtimeFlags(platform),
    execArgvExtension: "none",
  } as const;
  const singleExecutable = loadPkg();
  const { log } = createRequire(import.meta.url)("@yao-pkg/pkg/lib-es5/log.js") as {
    log: { info: (text: string) => void };
  };
  log.info = () => undefined;
  const home = process.env["HOME"];
  try {
    if (!isHost) {
      seedRuntimeCache(base, platform, join(folder, "home"));
      process.env["HOME"] = join(folder, "home");
    }
    await singleExecutable(main, { targets, signature: false, ...(isHost ? { nodePath: base } : {}), seaConfig });
  } finally {
    if (home === undefined) delete process.env["HOME"];
    else process.env["HOME"] = home;
    rmSync(base, { force: true });
  }
  chmodSync(output, 0o755);
}

/**
 * pkg's module, which starts the runtime to make the code cache. V8 seeds its hash tables randomly, so each
 * cache would have other bytes; with a fixed seed equal sources give equal executables. The seed is not part
 * of what V8 compares before it takes a cache, and a running program has a random seed of its own. pkg has no
 * setting for it and takes `execFile` when it is loaded, so it is given another one for that moment.
 */
function loadPkg(): SingleExecutable {
  const { execFile } = childProcess;
  const seeded = (file: string, args: readonly string[]) =>
    promisify(execFile)(file, args[0] === "--experimental-sea-config" ? ["--random-seed=1", ...args] : [...args]);
  try {
    childProcess.execFile = Object.assign(() => undefined, {
      [promisify.custom]: seeded,
    }) as unknown as typeof execFile;
    return (createRequire(import.meta.url)("@yao-pkg/pkg/lib-es5/sea.js") as { default: SingleExecutable }).default;
  } finally {
    childProcess.execFile = execFile;
  }
}

/**
 * pkg would download the runtime of another platform. So the pinned runtime is put into its cache, marked as
 * verified, because pinnedRuntime verified it.
 */
function seedRuntimeCache(runtime: string, platform: Platform, home: string): void {
  const { pkgPlatform, arch } = PLATFORMS[platform];
  const cache = join(home, ".pkg-cache/sea");
  const name = `node-v${RUNTIME}-${pkgPlatform}-${arch}`;
  const executable = pkgPlatform === "win" ? join(cache, `${name}.exe`) : join(cache, name, "bin/node");
  const archive = join(cache, `${name}${pkgPlatform === "win" ? ".zip" : ".tar.gz"}`);
  mkdirSync(join(executable, ".."), { recursive: true });
  copyFileSync(runtime, executable);
  chmodSync(executable, 0o755);
  for (const empty of [`${executable}.ok`, archive, `${archive}.ok`]) writeFileSync(empty, "");
}
