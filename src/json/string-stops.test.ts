import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { IN_STRING } from "./byte-classes.ts";
import { BLOCK_BYTES, type StopFinder, simdFinder, tableFinder } from "./string-stops.ts";

/** What one call looks at, byte by byte. */
function expected(chunk: Uint8Array, from: number): number[] {
  const end = Math.min(chunk.length, from + BLOCK_BYTES);
  const stops: number[] = [];
  for (let i = from; i < end; i++) if (IN_STRING[chunk[i]!] !== 0) stops.push(i);
  return [...stops, end];
}

function found({ stops, find }: StopFinder, chunk: Uint8Array, from: number): number[] {
  const end = find(chunk, from);
  return [...stops.subarray(0, stops.indexOf(end) + 1)];
}

test("on this processor the stops are found with WebAssembly", () => {
  expect(simdFinder()).toBeDefined();
});

describe.each([
  ["WebAssembly", simdFinder()!],
  ["the table", tableFinder()],
])("with %s", (_name, finder) => {
  test("each of the 256 bytes is a stop or none, at each place of a group", () => {
    const chunk = new Uint8Array(256 * 65);
    for (let i = 0; i < chunk.length; i++) chunk[i] = i % 65 === 0 ? i / 65 : 0x61;
    for (const from of [0, 1, 17, 63]) expect(found(finder, chunk, from)).toEqual(expected(chunk, from));
  });

  test("a block full of stops, and the bytes around a block's end, are found", () => {
    const chunk = new Uint8Array(2 * BLOCK_BYTES + 1).fill(0x22);
    for (const from of [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES])
      expect(found(finder, chunk, from)).toEqual(expected(chunk, from));
  });

  test("nothing of the bytes that were looked at before is found again", () => {
    found(finder, new Uint8Array(BLOCK_BYTES).fill(0x22), 0);
    expect(found(finder, new Uint8Array(1).fill(0x61), 0)).toEqual([1]);
    expect(found(finder, new Uint8Array(65).fill(0x61), 0)).toEqual([65]);
  });

  test("property: the stops of any bytes, from anywhere on, are those that the scanner's table names", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.string({ unit: "grapheme", maxLength: 300 }).map((text) => new TextEncoder().encode(JSON.stringify(text))),
    );
    fc.assert(
      fc.property(bytes, fc.nat(), (chunk, at) => {
        const from = chunk.length === 0 ? 0 : at % chunk.length;
        expect(found(finder, chunk, from)).toEqual(expected(chunk, from));
      }),
    );
  });
});
