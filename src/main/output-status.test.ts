import { expect, test } from "@jest/globals";
import { Failure } from "../model/failure.ts";
import { outagesOf, outputStatuses } from "./output-status.ts";

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

test("an outage names the customers whose events wait, since when they do, who must act and what to do", () => {
  const failure = new Failure("output-unconfirmed", {
    actor: "operator",
    retry: { when: "later" },
    say: "It acknowledges nothing.",
    nextStep: "Check the queues.",
  });
  const down = { state: "down", failure, spooledBytes: 5, spoolLimitBytes: 9, waitingSinceMs: 0 } as const;
  const settings = [
    { name: "outputs[0]", type: "hec", tenants: ["contoso"] },
    { name: "outputs[1]", type: "kafka" },
    { name: "outputs[2]", type: "syslog" },
    { name: "outputs[3]", type: "hec" },
  ];
  const conditions = settings.map(({ name }, i) => ({
    output: { name },
    condition: i === 3 ? ({ ...down, state: "up" } as const) : down,
  }));
  const outage = {
    code: "output-unconfirmed",
    actor: "operator",
    say: "It acknowledges nothing. Events wait since 1970-01-01T00:00:00.000Z.",
    nextStep: "Check the queues.",
  };
  expect(outagesOf(conditions, settings)).toEqual([
    { output: "outputs[0]", customers: new Set(["contoso"]), ...outage },
    { output: "outputs[1]", ...outage },
  ]);
});
