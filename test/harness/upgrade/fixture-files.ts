import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Ready } from "../simulator/start.ts";

/**
 * An installation as a release left it on a disk, kept as a fixture. Addresses, folders and what is computed
 * from them differ from machine to machine: the fixture holds `{{name}}` in their place, in texts and in file
 * names. Every other byte is what the release wrote.
 */
export type Placeholders = Readonly<Record<string, string>>;

/** Names of files that are kept compressed. */
const COMPRESSED = ".gz";

/** What the simulator's addresses and its CA file become in a fixture. */
export function simulatorPlaceholders(ready: Ready): Placeholders {
  return { binding: bindingOf010(ready), origin: ready.graph_url, siem_origin: ready.siem_url };
}

/**
 * The endpoint binding that stands beside a stored secret, by the rule of version 0.1.0. The rule is written
 * here a second time on purpose: a release with another rule refuses every stored secret after an upgrade,
 * and a test fails.
 */
function bindingOf010({ login_url, graph_url, api_url, siem_url, ca_file }: Ready): string {
  const parts = [
    `login_url=${login_url}\n`,
    `graph_url=${graph_url}\n`,
    `api_url=${api_url} ${api_url}\n`,
    `siem_url=${siem_url}\n`,
    "proxy=\n",
    `ca_file=${sha256(readFileSync(ca_file))}\n`,
  ];
  return ["v1", sha256(parts.join("")), ...parts.map((part) => sha256(part).slice(0, 6))].join(".");
}

/**
 * The folders of the outputs in the state folder, by the rule of version 0.1.0: the name comes from the
 * target.
 */
export function outputFolders010(receiverPort: number, cefFile: string): Placeholders {
  const named = (type: string, where: string): string => `${type}-${sha256(where).slice(0, 16)}`;
  return {
    syslog_output: named("syslog", `tcp 127.0.0.1 ${receiverPort}`),
    cef_file_output: named("cef-file", `cef-file ${cefFile}`),
  };
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/**
 * Copies a fixture to `target`. Git does not keep modes, so they are set here: 0600 for files, 0700 for
 * folders.
 */
export function restoreInstallation(fixture: string, target: string, placeholders: Placeholders): void {
  for (const file of filesBelow(fixture)) {
    const bytes = readFileSync(join(fixture, file));
    const name = filled(file.split(sep).join("/"), placeholders);
    const isCompressed = name.endsWith(COMPRESSED);
    const path = join(target, isCompressed ? name.slice(0, -COMPRESSED.length) : name);
    const content = isCompressed
      ? gunzipSync(bytes)
      : isText(bytes)
        ? filled(bytes.toString("utf8"), placeholders)
        : bytes;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, content, { mode: 0o600 });
    chmodSync(path, 0o600);
  }
}

/**
 * Keeps files of an installation as a fixture.
 *
 * @param compressed tells which files are kept compressed.
 */
export function keepInstallation(
  installation: string,
  fixture: string,
  placeholders: Placeholders,
  compressed: (file: string) => boolean = () => false,
): void {
  for (const file of filesBelow(installation)) {
    const bytes = readFileSync(join(installation, file));
    const name = emptied(file.split(sep).join("/"), placeholders);
    const path = join(fixture, compressed(name) ? `${name}${COMPRESSED}` : name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, compressed(name) ? gzipSync(bytes, { level: 9 }) : keptBytes(name, bytes, placeholders));
  }
}

function keptBytes(name: string, bytes: Buffer, placeholders: Placeholders): Buffer {
  if (isText(bytes)) return Buffer.from(emptied(bytes.toString("utf8"), placeholders), "utf8");
  // A checksum may cover these bytes, so nothing in them can be replaced.
  const found = Object.entries(placeholders).find(([, value]) => bytes.includes(value));
  if (found !== undefined)
    throw new Error(`${name} holds the value of {{${found[0]}}} in a binary file, where it cannot be replaced`);
  return bytes;
}

function filled(text: string, placeholders: Placeholders): string {
  return text.replaceAll(/\{\{([a-z_]+)\}\}/g, (_, name: string) => {
    const value = placeholders[name];
    if (value === undefined) throw new Error(`the fixture asks for {{${name}}}, which has no value`);
    return value;
  });
}

/** Replaces the longest values first: one address can be the beginning of another. */
function emptied(text: string, placeholders: Placeholders): string {
  return Object.entries(placeholders)
    .toSorted(([, a], [, b]) => b.length - a.length)
    .reduce((rest, [name, value]) => rest.replaceAll(value, `{{${name}}}`), text);
}

const isText = (bytes: Buffer): boolean =>
  !bytes.includes(0) && Buffer.from(bytes.toString("utf8"), "utf8").equals(bytes);

/** Paths of all files below a folder, from there, sorted. */
function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** What systemd starts for a unit. `root` is put before every absolute path. */
export interface UnitCommand {
  readonly args: readonly string[];
  /** The file of each `LoadCredential` line, by the credential's name. */
  readonly credentials: Readonly<Record<string, string>>;
}

export function commandOf(unit: string, root: string): UnitCommand {
  const [, ...args] = (/^ExecStart=(.+)$/m.exec(unit)?.[1] ?? "").split(" ");
  const credentials = [...unit.matchAll(/^LoadCredential=([^:\n]+):(.+)$/gm)].map(([, name = "", file = ""]) => [
    name,
    `${root}${file}`,
  ]);
  return {
    args: args.map((arg) => (arg.startsWith("/") ? `${root}${arg}` : arg)),
    credentials: Object.fromEntries(credentials) as Record<string, string>,
  };
}
