import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import type { SecretReader } from "../../config/arcsight-settings.ts";
import { decodedText } from "../../config/text-encoding.ts";

/** Bits of a file's mode that let group or others read it. */
const OPEN_TO_OTHERS = 0o044;

/**
 * Reads secrets by reference from the real system. systemd passes the folder of its credentials in
 * `CREDENTIALS_DIRECTORY` (systemd.exec(5)).
 */
export function realSecretReader(
  environment: Readonly<Record<string, string | undefined>>,
  platform: NodeJS.Platform,
): SecretReader {
  const folder = environment["CREDENTIALS_DIRECTORY"];
  return {
    file(path) {
      try {
        const text = decodedText(readFileSync(resolve(path)));
        return { text, openToOthers: platform !== "win32" && (statSync(resolve(path)).mode & OPEN_TO_OTHERS) !== 0 };
      } catch {
        return undefined;
      }
    },
    env: (name) => environment[name],
    credential(name) {
      if (folder === undefined) return false;
      // The name may only be a file name in that folder.
      if (!/^[A-Za-z0-9_.-]+$/.test(name) || name.startsWith(".")) return undefined;
      try {
        return decodedText(readFileSync(join(folder, name)));
      } catch {
        return undefined;
      }
    },
  };
}
