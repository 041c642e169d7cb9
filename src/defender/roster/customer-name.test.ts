import { describe, expect, test } from "@jest/globals";
import { wrongName } from "../../config/customer-list.ts";
import { cleanedName, uniqueName } from "./customer-name.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";

describe("a name from outside", () => {
  test.each([
    ["Contoso Ltd.", "Contoso Ltd."],
    ["  Söhne &  O'Brien (Zürich)  ", "Söhne & O'Brien (Zürich)"],
    ["株式会社 例", "株式会社 例"],
    ["=1+1", "1 1"],
    ["--config", "config"],
    ["@SUM(A1)", "SUM(A1)"],
    ["a\u0000b\u001b[31mc", "a b 31mc"],
    ["<script>alert(1)</script>", "script alert(1) script"],
    ["x\u202egpj.exe", "x gpj.exe"],
    ['a"; reboot #', "a reboot"],
    ["$HOME `id` \\ %PATH%", "HOME id PATH"],
    ["../../etc/passwd", "etc passwd"],
    ["\u0301leading accent", "leading accent"],
    ["\u200b\u200d", ""],
    ["!!!", ""],
    ["e\u0301", "é"],
  ])("%j is used as %j", (listed, cleaned) => {
    expect(cleanedName(listed)).toBe(cleaned);
  });

  test("of 200 characters is cut, and no letter is cut in half", () => {
    expect(Array.from(cleanedName("𝒜".repeat(200)))).toHaveLength(100);
    expect(cleanedName("𝒜".repeat(200)).isWellFormed()).toBe(true);
  });

  test("is always one that a list of customers may hold", () => {
    for (const listed of ["=x", "a]b[c", "+", "A".repeat(500), "𝒜".repeat(500), "a\u00a0b"]) {
      const name = uniqueName(cleanedName(listed), TENANT, new Set());
      expect([listed, wrongName(name)]).toEqual([listed, undefined]);
    }
  });
});

describe("two customers of one name", () => {
  test("differ by the beginning of their GUID, whatever the case of their letters", () => {
    expect(uniqueName("Contoso", TENANT, new Set())).toBe("Contoso");
    expect(uniqueName("Contoso", TENANT, new Set(["contoso"]))).toBe("Contoso 11111111");
    expect(uniqueName("Contoso", TENANT, new Set(["contoso", "contoso 11111111"]))).toBe(`Contoso ${TENANT}`);
  });

  test("a customer without a readable name is called by its GUID", () => {
    expect(uniqueName("", TENANT, new Set())).toBe(TENANT);
  });
});
