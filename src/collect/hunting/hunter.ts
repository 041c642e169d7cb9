import { crc32 } from "node:zlib";
import { type Delivery, versionKey } from "../../model/event.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";
import {
  type HuntingEnd,
  type HuntingPass,
  type HuntingQuery,
  type HuntingSource,
  halvesOf,
  type PlannedPass,
  planPass,
} from "../../model/hunting.ts";
import { formatInstant, type Ticks } from "../../model/instant.ts";
import { ownEntry } from "../../model/own-entry.ts";
import type { Clock, Log, Random, Sink } from "../../model/ports.ts";
import type { PageRecord, SourceRecord, UnreadableRecord } from "../../model/record.ts";
import type { Checkpoint, LedgerEntry, StateKey, StreamStore } from "../../model/state.ts";
import type { Tenant } from "../../model/tenant.ts";
import { customerBackoffMs } from "../backoff.ts";
import type { Budget } from "../budget.ts";
import { EVENT_OVERHEAD_BYTES } from "../delivery/delivery.ts";
import { objectHash } from "../delivery/ledger.ts";
import { type Provisional, ProvisionalOwner } from "../delivery/provisional.ts";
import { quarantined } from "../delivery/quarantine.ts";
import { SentVersions } from "../delivery/sent-versions.ts";
import { acquireWithinBudget, type PageLimiter } from "../page-limiter.ts";
import type { PollTimes } from "../poll-times.ts";
import { askCounted, readWithBackoff } from "../read-with-backoff.ts";
import type { CustomerReport, StreamReport } from "../report.ts";
import { ReportOnce } from "../report-once.ts";
import { RoundLoop } from "../round-loop.ts";
import type { LostVersion, Runner } from "../runner.ts";

const EMPTY_CHECKPOINT_SAVED_EVERY_MS = 600_000;
/** Rows are remembered this much longer than a window can show them again. */
const REMEMBERED_BEYOND_MS = 2 * 3_600_000;
/** Checked at least this often, so that a change of the clock is noticed. */
const LOOK_AGAIN_MS = 60_000;

export interface HunterParts {
  readonly stanza: string;
  readonly tenant: Tenant;
  readonly source: HuntingSource;
  readonly store: StreamStore;
  readonly start: Ticks;
  readonly sink: Sink;
  readonly budget: Budget;
  /** Separate from the pages: a query may take three minutes. */
  readonly limiter: PageLimiter;
  readonly provisional: Provisional;
  readonly report: StreamReport;
  readonly customer: CustomerReport;
  readonly clock: Clock;
  /** As of a poller. */
  readonly times?: PollTimes | undefined;
  readonly random: Random;
  readonly log: Log;
}

/** The progress of one saved query. */
interface Progress {
  readonly query: HuntingQuery;
  readonly owner: ProvisionalOwner;
  /** End of the last window delivered. */
  done: Ticks | undefined;
  failures: number;
  failure: Failure | undefined;
  /** After a failure, on the monotonic clock. */
  waitsUntilMs: number;
}

/** Failures of one query alone: it waits, and the others continue. */
const OF_ONE_QUERY = new Set<FailureCode>([
  "query-refused",
  "query-too-large",
  "service-error",
  "bad-answer",
  "timed-out",
  "connection-reset",
]);
/** A smaller window may pass. */
const SPLITTABLE = new Set<FailureCode>(["query-too-large", "timed-out"]);

/**
 * One customer's saved queries on their schedule. Each window is read once, a row is identified by its query
 * and bytes, and a failing query does not delay the others.
 */
export class Hunter implements Runner {
  readonly owners: readonly ProvisionalOwner[];
  readonly #p: HunterParts;
  readonly #sent: SentVersions;
  readonly #loop: RoundLoop;
  readonly #progress: readonly Progress[];
  #checkpoint: Checkpoint;
  #awaitsReplay = false;
  #savedAtMs = Number.NEGATIVE_INFINITY;
  #mistakeIsReported = false;
  readonly #quarantined = new ReportOnce();
  /** The service's clock minus this machine's. */
  #serverAheadMs = 0;

  constructor(parts: HunterParts) {
    this.#p = parts;
    const now = parts.clock.nowMs();
    this.#checkpoint = parts.store.checkpoint ?? {
      version: 1,
      start: parts.start,
      nextPollAtMs: (parts.times ?? parts.clock).nowMs(),
      nextSweepAtMs: now,
      pollsSinceFullReach: 0,
    };
    this.#progress = parts.source.queries.map((query) => ({
      query,
      owner: new ProvisionalOwner(),
      done: ownEntry(this.#checkpoint.queries ?? {}, query.name),
      failures: 0,
      failure: undefined,
      waitsUntilMs: Number.NEGATIVE_INFINITY,
    }));
    this.owners = this.#progress.map(({ owner }) => owner);
    this.#sent = new SentVersions({ ...parts, owners: this.owners });
    this.#loop = new RoundLoop(parts);
    if (this.#checkpoint.walkCompletedAtMs !== undefined)
      parts.report.completed(this.#checkpoint.walkCompletedAtMs, this.#checkpoint.walkCompletedAtMs);
  }

  get checkpoint(): Checkpoint {
    return this.#checkpoint;
  }

  get key(): StateKey {
    return this.#p.store.key;
  }

  askForReplay(version: LostVersion): void {
    if (!this.#sent.askForReplay(version.hash, version.updated)) return;
    this.#awaitsReplay = true;
    // After a crash the saved progress is never past what was provisional. Within a run the query must be set
    // back here.
    const progress = this.#progress.find(({ owner }) => owner === version.owner);
    if (progress?.done !== undefined && version.askFrom < progress.done) progress.done = version.askFrom;
  }

  get awaitsReplay(): boolean {
    return this.#awaitsReplay;
  }

  askFromOf(entry: { readonly updated: Ticks }): Ticks {
    return entry.updated;
  }

  wakeUp(): void {
    this.#loop.wakeUp();
  }

  tryAgain(): boolean {
    return this.#loop.tryAgain();
  }

  outputAccepts(): boolean {
    return this.#loop.outputAccepts();
  }

  async run(stop: AbortSignal, firstInMs: number): Promise<void> {
    const round = async () => {
      await this.#cycle(stop);
      return this.#nextInMs();
    };
    await this.#loop.run(stop, firstInMs, round, (nextPollAtMs) => {
      this.#checkpoint = { ...this.#checkpoint, nextPollAtMs };
    });
  }

  async round(stop: AbortSignal): Promise<void> {
    const failure = await this.#cycle(stop);
    if (failure) throw failure;
  }

  /** Everything that is due; returns the failure of the first query that failed alone. */
  async #cycle(stop: AbortSignal): Promise<Failure | undefined> {
    const { report, clock } = this.#p;
    const beganAtMs = clock.nowMs();
    await this.#begin();
    await this.#reportMistake();
    for (let next = this.#dueNow(); next !== undefined; next = this.#dueNow()) {
      if (stop.aborted) throw stopped();
      await this.#carryOut(next.progress, next.planned, stop);
    }
    const failing = this.#progress.find(({ failure }) => failure !== undefined);
    const failure = failing?.failure ?? this.#p.source.problem;
    if (failure) {
      const waitMs = failing === undefined ? undefined : Math.max(0, failing.waitsUntilMs - clock.monotonicMs());
      report.be("failing", failure, waitMs === undefined ? undefined : clock.nowMs() + waitMs);
    } else {
      this.#checkpoint = { ...this.#checkpoint, walkCompletedAtMs: clock.nowMs() };
      report.completed(beganAtMs, clock.nowMs());
      report.be("ok");
    }
    this.#endReplay();
    await this.#tidy();
    if (this.#sent.wroteSinceSave || clock.monotonicMs() - this.#savedAtMs >= EMPTY_CHECKPOINT_SAVED_EVERY_MS)
      await this.#saveCheckpoint(false);
    return failure;
  }

  /**
   * Once every query that can answer has answered: what is still to be sent again is gone from Microsoft. A
   * query that Microsoft refuses does not count, because it will never answer.
   */
  #endReplay(): void {
    if (this.#progress.some(({ failure }) => failure !== undefined && failure.code !== "query-refused")) return;
    this.#awaitsReplay = false;
    const dropped = this.#sent.dropReplays();
    if (dropped > 0) this.#p.report.count("superseded", dropped);
  }

  async close(options: { readonly orderly: boolean; readonly thorough: boolean }): Promise<void> {
    if (this.#sent.wroteSinceSave || options.orderly) await this.#saveCheckpoint(options.orderly);
    await this.#p.store.flush();
    await this.#p.store.close();
  }

  #serverNowMs(): number {
    return this.#p.clock.nowMs() + this.#serverAheadMs;
  }

  /**
   * Fixes where each query starts and saves it, so that a crash in its first window cannot move the start to
   * a later time.
   */
  async #begin(): Promise<void> {
    const fresh = this.#progress.filter(({ done }) => done === undefined);
    for (const progress of fresh) progress.done = planPass(progress.query, undefined, this.#serverNowMs()).pass.after;
    if (fresh.length > 0) await this.#saveCheckpoint(false);
  }

  /** Reports the file's mistake once, because a failing query hides it in the stream's state. */
  async #reportMistake(): Promise<void> {
    const { customer, report, source } = this.#p;
    if (source.problem === undefined || this.#mistakeIsReported) return;
    this.#mistakeIsReported = true;
    await customer.incident(report, source.problem);
  }

  /** The pass that is due longest, of queries that are not waiting after a failure. */
  #dueNow(): { readonly progress: Progress; readonly planned: PlannedPass } | undefined {
    const now = this.#serverNowMs();
    let first: { readonly progress: Progress; readonly planned: PlannedPass } | undefined;
    for (const progress of this.#progress) {
      if (progress.waitsUntilMs > this.#p.clock.monotonicMs()) continue;
      const planned = planPass(progress.query, progress.done, now);
      if (planned.dueAtMs <= now && (first === undefined || planned.dueAtMs < first.planned.dueAtMs))
        first = { progress, planned };
    }
    return first;
  }

  #nextInMs(): number {
    const now = this.#serverNowMs();
    const waits = this.#progress.map(({ query, done, waitsUntilMs }) =>
      Math.max(planPass(query, done, now).dueAtMs - now, waitsUntilMs - this.#p.clock.monotonicMs()),
    );
    return Math.max(0, Math.min(LOOK_AGAIN_MS, ...waits));
  }

  async #carryOut(progress: Progress, { pass, dueAtMs }: PlannedPass, stop: AbortSignal): Promise<void> {
    const { customer, report, clock, random } = this.#p;
    const { query, window, skipped } = pass;
    if (skipped !== undefined) await customer.incident(report, windowsSkipped(query, skipped.from, skipped.to));
    try {
      await this.#hunt(progress, pass, stop);
    } catch (error) {
      if (stop.aborted || !isFailure(error) || !OF_ONE_QUERY.has(error.code)) throw error;
      progress.failures += 1;
      progress.waitsUntilMs = clock.monotonicMs() + customerBackoffMs(progress.failures, error, clock.nowMs(), random);
      const reportOnce = progress.failure?.code !== error.code;
      progress.failure = ofQuery(error, query);
      if (reportOnce) await customer.incident(report, progress.failure);
      return;
    }
    progress.failures = 0;
    progress.failure = undefined;
    // This machine's clock was ahead of the service's: the window is not due yet and is requested again when
    // it is.
    if (dueAtMs > this.#serverNowMs()) return;
    progress.done = window.to;
  }

  /**
   * One window; in halves when its answer was cut off or refused for its size. Rows that were sent already
   * are known and not sent again.
   */
  async #hunt(progress: Progress, pass: HuntingPass, stop: AbortSignal): Promise<void> {
    const { customer, report } = this.#p;
    let why: Failure;
    try {
      const end = await readWithBackoff(this.#p, stop, () => this.#readOnce(progress, pass, stop));
      if (!end.isCut) return;
      why = answerCut(pass.query, end);
      // Rows without time are a summary, and a summary over half the time is a different one: do not split
      // it.
      if (end.untimedCount > 0) {
        await customer.incident(report, why);
        return;
      }
    } catch (error) {
      if (stop.aborted || !isFailure(error) || !SPLITTABLE.has(error.code)) throw error;
      why = error;
    }
    const halves = halvesOf(pass);
    if (halves === undefined) {
      if (why.code !== "hunting-cut") throw why;
      await customer.incident(report, why);
      return;
    }
    await customer.incident(report, windowSplit(pass, why));
    for (const half of halves) await this.#hunt(progress, half, stop);
  }

  async #readOnce(progress: Progress, pass: HuntingPass, stop: AbortSignal): Promise<HuntingEnd> {
    const { budget, limiter, source, report, store, clock } = this.#p;
    const slot = await acquireWithinBudget(budget, limiter, stop);
    try {
      if (stop.aborted) throw stopped();
      report.asked(clock.monotonicMs());
      const page = await askCounted(report, stop, () => source.hunt(pass, stop));
      report.answered();
      await slot.answered();
      this.#serverAheadMs = page.serverNowMs - clock.nowMs();
      for await (const batch of store.joined?.(page.batches) ?? page.batches) {
        await this.#deliver(batch, progress, pass);
        if (stop.aborted) throw stopped();
      }
      await store.flush();
      if (report.state === "throttled") report.be("ok");
      return page.end();
    } finally {
      slot.release();
    }
  }

  async #deliver(batch: readonly PageRecord[], progress: Progress, pass: HuntingPass): Promise<void> {
    const { provisional, report } = this.#p;
    const deliveries: Delivery[] = [];
    const transaction = this.#sent.begin();
    const writtenAtS = provisional.writtenNowS();
    for (const record of batch) {
      if (!record.readable) {
        await this.#quarantine(record, pass.query);
        continue;
      }
      const hash = objectHash(record.kind, record.id);
      const { bytes, start, end } = record.body;
      const bodyCrc = crc32(bytes.subarray(start, end));
      const delivery = this.#judge(record, hash, bodyCrc);
      if (delivery === undefined) continue;
      const { updated } = record;
      const byteLength = end - start + EVENT_OVERHEAD_BYTES;
      transaction.add({
        entry: { hash, updated, writtenAtS, byteLength, bodyCrc, change: "new" },
        owner: progress.owner,
        askFrom: pass.after,
      });
      deliveries.push(delivery);
    }
    if (transaction.isEmpty) return;
    await transaction.send({ deliveries });
    for (const delivery of deliveries) report.countDelivered(delivery, delivery.record);
  }

  /** A row never changes: it is new, known, or to be sent again. */
  #judge(record: SourceRecord, hash: LedgerEntry["hash"], bodyCrc: number): Delivery | undefined {
    const { stanza, tenant, report } = this.#p;
    const verdict = this.#sent.judge(hash, record.updated, () => bodyCrc);
    if (verdict.is === "superseded") report.count("superseded");
    if (verdict.is !== "unknown" && verdict.is !== "newer" && verdict.is !== "replay") return undefined;
    const key = versionKey(tenant.id, "hunting", record.kind, record.id, record.updated);
    return {
      stanza,
      tenant,
      stream: "hunting",
      change: "new",
      found: verdict.is === "replay" ? "replay" : "poll",
      key,
      record,
    };
  }

  /** Reports each content once, since a window that is requested again contains it again. */
  async #quarantine(record: UnreadableRecord, query: HuntingQuery): Promise<void> {
    if (!this.#quarantined.reportOnce(`${query.name} ${record.sha256}`)) return;
    await this.#p.customer.incident(
      this.#p.report,
      quarantined(
        record,
        `A row of query ${query.name}`,
        "Raise record_max_mib, or have the query project fewer columns.",
        "Report the hash to Microsoft if the row matters.",
      ),
    );
  }

  /**
   * Saves each query's progress, but never past what is provisional: after a crash those windows are
   * requested again.
   */
  async #saveCheckpoint(orderly: boolean): Promise<void> {
    const { sink, store, clock } = this.#p;
    // A query that is missing because of a mistake in the file continues where it was once it is back.
    const queries: Record<string, Ticks> = { ...this.#checkpoint.queries };
    for (const { query, owner, done } of this.#progress) {
      if (done === undefined) continue;
      const oldest = orderly || sink.kind === "durable" ? undefined : owner.oldest;
      queries[query.name] = oldest !== undefined && oldest < done ? oldest : done;
    }
    await store.commit({ checkpoint: { ...this.#checkpoint, queries } });
    this.#savedAtMs = clock.monotonicMs();
    this.#sent.checkpointSaved();
  }

  /**
   * For how long the window that waits longest has been due: rows of it that were sent before it failed will
   * be met again. A refused query returns no rows, so it does not count.
   */
  #longestOverdueMs(): number {
    const now = this.#serverNowMs();
    const since = this.#progress
      .filter(({ failure }) => failure?.code !== "query-refused")
      .map(({ query, done }) => now - planPass(query, done, now).dueAtMs);
    return Math.max(0, ...since);
  }

  /** Forgets rows that no window can return again, and rewrites the journal when most of it is obsolete. */
  async #tidy(): Promise<void> {
    const { provisional } = this.#p;
    provisional.settle();
    const longestMs = Math.max(
      0,
      ...this.#progress.map(({ query }) => (query.windowMinutes + query.delayMinutes) * 60_000),
    );
    const rememberedMs = longestMs + this.#longestOverdueMs() + REMEMBERED_BEYOND_MS;
    const writtenBeforeS = Math.floor(provisional.writtenNowS() - rememberedMs / 1000);
    await this.#sent.tidy((ledger) => ledger.prune(FAR_FUTURE, writtenBeforeS));
  }
}

const FAR_FUTURE: Ticks = 1n << 62n;

function stopped(): Failure {
  return new Failure("stopped", { actor: "us", retry: { when: "never" }, say: "Hunting was stopped on request." });
}

function minute(ticks: Ticks): string {
  return `${formatInstant(ticks).slice(0, 19)}Z`;
}

function ofQuery(failure: Failure, query: HuntingQuery): Failure {
  const { actor, retry, nextStep, status } = failure;
  return new Failure(failure.code, {
    actor,
    retry,
    nextStep,
    say: `Query ${query.name}: ${failure.say}`,
    ...(status === undefined ? {} : { status }),
    cause: failure,
  });
}

function answerCut(query: HuntingQuery, end: HuntingEnd): Failure {
  return new Failure("hunting-cut", {
    actor: "operator",
    retry: { when: "later" },
    say: `Query ${query.name}: the answer was cut off at ${end.rowCount} rows. The rows beyond are missing.`,
    nextStep: "Narrow the query, or set a shorter window_minutes for it.",
  });
}

function windowSplit({ query, window }: HuntingPass, why: Failure): Failure {
  return new Failure("hunting-split", {
    actor: "operator",
    retry: { when: "soon" },
    say: `Query ${query.name}: ${minute(window.from)} to ${minute(window.to)} holds more rows than one answer can (${why.code}). It is requested again in two halves, and nothing is lost.`,
    nextStep: "To save calls, narrow the query or set a shorter window_minutes for it.",
  });
}

function windowsSkipped(query: HuntingQuery, from: Ticks, to: Ticks): Failure {
  return new Failure("hunting-gap", {
    actor: "operator",
    retry: { when: "never" },
    say: `Query ${query.name}: ${minute(from)} to ${minute(to)} was not requested within 30 days. Microsoft keeps hunting data no longer, so these rows are missing.`,
    nextStep: "Nothing can bring these rows back. Fix failures of this query within 30 days.",
  });
}
