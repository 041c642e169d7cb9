import { ReportOnce } from "../collect/report-once.ts";
import type { ListedCustomer } from "../config/customer-list.ts";
import { customersByTenant, enrol, type FileListing, remove } from "../hosts/cli/discovered-customers.ts";
import type { RosterPlace } from "../hosts/cli/roster-place.ts";
import type {
  CustomerListing,
  Discovered,
  DiscoveryHost,
  DiscoveryReport,
  DiscoverySettings,
} from "../model/discovered.ts";
import { isRefusal } from "../model/discovered.ts";
import { asFailure } from "../model/failure.ts";
import type { Clock, Log } from "../model/ports.ts";
import type { OnboardingServices } from "../model/sign-in.ts";
import type { CustomerStatus } from "../model/status.ts";
import type { TenantId } from "../model/tenant.ts";
import type { CollectorForDiscovery, Discovery } from "./collector.ts";

const HOUR_MS = 3_600_000;
/** After the start, so that the customers' own first polls are not delayed. */
const FIRST_AFTER_MS = 5_000;
/**
 * The list of customers in health events; no customer has this name, because a list is not an organisation.
 */
const LIST = "list of customers";

export interface DiscoveryLoopParts {
  readonly settings: DiscoverySettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly services: Pick<OnboardingServices, "roster" | "nowMs">;
  /** Reads the configuration again. */
  readonly place: () => Promise<RosterPlace>;
  /** Reads the list once: the one pass, with the home app's secret or the file as they are now. */
  readonly pass: (host: DiscoveryHost, rows: Rows, stop: AbortSignal) => Promise<DiscoveryReport>;
  /** Throws Failure `state-damaged`. */
  readonly remembered: () => Discovered;
  /** Called when customers were written to the configuration, or taken out. */
  readonly changed: () => void;
}

/** Keeps the rows of a file for those that are enrolled from it. */
export interface Rows {
  keep(list: FileListing): CustomerListing;
}

/** Reads the list of customers every `discover_hours`, and tells health events what it says. */
export function discoveryLoop(parts: DiscoveryLoopParts): Discovery {
  const { settings, clock, log } = parts;
  const everyMs = settings.everyHours * HOUR_MS;
  return {
    async run(collector, stop) {
      const health = collector.healthOf({ name: LIST, id: "" });
      const failures = new ReportOnce();
      await clock.pause(firstInMs(parts, everyMs), stop);
      while (!stop.aborted) {
        let hasWritten = false;
        const written = (): void => {
          hasWritten = true;
        };
        try {
          const report = await passOnce(parts, collector, { written, stop });
          // Who could not be written is not polled, and nobody looks at the log.
          const [failure] = report.failures.values();
          if (failure === undefined) health.be("ok");
          else health.be("failing", failure);
          log.info("the list of customers was read", {
            customers: report.customers.size,
            enrolled: report.enrolled.size,
            removed: report.removed.size,
          });
        } catch (error) {
          const failure = asFailure(error);
          if (stop.aborted) return;
          health.be("failing", failure);
          if (failure.code === "defect" && failures.reportOnce(failure.say))
            log.error(failure.say, { failure: failure.code });
        } finally {
          // What is in the file counts, whatever failed after that.
          if (hasWritten) parts.changed();
        }
        await clock.pause(everyMs, stop);
      }
    },
  };
}

/**
 * A restart must not make two lists of one hour. Customers that wait to be enrolled do not wait for the next
 * one: Splunk restarts this program at the first input that it writes.
 */
function firstInMs({ settings, clock, remembered }: DiscoveryLoopParts, everyMs: number): number {
  let known: Discovered;
  try {
    known = remembered();
  } catch {
    // The pass says what is wrong.
    return FIRST_AFTER_MS;
  }
  const waits = [...known.customers.values()].some(
    ({ decided, by, missing_since }) => decided === "announced" && by === "discovery" && missing_since === null,
  );
  if (known.listed_at === null || (settings.mode === "enrol" && waits)) return FIRST_AFTER_MS;
  const dueInMs = Date.parse(known.listed_at) + everyMs - clock.nowMs();
  // A clock that was set back must not stop discovery for longer than one pause.
  return Math.min(everyMs, Math.max(FIRST_AFTER_MS, dueInMs));
}

interface PassUntil {
  /** Called for each customer that was written, or taken out. */
  readonly written: () => void;
  readonly stop: AbortSignal;
}
async function passOnce(
  parts: DiscoveryLoopParts,
  collector: CollectorForDiscovery,
  { written, stop }: PassUntil,
): Promise<DiscoveryReport> {
  const { settings, services, log } = parts;
  const rows = new Map<TenantId, ListedCustomer>();
  const placeNow = async () => noting(await parts.place(), written);
  const place = await placeNow();
  // Taken once for all of thousands of customers, because taking it costs as much as all of them.
  let statuses: ReadonlyMap<string, readonly CustomerStatus[]> | undefined;
  const host: DiscoveryHost = {
    configured: () => customersByTenant(services, place),
    refuses: ({ tenantId }) => {
      statuses ??= Map.groupBy(collector.status().customers, (one) => one.tenantId);
      return Promise.resolve(isRefusing(statuses.get(tenantId) ?? []));
    },
    enrol: (customers) => enrol(services, place, customers, { settings, credential: undefined, rows, flags: {} }),
    // Customers were added to it since.
    remove: async (customers) => remove(services, await placeNow(), customers),
    forget: (tenantId) => collector.forget(tenantId),
    async tell(changes) {
      for (const { kind, customer, tenantId, before, failure } of changes) {
        if (failure !== undefined) await collector.announce({ name: customer.name, id: tenantId }, failure);
        else if (kind === "renamed")
          log.info("a customer has another name in the list now; it keeps its own", {
            tenant: customer.name,
            before,
            now: customer.listed_name,
          });
      }
    },
  };
  const report = await parts.pass(
    host,
    {
      keep(list) {
        for (const [tenantId, row] of list.rows) rows.set(tenantId, row);
        for (const say of list.wrong) log.warn("a row of the list of customers is not used", { say });
        return list;
      },
    },
    stop,
  );
  for (const [tenantId, failure] of report.failures)
    log.error(failure.say, {
      tenant: report.customers.get(tenantId)?.name,
      failure: failure.code,
      next_step: failure.nextStep || undefined,
    });
  return report;
}

/** The place, which tells of each change that was made. */
function noting(place: RosterPlace, written: () => void): RosterPlace {
  return {
    ...place,
    write: (changes, report) =>
      place.write(changes, (change, failure) => {
        if (failure === undefined) written();
        report(change, failure);
      }),
  };
}

/** Every stream of the customer's inputs was refused at its last try. One still asked does not count. */
function isRefusing(inputs: readonly CustomerStatus[]): boolean {
  const streams = inputs.flatMap((one) => one.streams);
  return (
    streams.length > 0 &&
    streams.every(({ failure, actor }) => failure !== null && actor !== null && isRefusal(failure, actor))
  );
}
