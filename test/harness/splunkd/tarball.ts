import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { gunzipSync } from "node:zlib";

/**
 * Unpacks a `.tgz` of files and folders with their modes, as splunkd does at installation. Refuses a name
 * that leads out of the folder and any link.
 */
export function unpackTarball(file: string, into: string): void {
  const tar = gunzipSync(readFileSync(file));
  let longName: string | undefined;
  for (let at = 0; at + 512 <= tar.length; ) {
    const header = tar.subarray(at, at + 512);
    if (header.every((byte) => byte === 0)) break;
    const size = octal(header, 124, 12);
    const type = String.fromCharCode(header[156] as number);
    const body = tar.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
    if (type === "L") {
      longName = text(body, 0, body.length);
      continue;
    }
    if (type === "x") {
      longName = /(?:^|\n)\d+ path=([^\n]*)\n/.exec(body.toString("utf8"))?.[1] ?? longName;
      continue;
    }
    if (type === "g") continue;
    const prefix = text(header, 345, 155);
    const name = longName ?? (prefix === "" ? "" : `${prefix}/`) + text(header, 0, 100);
    longName = undefined;
    const path = normalize(name);
    if (path.startsWith("..") || path.startsWith("/"))
      throw new Error(`${file} holds a name that leads out of the folder: ${name}`);
    const target = join(into, path);
    const mode = octal(header, 100, 8) & 0o777;
    if (type === "5") mkdirSync(target, { recursive: true });
    else if (type === "0" || type === "\0") {
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, body);
      chmodSync(target, mode);
    } else throw new Error(`${file} holds an entry that is neither file nor folder: ${name}`);
  }
}

function text(bytes: Buffer, from: number, length: number): string {
  const field = bytes.subarray(from, from + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end === -1 ? field.length : end);
}

function octal(bytes: Buffer, from: number, length: number): number {
  return Number.parseInt(text(bytes, from, length).trim() || "0", 8);
}
