import { describe, expect, test } from "@jest/globals";
import type { CloudName } from "../model/cloud.ts";
import type { Failure } from "../model/failure.ts";
import type { TenantId } from "../model/tenant.ts";
import { assertCloud } from "./cloud-match.ts";
import { certificateWarning } from "./credential-check.ts";

const facts = (cloudInstance: string | undefined, regionSubScope: string | undefined) => ({
  tenantId: "x" as TenantId,
  cloudInstance,
  regionSubScope,
});

describe("a tenant of another cloud than the setting's is recognised by its own metadata", () => {
  test.each<[string | undefined, string | undefined, CloudName, CloudName | undefined]>([
    ["microsoftonline.com", undefined, "commercial", undefined],
    ["microsoftonline.com", "GCC", "gcc", undefined],
    ["microsoftonline.us", "DODCON", "gcc-high", undefined],
    ["microsoftonline.us", "DOD", "dod", undefined],
    ["microsoftonline.us", undefined, "dod", undefined],
    [undefined, undefined, "dod", undefined],
    ["microsoftonline.com", "GCC", "commercial", "gcc"],
    ["microsoftonline.us", "DODCON", "commercial", "gcc-high"],
    ["microsoftonline.com", undefined, "gcc-high", "commercial"],
    ["microsoftonline.us", "DOD", "gcc-high", "dod"],
  ])("instance %s, sub-scope %s, setting %s: %s", (instance, subScope, setting, real) => {
    const check = (): string => {
      try {
        assertCloud(facts(instance, subScope), setting, "Contoso");
        return "the same";
      } catch (error) {
        return (error as Failure).say;
      }
    };
    expect(check()).toBe(
      real === undefined
        ? "the same"
        : `The tenant of Contoso is in the cloud ${real}, but the setting \`cloud\` is ${setting}.`,
    );
  });
});

test.each([
  [61, undefined],
  [60, "ends in 60 days"],
  [31, "ends in 31 days"],
  [7, "ends in 7 days"],
  [1, "ends in 1 day."],
])("a certificate with %d days left is warned about: %s", (days, words) => {
  expect(certificateWarning(days * 86_400_000, 0) ?? "no warning").toContain(words ?? "no warning");
});
