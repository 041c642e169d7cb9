import type { CredentialWarning } from "../model/credential-warning.ts";
import type { Change, Delivery, Found, HealthEvent, HealthState, StreamHealth } from "../model/event.ts";
import { ALL_STREAMS } from "../model/event.ts";
import type { Failure } from "../model/failure.ts";
import {
  type CustomerPermissions,
  type PermissionDrift,
  withdrawnSentence,
  withdrawnSince,
} from "../model/granted-permissions.ts";
import type { Clock, Log } from "../model/ports.ts";
import type { RecordHead } from "../model/record.ts";
import { SerialQueue } from "../model/serial-queue.ts";
import { ANSWER_STATUSES, type AnswerStatus, type CustomerStatus, type StreamStatus } from "../model/status.ts";
import type { Tenant, TenantId } from "../model/tenant.ts";
import { noAnswerYet, stateAfter } from "./failures.ts";
import type { OutageReason } from "./outage-watch.ts";

const HOURLY_MS = 3_600_000;
/** After an output did not take an event. Not at once, because other outputs may have taken it. */
const RESEND_AFTER_MS = 300_000;
/** Every customer has a health event by then: a little before the 60 s that are promised. */
export const FIRST_HEALTH_WITHIN_MS = 50_000;
/** A first question that is younger may well be answered in a moment. */
export const OUTSTANDING_AFTER_MS = 5_000;

export interface StreamCounts {
  new: number;
  updated: number;
  swept: number;
  replayed: number;
  superseded: number;
  requests: number;
  throttled: number;
  invalid_utf8: number;
}

const zero = (): StreamCounts => ({
  new: 0,
  updated: 0,
  swept: 0,
  replayed: 0,
  superseded: 0,
  requests: 0,
  throttled: 0,
  invalid_utf8: 0,
});

/** Failures of one request by its answer's status; statuses that Microsoft seldom answers are `other`. */
function statusOf(failure: Failure): AnswerStatus {
  if (failure.status === undefined) return "none";
  return ANSWER_STATUSES.find((status) => status === String(failure.status)) ?? "other";
}

/** One stream's state, as the health event reports it. */
export class StreamReport {
  readonly stream: StreamHealth["stream"];
  /** Since the last health event. */
  counts = zero();
  /** Since the process began. */
  readonly totals = zero();
  /** Events that went out since the process began. Made once: counting one allocates nothing. */
  readonly #delivered: Record<Found, Record<Change, number>> = {
    poll: { new: 0, updated: 0 },
    sweep: { new: 0, updated: 0 },
    replay: { new: 0, updated: 0 },
  };
  /** Requests since the process began, by what became of them. */
  readonly #answers: number[] = ANSWER_STATUSES.map(() => 0);
  #retries = 0;
  state: HealthState = "catching-up";
  failure: Failure | undefined;
  retryAtMs: number | undefined;
  walkStartedAtMs: number | undefined;
  walkCompletedAtMs: number | undefined;
  /** When the walk that completed last had begun. */
  completedWalkBeganAtMs: number | undefined;
  #isAnswered = false;
  /** When the first question was asked, on the clock that never steps. */
  #firstAskedAtMs: number | undefined;
  readonly #changed: () => void;

  constructor(stream: StreamHealth["stream"], changed: () => void) {
    this.stream = stream;
    this.#changed = changed;
  }

  count(what: keyof StreamCounts, by = 1): void {
    this.counts[what] += by;
    this.totals[what] += by;
  }

  /** A request goes out. */
  asked(monotonicMs: number): void {
    this.#firstAskedAtMs ??= monotonicMs;
    this.count("requests");
  }

  /** The request was answered with records. */
  answered(status: "200" | "206" = "200"): void {
    this.#countAnswer(status);
    this.#isAnswered = true;
    if (this.failure?.code === "network-timeout") this.be("catching-up");
  }

  /** The request failed. */
  failed(failure: Failure): void {
    this.#countAnswer(statusOf(failure));
  }

  #countAnswer(status: AnswerStatus): void {
    this.#answers[ANSWER_STATUSES.indexOf(status)]! += 1;
  }

  /** A failed request is sent again. */
  retried(): void {
    this.#retries += 1;
  }

  /** How long the first question waits for its answer; undefined when it does not, or was not asked yet. */
  firstAnswerOutstandingMs(monotonicMs: number): number | undefined {
    return this.#isAnswered || this.#firstAskedAtMs === undefined ? undefined : monotonicMs - this.#firstAskedAtMs;
  }

  /** An event that went out. */
  countDelivered(
    { found, change }: Pick<Delivery, "found" | "change">,
    record: Pick<RecordHead, "invalidUtf8Count">,
  ): void {
    this.#delivered[found][change] += 1;
    if (found === "replay") this.count("replayed");
    else {
      this.count(change);
      if (found === "sweep") this.count("swept");
    }
    if (record.invalidUtf8Count !== undefined) this.count("invalid_utf8");
  }

  /** A change of state, or of the failure behind it, makes a health event. */
  be(state: HealthState, failure?: Failure, retryAtMs?: number): void {
    const same = this.state === state && this.failure?.code === failure?.code;
    this.state = state;
    this.failure = failure;
    this.retryAtMs = retryAtMs;
    if (!same) this.#changed();
  }

  completed(beganAtMs: number, atMs: number): void {
    this.completedWalkBeganAtMs = beganAtMs;
    this.walkCompletedAtMs = atMs;
  }

  /** Since the process began, beside the state of now. */
  status(nowMs: number): StreamStatus {
    return {
      ...this.health(nowMs, this.totals),
      delivered: this.#delivered,
      answers: this.#answers,
      retries: this.#retries,
    };
  }

  health(nowMs: number, counts: Readonly<StreamCounts> = this.counts): StreamHealth {
    const failure = this.failure;
    return {
      stream: this.stream,
      state: this.state,
      lag_s:
        this.completedWalkBeganAtMs === undefined
          ? null
          : Math.max(0, Math.round((nowMs - this.completedWalkBeganAtMs) / 1000)),
      walk_completed_at: this.walkCompletedAtMs === undefined ? null : new Date(this.walkCompletedAtMs).toISOString(),
      ...counts,
      retry_at: this.retryAtMs === undefined ? null : new Date(this.retryAtMs).toISOString(),
      failure: failure?.code ?? null,
      actor: failure?.actor ?? null,
      say: failure?.say ?? null,
      next_step: failure?.nextStep || null,
    };
  }
}

/** What is known of the credential, for the health event. */
export interface CredentialReport {
  readonly name: string | null;
  daysLeft(nowMs: number): number | null;
  /** The warnings that hold now; each of their thresholds makes one health event. */
  warnings?(nowMs: number): readonly CredentialWarning[];
}

/** Does the stream wait for a permission? Some APIs only say that access is denied. */
function isWithoutPermission({ state, failure }: StreamHealth): boolean {
  return state === "awaiting-consent" || failure === "forbidden";
}

/** A customer whose tenant may be unknown. */
export type ReportedTenant = Pick<Tenant, "name"> & { readonly id: TenantId | "" };

/** One customer's health: an event at each change of state and hourly. */
export class CustomerReport {
  readonly tenant: ReportedTenant;
  readonly #input: string;
  readonly streams: StreamReport[] = [];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #send: (event: HealthEvent) => Promise<void>;
  readonly #version: string;
  readonly #credential: CredentialReport | undefined;
  readonly #permissions: CustomerPermissions | undefined;
  readonly #outage: () => OutageReason | undefined;
  /** The outage that the last event said; an incident's says something else of its stream. */
  #saidOutage: OutageReason["code"] | undefined;
  /** The first event is due even if nothing changes. */
  #dueAtMs: number;
  readonly #beganAtMs: number;
  readonly #sending = new SerialQueue();
  #changed = false;
  readonly #warned = new Set<string>();
  #warningsDueAtMs: number;

  constructor(options: {
    readonly tenant: ReportedTenant;
    /** The stanza's name. */
    readonly input: string;
    readonly clock: Clock;
    readonly log: Log;
    readonly version: string;
    readonly credential?: CredentialReport;
    readonly permissions?: CustomerPermissions;
    /** Why events that are collected do not arrive; undefined while they do. */
    readonly outage?: () => OutageReason | undefined;
    readonly send: (event: HealthEvent) => Promise<void>;
    /** On the clock that never steps; now if undefined. */
    readonly beganAtMs?: number;
  }) {
    this.tenant = options.tenant;
    this.#input = options.input;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#send = options.send;
    this.#version = options.version;
    this.#credential = options.credential;
    this.#permissions = options.permissions;
    this.#outage = options.outage ?? (() => undefined);
    this.#beganAtMs = options.beganAtMs ?? this.#clock.monotonicMs();
    this.#dueAtMs = this.#beganAtMs + FIRST_HEALTH_WITHIN_MS;
    this.#warningsDueAtMs = this.#clock.monotonicMs();
  }

  stream(name: StreamHealth["stream"]): StreamReport {
    const made = new StreamReport(name, () => {
      this.#changed = true;
      this.#logChange(made);
      // Streams that change together make one event.
      void Promise.resolve().then(() => this.flush());
    });
    this.streams.push(made);
    return made;
  }

  /** Nothing of this customer can be collected: one event and one line, however many streams it has. */
  refuse(failure: Failure): void {
    const stream = this.streams[0] ?? this.stream(ALL_STREAMS);
    const isNew = stream.failure?.code !== failure.code || stream.failure.say !== failure.say;
    stream.state = stateAfter(failure);
    stream.failure = failure;
    if (!isNew) return;
    this.#changed = true;
    this.#log.error(failure.say, {
      tenant: this.tenant.name,
      stream: ALL_STREAMS,
      state: stream.state,
      failure: failure.code,
      next_step: failure.nextStep || undefined,
    });
    void Promise.resolve().then(() => this.flush());
  }

  /**
   * Reports something that is not a state but must be seen (a quarantined record, a tenant that does not
   * match): one event now, the state stays.
   */
  async incident(stream: StreamReport, failure: Failure, level: "info" | "warn" = "warn"): Promise<void> {
    this.#log[level](failure.say, {
      tenant: this.tenant.name,
      stream: stream.stream,
      failure: failure.code,
      next_step: failure.nextStep || undefined,
    });
    const now = this.#clock.nowMs();
    const event = this.#event(now, (s) => {
      const health = this.#healthOf(s, now);
      if (s !== stream) return health;
      return {
        ...health,
        failure: failure.code,
        actor: failure.actor,
        say: failure.say,
        next_step: failure.nextStep || null,
      };
    });
    this.#reset();
    await this.#queue(event);
  }

  /** A first answer that is outstanding so long after the start is a failure that somebody must hear of. */
  lookForFirstAnswers(): void {
    const now = this.#clock.monotonicMs();
    if (now - this.#beganAtMs < FIRST_HEALTH_WITHIN_MS) return;
    for (const stream of this.streams) {
      const outstandingMs = stream.firstAnswerOutstandingMs(now);
      if (stream.state !== "catching-up" || outstandingMs === undefined || outstandingMs < OUTSTANDING_AFTER_MS)
        continue;
      stream.be("failing", noAnswerYet(this.tenant.name, stream.stream, outstandingMs));
    }
  }

  /** Sends the event that is due, if one is. */
  flush(): void {
    this.#warn();
    // A stream's own failure must not be hidden behind one.
    const stream = this.streams.find(({ failure }) => failure === undefined);
    // Of one app for all customers some need less: nobody has to act.
    if (stream) for (const failure of this.#permissions?.news() ?? []) void this.incident(stream, failure, "info");
    // Where every stream has a failure of its own, the event would be the same again.
    const isOutageNews = stream !== undefined && this.#outage()?.code !== this.#saidOutage;
    if (!this.#changed && !isOutageNews && this.#clock.monotonicMs() < this.#dueAtMs) return;
    this.#changed = false;
    this.#saidOutage = this.#outage()?.code;
    this.#dueAtMs = this.#clock.monotonicMs() + HOURLY_MS;
    const now = this.#clock.nowMs();
    const event = this.#event(now, (s) => this.#healthOf(s, now));
    this.#reset();
    void this.#queue(event);
  }

  #healthOf(stream: StreamReport, nowMs: number): StreamHealth {
    return this.#explained(stream.health(nowMs));
  }

  /** With what only the customer knows of its streams: a permission that was withdrawn, or an outage. */
  #explained<T extends StreamHealth>(health: T): T {
    return this.#withOutage(this.#withDate(health));
  }

  #withOutage<T extends StreamHealth>(health: T): T {
    const outage = this.#outage();
    if (outage === undefined || health.failure !== null) return health;
    const { code, actor, say, nextStep } = outage;
    return { ...health, state: "failing", failure: code, actor, say, next_step: nextStep || null };
  }

  /** With the time since which a permission that the customer withdrew is missing. */
  #withDate<T extends StreamHealth>(health: T): T {
    if (health.say === null || !isWithoutPermission(health) || health.stream === ALL_STREAMS) return health;
    const drift = this.#permissions?.drift();
    const since = drift && withdrawnSince(drift, health.stream);
    return since === undefined ? health : { ...health, say: `${health.say} ${withdrawnSentence(since)}` };
  }

  /**
   * Checked hourly. A threshold that no longer holds (a token was redeemed, a certificate replaced) is
   * reported again when it is passed again.
   */
  #warn(): void {
    const stream = this.streams[0];
    if (!stream || this.#clock.monotonicMs() < this.#warningsDueAtMs) return;
    this.#warningsDueAtMs = this.#clock.monotonicMs() + HOURLY_MS;
    const warnings = this.#credential?.warnings?.(this.#clock.nowMs()) ?? [];
    const fresh = warnings.filter(({ threshold }) => !this.#warned.has(threshold));
    this.#warned.clear();
    for (const { threshold } of warnings) this.#warned.add(threshold);
    for (const { failure } of fresh) void this.incident(stream, failure);
  }

  /** What `/metrics` and `/status` say of this customer. */
  status(nowMs: number): CustomerStatus {
    return {
      tenant: this.tenant.name,
      tenantId: this.tenant.id,
      input: this.#input,
      credentialDaysLeft: this.#credential?.daysLeft(nowMs) ?? null,
      streams: this.streams.map((stream) => this.#explained(stream.status(nowMs))),
      ...this.#drift(),
    };
  }

  /** Resolves when every event handed over so far has been sent. */
  idle(): Promise<void> {
    return this.#sending.idle();
  }

  #queue(event: HealthEvent): Promise<void> {
    return this.#sending
      .run(() => this.#send(event))
      .catch(() => {
        this.#dueAtMs = Math.min(this.#dueAtMs, this.#clock.monotonicMs() + RESEND_AFTER_MS);
      });
  }

  #event(nowMs: number, of: (stream: StreamReport) => StreamHealth): HealthEvent {
    return {
      time: new Date(nowMs).toISOString(),
      tenant: this.tenant.name,
      tenant_id: this.tenant.id,
      input: this.#input,
      streams: this.streams.map(of),
      credential: this.#credential?.name ?? null,
      credential_days_left: this.#credential?.daysLeft(nowMs) ?? null,
      version: this.#version,
      ...this.#drift(),
    };
  }

  #drift(): { readonly permissions?: PermissionDrift } {
    const permissions = this.#permissions?.drift();
    return permissions === undefined ? {} : { permissions };
  }

  #reset(): void {
    for (const stream of this.streams) stream.counts = zero();
  }

  #logChange(stream: StreamReport): void {
    const fields = {
      tenant: this.tenant.name,
      stream: stream.stream,
      state: stream.state,
      failure: stream.failure?.code,
      retry_at: stream.retryAtMs === undefined ? undefined : new Date(stream.retryAtMs).toISOString(),
      next_step: stream.failure?.nextStep || undefined,
    };
    if (!stream.failure) this.#log.info("stream state changed", fields);
    else if (stream.failure.actor === "microsoft") this.#log.warn(stream.failure.say, fields);
    else this.#log.error(stream.failure.say, fields);
  }
}
