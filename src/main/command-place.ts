import path from "node:path";
import { flagName } from "../config/flags.ts";
import type { CommandPlace } from "../model/command-line.ts";
import { TABLE } from "../model/settings-table.ts";

/** What of this process decides how a command is typed here. */
export interface ProgramWorld {
  readonly execPath: string;
  /** The program as it was typed. */
  readonly argv0: string;
  /** `process.argv[1]`: the script, where the runtime is not part of the executable. */
  readonly script: string | undefined;
  readonly platform: NodeJS.Platform;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const realProgramWorld: ProgramWorld = {
  execPath: process.execPath,
  argv0: process.argv0,
  script: process.argv[1],
  platform: process.platform,
  environment: process.env,
};

/** Flags that say where settings, secrets and state are. Settings given as flags are repeated too. */
const REPEATED = [
  "config",
  "customer",
  "state",
  "to",
  "file",
  "splunk-uri",
  "splunk-user",
  ...TABLE.filter(({ secret }) => secret !== true).map(({ key }) => flagName(key)),
];

/**
 * The words that start this program. In Splunk they go through `splunk cmd`, which sets the environment by
 * which splunkd's own certificate is verified.
 *
 * @param options `typed`: as it was typed, by a person who is still in that folder. A log is read anywhere.
 */
function programWords(world: ProgramWorld, { typed }: { readonly typed: boolean }): readonly string[] {
  const { execPath, argv0, script, platform, environment } = world;
  const paths = platform === "win32" ? path.win32 : path.posix;
  const splunkHome = environment["SPLUNK_HOME"];
  if (splunkHome && isWithin(paths, execPath, splunkHome))
    return [paths.join(splunkHome, "bin", platform === "win32" ? "splunk.exe" : "splunk"), "cmd", execPath];
  const isRuntime = /^node(\.exe)?$/i.test(paths.basename(execPath));
  const program = typed && argv0 !== "" ? argv0 : execPath;
  return isRuntime && script !== undefined ? [execPath, script] : [program];
}

function isWithin(paths: typeof path.posix, file: string, folder: string): boolean {
  const way = paths.relative(folder, file);
  return way !== "" && !way.startsWith("..") && !paths.isAbsolute(way);
}

/**
 * Where the commands are pasted that one command line prints.
 *
 * @param argv its flags as yargs parsed them.
 * @param options `secrets`: where this command reads them, if that is not for the flags to say.
 */
export function placeOf(
  argv: Readonly<Record<string, unknown>>,
  options: { readonly typed: boolean; readonly secrets?: CommandPlace["secrets"] },
  world: ProgramWorld = realProgramWorld,
): CommandPlace {
  const program = programWords(world, options);
  const flags = Object.fromEntries(
    REPEATED.flatMap((name) => {
      const value = Array.isArray(argv[name]) && argv[name].length === 1 ? (argv[name][0] as unknown) : argv[name];
      return typeof value === "string" && value !== "" && !holdsLogin(name, value) ? [[name, value] as const] : [];
    }),
  );
  const absolute = options.typed ? flags : withFullPaths(flags);
  return {
    program,
    shell: world.platform === "win32" ? "windows" : "posix",
    flags: absolute,
    secrets: options.secrets ?? secretsBy(absolute, program),
  };
}

/** A proxy's password must not be printed, so the command is printed without it. */
function holdsLogin(flag: string, value: string): boolean {
  return flag === "proxy" && value.includes("@");
}

/** inputs.conf and a run document belong to Splunk, which keeps their secrets. */
function secretsBy(flags: Readonly<Record<string, string>>, program: readonly string[]): CommandPlace["secrets"] {
  if (flags["to"] !== undefined) return flags["to"] === "splunk" ? "splunk" : "files";
  if (flags["splunk-uri"] !== undefined || flags["splunk-user"] !== undefined) return "splunk";
  const config = flags["config"]?.toLowerCase();
  if (config === undefined) return program[1] === "cmd" ? "splunk" : "files";
  return config.endsWith(".properties") ? "files" : "splunk";
}

function withFullPaths(flags: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(flags).map(([name, value]) => [
      name,
      name === "config" || name === "state" || name === "file" ? path.resolve(value) : value,
    ]),
  );
}
