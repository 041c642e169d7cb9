import { expect, test } from "@jest/globals";
import { compare, findingsOf } from "./findings.ts";

const report = {
  reports: [
    {
      groups: [
        {
          checks: [
            { name: "check_a", result: "success", messages: [] },
            { name: "check_b", result: "failure", messages: [{ message: "x86 inside" }] },
          ],
        },
        {
          checks: [
            { name: "check_c", result: "not_applicable" },
            { name: "check_d", result: "warning", messages: [] },
          ],
        },
      ],
    },
  ],
};

test("every check that did not pass is a finding with its message", () => {
  expect(findingsOf(report)).toEqual([
    { check: "check_b", result: "failure", messages: ["x86 inside"] },
    { check: "check_d", result: "warning", messages: [] },
  ]);
});

test("a report without checks is refused", () => {
  expect(() => findingsOf({ reports: [{ groups: [] }] })).toThrow("no checks");
});

test("a new finding fails, and so does an expected one that no longer occurs or got worse", () => {
  const expected = [
    { check: "check_b", result: "warning", reason: "was milder" },
    { check: "check_d", result: "warning", reason: "stays" },
  ];

  const { unexpected, gone } = compare(findingsOf(report), expected);

  expect(unexpected.map(({ check }) => check)).toEqual(["check_b"]);
  expect(gone.map(({ check }) => check)).toEqual(["check_b"]);
});
