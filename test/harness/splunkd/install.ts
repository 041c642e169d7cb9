import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { type Conf, layered, parseConf, renderConf } from "./conf.ts";
import { type SplunkSystem, THIS_SYSTEM } from "./system.ts";
import { unpackTarball } from "./tarball.ts";

/** Settings that name a file; a relative name is read from the folder of the conf file that gives it. */
const FILE_SETTINGS = ["ca_file", "certificate", "hunting_queries", "splunkd_ca_file"];

export interface Installed {
  /** The app's id, which is its folder's name. */
  readonly app: string;
  readonly folder: string;
  readonly executable: string;
}

/**
 * Puts an app (folder or `.tgz`) into `<home>/etc/apps/<id>`; what an administrator keeps in `local/` stays,
 * as at an upgrade.
 */
export function installApp(
  source: string,
  home: string,
  scheme: string,
  system: SplunkSystem = THIS_SYSTEM,
): Installed {
  if (!existsSync(source)) throw new Error(`there is no app at ${source}`);
  const apps = join(home, "etc", "apps");
  mkdirSync(apps, { recursive: true });
  const staging = mkdtempSync(join(home, "etc", ".staging-"));
  try {
    let unpacked = source;
    if (statSync(source).isFile()) {
      unpackTarball(source, staging);
      const tops = readdirSync(staging);
      if (tops.length !== 1)
        throw new Error(`${source} must hold one app folder, not ${tops.length}: ${tops.join(", ")}`);
      unpacked = join(staging, tops[0] as string);
    }
    const app = appId(unpacked);
    const folder = join(apps, app);
    const kept = join(staging, ".local");
    if (existsSync(join(folder, "local"))) renameSync(join(folder, "local"), kept);
    rmSync(folder, { recursive: true, force: true });
    if (unpacked === source) cpSync(source, folder, { recursive: true, preserveTimestamps: true });
    else renameSync(unpacked, folder);
    if (existsSync(kept)) {
      rmSync(join(folder, "local"), { recursive: true, force: true });
      renameSync(kept, join(folder, "local"));
    }
    return { app, folder, executable: executableOf(folder, scheme, system) };
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function appId(folder: string): string {
  const conf = readConf(join(folder, "default", "app.conf"));
  return conf.get("package")?.get("id") ?? basename(resolve(folder));
}

function executableOf(folder: string, scheme: string, { programFolders, programEnding }: SplunkSystem): string {
  const places = programFolders.map((place) => join(folder, place, `${scheme}${programEnding}`));
  const found = places.find((place) => existsSync(place));
  if (found === undefined)
    throw new Error(`the app has no executable for this platform: ${places.join(" or ")} is missing`);
  return found;
}

export function readConf(file: string): Conf {
  return existsSync(file) ? parseConf(readFileSync(file, "utf8")) : new Map();
}

/** `default/<name>.conf` under `local/<name>.conf` of the app. */
export function readLayered(folder: string, name: string): Conf {
  return layered(readConf(join(folder, "default", `${name}.conf`)), readConf(join(folder, "local", `${name}.conf`)));
}

/** Writes the app's local file aside and renames it into place. */
export function writeLocal(folder: string, name: string, conf: Conf): void {
  const file = join(folder, "local", `${name}.conf`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, renderConf(conf), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/**
 * Makes `source` the app's `local/inputs.conf`. Every file that a stanza names is first copied into
 * `<home>/etc/auth/<scheme>/` and the stanza points there, because an input may read files from nowhere else.
 * A home that was given this very file before keeps what has been edited since (masked secrets, for
 * instance).
 */
export function installInputs(
  source: string,
  home: string,
  folder: string,
  scheme: string,
  system: SplunkSystem = THIS_SYSTEM,
): void {
  if (!existsSync(source)) throw new Error(`there is no conf file at ${source}`);
  const text = readFileSync(source, "utf8");
  const stamp = join(home, "var", "lib", "pretend-splunkd", "inputs.sha256");
  const digest = createHash("sha256").update(text).digest("hex");
  if (existsSync(stamp) && existsSync(join(folder, "local", "inputs.conf")) && readFileSync(stamp, "utf8") === digest)
    return;
  const conf = parseConf(text);
  for (const settings of conf.values()) {
    for (const [key, value] of settings) {
      const isNamed = FILE_SETTINGS.includes(key);
      if (value === "" || (!isNamed && !isAbsolute(value))) continue;
      const file = isAbsolute(value) ? value : resolve(dirname(source), value);
      if (existsSync(file) && statSync(file).isFile())
        settings.set(key, system.path(copyToAuth(file, join(home, "etc", "auth", scheme))));
    }
  }
  writeLocal(folder, "inputs", conf);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, digest);
}

function copyToAuth(file: string, auth: string): string {
  if (dirname(file) === auth) return file;
  mkdirSync(auth, { recursive: true, mode: 0o700 });
  const bytes = readFileSync(file);
  const plain = join(auth, basename(file));
  const taken = existsSync(plain) && !readFileSync(plain).equals(bytes);
  const target = taken
    ? join(auth, `${createHash("sha256").update(bytes).digest("hex").slice(0, 8)}-${basename(file)}`)
    : plain;
  writeFileSync(target, bytes, { mode: 0o600 });
  return target;
}
