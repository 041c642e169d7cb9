import type {
  CustomerListing,
  Discovered,
  DiscoveredCustomer,
  DiscoverySettings,
  Finding,
  ListedTenant,
  Relationship,
} from "../../model/discovered.ts";
import { isListed } from "../../model/discovered.ts";
import { Failure } from "../../model/failure.ts";
import type { TenantId } from "../../model/tenant.ts";
import { uniqueName } from "./customer-name.ts";
import { notBelieved } from "./provider-list.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Two complete listings without a customer must be so far apart. */
const MISSING_FOR_MS = HOUR_MS;
/** Days before a relationship ends, when somebody is reminded of it. */
const REMIND_DAYS = [7, 30, 60] as const;
/** How long the checkpoints of a customer that ended are kept. */
const KEEP_ENDED_MS = 90 * DAY_MS;
/** Customers that went missing one after another so fast count as lost at once. */
const AT_ONCE_MS = DAY_MS;
/** A list that lost more of the customers than one in so many at once is not believed. */
const LOST_AT_ONCE = 5;
const NO_EXTENSION = "PT0S";
/** Entra role template "Global Administrator": Microsoft never extends a relationship that holds it. */
const GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10";
/** Microsoft's own read-only relationships from the time before GDAP. */
const TRANSITION = /^MLT_/i;
const ROLE = /^role:(.+)$/i;

/** What the settings say of customers that are found. */
export type DiscoveryRules = Pick<DiscoverySettings, "mode" | "match" | "exclude" | "defaults">;

/** Everything that the rules look at. */
export interface Situation {
  readonly nowMs: number;
  readonly known: Discovered;
  readonly listing: CustomerListing;
  /** Names of the configured customers. */
  readonly configured: ReadonlyMap<TenantId, string>;
  /** A configured customer's tenant is not known now, so whoever seems not to be configured may be. */
  readonly isUnsure?: boolean;
  /** Of `suspects` or all configured ones: whose tenant gives no token, or whose API rejects it. */
  readonly refusing: ReadonlySet<TenantId>;
  /** What was known cannot be read: a person may have removed whoever is not configured. */
  readonly isMemoryLost?: boolean;
  /** A person looked at the list: it is believed although it lost many customers. */
  readonly isConfirmed?: boolean;
}

export interface Judgement {
  readonly next: Discovered;
  readonly findings: readonly Finding[];
  /** Announced or found now, and to be configured by the settings. */
  readonly toEnrol: readonly TenantId[];
  /** Ended so long ago that their checkpoints go. They are in `next` until that is done. */
  readonly toForget: readonly TenantId[];
}

/**
 * The tenants to ask for a token before the list is judged: customers that were missing from a complete
 * listing at least an hour ago and still are.
 */
export function suspects({ nowMs, known, listing }: Pick<Situation, "nowMs" | "known" | "listing">): TenantId[] {
  if (!listing.isComplete) return [];
  const listed = new Set(listing.tenants.map(({ tenantId }) => tenantId));
  return [...known.customers].flatMap(([tenantId, customer]) =>
    !listed.has(tenantId) && isMissingLongEnough(customer, nowMs) ? [tenantId] : [],
  );
}

/**
 * The one place that decides what a list of customers changes. Pure. Throws Failure `discovery-doubtful` for
 * a list that changes nothing.
 */
export function judge(rules: DiscoveryRules, situation: Situation): Judgement {
  const { nowMs, known, listing, configured, isUnsure = false } = situation;
  refuseLoss(situation);
  const now = new Date(nowMs).toISOString();
  const next = new Map<TenantId, DiscoveredCustomer>();
  const findings: Finding[] = [];
  const toEnrol: TenantId[] = [];
  const toForget: TenantId[] = [];
  const taken = new Set(
    [...configured.values(), ...[...known.customers.values()].map(({ name }) => name)].map((name) =>
      name.toLowerCase(),
    ),
  );
  // In the order of their GUIDs, so that of two customers of one name always the same one keeps it.
  for (const tenant of listing.tenants.toSorted((a, b) => (a.tenantId < b.tenantId ? -1 : 1))) {
    const { tenantId } = tenant;
    const before = known.customers.get(tenantId);
    const configuredName = configured.get(tenantId);
    const name = configuredName ?? before?.name ?? uniqueName(tenant.name, tenantId, taken);
    taken.add(name.toLowerCase());
    const excludedBy = exclusionOf(rules, tenant, name);
    const isConfigured = configuredName !== undefined || (isUnsure && before?.decided === "enrolled");
    const { decided, by } = decisionOn(before, isConfigured, excludedBy, situation.isMemoryLost);
    const due = decided === "excluded" ? undefined : reminderOf(tenant, before, nowMs);
    const customer: DiscoveredCustomer = {
      source: listing.source,
      name,
      listed_name: tenant.name,
      first_seen: before?.first_seen ?? now,
      last_seen: now,
      missing_since: null,
      ended_at: null,
      relationships: tenant.relationships,
      decided,
      by,
      excluded_by: decided === "excluded" ? (excludedBy ?? null) : null,
      reminded: due?.reminded ?? [],
    };
    next.set(tenantId, customer);
    if (decided === "announced" && isNewTo(before)) findings.push({ kind: "found", tenantId, customer });
    if (decided === "announced" && by === "discovery" && rules.mode === "enrol") toEnrol.push(tenantId);
    if (before !== undefined && before.listed_name !== tenant.name)
      findings.push({ kind: "renamed", tenantId, customer, before: before.listed_name });
    if (due?.ends !== undefined) findings.push({ kind: "ending", tenantId, customer, ends: due.ends });
  }

  for (const [tenantId, before] of known.customers) {
    if (next.has(tenantId)) continue;

    const finding = withoutListing(rules, tenantId, before, situation);
    next.set(tenantId, finding.customer);
    const wasPolled = configured.has(tenantId);
    // Somebody who configures it again still needs what was kept.
    if (isEndedLongAgo(before, nowMs) && !isUnsure && !wasPolled) toForget.push(tenantId);
    if (!finding.isReported) continue;
    findings.push({ kind: finding.kind, tenantId, customer: finding.customer, wasPolled });
  }
  return { next: { listed_at: now, customers: next }, findings, toEnrol, toForget };
}

/** A customer that a person took out of the configuration is known to that person. */
function isNewTo(before: DiscoveredCustomer | undefined): boolean {
  return before === undefined || before.decided === "excluded" || before.decided === "ended";
}

/** Many that refuse at once hardly all ended: this program is at fault. A person may confirm who ended. */
function manyRefuse({ known, configured, refusing, isConfirmed }: Situation): boolean {
  if (isConfirmed === true) return false;
  const unexpected = [...configured.keys()].filter(
    (tenantId) => refusing.has(tenantId) && known.customers.get(tenantId)?.confirmed_missing !== true,
  );
  return unexpected.length * LOST_AT_ONCE > configured.size;
}

function refuseLoss({ nowMs, known, listing, isConfirmed }: Situation): void {
  if (listing.tenants.length === 0) throw emptyList(listing);
  if (!listing.isComplete || isConfirmed === true) return;
  const listed = new Set(listing.tenants.map(({ tenantId }) => tenantId));
  const present = [...known.customers].filter(
    ([, customer]) => isListed(customer) || wentMissingLately(customer, nowMs),
  );
  const lost = present.filter(([tenantId]) => !listed.has(tenantId));
  if (lost.length * LOST_AT_ONCE <= present.length) return;
  throw new Failure("discovery-doubtful", {
    actor: "operator",
    retry: { when: "later" },
    say: `The list of customers lost ${lost.length} of ${present.length} at once, so nothing was changed.`,
    nextStep: "If the list is right, run `defender-mssp customers discover --apply`.",
  });
}

function wentMissingLately({ decided, missing_since, confirmed_missing }: DiscoveredCustomer, nowMs: number): boolean {
  if (decided === "ended" || missing_since === null || confirmed_missing === true) return false;
  return nowMs - Date.parse(missing_since) < AT_ONCE_MS;
}

function emptyList({ source }: CustomerListing): Failure {
  if (source === "file") return notBelieved("The list of customers is empty");
  return new Failure("discovery-doubtful", {
    actor: "operator",
    retry: { when: "later" },
    say: "Your tenant lists no customer; nothing was changed. Is it the partner tenant?",
    nextStep: "Check the tenant of the credential in `discover_credential`. The list is read again in the next hour.",
  });
}

/** Undefined if the settings want the customer. */
export function exclusionOf(
  { match, exclude }: Pick<DiscoveryRules, "match" | "exclude">,
  tenant: ListedTenant,
  name: string,
): string | undefined {
  const called = new Set([tenant.tenantId, name, tenant.name].map((one) => one.toLowerCase()));
  if (exclude.some((one) => called.has(one.trim().toLowerCase()))) return "discover_exclude";
  const { relationships } = tenant;
  const own = relationships.filter((one) => !TRANSITION.test(one.name));
  if (relationships.length > 0 && own.length === 0) return "transition";
  if (match !== undefined && !own.some((one) => matches(match, one))) return "discover_match";
  return undefined;
}

function matches(match: string, { name, roles }: Relationship): boolean {
  const role = ROLE.exec(match)?.[1]?.trim().toLowerCase();
  if (role !== undefined) return roles.includes(role);
  const words = match.toLowerCase().split("*");
  const pattern = words.map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*");
  return new RegExp(`^${pattern}$`, "s").test(name.toLowerCase());
}

type Decision = Pick<DiscoveredCustomer, "decided" | "by">;

function decisionOn(
  before: DiscoveredCustomer | undefined,
  isConfigured: boolean,
  excludedBy: string | undefined,
  isMemoryLost = false,
): Decision {
  if (isConfigured) {
    // What a person configured, or excludes, is not discovery's to end.
    const isOurs = before !== undefined && wasEnrolled(before) && before.by === "discovery" && excludedBy === undefined;
    return { decided: "enrolled", by: isOurs ? "discovery" : "operator" };
  }
  if (excludedBy !== undefined) return { decided: "excluded", by: "discovery" };
  // A person removed it, and does not want it back by itself, also after it ended.
  if (before?.decided === "enrolled" || before?.by === "operator") return { decided: "announced", by: "operator" };
  return { decided: "announced", by: isMemoryLost ? "operator" : "discovery" };
}

/** Or this program was ended over it before it could say so. */
function wasEnrolled({ decided, enrolling }: DiscoveredCustomer): boolean {
  return decided === "enrolled" || (decided === "announced" && enrolling === true);
}

/** What is remembered of reminders, and the end that is due to be reminded of now. */
function reminderOf(
  { relationships }: ListedTenant,
  before: DiscoveredCustomer | undefined,
  nowMs: number,
): { readonly reminded: readonly string[]; readonly ends?: string } {
  // Another relationship that goes on, or is extended, keeps the customer.
  if (relationships.some((one) => one.ends === null || isExtended(one))) return { reminded: [] };
  const last = relationships.toSorted((a, b) => ((a.ends ?? "") < (b.ends ?? "") ? 1 : -1))[0];
  const ends = last?.ends;
  if (last === undefined || ends === undefined || ends === null) return { reminded: [] };
  const daysLeft = (Date.parse(ends) - nowMs) / DAY_MS;
  const days = REMIND_DAYS.find((limit) => daysLeft <= limit);
  const prefix = `${last.id}/${ends}/`;
  const reminded = (before?.reminded ?? []).filter((one) => one.startsWith(prefix));
  if (days === undefined || reminded.includes(`${prefix}${days}`)) return { reminded };
  return { reminded: [...reminded, `${prefix}${days}`], ends };
}

function isExtended({ auto_extend, roles }: Relationship): boolean {
  return auto_extend !== null && auto_extend !== NO_EXTENSION && !roles.includes(GLOBAL_ADMINISTRATOR);
}

interface Unlisted {
  readonly kind: "missing" | "ended";
  readonly customer: DiscoveredCustomer;
  readonly isReported: boolean;
}

function withoutListing(
  { defaults }: DiscoveryRules,
  tenantId: TenantId,
  customer: DiscoveredCustomer,
  situation: Situation,
): Unlisted {
  const { nowMs, listing, refusing, configured, isConfirmed = false } = situation;
  const confirmed = isConfirmed ? { confirmed_missing: true } : {};
  if (customer.decided === "ended") return { kind: "missing", customer, isReported: false };
  if (!listing.isComplete) return { kind: "missing", customer, isReported: false };
  const now = new Date(nowMs).toISOString();
  if (customer.missing_since === null)
    return {
      kind: "missing",
      customer: { ...customer, missing_since: now, ...confirmed },
      isReported: true,
    };
  if (!isMissingLongEnough(customer, nowMs) || !refusing.has(tenantId))
    return { kind: "missing", customer: { ...customer, ...confirmed }, isReported: false };
  if (customer.confirmed_missing !== true && manyRefuse(situation))
    return { kind: "missing", customer, isReported: false };
  // What was not enrolled before, and is configured, a person configured. A person also has to say first
  // whose settings new customers get instead of this one's.
  const name = configured.get(tenantId);
  const isOurs = wasEnrolled(customer) && name !== defaults;
  const by = name !== undefined && !isOurs ? "operator" : customer.by;
  const { enrolling: _, confirmed_missing: __, ...known } = customer;
  const ended = { ...known, decided: "ended", ended_at: now, by } as const;
  // It was never reported, so its end is not either.
  return { kind: "ended", customer: ended, isReported: customer.decided !== "excluded" };
}

function isEndedLongAgo({ decided, ended_at, last_seen }: DiscoveredCustomer, nowMs: number): boolean {
  return decided === "ended" && nowMs - Date.parse(ended_at ?? last_seen) >= KEEP_ENDED_MS;
}

function isMissingLongEnough({ missing_since, decided }: DiscoveredCustomer, nowMs: number): boolean {
  return decided !== "ended" && missing_since !== null && nowMs - Date.parse(missing_since) >= MISSING_FOR_MS;
}
