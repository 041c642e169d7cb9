import type { HealthEvent } from "../model/event.ts";
import { isFailure } from "../model/failure.ts";
import type { Clock, Log } from "../model/ports.ts";
import {
  type ContractCustomer,
  type RosterDifference,
  type RosterGap,
  type RosterReport,
  rosterSentences,
} from "../model/roster-report.ts";
import type { CustomerStatus } from "../model/status.ts";
import { ReportOnce } from "./report-once.ts";

/** Health events come hourly; the dashboard calls a customer silent after the same time without one. */
const SILENT_AFTER_MS = 7_500_000;
const LOOK_EVERY_MS = 300_000;
const HOURLY_MS = 3_600_000;
/** More differences are counted: an event stays below what Splunk reads of one. */
const LISTED_MOST = 200;
/** A query may run once a day. */
const NOT_POLLED = "hunting";

export interface RosterComparison {
  readonly underContract: readonly ContractCustomer[];
  readonly customers: readonly CustomerStatus[];
  readonly nowMs: number;
  /** How long this program has been collecting: before two hours nobody is silent. */
  readonly collectingForMs: number;
}

/** Who is under contract, configured, consented, collected and silent, and who differs. */
export function compareRoster({ underContract, customers, nowMs, collectingForMs }: RosterComparison): RosterReport {
  const byCustomer = [...Map.groupBy(customers, keyOf).values()];
  const contracts = new Map(underContract.map((one) => [one.tenantId as string, one]));
  const names = new Set(customers.filter(({ tenantId }) => tenantId === "").map(({ tenant }) => tenant.toLowerCase()));
  const known = new Set(customers.map(({ tenantId }) => tenantId));
  const differences: RosterDifference[] = [];
  const differ = (tenant: string, tenant_id: string, difference: RosterGap) =>
    differences.push({ tenant, tenant_id, difference });
  let [consented, collected, silent] = [0, 0, 0];
  for (const { tenantId, name, isExcluded } of underContract)
    if (!isExcluded && !known.has(tenantId) && !names.has(name.toLowerCase())) differ(name, tenantId, "not-configured");
  for (const inputs of byCustomer) {
    const { tenant, tenantId } = inputs[0]!;
    if (tenantId !== "" && !contracts.has(tenantId)) differ(tenant, tenantId, "not-under-contract");
    const isCollected = inputs.every((input) => isPolled(input, nowMs));
    if (isCollected) collected += 1;
    if (inputs.some(({ streams }) => streams.some(({ state }) => state === "awaiting-consent"))) {
      differ(tenant, tenantId, "not-consented");
      continue;
    }
    if (!isCollected && !inputs.some(hasToken)) continue;
    consented += 1;
    if (isCollected || collectingForMs < SILENT_AFTER_MS) continue;
    silent += 1;
    differ(tenant, tenantId, "silent");
  }
  const isSame = differences.length === 0;
  return {
    under_contract: underContract.length,
    configured: byCustomer.length,
    consented,
    collected,
    silent,
    failure: isSame ? null : "roster-difference",
    actor: isSame ? null : "operator",
    say: rosterSentences(differences),
    next_step: isSame ? null : "Run `defender-mssp customers list --against` to see all of them.",
    differences: differences.slice(0, LISTED_MOST),
    more: Math.max(0, differences.length - LISTED_MOST),
  };
}

/** Two inputs of one tenant are one customer. */
function keyOf({ tenant, tenantId }: CustomerStatus): string {
  return tenantId === "" ? `name ${tenant.toLowerCase()}` : tenantId;
}

function isPolled({ streams }: CustomerStatus, nowMs: number): boolean {
  // It has no streams while its tenant is still asked for.
  return (
    streams.length > 0 &&
    streams.every(
      ({ stream, state, walk_completed_at }) =>
        (stream === NOT_POLLED && state === "ok") ||
        (walk_completed_at !== null && nowMs - Date.parse(walk_completed_at) <= SILENT_AFTER_MS),
    )
  );
}

function hasToken({ streams, permissions }: CustomerStatus): boolean {
  return (permissions?.granted.length ?? 0) > 0 || streams.some(({ walk_completed_at }) => walk_completed_at !== null);
}

export interface RosterWatchParts {
  /** Undefined while no list of customers was read. */
  readonly underContract: () => Promise<readonly ContractCustomer[] | undefined>;
  readonly customers: () => readonly CustomerStatus[];
  readonly send: (event: HealthEvent) => Promise<void>;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Compares the customers with the list: one health event for the first comparison of a run, one per change,
 * and hourly while something differs.
 */
export class RosterWatch {
  readonly #p: RosterWatchParts;
  readonly #beganAtMs: number;
  readonly #failures = new ReportOnce();
  #latest: RosterReport | undefined;
  /** What the last event of this run said differs; the run before may have said something else. */
  #sent: string | undefined;
  /** What the log said last differs. */
  #logged = "";
  #dueAtMs = 0;

  constructor(parts: RosterWatchParts) {
    this.#p = parts;
    this.#beganAtMs = parts.clock.monotonicMs();
  }

  /** The last comparison; undefined without a list. */
  get latest(): RosterReport | undefined {
    return this.#latest;
  }

  /** Looks every five minutes until `stop` fires; the first customers are polled by the first look. */
  async run(stop: AbortSignal): Promise<void> {
    for (;;) {
      await this.#p.clock.pause(LOOK_EVERY_MS, stop);
      if (stop.aborted) return;
      await this.look();
    }
  }

  async look(): Promise<void> {
    const { clock, customers, log, send, version } = this.#p;
    const underContract = await this.#readList();
    this.#latest = undefined;
    if (underContract === undefined) return;
    const [nowMs, monotonicMs] = [clock.nowMs(), clock.monotonicMs()];
    const collectingForMs = monotonicMs - this.#beganAtMs;
    const roster = compareRoster({ underContract, customers: customers(), nowMs, collectingForMs });
    this.#latest = roster;
    const now = roster.failure === null ? "" : JSON.stringify([roster.differences, roster.more]);
    const isChange = now !== this.#sent;
    if (!isChange && (now === "" || monotonicMs < this.#dueAtMs)) return;
    const isUnsaid = now !== this.#logged;
    this.#logged = now;
    if (isUnsaid && roster.failure === null) log.info(roster.say);
    else if (isUnsaid)
      log.warn(roster.say, { failure: roster.failure ?? undefined, next_step: roster.next_step ?? undefined });
    const event: HealthEvent = {
      time: new Date(nowMs).toISOString(),
      tenant: "",
      tenant_id: "",
      input: "",
      streams: [],
      credential: null,
      credential_days_left: null,
      version,
      roster,
    };
    try {
      await send(event);
    } catch (error) {
      // The next look tries again; the output itself is reported elsewhere.
      if (!isFailure(error)) throw error;
      return;
    }
    this.#sent = now;
    this.#dueAtMs = monotonicMs + HOURLY_MS;
  }

  async #readList(): Promise<readonly ContractCustomer[] | undefined> {
    try {
      return await this.#p.underContract();
    } catch (error) {
      if (!isFailure(error)) throw error;
      if (this.#failures.reportOnce(`${error.code} ${error.say}`))
        this.#p.log.warn(error.say, { failure: error.code, next_step: error.nextStep || undefined });
      return undefined;
    }
  }
}
