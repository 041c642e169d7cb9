/**
 * The answer of a Defender list call, cut into records while it streams in. Shapes:
 * `{"value":[…],"@odata.nextLink":…}` (Graph, XDR, Endpoint), `{"schema":[…],"results":[…]}` (hunting, either
 * spelling), and the bare array of the retired SIEM API.
 */
import { createHash } from "node:crypto";
import type { Ticks } from "../model/instant.ts";
import type { PageRecord, RecordBody, RecordHead, SourceRecord, UnreadableRecord } from "../model/record.ts";
import { stringAt, textAt } from "./json-text.ts";
import type { HugeRecordSink, Level, LevelSpec } from "./level.ts";
import { badAnswer, type CutReceiver, MemberScanner } from "./member-scanner.ts";
import {
  KIND,
  KIND_MASK,
  KIND_STRING,
  MEMBER_FIELDS,
  memberField,
  NAME_END,
  NAME_START,
  VALUE_END,
  VALUE_START,
} from "./member-table.ts";
import { fieldNames, type RecordFields } from "./record-fields.ts";
import { rehearse } from "./rehearsal.ts";

export type { HugeRecordSink } from "./level.ts";
export type { RecordFields } from "./record-fields.ts";

/** `results` also takes `Results`, as the older hunting endpoints spell it. */
export type AnswerShape = "value-object" | "results" | "bare-array";

export interface AnswerOptions {
  readonly shape: AnswerShape;
  readonly fields: RecordFields;
  /** Larger records are counted and hashed, not held. */
  readonly recordMaxBytes: number;
  /**
   * Elements of this member come out as records of their own, before their parent, which goes out without the
   * member.
   */
  readonly nest?: { readonly member: string; readonly fields: RecordFields };
  /** Asked for each record above the limit: its bytes may pass through instead of being counted only. */
  readonly huge?: HugeRecordSink;
}

/** What the answer held beside its records. */
export interface AnswerEnd {
  /** `@odata.nextLink` exactly as sent. */
  readonly nextLink?: string;
  /** Every other member by its name, as raw JSON text (`schema`, `@odata.count`, …). */
  readonly members: ReadonlyMap<string, string>;
}

/** Largest envelope: what is not records. A hunting answer's schema is a few kilobytes. */
const ENVELOPE_MAX_BYTES = 1 << 20;
/**
 * Records that crossed a chunk's end are copied together into a block; larger ones than a quarter of this get
 * the buffer they were built in.
 */
const BLOCK_BYTES = 1 << 16;
/**
 * Block and tables begin small, since answers for idle customers hold nothing, and double as needed.
 */
const FIRST_BLOCK_BYTES = 1 << 10;
const FIRST_TABLE_INTS = 1 << 6;

/** A bare array has none. */
const NO_ENVELOPE: RecordBody = {
  bytes: new Uint8Array(0),
  start: 0,
  end: 0,
  members: new Int32Array(0),
  firstMember: 0,
  memberCount: 0,
  escapes: new Int32Array(0),
  firstEscape: 0,
  escapeCount: 0,
};

/** The first scanner of the process rehearses for all of them. */
let rehearsed = false;

function scanRehearsal(pieces: readonly Uint8Array[]): void {
  const fields = { kind: "alert", id: "id", updated: "updated", updatedFallback: 0n } as const;
  const scanner = new AnswerScanner({
    shape: "value-object",
    fields,
    nest: { member: "list", fields },
    recordMaxBytes: 1 << 16,
  });
  for (const piece of pieces) scanner.push(piece);
  scanner.end();
}

export class AnswerScanner implements CutReceiver {
  readonly #scanner: MemberScanner;
  readonly #shape: AnswerShape;
  #found: PageRecord[] = [];
  #block: Uint8Array = Buffer.alloc(0);
  #blockUsed = 0;
  #ints: Int32Array = new Int32Array(0);
  #intsUsed = 0;
  #envelope: RecordBody | undefined = undefined;
  #recordCount = 0;

  constructor(options: AnswerOptions) {
    if (!rehearsed) {
      rehearsed = true;
      rehearse(scanRehearsal);
    }
    const nested: LevelSpec | undefined =
      options.nest === undefined
        ? undefined
        : {
            role: "nested",
            maxBytes: options.recordMaxBytes,
            fields: fieldNames(options.nest.fields),
            nestedName: undefined,
            nestedSpec: undefined,
            sink: options.huge,
          };
    const record: LevelSpec = {
      role: "record",
      maxBytes: options.recordMaxBytes,
      fields: fieldNames(options.fields),
      nestedName: options.nest?.member,
      nestedSpec: nested,
      sink: options.huge,
    };
    const envelope: LevelSpec = {
      role: "envelope",
      maxBytes: ENVELOPE_MAX_BYTES,
      fields: undefined,
      nestedName: options.shape === "results" ? "results" : "value",
      nestedSpec: record,
      sink: undefined,
    };
    this.#shape = options.shape;
    this.#scanner = new MemberScanner(
      options.shape === "bare-array" ? record : envelope,
      options.shape === "bare-array",
      this,
    );
  }

  /**
   * Reads the next decoded bytes and returns the records that ended in them, in the order received. They are
   * views of the chunk and of this scanner's memory: valid until the next push, and as long as the chunk is
   * not changed. Throws Failure `bad-answer` for what is not JSON or has another shape.
   */
  push(chunk: Uint8Array): readonly PageRecord[] {
    this.#found = [];
    this.#blockUsed = 0;
    this.#intsUsed = 0;
    this.#scanner.push(chunk);
    return this.#found;
  }

  /**
   * To be called once after the last chunk. Throws Failure `bad-answer` when the answer ended early or had no
   * list of records.
   */
  end(): AnswerEnd {
    const scanner = this.#scanner;
    if (!scanner.done) {
      throw badAnswer(
        scanner.started
          ? `Microsoft's answer ended early, after ${scanner.consumed} bytes and ${this.#recordCount} records.`
          : "Microsoft's answer is empty.",
      );
    }
    if (!scanner.sawList) {
      throw badAnswer(
        `Microsoft's answer has another shape than this API's: "${this.#shape === "results" ? "results" : "value"}" is missing.`,
      );
    }
    const members = new Map<string, string>();
    let nextLink: string | undefined;
    const envelope = this.#envelope ?? NO_ENVELOPE;
    for (let i = 0; i < envelope.memberCount; i++) {
      const { bytes, start } = envelope;
      const name = stringAt(
        bytes,
        start + memberField(envelope, i, NAME_START),
        start + memberField(envelope, i, NAME_END),
        true,
      );
      const from = start + memberField(envelope, i, VALUE_START);
      const to = start + memberField(envelope, i, VALUE_END);
      if (name !== "@odata.nextLink") members.set(name, textAt(bytes, from, to));
      else if ((memberField(envelope, i, KIND) & KIND_MASK) === KIND_STRING && to - from > 2)
        nextLink = stringAt(bytes, from, to, true);
    }
    return { ...(nextLink === undefined ? {} : { nextLink }), members };
  }

  cut(level: Level, bytes: Uint8Array, start: number, end: number): void {
    const { role } = level.spec;
    if (role === "envelope") {
      // It is read at the end, when the chunk and the scanner's memory may hold other bytes.
      const body = this.#body(level, bytes, start, end);
      const members = body.members.slice(body.firstMember, body.firstMember + body.memberCount * MEMBER_FIELDS);
      const held = Uint8Array.prototype.slice.call(body.bytes, body.start, body.end);
      this.#envelope = { ...NO_ENVELOPE, bytes: held, end: held.length, members, memberCount: body.memberCount };
      return;
    }
    this.#recordCount++;
    if (level.hash !== undefined) {
      if (level.passing) level.spec.sink!.end(!level.malformed, headOf(level));
      else this.#found.push(tooLarge(level));
      return;
    }
    if (role === "stray") this.#found.push(unreadable("not-an-object", bytes, start, end));
    else if (level.malformed) this.#found.push(unreadable("malformed", bytes, start, end));
    else this.#found.push(this.#record(level, bytes, start, end));
  }

  overLimit(level: Level): boolean {
    const names = level.spec.fields;
    level.values.reset();
    if (names === undefined) return false;
    level.values.readAll(names, {
      bytes: level.buffer,
      start: 0,
      end: level.length,
      members: level.members,
      firstMember: 0,
      memberCount: level.memberCount,
      escapes: level.escapes,
      firstEscape: 0,
      escapeCount: 0,
    });
    const { sink } = level.spec;
    const head = headOf(level, level.values.id === sink?.wanted?.id ? sink?.wanted?.updated : undefined);
    return head !== undefined && !level.malformed && sink?.begin(head) === true;
  }

  #record(level: Level, bytes: Uint8Array, start: number, end: number): PageRecord {
    const body = this.#body(level, bytes, start, end);
    const names = level.spec.fields!;
    const values = level.values;
    values.readAll(names, body);
    const { fields } = names;
    const id = typeof fields.id === "string" ? values.id : sha256Of(body.bytes, body.start, body.end);
    const updated = values.updated ?? fields.updatedFallback;
    if (id === undefined)
      return { ...unreadable("no-id", bytes, start, end), ...(updated === undefined ? {} : { updated }) };
    if (updated === undefined) return { ...unreadable("no-time", bytes, start, end), id };
    // Optional members are added only where they are: records of one stream then share one hidden class,
    // whatever they carry.
    const record: { -readonly [K in keyof SourceRecord]: SourceRecord[K] } = {
      readable: true,
      kind: fields.kind,
      id,
      updated,
      body,
    };
    if (values.created !== undefined) record.created = values.created;
    if (level.spec.role === "nested") record.nested = true;
    if (values.tenant !== undefined) record.payloadTenantId = values.tenant;
    if (values.service !== undefined) record.service = values.service;
    if (level.invalidUtf8Count > 0) record.invalidUtf8Count = level.invalidUtf8Count;
    return record;
  }

  /**
   * The level's table, and its bytes where they do not lie in the chunk, go to memory of their own: the level
   * is used again.
   */
  #body(level: Level, bytes: Uint8Array, start: number, end: number): RecordBody {
    let at = start;
    let held = bytes;
    if (bytes === level.buffer) {
      if (end > BLOCK_BYTES / 4) level.buffer = new Uint8Array(8192);
      else {
        if (this.#blockUsed + end > this.#block.length) {
          this.#block = Buffer.allocUnsafeSlow(
            Math.min(BLOCK_BYTES, Math.max(FIRST_BLOCK_BYTES, end, this.#block.length * 2)),
          );
          this.#blockUsed = 0;
        }
        held = this.#block;
        at = this.#blockUsed;
        held.set(bytes.subarray(0, end), at);
        this.#blockUsed += end;
      }
    }
    const memberInts = level.memberCount * MEMBER_FIELDS;
    const needed = memberInts + level.escapeCount;
    if (this.#intsUsed + needed > this.#ints.length) {
      this.#ints = new Int32Array(Math.max(FIRST_TABLE_INTS, needed, this.#ints.length * 2));
      this.#intsUsed = 0;
    }
    const ints = this.#ints;
    const firstMember = this.#intsUsed;
    ints.set(level.members.subarray(0, memberInts), firstMember);
    const firstEscape = firstMember + memberInts;
    if (level.escapeCount > 0) ints.set(level.escapes.subarray(0, level.escapeCount), firstEscape);
    this.#intsUsed += needed;
    return {
      bytes: held,
      start: at,
      end: at + end - start,
      members: ints,
      firstMember,
      memberCount: level.memberCount,
      escapes: ints,
      firstEscape,
      escapeCount: level.escapeCount,
    };
  }
}

/** @param unseen the update time when none was read. */
function headOf(level: Level, unseen?: Ticks): RecordHead | undefined {
  const { fields } = level.spec.fields!;
  const { id, created, tenant, service } = level.values;
  const updated = level.values.updated ?? fields.updatedFallback ?? unseen;
  if (id === undefined || updated === undefined) return undefined;
  return {
    kind: fields.kind,
    id,
    updated,
    ...(created === undefined ? {} : { created }),
    ...(tenant === undefined ? {} : { payloadTenantId: tenant }),
    ...(service === undefined ? {} : { service }),
    ...(level.invalidUtf8Count === 0 ? {} : { invalidUtf8Count: level.invalidUtf8Count }),
  };
}

function tooLarge(level: Level): UnreadableRecord {
  const { id, updated } = level.values;
  return {
    readable: false,
    reason: level.malformed ? "malformed" : "too-large",
    ...(id === undefined ? {} : { id }),
    ...(updated === undefined ? {} : { updated }),
    byteLength: level.dropped,
    sha256: level.hash!.digest("hex"),
  };
}

function unreadable(
  reason: UnreadableRecord["reason"],
  bytes: Uint8Array,
  start: number,
  end: number,
): UnreadableRecord {
  return { readable: false, reason, byteLength: end - start, sha256: sha256Of(bytes, start, end) };
}

function sha256Of(bytes: Uint8Array, start: number, end: number): string {
  return createHash("sha256").update(bytes.subarray(start, end)).digest("hex");
}

/** Scans an answer that is there as a whole; for small answers and for tests. Throws like AnswerScanner. */
export function scanAnswer(
  answer: Uint8Array | string,
  options: AnswerOptions,
): { readonly records: readonly PageRecord[]; readonly end: AnswerEnd } {
  const scanner = new AnswerScanner(options);
  const records = scanner.push(typeof answer === "string" ? new TextEncoder().encode(answer) : answer);
  return { records, end: scanner.end() };
}
