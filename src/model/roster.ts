import type { CloudName } from "./cloud.ts";
import type { CustomerListing, DiscoveryHost, DiscoveryReport, DiscoverySettings } from "./discovered.ts";
import type { Failure } from "./failure.ts";
import type { GrantedByApi } from "./granted-permissions.ts";
import type { ContractCustomer } from "./roster-report.ts";
import type { SplunkAccess } from "./sign-in.ts";
import type { Stanza } from "./stanza.ts";
import type { TenantId } from "./tenant.ts";

/** A customer as the configuration holds it. */
export interface ConfiguredCustomer {
  readonly name: string;
  /** Its own settings, without secrets. */
  readonly values: Readonly<Record<string, string>>;
}

/** A change of the configured customers. */
export interface RosterChange {
  readonly kind: "add" | "change" | "remove";
  readonly name: string;
  /** With `add` all settings, with `change` those that differ. */
  readonly values: Readonly<Record<string, string>>;
}

/** What became of one change: undefined if it is written. */
export type ChangeReport = (change: RosterChange, failure: Failure | undefined) => void;

/** The customers in Splunk, through splunkd's REST. */
export interface SplunkRoster {
  read(): Promise<readonly ConfiguredCustomer[]>;
  /** One request per customer. A change that fails stops no other one. */
  write(changes: readonly RosterChange[], report: ChangeReport): Promise<void>;
}

/** The customers in the database of a fleet. */
export interface FleetRoster {
  /** As a sentence names it. */
  readonly name: string;
  /** Does a customer's `index` count, by the outputs of the configuration? */
  readonly usesIndex: boolean;
  /** Settings of a customer that the database holds. */
  readonly keeps: (key: string) => boolean;
  /** Throws Failure of the database. */
  read(): Promise<readonly ConfiguredCustomer[]>;
  /** A change that fails stops no other one. Throws Failure of the database when none can be written. */
  write(changes: readonly RosterChange[], report: ChangeReport): Promise<void>;
  /** Sentences on customers that the configuration file has too, with other settings. */
  differing(customers: readonly ConfiguredCustomer[]): readonly string[];
}

/** What a tenant's public document says. */
export interface TenantFound {
  readonly tenantId: TenantId;
  /** Undefined where the document does not say it. */
  readonly cloud: CloudName | undefined;
}

/** What the `customers` commands need from outside. */
export interface RosterServices {
  /**
   * Asks the tenant's sign-in service, without signing in. Throws Failure `tenant-not-found`, `wrong-cloud`
   * (only if a cloud is wanted), or of the network.
   */
  findTenant(
    stanza: Pick<Stanza, "tenantId" | "tenantName" | "endpoints" | "route">,
    wanted: CloudName | undefined,
  ): Promise<TenantFound>;
  /**
   * Replaces a file so that after a crash it is the old or the new one. Its mode and owner stay; a new file
   * is 0600. Throws Failure `settings` if it is no longer what `before` says, `output-broken` if it cannot be
   * written.
   */
  replaceFile(path: string, before: string | undefined, after: string, encoding: "utf8" | "latin1"): Promise<void>;
  splunk(access: () => Promise<SplunkAccess>): Promise<SplunkRoster>;
  /** The fleet that `--config` names. Throws Failure `settings`, `fleet-schema`, and the database's own. */
  fleet(argv: Readonly<Record<string, unknown>>): Promise<FleetRoster>;
  /**
   * Reads the list of customers once, and does what the settings say. Throws Failure if the list cannot be
   * used: nothing is changed then.
   */
  discover(request: DiscoveryRequest, host: DiscoveryHost): Promise<DiscoveryReport>;
  /**
   * Who is under contract, by the last list of customers that was read; undefined before the first. Throws
   * Failure `state-damaged`, `state-unreadable`.
   */
  underContract(stateDir: string): readonly ContractCustomer[] | undefined;
  /**
   * What the collector's state folder says of customers; empty where it holds nothing of one. Nothing is
   * locked, so a collector may run meanwhile.
   */
  kept(stateDir: string): (customer: Pick<Stanza, "name" | "tenantId" | "endpoints">) => KeptOfCustomer;
}

export interface KeptOfCustomer {
  /** Undefined for a domain whose GUID is not kept. */
  readonly tenantId: TenantId | undefined;
  readonly progress: CustomerProgress;
  /** By the newest tokens of the collector. */
  readonly granted: GrantedByApi;
}

/** Where a list of customers comes from, and where what it said is remembered. */
export interface DiscoveryRequest {
  readonly settings: DiscoverySettings;
  /** The account's own if undefined. */
  readonly stateDir: string | undefined;
  /** Of a file: reads it. Otherwise the list is Microsoft's. */
  readonly readFile?: () => Promise<CustomerListing>;
  /** The home app in the provider's own tenant, with its secret, if the list is Microsoft's. */
  readonly home?: Stanza;
  /** Nothing is written. */
  readonly isDry?: boolean;
  /** A person asked for it: see `customers discover --apply`. */
  readonly isConfirmed?: boolean;
  /** Ends the requests of this reading. */
  readonly signal?: AbortSignal;
}

export interface CustomerProgress {
  /** When the customer was read for the first time, which is minutes after its consent. */
  readonly consentSinceMs?: number;
  readonly lastEventMs?: number;
  readonly lastPollMs?: number;
}
