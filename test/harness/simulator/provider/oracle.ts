import { appRoles, type ServicePrincipal } from "../entra/principals.ts";
import type { Customer, World } from "../world.ts";
import { endAt, isBridge, type Provider, statusAt } from "./provider.ts";

/** What the provider did and left behind, for tests and for `GET /provider`. */
export interface ProviderView {
  readonly tenant_name: string;
  readonly tenant_id: string;
  /** Every request of the home app and the bridge, in order, without query and body. */
  readonly requests: readonly {
    readonly at: string;
    readonly app: "home" | "bridge";
    readonly tenant_name: string;
    readonly method: string;
    readonly path: string;
    readonly status: number;
  }[];
  /** Per tenant, how many requests changed something there. */
  readonly writes: Readonly<Record<string, number>>;
  /** Tenants in which the bridge still stands. */
  readonly bridge_left: readonly string[];
  readonly relationships: readonly {
    readonly id: string;
    readonly kind: string;
    readonly tenant_name: string;
    readonly name: string;
    readonly status: string;
    readonly ends: string;
  }[];
  /** The apps in each customer's tenant; null: not there. */
  readonly customers: readonly {
    readonly tenant_name: string;
    readonly tenant_id: string;
    readonly bridge: { readonly scopes: readonly string[]; readonly shows_at: string } | null;
    readonly reader: { readonly roles: readonly string[] } | null;
  }[];
}

/** The view of a scenario with a provider; undefined for one without. */
export function providerView(world: World): ProviderView | undefined {
  const { provider } = world;
  if (provider === undefined) return undefined;
  const nowMs = world.clock.nowMs();
  const { home, requests, relationships } = provider;
  const customers = [...world.customers.values()].filter((customer) => customer !== home);
  const changed = requests.filter(({ isWrite, status }) => isWrite && status >= 200 && status < 300);
  return {
    tenant_name: home.identity.name,
    tenant_id: home.identity.tenantId,
    requests: requests.map(({ atMs, app, tenant, method, path, status }) => ({
      at: textOf(atMs),
      app,
      tenant_name: tenant.identity.name,
      method,
      path,
      status,
    })),
    writes: Object.fromEntries(
      Object.entries(Object.groupBy(changed, ({ tenant }) => tenant.identity.name)).map(([name, all = []]) => [
        name,
        all.length,
      ]),
    ),
    bridge_left: customers
      .filter((customer) => bridgeIn(world, customer) !== undefined)
      .map(({ identity }) => identity.name),
    relationships: relationships.map((one) => ({
      id: one.id,
      kind: one.kind,
      tenant_name: one.customer.identity.name,
      name: one.name,
      status: statusAt(one, nowMs),
      ends: textOf(endAt(one, nowMs)),
    })),
    customers: customers.map((customer) => appsOf(world, provider, customer)),
  };
}

const bridgeIn = (world: World, { servicePrincipals }: Customer): ServicePrincipal | undefined =>
  [...servicePrincipals.values()].find(({ clientId }) => isBridge(world, clientId));

function appsOf(world: World, { apps }: Provider, customer: Customer): ProviderView["customers"][number] {
  const { identity, servicePrincipals } = customer;
  const bridge = bridgeIn(world, customer)?.delegated;
  const { clientId } = apps.reader;
  return {
    tenant_name: identity.name,
    tenant_id: identity.tenantId,
    bridge: bridge === undefined ? null : { scopes: bridge.scopes, shows_at: textOf(bridge.showsMs) },
    reader: servicePrincipals.has(clientId)
      ? { roles: (["graph", "xdr", "mde"] as const).flatMap((api) => appRoles(world, customer, clientId, api)) }
      : null,
  };
}

const textOf = (ms: number): string => new Date(ms).toISOString();
