import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { parseInstant } from "../model/instant.ts";
import { parseInstantBytes } from "./instant-bytes.ts";

const viaBytes = (text: string): bigint | undefined => {
  const bytes = new TextEncoder().encode(`"${text}"`);
  return parseInstantBytes(bytes, 1, bytes.length - 1);
};

const two = (max: number) => fc.nat(max).map((n) => String(n).padStart(2, "0"));

test("the fast reader of instants agrees with the exact reader on every form", () => {
  const near = fc
    .tuple(
      fc.nat(10_000).map((n) => String(n).padStart(4, "0")),
      two(14),
      two(33),
      two(25),
      two(61),
      two(61),
      fc.constantFrom("", ".", ".1", ".29", ".0066667", ".123456789", ".x"),
      fc.constantFrom("Z", "z", "", "+02:00", "-0500", " Z"),
    )
    .map(([y, mo, d, h, mi, s, f, z]) => `${y}-${mo}-${d}T${h}:${mi}:${s}${f}${z}`);
  const valid = fc
    .tuple(
      fc.date({ min: new Date("0100-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true }),
      fc.nat(9_999_999),
      fc.nat(9),
    )
    .map(
      ([date, fraction, digits]) =>
        `${date.toISOString().slice(0, 19)}${digits === 0 ? "" : `.${String(fraction).padStart(7, "0").slice(0, digits)}`}Z`,
    );
  fc.assert(
    fc.property(fc.oneof(valid, near, fc.string()), (text) => {
      expect(viaBytes(text)).toBe(parseInstant(text));
    }),
    { numRuns: 5000 },
  );
});

test("the fast reader of instants reads a fraction of any length", () => {
  expect(viaBytes(`2026-11-24T16:05:58.${"1".repeat(300)}Z`)).toBe(parseInstant("2026-11-24T16:05:58.1111111Z"));
});
