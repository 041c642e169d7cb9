import { Failure, isFailure } from "../model/failure.ts";
import { ticksFromMs } from "../model/instant.ts";
import type { Chance, Clock, Log, Outlet, SourceStream } from "../model/kit.ts";
import type { LedgerEntry, StateFolder, StateKey, StreamStore } from "../model/state.ts";
import type { StartPoint } from "../model/stanza.ts";
import type { StreamName } from "../model/stream.ts";
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

/** Someone configured for whom nothing can be collected: seen in health events, so that silence has a reason. */
export interface Refused {
  readonly tenant: Tenant;
  readonly streams: readonly StreamName[];
  readonly failure: Failure;
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
  readonly #refused: CustomerReport[] = [];
  #dueAtMs: Readonly<Record<string, number>> = {};
  #launch: ((poller: StreamPoller, inMs: number) => void) | undefined;
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
    const { customers, state, outlet, log } = this.#p;
    this.#dueAtMs = readDueTimes(await state.readFact(DUE_TIMES));
    const late: Late[] = [];
    for (const customer of customers) late.push(...(await this.#enrol(customer)));
    if (outlet.kind === "provisional") this.#replayAfterCrash(late);
    log.debug("customers opened", { customers: customers.length });
  }

  /** A customer who could not be named before (a tenant domain that did not resolve) joins the running fleet. */
  async add(customer: Customer): Promise<void> {
    const late = await this.#enrol(customer);
    if (this.#p.outlet.kind === "provisional") this.#replayAfterCrash(late);
    for (const poller of this.#members[this.#members.length - 1]!.pollers) this.#launch?.(poller, 0);
  }

  /** Tells of somebody who is configured but cannot be collected; again every hour while the fleet runs. */
  refuse(refused: Refused): void {
    const report = this.#reportOf(refused.tenant, undefined);
    const streams = refused.streams.map((stream) => report.stream(stream));
    for (const stream of streams) stream.be(refused.failure.area === "sign-in" ? "signed-out" : "failing", refused.failure);
    this.#refused.push(report);
  }

  #reportOf(tenant: Tenant, credential: CredentialReport | undefined): CustomerReport {
    return new CustomerReport({
      tenant,
      clock: this.#p.clock,
      log: this.#p.log,
      version: this.#p.version,
      ...(credential ? { credential } : {}),
      send: (event) => this.#p.outlet.health(event),
    });
  }

  async #enrol(customer: Customer): Promise<Late[]> {
    const { state, clock, log } = this.#p;
    const late: Late[] = [];
    const report = this.#reportOf(customer.tenant, customer.credential);
    const pollers: StreamPoller[] = [];
    for (const source of customer.sources) {
      const opened = await state.open({ stanza: customer.stanza, tenantId: customer.tenant.id, stream: source.name });
      const { store, entries } = withLateEntries(opened, !opened.stoppedInOrder);
      const due = this.#dueAtMs[dueName(store.key)];
      const poller = new StreamPoller({
        stanza: customer.stanza,
        tenant: customer.tenant,
        settings: customer.settings,
        source,
        store,
        start: customer.start.kind === "at" ? customer.start.at : ticksFromMs(clock.nowMs() - customer.start.ms),
        ...(due === undefined ? {} : { nextPollAtMs: due }),
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
    return late;
  }

  #replayAfterCrash(late: readonly Late[]): void {
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

  /** Polls everybody until `stop`, also when there is nobody. Rejects with a Failure when the host or the state folder is gone; everything else stays with its customer. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, chance } = this.#p;
    const everybody = new AbortController();
    const stopEverybody = AbortSignal.any([stop, everybody.signal]);
    const loops: Promise<void>[] = [];
    let fatal: Failure | undefined;
    this.#launch = (poller, inMs) => {
      loops.push(
        poller.run(stopEverybody, inMs).catch((error: unknown) => {
          fatal ??= asFailure(error);
          everybody.abort();
        }),
      );
    };
    const now = clock.nowMs();
    const all = this.#members.flatMap((m) => m.pollers.map((poller) => ({ poller, pollMs: m.customer.settings.pollSeconds * 1000 })));
    all.sort((a, b) => a.poller.mark.nextPollAtMs - b.poller.mark.nextPollAtMs);
    all.forEach(({ poller, pollMs }, place) => {
      const spreadMs = Math.min(pollMs, ((place + chance.next()) * 1000) / FIRST_POLLS_PER_SECOND);
      const dueMs = Math.min(pollMs, Math.max(0, poller.mark.nextPollAtMs - now));
      this.#launch?.(poller, Math.max(dueMs, spreadMs));
    });
    loops.push(this.#watch(stopEverybody));
    // Customers may join while the others run.
    for (let waited = 0; waited < loops.length; waited++) await loops[waited];
    this.#launch = undefined;
    if (fatal) throw fatal;
  }

  /** Once a minute: health events that are due of those who do not poll, and provisional bytes that have settled. */
  async #watch(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      this.#provisional.settle();
      for (const report of this.#refused) report.flush();
      await this.#p.clock.pause(WATCH_EVERY_MS, stop);
    }
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
   * Saves every mark that is worth it and closes the state. `orderly`: everything written counts as delivered, nothing repeats at the next start. Returns false when some
   * state could not be saved (the stop is then not an orderly one).
   */
  async close(options: { readonly orderly: boolean }): Promise<boolean> {
    let saved = true;
    const pollers = this.#members.flatMap((m) => m.pollers);
    const complain = (error: unknown) => {
      saved = false;
      this.#p.log.error("state could not be saved at stop", { failure: isFailure(error) ? error.code : String(error) });
    };
    await Promise.all(pollers.map((poller) => poller.close(options).catch(complain)));
    // One write for all: at stop there is no time for a file per idle customer.
    const due = Object.fromEntries(pollers.map((poller) => [dueName(poller.key), poller.mark.nextPollAtMs]));
    await this.#p.state.writeFact(DUE_TIMES, JSON.stringify(due)).catch(complain);
    return saved;
  }
}

const WATCH_EVERY_MS = 60_000;
const DUE_TIMES = "next-poll-at-ms";

function dueName(key: StateKey): string {
  return `${key.tenantId}/${key.stanza}/${key.stream}`;
}

function readDueTimes(text: string | undefined): Readonly<Record<string, number>> {
  if (text === undefined) return {};
  try {
    const read: unknown = JSON.parse(text);
    if (typeof read !== "object" || read === null) return {};
    return Object.fromEntries(Object.entries(read).filter((e): e is [string, number] => typeof e[1] === "number"));
  } catch {
    // Polling early costs a request; nothing else depends on it.
    return {};
  }
}

interface Late {
  readonly poller: StreamPoller;
  readonly entries: readonly LedgerEntry[];
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
