import type { Readable } from "node:stream";
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { constants, createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { Failure } from "../model/failure.ts";

/**
 * Each piece costs a batch's way through the program: pieces of half or a quarter of this take more processor
 * time, larger ones not less.
 */
const PIECE_BYTES = 128 * 1024;
const LEAST_PIECE_BYTES = 1024;
/** For the buffer of a body that is known to be short. One that expands further takes more pieces. */
const USUAL_EXPANSION = 8;

/** Other work goes on after so much, because few pieces of the network may expand to hundreds of MB. */
const YIELD_AFTER_BYTES = 8 * 1024 * 1024;

/** The decoders' own buffer is not used, so it is the smallest that the runtime accepts. */
const OPTIONS = { chunkSize: constants.Z_MIN_CHUNK };

const DECODERS = {
  gzip: { open: () => createGunzip(OPTIONS), finish: constants.Z_FINISH },
  deflate: { open: () => createInflate(OPTIONS), finish: constants.Z_FINISH },
  br: { open: () => createBrotliDecompress(OPTIONS), finish: constants.BROTLI_OPERATION_FINISH },
} as const;

/** The same number for all decoders. */
const GO_ON = constants.Z_NO_FLUSH;
const NOTHING = new Uint8Array(0);

/**
 * Members of the runtime's decoders that are not documented; `gunzipSync` calls them in the same way (Node.js
 * lib/zlib.js, processChunkSync). No documented function decodes a stream on the calling thread. See
 * docs/decisions/decoding.md.
 */
interface NativeDecoder {
  readonly _handle: {
    writeSync(
      operation: number,
      from: Uint8Array,
      fromOffset: number,
      fromLength: number,
      to: Uint8Array,
      toOffset: number,
      toLength: number,
    ): void;
  };
  /** After a call: how much of the output's room is free, and how much of the input was not taken. */
  readonly _writeState: Readonly<Uint32Array>;
}

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
  return decoded(body, known, Number(headers["content-length"] ?? Number.NaN));
}

/**
 * Decodes on this thread, into one buffer for all pieces. The runtime's streams decode on another thread, and
 * waking it and being woken costs more than the decoding.
 */
async function* decoded(body: Readable, coding: keyof typeof DECODERS, bodyBytes: number): AsyncGenerator<Uint8Array> {
  const { open, finish } = DECODERS[coding];
  const decoder = open();
  // What failed is thrown below. Without a listener the runtime would end the process.
  decoder.on("error", () => {});
  const { _handle: native, _writeState: left } = decoder as unknown as NativeDecoder;
  const usual = Math.max(LEAST_PIECE_BYTES, bodyBytes * USUAL_EXPANSION);
  const room = Buffer.allocUnsafeSlow(usual < PIECE_BYTES ? usual : PIECE_BYTES);
  let unread = 0;
  let sinceYield = 0;
  const decode = (operation: number, sent: Uint8Array): Uint8Array => {
    native.writeSync(operation, sent, sent.length - unread, unread, room, 0, room.length);
    if (decoder.errored) throw decoder.errored;
    unread = left[1]!;
    return room.subarray(0, room.length - left[0]!);
  };
  try {
    for await (const sent of body as AsyncIterable<Uint8Array>) {
      unread = sent.length;
      let piece: Uint8Array;
      do {
        piece = decode(GO_ON, sent);
        if (piece.length > 0) yield piece;
        sinceYield += piece.length;
        if (sinceYield >= YIELD_AFTER_BYTES) {
          sinceYield = 0;
          await yieldToEventLoop();
        }
      } while (piece.length === room.length);
      // Nothing is taken after the end of the compressed data. The runtime's streams end there too.
      if (unread > 0) return;
    }
    const last = decode(finish, NOTHING);
    if (last.length > 0) yield last;
  } finally {
    decoder.destroy();
  }
}
