/**
 * Tar archives whose every byte follows from their entries: names sorted by the caller's packing list, owner
 * and group root, one time for all. Format: POSIX.1-1988 ustar, which every tar, Splunk's included, reads; no
 * extension is written.
 */

export interface ArchiveEntry {
  /** Slashes, no leading slash; a folder ends with one. */
  readonly path: string;
  readonly mode: number;
  /** Empty for a folder. */
  readonly content: Buffer;
}

const BLOCK = 512;
const EMPTY = Buffer.alloc(0);

/**
 * The entries, in the order given, as one tar. `seconds` (since 1970) is every entry's time. Throws when a
 * path does not fit ustar.
 */
export function writeTar(entries: readonly ArchiveEntry[], seconds: number): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    blocks.push(header(entry, seconds), entry.content, Buffer.alloc((BLOCK - (entry.content.length % BLOCK)) % BLOCK));
  }
  blocks.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(blocks);
}

/** Files and folders of a tar (ustar, or one whose long names lie in pax records). */
export function readTar(archive: Buffer): ArchiveEntry[] {
  const entries: ArchiveEntry[] = [];
  let longPath: string | undefined;
  for (let at = 0; at + BLOCK <= archive.length; ) {
    const name = field(archive, at, 100);
    if (name === "") break;
    const size = Number.parseInt(field(archive, at + 124, 12).trim() || "0", 8);
    const kind = String.fromCharCode(archive[at + 156] ?? 0);
    const prefix = field(archive, at + 345, 155);
    const content = archive.subarray(at + BLOCK, at + BLOCK + size);
    if (kind === "x") longPath = /(?:^|\n)\d+ path=([^\n]*)\n/.exec(content.toString("utf8"))?.[1];
    if (kind === "0" || kind === "\0" || kind === "5") {
      const path = longPath ?? (prefix === "" ? name : `${prefix}/${name}`);
      entries.push({
        path,
        mode: Number.parseInt(field(archive, at + 100, 8).trim(), 8),
        content: kind === "5" ? EMPTY : content,
      });
      longPath = undefined;
    }
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return entries;
}

function header(entry: ArchiveEntry, seconds: number): Buffer {
  const isFolder = entry.path.endsWith("/");
  const { prefix, name } = splitPath(entry.path);
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100, "utf8");
  block.write(octal(entry.mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(entry.content.length, 11), 124);
  block.write(octal(seconds, 11), 136);
  block.write(" ".repeat(8), 148);
  block.write(isFolder ? "5" : "0", 156);
  block.write("ustar\u000000", 257, "latin1");
  block.write("root", 265);
  block.write("root", 297);
  block.write(octal(0, 7), 329);
  block.write(octal(0, 7), 337);
  block.write(prefix, 345, 155, "utf8");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function splitPath(path: string): { prefix: string; name: string } {
  if (Buffer.byteLength(path) <= 100) return { prefix: "", name: path };
  for (let slash = path.indexOf("/"); slash !== -1 && slash < path.length - 1; slash = path.indexOf("/", slash + 1)) {
    const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)];
    if (Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155) return { prefix, name };
  }
  throw new Error(
    `${path} is too long for a tar that every Splunk can unpack: at most 100 bytes after a slash within the first 155`,
  );
}

function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, "0")}\0`;
}

function field(archive: Buffer, at: number, length: number): string {
  const end = archive.indexOf(0, at);
  return archive.toString("utf8", at, end === -1 || end > at + length ? at + length : end);
}
