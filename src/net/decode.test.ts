import { Readable } from "node:stream";
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterEach, expect, jest, test } from "@jest/globals";
import { decodedBody } from "./decode.ts";

const CHUNK_BYTES = 65_536;
const TEXT = JSON.stringify(Array.from({ length: 40_000 }, (_, n) => ({ id: `alert-${n}`, note: "ж…" })));

afterEach(() => void jest.restoreAllMocks());

/** The packed text in pieces of the network's size. */
function packed(): Readable {
  const bytes = gzipSync(TEXT);
  const pieces = Array.from({ length: Math.ceil(bytes.length / 8192) }, (_, i) => bytes.subarray(i * 8192));
  return Readable.from(
    pieces.map((piece) => piece.subarray(0, 8192)),
    { objectMode: false },
  );
}

test("pieces that wait for a slow reader are not joined, so the decoder's memory is all that a body takes", async () => {
  const made = jest.spyOn(Buffer, "allocUnsafe");
  const buffers = new Set<ArrayBufferLike>();
  let byteLength = 0;
  const answer = { status: 200, headers: { "content-encoding": "gzip" } };
  for await (const piece of decodedBody(packed(), answer, "graph")) {
    buffers.add(piece.buffer);
    byteLength += piece.byteLength;
    // Time for the thread that decodes: more pieces than this one wait then.
    for (let n = 0; n < 200; n += 1) await yieldToEventLoop();
  }
  // A joined piece would be of this size too, and the memory of its parts would wait for a collection.
  const madeOfThisSize = made.mock.calls.filter(([size]) => size === CHUNK_BYTES).length;
  expect(byteLength).toBe(Buffer.byteLength(TEXT));
  expect(madeOfThisSize).toBe(Math.floor(byteLength / CHUNK_BYTES) + 1);
  expect([...buffers].filter((buffer) => buffer.byteLength > 0).length).toBeLessThanOrEqual(1);
});
