import { expect, test } from "@jest/globals";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { ByteWriter } from "./byte-writer.ts";

const SIGNS = ['"', "\\", "\n", "\u0000", "\u001f", "\u007f", "a", " ", "é", "€", "😀", "</x>"];

test("what is written inside a JSON string is read back as the same text, however long it is", () => {
  const random = new FakeRandom(17);
  for (const length of [0, 1, 2, 4095, 4096, 4097, 9000]) {
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

test("room is made for the longest escapes, beside what is written already", () => {
  const out = new ByteWriter(8);
  out.ascii("before ");
  out.insideString(new Uint8Array(5000));
  expect(out.toString()).toBe(`before ${"\\u0000".repeat(5000)}`);
});
