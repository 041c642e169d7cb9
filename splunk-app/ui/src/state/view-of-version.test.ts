import { expect, test } from "@jest/globals";
import { viewOfVersion } from "./view-of-version.ts";

test.each([
  ["10.4.0", "defender_mssp"],
  ["10.10.1", "defender_mssp"],
  ["11.0", "defender_mssp"],
  ["10.3.9", "defender_mssp_classic"],
  ["9.4.0", "defender_mssp_classic"],
  ["", undefined],
  ["unknown", undefined],
])("Splunk %j has the pages in the view %j", (version, view) => {
  expect(viewOfVersion(version)).toBe(view);
});
