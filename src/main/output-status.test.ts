import { expect, test } from "@jest/globals";
import { outputStatuses } from "./output-status.ts";

test("an output's status has its type, its state, and the size and age of what waits for it", () => {
  const conditions = [
    {
      output: { name: "outputs[0]" },
      condition: { state: "down", spooledBytes: 5, spoolLimitBytes: 9, waitingSinceMs: 1_000 },
    },
    { output: { name: "outputs[1]" }, condition: { state: "up", spooledBytes: 0, spoolLimitBytes: 0 } },
    {
      output: { name: "outputs[2]" },
      condition: { state: "up", spooledBytes: 7, spoolLimitBytes: 9, unconfirmed: 3, rejected: 2 },
    },
  ] as const;
  const settings = [
    { name: "outputs[0]", type: "syslog" },
    { name: "outputs[1]", type: "cef-file" },
    { name: "outputs[2]", type: "hec" },
  ];
  const rest = { unconfirmed: null, rejected: 0 };
  expect(outputStatuses(conditions, settings, 62_400)).toEqual([
    { name: "outputs[0]", type: "syslog", state: "down", spoolBytes: 5, oldestS: 61, ...rest },
    { name: "outputs[1]", type: "cef-file", state: "up", spoolBytes: 0, oldestS: null, ...rest },
    { name: "outputs[2]", type: "hec", state: "up", spoolBytes: 7, oldestS: null, unconfirmed: 3, rejected: 2 },
  ]);
});
