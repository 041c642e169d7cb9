import { Failure, isFailure } from "../model/failure.ts";
import { ticksFromMs } from "../model/instant.ts";
import type { Chance, Clock, Log, Outlet, SourceStream } from "../model/kit.ts";
import type { LedgerEntry, StateFolder, StreamStore } from "../model/state.ts";
import type { StartPoint } from "../model/stanza.ts";
import type { Tenant } from "../model/tenant.ts";
import { Budgets } from "./budget.ts";
import type { PollerSettings } from "./poller.ts";
import { StreamPoller, asFailure } from "./poller.ts";
import { Provisional, provisionalAtEnd } from "./provisional.ts";
import type { CredentialReport } from "./report.ts";
import { CustomerReport } from "./report.ts";
import { Turns } from "./turns.ts";

/** First polls are spread so that a restart of the whole fleet asks for tokens at no more than this rate. */
const FIRST_POLLS_PER_SECOND = 50;

/** One customer as the fleet runs it. */
export interface Customer {
  /** The stanza's name. */
  readonly stanza: string;
  readonly tenant: Tenant;
  readonly settings: PollerSettings;
  readonly start: StartPoint;
  readonly sources: readonly SourceStream[];
  readonly credential?: CredentialReport;
}

export interface FleetParts {
  readonly customers: readonly Customer[];
  readonly state: StateFolder;
  readonly outlet: Outlet;
  readonly replayMib: number;
  /** Pages read at once over all customers. */
  readonly concurrency: number;
  readonly version: string;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
}

/** One customer's result of a single complete round. */
export interface RoundResult {
  readonly customer: Customer;
  readonly failures: readonly { readonly stream: string; readonly failure: Failure }[];
}

/**
 * All customers of one process. Each stream of each customer has its own loop; what they share is turns (pages at once), budgets, the provisional window and the
 * outlet.
 */
export class Fleet {
  readonly #p: FleetParts;
  readonly #provisional: Provisional;
  readonly #turns: Turns;
  readonly #budgets: Budgets;
  readonly #members: { readonly customer: Customer; readonly report: CustomerReport; readonly pollers: StreamPoller[] }[] = [];

  private constructor(parts: FleetParts) {
    this.#p = parts;
    this.#provisional = new Provisional(parts.clock, parts.replayMib * 1024 * 1024);
    this.#turns = new Turns(parts.concurrency);
    this.#budgets = new Budgets(parts.clock);
  }

  /** Opens every stream's state; after a stop without order, what may not have arrived is marked to be sent again. */
  static async open(parts: FleetParts): Promise<Fleet> {
    const fleet = new Fleet(parts);
    await fleet.#open();
    return fleet;
  }

  async #open(): Promise<void> {
    const { customers, state, clock, log } = this.#p;
    const late: { poller: StreamPoller; entries: readonly LedgerEntry[] }[] = [];
    for (const customer of customers) {
      const report = new CustomerReport({
        tenant: customer.tenant,
        clock,
        log,
        version: this.#p.version,
        ...(customer.credential ? { credential: customer.credential } : {}),
        send: (event) => this.#p.outlet.health(event),
      });
      const pollers: StreamPoller[] = [];
      for (const source of customer.sources) {
        const opened = await state.open({ stanza: customer.stanza, tenantId: customer.tenant.id, stream: source.name });
        const { store, entries } = withLateEntries(opened, !opened.stoppedInOrder);
        const poller = new StreamPoller({
          stanza: customer.stanza,
          tenant: customer.tenant,
          settings: customer.settings,
          source,
          store,
          start: customer.start.kind === "at" ? customer.start.at : ticksFromMs(clock.nowMs() - customer.start.ms),
          outlet: this.#p.outlet,
          budget: this.#budgets.of(source.budgetKey, source.limits),
          turns: this.#turns,
          provisional: this.#provisional,
          report: report.stream(source.name),
          customer: report,
          clock,
          chance: this.#p.chance,
          log,
        });
        pollers.push(poller);
        if (entries.length > 0) late.push({ poller, entries });
      }
      this.#members.push({ customer, report, pollers });
    }
    if (this.#p.outlet.kind === "provisional") this.#replayAfterCrash(late);
  }

  #replayAfterCrash(late: readonly { readonly poller: StreamPoller; readonly entries: readonly LedgerEntry[] }[]): void {
    const taken = provisionalAtEnd(
      late.map((l) => l.entries),
      this.#p.replayMib * 1024 * 1024,
    );
    let versions = 0;
    late.forEach(({ poller, entries }, i) => {
      for (const entry of entries.slice(entries.length - taken[i]!)) {
        poller.askForReplay({ hash: entry.hash, updated: entry.updated, askFrom: poller.askFromOf(entry) });
        versions += 1;
      }
    });
    if (versions > 0) this.#p.log.warn("the last run did not stop in order: what it wrote last is read and sent again with equal keys", { versions });
  }

  /** Polls everybody until `stop`. Rejects with a Failure when the host or the state folder is gone; everything else stays with its customer. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, chance } = this.#p;
    const everybody = new AbortController();
    const stopEverybody = AbortSignal.any([stop, everybody.signal]);
    const now = clock.nowMs();
    const all = this.#members.flatMap((m) => m.pollers.map((poller) => ({ poller, pollMs: m.customer.settings.pollSeconds * 1000 })));
    const overdueFirst = [...all].sort((a, b) => a.poller.mark.nextPollAtMs - b.poller.mark.nextPollAtMs);
    let fatal: Failure | undefined;
    await Promise.all(
      overdueFirst.map(async ({ poller, pollMs }, place) => {
        const spreadMs = Math.min(pollMs, (place * 1000) / FIRST_POLLS_PER_SECOND) + (place === 0 ? 0 : chance.next() * (1000 / FIRST_POLLS_PER_SECOND));
        const dueMs = Math.min(pollMs, Math.max(0, poller.mark.nextPollAtMs - now));
        try {
          await poller.run(stopEverybody, Math.max(dueMs, spreadMs));
        } catch (error) {
          fatal ??= asFailure(error);
          everybody.abort();
        }
      }),
    );
    await Promise.all(this.#members.map((m) => m.report.idle()));
    if (fatal) throw fatal;
  }

  /** One complete walk per stream, each customer once; failures are returned, not thrown. */
  async runOnce(stop: AbortSignal): Promise<readonly RoundResult[]> {
    return Promise.all(
      this.#members.map(async ({ customer, pollers, report }) => {
        const failures: { stream: string; failure: Failure }[] = [];
        await Promise.all(
          pollers.map(async (poller, i) => {
            try {
              await poller.round(stop);
            } catch (error) {
              failures.push({ stream: customer.sources[i]!.name, failure: asFailure(error) });
            }
          }),
        );
        await report.idle();
        return { customer, failures };
      }),
    );
  }

  /** A connection broke: everything provisional is read from Microsoft and sent again. Returns the number of versions. */
  replayProvisional(): number {
    const owners = new Map(this.#members.flatMap((m) => m.pollers).map((poller) => [poller.owner, poller] as const));
    const versions = this.#provisional.all();
    const woken = new Set<StreamPoller>();
    for (const version of versions) {
      const poller = owners.get(version.owner);
      if (!poller) continue;
      poller.askForReplay(version);
      woken.add(poller);
    }
    for (const poller of woken) poller.wakeUp();
    return versions.length;
  }

  /** What every customer's streams did since the process began. */
  summary(): readonly { readonly tenant: Tenant; readonly stream: string; readonly state: string; readonly totals: Readonly<Record<string, number>>; readonly failure?: string }[] {
    return this.#members.flatMap((m) =>
      m.report.streams.map((s) => ({ tenant: m.customer.tenant, stream: s.stream, state: s.state, totals: { ...s.totals }, ...(s.failure ? { failure: s.failure.code } : {}) })),
    );
  }

  /**
   * Saves every mark and closes the state. `orderly`: everything written counts as delivered, nothing repeats at the next start. Returns false when some state could not
   * be saved (the stop is then not an orderly one).
   */
  async close(options: { readonly orderly: boolean }): Promise<boolean> {
    let saved = true;
    for (const { pollers } of this.#members) {
      for (const poller of pollers) {
        try {
          await poller.close(options);
        } catch (error) {
          saved = false;
          this.#p.log.error("state could not be saved at stop", { failure: isFailure(error) ? error.code : String(error) });
        }
      }
    }
    return saved;
  }
}

const LATE_S = 3_600;

/** Hands the journal on and remembers its last hour, when that is wanted. */
function withLateEntries(store: StreamStore, wanted: boolean): { readonly store: StreamStore; readonly entries: readonly LedgerEntry[] } {
  if (!wanted) return { store, entries: [] };
  const entries = store.takeEntries();
  const last = entries.reduce((latest, entry) => Math.max(latest, entry.writtenAtS), 0);
  const again: StreamStore = {
    key: store.key,
    stoppedInOrder: store.stoppedInOrder,
    mark: store.mark,
    takeEntries: () => entries,
    saveMark: (mark) => store.saveMark(mark),
    append: (more) => store.append(more),
    flush: () => store.flush(),
    compact: (kept) => store.compact(kept),
    close: () => store.close(),
  };
  return { store: again, entries: entries.filter((entry) => entry.writtenAtS >= last - LATE_S) };
}
