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
  /** Reminders that were sent, so that each is sent once: `<relationship>/<days>`. */
  readonly reminded: readonly string[];
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
