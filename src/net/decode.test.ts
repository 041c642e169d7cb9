import { pipeline, Readable } from "node:stream";
import {
  brotliCompressSync,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  deflateSync,
  gzipSync,
} from "node:zlib";
import { describe, expect, test } from "@jest/globals";
import { decodedBody } from "./decode.ts";

const PIECE_BYTES = 131_072;
const TEXT = Buffer.from(
  JSON.stringify(Array.from({ length: 9_000 }, (_, n) => ({ id: `alert-${n * 7_919}`, note: "ж…" }))),
);
const CODINGS = [
  { coding: "gzip", compress: gzipSync, stream: createGunzip },
  { coding: "deflate", compress: deflateSync, stream: createInflate },
  { coding: "br", compress: brotliCompressSync, stream: createBrotliDecompress },
] as const;

/** The text that a reader gets, or the error's code. What was read before an error counts for nothing. */
async function read(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const copies: Uint8Array[] = [];
  try {
    for await (const piece of pieces) copies.push(Uint8Array.from(piece));
  } catch (error) {
    return `error ${(error as NodeJS.ErrnoException).code ?? ""}`;
  }
  return Buffer.concat(copies).toString("latin1");
}

/** The compressed bytes as the network gives them: in pieces of `size` bytes. */
function sent(compressed: Uint8Array, size = 8_192): Readable {
  const count = Math.ceil(compressed.length / size);
  return Readable.from(
    Array.from({ length: count }, (_, n) => compressed.subarray(n * size, (n + 1) * size)),
    { objectMode: false },
  );
}

function piecesOf(compressed: Uint8Array, coding: string, size?: number): AsyncIterable<Uint8Array> {
  return decodedBody(sent(compressed, size), { status: 200, headers: { "content-encoding": coding } }, "graph");
}

describe.each(CODINGS)("a body in $coding", ({ coding, compress, stream }) => {
  const compressed = compress(TEXT);
  const short = compress(TEXT.subarray(0, 300));

  /** What the runtime's own stream makes of the same bytes. */
  const runtimes = (bytes: Uint8Array): Promise<string> => read(pipeline(sent(bytes), stream(), () => {}));

  test.each([1, 7, 1_000, 8_192, 1_000_000])("is whole in network pieces of %d bytes", async (size) => {
    expect(await read(piecesOf(compressed, coding, size))).toBe(TEXT.toString("latin1"));
  });

  test("that ends early is an error wherever it ends, never a short answer", async () => {
    for (let length = 1; length < short.length; length += 1) {
      const part = short.subarray(0, length);
      const got = await read(piecesOf(part, coding));
      expect({ length, got }).toEqual({ length, got: await runtimes(part) });
      expect(got).toMatch(/^error Z_/);
    }
  });

  test("with a broken byte is what the runtime's own stream makes of it, wherever the byte is", async () => {
    for (let at = 0; at < short.length; at += 1) {
      const broken = Uint8Array.from(short);
      broken[at]! ^= 0x55;
      expect({ at, got: await read(piecesOf(broken, coding)) }).toEqual({ at, got: await runtimes(broken) });
    }
  });

  test.each([
    ["two of them in a row", Buffer.concat([short, short])],
    ["with zeros behind it", Buffer.concat([short, Buffer.alloc(10_000)])],
    ["with other bytes behind it", Buffer.concat([compressed, Buffer.alloc(30_000, "rest")])],
    ["without a byte", Buffer.alloc(0)],
  ])("%s is what the runtime's own stream makes of it", async (_, bytes) => {
    expect(await read(piecesOf(bytes, coding))).toBe(await runtimes(bytes));
  });

  test("is decoded in one buffer, however far it expands", async () => {
    const buffers = new Set<ArrayBufferLike>();
    let bytes = 0;
    for await (const piece of piecesOf(compress(Buffer.alloc(50 * PIECE_BYTES)), coding)) {
      buffers.add(piece.buffer);
      bytes += piece.length;
    }
    expect(bytes).toBe(50 * PIECE_BYTES);
    expect([...buffers].map(({ byteLength }) => byteLength)).toEqual([PIECE_BYTES]);
  });

  test.each([1_000_000, 1_000])(
    "lets other work go on, however far network pieces of %d bytes expand",
    async (size) => {
      let passes = 0;
      let isOver = false;
      const count = (): void => {
        passes += 1;
        if (!isOver) setImmediate(count);
      };
      setImmediate(count);
      for await (const piece of piecesOf(compress(Buffer.alloc(64 * 1024 * 1024)), coding, size)) void piece;
      isOver = true;
      expect(passes).toBeGreaterThanOrEqual(7);
    },
  );

  test("is not read on after its end", async () => {
    let pulled = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      yield short;
      for (; pulled < 1_000; pulled += 1) yield Buffer.alloc(8_192);
    }
    const body = Readable.from(endless(), { objectMode: false });
    const answer = { status: 200, headers: { "content-encoding": coding } };
    for await (const piece of decodedBody(body, answer, "graph")) expect(piece.length).toBe(300);
    expect(pulled).toBeLessThan(100);
  });

  test("may be left unfinished", async () => {
    const body = sent(compressed);
    for await (const piece of decodedBody(body, { status: 200, headers: { "content-encoding": coding } }, "graph")) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    expect(body.destroyed).toBe(true);
  });
});

test("a short answer takes a small buffer", async () => {
  const compressed = gzipSync(TEXT.subarray(0, 300));
  const headers = { "content-encoding": "gzip", "content-length": String(compressed.length) };
  const buffers: number[] = [];
  for await (const piece of decodedBody(sent(compressed), { status: 200, headers }, "graph"))
    buffers.push(piece.buffer.byteLength);
  expect(buffers).toEqual([Math.max(1_024, compressed.length * 8)]);
});
