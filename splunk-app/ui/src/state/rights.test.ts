import { describe, expect, test } from "@jest/globals";
import { ADDS, CAPABILITIES, missingOf, missingSentence, type Person } from "./rights.ts";

const person = (capabilities: readonly string[], roles: readonly string[] = ["user"]): Person => ({
  user: "somebody",
  roles,
  capabilities,
});

describe("what a person may do on the pages", () => {
  test("is what the capabilities of the roles say", () => {
    expect(missingOf(person(["admin_all_objects", "edit_storage_passwords"]), ADDS)).toEqual([]);
    expect(missingOf(person(["admin_all_objects"]), ADDS)).toEqual(["edit_storage_passwords"]);
    expect(missingOf(person([]), ADDS)).toEqual(ADDS);
  });

  test("is left to splunkd where nobody knows, and for the administrator of Splunk Cloud", () => {
    expect(missingOf(undefined, ADDS)).toEqual([]);
    expect(missingOf(person([], ["sc_admin"]), ADDS)).toEqual([]);
  });

  test("is said with what it is for and who can grant it, and nothing is said where nothing is missing", () => {
    expect(missingSentence(person(["admin_all_objects"]), ADDS)).toBe(
      "Your roles lack: edit_storage_passwords (add an input, and hand a typed secret to it). Ask an administrator of Splunk for this, or for the role admin or sc_admin. This page shows what you may see.",
    );
    expect(missingSentence(person(CAPABILITIES.map(([one]) => one)), ADDS)).toBe("");
  });
});
