import { crc32, createDeflateRaw } from "node:zlib";

/** The long part of a page, deflated once and sent many times behind heads that differ (count, next link). */
export interface Prepared {
  readonly deflated: Buffer;
  readonly crc: number;
  readonly bytes: number;
}

/** Deflates the chunks one at a time, so that a page may be longer than a string can be. */
export async function prepare(chunks: Iterable<string>, level = 6): Promise<Prepared> {
  const deflate = createDeflateRaw({ level });
  const parts: Buffer[] = [];
  deflate.on("data", (part: Buffer) => parts.push(part));
  const ended = new Promise<void>((resolve, reject) => {
    deflate.on("end", resolve);
    deflate.on("error", reject);
  });
  let crc = 0;
  let bytes = 0;
  for (const chunk of chunks) {
    const raw = Buffer.from(chunk);
    crc = crc32(raw, crc);
    bytes += raw.length;
    if (!deflate.write(raw)) await new Promise<void>((resolve) => deflate.once("drain", resolve));
  }
  deflate.end();
  await ended;
  return { deflated: Buffer.concat(parts), crc, bytes };
}

const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
const STORED_MAX = 0xffff;

/**
 * One gzip member (RFC 1952) that unpacks to `head` followed by the prepared part: head as stored blocks,
 * then the prepared part unchanged.
 */
export function gzipBehind(head: Buffer, tail: Prepared): Buffer[] {
  const parts: Buffer[] = [GZIP_HEADER];
  for (let at = 0; at < head.length; at += STORED_MAX) {
    const block = head.subarray(at, at + STORED_MAX);
    const frame = Buffer.alloc(5);
    frame.writeUInt16LE(block.length, 1);
    frame.writeUInt16LE(block.length ^ 0xffff, 3);
    parts.push(frame, block);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(combineCrc(crc32(head), tail.crc, tail.bytes));
  trailer.writeUInt32LE((head.length + tail.bytes) % 2 ** 32, 4);
  parts.push(tail.deflated, trailer);
  return parts;
}

const POLYNOMIAL = 0xedb88320;

/**
 * The CRC-32 of two texts joined, from the CRC-32 of each and the length of the second (the method of zlib's
 * crc32_combine).
 */
function combineCrc(first: number, second: number, secondBytes: number): number {
  if (secondBytes === 0) return first;
  // Appending a zero bit is a linear map over GF(2); it is squared until it stands for `secondBytes` zero
  // bytes.
  let map = Array.from({ length: 32 }, (_, bit) => (bit === 0 ? POLYNOMIAL : 1 << (bit - 1)));
  map = square(square(map));
  let crc = first;
  for (let length = secondBytes; length > 0; length = Math.floor(length / 2)) {
    map = square(map);
    if (length % 2 === 1) crc = times(map, crc);
  }
  return (crc ^ second) >>> 0;
}

function times(map: readonly number[], vector: number): number {
  let sum = 0;
  for (let bit = 0, rest = vector; rest !== 0; bit += 1, rest >>>= 1) {
    if (rest & 1) sum ^= map[bit] ?? 0;
  }
  return sum;
}

const square = (map: readonly number[]): number[] => map.map((vector) => times(map, vector));
