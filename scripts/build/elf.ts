/**
 * Reads and strips ELF programs without binutils, so that a build is the same on every machine. Only what we
 * ship is understood: 64 bit, little-endian. Source of the layout: System V Application Binary Interface,
 * "Object Files".
 */

interface Section {
  readonly nameAt: number;
  readonly type: number;
  readonly flags: bigint;
  readonly fileAt: number;
  readonly size: number;
  readonly link: number;
}

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;
const SHT_NOBITS = 8;
const SHT_DYNAMIC = 6;
const SHT_STRTAB = 3;
const SHF_ALLOC = 2n;
const DT_NEEDED = 1n;

/**
 * The libraries an ELF program asks the loader for (DT_NEEDED), in its order. Throws when the bytes are not a
 * 64 bit little-endian ELF file.
 */
export function neededLibraries(program: Buffer): string[] {
  const sections = readSections(program);
  const dynamic = sections.find((section) => section.type === SHT_DYNAMIC);
  if (dynamic === undefined) return [];
  const strings = sections[dynamic.link];
  if (strings === undefined) throw new Error("this ELF file's dynamic section names no string table");
  const names: string[] = [];
  for (let at = dynamic.fileAt; at < dynamic.fileAt + dynamic.size; at += 16) {
    if (program.readBigInt64LE(at) !== DT_NEEDED) continue;
    names.push(textAt(program, strings.fileAt + Number(program.readBigUInt64LE(at + 8))));
  }
  return names;
}

/**
 * The program without symbols and debug sections: what the loader maps stays byte for byte, the rest is
 * dropped. To be done before a blob is injected: afterwards the result crashes at start.
 */
export function stripped(program: Buffer): Buffer {
  const sections = readSections(program);
  const kept = sections.filter((section, index) => index === 0 || (section.flags & SHF_ALLOC) !== 0n);
  // Links between sections are indices: they stay true only while what is kept is a prefix.
  if (kept.some((section, index) => section !== sections[index]))
    throw new Error("this ELF file keeps sections after ones that can be dropped");
  let end = 0;
  for (const section of kept) if (section.type !== SHT_NOBITS) end = Math.max(end, section.fileAt + section.size);
  const programHeadersAt = Number(program.readBigUInt64LE(32));
  for (let index = 0; index < program.readUInt16LE(56); index += 1) {
    const at = programHeadersAt + index * PROGRAM_HEADER_BYTES;
    end = Math.max(end, Number(program.readBigUInt64LE(at + 8)) + Number(program.readBigUInt64LE(at + 32)));
  }
  const oldNames = sections[program.readUInt16LE(62)];
  if (oldNames === undefined) throw new Error("this ELF file has no table of section names");

  let names = "\0";
  const nameAt = kept.map((section, index) => {
    if (index === 0) return 0;
    const at = names.length;
    names += `${textAt(program, oldNames.fileAt + section.nameAt)}\0`;
    return at;
  });
  const ownNameAt = names.length;
  names += ".shstrtab\0";
  const namesFileAt = end;
  const headersAt = Math.ceil((namesFileAt + names.length) / 8) * 8;

  const result = Buffer.alloc(headersAt + (kept.length + 1) * SECTION_HEADER_BYTES);
  program.copy(result, 0, 0, end);
  result.write(names, namesFileAt, "latin1");
  const oldHeadersAt = Number(program.readBigUInt64LE(40));
  for (const [index] of kept.entries()) {
    const from = oldHeadersAt + index * SECTION_HEADER_BYTES;
    const to = headersAt + index * SECTION_HEADER_BYTES;
    program.copy(result, to, from, from + SECTION_HEADER_BYTES);
    result.writeUInt32LE(nameAt[index] ?? 0, to);
  }
  const own = headersAt + kept.length * SECTION_HEADER_BYTES;
  result.writeUInt32LE(ownNameAt, own);
  result.writeUInt32LE(SHT_STRTAB, own + 4);
  result.writeBigUInt64LE(BigInt(namesFileAt), own + 24);
  result.writeBigUInt64LE(BigInt(names.length), own + 32);
  result.writeBigUInt64LE(1n, own + 48);
  result.writeBigUInt64LE(BigInt(headersAt), 40);
  result.writeUInt16LE(kept.length + 1, 60);
  result.writeUInt16LE(kept.length, 62);
  return result;
}

function readSections(program: Buffer): Section[] {
  const isElf64 =
    program.length > HEADER_BYTES && program.readUInt32BE(0) === 0x7f454c46 && program[4] === 2 && program[5] === 1;
  if (!isElf64) throw new Error("this is not a 64 bit little-endian ELF file");
  const at = Number(program.readBigUInt64LE(40));
  return Array.from({ length: program.readUInt16LE(60) }, (_, index) => {
    const header = at + index * SECTION_HEADER_BYTES;
    return {
      nameAt: program.readUInt32LE(header),
      type: program.readUInt32LE(header + 4),
      flags: program.readBigUInt64LE(header + 8),
      fileAt: Number(program.readBigUInt64LE(header + 24)),
      size: Number(program.readBigUInt64LE(header + 32)),
      link: program.readUInt32LE(header + 40),
    };
  });
}

function textAt(program: Buffer, at: number): string {
  return program.toString("latin1", at, program.indexOf(0, at));
}

const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const PT_GNU_RELRO = 0x6474e552;
const PF_EXECUTE = 1;
const PF_WRITE = 2;
const SHT_GNU_VERNEED = 0x6ffffffe;
const ET_DYN = 3;
const DT_FLAGS = 30n;
const DF_BIND_NOW = 8n;
const DT_FLAGS_1 = 0x6ffffffbn;
const DF_1_NOW = 1n;

/** What the loader is told about memory: the points that a security review asks for. */
export interface ElfProtections {
  /** A segment, or the stack, is writable and executable. */
  readonly writableAndExecutable: boolean;
  /** Tables of the loader become read-only after start. */
  readonly readOnlyRelocations: boolean;
  /** All symbols are bound at start, so that those tables include the one of functions. */
  readonly boundAtStart: boolean;
  /** Loaded at a random address. */
  readonly positionIndependent: boolean;
}

/** Reads the program headers and the dynamic section. Throws as `neededLibraries` does. */
export function elfProtections(program: Buffer): ElfProtections {
  const sections = readSections(program);
  const at = Number(program.readBigUInt64LE(32));
  const segments = Array.from({ length: program.readUInt16LE(56) }, (_, index) => ({
    type: program.readUInt32LE(at + index * PROGRAM_HEADER_BYTES),
    flags: program.readUInt32LE(at + index * PROGRAM_HEADER_BYTES + 4),
  }));
  const isBoth = (flags: number) => (flags & PF_WRITE) !== 0 && (flags & PF_EXECUTE) !== 0;
  const stack = segments.find(({ type }) => type === PT_GNU_STACK);
  let boundAtStart = false;
  for (const section of sections.filter(({ type }) => type === SHT_DYNAMIC)) {
    for (let entry = section.fileAt; entry < section.fileAt + section.size; entry += 16) {
      const [tag, value] = [program.readBigInt64LE(entry), program.readBigUInt64LE(entry + 8)];
      if (tag === DT_FLAGS && (value & DF_BIND_NOW) !== 0n) boundAtStart = true;
      if (tag === DT_FLAGS_1 && (value & DF_1_NOW) !== 0n) boundAtStart = true;
    }
  }
  return {
    // Without the stack's own entry the kernel makes the stack executable.
    writableAndExecutable:
      stack === undefined ||
      isBoth(stack.flags) ||
      segments.some(({ type, flags }) => type === PT_LOAD && isBoth(flags)),
    readOnlyRelocations: segments.some(({ type }) => type === PT_GNU_RELRO),
    boundAtStart,
    positionIndependent: program.readUInt16LE(16) === ET_DYN,
  };
}

/** The versions of symbols that the program asks each library for: `libc.so.6` -> `GLIBC_2.28`, ... */
export function neededVersions(program: Buffer): ReadonlyMap<string, readonly string[]> {
  const sections = readSections(program);
  const section = sections.find(({ type }) => type === SHT_GNU_VERNEED);
  const strings = section === undefined ? undefined : sections[section.link];
  const found = new Map<string, readonly string[]>();
  if (section === undefined || strings === undefined) return found;
  for (let at = section.fileAt; ; ) {
    const versions: string[] = [];
    let version = at + program.readUInt32LE(at + 8);
    for (let left = program.readUInt16LE(at + 2); left > 0; left -= 1) {
      versions.push(textAt(program, strings.fileAt + program.readUInt32LE(version + 8)));
      version += program.readUInt32LE(version + 12);
    }
    found.set(textAt(program, strings.fileAt + program.readUInt32LE(at + 4)), versions);
    const next = program.readUInt32LE(at + 12);
    if (next === 0) return found;
    at += next;
  }
}
