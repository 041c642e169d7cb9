/**
 * Zip archives whose every byte follows from their entries. Format: PKWARE APPNOTE 6.3, deflate, no zip64
 * (below 4 GiB).
 */
import { crc32, deflateRawSync, inflateRawSync } from "node:zlib";
import type { ArchiveEntry } from "./tar.ts";

const DEFLATE = 8;
const MADE_BY_UNIX = 0x0314;
const UTF8_NAMES = 0x0800;

/**
 * The entries, in the order given, as one zip. `seconds` (since 1970, UTC) is every entry's time, kept to two
 * seconds as the format does.
 */
export function writeZip(entries: readonly ArchiveEntry[], seconds: number): Buffer {
  const { time, date } = dosTime(seconds);
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.path, "utf8");
    const packed = deflateRawSync(entry.content, { level: 9 });
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(UTF8_NAMES, 2);
    common.writeUInt16LE(DEFLATE, 4);
    common.writeUInt16LE(time, 6);
    common.writeUInt16LE(date, 8);
    common.writeUInt32LE(crc32(entry.content), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(entry.content.length, 18);
    common.writeUInt16LE(name.length, 22);
    files.push(signature("PK\u0003\u0004"), common, name, packed);

    const extra = Buffer.alloc(14);
    const kind = entry.path.endsWith("/") ? 0o040000 : 0o100000;
    extra.writeUInt32LE((((kind | entry.mode) << 16) | (entry.path.endsWith("/") ? 0x10 : 0)) >>> 0, 6);
    extra.writeUInt32LE(offset, 10);
    const madeBy = Buffer.alloc(2);
    madeBy.writeUInt16LE(MADE_BY_UNIX);
    directory.push(signature("PK\u0001\u0002"), madeBy, common, extra, name);
    offset += 4 + common.length + name.length + packed.length;
  }
  const directoryBytes = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(directoryBytes, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...files, ...directory, signature("PK\u0005\u0006"), end]);
}

/** Files and folders of a zip that `writeZip` wrote. Throws when a checksum does not hold. */
export function readZip(archive: Buffer): ArchiveEntry[] {
  const end = archive.lastIndexOf("PK\u0005\u0006", undefined, "latin1");
  let at = archive.readUInt32LE(end + 16);
  return Array.from({ length: archive.readUInt16LE(end + 10) }, () => {
    const nameLength = archive.readUInt16LE(at + 28);
    const local = archive.readUInt32LE(at + 42);
    const dataAt = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
    const entry: ArchiveEntry = {
      path: archive.toString("utf8", at + 46, at + 46 + nameLength),
      mode: (archive.readUInt32LE(at + 38) >>> 16) & 0o777,
      content: inflateRawSync(archive.subarray(dataAt, dataAt + archive.readUInt32LE(at + 20))),
    };
    if (crc32(entry.content) !== archive.readUInt32LE(at + 16)) throw new Error(`${entry.path} is damaged in the zip`);
    at += 46 + nameLength;
    return entry;
  });
}

function signature(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function dosTime(seconds: number): { time: number; date: number } {
  const at = new Date(seconds * 1000);
  return {
    time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1),
    date: ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
  };
}
