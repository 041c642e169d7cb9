import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { spelled } from "./spelling.ts";

const { enums } = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/graph-metadata/security-schema.json", import.meta.url), "utf8"),
) as { readonly enums: Readonly<Record<string, readonly string[]>> };

test.each([
  ["status", "alertStatus"],
  ["status", "incidentStatus"],
  ["classification", "alertClassification"],
  ["determination", "alertDetermination"],
  ["detectionSource", "detectionSource"],
  ["investigationState", "investigationState"],
  ["verdict", "evidenceVerdict"],
  ["detectionStatus", "detectionStatus"],
  ["remediationStatus", "evidenceRemediationStatus"],
  ["deliveryAction", "teamsMessageDeliveryAction"],
] as const)("of %s every member of Graph's %s has Graph's spelling", (member, name) => {
  const words = enums[name]!.filter((word) => word !== "unknownFutureValue");
  expect(words.length).toBeGreaterThan(2);
  for (const word of words) {
    const first = word.charAt(0).toUpperCase() + word.slice(1);
    expect([word, first, word.toUpperCase()].map((one) => spelled(member, one))).toEqual([word, word, word]);
  }
});

test("a word that no enumeration has stays as it was received", () => {
  expect(spelled("status", "Something New")).toBe("Something New");
  expect(spelled("status", "constructor")).toBe("constructor");
  expect(spelled("status", undefined)).toBeUndefined();
});
