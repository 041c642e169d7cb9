import { ReportOnce } from "../collect/report-once.ts";
import { asFailure, isFailure } from "../model/failure.ts";
import type { Clock, Log } from "../model/ports.ts";
import type { ConfiguredCustomer } from "../model/roster.ts";
import type { FleetRosterRead } from "../stores/postgres/roster.ts";
import type { Collector } from "./collector.ts";
import { collectedElsewhere, type RosterCustomers } from "./fleet-roster.ts";

/** A look reads one row. A change counts within a minute: the rest is for many customers that begin. */
const LOOK_EVERY_MS = 5_000;

export interface RosterWatchParts {
  /** Undefined: nothing changed since that revision. Throws Failure. */
  readonly read: (revision: string | undefined) => Promise<FleetRosterRead | undefined>;
  /** Names of members of an older release that must give up what they have. Throws Failure. */
  readonly drainOlder: () => Promise<readonly string[]>;
  readonly customersOf: (rows: readonly ConfiguredCustomer[]) => RosterCustomers;
  /** False: this member collects none of them, and health of each says so. */
  readonly areCollected: boolean;
  /** Begins and ends what is this member's. */
  readonly use: (customers: RosterCustomers) => Promise<void>;
  /** Of the roster: called when it cannot be read. */
  readonly health: () => ReturnType<Collector["healthOf"]>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Notices changes of the customers in the fleet's database. */
export class RosterWatch {
  readonly #p: RosterWatchParts;
  readonly #reported = new ReportOnce();
  #read: FleetRosterRead | undefined;
  #health: ReturnType<Collector["healthOf"]> | undefined;
  #isFailing = false;
  #mustParse = false;

  constructor(parts: RosterWatchParts) {
    this.#p = parts;
  }

  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await this.#p.clock.pause(LOOK_EVERY_MS, stop);
      if (!stop.aborted) await this.look();
    }
  }

  /** Rejects only for a defect. What is known stays in use while the database does not answer. */
  async look(): Promise<void> {
    const { read, drainOlder, customersOf, areCollected, use, log } = this.#p;
    try {
      const changed = await read(this.#read?.revision);
      const rows = changed ?? this.#read;
      if (rows !== undefined && (changed !== undefined || this.#mustParse)) {
        const customers = customersOf(rows.customers);
        if (changed !== undefined)
          log.info("the customers of the fleet's database were read", { customers: rows.customers.length });
        for (const sentence of customers.differing) if (this.#reported.reportOnce(sentence)) log.warn(sentence);
        await use(areCollected ? customers : collectedElsewhere(customers));
        this.#read = rows;
        // A file that settings name may become readable, which changes no row.
        this.#mustParse = customers.entries.some((one) => "misconfigured" in one);
      }
      const older = await drainOlder();
      if (older.length > 0)
        log.warn("members of an older release do not collect the customers of the database, so they are drained", {
          members: older.join(", "),
        });
      if (this.#isFailing) this.#health?.be("ok");
      this.#isFailing = false;
    } catch (error) {
      if (!isFailure(error)) throw error;
      const failure = asFailure(error);
      if (this.#reported.reportOnce(`${failure.code} ${failure.say}`))
        log.error(failure.say, { failure: failure.code, next_step: failure.nextStep || undefined });
      // While the database is gone, the member says it. Anything else silences customers that nobody sees.
      if (failure.code === "fleet-unreachable") return;
      this.#isFailing = true;
      this.#health ??= this.#p.health();
      this.#health.be("failing", failure);
    }
  }
}
