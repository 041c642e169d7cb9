import { type Budget, type BudgetLimits, type BudgetName, makeBudget } from "./budgets.ts";
import type { SimulatorClock } from "./clock.ts";
import type { Cloud } from "./clouds.ts";
import { type Credentials, freshCredentials } from "./entra/apps.ts";
import { type Directory, makeDirectory } from "./entra/directory.ts";
import type { FederatedCredential, WorkloadIdentity } from "./entra/federation.ts";
import { principalIn, type ServicePrincipal } from "./entra/principals.ts";
import { ALL_PERMISSIONS } from "./entra/resources.ts";
import { type Faults, makeFaults } from "./faults.ts";
import { type Identity, identityOf, SHARED_APP } from "./identity.ts";
import type { Provider } from "./provider/provider.ts";
import { makeTable, type NewVersion, type Table } from "./records.ts";
import { type ApiName, STREAM_NAMES, STREAMS, type StreamName } from "./streams.ts";

/** How Microsoft pages and orders; both members of each pair have been observed. */
export interface Regime {
  /** Whether `@odata.nextLink` is given. */
  links: boolean;
  /**
   * What becomes of `$orderby`. `ignored`: no order that helps; `newest-first`: always the newest update
   * first.
   */
  order: "honoured" | "ignored" | "newest-first";
  /**
   * What a skip token stands for: a place in the order, or a count of rows (which then slip when rows move).
   */
  token: "place" | "count";
  /** Pages never hold more, whatever `$top` asks for and without a word; default: what Microsoft allows. */
  page_max?: number;
  /** Enum members that this tenant's cloud does not know: a filter that names one is answered 400. */
  unknown_members?: readonly string[];
}

export interface Customer {
  readonly identity: Identity;
  /** What the tenant calls itself: Microsoft lets it be any text, and several tenants may share it. */
  displayName: string;
  readonly tables: Readonly<Record<StreamName, Table>>;
  readonly regimes: Record<StreamName, Regime>;
  readonly hunting: HuntingTables;
  cloud: Cloud;
  readonly credentials: Credentials;
  /** The apps that have a service principal in this tenant, by client id: consent creates it. */
  readonly servicePrincipals: Map<string, ServicePrincipal>;
  /** What client credentials of a known app without a service principal are answered. */
  absentApp: 7000229 | 700016;
  /**
   * The last state of each record that was given one by one, visible or not yet: later versions build on it.
   */
  readonly scripted: Map<string, string>;
  /** `withdrawn`: the user's grant and the roles are gone; `absent`: the app was never in this tenant. */
  readonly consent: "granted" | "withdrawn" | "absent";
  /** `absent` also takes the customer's app and the provider's out of the tenant; the others put them in. */
  setConsent(state: Customer["consent"]): void;
  /** What the consent page does: it creates the service principal of this app, and of no other. */
  consentTo(clientId: string): void;
  /** Roles and scopes the customer did grant. */
  permissions: Set<string>;
  accessTokenLifetimeS: number;
  /** The form in which a budget's 429 says when to come back. */
  retryAfterForm: "seconds" | "date";
  /** `$expand=alerts` answers 500 as soon as an incident on the page has more alerts than this. */
  expandMaxAlerts: number;
  /** Budgets that differ from Microsoft's. */
  readonly budgetLimits: Partial<Record<BudgetName, BudgetLimits>>;
  budget(clientId: string, name: BudgetName): Budget;
  readonly counters: Counters;
}

/** Tables for `runHuntingQuery`: rows as compact JSON, and every row that an answer ever held. */
export interface HuntingTables {
  readonly rows: Map<string, string[]>;
  readonly shown: Map<string, { readonly updated: string; readonly atMs: number }>;
  /** Members are called `Name` and `Type` in the schema, as one of Microsoft's samples has them. */
  capitalised: boolean;
}

export interface ApiCounters {
  requests: number;
  throttled: number;
  failed: number;
  inFlight: number;
  maxInFlight: number;
  lastAtMs: number | undefined;
  /** The longest time between two requests, since the control API was asked to forget it. */
  longestPauseMs: number;
}

export interface Counters {
  tokensIssued: number;
  tokenRequests: number;
  tokenErrors: number;
  readonly apis: Record<ApiName, ApiCounters>;
}

export interface World {
  readonly clock: SimulatorClock;
  /** When the simulator's clock started, ms. */
  readonly startMs: number;
  readonly faults: Faults;
  readonly directory: Directory;
  readonly customers: Map<string, Customer>;
  addCustomer(name: string): Customer;
  /** The managed security provider of the scenario, where it has one. */
  provider: Provider | undefined;
  /** What proves itself by a token of its platform, and which apps take such tokens. */
  readonly identities: WorkloadIdentity[];
  readonly federatedCredentials: FederatedCredential[];
  /** Of the metadata service. */
  readonly imdsBudget: Budget;
  /** A tenant that is nobody's customer: the provider's own. A customer of that name is that tenant. */
  addTenant(name: string): Customer;
  /** By tenant id or verified domain, in any case. */
  customerAt(tenant: string): Customer | undefined;
  addVersion(customer: Customer, stream: StreamName, version: NewVersion): void;
}

export function makeWorld(clock: SimulatorClock, seed: string | number = 0): World {
  const customers = new Map<string, Customer>();
  const byTenant = new Map<string, Customer>();
  function addTenant(name: string): Customer {
    const customer = customers.get(name) ?? makeCustomer(name);
    byTenant.set(customer.identity.tenantId, customer);
    byTenant.set(customer.identity.domain, customer);
    return customer;
  }
  return {
    clock,
    startMs: clock.nowMs(),
    faults: makeFaults(seed),
    directory: makeDirectory(),
    customers,
    addCustomer(name) {
      const customer = addTenant(name);
      customers.set(name, customer);
      return customer;
    },
    provider: undefined,
    identities: [],
    federatedCredentials: [],
    imdsBudget: makeBudget(),
    addTenant,
    customerAt: (tenant) => byTenant.get(tenant.toLowerCase()),
    addVersion: (customer, stream, version) => customer.tables[stream].add(version),
  };
}

function makeCustomer(name: string): Customer {
  const identity = identityOf(name);
  const budgets = new Map<string, Budget>();
  const apps = [identity.clientId, SHARED_APP.clientId];
  let consent: Customer["consent"] = "granted";
  const customer: Customer = {
    identity,
    displayName: name,
    cloud: "commercial",
    credentials: freshCredentials(identity),
    servicePrincipals: new Map(),
    absentApp: 7000229,
    scripted: new Map(),
    tables: perStream((stream) => makeTable(STREAMS[stream])),
    regimes: perStream((stream) => ({ links: STREAMS[stream].api === "graph", order: "honoured", token: "place" })),
    hunting: { rows: new Map(), shown: new Map(), capitalised: false },
    get consent() {
      return consent;
    },
    setConsent(state) {
      consent = state;
      for (const app of apps) {
        if (state === "absent") customer.servicePrincipals.delete(app);
        else if (state === "granted") principalIn(customer, app).byConsent = true;
        else Object.assign(principalIn(customer, app), { byConsent: true, assignments: [] });
      }
    },
    consentTo(clientId) {
      consent = "granted";
      principalIn(customer, clientId).byConsent = true;
    },
    permissions: new Set(ALL_PERMISSIONS),
    accessTokenLifetimeS: 3599,
    retryAfterForm: "seconds",
    expandMaxAlerts: Number.POSITIVE_INFINITY,
    budgetLimits: {},
    budget(clientId, budgetName) {
      const key = `${clientId} ${budgetName}`;
      const budget = budgets.get(key) ?? makeBudget();
      budgets.set(key, budget);
      return budget;
    },
    counters: {
      tokensIssued: 0,
      tokenRequests: 0,
      tokenErrors: 0,
      apis: { graph: zero(), xdr: zero(), mde: zero(), siem: zero() },
    },
  };
  customer.setConsent("granted");
  return customer;
}

function perStream<T>(make: (stream: StreamName) => T): Record<StreamName, T> {
  return Object.fromEntries(STREAM_NAMES.map((stream) => [stream, make(stream)])) as Record<StreamName, T>;
}

const zero = (): ApiCounters => ({
  requests: 0,
  throttled: 0,
  failed: 0,
  inFlight: 0,
  maxInFlight: 0,
  lastAtMs: undefined,
  longestPauseMs: 0,
});
