import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { ByteWriter } from "./byte-writer.ts";

const SIGNS = ['"', "\\", "\n", "\u0000", "\u001f", "\u007f", "a", " ", "é", "€", "😀", "</x>"];

test("what is written inside a JSON string is read back as the same text, however long it is", () => {
  const random = new FakeRandom(17);
  for (const length of [0, 1, 2, 8191, 8192, 8193, 20_000]) {
    const text = Array.from({ length }, () => SIGNS[Math.floor(random.next() * SIGNS.length)]).join("");
    const out = new ByteWriter(1);
    out.ascii('"');
    out.insideString(Buffer.from(text));
    out.ascii('"');
    expect(JSON.parse(out.toString())).toBe(text);
  }
});

test("inside a JSON string only quotation marks, backslashes and control characters are escaped", () => {
  const out = new ByteWriter();
  out.insideString(Buffer.from('{"a":"\\n/é\u007f"}\t'));
  expect(out.toString()).toBe('{\\"a\\":\\"\\\\n/é\u007f\\"}\\u0009');
});

test("inside a JSON string all other bytes stay as they are, also those that are not UTF-8", () => {
  const telling = fc.constantFrom(0x22, 0x5c, 0x00, 0x1f, 0x20, 0x7f, 0x80, 0xc0, 0xed, 0xa0, 0xe2, 0xa8, 0xff);
  const bytes = fc.array(fc.oneof(telling, fc.integer({ min: 0, max: 255 })), { maxLength: 60 });
  fc.assert(
    fc.property(bytes, fc.integer({ min: 8_150, max: 8_195 }), (given, before) => {
      const out = new ByteWriter(1);
      out.insideString(Buffer.from([...new Uint8Array(before).fill(0x61), ...given]));
      expect([...out.view().subarray(before)]).toEqual(given.flatMap(escaped));
    }),
  );
});

function escaped(byte: number): readonly number[] {
  if (byte < 0x20) return [...Buffer.from(`\\u${byte.toString(16).padStart(4, "0")}`)];
  return byte === 0x22 || byte === 0x5c ? [0x5c, byte] : [byte];
}

test("room is made for the longest escapes, beside what is written already", () => {
  const out = new ByteWriter(8);
  out.ascii("before ");
  out.insideString(new Uint8Array(9000));
  expect(out.toString()).toBe(`before ${"\\u0000".repeat(9000)}`);
});
