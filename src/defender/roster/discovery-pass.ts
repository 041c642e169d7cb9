import type {
  CustomerListing,
  Discovered,
  DiscoveryHost,
  DiscoveryReport,
  NamedCustomer,
} from "../../model/discovered.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { TenantId } from "../../model/tenant.ts";
import { type DiscoveryRules, judge, type Situation, suspects } from "./discovery-rules.ts";
import { failureOf } from "./findings.ts";

/** What is remembered between two passes. */
export interface DiscoveryMemory {
  /** Throws Failure `state-damaged`. */
  load(): {
    readonly discovered: Discovered;
    readonly text: string | undefined;
    /** What was remembered cannot be read, so `discovered` is empty. */
    readonly isDamaged?: boolean;
  };
  /**
   * Resolves to the text that is there now.
   *
   * @param text what `load`, or `save` before, returned.
   */
  save(discovered: Discovered, text: string | undefined): Promise<string>;
}

export interface PassParts {
  readonly rules: DiscoveryRules;
  readonly memory: DiscoveryMemory;
  readonly host: DiscoveryHost;
  readonly nowMs: () => number;
  readonly readList: () => Promise<CustomerListing>;
}

export interface PassOptions {
  /** Nothing is written, neither here nor in the configuration. */
  readonly isDry?: boolean;
  /** A person asked for it: the list is believed, and all announced customers are enrolled. */
  readonly isConfirmed?: boolean;
}

/**
 * Reads the list once and does what the rules say: asks suspects' tenants, tells the host, and changes the
 * configuration. Throws Failure if the list cannot be used, or nothing can be remembered.
 *
 * Splunk may end this process at the first change of its inputs. So everything is reported and remembered
 * before, and what is not changed then is found again by the next pass.
 */
export async function discoveryPass(parts: PassParts, options: PassOptions = {}): Promise<DiscoveryReport> {
  const { rules, memory, host, nowMs, readList } = parts;
  const { isDry = false, isConfirmed = false } = options;
  const { discovered: known, text, isDamaged: isMemoryLost = false } = memory.load();
  const listing = await readList();
  const { names: configured, unresolved } = await host.configured();
  const isUnsure = unresolved.length > 0;
  const refusing = new Set<TenantId>();
  // What is not configured has no access that could be lost; while that is unsure, nobody counts as such.
  for (const tenantId of suspects({ nowMs: nowMs(), known, listing })) {
    const name = configured.get(tenantId);
    if (name === undefined ? !isUnsure : await host.refuses({ tenantId, name })) refusing.add(tenantId);
  }
  // How many refuse at once tells whether it is their doing; a person who confirms the list knows.
  if (!isConfirmed && !isDry && [...refusing].some((tenantId) => configured.has(tenantId)))
    for (const [tenantId, name] of configured)
      if (!refusing.has(tenantId) && (await host.refuses({ tenantId, name }))) refusing.add(tenantId);
  const situation: Situation = {
    nowMs: nowMs(),
    known,
    listing,
    configured,
    isUnsure,
    refusing,
    isMemoryLost,
    isConfirmed,
  };
  const rejection = isDry ? rejectionOf(rules, situation) : undefined;
  const { next, findings, toEnrol, toForget } = judge(
    rules,
    rejection === undefined ? situation : { ...situation, isConfirmed: true },
  );
  // A dry run shows what `--apply` would do.
  const wanted = isConfirmed || isDry ? announcedIn(next) : toEnrol;
  const beingEnrolled = new Set(isDry || isUnsure ? [] : wanted);
  const changes = findings.map((finding) => ({
    ...finding,
    failure: failureOf(finding, { enrolled: beingEnrolled.has(finding.tenantId) }),
  }));
  const report = { changes, wanted, enrolled: new Set<TenantId>(), removed: new Set<TenantId>() };
  if (isDry)
    return {
      ...report,
      customers: next.customers,
      failures: new Map(),
      ...(rejection === undefined ? {} : { rejection }),
    };

  const customers = new Map(next.customers);
  const over = findings.filter(
    ({ kind, customer, wasPolled }) => kind === "ended" && wasPolled === true && customer.by === "discovery",
  );
  const removals = over.map(({ tenantId, customer }) => ({
    tenantId,
    // A person may have given it another one.
    name: configured.get(tenantId) ?? customer.name,
  }));
  const asBefore = new Map(over.map(({ tenantId, customer }) => [tenantId, { ...customer, ...STILL_POLLED }]));
  await host.tell?.(changes);
  const additions = wanted
    .flatMap((tenantId): NamedCustomer[] => {
      const customer = customers.get(tenantId);
      return customer === undefined ? [] : [{ tenantId, name: customer.name }];
    })
    // People read the configuration.
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const intended = isUnsure
    ? []
    : additions.flatMap(({ tenantId }) => {
        const customer = customers.get(tenantId);
        return customer === undefined ? [] : [[tenantId, { ...customer, enrolling: true }] as const];
      });
  const saved = { ...next, customers: new Map([...customers, ...asBefore, ...intended]) };
  const savedText = await memory.save(saved, text);

  const failures = new Map<TenantId, Failure>();
  const notAdded = isUnsure
    ? new Map(additions.map((one) => [one.tenantId, notSure(one, unresolved)]))
    : additions.length > 0
      ? await host.enrol(additions)
      : NOTHING_FAILED;
  for (const { tenantId } of additions) {
    const customer = customers.get(tenantId);
    const failure = notAdded.get(tenantId);
    if (failure !== undefined) failures.set(tenantId, failure);
    else if (customer !== undefined) {
      report.enrolled.add(tenantId);
      customers.set(tenantId, { ...customer, decided: "enrolled", by: "discovery" });
    }
  }
  const notRemoved = removals.length > 0 ? await host.remove(removals) : NOTHING_FAILED;
  for (const [tenantId, customer] of asBefore) {
    const failure = notRemoved.get(tenantId);
    if (failure === undefined) report.removed.add(tenantId);
    else {
      failures.set(tenantId, failure);
      customers.set(tenantId, customer);
    }
  }
  const doneText = await memory.save({ ...next, customers }, savedText);
  // What this host cannot forget is forgotten by the next pass of one that can.
  if (host.forget === undefined || toForget.length === 0) return { ...report, customers, failures };
  for (const tenantId of toForget) {
    try {
      await host.forget(tenantId);
      customers.delete(tenantId);
    } catch (error) {
      if (!isFailure(error)) throw error;
      failures.set(tenantId, error);
    }
  }
  await memory.save({ ...next, customers }, doneText);
  return { ...report, customers, failures };
}

/** Why the list would change nothing, if a person who looks at it can say that it is right. */
function rejectionOf(rules: DiscoveryRules, situation: Situation): Failure | undefined {
  try {
    judge(rules, situation);
    return undefined;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return error;
  }
}

function notSure({ name, tenantId }: NamedCustomer, unresolved: readonly string[]): Failure {
  const [first = ""] = unresolved;
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "later" },
    say: `The tenant of the configured customer ${first} is not known now. ${name} (${tenantId}) may be the same, so it is not enrolled.`,
    nextStep: `Correct \`tenant_id\` and the settings of ${first}. It is tried again within the hour.`,
  });
}

const NOTHING_FAILED: ReadonlyMap<TenantId, Failure> = new Map();

/** A customer has not ended before it is out of the configuration. */
const STILL_POLLED = { decided: "enrolled", ended_at: null } as const;

function announcedIn({ customers }: Discovered): readonly TenantId[] {
  return [...customers].flatMap(([tenantId, { decided, missing_since }]) =>
    decided === "announced" && missing_since === null ? [tenantId] : [],
  );
}
