import type { CloudName } from "../model/cloud.ts";
import { CLOUDS } from "../model/cloud.ts";
import { Failure } from "../model/failure.ts";
import { ownEntry } from "../model/own-entry.ts";
import type { TenantFacts } from "./authority.ts";

/**
 * `tenant_region_sub_scope` of a tenant's open metadata. Source: Microsoft identity platform docs, "National
 * clouds"; values GCC, DODCON (GCC High), DOD.
 */
const BY_SUB_SCOPE: Readonly<Record<string, CloudName>> = { GCC: "gcc", DODCON: "gcc-high", DOD: "dod" };

/**
 * The cloud that a tenant belongs to by its own metadata; undefined when the metadata does not say (an
 * unknown instance, a simulator).
 */
export function cloudOf(facts: TenantFacts): CloudName | undefined {
  const named = ownEntry(BY_SUB_SCOPE, facts.regionSubScope);
  if (named) return named;
  if (facts.cloudInstance === "microsoftonline.us") return "gcc-high";
  return facts.cloudInstance === "microsoftonline.com" ? "commercial" : undefined;
}

/** Throws Failure `wrong-cloud` when the setting `cloud` differs from the tenant's own cloud. */
export function assertCloud(facts: TenantFacts, cloud: CloudName, customer: string): void {
  const real = cloudOf(facts);
  if (real === undefined || real === cloud) return;
  // The metadata of a US Government tenant may not say which of the two clouds it is in.
  if (facts.regionSubScope === undefined && real === "gcc-high" && cloud === "dod") return;
  throw new Failure("wrong-cloud", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: `The tenant of ${customer} is in the cloud ${real}, but the setting \`cloud\` is ${cloud}.`,
    nextStep: `Set \`cloud = ${real}\`${CLOUDS[real].loginUrl === CLOUDS[cloud].loginUrl ? "." : ", and use an app that is registered in that cloud."}`,
  });
}
