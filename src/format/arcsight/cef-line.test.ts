import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { readCef } from "../../../test/contracts/strict-cef.ts";
import { anyCharacter } from "../../../test/harness/any-character.ts";
import { CEF_KEYS, type CefKey } from "./cef-dictionary.ts";
import {
  CEF_LINE_MAX_BYTES,
  type CefHeader,
  type CefPair,
  cefIdentifier,
  cefLine,
  cefText,
  cutText,
  fittedCefLine,
} from "./cef-line.ts";

interface Case {
  readonly id: string;
  readonly version: 0 | 1;
  readonly header: CefHeader;
  readonly extension: readonly (readonly [string, string])[];
  readonly line: string;
}
const { cases } = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/cef/escaping-cases.json", import.meta.url), "utf8"),
) as {
  cases: Case[];
};
const HEADER: CefHeader = {
  deviceVendor: "V",
  deviceProduct: "P",
  deviceVersion: "1",
  deviceEventClassId: "c",
  name: "n",
  severity: "5",
};

test.each(cases.map((c) => [c.id, c] as const))(
  "a CEF line keeps the standard's rule: %s",
  (_id, { header, extension, version, line }) => {
    expect(cefLine({ ...header, version }, extension)).toBe(line);
  },
);

describe("the sizes of CEF fields", () => {
  test("truncate text between characters and say so, replace an identifier by its hash, and never change a date", () => {
    expect(cutText("abcdef", 4)).toBe("abc…");
    expect(cutText("ab😀def", 4)).toBe("ab…");
    expect(cefIdentifier("x".repeat(40), 40)).toBe("x".repeat(40));
    expect(cefIdentifier("x".repeat(41), 40)).toMatch(/^sha256:[0-9a-f]{32}$/);
  });

  test("truncate msg first and never an identifier in a line that would be too long", () => {
    const pairs: CefPair[] = [
      { key: "externalId", value: "i".repeat(40) },
      { key: "cs6", value: "s".repeat(3500), label: "SHA-256" },
      { key: "cs1", value: "t".repeat(4000), label: "Threat Name", cutOrder: 3 },
      { key: "msg", value: "m".repeat(1000), cutOrder: 1 },
    ];
    const line = fittedCefLine(HEADER, pairs);
    const { extension } = readCef(line);
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(CEF_LINE_MAX_BYTES);
    expect(extension.get("externalId")).toBe("i".repeat(40));
    expect(extension.get("cs6")).toBe("s".repeat(3500));
    expect(extension.get("cs1")).toBe("t".repeat(4000));
    expect(extension.get("msg")).toMatch(/^m+…$/);
  });

  test("replace an identifier that does not fit by its hash", () => {
    const { extension } = readCef(fittedCefLine(HEADER, [{ key: "externalId", value: "i".repeat(41) }]));
    expect(extension.get("externalId")).toBe(cefIdentifier("i".repeat(41), 40));
  });

  test("remove the label of a value that is removed", () => {
    const full: CefPair[] = [
      { key: "cs6", value: "s".repeat(3990), label: "A" },
      { key: "cs5", value: "s".repeat(3890), label: "B" },
      { key: "cs1", value: "t".repeat(900), label: "Threat Name", cutOrder: 1 },
    ];
    expect(Array.from(readCef(fittedCefLine(HEADER, full)).extension.keys())).toEqual([
      "cs6",
      "cs6Label",
      "cs5",
      "cs5Label",
    ]);
  });

  test("property: any text in any field gives a line that a strict reader accepts, in size, with the values it was given", () => {
    const keys = Object.keys(CEF_KEYS).filter(
      (key) => !key.endsWith("Label") && CEF_KEYS[key as CefKey].type === "string",
    ) as CefKey[];
    const text = fc.oneof(
      fc.string({ unit: anyCharacter, maxLength: 40 }),
      fc
        .tuple(fc.constantFrom("漢", "\\", "=", "\n", "😀", "a ", "x"), fc.constantFrom(10, 700, 5000))
        .map(([s, n]) => s.repeat(n)),
    );
    const pairs = fc.uniqueArray(fc.tuple(fc.constantFrom(...keys), text, fc.integer({ min: 1, max: 9 })), {
      maxLength: 40,
      selector: ([key]) => key,
    });
    fc.assert(
      fc.property(pairs, text, (given, name) => {
        const line = fittedCefLine(
          { ...HEADER, name: `x${name}` },
          given.map(([key, value, cutOrder]) => ({ key, value, cutOrder })),
        );

        const read = readCef(line);

        expect(Buffer.byteLength(line)).toBeLessThanOrEqual(CEF_LINE_MAX_BYTES);
        expect(read.header[4]!.length).toBeLessThanOrEqual(512);
        for (const [key, value] of given) {
          const got = read.extension.get(key) ?? "";
          const { max } = CEF_KEYS[key];
          expect(max === 0 || got.length <= max).toBe(true);
          const whole = cefText(value);
          expect(got === whole || got === "" || (got.endsWith("…") && whole.startsWith(got.slice(0, -1)))).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});
