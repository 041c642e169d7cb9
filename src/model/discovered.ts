import type { Failure } from "./failure.ts";
import type { Actor, FailureCode } from "./failure-codes.ts";
import type { TenantId } from "./tenant.ts";

/** Where the list of customers comes from: the setting `discover`, without the path of a file. */
export type DiscoverySource = "gdap" | "governance" | "file";

/**
 * What is done with a customer of the list. `announced`: a health event, nothing else. `enrolled`: it is
 * configured. `excluded`: settings leave it out. `ended`: it left the list and refuses sign-in.
 */
export type DiscoveryDecision = "announced" | "enrolled" | "excluded" | "ended";

/** Who decided: this program by its settings, or a person who configured the customer. */
export type DecidedBy = "discovery" | "operator";

/** One relationship between the provider and a customer, as it was listed last. */
export interface Relationship {
  readonly id: string;
  /** Cleaned for a reader. */
  readonly name: string;
  /** Lower case. */
  readonly status: string;
  /** IDs of Entra role templates, in lower case. */
  readonly roles: readonly string[];
  /** ISO time; null where it has no end. */
  readonly ends: string | null;
  /** An ISO 8601 duration; `PT0S` is never. Null where the list does not say it. */
  readonly auto_extend: string | null;
}

/** What is remembered of one customer. Members are those of `discovered.json`; times are ISO. */
export interface DiscoveredCustomer {
  readonly source: DiscoverySource;
  /** Given at first sight and never changed: it is on events. */
  readonly name: string;
  /** What the list calls the customer now, cleaned. */
  readonly listed_name: string;
  readonly first_seen: string;
  /** The last listing that held it. */
  readonly last_seen: string;
  /** The first complete listing without it since then; null while it is listed. */
  readonly missing_since: string | null;
  readonly ended_at: string | null;
  readonly relationships: readonly Relationship[];
  readonly decided: DiscoveryDecision;
  readonly by: DecidedBy;
  /** Why it is excluded: a setting's name, or `transition` for Microsoft's own relationships. Else null. */
  readonly excluded_by: string | null;
  /** A person confirmed a list without it, so its loss does not mean that the list is wrong. */
  readonly confirmed_missing?: boolean;
  /** Saved before this program writes the customer to the configuration, which may end it. */
  readonly enrolling?: boolean;
  /** Reminders that were sent, so that each is sent once: `<relationship>/<days>`. */
  readonly reminded: readonly string[];
}

/** One customer of a listing, with all its relationships that are in force. */
export interface ListedTenant {
  readonly tenantId: TenantId;
  /** Cleaned; empty where nothing readable is left. */
  readonly name: string;
  readonly relationships: readonly Relationship[];
}

/** The provider's customers as one reading of the list shows them. */
export interface CustomerListing {
  readonly source: DiscoverySource;
  readonly tenants: readonly ListedTenant[];
  /** False if a part could not be read: who is not in it may still be a customer. */
  readonly isComplete: boolean;
}

/** Everything that discovery remembers. */
export interface Discovered {
  /** The last listing that was believed; null before the first. */
  readonly listed_at: string | null;
  readonly customers: ReadonlyMap<TenantId, DiscoveredCustomer>;
}

export const NOTHING_DISCOVERED: Discovered = { listed_at: null, customers: new Map() };

/** Is the customer under contract, by the last listing that was believed? */
export function isListed({ missing_since, decided }: DiscoveredCustomer): boolean {
  return missing_since === null && decided !== "ended";
}

/** How the list of customers is read and used. */
export interface DiscoverySettings {
  readonly source: DiscoverySource;
  /** With the source `file`. */
  readonly listFile?: string;
  /** With the other sources: the credential of the home app. */
  readonly credential?: string;
  readonly mode: "announce" | "enrol";
  readonly match?: string;
  readonly exclude: readonly string[];
  /** The configured customer whose settings new ones get. */
  readonly defaults?: string;
  readonly everyHours: number;
}

/** One thing that the list says. `customer` is as it is remembered from now on. */
export interface Finding {
  /** `found`: new, or back after it ended. `ending`: a reminder. */
  readonly kind: "found" | "renamed" | "ending" | "missing" | "ended";
  readonly tenantId: TenantId;
  readonly customer: DiscoveredCustomer;
  /** With `renamed`: what the list called it before. */
  readonly before?: string;
  /** With `ending`. */
  readonly ends?: string;
  /** With `ended`: it was polled, and a person or this program had configured it. */
  readonly wasPolled?: boolean;
}

/** A customer that is configured, or is to be. */
export interface NamedCustomer {
  readonly tenantId: TenantId;
  readonly name: string;
}

/** The configured customers, as far as their tenants are known now. */
export interface ConfiguredNames {
  /** By tenant; domains are resolved. */
  readonly names: ReadonlyMap<TenantId, string>;
  /** Names of those whose domain cannot be looked up now, or whose settings are wrong. */
  readonly unresolved: readonly string[];
}

/** The host whose configured customers the list is compared with. */
export interface DiscoveryHost {
  configured(): Promise<ConfiguredNames>;
  /** Does the tenant of this configured customer give no token, or does its API reject it? */
  refuses(customer: NamedCustomer): Promise<boolean>;
  /** Configures customers as `customers add` does. The result names those that were not written. */
  enrol(customers: readonly NamedCustomer[]): Promise<ReadonlyMap<TenantId, Failure>>;
  /** Takes customers out of the configuration; their checkpoints stay. The result is as that of `enrol`. */
  remove(customers: readonly NamedCustomer[]): Promise<ReadonlyMap<TenantId, Failure>>;
  /** Deletes what is kept of a customer that ended long ago. Absent: another host holds the state folder. */
  forget?(tenantId: TenantId): Promise<void>;
  /** Called before anything is changed. Absent: the report is enough. */
  tell?(changes: DiscoveryReport["changes"]): Promise<void>;
}

/** What one reading of the list led to. */
export interface DiscoveryReport {
  /** Everything that is remembered now; in a dry run, what would be. */
  readonly customers: ReadonlyMap<TenantId, DiscoveredCustomer>;
  /** What the list says, each with what health events say of it. */
  readonly changes: readonly (Finding & { readonly failure: Failure | undefined })[];
  /** Who is to be configured; in a dry run nobody is. */
  readonly wanted: readonly TenantId[];
  readonly enrolled: ReadonlySet<TenantId>;
  readonly removed: ReadonlySet<TenantId>;
  /** Who could not be configured, or taken out. */
  readonly failures: ReadonlyMap<TenantId, Failure>;
  /** In a dry run: why the list would not be believed without `--apply`. */
  readonly rejection?: Failure;
}

/** Failures with which a customer's tenant, or its API, says that we have no access (any more). */
const REFUSALS = new Set<FailureCode>([
  "admin-consent-needed",
  "app-disabled",
  "consent-declined",
  "consent-missing",
  "forbidden",
  "partner-access-missing",
  "tenant-gone",
  "tenant-not-found",
]);

/**
 * Is it the customer's own refusal? A credential of this program that fails, or a service that is busy, is
 * not.
 */
export function isRefusal(code: FailureCode, actor: Actor): boolean {
  return REFUSALS.has(code) || (code === "app-not-found" && actor === "customer");
}
