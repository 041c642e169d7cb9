/**
 * Cuts JSON into records and records into top-level members, byte by byte, from chunks as they arrive,
 * without building objects.
 *
 * One loop over one state per byte, all grammar of RFC 8259 checked. Objects whose members are cut are
 * levels: the answer's envelope, its records, records taken out of records. A level's bytes stay where they
 * arrived (a view of the chunk) unless the record crosses a chunk's end or something in it must be left out
 * or replaced; then they are copied to the level's buffer.
 */
import { Failure } from "../model/failure.ts";
import {
  IN_BACKSLASH,
  IN_CONTROL,
  IN_MARKUP,
  IN_STRING,
  NUMBER_CLASS,
  NUMBER_ENDS,
  NUMBER_NEXT,
  NUMBER_START,
  TOKEN,
  TOKEN_CLOSE_ARRAY,
  TOKEN_CLOSE_OBJECT,
  TOKEN_COLON,
  TOKEN_COMMA,
  TOKEN_LITERAL,
  TOKEN_NUMBER,
  TOKEN_OPEN_ARRAY,
  TOKEN_OPEN_OBJECT,
  TOKEN_QUOTE,
  TOKEN_SPACE,
} from "./byte-classes.ts";
import { stringAt } from "./json-text.ts";
import { Level, type LevelSpec } from "./level.ts";
import {
  KIND_ARRAY,
  KIND_BOOLEAN,
  KIND_NULL,
  KIND_NUMBER,
  KIND_OBJECT,
  KIND_SCALARS,
  KIND_STRING,
  NAME_HAS_ESCAPES,
  VALUE_HAS_ESCAPES,
} from "./member-table.ts";
import { findStops, stops } from "./string-stops.ts";

/** Deeper records count as broken; Microsoft's own have about ten levels. */
export const NESTING_MAX = 512;
/** Beyond this the answer is refused: the brackets of a broken record are still matched up to here. */
const BRACKETS_MAX = 4096;

const S_ROOT = 0;
const S_DONE = 1;
const S_STRING = 2;
const S_AFTER = 3;
const S_NAME = 4;
const S_NAME_OR_END = 5;
const S_COLON = 6;
const S_VALUE = 7;
const S_VALUE_OR_END = 8;
const S_ESCAPE = 9;
const S_HEX = 10;
const S_WIDE = 11;
const S_NUMBER = 12;
const S_LITERAL = 13;
const S_ELEMENT = 14;
const S_ELEMENT_OR_END = 15;
const S_AFTER_ELEMENT = 16;
const S_BROKEN = 17;
const S_BROKEN_STRING = 18;
const S_BROKEN_ESCAPE = 19;
const S_BOM = 20;

const OBJECT = 1;
const ARRAY = 2;
/** An array whose elements are records. */
const LIST = 3;

// One name each: V8 hashes the sparse indexes of a table by their first byte anew in each look-up.
const TRUE = bytesOf("true");
const FALSE = bytesOf("false");
const NULL = bytesOf("null");
const REPLACEMENT = Uint8Array.of(0xef, 0xbf, 0xbd);
const NO_MEMBER = -1;

/** Scans begun so far, and the one whose stops lie in the table: a sink may scan inside another's scan. */
let scansBegun = 0;
let scanOfStops = 0;

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Where cut records go. The level's bytes are `bytes[start, end)`. */
export interface CutReceiver {
  cut(level: Level, bytes: Uint8Array, start: number, end: number): void;
  /** A record just passed its limit: true when its bytes are to be passed to the spec's sink. */
  overLimit(level: Level): boolean;
}

export class MemberScanner {
  /** Elements seen in lists of the outermost level. */
  elementCount = 0;
  /** True once the envelope's list was opened. */
  sawList = false;
  readonly #receiver: CutReceiver;
  readonly #root: LevelSpec;
  readonly #bareList: boolean;
  readonly #stack = new Uint8Array(BRACKETS_MAX + 2);
  readonly #levels: Level[] = [];
  #level: Level | undefined = undefined;
  #levelIndex = -1;
  #chunk: Uint8Array = new Uint8Array(0);
  #consumed = 0;
  /** Where the level's bytes that were not copied yet begin in the chunk. */
  #flushFrom = 0;
  #state = S_ROOT;
  #depth = 0;
  #inName = false;
  #nameStart = NO_MEMBER;
  #nameEnd = 0;
  #valueStart = 0;
  #kind = 0;
  #escapesFrom = 0;
  /** VALUE_HAS_ESCAPES once the string being read has a backslash or a byte above 0x7F. */
  #stringFlag = 0;
  #nameFlag = 0;
  #nestedNext = false;
  #number = 0;
  #literal: Uint8Array = NULL;
  #literalAt = 0;
  #hexLeft = 0;
  #wideSeen = 0;
  #wideNeed = 0;
  #wideLow = 0x80;
  #wideHigh = 0xbf;
  #wideLead = 0;
  #wideSecond = 0;
  #bomSeen = 0;

  constructor(root: LevelSpec, bareList: boolean, receiver: CutReceiver) {
    this.#root = root;
    this.#bareList = bareList;
    this.#receiver = receiver;
  }

  /** True when the outermost value is complete. */
  get done(): boolean {
    return this.#state === S_DONE;
  }

  get started(): boolean {
    return this.#state !== S_ROOT && this.#state !== S_BOM;
  }

  get consumed(): number {
    return this.#consumed;
  }

  /**
   * The chunk is read, and is the memory of the records that end in it; of one that goes on, what was read is
   * copied.
   */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#flushFrom = 0;
    this.#scan(chunk);
    const level = this.#level;
    if (level !== undefined && this.#capturing())
      this.#append(level, chunk.length, this.#state === S_WIDE ? this.#wideSeen : this.#state === S_NAME ? 1 : 0);
    this.#consumed += chunk.length;
  }

  /** Between the elements of a list no level takes bytes. */
  #capturing(): boolean {
    return this.#stack[this.#depth] !== LIST || this.#level!.depth < 0;
  }

  #scan(chunk: Uint8Array): void {
    const end = chunk.length;
    const stack = this.#stack;
    let i = 0;
    let state = this.#state;
    let depth = this.#depth;
    let level = this.#level;
    let memberDepth = level === undefined ? -1 : level.depth;
    let base = level === undefined ? 0 : -(level.dropped + level.length);
    let inName = this.#inName;
    scansBegun = (scansBegun + 1) | 0;
    const ownScan = scansBegun;
    let stopsEnd = 0;
    let nextStop = 0;

    while (i < end) {
      switch (state) {
        case S_STRING: {
          if (i >= stopsEnd || scanOfStops !== ownScan) {
            stopsEnd = findStops(chunk, i);
            scanOfStops = ownScan;
            nextStop = 0;
          }
          // Not all of them are inside strings: the quotation marks before are not.
          while (stops[nextStop]! < i) nextStop++;
          i = stops[nextStop]!;
          if (i === stopsEnd) break;
          const b = chunk[i++]!;
          if (b === 0x22) {
            if (inName) {
              if (depth === memberDepth) {
                this.#nameEnd = i - base;
                this.#nameFlag = this.#stringFlag === 0 ? 0 : NAME_HAS_ESCAPES;
                if (level!.spec.nestedName !== undefined) this.#nestedNext = this.#isNestedName(level!, base, i);
              }
              if (i + 1 >= end || chunk[i] !== 0x3a) {
                state = S_COLON;
                break;
              }
              i++;
              if (chunk[i] !== 0x22 || this.#nestedNext) {
                state = S_VALUE;
                break;
              }
              // The tokens that nearly always follow a name, without a turn of the loop.
              inName = false;
              if (depth === memberDepth) {
                this.#valueStart = i - base;
                this.#stringFlag = 0;
              }
              i++;
              nextStop += 2;
              // Nearly always the value's end is the next stop.
              if (i >= stopsEnd || scanOfStops !== ownScan) break;
              i = stops[nextStop]!;
              if (i === stopsEnd || chunk[i] !== 0x22) break;
              i++;
            }
            if (depth === memberDepth) this.#member(level!, base, i, KIND_STRING | this.#stringFlag);
            // The same for the two that nearly always follow a value in an object. `skipComma` is not set
            // here: it is for the comma right behind a list.
            if (i + 1 < end && chunk[i] === 0x2c && chunk[i + 1] === 0x22 && stack[depth] === OBJECT) {
              i++;
              if (depth === memberDepth) this.#beginName(level!, i - base);
              inName = true;
              i++;
              nextStop += 2;
            } else state = S_AFTER;
            break;
          }
          const c = IN_STRING[b]!;
          if (c === IN_MARKUP) {
            level!.noteEscape(i - 1 - base);
          } else if (c === IN_BACKSLASH) {
            this.#stringFlag = VALUE_HAS_ESCAPES;
            state = S_ESCAPE;
          } else if (c === IN_CONTROL) {
            // JSON forbids it, but the record must not be lost: it is replaced by the escape that should
            // have stood here.
            const code = chunk[i - 1]!;
            this.#stringFlag = VALUE_HAS_ESCAPES;
            this.#replace(level!, i, 1, bytesOf(`\\u${code.toString(16).padStart(4, "0")}`));
            base = i - (level!.dropped + level!.length);
          } else if (c !== 0) {
            this.#stringFlag = VALUE_HAS_ESCAPES;
            const lead = chunk[i - 1]!;
            if (lead >= 0xc2 && lead <= 0xdf && i < end && (chunk[i]! & 0xc0) === 0x80) i += 1;
            else if (
              lead >= 0xe1 &&
              lead <= 0xee &&
              lead !== 0xed &&
              i + 1 < end &&
              (chunk[i]! & 0xc0) === 0x80 &&
              (chunk[i + 1]! & 0xc0) === 0x80
            )
              i += 2;
            else if (this.#beginWide(lead)) state = S_WIDE;
            else {
              this.#replaceInvalid(level!, i, 1);
              base = i - (level!.dropped + level!.length);
            }
          }
          break;
        }

        case S_AFTER: {
          const t = TOKEN[chunk[i]!]!;
          if (t === TOKEN_COMMA) {
            const container = stack[depth]!;
            if (container === OBJECT) {
              if (depth === memberDepth && level!.skipComma) {
                this.#append(level!, i);
                this.#flushFrom = i + 1;
                base = i + 1 - (level!.dropped + level!.length);
                level!.skipComma = false;
              }
              i++;
              if (i < end && chunk[i] === 0x22) {
                if (depth === memberDepth) this.#beginName(level!, i - base);
                inName = true;
                i++;
                state = S_STRING;
              } else state = S_NAME;
            } else if (container === ARRAY) {
              i++;
              state = S_VALUE;
            } else {
              // A stray value in a list has ended before this comma.
              this.#endLevel(level!, i);
              level = this.#level;
              memberDepth = level === undefined ? -1 : level.depth;
              state = S_AFTER_ELEMENT;
            }
          } else if (t === TOKEN_CLOSE_OBJECT || t === TOKEN_CLOSE_ARRAY) {
            const container = stack[depth]!;
            if (container === LIST && t === TOKEN_CLOSE_ARRAY) {
              this.#endLevel(level!, i);
              level = this.#level;
              memberDepth = level === undefined ? -1 : level.depth;
              state = S_AFTER_ELEMENT;
            } else if (container === (t === TOKEN_CLOSE_OBJECT ? OBJECT : ARRAY)) {
              i++;
              if (depth === memberDepth) {
                depth--;
                this.#endLevel(level!, i);
                level = this.#level;
                memberDepth = level === undefined ? -1 : level.depth;
                state = depth === 0 ? S_DONE : S_AFTER_ELEMENT;
              } else {
                depth--;
                if (depth === memberDepth) this.#member(level!, base, i, this.#kind);
              }
            } else state = this.#broken(level!, false);
          } else if (t === TOKEN_SPACE) {
            i = this.#dropSpace(level!, i, end);
            base = i - (level!.dropped + level!.length);
          } else state = this.#broken(level!, false);
          break;
        }

        case S_NAME:
        case S_NAME_OR_END: {
          const t = TOKEN[chunk[i]!]!;
          if (t === TOKEN_QUOTE) {
            if (depth === memberDepth) this.#beginName(level!, i - base);
            inName = true;
            i++;
            state = S_STRING;
          } else if (t === TOKEN_SPACE) {
            i = this.#dropSpace(level!, i, end, 1);
            base = i - (level!.dropped + level!.length);
          } else if (t === TOKEN_CLOSE_OBJECT && state === S_NAME_OR_END) state = S_AFTER;
          else state = this.#broken(level!, false);
          break;
        }

        case S_COLON: {
          const t = TOKEN[chunk[i]!]!;
          if (t === TOKEN_COLON) {
            i++;
            state = S_VALUE;
          } else if (t === TOKEN_SPACE) {
            i = this.#dropSpace(level!, i, end);
            base = i - (level!.dropped + level!.length);
          } else state = this.#broken(level!, false);
          break;
        }

        case S_VALUE:
        case S_VALUE_OR_END: {
          const b = chunk[i]!;
          const t = TOKEN[b]!;
          if (t === TOKEN_SPACE) {
            i = this.#dropSpace(level!, i, end);
            base = i - (level!.dropped + level!.length);
            break;
          }
          if (depth === memberDepth) {
            this.#valueStart = i - base;
            if (this.#nestedNext) {
              this.#nestedNext = false;
              if (t === TOKEN_OPEN_ARRAY) {
                this.#beginList(level!, i);
                depth++;
                stack[depth] = LIST;
                i++;
                state = S_ELEMENT_OR_END;
                break;
              }
              if (level!.spec.role === "envelope") throw this.#wrongShape(`"${level!.spec.nestedName}" is not a list`);
            }
          }
          if (t === TOKEN_QUOTE) {
            inName = false;
            if (depth === memberDepth) this.#stringFlag = 0;
            i++;
            state = S_STRING;
          } else if (t === TOKEN_OPEN_OBJECT || t === TOKEN_OPEN_ARRAY) {
            if (depth === memberDepth) this.#kind = t === TOKEN_OPEN_OBJECT ? KIND_OBJECT : KIND_SCALARS;
            else if (this.#kind === KIND_SCALARS) this.#kind = KIND_ARRAY;
            if (depth >= NESTING_MAX) state = this.#broken(level!, false);
            else if (t === TOKEN_OPEN_ARRAY && i + 1 < end && chunk[i + 1] === 0x5d) {
              i += 2;
              if (depth === memberDepth) this.#member(level!, base, i, KIND_SCALARS);
              state = S_AFTER;
            } else {
              depth++;
              i++;
              if (t === TOKEN_OPEN_OBJECT) {
                stack[depth] = OBJECT;
                state = S_NAME_OR_END;
              } else {
                stack[depth] = ARRAY;
                state = S_VALUE_OR_END;
              }
            }
          } else if (t === TOKEN_NUMBER) {
            this.#number = NUMBER_START;
            state = S_NUMBER;
          } else if (t === TOKEN_LITERAL) {
            const literal = b === 0x6e ? NULL : b === 0x74 ? TRUE : FALSE;
            this.#literal = literal;
            this.#literalAt = 0;
            if (
              i + 4 < end &&
              chunk[i + 1] === literal[1] &&
              chunk[i + 2] === literal[2] &&
              chunk[i + 3] === literal[3] &&
              literal.length === 4
            ) {
              i += 4;
              if (depth === memberDepth) this.#member(level!, base, i, b === 0x6e ? KIND_NULL : KIND_BOOLEAN);
              state = S_AFTER;
            } else state = S_LITERAL;
          } else if (t === TOKEN_CLOSE_ARRAY && state === S_VALUE_OR_END) state = S_AFTER;
          else state = this.#broken(level!, false);
          break;
        }

        case S_NUMBER: {
          let number = this.#number;
          while (i < end) {
            const next = NUMBER_NEXT[number * 8 + NUMBER_CLASS[chunk[i]!]!]!;
            if (next === 0) break;
            number = next;
            i++;
          }
          this.#number = number;
          if (i === end) break;
          if (NUMBER_ENDS[number] === 0) state = this.#broken(level!, false);
          else {
            if (depth === memberDepth) this.#member(level!, base, i, KIND_NUMBER);
            state = S_AFTER;
          }
          break;
        }

        case S_LITERAL: {
          const literal = this.#literal;
          let at = this.#literalAt;
          while (i < end && at < literal.length && chunk[i] === literal[at]) {
            i++;
            at++;
          }
          this.#literalAt = at;
          if (at === literal.length) {
            if (depth === memberDepth) this.#member(level!, base, i, literal === NULL ? KIND_NULL : KIND_BOOLEAN);
            state = S_AFTER;
          } else if (i < end) state = this.#broken(level!, false);
          break;
        }

        case S_ESCAPE: {
          const b = chunk[i]!;
          if (b === 0x75) {
            this.#hexLeft = 4;
            state = S_HEX;
            i++;
          } else if (
            b === 0x22 ||
            b === 0x5c ||
            b === 0x2f ||
            b === 0x62 ||
            b === 0x66 ||
            b === 0x6e ||
            b === 0x72 ||
            b === 0x74
          ) {
            state = S_STRING;
            i++;
          } else state = this.#broken(level!, true);
          break;
        }

        case S_HEX: {
          const b = chunk[i]!;
          if ((b >= 0x30 && b <= 0x39) || (b >= 0x41 && b <= 0x46) || (b >= 0x61 && b <= 0x66)) {
            i++;
            if (--this.#hexLeft === 0) state = S_STRING;
          } else state = this.#broken(level!, true);
          break;
        }

        case S_WIDE: {
          const b = chunk[i]!;
          if (b < this.#wideLow || b > this.#wideHigh) {
            // The bytes so far are one broken character; this byte is looked at anew.
            this.#replaceInvalid(level!, i, this.#wideSeen);
            base = i - (level!.dropped + level!.length);
            state = S_STRING;
            break;
          }
          i++;
          if (this.#wideSeen === 1) this.#wideSecond = b;
          this.#wideSeen++;
          this.#wideLow = 0x80;
          this.#wideHigh = 0xbf;
          if (this.#wideSeen === this.#wideNeed) {
            if (this.#wideLead === 0xef && this.#wideSecond === 0xbf && b >= 0xbe) {
              this.#replace(level!, i, 3, bytesOf(b === 0xbe ? "\\ufffe" : "\\uffff"));
              base = i - (level!.dropped + level!.length);
            }
            state = S_STRING;
          }
          break;
        }

        case S_ELEMENT:
        case S_ELEMENT_OR_END: {
          const t = TOKEN[chunk[i]!]!;
          if (t === TOKEN_SPACE) i++;
          else if (t === TOKEN_CLOSE_ARRAY && state === S_ELEMENT_OR_END) state = S_AFTER_ELEMENT;
          else if (t === TOKEN_OPEN_OBJECT) {
            depth++;
            stack[depth] = OBJECT;
            level = this.#beginLevel(depth, i, t === TOKEN_OPEN_OBJECT);
            memberDepth = depth;
            base = i;
            i++;
            state = S_NAME_OR_END;
          } else {
            level = this.#beginLevel(-1, i, false);
            memberDepth = -1;
            base = i;
            this.#kind = KIND_NULL;
            state = S_VALUE;
          }
          break;
        }

        case S_AFTER_ELEMENT: {
          const t = TOKEN[chunk[i]!]!;
          if (t === TOKEN_COMMA) {
            i++;
            state = S_ELEMENT;
          } else if (t === TOKEN_CLOSE_ARRAY) {
            i++;
            depth--;
            if (level === undefined) state = S_DONE;
            else {
              this.#flushFrom = i;
              base = i - (level.dropped + level.length);
              state = S_AFTER;
            }
          } else if (t === TOKEN_SPACE) i++;
          else throw this.#notJson();
          break;
        }

        case S_BROKEN: {
          const t = TOKEN[chunk[i]!]!;
          i++;
          if (t === TOKEN_QUOTE) state = S_BROKEN_STRING;
          else if (t === TOKEN_OPEN_OBJECT || t === TOKEN_OPEN_ARRAY) {
            if (depth >= BRACKETS_MAX) throw this.#notJson();
            depth++;
            stack[depth] = t === TOKEN_OPEN_OBJECT ? OBJECT : ARRAY;
          } else if (t === TOKEN_CLOSE_OBJECT || t === TOKEN_CLOSE_ARRAY) {
            if (stack[depth] !== (t === TOKEN_CLOSE_OBJECT ? OBJECT : ARRAY)) throw this.#notJson();
            depth--;
            if (depth < memberDepth) {
              this.#endLevel(level!, i);
              level = this.#level;
              memberDepth = level === undefined ? -1 : level.depth;
              state = S_AFTER_ELEMENT;
            }
          }
          break;
        }

        case S_BROKEN_STRING: {
          const b = chunk[i++]!;
          if (b === 0x22) state = S_BROKEN;
          else if (b === 0x5c) state = S_BROKEN_ESCAPE;
          break;
        }

        case S_BROKEN_ESCAPE:
          i++;
          state = S_BROKEN_STRING;
          break;

        case S_ROOT: {
          const b = chunk[i]!;
          const t = TOKEN[b]!;
          if (t === TOKEN_SPACE) i++;
          else if (t === TOKEN_OPEN_OBJECT && !this.#bareList) {
            depth = 1;
            stack[1] = OBJECT;
            level = this.#beginLevel(1, i, true);
            memberDepth = 1;
            base = i;
            i++;
            state = S_NAME_OR_END;
          } else if (t === TOKEN_OPEN_ARRAY && this.#bareList) {
            depth = 1;
            stack[1] = LIST;
            this.sawList = true;
            i++;
            state = S_ELEMENT_OR_END;
          } else if (b === 0xef && this.#consumed + i === 0) {
            this.#bomSeen = 1;
            i++;
            state = S_BOM;
          } else if (t !== 0) throw this.#wrongShape(this.#bareList ? "it is not a list" : "it is not an object");
          else throw this.#notJson();
          break;
        }

        case S_BOM: {
          if (chunk[i] !== (this.#bomSeen === 1 ? 0xbb : 0xbf)) throw this.#notJson();
          i++;
          if (++this.#bomSeen === 3) state = S_ROOT;
          break;
        }

        default: {
          if (TOKEN[chunk[i]!] !== TOKEN_SPACE) throw this.#notJson();
          i++;
        }
      }
      // #member, #append and the like move what the level holds, never where the next byte belongs.
    }

    this.#state = state;
    this.#depth = depth;
    this.#inName = inName;
  }

  #beginName(level: Level, offset: number): void {
    this.#nameStart = offset;
    this.#escapesFrom = level.escapeCount;
    this.#stringFlag = 0;
  }

  /** A member is complete at chunk index `i`. */
  #member(level: Level, base: number, i: number, kind: number): void {
    if (level.hash === undefined) {
      level.addMember(
        this.#nameStart,
        this.#nameEnd,
        this.#valueStart,
        i - base,
        kind | this.#nameFlag,
        this.#escapesFrom,
      );
      this.#nameStart = NO_MEMBER;
      return;
    }
    this.#memberOfLeaving(level, i, kind | this.#nameFlag);
  }

  /** Of a record that is too large only the members that say what it is are read, as they pass. */
  #memberOfLeaving(level: Level, i: number, kind: number): void {
    this.#append(level, i);
    const names = level.spec.fields;
    if (names !== undefined && this.#nameStart >= level.dropped && (kind & 7) <= KIND_STRING) {
      const at = level.dropped;
      level.values.readOne(
        names,
        level.buffer,
        this.#nameStart - at,
        this.#nameEnd - at,
        this.#valueStart - at,
        level.length,
        kind,
      );
    }
    level.kept++;
    level.escapeCount = 0;
    this.#nameStart = NO_MEMBER;
    level.leave(NO_MEMBER, 0);
  }

  #isNestedName(level: Level, base: number, i: number): boolean {
    const wanted = level.spec.nestedName!;
    if (this.#nameFlag === 0 && this.#nameEnd - this.#nameStart !== wanted.length + 2) return false;
    let bytes = this.#chunk;
    let from = this.#nameStart + base;
    if (from < this.#flushFrom) {
      this.#append(level, i);
      if (this.#nameStart < level.dropped) return false;
      bytes = level.buffer;
      from = this.#nameStart - level.dropped;
    }
    const name = stringAt(bytes, from, from + this.#nameEnd - this.#nameStart, true);
    // The older hunting endpoints write their list's name with a capital.
    return name === wanted || (level.spec.role === "envelope" && wanted === "results" && name === "Results");
  }

  /**
   * The member just named is a list whose elements become records: name and list leave the level, with one
   * comma.
   */
  #beginList(level: Level, i: number): void {
    this.#append(level, i);
    const cut = this.#nameStart - (level.kept > 0 ? 1 : 0);
    level.length = Math.max(0, cut - level.dropped);
    level.escapeCount = this.#escapesFrom;
    level.skipComma = level.kept === 0;
    this.#nameStart = NO_MEMBER;
    if (level.spec.role === "envelope") this.sawList = true;
  }

  #beginLevel(depth: number, i: number, isObject: boolean): Level {
    const outer = this.#level;
    let spec: LevelSpec = this.#root;
    if (outer !== undefined || this.#bareList) {
      spec = outer === undefined ? this.#root : outer.spec.nestedSpec!;
      if (outer === undefined || outer.spec.role === "envelope") {
        this.elementCount++;
        if (!isObject && this.elementCount === 1 && this.#chunk[i] === 0x22)
          throw this.#wrongShape("its elements are plain strings");
      }
      if (!isObject) spec = { ...spec, role: "stray", nestedName: undefined, sink: undefined };
    }
    this.#levelIndex++;
    let level = this.#levels[this.#levelIndex];
    if (level === undefined) {
      level = new Level(spec);
      this.#levels.push(level);
    }
    level.reset(spec, depth);
    this.#level = level;
    this.#flushFrom = i;
    return level;
  }

  /** `i` is one past the level's last byte. */
  #endLevel(level: Level, i: number): void {
    const from = this.#flushFrom;
    const held = level.length;
    if (level.hash === undefined && held === 0 && i - from <= level.spec.maxBytes) {
      this.#receiver.cut(level, this.#chunk, from, i);
    } else {
      this.#append(level, i);
      if (level.hash !== undefined) level.leave(NO_MEMBER, 0);
      this.#receiver.cut(level, level.buffer, 0, level.length);
    }
    this.#levelIndex--;
    this.#level = this.#levelIndex < 0 ? undefined : this.#levels[this.#levelIndex]!;
    this.#flushFrom = i;
  }

  /**
   * Moves the level's bytes before chunk index `to` into its buffer. Of bytes that leave, the last `hold`
   * stay: a character that is not complete, a comma that leaves with its member when that is taken out.
   */
  #append(level: Level, to: number, hold = 0): void {
    const keepFrom = this.#nameStart === NO_MEMBER ? NO_MEMBER : this.#nameStart - (level.kept > 0 ? 1 : 0);
    level.append(this.#chunk, this.#flushFrom, to, keepFrom, hold);
    this.#flushFrom = to;
    if (level.hash === undefined && level.length > level.spec.maxBytes) {
      if (level.spec.role === "envelope") throw this.#wrongShape("its envelope is larger than any of Microsoft's");
      level.passing = this.#receiver.overLimit(level);
      level.beginLeaving(keepFrom, hold);
    }
  }

  /** Leaves white space out; returns where it ends in this chunk. `hold`: see Level.append. */
  #dropSpace(level: Level, i: number, end: number, hold = 0): number {
    const chunk = this.#chunk;
    let j = i + 1;
    while (j < end && TOKEN[chunk[j]!] === TOKEN_SPACE) j++;
    this.#append(level, i, hold);
    this.#flushFrom = j;
    return j;
  }

  /** The `n` bytes before chunk index `i` are taken out and `bytes` put in their place. */
  #replace(level: Level, i: number, n: number, bytes: Uint8Array): void {
    this.#append(level, i, n);
    level.replaceTail(n, bytes);
  }

  #replaceInvalid(level: Level, i: number, n: number): void {
    level.invalidUtf8Count++;
    this.#replace(level, i, n, REPLACEMENT);
  }

  /**
   * Sets up the wait for the rest of a multi-byte character; false when `lead` can begin none. Ranges:
   * Unicode Standard, table 3-7.
   */
  #beginWide(lead: number): boolean {
    this.#wideSeen = 1;
    this.#wideLead = lead;
    this.#wideSecond = 0;
    this.#wideLow = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    this.#wideHigh = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    this.#wideNeed = lead <= 0xdf ? 2 : lead <= 0xef ? 3 : 4;
    return lead >= 0xc2 && lead <= 0xf4;
  }

  /**
   * A record whose inside is not JSON is read on, as broken, to the bracket that ends it; outside of records
   * the answer is refused.
   */
  #broken(level: Level, inString: boolean): number {
    if (level.depth < 0 || level.spec.role === "envelope") throw this.#notJson();
    level.malformed = true;
    this.#nameStart = NO_MEMBER;
    this.#nestedNext = false;
    return inString ? S_BROKEN_STRING : S_BROKEN;
  }

  #notJson(): Failure {
    return badAnswer(
      `Microsoft's answer is not JSON (looked at ${this.#consumed} bytes and a piece, ${this.elementCount} records before it).`,
    );
  }

  #wrongShape(what: string): Failure {
    return badAnswer(`Microsoft's answer has another shape than this API's: ${what}.`);
  }
}

export function badAnswer(say: string): Failure {
  return new Failure("bad-answer", { actor: "microsoft", retry: { when: "soon" }, say });
}
