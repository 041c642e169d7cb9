import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { quotedForPosix } from "../model/command-line.ts";
import { Failure } from "../model/failure.ts";
import { FleetKey } from "../stores/postgres/fleet-key.ts";

/** Rights of the group and of others. */
const OPEN_TO_OTHERS = 0o077;

/** Throws Failure `settings` when it cannot be read, others can read it too, or it holds no key. */
export function readKeyFile(path: string, platform: NodeJS.Platform = process.platform): FleetKey {
  let text: string;
  try {
    if (platform !== "win32" && (statSync(resolve(path)).mode & OPEN_TO_OTHERS) !== 0)
      throw unusable(path, "can be read by others than its owner", `Run \`chmod 600 ${quotedForPosix(path)}\`.`);
    text = readFileSync(resolve(path), "utf8");
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw unusable(path, "cannot be read", "Copy the key file of another member to this host.");
  }
  const key = FleetKey.fromText(text);
  if (key === undefined) throw unusable(path, "holds no key", "Copy the key file of another member to this host.");
  return key;
}

/**
 * Makes it with a new key; false when there is one. Where the fleet has a key already, a new one would open
 * nothing, and whoever copied it to the other members would lose the fleet's. Throws Failure `settings`.
 *
 * @param inUse the fingerprint of the fleet's key; undefined: it has none yet.
 */
export function provideKeyFile(path: string, inUse: string | undefined): boolean {
  if (inUse === undefined && makeKeyFile(path)) return true;
  const { fingerprint } = readKeyFile(path);
  if (inUse !== undefined && fingerprint !== inUse)
    throw unusable(path, "holds another key than the fleet has", "Copy the key file of another member to this host.");
  return false;
}

function makeKeyFile(path: string): boolean {
  try {
    mkdirSync(dirname(resolve(path)), { recursive: true, mode: 0o700 });
    writeFileSync(resolve(path), FleetKey.newText(), { flag: "wx", mode: 0o600, flush: true });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw unusable(path, "cannot be written", "Name a file in a folder that this account may write.");
  }
}

function unusable(path: string, what: string, nextStep: string): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `The file ${path} named in fleet.key_file ${what}.`,
    nextStep,
  });
}
