/**
 * Windows as far as Debian's wine is one: a prefix of its own, in which a program is started with Windows'
 * pipes and stopped by its events, as splunkd.exe does both (splunkd.c).
 *
 * Debian 12's wine 8.0 offers VirtualAlloc2 without the placeholders that V8 asks it for, and the runtime
 * ends at its start. So wine runs from a tree of links to its files, in which only kernelbase.dll is changed:
 * without that function V8 does without placeholders. Needs neither root nor a mount.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path, { join } from "node:path";
import type { Child } from "../splunkd/child.ts";
import type { SplunkSystem } from "../splunkd/system.ts";

const LOADER = "/usr/lib/wine";
const LIBRARIES = "/usr/lib/x86_64-linux-gnu/wine";
const SHARED = "/usr/share/wine";
const COMPILER = "/usr/bin/x86_64-w64-mingw32-gcc-win32";

/** What these tests need and this machine lacks, in words; undefined where nothing is missing. */
export const MISSING_FOR_WINE: string | undefined = [
  [join(LOADER, "wine64"), "wine64"],
  [join(LIBRARIES, "x86_64-windows/kernelbase.dll"), "wine64"],
  [COMPILER, "gcc-mingw-w64-x86-64-win32"],
]
  .filter(([file]) => !existsSync(file as string))
  .map(([, name]) => `Debian's ${name} is not installed`)[0];

/** What splunkd.c does at a letter of its control file. */
const LETTERS: Readonly<Partial<Record<NodeJS.Signals, string>>> = {
  SIGTERM: "b",
  SIGBREAK: "b",
  SIGINT: "c",
  SIGKILL: "k",
};

export class Wine implements SplunkSystem {
  readonly programFolders = ["windows_x86_64/bin", "bin"];
  readonly programEnding = ".exe";
  readonly #folder: string;
  #started = 0;

  /** Prepares a Windows below a folder that exists. Takes some seconds. */
  constructor(folder: string) {
    this.#folder = folder;
    linkWine(join(folder, "tree"));
    for (const name of ["splunkd", "hold"]) {
      const source = join(import.meta.dirname, `${name}.c`);
      execFileSync(COMPILER, ["-municode", "-O2", "-o", join(folder, `${name}.exe`), source]);
    }
    mkdirSync(join(folder, "prefix"));
    // It stays a minute after its last program: if it ended at once, the next program had no server.
    this.#server("-p60");
    this.#run(["wineboot", "-i"]);
    // As Windows 10 the runtime's TLS fails in wine 8.0.
    this.#run(["reg", "add", "HKCU\\Software\\Wine", "/v", "Version", "/d", "win81", "/f"]);
  }

  /** Ends whatever still runs in it. */
  stop(): void {
    this.#server("-k");
    this.#server("-w");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Drive Z: is this machine's root folder. */
  path(file: string): string {
    return file.startsWith("/") ? `Z:${file.replaceAll("/", "\\")}` : file;
  }

  /** The other way round. */
  ownPath(file: string): string {
    const rest = file.slice(2).replaceAll("\\", "/");
    return /^z:/i.test(file) ? rest : join(this.#folder, "prefix/drive_c", rest);
  }

  /**
   * Starts a program as splunkd.exe does. `kill` asks splunkd.c for the event or the end that Windows has for
   * the signal; a program that was ended this way has exit code 1.
   */
  start(executable: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): Child {
    const control = join(this.#folder, `control-${++this.#started}`);
    writeFileSync(control, "");
    const started = [control, executable].map((file) => this.path(path.resolve(file)));
    const child = spawn(this.#loader, [join(this.#folder, "splunkd.exe"), ...started, ...args], {
      cwd: "/",
      env: this.#environment(environment),
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.kill = (signal = "SIGTERM") => {
      const letter = LETTERS[signal as NodeJS.Signals];
      if (letter === undefined || child.exitCode !== null) return false;
      appendFileSync(control, letter);
      return true;
    };
    return child;
  }

  /** The processes of this machine that run this program. */
  pidsOf(executable: string): number[] {
    const started = this.path(path.resolve(executable));
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && commandOf(name).startsWith(started))
      .map(Number);
  }

  /** Holds a file open as a virus scanner does. Resolves when it is held, with what lets it go. */
  async hold(file: string): Promise<() => Promise<void>> {
    const child = spawn(this.#loader, [join(this.#folder, "hold.exe"), this.path(file)], {
      env: this.#environment({}),
      stdio: ["pipe", "pipe", "ignore"],
    });
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const said = await new Promise<string>((resolve) => child.stdout.once("data", (text) => resolve(String(text))));
    if (said.trim() !== "held") throw new Error(`${file} could not be held: ${said}`);
    return () => {
      child.stdin.end();
      return ended;
    };
  }

  get #loader(): string {
    return join(this.#folder, "tree/lib/wine/wine64");
  }

  #environment(own: Readonly<Record<string, string>>): Record<string, string> {
    const { HOME: _, ...others } = own;
    return {
      PATH: "/usr/bin:/bin",
      ...Object.fromEntries(
        Object.entries(others).map(([name, value]) => [name, name === "PATH" ? value : this.path(value)]),
      ),
      WINEPREFIX: join(this.#folder, "prefix"),
      WINEDEBUG: "-all",
      // Neither is needed; each would ask on the screen to be installed.
      WINEDLLOVERRIDES: "mscoree,mshtml=",
      // Node 24 wants Windows 10.
      NODE_SKIP_PLATFORM_CHECK: "1",
      // The names of files are UTF-8.
      LANG: "C.UTF-8",
      LC_ALL: "C.UTF-8",
    };
  }

  #run(args: readonly string[]): void {
    const done = spawnSync(this.#loader, args, { env: this.#environment({}), stdio: "ignore", timeout: 120_000 });
    if (done.status !== 0) throw new Error(`wine's ${args[0]} failed (${done.status ?? done.signal})`);
  }

  #server(argument: string): void {
    spawnSync(join(this.#folder, "tree/lib/wine/wineserver"), [argument], {
      env: this.#environment({}),
      stdio: "ignore",
      timeout: 60_000,
    });
  }
}

/** Empty for a process that has just ended. */
function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/**
 * wine finds its files by the place of its loader and of ntdll.so, so these two are copies, and the others
 * links.
 */
function linkWine(tree: string): void {
  const loader = join(tree, "lib/wine");
  const libraries = join(tree, "lib/x86_64-linux-gnu/wine");
  mkdirSync(loader, { recursive: true });
  mkdirSync(join(tree, "share"));
  symlinkSync(SHARED, join(tree, "share/wine"));
  copyFileSync(join(LOADER, "wine64"), join(loader, "wine64"));
  copyFileSync(join(LOADER, "wineserver64"), join(loader, "wineserver"));
  for (const folder of ["x86_64-unix", "x86_64-windows"]) {
    mkdirSync(join(libraries, folder), { recursive: true });
    for (const name of readdirSync(join(LIBRARIES, folder))) {
      const file = join(LIBRARIES, folder, name);
      if (name === "ntdll.so") copyFileSync(file, join(libraries, folder, name));
      else if (name !== "kernelbase.dll") symlinkSync(file, join(libraries, folder, name));
    }
  }
  const changed = readFileSync(join(LIBRARIES, "x86_64-windows/kernelbase.dll"));
  // A name of the same length that nobody asks for; the table of names stays sorted.
  changed.write("VirtualAlloc1\0", changed.indexOf("VirtualAlloc2\0", 0, "latin1"), "latin1");
  writeFileSync(join(libraries, "x86_64-windows/kernelbase.dll"), changed);
}
