import { isCredentialFailure, noAnswerYet } from "../collect/failures.ts";
import { type Outage, watchOutages } from "../collect/outage-watch.ts";
import type { SharedCustomers } from "../collect/poll-times.ts";
import { FIRST_HEALTH_WITHIN_MS, OUTSTANDING_AFTER_MS } from "../collect/report.ts";
import { ReportOnce } from "../collect/report-once.ts";
import { RosterWatch, type RosterWatchParts } from "../collect/roster-watch.ts";
import type { Customer } from "../collect/scheduler.ts";
import { type Refusal, Scheduler } from "../collect/scheduler.ts";
import { aborted } from "../model/aborted.ts";
import { type CommandLines, healthWithCommands, rosterWithCommands } from "../model/command-line.ts";
import { asFailure, EXIT, type ExitCode, exitCodeOf, type Failure } from "../model/failure.ts";
import type { FailureCode } from "../model/failure-codes.ts";
import type { Clock, Http, Log, Random, Sink } from "../model/ports.ts";
import type { GlobalSettings, Stanza } from "../model/stanza.ts";
import type { StateFolder } from "../model/state.ts";
import type { CollectorStatus, CustomerStatus, FleetStatus, OutputStatus } from "../model/status.ts";
import type { StreamName } from "../model/stream.ts";
import { type TenantId, tenantIdFrom } from "../model/tenant.ts";
import type { OutputSecrets } from "../outputs/output.ts";
import type { CredentialChanges, CredentialWatch } from "./credential-watch.ts";
import type { CustomerBuilder, MisconfiguredCustomer, RefusedCustomer } from "./customers.ts";
import { type Heap, keepHeapSmall } from "./heap-keeper.ts";

/** What turns settings into what the engine runs. */
type Builder = Pick<
  CustomerBuilder,
  "build" | "buildAll" | "joinLater" | "keepTokensAlive" | "renew" | "save" | "withhold"
>;

/** The customers of one collector. */
export interface CollectorCustomers {
  /** Everybody who is configured, also those who are left out now: only they may keep their state folder. */
  readonly configured: readonly Pick<Stanza, "name" | "tenantId">[];
  readonly wanted: readonly Stanza[];
  /** Wanted, but the host found that they cannot be collected, and has logged it. */
  readonly refused?: readonly RefusedCustomer[];
  /** Configured, but with settings that cannot be used; the host has logged it. */
  readonly misconfigured?: readonly MisconfiguredCustomer[];
  /** Without it, credentials and files are as they were read at start. */
  readonly credentials?: CredentialWatch;
  readonly builder: Builder;
  /** Who should be collected, by the list of the setting `discover`; undefined while none was read. */
  readonly underContract?: RosterWatchParts["underContract"];
  /** Streams to be read; all that are configured when absent. */
  readonly only?: readonly StreamName[] | undefined;
}

/** Where events go, with what belongs to its lifetime. */
export interface Destination {
  readonly sink: Sink;
  /** The listener is called when a connection broke on which events may have been lost. */
  onBroken?(listener: () => void): void;
  /** An output that refused events accepts them again, from these stanzas; undefined: from all. */
  onAccepting?(listener: (stanzas: ReadonlySet<string> | undefined) => void): void;
  /** Absent: the host's own pipe, which has no queue. */
  outputs?(): readonly OutputStatus[];
  /** Why events do not reach their receivers now: the health of each customer whose events wait says so. */
  outages?(): readonly Outage[];
  /** An output signs in with other secrets from now on. Absent: it has no secrets. */
  renew?(output: string, secrets: OutputSecrets): void;
  /** Called once all customers are open, before the first poll. A Failure ends the collector. */
  begin?(): Promise<void>;
  /**
   * Called after the last page: makes everything that was taken safe, within the time that the host has.
   * `false` or a rejection: something may not have arrived, so the stop was not an orderly one.
   */
  close(): Promise<boolean>;
}

/** How long parts of the stop may take. */
export interface StopLimits {
  /** Pages on their way after the stop, before the destination is closed. */
  readonly finishPagesMs: number;
  /** Saving state after the destination is closed. Absent: as long as it takes. */
  readonly saveState?: {
    readonly atLeastMs: number;
    /** Saving may go on so long after the stop: it gets what the steps before it left. */
    readonly untilAfterStopMs: number;
  };
  /** Of which so long goes to what only spares the next start some reading. */
  readonly saveThoroughlyMs?: number;
}

export interface CollectorParts {
  readonly customers: CollectorCustomers;
  /**
   * Opens what customers' state is kept in. Throws Failure `state-…`.
   *
   * @param configured see `OpenStateFolderOptions`.
   */
  openState(configured: readonly { readonly stanza: string; readonly tenantId: string }[]): Promise<StateFolder>;
  /** Called once the state is held: outputs keep their spools in it. */
  openDestination(): Destination;
  /** Decides which customers are collected here; absent: all that are wanted. */
  readonly membership?: Membership;
  /** Reads the list of customers beside collecting; absent: nobody asked for it. */
  readonly discovery?: Discovery | undefined;
  readonly limits: StopLimits;
  readonly globals: GlobalSettings;
  readonly world: CollectorWorld;
  readonly stop: AbortSignal;
  /** When this program started, by the monotonic clock: health is promised from then on. Now if absent. */
  readonly startedAtMs?: number;
}

/** What shares the customers with other collectors. */
export interface Membership {
  /** Takes and drops customers until `stop`. */
  run(collector: CollectorForMembership, stop: AbortSignal): Promise<void>;
  readonly shared: SharedCustomers;
  /** Absent: always. False: this collector takes no customers at present. */
  isReady?(): boolean;
  /** What metrics say of it; undefined before it began. */
  status?(customers: readonly CustomerStatus[]): FleetStatus | undefined;
}

/** What membership needs of the collector that it runs beside. */
export type CollectorForMembership = Pick<Collector, "take" | "takeMisconfigured" | "drop" | "healthOf">;

/** What reads the list of customers while they are collected. */
export interface Discovery {
  /** Reads it again and again until `stop`. */
  run(collector: CollectorForDiscovery, stop: AbortSignal): Promise<void>;
}

/** What discovery needs of the collector that it runs beside. */
export type CollectorForDiscovery = Pick<Collector, "announce" | "forget" | "healthOf" | "status">;

export interface CollectorWorld {
  readonly version: string;
  /** Closed with the collector. */
  readonly http: Http;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly commands: CommandLines;
  readonly heap: Heap;
}

/** How a collector ended. */
export interface CollectorEnd {
  readonly exitCode: ExitCode;
  /** What ended it for everybody, if it was not the stop. */
  readonly fatal: Failure | undefined;
}

/** What was stored is gone: a customer that still holds it may not use it any longer. */
const REMOVED = new Set<FailureCode>(["credential-missing", "secret-missing", "not-signed-in"]);
/** A receiver whose connection breaks again and again must not keep a single round for ever. */
const ROUNDS_AFTER_BREAKS = 3;

/**
 * State, customers and scheduler around a destination: the one wiring of every host that collects. `open`,
 * then `run` or `round`, then `close`.
 */
export class Collector {
  readonly #p: CollectorParts;
  readonly #state: StateFolder;
  readonly #destination: Destination;
  readonly #scheduler: Scheduler;
  /** Customers whose tenant is a domain: naming it may take the network. */
  readonly #later: readonly Stanza[];
  /** What health says of refused customers, by stanza. */
  readonly #refusals = new Map<string, { readonly refusal: Refusal; readonly failure: Failure }>();
  /** Customers whose tenant is asked for; aborting ends it. */
  readonly #joining = new Map<string, AbortController>();
  /** The last try of each customer that is joining or was, also while its state is opened; `drop` ends it. */
  readonly #tries = new Map<string, AbortController>();
  /** With secrets that changed since the start, also of customers that are collected elsewhere now. */
  readonly #newest = new Map<string, Stanza>();
  /** Failures of looks for changed credentials: said once each. */
  readonly #lookFailures = new ReportOnce();
  readonly #ended = new AbortController();
  readonly #stop: AbortSignal;
  #hasCustomers: boolean;
  /** Of a single round: what failed, and how many customers had nothing that failed. */
  readonly #failed: Failure[] = [];
  #healthy = 0;
  #isSingleRound = false;
  #breaks = 0;
  #fatal: Failure | undefined;
  #rosterWatch: RosterWatch | undefined;
  #pagesFinished = true;
  #stoppedAtMs: number | undefined;

  private constructor(parts: CollectorParts, opened: Opened) {
    this.#p = parts;
    this.#state = opened.state;
    this.#destination = opened.destination;
    this.#scheduler = opened.scheduler;
    this.#later = opened.later;
    this.#hasCustomers = opened.customers.length + opened.later.length > 0;
    this.#stop = AbortSignal.any([parts.stop, this.#ended.signal]);
    opened.destination.onBroken?.(() => {
      this.#breaks += 1;
      this.#scheduler.replayProvisional();
    });
    opened.destination.onAccepting?.((stanzas) => void this.#scheduler.outputAccepts(stanzas, this.#stop));
    for (const refused of [...(parts.customers.refused ?? []), ...opened.refused]) {
      this.#failed.push(refused.failure);
      this.#refuse(refused);
    }
    for (const { name, tenantId, tenantName, failure } of parts.customers.misconfigured ?? []) {
      this.#failed.push(failure);
      const refusal = this.#scheduler.refuse({ stanza: name, tenant: { id: tenantId, name: tenantName }, failure });
      this.#refusals.set(name, { refusal, failure });
    }
  }

  /**
   * Throws Failure: the state cannot be used, the destination cannot be opened, or `stop` fired meanwhile.
   * Everything is closed again then, and the state says what it said before.
   */
  static async open(parts: CollectorParts): Promise<Collector> {
    const { customers, globals, world, stop } = parts;
    const { version, clock, random, log, commands } = world;
    let state: StateFolder | undefined;
    let destination: Destination | undefined;
    try {
      state = await parts.openState(customers.configured.map(({ name, tenantId }) => ({ stanza: name, tenantId })));
      destination = parts.openDestination();
      const built = await customers.builder.buildAll(customers.wanted, state, customers.only);
      const scheduler = await Scheduler.open({
        customers: built.customers,
        state,
        sink: withCommands(destination.sink, commands),
        replayMib: globals.replayMib,
        concurrency: globals.concurrency,
        version,
        clock,
        random,
        log,
        stop,
        startedAtMs: parts.startedAtMs,
        shared: parts.membership?.shared,
      });
      await destination.begin?.();
      return new Collector(parts, { ...built, state, destination, scheduler });
    } catch (error) {
      await destination?.close().catch(() => undefined);
      // Nothing was written yet, so what the previous stop left still holds.
      await state?.release({ orderly: false });
      await world.http.close().catch(() => undefined);
      throw error;
    }
  }

  /** Polls everybody until `stop` fires or nobody can go on. Then it is time to `close`. */
  async run(): Promise<void> {
    const { customers, limits, world } = this.#p;
    const { clock, log, heap } = world;
    const stop = this.#stop;
    const running = this.#scheduler.run(stop).catch((error: unknown) => this.#end(error));
    // Its place in the fleet is renewed all the same: its customers would be collected by nobody.
    void this.#p.membership?.run(this, stop).catch((error: unknown) => this.#end(error));
    for (const stanza of this.#later) this.#joinLater(stanza);
    const inBackground: readonly (readonly [string, Promise<void>])[] = [
      ["changed credentials are no longer noticed", this.#watchCredentials()],
      ["idle refresh tokens are no longer renewed", customers.builder.keepTokensAlive(stop)],
      ["the heap is no longer collected early", keepHeapSmall(heap, clock, stop)],
      ["the list of customers is no longer read", this.#p.discovery?.run(this, stop) ?? Promise.resolve()],
      ["customers are no longer compared with the list", this.#watchRoster(stop)],
      ["health no longer says whether the output takes events", this.#watchOutages(stop)],
    ];
    for (const [message, work] of inBackground)
      void work.catch((error: unknown) => log.error(message, { failure: asFailure(error).say }));
    await aborted(stop);
    this.#stoppedAtMs = clock.monotonicMs();
    this.#pagesFinished = await Promise.race([
      running.then(() => true),
      clock.pause(limits.finishPagesMs).then(() => false),
    ]);
  }

  /** For everybody, as a stop does. The first reason counts. */
  #end(error: unknown): void {
    this.#fatal ??= asFailure(error);
    this.#ended.abort(this.#fatal);
  }

  async #watchOutages(stop: AbortSignal): Promise<void> {
    const destination = this.#destination;
    if (destination.outages === undefined) return;
    const outagesNow = () => destination.outages?.() ?? [];
    await watchOutages(outagesNow, (outages) => this.#scheduler.sayOutages(outages), this.#p.world.clock, stop);
  }

  async #watchRoster(stop: AbortSignal): Promise<void> {
    const { customers, world } = this.#p;
    const { underContract } = customers;
    if (underContract === undefined) return;
    const { clock, log, version, commands } = world;
    const sink = withCommands(this.#destination.sink, commands);
    this.#rosterWatch = new RosterWatch({
      underContract,
      customers: () => this.status().customers,
      send: (event) => sink.health(event),
      version,
      clock,
      log,
    });
    await this.#rosterWatch.run(stop);
  }

  /**
   * One complete walk per stream of each customer; where a connection broke meanwhile, another for what may
   * have been lost. Failures are logged and decide the exit code.
   */
  async round(): Promise<void> {
    this.#isSingleRound = true;
    for (const stanza of this.#later) {
      try {
        await this.#scheduler.add(await this.#build(stanza));
      } catch (error) {
        const failure = asFailure(error);
        this.#failed.push(failure);
        this.#refuse({ stanza, failure });
      }
    }
    for (let round = 0, seen = -1; round <= ROUNDS_AFTER_BREAKS && seen !== this.#breaks; round += 1) {
      if (this.#stop.aborted) return;
      seen = this.#breaks;
      const results = await this.#scheduler.runOnce(this.#stop);
      if (round === 0) this.#healthy = results.filter(({ failures }) => failures.length === 0).length;
      for (const { customer, failures } of results)
        for (const { stream, failure } of failures) this.#fail(failure, { customer: customer.stanza, stream });
    }
  }

  /** What every customer's streams did so far. */
  summary(): ReturnType<Scheduler["summary"]> {
    return this.#scheduler.summary();
  }

  /** Says something of a tenant that is not a state of a stream. Rejects with what the sink rejects with. */
  announce(...what: Parameters<Scheduler["announce"]>): Promise<void> {
    return this.#scheduler.announce(...what);
  }

  /** Health of something other than a customer. */
  healthOf(...whose: Parameters<Scheduler["healthOf"]>): ReturnType<Scheduler["healthOf"]> {
    return this.#scheduler.healthOf(...whose);
  }

  /** Deletes the checkpoints of a tenant of which nothing is collected. */
  async forget(tenantId: TenantId): Promise<void> {
    await this.#state.forget?.(tenantId);
  }

  /**
   * Collects a customer from now on. What prevents it is reported in its health, and is tried again.
   *
   * @param options `isChanged`: what was known of it before does not count any more.
   */
  take(given: Stanza, { isChanged = false }: { readonly isChanged?: boolean } = {}): void {
    if (isChanged) this.#newest.delete(given.name);
    const stanza = this.#newest.get(given.name) ?? given;
    this.#destination.sink.admit?.(stanza);
    this.#joinLater(stanza);
  }

  /** As `take`, for a customer that cannot be collected: health says so while it is this collector's. */
  takeMisconfigured({ name, tenantId, tenantName, failure }: MisconfiguredCustomer): void {
    // Its secret was stored since the start, perhaps while another collector had it.
    const newest = this.#newest.get(name);
    if (newest !== undefined && isCredentialFailure(failure)) return this.take(newest);
    const refusal = this.#scheduler.refuse({ stanza: name, tenant: { id: tenantId, name: tenantName }, failure });
    this.#refusals.set(name, { refusal, failure });
  }

  /**
   * Collects a customer no more. Resolves when nothing of it runs here; see `Scheduler.remove`.
   */
  drop(name: string, options: { readonly saves: boolean }): Promise<void> {
    this.#tries.get(name)?.abort();
    this.#tries.delete(name);
    this.#joining.delete(name);
    this.#refusals.get(name)?.refusal.withdraw();
    this.#refusals.delete(name);
    return this.#scheduler.remove(name, options);
  }

  /** False when nobody can be collected for, until a refused customer joins. */
  get hasCustomers(): boolean {
    return this.#hasCustomers;
  }

  /** What `/metrics` and `/status` say; nothing is asked for it. */
  status(): CollectorStatus {
    const joining = this.#later
      .filter(({ name }) => this.#joining.has(name) && !this.#refusals.has(name))
      .map(({ name, tenantName }) => ({
        tenant: tenantName,
        tenantId: "",
        input: name,
        credentialDaysLeft: null,
        streams: [],
      }));
    const { commands } = this.#p.world;
    const customers = this.#scheduler.status().map((one) => withCommandsInStatus(one, commands));
    const roster = this.#rosterWatch?.latest;
    const fleet = this.#p.membership?.status?.(customers);
    return {
      customers: [...customers, ...joining],
      outputs: this.#destination.outputs?.() ?? [],
      ...(fleet === undefined ? {} : { fleet }),
      ...(roster === undefined ? {} : { roster: rosterWithCommands(roster, commands) }),
    };
  }

  /** False while it has to wait before it can collect anybody. */
  isReady(): boolean {
    return this.#p.membership?.isReady?.() ?? true;
  }

  /** Closes the destination, saves state and gives it up, within the limits of the host. */
  async close(): Promise<CollectorEnd> {
    const { clock, http, log } = this.#p.world;
    const fatal = this.#fatal;
    const stoppedAtMs = this.#stoppedAtMs ?? clock.monotonicMs();
    // A reader that is gone ends the run as a signal does.
    if (fatal && fatal.code !== "host-gone")
      log.fatal(fatal.say, { failure: fatal.code, next_step: fatal.nextStep || undefined });
    const isClosed = await this.#destination.close().catch((error: unknown) => {
      const failure = asFailure(error);
      log.error(failure.say, { failure: failure.code, next_step: failure.nextStep || undefined });
      return false;
    });
    const isSaved = await this.#saveInTime(this.#pagesFinished && isClosed && fatal === undefined, stoppedAtMs);
    if (fatal === undefined && !(this.#pagesFinished && isClosed && isSaved))
      log.warn("the stop was cut short; the next start may send events of the last hour again with equal keys", {
        pages_finished: this.#pagesFinished,
        output_closed: isClosed,
        state_saved: isSaved,
      });
    await http.close().catch(() => undefined);
    return { exitCode: this.#exitCode(), fatal };
  }

  /** Returns false if state could not be saved, or not within the limits. */
  async #saveInTime(orderly: boolean, stoppedAtMs: number): Promise<boolean> {
    const { limits, world } = this.#p;
    const { clock } = world;
    const saving = this.#save(orderly);
    if (limits.saveState === undefined) return saving;
    const { atLeastMs, untilAfterStopMs } = limits.saveState;
    const leftMs = stoppedAtMs + untilAfterStopMs - clock.monotonicMs();
    const saved = new AbortController();
    const timeUp = clock.pause(Math.max(atLeastMs, leftMs), saved.signal).then(() => false);
    try {
      return await Promise.race([saving, timeUp]);
    } finally {
      saved.abort();
    }
  }

  async #save(orderly: boolean): Promise<boolean> {
    const { saveThoroughlyMs } = this.#p.limits;
    const saved = await this.#scheduler.close({
      orderly,
      ...(saveThoroughlyMs === undefined ? {} : { thoroughForMs: saveThoroughlyMs }),
    });
    await this.#p.customers.builder.save();
    await this.#state.release({ orderly: orderly && saved });
    return saved;
  }

  #exitCode(): ExitCode {
    if (this.#fatal) return exitCodeOf(this.#fatal);
    const first = this.#failed[0];
    if (!this.#isSingleRound || first === undefined) return EXIT.done;
    const ofHost = this.#failed.find((failure) => exitCodeOf(failure) === EXIT.host);
    if (ofHost) return exitCodeOf(ofHost);
    return this.#healthy > 0 ? EXIT.someCustomers : exitCodeOf(first);
  }

  #fail(failure: Failure, whose: { readonly customer: string; readonly stream?: string }): void {
    this.#failed.push(failure);
    this.#p.world.log.error(failure.say, { ...whose, failure: failure.code, next_step: failure.nextStep || undefined });
  }

  #build(stanza: Stanza): Promise<Customer> {
    const { builder, only } = this.#p.customers;
    return builder.build(stanza, this.#state, only);
  }

  /** Reports a customer that cannot be collected, in the log and in health events. */
  #refuse({ stanza, failure }: RefusedCustomer): void {
    const tenant = { id: tenantIdFrom(stanza.tenantId) ?? ("" as const), name: stanza.tenantName };
    const known = this.#refusals.get(stanza.name)?.refusal;
    known?.become(failure);
    const refusal = known ?? this.#scheduler.refuse({ stanza: stanza.name, tenant, failure });
    this.#refusals.set(stanza.name, { refusal, failure });
  }

  #withdrawRefusal({ name }: Stanza): void {
    this.#refusals.get(name)?.refusal.withdraw();
    this.#refusals.delete(name);
  }

  /** Keeps asking for the tenant behind a domain; the customer joins when it is known. */
  #joinLater(stanza: Stanza): void {
    const { customers, world } = this.#p;
    this.#joining.get(stanza.name)?.abort();
    const given = new AbortController();
    this.#joining.set(stanza.name, given);
    this.#tries.set(stanza.name, given);
    const stop = AbortSignal.any([this.#stop, given.signal]);
    const settled = new AbortController();
    const refuse = (failure: Failure) => {
      settled.abort();
      if (!given.signal.aborted) this.#refuse({ stanza, failure });
    };
    const scheduler: Pick<Scheduler, "add"> = {
      add: async (customer) => {
        settled.abort();
        // Another secret was stored while the tenant was asked for: the customer joins with that one.
        if (given.signal.aborted) return;
        this.#joining.delete(stanza.name);
        this.#withdrawRefusal(stanza);
        try {
          await this.#scheduler.add(customer);
          this.#hasCustomers = true;
        } catch (error) {
          // It is tried again, and a credential that changes meanwhile must not begin a second try beside it.
          if (!given.signal.aborted) this.#joining.set(stanza.name, given);
          throw error;
        }
      },
    };
    void customers.builder
      .joinLater(stanza, scheduler, this.#state, stop, refuse)
      .catch((error: unknown) => refuse(asFailure(error)));
    void this.#reportWithoutAnswer(stanza, AbortSignal.any([stop, settled.signal]), refuse, world.clock);
  }

  /** A question for the tenant that hangs must not silence the customer. */
  async #reportWithoutAnswer(
    stanza: Stanza,
    settled: AbortSignal,
    refuse: (failure: Failure) => void,
    clock: Clock,
  ): Promise<void> {
    const { startedAtMs = clock.monotonicMs() } = this.#p;
    const leftMs = startedAtMs + FIRST_HEALTH_WITHIN_MS - clock.monotonicMs();
    const waitMs = leftMs > 0 ? Math.max(leftMs, OUTSTANDING_AFTER_MS) : FIRST_HEALTH_WITHIN_MS;
    await clock.pause(waitMs, settled);
    if (!settled.aborted) refuse(noAnswerYet(stanza.tenantName, undefined, waitMs));
  }

  /**
   * Customers that cannot be collected until somebody stores a secret or a file becomes readable must not
   * wait for a restart of this program.
   */
  async #watchCredentials(): Promise<void> {
    const { customers, world } = this.#p;
    const { credentials } = customers;
    if (credentials === undefined) return;
    for (;;) {
      await world.clock.pause(credentials.everyMs, this.#stop);
      if (this.#stop.aborted) return;
      const refused = [...this.#refusals].filter(([, { failure }]) => isCredentialFailure(failure));
      const failing = new Set([...this.#scheduler.withoutCredential(), ...refused.map(([name]) => name)]);
      try {
        await this.#take(await credentials.look(failing), failing);
      } catch (error) {
        const failure = asFailure(error);
        if (this.#lookFailures.reportOnce(`${failure.code} ${failure.say}`))
          world.log.warn("changed credentials could not be looked for; this is tried again", {
            failure: failure.code,
            say: failure.say,
            next_step: failure.nextStep || undefined,
          });
      }
    }
  }

  /** What kept this customer from signing in may be over: streams that wait because of it try again. */
  tryAgain(stanza: string): void {
    void this.#scheduler.tryAgain(new Set([stanza]), this.#stop);
  }

  /** Customers that are collected use a changed credential for their next token, those that fail at once. */
  async #take({ ready, refused }: CredentialChanges, failing: ReadonlySet<string>): Promise<void> {
    const { builder } = this.#p.customers;
    const changed = new Set<string>();
    const withhold = ({ stanza: { name, tenantName }, failure }: RefusedCustomer) => {
      if (failing.has(name) || REMOVED.has(failure.code)) {
        builder.withhold(name, failure);
        changed.add(name);
      } else
        this.#p.world.log.warn(
          "a changed credential cannot be used; the one in use stays in use until the next start",
          {
            tenant: tenantName,
            failure: failure.code,
            say: failure.say,
            next_step: failure.nextStep || undefined,
          },
        );
    };
    for (const stanza of ready) {
      this.#newest.set(stanza.name, stanza);
      if (this.#joining.has(stanza.name) || this.#refusals.has(stanza.name)) {
        this.#destination.sink.admit?.(stanza);
        this.#joinLater(stanza);
        continue;
      }
      changed.add(stanza.name);
      await builder.renew(stanza).catch((error: unknown) => withhold({ stanza, failure: asFailure(error) }));
    }
    for (const one of refused) {
      if (this.#refusals.has(one.stanza.name)) this.#refuse(one);
      else withhold(one);
    }
    void this.#scheduler.tryAgain(changed, this.#stop);
  }
}

type Built = Awaited<ReturnType<CustomerBuilder["buildAll"]>>;

interface Opened extends Built {
  readonly state: StateFolder;
  readonly destination: Destination;
  readonly scheduler: Scheduler;
}

/** Health leaves with the commands as they run on this host. */
function withCommands(sink: Sink, commands: CommandLines): Sink {
  const { kind, hugeMostBytes } = sink;
  return {
    kind,
    ...(hugeMostBytes === undefined ? {} : { hugeMostBytes }),
    write: (batch) => sink.write(batch),
    ...(sink.writeHuge ? { writeHuge: sink.writeHuge.bind(sink) } : {}),
    health: (event) => sink.health(healthWithCommands(event, commands)),
  };
}

/** As in health events: a printed command runs where it is read. */
function withCommandsInStatus(customer: CustomerStatus, commands: CommandLines): CustomerStatus {
  if (customer.streams.every(({ failure }) => failure === null)) return customer;
  const text = (sentence: string | null) => sentence && commands.inText(sentence, customer.tenant);
  return {
    ...customer,
    streams: customer.streams.map((stream) => ({
      ...stream,
      say: text(stream.say),
      next_step: text(stream.next_step),
    })),
  };
}
