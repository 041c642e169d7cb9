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
 * Larger than zlib's 16 KiB: fewer trips to the thread pool, at a size that still fits the caches. Twice or
 * half of it is slower.
 */
const CHUNK_BYTES = 64 * 1024;

/**
 * Bodies up to this size (as sent) are decoded in one call at once: idle customers get only such answers, and
 * a stream through the thread pool costs more than the decoding. deflate grows at most 1032 times, which
 * takes some milliseconds.
 */
const SMALL_BYTES = 8 * 1024;
const SMALL_DECODED_BYTES = SMALL_BYTES * 1100;

const STREAMS = {
  gzip: () => createGunzip({ chunkSize: CHUNK_BYTES }),
  deflate: () => createInflate({ chunkSize: CHUNK_BYTES }),
  br: () => createBrotliDecompress({ chunkSize: CHUNK_BYTES }),
} as const;

const WHOLE = { gzip: gunzipSync, deflate: inflateSync, br: brotliDecompressSync } as const;

/**
 * The body as sent, decoded by its Content-Encoding. A piece is valid until the next one is asked for. Throws
 * Failure `bad-answer` for a coding we do not know.
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
      say: `${host} sent an answer in a coding that we did not ask for`,
      nextStep: "Check whether a proxy changes the answers.",
    });
  }
  const length = Number(headers["content-length"] ?? Number.NaN);
  if (length <= SMALL_BYTES) return small(body, known);
  // The callback swallows the error; whoever reads the decoder gets it.
  return released(pipeline(body, STREAMS[known](), () => {}));
}

/**
 * Gives each piece's memory back as soon as the next is asked for: left to the collector, a fresh buffer for
 * every piece piles up tens of megabytes and drives major collections. The decoder writes on into a buffer
 * until it is full, so only one handed out to its very end is let go.
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
