import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { CEF_KEYS } from "./cef-dictionary.ts";

interface DictionaryRow {
  readonly key: string | null;
  readonly fullName: string;
  readonly type: string;
  readonly audience: string;
  readonly since: string | null;
  readonly maxLength?: number;
  readonly maxLengthOtherScrape?: number;
  readonly maxLengthDevGuide?: number;
}

/** An event field that has no key of its own in the standard's list: its name is the key. */
const isField = (fullName: string): boolean => /^flexNumber1(?:Label)?$/.test(fullName);
/** Of CEF 1.2 the keys that may be both read and set, without zones and other keys of connectors. */
const isOfVersion1 = ({ fullName, audience, since }: DictionaryRow): boolean =>
  since === "1.2" && audience === "both" && /^(?:threat|framework|reportedResource)/.test(fullName);

test("every producer key has the full name, the type and the smallest size printed in the standard", () => {
  const { keys } = JSON.parse(
    readFileSync(new URL("../../../test/fixtures/cef/dictionary.json", import.meta.url), "utf8"),
  ) as {
    keys: DictionaryRow[];
  };
  const expected = keys
    .filter((row) => (row.key !== null && row.audience === "producer") || isField(row.fullName) || isOfVersion1(row))
    .map(({ key, fullName, type, since, maxLength, maxLengthOtherScrape, maxLengthDevGuide }) => {
      const sizes = [maxLength, maxLengthOtherScrape, maxLengthDevGuide]
        .filter((size) => size !== undefined && size > 0)
        .map(Number);
      return [
        key ?? fullName,
        { fullName, type, max: sizes.length > 0 ? Math.min(...sizes) : 0, since: since === "1.2" ? 1 : 0 },
      ];
    });
  expect(CEF_KEYS).toEqual(Object.fromEntries(expected));
});
