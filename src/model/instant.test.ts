import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import {
  formatInstant,
  msFromTicks,
  parseInstant,
  TICKS_PER_SECOND,
  ticksFromMs,
  ticksFromSeconds,
} from "./instant.ts";

describe("an instant keeps all seven digits whatever form it came in", () => {
  test.each([
    ["2026-11-24T16:05:58Z", "2026-11-24T16:05:58.0000000Z"],
    ["2026-11-24T16:05:58.0066667Z", "2026-11-24T16:05:58.0066667Z"],
    ["2026-11-24T16:05:58.29Z", "2026-11-24T16:05:58.2900000Z"],
    ["2026-11-24T16:05:58.123456789Z", "2026-11-24T16:05:58.1234567Z"],
    ["2026-11-24T16:05:58.1", "2026-11-24T16:05:58.1000000Z"],
    ["2026-11-24T16:05Z", "2026-11-24T16:05:00.0000000Z"],
    ["2026-11-24T18:05:58+02:00", "2026-11-24T16:05:58.0000000Z"],
    ["2026-11-24T11:05:58-0500", "2026-11-24T16:05:58.0000000Z"],
    ["1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.9999999Z"],
  ])("%s", (text, wanted) => {
    expect(formatInstant(parseInstant(text) as bigint)).toBe(wanted);
  });

  test.each([
    "",
    "yesterday",
    "2026-13-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-24T25:00:00Z",
    "2026-11-24",
    "0001-01-01T00:00:00Z",
  ])("%s is not an instant", (text) => expect(parseInstant(text)).toBeUndefined());

  test("no fraction sorts before a fraction, although its text sorts after it", () => {
    expect(parseInstant("2026-11-24T16:05:58Z")! < parseInstant("2026-11-24T16:05:58.0066667Z")!).toBe(true);
  });

  test("any tick survives the way to text and back", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -1_000_000_000_000_000n, max: 60_000_000_000_000_000n }), (ticks) => {
        expect(parseInstant(formatInstant(ticks))).toBe(ticks);
      }),
    );
  });

  test("any tick of the years 0 to 9999 is the sum of its seconds and its fraction, to the last digit", () => {
    const second = fc.integer({ min: -62_167_219_200, max: 253_402_300_799 });
    const fraction = fc.oneof(fc.constantFrom(0, 1, 9_999, 10_000, 9_999_999), fc.nat(9_999_999));
    fc.assert(
      fc.property(second, fraction, (seconds, ticksBelow) => {
        const ticks = BigInt(seconds) * TICKS_PER_SECOND + BigInt(ticksBelow);
        expect(ticksFromSeconds(seconds, ticksBelow)).toBe(ticks);
        expect(msFromTicks(ticks)).toBe(seconds * 1000 + Math.floor(ticksBelow / 10_000));
      }),
    );
  });

  test("milliseconds are rounded down, never up", () => {
    expect(msFromTicks(parseInstant("2026-11-24T16:05:58.9999999Z")!)).toBe(Date.UTC(2026, 10, 24, 16, 5, 58, 999));
    expect(ticksFromMs(1)).toBe(10_000n);
  });
});
