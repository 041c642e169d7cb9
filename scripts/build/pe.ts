/**
 * Reads Windows executables, and puts right what injecting a blob leaves wrong, without Windows tools. Only
 * what we ship is understood: PE32+. Source of the layout: Microsoft, "PE Format".
 */

const PE32_PLUS = 0x20b;
const CHECKSUM_AT = 64;
const FLAGS_AT = 70;
/** The fifth data directory; its address is an offset in the file. */
const SECURITY_AT = 112 + 4 * 8;
const SECTION_HEADER_BYTES = 40;
const PAGE_BYTES = 0x1000;
const SECTION_EXECUTE = 0x2000_0000;
const SECTION_WRITE = 0x8000_0000;
const HIGH_ENTROPY_VA = 0x20;
const DYNAMIC_BASE = 0x40;
const NX_COMPAT = 0x100;

/** The points that a security review asks for. */
export interface PeProtections {
  /** Loaded at a random address (ASLR), from the whole 64 bit range. */
  readonly randomAddress: boolean;
  readonly highEntropy: boolean;
  /** Data is not executable (DEP). */
  readonly dataNotExecutable: boolean;
  readonly writableAndExecutable: boolean;
  /** One after another in memory: Windows loads no other file, and wine any. */
  readonly sectionsAdjacent: boolean;
  /** `lost`: the header names one that is not the end of the file, where signing tools put it. */
  readonly signature: "none" | "present" | "lost";
  readonly checksumValid: boolean;
}

/** Throws when the bytes are not a 64 bit Windows executable. */
export function peProtections(program: Buffer): PeProtections {
  const optional = optionalHeader(program);
  const flags = program.readUInt16LE(optional + FLAGS_AT);
  const coff = optional - 20;
  const sections = optional + program.readUInt16LE(coff + 16);
  const isBoth = (_: unknown, index: number) => {
    const bits = program.readUInt32LE(sections + index * SECTION_HEADER_BYTES + 36);
    return (bits & SECTION_EXECUTE) !== 0 && (bits & SECTION_WRITE) !== 0;
  };
  const count = program.readUInt16LE(coff + 2);
  const starts = Array.from({ length: count }, (_, index) =>
    program.readUInt32LE(sections + index * SECTION_HEADER_BYTES + 12),
  );
  const isAdjacent = (start: number, index: number) => {
    const bytes = program.readUInt32LE(sections + index * SECTION_HEADER_BYTES + 8);
    return index + 1 === count || Math.ceil((start + bytes) / PAGE_BYTES) * PAGE_BYTES === starts[index + 1];
  };
  return {
    randomAddress: (flags & DYNAMIC_BASE) !== 0,
    highEntropy: (flags & HIGH_ENTROPY_VA) !== 0,
    dataNotExecutable: (flags & NX_COMPAT) !== 0,
    writableAndExecutable: Array.from({ length: count }, isBoth).includes(true),
    sectionsAdjacent: starts.every(isAdjacent),
    signature: signatureOf(program, optional),
    checksumValid: program.readUInt32LE(optional + CHECKSUM_AT) === checksum(program, optional + CHECKSUM_AT),
  };
}

function signatureOf(program: Buffer, optional: number): PeProtections["signature"] {
  const at = program.readUInt32LE(optional + SECURITY_AT);
  const bytes = program.readUInt32LE(optional + SECURITY_AT + 4);
  if (bytes === 0) return "none";
  return at + bytes === program.length ? "present" : "lost";
}

/**
 * The program without the reference to the runtime's own signature, which injecting cut off, and with a valid
 * checksum: as a file that was never signed, so that signing tools and scanners take it.
 */
export function withoutOldSignature(program: Buffer): Buffer {
  const optional = optionalHeader(program);
  const result = Buffer.from(program);
  result.writeBigUInt64LE(0n, optional + SECURITY_AT);
  result.writeUInt32LE(checksum(result, optional + CHECKSUM_AT), optional + CHECKSUM_AT);
  return result;
}

function optionalHeader(program: Buffer): number {
  const header = program.length > 0x40 && program.toString("latin1", 0, 2) === "MZ" ? program.readUInt32LE(0x3c) : 0;
  const isPe =
    header > 0 && header + 26 < program.length && program.toString("latin1", header, header + 4) === "PE\0\0";
  if (!isPe || program.readUInt16LE(header + 24) !== PE32_PLUS)
    throw new Error("this is not a 64 bit Windows executable");
  return header + 24;
}

/** As CheckSumMappedFile does: 16 bit words with end-around carry, its own field left out, and the length. */
function checksum(program: Buffer, own: number): number {
  let sum = 0;
  for (let at = 0; at + 1 < program.length; at += 2) {
    if (at === own || at === own + 2) continue;
    sum += (program[at] ?? 0) | ((program[at + 1] ?? 0) << 8);
    if (sum > 0xffff) sum = (sum & 0xffff) + 1;
  }
  if (program.length % 2 === 1) sum += program.at(-1) ?? 0;
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum + program.length) >>> 0;
}
