import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { ESCAPE_AT_ONCE, LONGEST_ESCAPE, plainEscaper, type StringEscaper, simdEscaper } from "./string-escapes.ts";

/** As a text of one sign a byte, which is compared quickly. */
function expected(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => {
    if (byte < 0x20) return `\\u${byte.toString(16).padStart(4, "0")}`;
    return (byte === 0x22 || byte === 0x5c ? "\\" : "") + String.fromCharCode(byte);
  }).join("");
}

/** With other bytes before and behind, which must stay. */
function escaped({ escape }: StringEscaper, bytes: Uint8Array): string {
  const [before, behind] = [7, 9];
  const source = Buffer.concat([Buffer.alloc(before, 0x22), bytes, Buffer.alloc(behind, 0x22)]);
  const out = Buffer.alloc(before + bytes.length * LONGEST_ESCAPE + behind, 0xee);
  const end = escape(source, before, before + bytes.length, out, before);
  expect(out.subarray(0, before).equals(Buffer.alloc(before, 0xee))).toBe(true);
  expect(out.subarray(end).equals(Buffer.alloc(out.length - end, 0xee))).toBe(true);
  return out.toString("latin1", before, end);
}

test("on this processor strings are escaped with WebAssembly", () => {
  expect(simdEscaper()).toBeDefined();
});

describe.each([
  ["WebAssembly", simdEscaper()!],
  ["the loop", plainEscaper()],
])("with %s", (_name, escaper) => {
  test("each of the 256 bytes is written as JSON has it, at each place of a group", () => {
    const bytes = new Uint8Array(256 * 17);
    for (let i = 0; i < bytes.length; i++) bytes[i] = i % 17 === 0 ? i / 17 : 0x61;
    for (const from of [0, 1, 15]) expect(escaped(escaper, bytes.subarray(from))).toBe(expected(bytes.subarray(from)));
  });

  test("as many bytes as fit at once may all need the longest escape", () => {
    for (const byte of [0x00, 0x1f, 0x22, 0x61, 0xff])
      for (const length of [ESCAPE_AT_ONCE - 1, ESCAPE_AT_ONCE]) {
        const bytes = new Uint8Array(length).fill(byte);
        expect(escaped(escaper, bytes)).toBe(expected(bytes));
      }
  });

  test("nothing of the bytes that were escaped before is written again", () => {
    escaped(escaper, new Uint8Array(ESCAPE_AT_ONCE).fill(0x22));
    for (const length of [1, 15, 16, 17, 31]) {
      const bytes = new Uint8Array(length).fill(0x61);
      expect(escaped(escaper, bytes)).toBe("a".repeat(length));
    }
  });

  test("property: any bytes are written as JSON has them", () => {
    const telling = fc.constantFrom(0x00, 0x09, 0x0a, 0x1f, 0x20, 0x22, 0x5c, 0x7f, 0x80, 0xff);
    const bytes = fc.array(fc.oneof(telling, fc.integer({ min: 0, max: 255 })), { maxLength: 80 });
    fc.assert(
      fc.property(bytes, (given) => {
        const source = Uint8Array.from(given);
        expect(escaped(escaper, source)).toBe(expected(source));
      }),
    );
  });
});
