import type { WorkloadIdentity } from "../entra/federation.ts";
import { guid } from "../identity.ts";
import type { ProviderAppName } from "../provider/provider.ts";
import type { World } from "../world.ts";
import { type Checked, ScenarioRefused } from "./check.ts";

const EXCHANGE_AUDIENCE = "api://AzureADTokenExchange";
const HOUR_MS = 3_600_000;

/** Puts one identity of a scenario into the world, with the federated credentials that trust it. */
export function addIdentity(world: World, given: Checked): void {
  const name = String(given["name"]);
  const isManaged = given["kind"] !== "platform";
  const text = (member: string, otherwise: string): string => (given[member] as string | undefined) ?? otherwise;
  const identity: WorkloadIdentity = {
    name,
    kind: isManaged ? "managed" : "platform",
    clientId: guid("identity client", name),
    issuer: isManaged
      ? `https://login.microsoftonline.com/${tenantIdOf(world, given["tenant"] as string | undefined)}/v2.0`
      : text("issuer", `https://oidc.example/${name}`),
    subject: isManaged ? guid("identity principal", name) : text("subject", `system:serviceaccount:siem:${name}`),
    audience: text("audience", EXCHANGE_AUDIENCE),
    lifetimeS: ((given["lifetime"] as number | undefined) ?? (isManaged ? 24 : 1) * HOUR_MS) / 1000,
    assigned: true,
  };
  world.identities.push(identity);
  const { issuer, subject, audience } = identity;
  for (const app of (given["trusted_by"] ?? []) as string[])
    world.federatedCredentials.push({ clientId: clientIdOf(world, app), issuer, subject, audience });
}

function tenantIdOf(world: World, name: string | undefined): string {
  const home = world.provider?.home;
  const [first] = world.customers.values();
  const tenant =
    name === undefined
      ? (home ?? first)
      : (world.customers.get(name) ?? (home?.identity.name === name ? home : undefined));
  if (tenant === undefined) throw new ScenarioRefused(`identities: there is no tenant "${name ?? ""}".`);
  return tenant.identity.tenantId;
}

function clientIdOf(world: World, app: string): string {
  const clientId =
    world.customers.get(app)?.identity.clientId ?? world.provider?.apps[app as ProviderAppName]?.clientId;
  if (clientId === undefined)
    throw new ScenarioRefused(
      `identities: there is no app "${app}"; expected a customer's name, or home, bridge or reader of a provider.`,
    );
  return clientId;
}

export function identityCalled(world: World, name: unknown): WorkloadIdentity {
  const identity = world.identities.find((one) => one.name === name);
  if (identity !== undefined) return identity;
  throw new ScenarioRefused(`There is no identity "${String(name)}"; add it under identities.`);
}

/** Takes an identity from the machine, gives it back, or changes how long its tokens are good. */
export function changeIdentity(world: World, given: Checked): Readonly<Record<string, unknown>> {
  const identity = identityCalled(world, given["identity"]);
  if (given["assigned"] !== undefined) identity.assigned = given["assigned"] as boolean;
  if (given["lifetime"] !== undefined) identity.lifetimeS = Number(given["lifetime"]) / 1000;
  return { assigned: identity.assigned, lifetime_seconds: identity.lifetimeS };
}
