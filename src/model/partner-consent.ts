import type { DiscoverySettings, ListedTenant } from "./discovered.ts";
import type { Failure } from "./failure.ts";
import type { AppCredential, CodeFlow, SignedIn } from "./sign-in.ts";
import type { Stanza } from "./stanza.ts";

/**
 * What was done, or is about to be done, at a customer. `grant-bridge`, `add-app`, `grant-role` and
 * `remove-bridge` are written before the request that does it; the others after the answer. `bridge-refused`
 * stands also where somebody else let the bridge in before: this program did not.
 */
export const JOURNAL_STEPS = [
  "grant-bridge",
  "bridge-refused",
  "add-app",
  "grant-role",
  "remove-bridge",
  "bridge-removed",
] as const;
export type JournalStep = (typeof JOURNAL_STEPS)[number];

/** One line of the journal: ids only. */
export interface JournalEntry {
  readonly step: JournalStep;
  /** The partner's tenant. */
  readonly home: string;
  readonly tenant: string;
  readonly bridge: string;
  /** Object id of the person who signed in. */
  readonly user?: string;
  /** The app that gets a permission, the API's app id, the permission's id. */
  readonly app?: string;
  readonly resource?: string;
  readonly role?: string;
}

/** The bridge at a customer, as far as it is not known to be removed. */
export type OpenGrant = Pick<JournalEntry, "home" | "tenant" | "bridge">;

/** What `partner consent` did at customers. One process at a time holds it. */
export interface ConsentJournal {
  readonly path: string;
  /** Lines that cannot be read. */
  readonly unreadable: number;
  openGrants(): readonly OpenGrant[];
  /** Resolves when the line is on the disk. Throws Failure `state-unwritable`. */
  append(entry: JournalEntry): Promise<void>;
  close(): Promise<void>;
}

/** The person's sign-in at the partner's tenant. Its tokens are never stored. */
export interface PartnerSession {
  readonly home: Stanza;
  readonly bridge: AppCredential;
  readonly signedIn: SignedIn;
}

/** What became of a customer. `complete`: it had all permissions before. */
export interface PartnerOutcome {
  readonly stanza: Stanza;
  readonly result: "complete" | "granted" | "failed";
  readonly failure?: Failure;
  /** Somebody else let the bridge in before, so it was not removed. */
  readonly bridgeStays?: true;
}

export interface PartnerRun {
  readonly session: PartnerSession;
  readonly journal: ConsentJournal;
  /** With the reader's credential, and a GUID as `tenantId`. */
  readonly customers: readonly Stanza[];
  readonly keepBridge: boolean;
  /** From then on no customer is begun. Those under way are finished, with the removal of the bridge. */
  readonly stop: AbortSignal;
  /** Called with the number of customers that are done. */
  progress(done: number): void;
}

/** `partner consent` as the command line sees it; `main` builds it from `auth`, `stores` and `defender`. */
export interface PartnerServices {
  /** A sign-in for Partner Center's API at the partner's tenant. */
  beginSignIn(home: Stanza, bridge: AppCredential, redirectUri: string): CodeFlow;
  /** Throws Failure `state-locked` when another run has it, `state-unreadable`, `state-unwritable`. */
  openJournal(stateDir: string): Promise<ConsentJournal>;
  /** The partner's customers with an active GDAP relationship, those that the settings of the list want. */
  gdapCustomers(homeApp: Stanza, settings: DiscoverySettings): Promise<readonly ListedTenant[]>;
  /** The permissions that the reader's access tokens at this customer lack. Throws sign-in failures. */
  missing(customer: Stanza): Promise<readonly string[]>;
  /** From this call on a stop signal of the system ends the program no more, but fires this. */
  stopSignal(): AbortSignal;
  /**
   * Removes the bridge where the journal says that it may still be; after `stop` from no other customer.
   *
   * @returns the failures by tenant, for those where it could not be removed.
   */
  removeBridges(
    session: PartnerSession,
    journal: ConsentJournal,
    grants: readonly OpenGrant[],
    stop: AbortSignal,
  ): Promise<ReadonlyMap<string, Failure>>;
  /** Grants the reader its permissions at these customers. One that fails stops no other. */
  grant(run: PartnerRun): Promise<readonly PartnerOutcome[]>;
}

/**
 * Directory roles that may grant Microsoft Graph's application permissions: Privileged Role Administrator and
 * Global Administrator. Source: Microsoft Entra docs, "Grant tenant-wide admin consent", "Microsoft Entra
 * built-in roles".
 */
const MAY_GRANT = ["e8611ab8-c189-46e8-94e1-60213ab1f814", "62e90394-69f5-4237-9190-012177145e10"];

export function mayGrant({ relationships }: ListedTenant): boolean {
  return relationships.some(({ roles }) => roles.some((role) => MAY_GRANT.includes(role)));
}
