import { expect, test } from "@jest/globals";
import { judgeAudit } from "./advisories.ts";

/** The shape of npm 11's `npm audit --json` (audit report version 2). */
const answer = JSON.stringify({
  auditReportVersion: 2,
  vulnerabilities: {
    inner: {
      name: "inner",
      via: [{ source: 1, name: "inner", title: "reads too far", url: "https://github.com/advisories/GHSA-aaaa" }],
    },
    outer: { name: "outer", via: ["inner"] },
  },
});
const ACCEPTED = { id: "GHSA-aaaa", package: "inner", reason: "is not shipped" };

test("an advisory is named once, at the package that has it", () => {
  expect(judgeAudit(answer, [])).toEqual(["inner has GHSA-aaaa: reads too far"]);
});

test("an accepted advisory is not a finding, and the same one of another package is", () => {
  expect(judgeAudit(answer, [ACCEPTED])).toEqual([]);
  expect(judgeAudit(answer, [{ ...ACCEPTED, package: "outer" }])).toEqual([
    "inner has GHSA-aaaa: reads too far",
    "outer no longer has GHSA-aaaa: remove it from scripts/package/advisories.json",
  ]);
});

test.each(['{"message":"405 Method Not Allowed","statusCode":405}', "", "<html>"])(
  "the answer of a registry without advisories is not a pass: %s",
  (silent) => {
    expect(judgeAudit(silent, [ACCEPTED])).toBeUndefined();
  },
);
