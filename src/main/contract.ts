import { ReportOnce } from "../collect/report-once.ts";
import { isListed } from "../model/discovered.ts";
import type { Log } from "../model/ports.ts";
import type { ContractCustomer } from "../model/roster-report.ts";
import { readDiscovered } from "../stores/disk/discovered-file.ts";
import { realDisk } from "../stores/disk/disk.ts";

/**
 * Who is under contract, by the last list of customers that was believed; undefined before the first one.
 * Throws Failure `state-damaged` for a file of a newer release, `state-unreadable`.
 */
export function contractIn(stateDir: string, log: Pick<Log, "warn">): readonly ContractCustomer[] | undefined {
  const { discovered } = readDiscovered({ disk: realDisk }, log, stateDir);
  if (discovered.listed_at === null) return undefined;
  return [...discovered.customers].flatMap(([tenantId, customer]) =>
    isListed(customer) ? [{ tenantId, name: customer.name, isExcluded: customer.decided === "excluded" }] : [],
  );
}

/** The same for a collector, which looks again and again: what is wrong with the file is said once. */
export function contractWatch(stateDir: string, log: Log): () => Promise<readonly ContractCustomer[] | undefined> {
  const said = new ReportOnce();
  const once: Pick<Log, "warn"> = {
    warn: (text, fields) => {
      if (said.reportOnce(text)) log.warn(text, fields);
    },
  };
  return async () => contractIn(stateDir, once);
}
