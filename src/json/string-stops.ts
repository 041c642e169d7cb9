/**
 * Finds the bytes that mean something inside a string, ahead of the scanner, so that it can go from one to
 * the next: sixteen bytes are looked at with one instruction of the processor (WebAssembly SIMD), and copying
 * them into WebAssembly's memory costs little.
 *
 * The text form of the WebAssembly stands below. What it must find is said by the table IN_STRING alone;
 * `tableFinder` does the same without WebAssembly.
 */
import { IN_STRING } from "./byte-classes.ts";
import { get, i32, i64, SIMD, set, unsigned, WASM, type WasmSource, wasmFunction } from "./web-assembly.ts";

export interface StopFinder {
  /** Chunk indexes of stops, ascending; after the last one stands where the looked-at bytes end. */
  readonly stops: Int32Array;
  /** Looks at the chunk's bytes from `from` on, and answers where the looked-at bytes end. */
  readonly find: (chunk: Uint8Array, from: number) => number;
}

/** So many bytes at once: they and their stops fit the processor's first cache. */
export const BLOCK_BYTES = 1 << 14;
/** Bytes of one turn of the WebAssembly loop: one bit each of 64. */
const GROUP_BYTES = 64;
/** Written after the last byte of a chunk: a byte that is not a stop. */
const NO_STOP = 0x20;
/** Where stops are written in WebAssembly's memory: after the block, which whole groups read beyond. */
const STOPS_AT = BLOCK_BYTES + GROUP_BYTES;
const MEMORY_BYTES = STOPS_AT + 4 * (BLOCK_BYTES + 1);

/** Undefined where the processor or the limit of reserved memory does not allow WebAssembly SIMD. */
export function simdFinder(): StopFinder | undefined {
  const finding = wasmFunction(findingFunction());
  if (finding === undefined) return undefined;
  const { memory, run } = finding;
  const block = new Uint8Array(memory, 0, STOPS_AT);
  const stops = new Int32Array(memory, STOPS_AT, BLOCK_BYTES + 1);
  return {
    stops,
    find(chunk, from) {
      const end = Math.min(chunk.length, from + BLOCK_BYTES);
      const length = end - from;
      block.set(chunk.subarray(from, end));
      if (length < BLOCK_BYTES) block.fill(NO_STOP, length, length + GROUP_BYTES);
      stops[run(length, from)] = end;
      return end;
    },
  };
}

export function tableFinder(): StopFinder {
  const stops = new Int32Array(BLOCK_BYTES + 1);
  return {
    stops,
    find(chunk, from) {
      const end = Math.min(chunk.length, from + BLOCK_BYTES);
      let count = 0;
      for (let i = from; i < end; i++) if (IN_STRING[chunk[i]!] !== 0) stops[count++] = i;
      stops[count] = end;
      return end;
    },
  };
}

const finder = simdFinder() ?? tableFinder();
/** One table for all scanners: valid until any of them finds again. */
export const stops: Int32Array = finder.stops;
export const findStops: StopFinder["find"] = finder.find;

/**
 *     (func (export "run") (param $length i32) (param $from i32) (result i32)
 *       (local $at i32) (local $to i32) (local $bits i64) (local $bytes v128)
 *       $to = STOPS_AT
 *       (loop $groups
 *         $bits = one bit for each of the 64 bytes at $at, set for a stop
 *         (block $done (loop $next
 *           (br_if $done (i64.eqz $bits))
 *           (i32.store $to ($from + $at + (i64.ctz $bits)))
 *           $to += 4
 *           $bits &= $bits - 1
 *           (br $next)))
 *         (br_if $groups (($at += 64) < $length)))
 *       ($to - STOPS_AT) / 4)
 */
function findingFunction(): WasmSource {
  const [LENGTH, FROM, AT, TO, BITS, BYTES] = [0, 1, 2, 3, 4, 5];
  const all = (byte: number) => [...i32(byte), ...SIMD.SPLAT];
  const is = (sign: string) => [...get(BYTES), ...all(sign.charCodeAt(0)), ...SIMD.EQ, ...SIMD.OR];
  const { BLOCK, LOOP, END, BR, BR_IF, NO_RESULT, I32_STORE, I32_LT_U, I32_ADD, I32_SUB, I32_SHR_U } = WASM;
  const { I32_WRAP_I64, I64_EQZ, I64_CTZ, I64_SUB, I64_AND, I64_OR, I64_SHL, I64_EXTEND_I32_U } = WASM;
  const { LOAD, LT_S, BITMASK } = SIMD;

  /** Of the 16 bytes at $at + offset: those below 0x20, as signed numbers also above 0x7F, and `"&\<>`. */
  const stopsOf16 = (offset: number) =>
    [
      [...get(AT), ...LOAD, 0, ...unsigned(offset), ...set(BYTES)],
      [...get(BYTES), ...all(0x20), ...LT_S],
      ...['"', "&", "\\", "<", ">"].flatMap(is),
      [...BITMASK, I64_EXTEND_I32_U, ...i64(offset), I64_SHL],
    ].flat();
  const body = [
    [...i32(STOPS_AT), ...set(TO)],
    [LOOP, NO_RESULT],
    [...stopsOf16(0), ...stopsOf16(16), I64_OR, ...stopsOf16(32), I64_OR, ...stopsOf16(48), I64_OR, ...set(BITS)],
    [BLOCK, NO_RESULT, LOOP, NO_RESULT],
    [...get(BITS), I64_EQZ, BR_IF, 1],
    [...get(TO), ...get(FROM), ...get(AT), I32_ADD, ...get(BITS), I64_CTZ, I32_WRAP_I64, I32_ADD, I32_STORE, 2, 0],
    [...get(TO), ...i32(4), I32_ADD, ...set(TO)],
    [...get(BITS), ...get(BITS), ...i64(1), I64_SUB, I64_AND, ...set(BITS)],
    [BR, 0, END, END],
    [...get(AT), ...i32(GROUP_BYTES), I32_ADD, ...set(AT), ...get(AT), ...get(LENGTH), I32_LT_U, BR_IF, 0],
    [END, ...get(TO), ...i32(STOPS_AT), I32_SUB, ...i32(2), I32_SHR_U, END],
  ].flat();
  const locals = [
    [2, WASM.I32],
    [1, WASM.I64],
    [1, WASM.V128],
  ] as const;
  return { parameterCount: 2, locals, body, memoryBytes: MEMORY_BYTES };
}
