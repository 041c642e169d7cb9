import type {
  CustomerListing,
  Discovered,
  DiscoveredCustomer,
  DiscoveryHost,
  DiscoveryReport,
  NewCustomer,
} from "../../model/discovered.ts";
import type { Failure } from "../../model/failure.ts";
import type { TenantId } from "../../model/tenant.ts";
import { type DiscoveryRules, judge, suspects } from "./discovery-rules.ts";
import { failureOf } from "./findings.ts";

/** What is remembered between two passes. */
export interface DiscoveryMemory {
  /** Throws Failure `state-damaged`. */
  load(): { readonly discovered: Discovered; readonly text: string | undefined };
  /** @param readText what `load` returned. */
  save(discovered: Discovered, readText: string | undefined): Promise<void>;
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
 * Reads the list once and does what the rules say: asks suspects' tenants, changes the configuration, then
 * remembers it. Throws Failure if the list cannot be used or nothing can be remembered; the configuration is
 * then as it was, or holds changes that the next pass finds in it.
 */
export async function discoveryPass(parts: PassParts, options: PassOptions = {}): Promise<DiscoveryReport> {
  const { rules, memory, host, nowMs, readList } = parts;
  const { isDry = false, isConfirmed = false } = options;
  const { discovered: known, text } = memory.load();
  const listing = await readList();
  const configured = await host.configured();
  const refusing = new Set<TenantId>();
  // What is not configured has no access that could be lost.
  for (const tenantId of suspects({ nowMs: nowMs(), known, listing }))
    if (!configured.has(tenantId) || (await host.refuses(tenantId))) refusing.add(tenantId);
  const { next, findings, toEnrol } = judge(rules, {
    nowMs: nowMs(),
    known,
    listing,
    configured,
    refusing,
    isConfirmed,
  });

  const customers = new Map(next.customers);
  const failures = new Map<TenantId, Failure>();
  const enrolled = new Set<TenantId>();
  const removed = new Set<TenantId>();
  const wanted = isConfirmed ? announcedIn(next) : toEnrol;
  if (!isDry) {
    const additions = wanted.flatMap((tenantId): NewCustomer[] => {
      const customer = customers.get(tenantId);
      return customer === undefined ? [] : [{ tenantId, name: customer.name }];
    });
    const notAdded = additions.length > 0 ? await host.enrol(additions) : new Map<TenantId, Failure>();
    for (const { tenantId } of additions) {
      const failure = notAdded.get(tenantId);
      if (failure !== undefined) failures.set(tenantId, failure);
      else {
        enrolled.add(tenantId);
        change(customers, tenantId, { decided: "enrolled", by: "discovery" });
      }
    }
    const over = findings.filter(
      ({ kind, customer, wasPolled }) => kind === "ended" && wasPolled === true && customer.by === "discovery",
    );
    const notRemoved =
      over.length > 0
        ? await host.remove(over.map(({ tenantId, customer }) => ({ tenantId, name: customer.name })))
        : new Map<TenantId, Failure>();
    for (const { tenantId } of over) {
      const failure = notRemoved.get(tenantId);
      if (failure === undefined) removed.add(tenantId);
      else {
        failures.set(tenantId, failure);
        // It is still polled, so it has not ended: the next pass tries again.
        const before = known.customers.get(tenantId);
        if (before !== undefined) customers.set(tenantId, before);
      }
    }
    for (const { kind, tenantId } of findings) if (kind === "forgotten") await host.forget(tenantId);
    await memory.save({ ...next, customers }, text);
  }
  const stayed = new Set([...failures.keys()].filter((tenantId) => !wanted.includes(tenantId)));
  return {
    customers,
    changes: findings
      .filter(({ kind, tenantId }) => !(kind === "ended" && stayed.has(tenantId)))
      .map((finding) => ({ ...finding, failure: failureOf(finding, { enrolled: enrolled.has(finding.tenantId) }) })),
    wanted,
    enrolled,
    removed,
    failures,
  };
}

function announcedIn({ customers }: Discovered): readonly TenantId[] {
  return [...customers].flatMap(([tenantId, { decided, missing_since }]) =>
    decided === "announced" && missing_since === null ? [tenantId] : [],
  );
}

function change(
  customers: Map<TenantId, DiscoveredCustomer>,
  tenantId: TenantId,
  to: Partial<DiscoveredCustomer>,
): void {
  const before = customers.get(tenantId);
  if (before !== undefined) customers.set(tenantId, { ...before, ...to });
}
