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
import { readWithBackoff } from "../read-with-backoff.ts";
import type { CustomerReport, StreamReport } from "../report.ts";
import { ReportOnce } from "../report-once.ts";
import { RoundLoop } from "../round-loop.ts";
import type { LostVersion, Runner } from "../runner.ts";

const EMPTY_CHECKPOINT_SAVED_EVERY_MS = 600_000;
/** Rows are remembered this much longer than a window can show them again. */
const REMEMBERED_BEYOND_MS = 2 * 3_600_000;
/** Looked at least this often, so that a clock that was set is noticed. */
const LOOK_AGAIN_MS = 60_000;

export interface HunterParts {
  readonly stanza: string;
  readonly tenant: Tenant;
  readonly source: HuntingSource;
  readonly store: StreamStore;
  readonly start: Ticks;
  readonly sink: Sink;
  readonly budget: Budget;
  /** Not those of the pages: a query may take three minutes. */
  readonly limiter: PageLimiter;
  readonly provisional: Provisional;
  readonly report: StreamReport;
  readonly customer: CustomerReport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How far one saved query is. */
interface Progress {
  readonly query: HuntingQuery;
  readonly owner: ProvisionalOwner;
  /** End of the last window delivered. */
  done: Ticks | undefined;
  failures: number;
  failure: Failure | undefined;
  /** After a failure, on the clock that never steps. */
  waitsUntilMs: number;
}

/** What concerns one query alone: it waits, the others go on. */
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
 * One customer's saved queries on their schedule: each window once, rows known by query and bytes, a failing
 * query in no other's way.
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
  #mistakeIsSaid = false;
  readonly #quarantined = new ReportOnce();
  /** The service's clock less ours. */
  #serverAheadMs = 0;

  constructor(parts: HunterParts) {
    this.#p = parts;
    const now = parts.clock.nowMs();
    this.#checkpoint = parts.store.checkpoint ?? {
      version: 1,
      start: parts.start,
      nextPollAtMs: now,
      nextSweepAtMs: now,
      pollsSinceFullReach: 0,
    };
    this.#progress = parts.source.queries.map((query) => ({
      query,
      owner: new ProvisionalOwner(),
      done: this.#checkpoint.queries?.[query.name],
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
    // After a crash the saved progress never passed what was provisional; while we live the query goes back
    // itself.
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
    await this.#sayMistake();
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
   * Once every query that can answer has: what is still to be sent again is not there any more. A query that
   * Microsoft refuses will never bring it.
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
   * Fixes where each query starts and saves it, so that a death in its first window cannot move the start to
   * a later one.
   */
  async #begin(): Promise<void> {
    const fresh = this.#progress.filter(({ done }) => done === undefined);
    for (const progress of fresh) progress.done = planPass(progress.query, undefined, this.#serverNowMs()).pass.after;
    if (fresh.length > 0) await this.#saveCheckpoint(false);
  }

  /**
   * Once: beside a query that fails on its own the file's mistake would not be seen in the stream's state.
   */
  async #sayMistake(): Promise<void> {
    const { customer, report, source } = this.#p;
    if (source.problem === undefined || this.#mistakeIsSaid) return;
    this.#mistakeIsSaid = true;
    await customer.incident(report, source.problem);
  }

  /** The pass whose time came first, of queries that are not waiting after a failure. */
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
    // Our clock was ahead of the service's: the window's time has not come yet and it is asked for again when
    // it has.
    if (dueAtMs > this.#serverNowMs()) return;
    progress.done = window.to;
  }

  /**
   * One window; in halves when its answer was cut off or is refused for its size. Rows that are out already
   * are known and not sent again.
   */
  async #hunt(progress: Progress, pass: HuntingPass, stop: AbortSignal): Promise<void> {
    const { customer, report } = this.#p;
    let why: Failure;
    try {
      const end = await readWithBackoff(this.#p, stop, () => this.#readOnce(progress, pass, stop));
      if (!end.isCut) return;
      why = answerCut(pass.query, end);
      // A summary over half the time is another summary: its rows have no time by which they could be told
      // apart.
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
    const release = await acquireWithinBudget(budget, limiter, stop);
    try {
      if (stop.aborted) throw stopped();
      report.count("requests");
      const page = await source.hunt(pass, stop);
      this.#serverAheadMs = page.serverNowMs - clock.nowMs();
      for await (const batch of page.batches) {
        await this.#deliver(batch, progress, pass);
        if (stop.aborted) throw stopped();
      }
      await store.flush();
      if (report.state === "throttled") report.be("ok");
      return page.end();
    } finally {
      release();
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

  /** Reports each content once, since a window that is asked for again shows it again. */
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
   * Each query's progress, but never past what is provisional: after a crash those windows are asked for
   * again.
   */
  async #saveCheckpoint(orderly: boolean): Promise<void> {
    const { sink, store, clock } = this.#p;
    // A query that a mistake in the file hides for a while goes on where it was once it is back.
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
   * Since when the window that waits longest could have been had: what came of it before it failed is met
   * again. A refused query shows nothing.
   */
  #heldUpMs(): number {
    const now = this.#serverNowMs();
    const since = this.#progress
      .filter(({ failure }) => failure?.code !== "query-refused")
      .map(({ query, done }) => now - planPass(query, done, now).dueAtMs);
    return Math.max(0, ...since);
  }

  /** Forgets rows that no window can show again, and rewrites the journal when most of it is history. */
  async #tidy(): Promise<void> {
    const { provisional } = this.#p;
    provisional.settle();
    const longestMs = Math.max(
      0,
      ...this.#progress.map(({ query }) => (query.windowMinutes + query.delayMinutes) * 60_000),
    );
    const keepS = Math.floor(provisional.writtenNowS() - (longestMs + this.#heldUpMs() + REMEMBERED_BEYOND_MS) / 1000);
    await this.#sent.tidy((ledger) => ledger.prune(FAR_FUTURE, keepS));
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
    say: `Query ${query.name}: the answer was cut off at ${end.rowCount} rows, what is beyond is missing.`,
    nextStep: "Narrow the query, or give it a shorter window_minutes.",
  });
}

function windowSplit({ query, window }: HuntingPass, why: Failure): Failure {
  return new Failure("hunting-split", {
    actor: "operator",
    retry: { when: "soon" },
    say: `Query ${query.name}: ${minute(window.from)} to ${minute(window.to)} holds more than one answer can (${why.code}) and is asked for in two halves.`,
    nextStep: "Nothing is lost; a narrower query or a shorter window_minutes would save calls.",
  });
}

function windowsSkipped(query: HuntingQuery, from: Ticks, to: Ticks): Failure {
  return new Failure("hunting-gap", {
    actor: "operator",
    retry: { when: "never" },
    say: `Query ${query.name}: ${minute(from)} to ${minute(to)} was not asked for in time, hunting keeps 30 days only.`,
    nextStep: "What lies in between cannot be had any more.",
  });
}
