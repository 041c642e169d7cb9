import { ASKS, type Ask } from "../../config/request-stanza.ts";
import { failedLine, runChecks, SETTINGS_GOOD } from "../../model/doctor-run.ts";
import { type Failure, isFailure } from "../../model/failure.ts";
import type { Clock, Log } from "../../model/ports.ts";
import type { SharedCredentialRow } from "../../model/shared-credential.ts";
import type { ConsentState, DoctorCheck, DoctorLine } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { withTimeLimit } from "../../net/time-limit.ts";
import { TIME_LIMITS } from "../../net/time-limits.ts";
import type { KeyedRow } from "./kv-collection.ts";
import type { PageCredentials } from "./page-credentials.ts";
import type { StatusRow, StatusRows } from "./status-rows.ts";

/** In these requests `customer` is the name of a shared credential; for their list it is empty. */
const OF_CREDENTIALS: ReadonlySet<Ask> = new Set(["credentials", "credential-replace", "credential-delete"]);
/** In these an empty `customer` means all of them. */
const OF_ALL: ReadonlySet<Ask> = new Set(["credentials", "states"]);

/** While a page is used. */
export const LOOK_MS = 2_000;
const LOOK_WHEN_QUIET_MS = 15_000;
/** After an hour without a request nobody uses the pages, or there is no KV store. */
const LOOK_WHEN_UNUSED_MS = 30_000;
const UNUSED_AFTER_MS = 3_600_000;
/** Pages ask in bursts: so long after the last request the looks come often. */
const OFTEN_AFTER_REQUEST_MS = 600_000;
/** A page that saves an input restarts this program, and then asks. */
const OFTEN_AFTER_START_MS = 60_000;
const EXPIRES_AFTER_MS = 3_600_000;
/** The largest answers; a page that has not read them by now asks again. */
const STATES_EXPIRE_AFTER_MS = 120_000;
/** A page must not make this program ask Microsoft more often than that. */
const SAME_AGAIN_AFTER_MS = 30_000;
/** A request may come before the input: splunkd restarts this program to take the input over. */
const UNKNOWN_AFTER_MS = 30_000;
const CONSENT_EVERY_MS = 10_000;
const CONSENT_WAITS_MS = 1_800_000;
const NAME_MAX = 200;
/** So many rows that wait, and so many that are answered, are seen in one look. */
const ROWS_MAX = 200;

/** What answers are made of; `main` injects it. */
export interface PageAnswers {
  checks(stanza: Stanza): readonly DoctorCheck[];
  consent(stanza: Stanza): ConsentOffer | undefined;
  consentState(stanza: Stanza): Promise<ConsentState>;
  /** Consent was found, or every check passed: what waits after a failure need not wait any longer. */
  mayCollect(customer: string): void;
  /** With the commands as they run here. */
  inText(sentence: string, customer: string): string;
}

/** What the customer's administrator gets. */
export interface ConsentOffer {
  readonly url: string;
  readonly permissions: readonly string[];
  readonly mail: string;
}

/** An input as this run knows it. */
export type AskedInput =
  | { readonly is: "ready"; readonly stanza: Stanza }
  | { readonly is: "refused"; readonly stanza: Stanza; readonly failure: Failure }
  | { readonly is: "misconfigured"; readonly failure: Failure };

/** A place where pages leave their requests. Every method throws Failure. */
export interface RequestStore {
  /** What is stored; nothing of it can be trusted but that it is an object. */
  rows(): Promise<readonly Row[]>;
  /** Writes an answer. False when the request is gone: then nothing is written. */
  replace(row: KeyedRow): Promise<boolean>;
  remove(key: string): Promise<void>;
}

export interface PageRequestsParts {
  /** Where none can be read, the first one's failure is said. Throws Failure while splunkd is away. */
  readonly stores: () => readonly RequestStore[];
  readonly inputOf: (name: string) => Promise<AskedInput | undefined>;
  readonly answers: PageAnswers;
  readonly credentials: Pick<PageCredentials, "list" | "replace" | "remove">;
  readonly states: Pick<StatusRows, "known">;
  readonly clock: Clock;
  readonly log: Log;
}

/** As it is stored: anybody who may write the collection has written it. */
type Row = Readonly<Record<string, unknown>>;

interface Request extends KeyedRow {
  readonly store: RequestStore;
  readonly customer: string;
  readonly ask: Ask;
  readonly seenAtMs: number;
}

interface Answer {
  readonly state: "running" | "done" | "refused";
  readonly checks?: readonly DoctorLine[];
  readonly ok?: boolean;
  readonly consent?: ConsentOffer;
  /** Permissions that are still missing. */
  readonly missing?: readonly string[];
  readonly credentials?: readonly SharedCredentialRow[];
  readonly states?: readonly StatusRow[];
  readonly say?: string;
  readonly next_step?: string;
}

/**
 * Answers the pages' requests: a page has neither the customer's secrets nor this host's way to Microsoft.
 * One at a time, in the order in which they were seen. All places are looked at each time: a page chooses the
 * one that it can write, and the KV store may come and go meanwhile.
 */
export class PageRequests {
  readonly #p: PageRequestsParts;
  /** By place, as is the next. */
  readonly #seenAtMs = new Map<string, number>();
  readonly #refusedUntilMs = new Map<string, number>();
  /** `<ask> <customer>` to the time of the last check. */
  readonly #askedAtMs = new Map<string, number>();
  #oftenUntilMs: number;
  #isUnread = false;

  constructor(parts: PageRequestsParts) {
    this.#p = parts;
    this.#oftenUntilMs = parts.clock.monotonicMs() + OFTEN_AFTER_START_MS;
  }

  /** Answers until `stop`. Never throws a Failure. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, log } = this.#p;
    while (!stop.aborted) {
      try {
        await this.look(stop);
        this.#isUnread = false;
      } catch (error) {
        if (!isFailure(error)) throw error;
        if (!this.#isUnread && !stop.aborted)
          log.warn("the pages in Splunk Web get no answers, because their requests cannot be read", {
            failure: error.code,
            say: error.say,
            next_step: error.nextStep || undefined,
          });
        this.#isUnread = true;
      }
      await clock.pause(this.#pauseMs(), stop);
    }
  }

  #pauseMs(): number {
    const quietForMs = this.#p.clock.monotonicMs() - this.#oftenUntilMs;
    if (quietForMs > UNUSED_AFTER_MS) return LOOK_WHEN_UNUSED_MS;
    return this.#isUnread || quietForMs > 0 ? LOOK_WHEN_QUIET_MS : LOOK_MS;
  }

  /** One look: answers what waits and deletes what has expired. */
  async look(stop: AbortSignal): Promise<void> {
    const stores = this.#p.stores();
    const found = await Promise.allSettled(stores.map((store) => store.rows()));
    const problems = found.map((one): unknown => (one.status === "rejected" ? one.reason : undefined));
    const unexpected = problems.find((problem) => problem !== undefined && !isFailure(problem));
    if (unexpected !== undefined || problems.every((problem) => problem !== undefined)) throw unexpected ?? problems[0];
    let notWritten: Failure | undefined;
    for (const [at, one] of found.entries()) {
      const store = stores[at];
      if (store === undefined || one.status === "rejected") continue;
      this.#forgetOthers(at, one.value);
      try {
        await this.#lookAt(at, store, one.value, stop);
      } catch (error) {
        // A KV store that can only be read must not hold up the requests in the configuration file.
        if (!isFailure(error)) throw error;
        notWritten ??= error;
      }
    }
    if (notWritten !== undefined) throw notWritten;
  }

  async #lookAt(at: number, store: RequestStore, rows: readonly Row[], stop: AbortSignal): Promise<void> {
    const nowMs = this.#p.clock.monotonicMs();
    for (const row of inTurn(rows)) {
      if (stop.aborted) return;
      const key = row["_key"];
      if (typeof key !== "string") continue;
      const place = placeOf(at, key);
      if (!this.#seenAtMs.has(place)) {
        this.#seenAtMs.set(place, nowMs);
        if (!isAnswered(row)) this.#oftenUntilMs = nowMs + OFTEN_AFTER_REQUEST_MS;
      }
      const seenAtMs = this.#seenAtMs.get(place) ?? nowMs;
      if (nowMs < (this.#refusedUntilMs.get(place) ?? nowMs)) continue;
      const request = requestIn(row, { _key: key, store, seenAtMs });
      try {
        if (request === undefined || this.#hasExpired(row, seenAtMs)) await store.remove(key);
        else if (!isAnswered(row)) await this.#answer(request, row, stop);
      } catch (error) {
        if (!isFailure(error) || error.code !== "splunkd-answer") throw error;
        this.#noteRefused(place, error);
      }
    }
  }

  /** splunkd does not take this answer, or does not delete this row: others wait behind it. */
  #noteRefused(place: string, { code, say, nextStep }: Failure): void {
    if (!this.#refusedUntilMs.has(place))
      this.#p.log.warn("a request of a page in Splunk Web can be neither answered nor deleted", {
        failure: code,
        say,
        next_step: nextStep || undefined,
      });
    this.#refusedUntilMs.set(place, this.#p.clock.monotonicMs() + SAME_AGAIN_AFTER_MS);
  }

  /** An answer expires by its own time, as this program may be newer; else by when it was seen. */
  #hasExpired(row: Row, seenAtMs: number): boolean {
    const answeredAgoMs = isAnswered(row) ? this.#p.clock.nowMs() - (answeredAtMs(row) ?? Infinity) : 0;
    if (row["ask"] === "states" && answeredAgoMs > STATES_EXPIRE_AFTER_MS) return true;
    return Math.max(answeredAgoMs, this.#p.clock.monotonicMs() - seenAtMs) > EXPIRES_AFTER_MS;
  }

  /** What cannot be read for a moment is not forgotten: its requests would never expire. */
  #forgetOthers(at: number, rows: readonly Row[]): void {
    const present = new Set(rows.map((row) => placeOf(at, row["_key"])));
    for (const places of [this.#seenAtMs, this.#refusedUntilMs])
      for (const place of places.keys())
        if (place.startsWith(placeOf(at, "")) && !present.has(place)) places.delete(place);
    const oldest = this.#p.clock.monotonicMs() - SAME_AGAIN_AFTER_MS;
    for (const [what, atMs] of this.#askedAtMs) if (atMs < oldest) this.#askedAtMs.delete(what);
  }

  async #answer(request: Request, row: Row, stop: AbortSignal): Promise<void> {
    if (OF_CREDENTIALS.has(request.ask)) return this.#credentials(request);
    if (request.ask === "states") {
      const states = this.#p.states.known().filter(({ input }) => [input, ""].includes(request.customer));
      await this.#write(request, { state: "done", ok: true, states });
      return;
    }
    const nowMs = this.#p.clock.monotonicMs();
    const input = await this.#p.inputOf(request.customer);
    if (input === undefined) {
      if (nowMs - request.seenAtMs < UNKNOWN_AFTER_MS) return;
      await this.#write(request, {
        state: "refused",
        say: `The input ${request.customer} does not run on this host.`,
        next_step: "Enable the input, or open this page on the host where it runs.",
      });
      return;
    }
    const what = `${request.ask} ${request.customer}`;
    const isFirst = row["state"] !== "running";
    const againAfterMs = request.ask === "consent" && !isFirst ? CONSENT_EVERY_MS : SAME_AGAIN_AFTER_MS;
    const askedAtMs = this.#askedAtMs.get(what);
    if (askedAtMs !== undefined && nowMs - askedAtMs < againAfterMs) return;
    this.#askedAtMs.set(what, nowMs);
    if (request.ask === "doctor") await this.#doctor(request, input, stop);
    else await this.#consent(request, input, nowMs);
  }

  async #doctor(request: Request, input: AskedInput, stop: AbortSignal): Promise<void> {
    const { answers, clock } = this.#p;
    const text = (sentence: string) => answers.inText(sentence, request.customer);
    const checks: DoctorLine[] = [];
    let isWanted = true;
    const done = async (line: DoctorLine): Promise<void> => {
      checks.push({ ...line, say: text(line.say), next_step: text(line.next_step) });
      if (isWanted) isWanted = await this.#write(request, { state: "running", checks });
    };
    let failure: Failure | undefined;
    if (input.is === "misconfigured") {
      failure = input.failure;
      await done(failedLine("settings", failure));
    } else {
      await done(SETTINGS_GOOD);
      if (input.is === "refused") {
        failure = input.failure;
        await done(failedLine("secrets", failure));
      } else
        failure = await runChecks(
          answers.checks(input.stanza),
          (run) => withTimeLimit(clock, TIME_LIMITS.doctor.ms, run, stop),
          done,
        );
    }
    if (failure === undefined && !stop.aborted) answers.mayCollect(request.customer);
    // What a stop interrupted is asked again by the next run.
    if (isWanted && !stop.aborted) await this.#write(request, { state: "done", checks, ok: failure === undefined });
  }

  /** A request for consent stays open until the consent is given: that can take days, a page waits less. */
  async #consent(request: Request, input: AskedInput, nowMs: number): Promise<void> {
    const { answers } = this.#p;
    if (input.is === "misconfigured") {
      await this.#refused(request, input.failure);
      return;
    }
    const consent = answers.consent(input.stanza);
    const offer = consent === undefined ? {} : { consent };
    if (input.is === "refused") {
      await this.#refused(request, input.failure, offer);
      return;
    }
    try {
      const { missing, say } = await answers.consentState(input.stanza);
      const isOver = missing.length === 0 || nowMs - request.seenAtMs > CONSENT_WAITS_MS;
      if (missing.length === 0) answers.mayCollect(request.customer);
      const found = { ...offer, missing: [...new Set(missing)], say, ok: missing.length === 0 };
      await this.#write(request, { ...found, state: isOver ? "done" : "running" });
    } catch (error) {
      if (!isFailure(error)) throw error;
      await this.#refused(request, error, offer);
    }
  }

  /** Nothing of a secret is in an answer. Whoever changes one gets the list as it is then. */
  async #credentials(request: Request): Promise<void> {
    const { credentials } = this.#p;
    try {
      if (request.ask === "credential-replace") await credentials.replace(request.customer);
      if (request.ask === "credential-delete") await credentials.remove(request.customer);
      await this.#write(request, { state: "done", ok: true, credentials: await credentials.list() });
    } catch (error) {
      if (!isFailure(error)) throw error;
      await this.#refused(request, error);
    }
  }

  async #refused(request: Request, failure: Failure, offer: Partial<Answer> = {}): Promise<void> {
    const text = (sentence: string) => this.#p.answers.inText(sentence, request.customer);
    const next = { say: text(failure.say), next_step: text(failure.nextStep) };
    await this.#write(request, { ...offer, ...next, state: "refused", ok: false });
  }

  /** False when the page has deleted its request. */
  #write({ store, _key, customer, ask }: Request, answer: Answer): Promise<boolean> {
    const at = new Date(this.#p.clock.nowMs()).toISOString();
    return store.replace({ _key, customer, ask, ...answer, answered_at: at } as KeyedRow);
  }
}

/** A request's key, and in which place it is. */
function placeOf(at: number, key: unknown): string {
  return `${at} ${String(key)}`;
}

function isAnswered(row: Row): boolean {
  return row["state"] === "done" || row["state"] === "refused";
}

function answeredAtMs(row: Row): number | undefined {
  const ms = Date.parse(String(row["answered_at"]));
  return Number.isNaN(ms) ? undefined : ms;
}

/** What waits comes first, then the oldest answers: those that pile up hide no request. */
function inTurn(rows: readonly Row[]): readonly Row[] {
  const waiting = rows.filter((row) => !isAnswered(row));
  const answered = rows.filter(isAnswered).toSorted((a, b) => (answeredAtMs(a) ?? 0) - (answeredAtMs(b) ?? 0));
  return [...waiting.slice(0, ROWS_MAX), ...answered.slice(0, ROWS_MAX)];
}

function requestIn(row: Row, where: Pick<Request, "_key" | "store" | "seenAtMs">): Request | undefined {
  const { customer } = row;
  const ask = ASKS.find((one) => one === row["ask"]);
  if (typeof customer !== "string" || customer.length > NAME_MAX || ask === undefined) return undefined;
  if (customer === "" && !OF_ALL.has(ask)) return undefined;
  return { ...where, customer, ask };
}
