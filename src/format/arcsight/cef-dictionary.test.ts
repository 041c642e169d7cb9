import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { CEF_KEYS } from "./cef-dictionary.ts";

interface DictionaryRow {
  readonly key: string | null;
  readonly fullName: string;
  readonly type: string;
  readonly audience: string;
  readonly maxLength?: number;
  readonly maxLengthOtherScrape?: number;
  readonly maxLengthDevGuide?: number;
}

/** An event field that has no key of its own in the standard's list: its name is the key. */
const isOurs = (fullName: string): boolean => /^flexNumber1(?:Label)?$/.test(fullName);

test("every producer key has the full name, the type and the smallest size printed in the standard", () => {
  const { keys } = JSON.parse(
    readFileSync(new URL("../../../test/fixtures/cef/dictionary.json", import.meta.url), "utf8"),
  ) as {
    keys: DictionaryRow[];
  };
  const expected = keys
    .filter(({ key, fullName, audience }) => (key !== null && audience === "producer") || isOurs(fullName))
    .map(({ key, fullName, type, maxLength, maxLengthOtherScrape, maxLengthDevGuide }) => {
      const sizes = [maxLength, maxLengthOtherScrape, maxLengthDevGuide]
        .filter((size) => size !== undefined && size > 0)
        .map(Number);
      return [key ?? fullName, { fullName, type, max: sizes.length > 0 ? Math.min(...sizes) : 0 }];
    });
  expect(CEF_KEYS).toEqual(Object.fromEntries(expected));
});
