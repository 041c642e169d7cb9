/**
 * Finds the bytes that mean something inside a string, ahead of the scanner, so that it can go from one to
 * the next: sixteen bytes are looked at with one instruction of the processor (WebAssembly SIMD), and copying
 * them into WebAssembly's memory costs little.
 *
 * The WebAssembly is assembled here, below, from named instructions: its text form stands beside it. What it
 * must find is said by the table IN_STRING alone; `tableFinder` does the same without WebAssembly.
 */
import { IN_STRING } from "./byte-classes.ts";

export interface StopFinder {
  /** Chunk indexes of stops, ascending; after the last one stands where the looked-at bytes end. */
  readonly stops: Int32Array;
  /** Looks at the chunk's bytes from `from` on, and answers where the looked-at bytes end. */
  readonly find: (chunk: Uint8Array, from: number) => number;
}

/** What is used of WebAssembly: the runtime's types do not describe it. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
  ) => {
    readonly exports: {
      readonly memory: { readonly buffer: ArrayBuffer };
      /** @returns how many stops it wrote. */
      readonly find: (length: number, from: number) => number;
    };
  };
}

/** So many bytes at once: they and their stops fit the processor's first cache. */
export const BLOCK_BYTES = 1 << 14;
/** Bytes of one turn of the WebAssembly loop: one bit each of 64. */
const GROUP_BYTES = 64;
/** Written after the last byte of a chunk: a byte that is not a stop. */
const NO_STOP = 0x20;
/** Where stops are written in WebAssembly's memory: after the block, which whole groups read beyond. */
const STOPS_AT = BLOCK_BYTES + GROUP_BYTES;
const MEMORY_PAGES = Math.ceil((STOPS_AT + 4 * (BLOCK_BYTES + 1)) / 65_536);

/** Undefined where the processor or the limit of reserved memory does not allow WebAssembly SIMD. */
export function simdFinder(): StopFinder | undefined {
  let exports: InstanceType<WebAssemblyApi["Instance"]>["exports"];
  try {
    const { Instance, Module } = (globalThis as unknown as { readonly WebAssembly: WebAssemblyApi }).WebAssembly;
    exports = new Instance(new Module(assembled())).exports;
  } catch {
    return undefined;
  }
  const { memory, find: findIn } = exports;
  const block = new Uint8Array(memory.buffer, 0, STOPS_AT);
  const stops = new Int32Array(memory.buffer, STOPS_AT, BLOCK_BYTES + 1);
  return {
    stops,
    find(chunk, from) {
      const end = Math.min(chunk.length, from + BLOCK_BYTES);
      const length = end - from;
      block.set(chunk.subarray(from, end));
      if (length < BLOCK_BYTES) block.fill(NO_STOP, length, length + GROUP_BYTES);
      stops[findIn(length, from)] = end;
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
 * The module, in WebAssembly's binary form (WebAssembly Core Specification, chapter 5). Its one function:
 *
 *     (func (export "find") (param $length i32) (param $from i32) (result i32)
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
function assembled(): Uint8Array {
  const [LENGTH, FROM, AT, TO, BITS, BYTES] = [0, 1, 2, 3, 4, 5];
  const I32 = 0x7f;
  const I64 = 0x7e;
  const V128 = 0x7b;
  const [BLOCK, LOOP, END, BR, BR_IF, NO_RESULT] = [0x02, 0x03, 0x0b, 0x0c, 0x0d, 0x40];
  const [I32_STORE, I32_LT_U, I32_ADD, I32_SUB, I32_SHR_U, I32_WRAP_I64] = [0x36, 0x49, 0x6a, 0x6b, 0x76, 0xa7];
  const [I64_EQZ, I64_CTZ, I64_SUB, I64_AND, I64_OR, I64_SHL, I64_EXTEND_I32_U] = [
    0x50, 0x7a, 0x7d, 0x83, 0x84, 0x86, 0xad,
  ];
  const get = (local: number) => [0x20, local];
  const set = (local: number) => [0x21, local];
  const i32 = (value: number) => [0x41, ...signed(value)];
  const i64 = (value: number) => [0x42, ...signed(value)];
  const simd = (operation: number) => [0xfd, ...unsigned(operation)];
  const LOAD_16 = simd(0x00);
  const [SPLAT, EQ, LT_S, OR, BITMASK] = [simd(0x0f), simd(0x23), simd(0x25), simd(0x50), simd(0x64)];
  const all = (byte: number) => [...i32(byte), ...SPLAT];
  const is = (sign: string) => [...get(BYTES), ...all(sign.charCodeAt(0)), ...EQ, ...OR];

  /** Of the 16 bytes at $at + offset: those below 0x20, as signed numbers also above 0x7F, and `"&\<>`. */
  const stopsOf16 = (offset: number) =>
    [
      [...get(AT), ...LOAD_16, 0, ...unsigned(offset), ...set(BYTES)],
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
  const locals = list([
    [2, I32],
    [1, I64],
    [1, V128],
  ]);
  const type = [0x60, ...list([[I32], [I32]]), ...list([[I32]])];
  const VERSION = [1, 0, 0, 0];
  const section = (id: number, items: readonly number[][]) => [id, ...sized(list(items))];
  return Uint8Array.from([
    ...ascii("\0asm"),
    ...VERSION,
    ...section(1, [type]),
    ...section(3, [[0]]),
    ...section(5, [[0, MEMORY_PAGES]]),
    ...section(7, [
      [...sized(ascii("find")), 0, 0],
      [...sized(ascii("memory")), 2, 0],
    ]),
    ...section(10, [sized([...locals, ...body])]),
  ]);
}

function list(items: readonly number[][]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function sized(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

function ascii(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

/** LEB128, seven bits a byte, the lowest first. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** LEB128 with a sign, of a number that is not negative: its last byte's bit 6 stays clear. */
function signed(value: number): number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)];
}
