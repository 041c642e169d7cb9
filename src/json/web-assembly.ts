/**
 * WebAssembly's binary form (WebAssembly Core Specification, chapter 5), as far as the small modules here
 * need it: one function each, assembled from named instructions. A module keeps its text form beside it.
 */

/** What is used of WebAssembly: the runtime's types do not describe it. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
  ) => {
    readonly exports: {
      readonly memory: { readonly buffer: ArrayBuffer };
      readonly run: (...parameters: readonly number[]) => number;
    };
  };
}

export interface WasmFunction {
  readonly memory: ArrayBuffer;
  readonly run: (...parameters: readonly number[]) => number;
}

/** One function that answers an i32, with a memory of its own. */
export interface WasmSource {
  /** All of them i32. */
  readonly parameterCount: number;
  /** Behind the parameters: how many of which type. */
  readonly locals: readonly (readonly [count: number, type: number])[];
  /** Ended by `WASM.END`. */
  readonly body: readonly number[];
  readonly memoryBytes: number;
}

const PAGE_BYTES = 65_536;

/** Undefined where the processor or the limit of reserved memory does not allow WebAssembly SIMD. */
export function wasmFunction(source: WasmSource): WasmFunction | undefined {
  try {
    const { Instance, Module } = (globalThis as unknown as { readonly WebAssembly: WebAssemblyApi }).WebAssembly;
    const { memory, run } = new Instance(new Module(assembled(source))).exports;
    return { memory: memory.buffer, run };
  } catch {
    return undefined;
  }
}

/** Types and instructions by their names in the specification. */
export const WASM = {
  I32: 0x7f,
  I64: 0x7e,
  V128: 0x7b,
  NO_RESULT: 0x40,
  BLOCK: 0x02,
  LOOP: 0x03,
  IF: 0x04,
  ELSE: 0x05,
  END: 0x0b,
  BR: 0x0c,
  BR_IF: 0x0d,
  I32_LOAD8_U: 0x2d,
  I32_STORE: 0x36,
  I32_STORE8: 0x3a,
  I32_EQZ: 0x45,
  I32_LT_U: 0x49,
  I32_GT_U: 0x4b,
  I32_CTZ: 0x68,
  I32_ADD: 0x6a,
  I32_SUB: 0x6b,
  I32_MUL: 0x6c,
  I32_AND: 0x71,
  I32_SHR_U: 0x76,
  I64_EQZ: 0x50,
  I64_CTZ: 0x7a,
  I64_SUB: 0x7d,
  I64_AND: 0x83,
  I64_OR: 0x84,
  I64_SHL: 0x86,
  I32_WRAP_I64: 0xa7,
  I64_EXTEND_I32_U: 0xad,
} as const;

/** Instructions on sixteen bytes at once. */
export const SIMD = {
  LOAD: simd(0x00),
  STORE: simd(0x0b),
  SPLAT: simd(0x0f),
  EQ: simd(0x23),
  LT_S: simd(0x25),
  LT_U: simd(0x26),
  OR: simd(0x50),
  BITMASK: simd(0x64),
} as const;

export const get = (local: number): number[] => [0x20, local];
export const set = (local: number): number[] => [0x21, local];
export const i32 = (value: number): number[] => [0x41, ...signed(value)];
export const i64 = (value: number): number[] => [0x42, ...signed(value)];

function simd(operation: number): number[] {
  return [0xfd, ...unsigned(operation)];
}

function assembled({ parameterCount, locals, body, memoryBytes }: WasmSource): Uint8Array {
  const I32 = WASM.I32;
  const parameters = Array.from({ length: parameterCount }, () => [I32]);
  const type = [0x60, ...list(parameters), ...list([[I32]])];
  const VERSION = [1, 0, 0, 0];
  const section = (id: number, items: readonly number[][]) => [id, ...sized(list(items))];
  return Uint8Array.from([
    ...ascii("\0asm"),
    ...VERSION,
    ...section(1, [type]),
    ...section(3, [[0]]),
    ...section(5, [[0, Math.ceil(memoryBytes / PAGE_BYTES)]]),
    ...section(7, [
      [...sized(ascii("run")), 0, 0],
      [...sized(ascii("memory")), 2, 0],
    ]),
    ...section(10, [sized([...list(locals.map((one) => [...one])), ...body])]),
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
export function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** LEB128 with a sign, of a number that is not negative: its last byte's bit 6 stays clear. */
function signed(value: number): number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)];
}
