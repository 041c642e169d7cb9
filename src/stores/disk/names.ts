import { createHash } from "node:crypto";

/**
 * Names that Windows reserves for devices in every folder. Source: Microsoft, "Naming Files,
 * Paths, and Namespaces".
 */
const DEVICE_NAME = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])$/;
const LONGEST = 120;

/**
 * A stanza's name as one folder name that every file system keeps apart and none refuses: lower-case letters,
 * digits, `_` and `-` stay, a capital becomes `+` and its small letter (Windows and macOS fold case), all
 * else `%xx` of its UTF-8 bytes; a long one ends in a digest.
 */
export function folderNameOf(stanza: string): string {
  let name = "";
  for (const byte of Buffer.from(stanza, "utf8")) {
    const char = String.fromCharCode(byte);
    if (/[a-z0-9_-]/.test(char)) name += char;
    else if (/[A-Z]/.test(char)) name += `+${char.toLowerCase()}`;
    else name += `%${byte.toString(16).padStart(2, "0")}`;
  }
  if (name === "") return "%";
  if (DEVICE_NAME.test(name)) return `%${name.charCodeAt(0).toString(16)}${name.slice(1)}`;
  if (name.length <= LONGEST) return name;
  const digest = createHash("sha256").update(stanza, "utf8").digest("hex").slice(0, 32);
  return `${name.slice(0, LONGEST - 33)}~${digest}`;
}

/** The stanza's name again; undefined for a long one, of which the folder's name holds only a part. */
export function nameOfFolder(folder: string): string | undefined {
  if (folder.includes("~")) return undefined;
  const bytes = folder
    .replaceAll(/\+([a-z])/g, (_, letter: string) => letter.toUpperCase())
    .replaceAll(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return bytes === "%" ? "" : Buffer.from(bytes, "latin1").toString("utf8");
}
