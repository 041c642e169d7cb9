import { ALL_STREAMS, type HealthEvent, type HealthState } from "../model/event.ts";
import { asFailure, type Failure, isFailure } from "../model/failure.ts";
import type { CustomerPermissions } from "../model/granted-permissions.ts";
import type { HuntingSource } from "../model/hunting.ts";
import { ticksFromMs } from "../model/instant.ts";
import type { LostOwner } from "../model/lost-owner.ts";
import type { Clock, Log, Random, Sink, SourceStream } from "../model/ports.ts";
import { PROVISIONAL_FOR_MS } from "../model/provisional.ts";
import { SerialQueue } from "../model/serial-queue.ts";
import type { StartPoint } from "../model/setting.ts";
import type { LedgerEntry, StateFolder, StateKey, StreamStore } from "../model/state.ts";
import type { CustomerStatus } from "../model/status.ts";
import type { StreamName } from "../model/stream.ts";
import type { Tenant } from "../model/tenant.ts";
import { Budgets } from "./budget.ts";
import { Provisional, provisionalAtEnd } from "./delivery/provisional.ts";
import { isCredentialFailure, stopped } from "./failures.ts";
import { Hunter } from "./hunting/hunter.ts";
import { JoinSlots } from "./join-slots.ts";
import type { PollerSettings } from "./list/poller.ts";
import { StreamPoller } from "./list/poller.ts";
import type { Outage, OutageReason } from "./outage-watch.ts";
import { PageLimiter } from "./page-limiter.ts";
import { PollTimes, type SharedCustomers } from "./poll-times.ts";
import type { CredentialReport } from "./report.ts";
import { CustomerReport, FIRST_HEALTH_WITHIN_MS, type ReportedTenant } from "./report.ts";
import type { Runner } from "./runner.ts";

/**
 * First polls of customers are spread, so that a restart with many of them requests tokens at no more than
 * this rate.
 */
const FIRST_POLLS_PER_SECOND = 50;
/** Likewise where thousands of customers of another collector are taken over; they have waited already. */
const TAKEN_OVER_PER_SECOND = 100;
/** Likewise when a credential that many customers share changes. */
const TRIED_AGAIN_PER_SECOND = 50;
const HOURLY_MS = 3_600_000;
/** Separate from the pages: a hunting query may take three minutes, and alerts must never wait for one. */
const HUNTS_AT_ONCE = 8;

/** One customer as the scheduler runs it. */
export interface Customer {
  /** The stanza's name. */
  readonly stanza: string;
  readonly tenant: Tenant;
  readonly settings: PollerSettings;
  readonly start: StartPoint;
  readonly sources: readonly SourceStream[];
  readonly hunting?: HuntingSource;
  readonly credential?: CredentialReport;
  readonly permissions?: CustomerPermissions;
}

export interface SchedulerParts {
  readonly customers: readonly Customer[];
  readonly state: StateFolder;
  readonly sink: Sink;
  readonly replayMib: number;
  /** Pages read at once over all customers. */
  readonly concurrency: number;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** When this program started, on the clock that never steps; now if undefined. */
  readonly startedAtMs?: number | undefined;
  /** Of customers that other collectors may have too: they are removed while the others are polled. */
  readonly shared?: SharedCustomers | undefined;
  /** Ends the opening: thousands of customers take seconds, and a host that stops does not wait that long. */
  readonly stop?: AbortSignal;
}

/** What a report says beside the states of the streams. */
type Reported = Pick<Customer, "stanza" | "credential" | "permissions"> & {
  readonly tenant: ReportedTenant;
  readonly outage?: () => OutageReason | undefined;
};

/** A customer that is configured and for which nothing can be collected: health events say why. */
export interface Refused {
  /** The stanza's name. */
  readonly stanza: string;
  readonly tenant: ReportedTenant;
  readonly failure: Failure;
}

/** What health says of one refused customer. */
export interface Refusal {
  /** Another reason now; the same one makes no event. */
  become(failure: Failure): void;
  /** The customer can be collected, or is gone. */
  withdraw(): void;
}

/** Health of something that is not a customer's stream: of the list of customers. */
export interface OtherHealth {
  /** One event at each change, and hourly while it is not `ok`. */
  be(state: HealthState, failure?: Failure): void;
}

/** One customer's result of a single complete round. */
export interface RoundResult {
  readonly customer: Customer;
  readonly failures: readonly { readonly stream: string; readonly failure: Failure }[];
}

/**
 * All customers of one process. Each stream of each customer has its own loop. They share the page limiter,
 * budgets, the provisional window and the sink.
 */
export class Scheduler {
  readonly #p: SchedulerParts;
  readonly #provisional: Provisional;
  readonly #limiter: PageLimiter;
  readonly #limiterOfFailing: PageLimiter;
  readonly #huntingLimiter: PageLimiter;
  readonly #budgets: Budgets;
  readonly #refused = new Set<CustomerReport>();
  readonly #others = new Set<CustomerReport>();
  /** Why events of customers wait, although they are collected. */
  #outages: readonly Outage[] = [];
  readonly #beganAtMs: number;
  /** What the log said last of an output that takes no health events, and until when it is not repeated. */
  #lastHealthFailure = { say: "", untilMs: 0 };
  #dueAtMs: Readonly<Record<string, number>> = {};
  /**
   * Streams that still have to send something again, with the time since which it was written. Neither
   * another crash nor an orderly stop may forget it.
   */
  #replaySinceS: Readonly<Record<string, number>> = {};
  #launch: ((member: Member, begin: (stop: AbortSignal) => Promise<void>) => void) | undefined;
  readonly #joinSlots: JoinSlots;
  /** A shared credential that is stored admits many customers in the same moment. */
  readonly #adding = new SerialQueue();
  /** Several outputs, or parts of one, may accept events again at once: one pace for all of them. */
  readonly #accepting = new SerialQueue();
  readonly #members: Member[] = [];

  private constructor(parts: SchedulerParts) {
    this.#p = parts;
    this.#beganAtMs = parts.startedAtMs ?? parts.clock.monotonicMs();
    this.#provisional = new Provisional(parts.clock, parts.replayMib * 1024 * 1024);
    this.#limiter = new PageLimiter(parts.concurrency, parts.clock);
    this.#limiterOfFailing = new PageLimiter(Math.max(1, Math.floor(parts.concurrency / 4)), parts.clock);
    this.#huntingLimiter = new PageLimiter(HUNTS_AT_ONCE, parts.clock);
    this.#budgets = new Budgets(parts.clock);
    this.#joinSlots = new JoinSlots(parts.clock, TAKEN_OVER_PER_SECOND);
  }

  /**
   * Opens every stream's state; after an abnormal end, what may not have arrived will be sent again. Throws
   * Failure `stopped`: nothing was written then.
   */
  static async open(parts: SchedulerParts): Promise<Scheduler> {
    const scheduler = new Scheduler(parts);
    await scheduler.#open();
    return scheduler;
  }

  async #open(): Promise<void> {
    const { customers, state, sink, log } = this.#p;
    this.#dueAtMs = readNumbers(await state.readFact(DUE_TIMES));
    this.#replaySinceS = readNumbers(await state.readFact(REPLAY_SINCE));
    const late: Late[] = [];
    for (const customer of customers) {
      if (this.#p.stop?.aborted) throw stopped();
      late.push(...(await this.#enrol(customer, this.#beganAtMs)).late);
    }
    if (sink.kind === "provisional") await this.#replayAfterCrash(late);
    log.debug("customers opened", { customers: customers.length });
  }

  /**
   * Adds a customer that could not be opened at start (its tenant domain did not resolve, or its credential
   * was missing). When this rejects, nothing of the customer was added.
   */
  add(customer: Customer): Promise<void> {
    return this.#adding.run(async () => {
      const { late, member } = await this.#enrol(customer, undefined);
      // It is a member now: a second attempt would poll it twice. What is not kept here is kept by `#watch`.
      if (this.#p.sink.kind === "provisional") await this.#replayAfterCrash(late).catch(() => undefined);
      const { times } = member;
      if (times !== undefined) this.#launchWhenDue(member, times, this.#p.shared?.lostOwnerOf(customer.tenant.id));
      else for (const runner of member.runners) this.#launch?.(member, (stop) => runner.run(stop, 0));
    });
  }

  /** Polls a customer that was taken over when it is due: others must not wait for it meanwhile. */
  #launchWhenDue(member: Member, times: PollTimes, lost: LostOwner | undefined): void {
    const { clock } = this.#p;
    const { runners, stop } = member;
    const sharedIsAheadMs = times.nowMs() - clock.monotonicMs();
    const due = runners.map(
      ({ checkpoint: { nextPollAtMs, walk } }) =>
        times.dueMs(nextPollAtMs, lost, { isInterrupted: walk !== undefined }) - sharedIsAheadMs,
    );
    // A customer's streams share its token.
    const slot = runners.length === 0 ? undefined : this.#joinSlots.acquire(Math.min(...due), stop.signal);
    runners.forEach((runner, i) => {
      this.#launch?.(member, async (ended) => {
        await slot;
        await runner.run(ended, Math.max(0, (due[i] as number) - clock.monotonicMs()));
      });
    });
  }

  /**
   * Ends the collection of a customer, if it is collected: it is in no status any more. Resolves when nothing
   * of it runs. Needs `shared`.
   *
   * @param options `saves`: state is saved; false where another process may have it by now. Rejects with what
   *   could not be saved.
   */
  remove(stanza: string, { saves }: { readonly saves: boolean }): Promise<void> {
    const isMember = ({ customer }: Member) => customer.stanza === stanza;
    // At once: what fails from here on says nothing about the customer.
    this.#members.find(isMember)?.stop.abort();
    return this.#adding.run(async () => {
      const at = this.#members.findIndex(isMember);
      const [member] = at < 0 ? [] : this.#members.splice(at, 1);
      if (member === undefined) return;
      member.stop.abort();
      await Promise.all(member.runs);
      await member.report.idle();
      if (saves) for (const runner of member.runners) await runner.close({ orderly: true, thorough: true });
    });
  }

  /** Reports a customer that cannot be collected: now, and every hour until the refusal is withdrawn. */
  refuse({ stanza, tenant, failure }: Refused): Refusal {
    const report = this.#reportOf({ stanza, tenant }, undefined);
    report.refuse(failure);
    this.#refused.add(report);
    return {
      become: (other) => report.refuse(other),
      withdraw: () => this.#refused.delete(report),
    };
  }

  /**
   * Says something of a tenant that is not a state of a stream: one health event now. The states of a
   * customer that is collected stay as they are; another tenant is `off`. Rejects with what the sink rejects
   * with.
   */
  async announce(tenant: ReportedTenant, failure: Failure): Promise<void> {
    const member = this.#members.find(({ customer }) => customer.tenant.id === tenant.id);
    const own = member?.report.streams[0];
    if (member !== undefined && own !== undefined) return member.report.incident(own, failure);
    const report = this.#reportOf({ stanza: tenant.name, tenant }, undefined);
    const none = report.stream(ALL_STREAMS);
    none.state = "off";
    return report.incident(none, failure);
  }

  /** Health under a name that no customer has; it is not in `status`. */
  healthOf(tenant: ReportedTenant): OtherHealth {
    const report = this.#reportOf({ stanza: tenant.name, tenant }, undefined);
    const stream = report.stream(ALL_STREAMS);
    stream.state = "ok";
    return {
      be: (state, failure) => {
        if (state === "ok") this.#others.delete(report);
        else this.#others.add(report);
        stream.be(state, failure);
      },
    };
  }

  /**
   * Says in the health of each customer why its events do not arrive; an outage that is not among these is
   * over. What keeps a customer from being collected is said before it.
   */
  sayOutages(outages: readonly Outage[]): void {
    this.#outages = outages;
    for (const { report } of this.#members) report.flush();
  }

  #reportOf(reported: Reported, beganAtMs: number | undefined): CustomerReport {
    const { stanza, tenant, credential, permissions, outage } = reported;
    return new CustomerReport({
      tenant,
      input: stanza,
      ...(beganAtMs === undefined ? {} : { beganAtMs }),
      clock: this.#p.clock,
      log: this.#p.log,
      version: this.#p.version,
      ...(credential ? { credential } : {}),
      ...(permissions ? { permissions } : {}),
      ...(outage ? { outage } : {}),
      send: (event) => this.#sendHealth(event),
    });
  }

  /**
   * While no customer has events to send, only a health event finds out that an output is broken, so its
   * failure goes into the log. Once an hour, because all customers meet the same failure.
   */
  async #sendHealth(event: HealthEvent): Promise<void> {
    try {
      await this.#p.sink.health(event);
    } catch (error) {
      const nowMs = this.#p.clock.monotonicMs();
      const { say, untilMs } = this.#lastHealthFailure;
      if (isFailure(error) && error.code !== "host-gone" && (error.say !== say || nowMs >= untilMs)) {
        this.#lastHealthFailure = { say: error.say, untilMs: nowMs + HOURLY_MS };
        this.#p.log.error(error.say, { failure: error.code, next_step: error.nextStep || undefined });
      }
      throw error;
    }
  }

  async #enrol(customer: Customer, beganAtMs: number | undefined): Promise<Enrolled> {
    const stores: StreamStore[] = [];
    try {
      return await this.#enrolWith(customer, beganAtMs, stores);
    } catch (error) {
      // A store that stays open could not be opened again when the customer joins later.
      await Promise.allSettled(stores.map((store) => store.close()));
      throw error;
    }
  }

  /** @param stores those that were opened are added. */
  async #enrolWith(customer: Customer, beganAtMs: number | undefined, stores: StreamStore[]): Promise<Enrolled> {
    const { state, clock, log } = this.#p;
    const late: Late[] = [];
    const outage = () => this.#outages.find(({ customers }) => customers?.has(customer.stanza) ?? true);
    const report = this.#reportOf({ ...customer, outage }, beganAtMs);
    const runners: Runner[] = [];
    const { shared } = this.#p;
    const times = shared && new PollTimes(customer.tenant.id, customer.settings.pollSeconds * 1000, shared);
    const start = customer.start.kind === "at" ? customer.start.at : ticksFromMs(clock.nowMs() - customer.start.ms);
    const ofAll = {
      stanza: customer.stanza,
      tenant: customer.tenant,
      start,
      sink: this.#p.sink,
      provisional: this.#provisional,
      customer: report,
      clock,
      random: this.#p.random,
      log,
    };
    const opened = async (
      stream: StreamName,
    ): Promise<{ readonly store: StreamStore; readonly entries: readonly LedgerEntry[] }> => {
      const store = await state.open({ stanza: customer.stanza, tenantId: customer.tenant.id, stream });
      stores.push(store);
      await this.#takeOverReplaySince(store.key);
      return withLateEntries(store, this.#replaySinceS[dueName(store.key)]);
    };
    const enlist = (runner: Runner, entries: readonly LedgerEntry[]): void => {
      runners.push(runner);
      if (entries.length > 0) late.push({ runner, entries });
    };
    for (const source of customer.sources) {
      const { store, entries } = await opened(source.name);
      const due = this.#dueAtMs[dueName(store.key)];
      const poller = new StreamPoller({
        ...ofAll,
        settings: customer.settings,
        source,
        store,
        openTempFile: () => state.openTempFile(),
        customerCount: () => this.#members.length,
        ...(due === undefined ? {} : { nextPollAtMs: due }),
        ...(times === undefined ? {} : { times }),
        budget: this.#budgets.of(source.budgetKey, source.limits),
        limiter: this.#limiter,
        limiterOfFailing: this.#limiterOfFailing,
        report: report.stream(source.name),
      });
      enlist(poller, entries);
    }
    if (customer.hunting) {
      const { store, entries } = await opened("hunting");
      const source = customer.hunting;
      const budget = this.#budgets.of(source.budgetKey, source.limits);
      enlist(
        new Hunter({
          ...ofAll,
          source,
          store,
          ...(times === undefined ? {} : { times }),
          budget,
          limiter: this.#huntingLimiter,
          report: report.stream("hunting"),
        }),
        entries,
      );
    }
    const member: Member = { customer, report, runners, times, runs: [], stop: new AbortController() };
    this.#members.push(member);
    return { late, member };
  }

  async #replayAfterCrash(late: readonly Late[]): Promise<void> {
    const taken = provisionalAtEnd(
      late.map((l) => l.entries),
      this.#p.replayMib * 1024 * 1024,
    );
    let versions = 0;
    const sinceS: Record<string, number> = { ...this.#replaySinceS };
    late.forEach(({ runner, entries }, i) => {
      const name = dueName(runner.key);
      const unfinishedS = this.#replaySinceS[name];
      // What an earlier crash left to be sent again stays so, however much was written since.
      const unfinished =
        unfinishedS === undefined ? 0 : entries.filter((entry) => entry.writtenAtS >= unfinishedS).length;
      const asked = entries.slice(entries.length - Math.max(taken[i]!, unfinished));
      if (asked[0] !== undefined) sinceS[name] = asked[0].writtenAtS;
      for (const entry of asked) {
        runner.askForReplay({ hash: entry.hash, updated: entry.updated, askFrom: runner.askFromOf(entry) });
        versions += 1;
      }
    });
    await this.#keepReplaySince(sinceS);
    if (versions > 0)
      this.#p.log.warn(
        "the previous run ended abnormally: the events that it wrote last are sent again, with the same keys",
        { versions },
      );
  }

  /**
   * After a stanza was renamed: what is to be sent again moves to the new name, and the old name is
   * forgotten.
   */
  async #takeOverReplaySince(key: StateKey): Promise<void> {
    const { state } = this.#p;
    const begin = `${key.tenantId}/`;
    const end = `/${key.stream}`;
    const left = Object.keys(this.#replaySinceS).find(
      (name) =>
        name.startsWith(begin) &&
        name.endsWith(end) &&
        state.wasLeftUnder?.(key, name.slice(begin.length, -end.length)) === true,
    );
    if (left === undefined) return;
    const { [left]: sinceS, ...rest } = this.#replaySinceS;
    const kept = { ...rest, [dueName(key)]: sinceS! };
    await state.writeFact(REPLAY_SINCE, JSON.stringify(kept));
    this.#replaySinceS = kept;
  }

  /**
   * Keeps the entries of `sinceS` that are still needed, and those of streams that this run does not open.
   */
  async #keepReplaySince(sinceS: Readonly<Record<string, number>>): Promise<void> {
    const kept: Record<string, number> = { ...this.#replaySinceS };
    for (const runner of this.#members.flatMap((m) => m.runners)) {
      const name = dueName(runner.key);
      if (runner.awaitsReplay) kept[name] = sinceS[name] ?? this.#provisional.writtenNowS() - LATE_S;
      else delete kept[name];
    }
    const text = JSON.stringify(kept);
    if (text === JSON.stringify(this.#replaySinceS)) return;
    await this.#p.state.writeFact(REPLAY_SINCE, text);
    this.#replaySinceS = kept;
  }

  /**
   * Polls all customers until `stop`, even when there is none. Rejects with a Failure when the host or the
   * state folder is gone; every other failure concerns only its customer.
   */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, random } = this.#p;
    const fatalStop = new AbortController();
    const stopAll = AbortSignal.any([stop, fatalStop.signal]);
    const loops: Promise<void>[] = [];
    let fatal: Failure | undefined;
    // To add a listener, and to remove one, the runtime walks all that the signal has. So each customer has a
    // signal of its own, or thousands of customers would search each other's listeners at each request.
    const stopMembers = () => {
      for (const { stop: one } of this.#members) one.abort(stopAll.reason);
    };
    stopAll.addEventListener("abort", stopMembers, { once: true });
    this.#launch = ({ stop: own, runs }, begin) => {
      // Also a customer that joins while the others end.
      if (stopAll.aborted) own.abort(stopAll.reason);
      const run = begin(own.signal).catch((error: unknown) => {
        fatal ??= asFailure(error);
        fatalStop.abort();
      });
      loops.push(run);
      if (this.#p.shared !== undefined) runs.push(run);
    };
    const now = (this.#p.shared ?? clock).nowMs();
    const all = this.#members.flatMap((m) =>
      m.runners.map((runner) => ({ member: m, runner, pollMs: m.customer.settings.pollSeconds * 1000 })),
    );
    all.sort((a, b) => a.runner.checkpoint.nextPollAtMs - b.runner.checkpoint.nextPollAtMs);
    // A customer's streams share its token.
    const slots = new Map<Member, number>();
    for (const { member, runner, pollMs } of all) {
      const slot = slots.get(member) ?? slots.size + random.next();
      slots.set(member, slot);
      const spreadMs = Math.min(pollMs, (slot * 1000) / FIRST_POLLS_PER_SECOND);
      const dueMs = Math.min(pollMs, Math.max(0, runner.checkpoint.nextPollAtMs - now));
      this.#launch?.(member, (ended) => runner.run(ended, Math.max(dueMs, spreadMs)));
    }
    loops.push(this.#watch(stopAll));
    // Customers may join while the others run.
    for (let waited = 0; waited < loops.length; waited++) await loops[waited];
    stopAll.removeEventListener("abort", stopMembers);
    this.#launch = undefined;
    if (fatal) throw fatal;
  }

  /**
   * Shortly before the first minute ends, then once a minute: first answers that are outstanding, health
   * events that are due, also of customers that wait or hang, and provisional bytes that have settled.
   */
  async #watch(stop: AbortSignal): Promise<void> {
    const openedForMs = this.#p.clock.monotonicMs() - this.#beganAtMs;
    const firstInMs = Math.max(0, FIRST_HEALTH_WITHIN_MS - openedForMs);
    const pausesMs = [firstInMs, WATCH_EVERY_MS - Math.min(firstInMs, WATCH_EVERY_MS)];
    for (let look = 0; !stop.aborted; look += 1) {
      this.#provisional.settle();
      for (const { report } of this.#members) {
        report.lookForFirstAnswers();
        report.flush();
      }
      for (const report of [...this.#refused, ...this.#others]) report.flush();
      // If it cannot be written it is retried in a minute; until then a crash only repeats more.
      await this.#keepReplaySince(this.#replaySinceS).catch(() => undefined);
      await this.#p.clock.pause(pausesMs[look] ?? WATCH_EVERY_MS, stop);
    }
  }

  /** One complete walk per stream, each customer once; failures are returned, not thrown. */
  async runOnce(stop: AbortSignal): Promise<readonly RoundResult[]> {
    await Promise.all([...this.#refused].map((report) => report.idle()));
    return Promise.all(
      this.#members.map(async ({ customer, runners, report }) => {
        const failures: { stream: string; failure: Failure }[] = [];
        await Promise.all(
          runners.map(async (runner) => {
            try {
              await runner.round(stop);
            } catch (error) {
              failures.push({ stream: runner.key.stream, failure: asFailure(error) });
            }
          }),
        );
        await report.idle();
        return { customer, failures };
      }),
    );
  }

  /**
   * A connection broke: everything provisional is read from Microsoft and sent again. Returns the number of
   * versions.
   */
  replayProvisional(): number {
    const owners = new Map(
      this.#members
        .flatMap((m) => m.runners)
        .flatMap((runner) => runner.owners.map((owner) => [owner, runner] as const)),
    );
    const versions = this.#provisional.all();
    const woken = new Set<Runner>();
    for (const version of versions) {
      const runner = owners.get(version.owner);
      if (!runner) continue;
      runner.askForReplay(version);
      woken.add(runner);
    }
    for (const runner of woken) runner.wakeUp();
    // Events of others may push what is not sent again yet out of the window; a crash before it is sent must
    // not forget it.
    void this.#keepReplaySince(this.#replaySinceS).catch(() => undefined);
    return versions.length;
  }

  /** Stanzas of which a stream cannot sign in, or lacks a usable credential or file. */
  withoutCredential(): ReadonlySet<string> {
    const isWithout = (report: CustomerReport) =>
      report.streams.some(({ failure }) => failure !== undefined && isCredentialFailure(failure));
    return new Set(this.#members.filter(({ report }) => isWithout(report)).map(({ customer }) => customer.stanza));
  }

  /**
   * The credential of these stanzas changed, or their customer consented: their streams that could not sign
   * in try again at once, so many customers a second. All others use it for their next token. Resolves when
   * all were woken.
   */
  tryAgain(stanzas: ReadonlySet<string>, stop: AbortSignal): Promise<void> {
    return this.#wakeSlowly(stanzas, stop, (runner) => runner.tryAgain());
  }

  /**
   * An output accepts events again: those of these stanzas whose events it refused are polled now, so many
   * customers a second. Else they would wait up to a quarter of an hour, as after each failure.
   *
   * @param stanzas undefined: all.
   */
  outputAccepts(stanzas: ReadonlySet<string> | undefined, stop: AbortSignal): Promise<void> {
    return this.#accepting.run(() => this.#wakeSlowly(stanzas, stop, (runner) => runner.outputAccepts()));
  }

  async #wakeSlowly(
    stanzas: ReadonlySet<string> | undefined,
    stop: AbortSignal,
    wake: (runner: Runner) => boolean,
  ): Promise<void> {
    // Who is removed meanwhile must not hide the one behind it.
    const members = [...this.#members];
    for (const { customer, runners } of members) {
      if (stop.aborted) return;
      if (stanzas?.has(customer.stanza) === false) continue;
      const woken = runners.filter(wake);
      if (woken.length > 0) await this.#p.clock.pause(1000 / TRIED_AGAIN_PER_SECOND, stop);
    }
  }

  /** What every customer's streams did since the process began. */
  summary(): readonly {
    readonly tenant: Tenant;
    readonly stream: string;
    readonly state: string;
    readonly totals: Readonly<Record<string, number>>;
    readonly failure?: string;
  }[] {
    return this.#members.flatMap((m) =>
      m.report.streams.map((s) => ({
        tenant: m.customer.tenant,
        stream: s.stream,
        state: s.state,
        totals: { ...s.totals },
        ...(s.failure ? { failure: s.failure.code } : {}),
      })),
    );
  }

  /** Every configured customer as it is now, those that cannot be collected too. */
  status(): readonly CustomerStatus[] {
    const nowMs = this.#p.clock.nowMs();
    return [...this.#members.map(({ report }) => report), ...this.#refused].map((report) => report.status(nowMs));
  }

  /**
   * Saves checkpoints and closes the state. `orderly`: everything written counts as delivered, and nothing
   * repeats at the next start. What the next start depends on is always saved. What only reduces its requests
   * (checkpoints of thousands of idle customers) is saved as long as `thoroughForMs` lasts. Returns false
   * when some state could not be saved: the stop is then not an orderly one.
   */
  async close(options: { readonly orderly: boolean; readonly thoroughForMs?: number }): Promise<boolean> {
    const { clock, state, log } = this.#p;
    let saved = true;
    const reportUnsaved = (error: unknown) => {
      saved = false;
      log.error("state could not be saved at stop", { failure: isFailure(error) ? error.code : String(error) });
    };
    const runners = this.#members.flatMap((m) => m.runners);
    // One write for all: a stop leaves no time for one file per idle customer.
    const due = Object.fromEntries(runners.map((runner) => [dueName(runner.key), runner.checkpoint.nextPollAtMs]));
    await state.writeFact(DUE_TIMES, JSON.stringify(due)).catch(reportUnsaved);
    await this.#keepReplaySince(this.#replaySinceS).catch(reportUnsaved);
    const endMs = clock.monotonicMs() + (options.thoroughForMs ?? Number.POSITIVE_INFINITY);
    for (let i = 0; i < runners.length; i += CLOSED_AT_ONCE) {
      const thorough = clock.monotonicMs() < endMs;
      const some = runners.slice(i, i + CLOSED_AT_ONCE);
      await Promise.all(
        some.map((runner) =>
          runner.close({ orderly: options.orderly && !runner.awaitsReplay, thorough }).catch(reportUnsaved),
        ),
      );
    }
    return saved;
  }
}

const CLOSED_AT_ONCE = 32;
const WATCH_EVERY_MS = 60_000;
const DUE_TIMES = "next-poll-at-ms";
const REPLAY_SINCE = "replay-since-s";

function dueName(key: StateKey): string {
  return `${key.tenantId}/${key.stanza}/${key.stream}`;
}

/** By stream. */
function readNumbers(text: string | undefined): Readonly<Record<string, number>> {
  if (text === undefined) return {};
  try {
    const read: unknown = JSON.parse(text);
    if (typeof read !== "object" || read === null) return {};
    return Object.fromEntries(Object.entries(read).filter((e): e is [string, number] => typeof e[1] === "number"));
  } catch {
    // The file has a checksum, so this program never wrote such a text.
    return {};
  }
}

interface Late {
  readonly runner: Runner;
  readonly entries: readonly LedgerEntry[];
}

/** A customer that is collected. */
interface Member {
  readonly customer: Customer;
  readonly report: CustomerReport;
  readonly runners: readonly Runner[];
  readonly times: PollTimes | undefined;
  /** Ends this customer alone. */
  readonly stop: AbortController;
  /** Each resolves when the runner has ended. */
  readonly runs: Promise<void>[];
}

interface Enrolled {
  /** What may have to be sent again. */
  readonly late: readonly Late[];
  readonly member: Member;
}

const LATE_S = PROVISIONAL_FOR_MS / 1000;

/**
 * Passes the journal on. If something may have to be sent again, also returns the newest entry of each object
 * of the last hour, oldest first.
 *
 * @param unfinishedS something written since then was still to be sent again when the process ended.
 */
function withLateEntries(
  store: StreamStore,
  unfinishedS: number | undefined,
): { readonly store: StreamStore; readonly entries: readonly LedgerEntry[] } {
  if (store.lastStopWasOrderly && unfinishedS === undefined) return { store, entries: [] };
  const entries = store.takeEntries();
  const last = entries.reduce((latest, entry) => Math.max(latest, entry.writtenAtS), 0);
  const again: StreamStore = {
    key: store.key,
    lastStopWasOrderly: store.lastStopWasOrderly,
    checkpoint: store.checkpoint,
    takeEntries: () => entries,
    keepsBodies: store.keepsBodies,
    ...(store.joined === undefined ? {} : { joined: store.joined }),
    commit: (page) => store.commit(page),
    flush: () => store.flush(),
    compact: (kept) => store.compact(kept),
    close: () => store.close(),
  };
  const sinceS = Math.min(last - LATE_S, unfinishedS ?? last);
  // A compacted journal is unsorted.
  const late = entries.filter((entry) => entry.writtenAtS >= sinceS).sort((a, b) => a.writtenAtS - b.writtenAtS);
  // An object that was written repeatedly counts once; otherwise it would displace others that never arrived.
  const newest = new Map<string, LedgerEntry>();
  for (const entry of late) {
    const object = entry.hash.join(" ");
    newest.delete(object);
    newest.set(object, entry);
  }
  return { store: again, entries: [...newest.values()] };
}
