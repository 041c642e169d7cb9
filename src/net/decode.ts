import type { Readable } from "node:stream";
import { pipeline } from "node:stream";
import {
  brotliDecompressSync,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  gunzipSync,
  inflateSync,
} from "node:zlib";
import { Failure } from "../model/failure.ts";

/**
 * Larger than zlib's 16 KiB: fewer calls to the thread pool, and the buffers still fit the caches. Half or
 * double this size is slower.
 */
const CHUNK_BYTES = 64 * 1024;

/**
 * Bodies up to this size (as sent) are decoded in one synchronous call. Idle customers get only such answers,
 * and a stream over the thread pool costs more than the decoding. deflate expands at most 1032 times, which
 * takes a few milliseconds.
 */
const SMALL_BYTES = 8 * 1024;
const SMALL_DECODED_BYTES = SMALL_BYTES * 1100;

/**
 * Each piece is read as the decoder made it. A stream of bytes would join the pieces that wait for a slow
 * reader: the joined copy and its sources are garbage that nobody can free early.
 */
const OPTIONS = { chunkSize: CHUNK_BYTES, readableObjectMode: true, readableHighWaterMark: 1 };

const STREAMS = {
  gzip: () => createGunzip(OPTIONS),
  deflate: () => createInflate(OPTIONS),
  br: () => createBrotliDecompress(OPTIONS),
} as const;

const WHOLE = { gzip: gunzipSync, deflate: inflateSync, br: brotliDecompressSync } as const;

/**
 * The body, decoded by its Content-Encoding. A piece is valid until the next one is requested. Throws Failure
 * `bad-answer` for an unknown encoding.
 */
export function decodedBody(
  body: Readable,
  answer: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
  host: string,
): AsyncIterable<Uint8Array> {
  const { headers } = answer;
  const coding = (headers["content-encoding"] ?? "identity").trim().toLowerCase();
  const bodyless = answer.status === 204 || answer.status === 304 || headers["content-length"] === "0";
  if (coding === "identity" || coding === "" || bodyless) return body;
  const known = coding === "x-gzip" ? "gzip" : coding;
  if (known !== "gzip" && known !== "deflate" && known !== "br") {
    body.on("error", () => {}).destroy();
    throw new Failure("bad-answer", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: `${host} sent an answer in an encoding that was not requested.`,
      nextStep: "Check whether a proxy changes the answers.",
    });
  }
  const length = Number(headers["content-length"] ?? Number.NaN);
  if (length <= SMALL_BYTES) return small(body, known);
  // The callback ignores the error, because the reader of the decoder gets it.
  return released(pipeline(body, STREAMS[known](), () => {}));
}

/**
 * Frees each piece's memory as soon as the next one is requested. If the garbage collector did it, a new
 * buffer for every piece would add up to tens of megabytes and cause major collections. The decoder fills a
 * buffer to its end, so only a buffer that was returned to its end is freed.
 */
async function* released(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    const { buffer, byteOffset, byteLength } = piece;
    yield piece;
    if (byteOffset + byteLength === CHUNK_BYTES && buffer.byteLength === CHUNK_BYTES)
      (buffer as ArrayBuffer).transfer(0);
  }
}

async function* small(body: Readable, coding: keyof typeof WHOLE): AsyncGenerator<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body as AsyncIterable<Uint8Array>) pieces.push(piece);
  const sent = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  yield WHOLE[coding](sent, { maxOutputLength: SMALL_DECODED_BYTES, chunkSize: Math.max(1024, sent.length * 8) });
}
