import { type Budget, makeBudget } from "../budgets.ts";
import type { Secret } from "../entra/apps.ts";
import { assignRole, principalIn } from "../entra/principals.ts";
import { clientSecret, guid, SHARED_APP } from "../identity.ts";
import { seededRandom } from "../seeded-random.ts";
import type { Customer, World } from "../world.ts";
import type { NotedRequest } from "./journal.ts";

/** One of the provider's three apps, registered in its home tenant. */
export interface ProviderApp {
  readonly clientId: string;
  readonly secrets: Secret[];
}

/**
 * `home` lists the customers and lives in the home tenant alone; `bridge` may grant roles while somebody uses
 * it; `reader` reads alerts in the customers' tenants.
 */
export type ProviderAppName = "home" | "bridge" | "reader";

export const GDAP_STATES = [
  "created",
  "approvalPending",
  "approved",
  "activating",
  "active",
  "expiring",
  "expired",
  "terminationRequested",
  "terminating",
  "terminated",
] as const;

export const GOVERNANCE_STATES = ["active", "terminated", "terminationRequestedByGoverningTenant"] as const;

export type RelationshipKind = "gdap" | "governance";

/** GDAP or Entra Tenant Governance between the provider and one customer. */
export interface Relationship {
  readonly id: string;
  readonly kind: RelationshipKind;
  readonly customer: Customer;
  name: string;
  status: string;
  /** Template ids of the directory roles. */
  roles: readonly string[];
  readonly createdMs: number;
  modifiedMs: number;
  endMs: number;
  autoExtend: boolean;
  /** False: it exists, but the lists leave it out. */
  listed: boolean;
  /** The provider's group that holds the roles; undefined: every user of the provider is in it. */
  group: string | undefined;
  /** Apps that governance provisions with their roles. */
  apps: readonly ProviderAppName[];
  /** The other way round: the customer governs the provider. */
  governsProvider: boolean;
}

/** A range of milliseconds; each use draws from it. */
export type Span = readonly [from: number, to: number];

/** A managed security provider: its home tenant, its apps and user, and its relationships with customers. */
export interface Provider {
  readonly home: Customer;
  readonly apps: Readonly<Record<ProviderAppName, ProviderApp>>;
  /** Application permissions of Graph that the home tenant granted to the home app. */
  homeRoles: readonly string[];
  /** Whether the tenant has Tenant Governance: without it Graph answers 404, without its licence 400. */
  governance: "available" | "absent" | "unlicensed";
  /** How long after its making a consent of the bridge shows, and a role stands in the reader's tokens. */
  consentDelay: Span;
  roleDelay: Span;
  /** How long after its making a service principal is known by its id. */
  principalDelay: Span;
  /** The lists never hold more rows on a page, whatever `$top` asks for. */
  pageMax: number | undefined;
  readonly user: { readonly name: string; mfa: boolean; groups: readonly string[] };
  readonly relationships: Relationship[];
  /** How many requests Partner Center takes in any second. */
  requestsPerSecond: number;
  readonly partnerCenterBudget: Budget;
  /** What the home app and the bridge asked for, in order. */
  readonly requests: NotedRequest[];
}

const DAY_MS = 86_400_000;
const EXTENSION_MS = 180 * DAY_MS;

/** Permissions of the home app unless a scenario says otherwise. */
export const HOME_ROLES: readonly string[] = [
  "DelegatedAdminRelationship.Read.All",
  "TenantGovernance-Relationship.Read.All",
];

/** Delegated permissions of Graph that the bridge has for the provider's user. */
export const BRIDGE_SCOPES: readonly string[] = ["Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All"];

/** Application permissions of Graph that the reader app needs. */
export const READER_ROLES: readonly string[] = ["SecurityAlert.Read.All", "SecurityIncident.Read.All"];

export function makeProvider(home: Customer): Provider {
  const { name } = home.identity;
  const app = (kind: ProviderAppName): ProviderApp => ({
    clientId: guid("client", `${name} ${kind}`),
    secrets: [{ value: clientSecret(`${name} ${kind}`), state: "valid" }],
  });
  const provider: Provider = {
    home,
    apps: {
      home: app("home"),
      bridge: app("bridge"),
      reader: { clientId: SHARED_APP.clientId, secrets: [{ value: SHARED_APP.clientSecret, state: "valid" }] },
    },
    homeRoles: HOME_ROLES,
    governance: "available",
    consentDelay: [0, 0],
    roleDelay: [0, 0],
    principalDelay: [0, 0],
    pageMax: undefined,
    user: { name: `partner-admin@${home.identity.domain}`, mfa: true, groups: ["AdminAgents"] },
    relationships: [],
    requestsPerSecond: 50,
    partnerCenterBudget: makeBudget(),
    requests: [],
  };
  for (const { clientId } of Object.values(provider.apps)) principalIn(home, clientId);
  return provider;
}

/** The provider's app with this client id. */
export function providerApp(world: World, clientId: string): ProviderApp | undefined {
  return Object.values(world.provider?.apps ?? {}).find((app) => app.clientId === clientId);
}

/**
 * Whether an app is a bridge: the scenario's, or one registered while the simulator runs that asks for the
 * permission of Partner Center.
 */
export const isBridge = (world: World, clientId: string): boolean =>
  world.provider?.apps.bridge.clientId === clientId ||
  world.directory.find(clientId)?.permissions.has("user_impersonation") === true;

/** Whether an app lists the provider's customers. */
export const isHomeApp = (world: World, clientId: string): boolean =>
  world.provider?.apps.home.clientId === clientId ||
  HOME_ROLES.some((role) => world.directory.find(clientId)?.permissions.has(role) === true);

/** Where a relationship stands: what the scenario says, and `expired` once its end has come. */
export function statusAt(relationship: Relationship, nowMs: number): string {
  const { kind, status, autoExtend, endMs } = relationship;
  const lasts = kind === "governance" || autoExtend || nowMs < endMs;
  return (status === "active" || status === "expiring") && !lasts ? "expired" : status;
}

/** When it ends: an automatic extension adds half a year each time. */
export function endAt({ autoExtend, endMs }: Relationship, nowMs: number): number {
  if (!autoExtend || nowMs < endMs) return endMs;
  return endMs + Math.ceil((nowMs - endMs + 1) / EXTENSION_MS) * EXTENSION_MS;
}

const IN_FORCE = new Set(["active", "expiring", "terminationRequested", "terminationRequestedByGoverningTenant"]);

/** Whether it gives access now: one that somebody asked to end still does until it has ended. */
export const isInForce = (relationship: Relationship, nowMs: number): boolean =>
  IN_FORCE.has(statusAt(relationship, nowMs));

/** What a scenario or an event says about a relationship. Times are ms. */
export interface RelationshipRule {
  readonly kind?: RelationshipKind;
  readonly name?: string;
  readonly customer_name?: string;
  readonly status?: string;
  readonly roles?: readonly string[];
  readonly ends?: number;
  readonly auto_extend?: boolean;
  readonly listed?: boolean;
  readonly group?: string;
  readonly apps?: readonly ProviderAppName[];
  readonly governs_provider?: boolean;
  readonly new?: boolean;
}

const TWO_YEARS_MS = 730 * DAY_MS;

/**
 * Makes a relationship, or changes those that this customer has: all of the kind that the rule names. A
 * status that gives governance its force also provisions the rule's apps.
 */
export function relate(provider: Provider, customer: Customer, rule: RelationshipRule, nowMs: number): Relationship[] {
  if (rule.customer_name !== undefined) customer.displayName = rule.customer_name;
  const known = provider.relationships.filter(
    (one) => one.customer === customer && (rule.kind === undefined || one.kind === rule.kind),
  );
  const changed = rule.new === true || known.length === 0 ? [add(provider, customer, rule, nowMs)] : known;
  for (const one of changed) {
    if (one.status !== rule.status && rule.status !== undefined) one.modifiedMs = nowMs;
    one.name = rule.name ?? one.name;
    one.status = rule.status ?? one.status;
    one.roles = rule.roles ?? one.roles;
    one.endMs = rule.ends === undefined ? one.endMs : nowMs + rule.ends;
    one.autoExtend = rule.auto_extend ?? one.autoExtend;
    one.listed = rule.listed ?? one.listed;
    one.group = rule.group ?? one.group;
    one.apps = rule.apps ?? one.apps;
    one.governsProvider = rule.governs_provider ?? one.governsProvider;
    if (one.kind === "governance") provision(provider, one, nowMs);
  }
  return changed;
}

/** Governance brings its apps with their roles, and takes them away again when it ends. */
function provision(provider: Provider, relationship: Relationship, nowMs: number): void {
  const { customer } = relationship;
  for (const name of relationship.apps) {
    const { clientId } = provider.apps[name];
    if (isInForce(relationship, nowMs)) {
      const principal = principalIn(customer, clientId);
      for (const role of READER_ROLES) assignRole(principal, "graph", role, { nowMs, showsMs: nowMs });
    } else customer.servicePrincipals.delete(clientId);
  }
}

function add(provider: Provider, customer: Customer, rule: RelationshipRule, nowMs: number): Relationship {
  const { name } = customer.identity;
  const label = `${name} ${provider.relationships.filter((one) => one.customer === customer).length}`;
  const kind = rule.kind ?? "gdap";
  const own = guid("relationship", label);
  const relationship: Relationship = {
    // GDAP's ids are two GUIDs in one (Microsoft Graph docs, delegatedAdminRelationship).
    id: kind === "gdap" ? `${own}-${guid("relationship customer", label)}` : own,
    kind,
    customer,
    name: `${provider.home.identity.name}_${name}`,
    status: "active",
    roles: [],
    createdMs: nowMs,
    modifiedMs: nowMs,
    endMs: nowMs + TWO_YEARS_MS,
    autoExtend: false,
    listed: true,
    group: undefined,
    apps: [],
    governsProvider: false,
  };
  provider.relationships.push(relationship);
  return relationship;
}

/** The directory roles that the provider's user holds at a customer: those of all relationships in force. */
export const rolesAt = (provider: Provider, customer: Customer, nowMs: number): readonly string[] =>
  inForce(provider, customer, nowMs).flatMap(({ roles }) => roles);

/**
 * The AADSTS number when the provider's user gets no token for a bridge in this tenant: 50020 without a
 * relationship, 50177 without a place in its group, 65001 while the consent does not show.
 */
export function foreignSignInProblem(
  provider: Provider,
  customer: Customer,
  clientId: string,
  nowMs: number,
): number | undefined {
  const hasRelationship = provider.relationships.some(
    (one) => one.customer === customer && !one.governsProvider && isInForce(one, nowMs),
  );
  if (!hasRelationship) return 50020;
  if (inForce(provider, customer, nowMs).length === 0) return 50177;
  const grant = customer.servicePrincipals.get(clientId)?.delegated;
  return grant === undefined || grant.showsMs > nowMs ? 65001 : undefined;
}

/** The relationships that let the provider's user into a customer's tenant. */
const inForce = ({ relationships, user }: Provider, customer: Customer, nowMs: number): Relationship[] =>
  relationships.filter(
    (one) =>
      one.customer === customer &&
      !one.governsProvider &&
      isInForce(one, nowMs) &&
      (one.group === undefined || user.groups.includes(one.group)),
  );

/** How long this use takes: drawn from the span, the same in every run. */
export function drawn([from, to]: Span, ...seed: readonly string[]): number {
  return from + Math.floor(seededRandom(...seed)() * (to - from));
}
