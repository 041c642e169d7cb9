/**
 * Bytes as the inside of a JSON string. In an event nearly every tenth byte is a quotation mark, so a loop in
 * JavaScript pays for each byte: WebAssembly SIMD looks at sixteen with one instruction, copies them, and
 * shifts only what follows a byte that needs an escape. `plainEscaper` does the same without WebAssembly.
 */
import { get, i32, SIMD, set, unsigned, WASM, type WasmSource, wasmFunction } from "./web-assembly.ts";

/** `\u0000`. */
export const LONGEST_ESCAPE = 6;
/** So many bytes at once: with their escapes they fit one page of WebAssembly's memory. */
export const ESCAPE_AT_ONCE = 1 << 13;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DIGIT_0 = 0x30;
/** From the sign after `9` to `a`. */
const TO_LETTERS = 0x61 - 0x3a;

export interface StringEscaper {
  /**
   * Writes `source[from, to)`, at most `ESCAPE_AT_ONCE` bytes, into `out`, which has room for the longest
   * escape of each. Answers where they end.
   */
  readonly escape: (source: Uint8Array, from: number, to: number, out: Buffer, at: number) => number;
}

/** Bytes of one turn of the WebAssembly loop. */
const GROUP_BYTES = 16;
/** Written behind the source: a byte without an escape. */
const PLAIN = 0x20;
/** Where the escaped bytes begin in WebAssembly's memory; the last group is written whole. */
const ESCAPED_AT = ESCAPE_AT_ONCE + GROUP_BYTES;
const MEMORY_BYTES = ESCAPED_AT + LONGEST_ESCAPE * ESCAPE_AT_ONCE + 2 * GROUP_BYTES;

/** Undefined where the processor or the limit of reserved memory does not allow WebAssembly SIMD. */
export function simdEscaper(): StringEscaper | undefined {
  const escaping = wasmFunction(escapingFunction());
  if (escaping === undefined) return undefined;
  const { memory, run } = escaping;
  const { copy } = Buffer.prototype;
  const block = Buffer.from(memory, 0, ESCAPE_AT_ONCE);
  const escaped = Buffer.from(memory, ESCAPED_AT);
  return {
    escape(source, from, to, out, at) {
      copy.call(source, block, 0, from, to);
      const byteLength = run(to - from);
      escaped.copy(out, at, 0, byteLength);
      return at + byteLength;
    },
  };
}

export function plainEscaper(): StringEscaper {
  return {
    escape(source, from, to, out, at) {
      let end = at;
      // A call for each piece between two quotation marks costs five times as much.
      for (let i = from; i < to; i++) {
        const c = source[i]!;
        if (c < 0x20) end += out.write(`\\u${c.toString(16).padStart(4, "0")}`, end, "latin1");
        else {
          if (c === QUOTE || c === BACKSLASH) out[end++] = BACKSLASH;
          out[end++] = c;
        }
      }
      return end;
    },
  };
}

/**
 *     (func (export "run") (param $length i32) (result i32)
 *       (local $at i32) (local $shift i32) (local $bits i32) (local $from i32) (local $byte i32)
 *       (local $bytes v128)
 *       sixteen plain bytes at $length
 *       $shift = ESCAPED_AT
 *       (loop $groups
 *         the 16 bytes at $at are stored at $at + $shift
 *         $bits = one bit for each of them, set for one that needs an escape
 *         (block $done (loop $next
 *           (br_if $done (i32.eqz $bits))
 *           $from = $at + (i32.ctz $bits)
 *           (if $byte < 0x20
 *             `\\u00` and two digits are stored at $from + $shift
 *             $shift += 5
 *             the 16 bytes behind $from are stored at $from + 1 + $shift
 *            else
 *             a backslash is stored at $from + $shift
 *             $shift += 1
 *             the 16 bytes from $from on are stored at $from + $shift)
 *           $bits &= $bits - 1
 *           (br $next)))
 *         (br_if $groups (($at += 16) < $length)))
 *       $length + $shift - ESCAPED_AT)
 */
function escapingFunction(): WasmSource {
  const [LENGTH, AT, SHIFT, BITS, FROM, BYTE, BYTES] = [0, 1, 2, 3, 4, 5, 6];
  const all = (byte: number) => [...i32(byte), ...SIMD.SPLAT];
  const at = (offset: number) => [0, ...unsigned(offset)];
  const target = [...get(FROM), ...get(SHIFT), WASM.I32_ADD];
  const shiftBy = (bytes: number) => [...get(SHIFT), ...i32(bytes), WASM.I32_ADD, ...set(SHIFT)];
  const lowDigit = [...get(BYTE), ...i32(0x0f), WASM.I32_AND];
  return {
    parameterCount: 1,
    locals: [
      [5, WASM.I32],
      [1, WASM.V128],
    ],
    body: [
      [...get(LENGTH), ...all(PLAIN), ...SIMD.STORE, ...at(0)],
      [...i32(ESCAPED_AT), ...set(SHIFT)],
      [WASM.LOOP, WASM.NO_RESULT],
      [...get(AT), ...SIMD.LOAD, ...at(0), ...set(BYTES)],
      [...get(AT), ...get(SHIFT), WASM.I32_ADD, ...get(BYTES), ...SIMD.STORE, ...at(0)],
      [...get(BYTES), ...all(0x20), ...SIMD.LT_U],
      [...get(BYTES), ...all(QUOTE), ...SIMD.EQ, ...SIMD.OR],
      [...get(BYTES), ...all(BACKSLASH), ...SIMD.EQ, ...SIMD.OR],
      [...SIMD.BITMASK, ...set(BITS)],
      [WASM.BLOCK, WASM.NO_RESULT, WASM.LOOP, WASM.NO_RESULT],
      [...get(BITS), WASM.I32_EQZ, WASM.BR_IF, 1],
      [...get(AT), ...get(BITS), WASM.I32_CTZ, WASM.I32_ADD, ...set(FROM)],
      [...get(FROM), WASM.I32_LOAD8_U, ...at(0), ...set(BYTE)],
      [...get(BYTE), ...i32(0x20), WASM.I32_LT_U, WASM.IF, WASM.NO_RESULT],
      [...target, ...i32(Buffer.from("\\u00").readInt32LE()), WASM.I32_STORE, ...at(0)],
      [...target, ...get(BYTE), ...i32(4), WASM.I32_SHR_U, ...i32(DIGIT_0), WASM.I32_ADD, WASM.I32_STORE8, ...at(4)],
      [...target, ...lowDigit, ...i32(DIGIT_0), WASM.I32_ADD],
      [
        ...lowDigit,
        ...i32(9),
        WASM.I32_GT_U,
        ...i32(TO_LETTERS),
        WASM.I32_MUL,
        WASM.I32_ADD,
        WASM.I32_STORE8,
        ...at(5),
      ],
      shiftBy(LONGEST_ESCAPE - 1),
      [...target, ...get(FROM), ...SIMD.LOAD, ...at(1), ...SIMD.STORE, ...at(1)],
      [WASM.ELSE],
      [...target, ...i32(BACKSLASH), WASM.I32_STORE8, ...at(0)],
      shiftBy(1),
      [...target, ...get(FROM), ...SIMD.LOAD, ...at(0), ...SIMD.STORE, ...at(0)],
      [WASM.END],
      [...get(BITS), ...get(BITS), ...i32(1), WASM.I32_SUB, WASM.I32_AND, ...set(BITS)],
      [WASM.BR, 0, WASM.END, WASM.END],
      [...get(AT), ...i32(GROUP_BYTES), WASM.I32_ADD, ...set(AT), ...get(AT), ...get(LENGTH), WASM.I32_LT_U],
      [WASM.BR_IF, 0, WASM.END],
      [...get(LENGTH), ...get(SHIFT), WASM.I32_ADD, ...i32(ESCAPED_AT), WASM.I32_SUB, WASM.END],
    ].flat(),
    memoryBytes: MEMORY_BYTES,
  };
}
