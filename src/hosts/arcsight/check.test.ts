import { expect, test } from "@jest/globals";
import { Failure } from "../../model/failure.ts";
import { checkTable, failedLine, goodLine } from "./check.ts";

test("in the table of `check` what is wrong and what to do stay two sentences", () => {
  const failure = (say: string) =>
    new Failure("settings", { actor: "operator", retry: { when: "never" }, say, nextStep: "Correct it." });
  const lines = [
    goodLine("a", "b", "signed in"),
    failedLine("a", "b", failure("type: is missing")),
    failedLine("a", "b", failure("It broke.")),
  ];

  expect(checkTable(lines).split("\n")).toEqual([
    "ok      a  b  signed in",
    "FAILED  a  b  type: is missing. Correct it.",
    "FAILED  a  b  It broke. Correct it.",
    "",
  ]);
});
