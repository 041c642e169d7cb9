import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { anyCharacter } from "../../test/harness/any-character.ts";
import { recordObject } from "../json/record-object.ts";
import type { RecordHead } from "../model/record.ts";
import { RecordReducer, reduceRecord } from "./reduced-record.ts";

const LIMITS = { memberBytes: 60, recordBytes: 200 };

function textOf({ bytes, start, end }: ReturnType<RecordReducer["end"]>["body"]): string {
  return Buffer.from(bytes.subarray(start, end)).toString("utf8");
}

/** Pushes the record in pieces that are used again, as a spool gives them. */
function reduced(record: string, cuts: readonly number[], limits = LIMITS) {
  const reducer = new RecordReducer(limits);
  const bytes = Buffer.from(record);
  const ends = [...new Set(cuts.map((cut) => cut % bytes.length)), bytes.length].toSorted((a, b) => a - b);
  let from = 0;
  for (const end of ends) {
    const piece = Buffer.from(bytes.subarray(from, end));
    reducer.push(piece);
    piece.fill(0x22);
    from = end;
  }
  return reducer.end();
}

/** The same rule, said with the whole record at hand. */
function expected(members: readonly (readonly [string, unknown])[]) {
  const kept: string[] = [];
  const leftOut: unknown[] = [];
  for (const [name, value] of members) {
    const member = `${JSON.stringify(name)}:${JSON.stringify(value)}`;
    const fits =
      Buffer.byteLength(member) <= LIMITS.memberBytes &&
      Buffer.byteLength(`{${[...kept, member].join(",")}}`) <= LIMITS.recordBytes;
    if (fits) kept.push(member);
    else {
      const byteLength = Buffer.byteLength(JSON.stringify(value));
      leftOut.push({ name, byteLength, ...(Array.isArray(value) ? { elementCount: value.length } : {}) });
    }
  }
  return { text: withForbidden(`{${kept.join(",")}}`), leftOut };
}

/** What the scanner makes of characters that XML 1.0 forbids: their escapes. */
function withForbidden(text: string): string {
  return text.replaceAll("\ufffe", String.raw`\ufffe`).replaceAll("\uffff", String.raw`\uffff`);
}

const VALUES = fc.oneof(
  fc.jsonValue(),
  fc.string({
    unit: fc.constantFrom('"', "\\", "{", "}", "[", "]", ",", ":", "é", "😀", "\u2028", "\u0001"),
    maxLength: 40,
  }),
  fc.array(fc.jsonValue(), { maxLength: 20 }),
);

describe("a record that is too large", () => {
  test("keeps its small members unchanged and in order, and names and counts the others, wherever it is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.string({ unit: anyCharacter, maxLength: 8 }), VALUES), { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        (members, cuts) => {
          const record = `{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`;
          const { body, reduced: description } = reduced(record, cuts);
          const wanted = expected(members);
          expect(textOf(body)).toBe(wanted.text);
          expect(recordObject(body)).toEqual(JSON.parse(wanted.text));
          expect(description).toEqual({ byteLength: Buffer.byteLength(record), leftOut: wanted.leftOut });
        },
      ),
      { numRuns: 400 },
    );
  });

  test("keeps a character that XML 1.0 forbids as its escape", () => {
    expect(textOf(reduced('{"\ufffe":"\uffff"}', [2, 5]).body)).toBe(String.raw`{"\ufffe":"\uffff"}`);
  });

  test("names what is left out with escapes resolved, also where the name is nearly as large as a member may be", () => {
    const name = `n${"ä".repeat(20)}"`;
    const record = JSON.stringify({
      a: 1,
      [name]: "v".repeat(30),
      [`x${"y".repeat(500)}`]: [[1, 2], { b: [3, 4] }],
      z: 2,
    });
    const { body, reduced: description } = reduced(record, [1, 7, 30, 50, 80]);
    expect(recordObject(body)).toEqual({ a: 1, z: 2 });
    expect(description.leftOut).toEqual([
      { name, byteLength: 32 },
      { name: `x${"y".repeat(59)}`, byteLength: Buffer.byteLength('[[1,2],{"b":[3,4]}]'), elementCount: 2 },
    ]);
  });

  test("with many megabytes of evidence is held with its small members alone", async () => {
    const head: RecordHead = { kind: "alert", id: "huge", updated: 1n, service: "azureAtp" };
    const item = Buffer.from(`,{"n":"${"x".repeat(100_000)}"}`);
    async function* pieces() {
      yield Buffer.from('{"id":"huge","evidence":[0');
      for (let i = 0; i < 300; i++) yield item;
      yield Buffer.from('],"title":"Ransomware"}');
    }
    const record = await reduceRecord(head, pieces());
    expect(record).toMatchObject({ ...head, readable: true });
    expect(recordObject(record.body)).toEqual({ id: "huge", title: "Ransomware" });
    expect(record.body.bytes.buffer.byteLength).toBeLessThan(100_000);
    expect(record.reduced?.leftOut).toEqual([
      { name: "evidence", byteLength: 3 + 300 * item.length, elementCount: 301 },
    ]);
  });

  test("that ends early is refused", () => {
    const reducer = new RecordReducer();
    reducer.push(Buffer.from('{"id":"huge","ev'));
    expect(() => reducer.end()).toThrow(expect.objectContaining({ code: "bad-answer" }));
  });
});
