import { expect, test } from "@jest/globals";
import { Failure } from "../../model/failure.ts";
import { checkTable, failedLine, goodLine, settingsLines } from "./check.ts";
import { readArcSightConfig } from "./configuration.ts";

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

test("`check` names a warning as a warning, not as a check that passed", () => {
  const config = readArcSightConfig(
    Buffer.from(
      [
        "tenants[0].tenant_id=11111111-2222-3333-4444-555555555555",
        "tenants[0].client_id=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "outputs[0].type=json-lines",
        "outputs[0].path=/out/a.json",
        "outputs[0].framing=octet",
        "",
      ].join("\n"),
    ),
    "helper.properties",
    { nowMs: 0, secrets: { file: () => undefined, env: () => undefined, credential: () => undefined } },
  );
  const rows = checkTable(settingsLines(config)).split("\n");
  expect(rows.find((row) => row.includes("framing does not apply"))).toMatch(/^warn {4}settings {2}warning /);
  expect(rows.filter((row) => row.startsWith("ok"))).toEqual([expect.stringMatching("valid: 1 customer, 1 output")]);
});
