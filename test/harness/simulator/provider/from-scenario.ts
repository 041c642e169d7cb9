import { type Checked, ScenarioRefused } from "../scenario/check.ts";
import type { World } from "../world.ts";
import { makeProvider, type Provider, type RelationshipRule, relate, type Span } from "./provider.ts";
import { ROLE_TEMPLATES, roleTemplateId } from "./roles.ts";

/**
 * Puts a scenario's provider into the world.
 * @param namesOf the customers behind a name: those with a count are many.
 */
export function applyProvider(
  world: World,
  given: Checked,
  namesOf: (name: string) => readonly string[],
  baseMs: number,
): void {
  const provider = makeProvider(world.addTenant(String(given["tenant"])));
  world.provider = provider;
  if (given["home_roles"] !== undefined) provider.homeRoles = given["home_roles"] as string[];
  if (given["governance"] !== undefined) provider.governance = given["governance"] as Provider["governance"];
  if (given["page_max"] !== undefined) provider.pageMax = given["page_max"] as number;
  if (given["consent_delay"] !== undefined) provider.consentDelay = given["consent_delay"] as Span;
  if (given["requests_per_second"] !== undefined) provider.requestsPerSecond = given["requests_per_second"] as number;
  if (given["principal_delay"] !== undefined) provider.principalDelay = given["principal_delay"] as Span;
  if (given["role_delay"] !== undefined) provider.roleDelay = given["role_delay"] as Span;
  applyUser(provider, (given["user"] ?? {}) as Checked);
  for (const rule of (given["relationships"] ?? []) as Checked[]) {
    const names = (rule["customer"] as string[]).flatMap(namesOf);
    for (const name of names) {
      const customer = world.customers.get(name);
      if (customer === undefined)
        throw new ScenarioRefused(`provider.relationships: there is no customer "${name}"; add it under customers.`);
      relate(provider, customer, { ...relationshipRule(rule), new: true }, baseMs);
    }
  }
}

/** Changes the person who signs in for the provider; what is not said stays as it is. */
export function applyUser({ user }: Provider, given: Checked): Readonly<Record<string, unknown>> {
  if (given["mfa"] !== undefined) user.mfa = given["mfa"] as boolean;
  if (given["groups"] !== undefined) user.groups = given["groups"] as string[];
  return { mfa: user.mfa, groups: user.groups };
}

/** A rule with its roles as template ids. */
export function relationshipRule(given: Checked): RelationshipRule {
  const { roles, ...rest } = given as RelationshipRule;
  if (roles === undefined) return rest;
  return {
    ...rest,
    roles: roles.map((role) => {
      const id = roleTemplateId(role);
      if (id !== undefined) return id;
      throw new ScenarioRefused(
        `roles: there is no role "${role}"; expected a template id or one of ${Object.keys(ROLE_TEMPLATES).join(", ")}.`,
      );
    }),
  };
}
