import { expect, test } from "@jest/globals";
import { decodedText, encodingOf } from "./text-encoding.ts";

const TEXT = "[defender_mssp://Müller]\r\ntenant_name = 日本 𝔐\r\n";
const BOM = "\uFEFF";

function utf16(text: string, order: "le" | "be"): Buffer {
  const bytes = Buffer.from(text, "utf16le");
  return order === "be" ? bytes.swap16() : bytes;
}

test.each([
  ["UTF-8", Buffer.from(TEXT), "utf-8"],
  ["UTF-8 with a byte order mark", Buffer.from(BOM + TEXT), "utf-8"],
  ["UTF-16, little-endian, with a byte order mark", utf16(BOM + TEXT, "le"), "utf-16le"],
  ["UTF-16, big-endian, with a byte order mark", utf16(BOM + TEXT, "be"), "utf-16be"],
  ["UTF-16, little-endian, without one", utf16(TEXT, "le"), "utf-16le"],
  ["UTF-16, big-endian, without one", utf16(TEXT, "be"), "utf-16be"],
] as const)("a file saved as %s is read as it was typed", (_, bytes, encoding) => {
  const before = Buffer.from(bytes);
  expect(encodingOf(bytes)).toBe(encoding);
  expect(decodedText(bytes)).toBe(TEXT);
  expect(bytes).toEqual(before);
});

test("half a character at the end of a UTF-16 file spoils nothing before it", () => {
  expect(decodedText(utf16(`${BOM}abc`, "le").subarray(0, 7))).toMatch(/^ab/);
});

test.each([[""], ["a"], ["ab"]])("the short file %j is UTF-8", (text) => {
  expect(decodedText(Buffer.from(text))).toBe(text);
});
