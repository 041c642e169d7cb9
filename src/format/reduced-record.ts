/**
 * A record that is too large to be held, made smaller while it passes: its small top-level members, in vendor
 * order. For formats that map fields and have no place for the large ones anyway; what is left out is named
 * with the record.
 */

import { scanAnswer } from "../json/answer-scanner.ts";
import { ByteWriter } from "../json/byte-writer.ts";
import type { LeftOutMember, RecordBody, RecordHead, Reduction, SourceRecord } from "../model/record.ts";

export interface ReductionLimits {
  /** Largest member that is kept, in bytes of name and value together. */
  readonly memberBytes: number;
  /** Most that is kept of one record. */
  readonly recordBytes: number;
}

/** Far above any text that Microsoft writes beside lists of evidence, and little to hold. */
const LIMITS: ReductionLimits = { memberBytes: 64 * 1024, recordBytes: 1024 * 1024 };
/** No reduced record is larger. */
export const REDUCED_MOST_BYTES = LIMITS.recordBytes;

/** Of a name that is itself too large this much is shown. */
const NAME_BYTES = 64;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** Takes a record's bytes as a HugeRecordSink gives them: valid JSON without white space outside strings. */
export class RecordReducer {
  readonly #limits: ReductionLimits;
  readonly #kept = new ByteWriter(1 << 12);
  /** The member being read, up to the limit. */
  readonly #member = new ByteWriter(1 << 12);
  readonly #leftOut: LeftOutMember[] = [];
  #byteLength = 0;
  #memberLength = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** Offsets in the member; 0: not reached yet. */
  #nameEnd = 0;
  #isList = false;
  #commas = 0;

  constructor(limits: ReductionLimits = LIMITS) {
    this.#limits = limits;
    this.#kept.ascii("[{");
  }

  /** The piece may be used again afterwards. */
  push(piece: Uint8Array): void {
    this.#byteLength += piece.length;
    let from = 0;
    for (let i = 0; i < piece.length; i++) {
      const byte = piece[i]!;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inString = false;
        continue;
      }
      switch (byte) {
        case QUOTE:
          this.#inString = true;
          break;
        case 0x7b:
        case 0x5b:
          if (this.#depth === 0) from = i + 1;
          if (this.#depth === 1) this.#isList = byte === 0x5b;
          this.#depth++;
          break;
        case 0x7d:
        case 0x5d:
          this.#depth--;
          if (this.#depth === 0) {
            this.#take(piece, from, i);
            this.#endMember();
            from = i + 1;
          }
          break;
        case COLON:
          if (this.#depth === 1) this.#nameEnd = this.#memberLength + i - from;
          break;
        case COMMA:
          if (this.#depth === 1) {
            this.#take(piece, from, i);
            this.#endMember();
            from = i + 1;
          } else if (this.#depth === 2) this.#commas++;
          break;
      }
    }
    if (this.#depth > 0) this.#take(piece, from, piece.length);
  }

  /** After the last piece: the text of what is kept, and what is not. */
  endText(): { readonly text: Uint8Array; readonly reduced: Reduction } {
    const text = this.#kept.take();
    const object = new Uint8Array(text.length);
    // Without the bracket that makes a list of it.
    object.set(text.subarray(1));
    object[text.length - 1] = 0x7d;
    return { text: object, reduced: { byteLength: this.#byteLength, leftOut: this.#leftOut } };
  }

  /** After the last piece. Throws Failure `bad-answer` when the record was not whole. */
  end(): { readonly body: RecordBody; readonly reduced: Reduction } {
    if (this.#depth === 0) this.#kept.ascii("}]");
    const { records } = scanAnswer(this.#kept.take(), {
      shape: "bare-array",
      fields: { kind: "alert", id: { sha256: true }, updated: "", updatedFallback: 0n },
      recordMaxBytes: Number.MAX_SAFE_INTEGER,
    });
    const [record] = records;
    if (!record?.readable) throw new Error("a record that was whole is not when made smaller");
    return { body: record.body, reduced: { byteLength: this.#byteLength, leftOut: this.#leftOut } };
  }

  #take(piece: Uint8Array, from: number, to: number): void {
    // One byte more than the limit is enough to know that the member is above it.
    const room = this.#limits.memberBytes + 1 - this.#member.length;
    if (room > 0) this.#member.copy(piece, from, Math.min(to, from + room));
    this.#memberLength += to - from;
  }

  #endMember(): void {
    if (this.#memberLength === 0) return;
    const isFirst = this.#kept.length === 2;
    const fits =
      this.#memberLength <= this.#limits.memberBytes &&
      this.#kept.length + this.#memberLength < this.#limits.recordBytes;
    if (fits) {
      if (!isFirst) this.#kept.byte(COMMA);
      this.#kept.copy(this.#member.view(), 0, this.#memberLength);
    } else this.#leftOut.push(this.#leftOutMember());
    this.#member.reset();
    this.#memberLength = 0;
    this.#nameEnd = 0;
    this.#isList = false;
    this.#commas = 0;
  }

  #leftOutMember(): LeftOutMember {
    const bytes = this.#member.view();
    const valueBytes = this.#memberLength - this.#nameEnd - 1;
    const name =
      this.#nameEnd <= bytes.length
        ? (JSON.parse(Buffer.from(bytes.subarray(0, this.#nameEnd)).toString("utf8")) as string)
        : Buffer.from(bytes.subarray(1, NAME_BYTES)).toString("utf8");
    return {
      name,
      byteLength: valueBytes,
      ...(this.#isList ? { elementCount: valueBytes === 2 ? 0 : this.#commas + 1 } : {}),
    };
  }
}

/**
 * Reads the pieces of one record. Throws what they throw, and Failure `bad-answer` when they are not a whole
 * record.
 */
export async function reduceRecord(head: RecordHead, pieces: AsyncIterable<Uint8Array>): Promise<SourceRecord> {
  const reducer = new RecordReducer();
  for await (const piece of pieces) reducer.push(piece);
  return { readable: true, ...head, ...reducer.end() };
}

/**
 * A line of JSON without its large members, at most about this long; undefined when it cannot be made that
 * short.
 */
export function reduceLine(
  line: Uint8Array,
  mostBytes: number,
): { readonly text: Uint8Array; readonly reduced: Reduction } | undefined {
  const reducer = new RecordReducer({
    memberBytes: Math.min(LIMITS.memberBytes, Math.floor(mostBytes / 2)),
    recordBytes: mostBytes,
  });
  reducer.push(line);
  const made = reducer.endText();
  return made.text.length < line.length && made.text.length > 2 ? made : undefined;
}
