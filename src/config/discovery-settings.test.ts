import { describe, expect, test } from "@jest/globals";
import { parseStanzas } from "./settings.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";

function parsed(globals: Readonly<Record<string, string>>) {
  const customer = { name: "contoso", values: { tenant_id: TENANT, credential: "mssp", auth: "app" } };
  const { discovery, problems, stanzas } = parseStanzas([customer], { host: "arcsight", nowMs: 0, globals });
  return { discovery, said: problems.map(({ key, say }) => `${key} ${say}`), customers: stanzas.length };
}

describe("discover", () => {
  test("is off without a word when it is not set", () => {
    expect(parsed({})).toEqual({ discovery: undefined, said: [], customers: 1 });
  });

  test("announces hourly unless more is set", () => {
    expect(parsed({ discover: "GDAP", discover_credential: "home" })).toEqual({
      discovery: { source: "gdap", credential: "home", mode: "announce", exclude: [], everyHours: 1 },
      said: [],
      customers: 1,
    });
  });

  test("reads everything that belongs to it", () => {
    expect(
      parsed({
        discover: "governance",
        discover_credential: "home",
        discover_mode: "enrol",
        discover_match: "role:5d6b6bb7-de71-4623-b4af-96380a352509",
        discover_exclude: `Fabrikam, ${TENANT}`,
        discover_defaults: "contoso",
        discover_hours: "24",
      }).discovery,
    ).toEqual({
      source: "governance",
      credential: "home",
      mode: "enrol",
      match: "role:5d6b6bb7-de71-4623-b4af-96380a352509",
      exclude: ["Fabrikam", TENANT],
      defaults: "contoso",
      everyHours: 24,
    });
  });

  test("takes a file without a credential", () => {
    expect(parsed({ discover: "file: /etc/customers.csv" }).discovery).toEqual({
      source: "file",
      listFile: "/etc/customers.csv",
      mode: "announce",
      exclude: [],
      everyHours: 1,
    });
  });

  test.each<[string, Readonly<Record<string, string>>, string]>([
    ["an unknown source", { discover: "azure" }, "discover contains characters that are not allowed"],
    ["no home app", { discover: "gdap" }, "discover_credential is missing although discover is gdap"],
    [
      "the app that customers know as home app",
      { discover: "gdap", discover_credential: "mssp" },
      "discover_credential is also the credential of contoso",
    ],
    ["a home app for a file", { discover: "file:x", discover_credential: "home" }, "discover_credential is not used"],
    ["a match for a file", { discover: "file:x", discover_match: "CIPP*" }, "discover_match looks at relationships"],
    [
      "enrolment without a model",
      { discover: "gdap", discover_credential: "home", discover_mode: "enrol" },
      "discover_defaults is missing although discover_mode is enrol",
    ],
    ["a role that is not a GUID", { discover: "gdap", discover_match: "role:reader" }, "discover_match contains"],
    ["a pause below an hour", { discover: "gdap", discover_hours: "0" }, "discover_hours"],
    ["a mode alone", { discover_mode: "enrol" }, "discover_mode is set, but discover is not"],
    ["a credential alone", { discover_credential: "home" }, "discover_credential is set, but discover is not"],
  ])("says what is wrong with %s, and customers are collected all the same", (_, globals, says) => {
    const { said, customers } = parsed(globals);
    expect(said.join("\n")).toContain(says);
    expect(customers).toBe(1);
  });
});
