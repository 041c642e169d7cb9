import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Delivery, Found } from "../model/event.ts";
import { versionKey } from "../model/event.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { Ticks } from "../model/instant.ts";
import { formatInstant, TICKS_PER_MS, ticksFromMs } from "../model/instant.ts";
import type { Chance, Clock, Log, Outlet, Question, SourceStream } from "../model/kit.ts";
import type { PageRecord, RecordBody, RecordHead, SourceRecord, UnreadableRecord } from "../model/record.ts";
import type { LedgerEntry, Mark, Spool, StateKey, StreamStore } from "../model/state.ts";
import type { Tenant } from "../model/tenant.ts";
import type { Budget } from "./budget.ts";
import type { ObjectHash } from "./ledger.ts";
import { Ledger, objectHash } from "./ledger.ts";
import { calmWaitMs, shortPauseMs } from "./patience.ts";
import type { Provisional } from "./provisional.ts";
import { ProvisionalOwner } from "./provisional.ts";
import { ledgerSpanMs, markAfter, pollFrom, reachesFully } from "./reach.ts";
import type { CustomerReport, StreamReport } from "./report.ts";
import type { LostVersion, Runner } from "./runner.ts";
import type { Turns } from "./turns.ts";
import type { PageFacts, Seen, WalkMemory, WalkSource } from "./walk.ts";
import { walk } from "./walk.ts";

const SWEEP_EVERY_MS = 3_600_000;
const EMPTY_MARK_SAVED_EVERY_MS = 600_000;
const PROGRESS_SAVED_EVERY_MS = 1_000;
const CATCHING_UP_AFTER_MS = 60_000;
/** What an event takes beyond the record's own bytes, for the provisional window's account. */
export const EVENT_OVERHEAD_BYTES = 512;
/** An alert taken out of an incident is met again as long as the incident changes, however old the alert: it is remembered since it was last met. */
const LIFTED_REMEMBERED_MS = 30 * 24 * 3_600_000;
const JOURNAL_SLACK = 1_024;
/** The smallest page that is asked for before a record is taken for the poison. */
const POISON_PROBE_SKIP = 1;

export interface PollerSettings {
  readonly pollSeconds: number;
  readonly overlapMinutes: number;
  readonly sweepHours: number;
}

export interface PollerParts {
  readonly stanza: string;
  readonly tenant: Tenant;
  readonly settings: PollerSettings;
  readonly source: SourceStream;
  readonly store: StreamStore;
  readonly openSpool: () => Promise<Spool>;
  /** Lower bound of the first run. */
  readonly start: Ticks;
  /** As the last orderly stop left it; the saved mark may be older. */
  readonly nextPollAtMs?: number;
  readonly outlet: Outlet;
  readonly budget: Budget;
  readonly turns: Turns;
  /** For customers whose last round failed: until they are well again they wait among themselves. */
  readonly turnsOfTroubled: Turns;
  readonly provisional: Provisional;
  readonly report: StreamReport;
  readonly customer: CustomerReport;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
}

/** What one walk was for. */
interface Errand {
  readonly found: Exclude<Found, "replay">;
  /** Sweeps: a version at or after this instant is one that a poll would have found too. */
  readonly lateBefore?: Ticks;
  /** Keep the walk's progress so that it can go on after a failure or a stop. */
  readonly keepsProgress: boolean;
}

/**
 * One stream of one customer: polls, sweeps, keeps mark and ledger, and never lets a failure out of its own house except the host's
 * (the outlet is gone, the state folder cannot be written), which concerns everybody.
 */
export class StreamPoller implements Runner {
  readonly #p: PollerParts;
  readonly #ledger = new Ledger();
  readonly #owner = new ProvisionalOwner();
  readonly #memory: WalkMemory = {};
  #journalEntries = 0;
  #mark: Mark;
  #savedAtMs = Number.NEGATIVE_INFINITY;
  #savedWalkAtMs: number | undefined;
  #unsaved = false;
  #failures = 0;
  #requestsOfFullReach = 0;
  #requestsOfWalk = 0;
  #wake: AbortController = new AbortController();
  #toldTenantMismatch = false;
  #poisoned: Ticks | undefined;
  #replayFrom: Ticks | undefined;
  #largestTop: number | undefined;
  #lean = false;
  #serverNowMs: number | undefined;

  constructor(parts: PollerParts) {
    this.#p = parts;
    const now = parts.clock.nowMs();
    this.#mark = parts.store.mark ?? {
      version: 1,
      start: parts.start,
      nextPollAtMs: now,
      nextSweepAtMs: now + SWEEP_EVERY_MS,
      pollsSinceFullReach: 0,
    };
    if (parts.nextPollAtMs !== undefined && parts.nextPollAtMs > this.#mark.nextPollAtMs)
      this.#mark = { ...this.#mark, nextPollAtMs: parts.nextPollAtMs };
    for (const entry of parts.store.takeEntries()) {
      this.#ledger.put(entry);
      this.#journalEntries += 1;
    }
    if (this.#mark.walkCompletedAtMs !== undefined) parts.report.completed(this.#mark.walkCompletedAtMs, this.#mark.walkCompletedAtMs);
  }

  get mark(): Mark {
    return this.#mark;
  }

  get key(): StateKey {
    return this.#p.store.key;
  }

  get owners(): readonly ProvisionalOwner[] {
    return [this.#owner];
  }

  /** The version was written but may not have arrived: it is read and sent again. Unknown or outdated ones are let go. */
  askForReplay(version: LostVersion): void {
    if (!this.#ledger.askForReplay(version.hash, version.updated)) return;
    if (this.#replayFrom === undefined || version.askFrom < this.#replayFrom) this.#replayFrom = version.askFrom;
  }

  /** Where a question for a version found in the journal must begin after a crash: a lifted record's own time says nothing, but the saved mark never passed it. */
  askFromOf(entry: { readonly updated: Ticks }): Ticks {
    const saved = this.#mark.walk?.cursor ?? this.#mark.upTo ?? this.#mark.start;
    return this.#p.source.lifts === true && saved < entry.updated ? saved : entry.updated;
  }

  /** Ends the present wait, so that a replay begins at once. */
  wakeUp(): void {
    this.#wake.abort();
  }

  /** Polls until `stop`. Rejects only with what concerns the whole process. */
  async run(stop: AbortSignal, firstPollInMs: number): Promise<void> {
    // One listener for the whole run: a combined signal per rest costs thousands of weak references in a large fleet.
    stop.addEventListener("abort", () => this.#wake.abort(), { once: true });
    await this.#rest(firstPollInMs, stop);
    while (!stop.aborted) {
      const beganAtMs = this.#p.clock.monotonicMs();
      let waitMs = this.#p.settings.pollSeconds * 1000;
      try {
        await this.round(stop);
        this.#failures = 0;
        waitMs -= this.#p.clock.monotonicMs() - beganAtMs;
      } catch (error) {
        if (stop.aborted) break;
        waitMs = this.#afterFailure(error);
      }
      this.#mark = { ...this.#mark, nextPollAtMs: this.#p.clock.nowMs() + Math.max(0, waitMs) };
      this.#p.customer.flush();
      await this.#rest(Math.max(0, waitMs), stop);
    }
  }

  /** One poll, and the sweep when it is due. */
  async round(stop: AbortSignal): Promise<void> {
    await this.#poll(stop);
    const { sweepHours } = this.#p.settings;
    if (sweepHours > 0 && this.#p.clock.nowMs() >= this.#mark.nextSweepAtMs) await this.#sweep(stop);
    this.#p.report.be("ok");
    await this.#tidy();
  }

  /** The saved mark lies behind: at an orderly stop it may say more than it did while versions were provisional. */
  get couldSayMore(): boolean {
    return this.#owner.oldest !== undefined || this.#mark.walkCompletedAtMs !== this.#savedWalkAtMs;
  }

  /** @param orderly everything written is taken as delivered. @param thorough also saves what only spares the next start some reading. */
  async close(options: { readonly orderly: boolean; readonly thorough: boolean }): Promise<void> {
    if (this.#unsaved || (options.thorough && options.orderly && this.couldSayMore)) await this.#saveMark(options.orderly);
    await this.#p.store.flush();
    await this.#p.store.close();
  }

  async #rest(forMs: number, stop: AbortSignal): Promise<void> {
    if (forMs <= 0 || stop.aborted) return;
    this.#wake = new AbortController();
    await this.#p.clock.pause(forMs, this.#wake.signal);
  }

  #afterFailure(error: unknown): number {
    const failure = asFailure(error);
    if (concernsEverybody(failure)) throw failure;
    this.#failures += 1;
    const waitMs = calmWaitMs(this.#failures, failure, this.#p.clock.nowMs(), this.#p.chance);
    this.#p.report.be(failure.area === "sign-in" ? "signed-out" : "failing", failure, this.#p.clock.nowMs() + waitMs);
    return waitMs;
  }

  async #poll(stop: AbortSignal): Promise<void> {
    const { settings, report, clock } = this.#p;
    const mark = this.#mark;
    const oldestReplay = this.#replayFrom;
    const full =
      oldestReplay !== undefined ||
      reachesFully({
        pollsSinceFullReach: mark.pollsSinceFullReach,
        pollSeconds: settings.pollSeconds,
        requestsOfFullReach: this.#requestsOfFullReach,
        perMinute: this.#p.source.limits.perMinute,
      });
    let from = pollFrom({ upTo: mark.upTo, start: mark.start, full, overlapMinutes: settings.overlapMinutes, oldestReplay });
    let walkStartedAtMs = clock.nowMs();
    if (mark.walk) {
      // The interrupted walk goes on where it was; only what awaits its replay can lie further back.
      from = oldestReplay !== undefined && oldestReplay < mark.walk.cursor ? oldestReplay : mark.walk.cursor;
      walkStartedAtMs = mark.walk.startedAtMs;
    } else {
      this.#mark = { ...mark, walk: { from, cursor: from, startedAtMs: walkStartedAtMs } };
    }
    report.walkStartedAtMs = walkStartedAtMs;
    this.#requestsOfWalk = 0;
    this.#lean = false;
    const outcome = await walk(this.#source({ found: "poll", keepsProgress: true }, stop), { from }, this.#memory);
    if (full) this.#requestsOfFullReach = this.#requestsOfWalk;
    if (outcome.partial) {
      // A provider was missing from the answer: what it holds would be lost if the mark moved.
      const { walk: _unfinished, ...rest } = this.#mark;
      this.#mark = rest;
      await this.#p.customer.incident(report, PARTIAL_ANSWER);
      return;
    }
    this.#endReplay(from);
    const upTo = markAfter({
      upTo: this.#mark.upTo,
      newestSeen: outcome.newestSeen,
      serverNowMs: outcome.serverNowMs,
      overlapMinutes: settings.overlapMinutes,
      start: mark.start,
    });
    const moved = upTo !== this.#mark.upTo;
    const { walk: _done, ...rest } = this.#mark;
    this.#mark = { ...rest, upTo, walkCompletedAtMs: clock.nowMs(), pollsSinceFullReach: full ? 0 : mark.pollsSinceFullReach + 1 };
    report.completed(walkStartedAtMs, clock.nowMs());
    if (this.#unsaved) await this.#saveMark(false);
    else if (moved && clock.monotonicMs() - this.#savedAtMs >= EMPTY_MARK_SAVED_EVERY_MS) await this.#saveMark(false);
  }

  /** The second look, far back: what only it finds is counted, because it says that the overlap is too short. */
  async #sweep(stop: AbortSignal): Promise<void> {
    const { settings, clock } = this.#p;
    const upTo = this.#mark.upTo;
    if (upTo === undefined) return;
    const far = ticksFromMs(clock.nowMs() - settings.sweepHours * 3_600_000);
    const from = far < this.#mark.start ? this.#mark.start : far;
    if (from < upTo) {
      const memory: WalkMemory = this.#memory.clamp === undefined ? {} : { clamp: this.#memory.clamp };
      const lateBefore = upTo - ticksFromMs(settings.overlapMinutes * 60_000);
      await walk(this.#source({ found: "sweep", lateBefore, keepsProgress: false }, stop), { from }, memory);
    }
    this.#mark = { ...this.#mark, nextSweepAtMs: clock.nowMs() + SWEEP_EVERY_MS };
    if (this.#unsaved) await this.#saveMark(false);
  }

  #source(errand: Errand, stop: AbortSignal): WalkSource {
    const { source, customer, report } = this.#p;
    return {
      pageTop: source.pageTop,
      skipMax: source.skipMax,
      splits: source.splits,
      read: (question, seen) => this.#readDegrading(question, seen, errand, stop),
      progress: async (cursor) => {
        if (!errand.keepsProgress || !this.#mark.walk) return;
        // A record dated in the future must not carry the walk past what is still to come.
        const now = ticksFromMs(this.#serverNowMs ?? this.#p.clock.nowMs());
        const safe = cursor < now ? cursor : now;
        if (safe <= this.#mark.walk.cursor) return;
        this.#mark = { ...this.#mark, walk: { ...this.#mark.walk, cursor: safe } };
        if (this.#unsaved && this.#p.clock.monotonicMs() - this.#savedAtMs >= PROGRESS_SAVED_EVERY_MS) await this.#saveMark(false);
      },
      warn: (what, detail) => {
        void customer.incident(report, WALK_WARNINGS[what](detail));
      },
    };
  }

  /**
   * A page that cannot be had although the service lives is asked for in smaller parts: without $expand, half as many rows, and at last around the one record that
   * breaks it. A service that answers nothing at all is left in peace after two probes.
   */
  async #readDegrading(question: Question, seen: Seen, errand: Errand, stop: AbortSignal): Promise<PageFacts> {
    const asked: Question = question.link
      ? question
      : { ...question, top: Math.min(question.top, this.#largestTop ?? question.top), ...(this.#lean ? { lean: true } : {}) };
    try {
      if (this.#poisoned !== undefined && question.from === this.#poisoned && !question.link)
        return await this.#smaller(question, seen, errand, stop, undefined);
      const page = await this.#readPatiently(asked, seen, errand, stop);
      if (this.#largestTop !== undefined && !question.link)
        this.#largestTop = this.#largestTop * 2 < question.top ? this.#largestTop * 2 : undefined;
      return page;
    } catch (error) {
      if (!isFailure(error) || !DEGRADABLE.has(error.code) || question.link || stop.aborted) throw error;
      return this.#smaller(asked, seen, errand, stop, error);
    }
  }

  async #smaller(question: Question, seen: Seen, errand: Errand, stop: AbortSignal, why: Failure | undefined): Promise<PageFacts> {
    const lean = { ...question, lean: true };
    let top = 1;
    let page: PageFacts | undefined;
    try {
      page = await this.#readOnce({ ...lean, top: 1 }, seen, errand, stop);
    } catch (error) {
      if (!isFailure(error) || !DEGRADABLE.has(error.code) || stop.aborted) throw error;
      return this.#aroundPoison(lean, seen, errand, stop, why ?? error);
    }
    this.#poisoned = undefined;
    // The service lives: find the largest page that works. The first rows are out already, so nothing is lost whatever fails.
    for (top = Math.floor(question.top / 2); top > 1; top = Math.floor(top / 2)) {
      try {
        page = await this.#readOnce({ ...lean, top }, seen, errand, stop);
        break;
      } catch (error) {
        if (!isFailure(error) || !DEGRADABLE.has(error.code) || stop.aborted) throw error;
      }
    }
    this.#lean = true;
    this.#largestTop = Math.max(1, top);
    this.#memory.clamp = Math.min(this.#memory.clamp ?? this.#largestTop, this.#largestTop);
    this.#p.log.warn("page halved", {
      tenant: this.#p.tenant.name,
      stream: this.#p.source.name,
      top: Math.max(1, top),
      failure: why?.code,
    });
    return page;
  }

  /** The first record of the question breaks every answer: it is named as well as it can be, and the walk goes on behind it. */
  async #aroundPoison(question: Question, seen: Seen, errand: Errand, stop: AbortSignal, why: Failure): Promise<PageFacts> {
    const at = question.from;
    if (at === undefined || this.#p.source.skipMax === 0) throw why;
    const skip = (question.skip ?? 0) + POISON_PROBE_SKIP;
    let page: PageFacts;
    try {
      page = await this.#readOnce({ ...question, top: 1, skip }, seen, errand, stop);
    } catch {
      throw why;
    }
    if (page.count === 0) throw why;
    if (this.#poisoned !== at) {
      await this.#p.customer.incident(
        this.#p.report,
        new Failure("record-quarantined", {
          actor: "microsoft",
          retry: { when: "later" },
          say: `One ${this.#p.source.name} record updated between ${formatInstant(at)} and ${formatInstant(page.oldest ?? at)} cannot be fetched (${why.code}); everything behind it is collected and this one is asked for again at each poll.`,
          nextStep: "If it stays, open a case with Microsoft and name these times.",
        }),
      );
    }
    this.#poisoned = at;
    return page;
  }

  /** One question with the short pauses of a walk: 1, 2 and 4 s, and as long as the service asks for by Retry-After. */
  async #readPatiently(question: Question, seen: Seen, errand: Errand, stop: AbortSignal): Promise<PageFacts> {
    const { clock, chance, report, budget } = this.#p;
    for (let failed = 0; ; ) {
      try {
        return await this.#readOnce(question, seen, errand, stop);
      } catch (error) {
        if (stop.aborted || !isFailure(error)) throw error;
        if (error.retry.when === "at") {
          const waitMs = Math.max(0, error.retry.atMs - clock.nowMs());
          report.count("throttled");
          budget.block(waitMs);
          report.be("throttled", error, error.retry.atMs);
          await clock.pause(waitMs, stop);
          if (stop.aborted) throw error;
          continue;
        }
        const pauseMs = error.retry.when === "soon" ? shortPauseMs(failed, chance) : undefined;
        if (pauseMs === undefined) throw error;
        failed += 1;
        await clock.pause(pauseMs, stop);
        if (stop.aborted) throw error;
      }
    }
  }

  async #readOnce(question: Question, seen: Seen, errand: Errand, stop: AbortSignal): Promise<PageFacts> {
    const { budget, turns, turnsOfTroubled, source, report, clock } = this.#p;
    if (!(await budget.take(stop))) throw stopped();
    const giveBack = await (this.#failures > 0 ? turnsOfTroubled : turns).take();
    const tally = new PageTally();
    let facts: PageFacts;
    try {
      if (stop.aborted) throw stopped();
      report.count("requests");
      this.#requestsOfWalk += 1;
      const page = await source.ask(question, stop);
      this.#serverNowMs = page.serverNowMs;
      for await (const batch of page.batches) {
        await this.#deliver(batch, tally, seen, errand, question.from);
        if (stop.aborted) throw stopped();
      }
      await this.#p.store.flush();
      if (report.walkStartedAtMs !== undefined && clock.nowMs() - report.walkStartedAtMs > CATCHING_UP_AFTER_MS && errand.keepsProgress)
        report.be("catching-up");
      else if (report.state === "throttled") report.be(this.#mark.upTo === undefined ? "catching-up" : "ok");
      facts = { ...tally.facts(), link: page.link(), serverNowMs: page.serverNowMs, partial: page.partial !== undefined };
    } finally {
      giveBack();
    }
    for (const record of tally.huge) await this.#deliverHuge(record, errand, stop);
    return facts;
  }

  #canPassHuge(record: UnreadableRecord): record is UnreadableRecord & { readonly id: string; readonly updated: Ticks } {
    return (
      record.id !== undefined &&
      record.updated !== undefined &&
      this.#p.source.fetchHuge !== undefined &&
      this.#p.outlet.writeHuge !== undefined
    );
  }

  /**
   * A record too large for memory: fetched alone to a file, then passed on in pieces. By way of a file because an event that has begun cannot be taken back when
   * the answer breaks off, and because a slow answer must not hold the outlet against other customers.
   */
  async #deliverHuge(
    record: UnreadableRecord & { readonly id: string; readonly updated: Ticks },
    errand: Errand,
    stop: AbortSignal,
  ): Promise<void> {
    const { source, outlet, tenant, store, clock, provisional, budget } = this.#p;
    const spool = await this.#p.openSpool();
    try {
      if (!(await budget.take(stop))) throw stopped();
      this.#p.report.count("requests");
      const digest = createHash("sha256");
      const head = await source.fetchHuge?.(record, (bytes) => (digest.update(bytes), spool.append(bytes)), stop);
      if (!head || !outlet.writeHuge) return await this.#quarantine(record);
      const hash = objectHash(head.kind, head.id);
      const bodyCrc = digest.digest().readInt32LE(0);
      const judged = this.#judge(head, hash, errand, Math.floor(clock.nowMs() / 1000), bodyCrc);
      if (!judged) return;
      const entry: LedgerEntry = {
        hash,
        updated: head.updated,
        writtenAtS: Math.floor(clock.nowMs() / 1000),
        byteLength: Math.min(spool.byteLength + EVENT_OVERHEAD_BYTES, 0x7fff_ffff),
        bodyCrc,
        change: judged.change,
      };
      const before = this.#ledger.get(hash);
      this.#ledger.put(entry);
      const journalFirst = outlet.kind === "provisional";
      if (journalFirst) {
        store.append([entry]);
        provisional.add(this.#owner, { hash, updated: entry.updated, askFrom: entry.updated, byteLength: entry.byteLength });
      }
      try {
        const { stanza, stream, change, found, key } = judged;
        await outlet.writeHuge({ stanza, tenant, stream, change, found, key, record: head }, spool.pieces());
      } catch (error) {
        if (!(isFailure(error) && error.code === "host-gone")) await this.#takeBack([entry], [before]);
        throw error;
      }
      if (!journalFirst) store.append([entry]);
      this.#journalEntries += 1;
      this.#unsaved = true;
      this.#countDelivered(judged);
      await store.flush();
    } finally {
      await spool.dispose();
    }
  }

  #countDelivered(delivery: Pick<Delivery, "found" | "change">): void {
    if (delivery.found === "replay") this.#p.report.count("replayed");
    else {
      this.#p.report.count(delivery.change);
      if (delivery.found === "sweep") this.#p.report.count("swept");
    }
  }

  async #deliver(batch: readonly PageRecord[], facts: PageTally, seen: Seen, errand: Errand, askedFrom: Ticks | undefined): Promise<void> {
    const { store, outlet, clock, provisional } = this.#p;
    const deliveries: Delivery[] = [];
    const entries: LedgerEntry[] = [];
    const before: (LedgerEntry | undefined)[] = [];
    const nowS = Math.floor(clock.nowMs() / 1000);
    for (const record of batch) {
      if (!record.readable) {
        // Its place in the list counts like any other's, or a page full of such records would look like the end.
        if (record.updated === undefined) facts.unplaced += 1;
        else {
          facts.meet(record.updated);
          seen.meet(record.id ?? record.sha256, record.updated);
        }
        if (record.reason === "too-large" && this.#canPassHuge(record)) facts.huge.push(record);
        else await this.#quarantine(record);
        continue;
      }
      if (!record.lifted) {
        facts.meet(record.updated);
        seen.meet(record.id, record.updated);
      }
      this.#checkTenant(record);
      const hash = objectHash(record.kind, record.id);
      const judged = this.#judge(record, hash, errand, nowS);
      if (!judged) continue;
      const delivery: Delivery = { ...judged, record };
      const entry: LedgerEntry = {
        hash,
        updated: record.updated,
        writtenAtS: nowS,
        byteLength: record.body.end - record.body.start + EVENT_OVERHEAD_BYTES,
        bodyCrc: crcOf(record.body),
        change: delivery.change,
      };
      before.push(this.#ledger.get(hash));
      this.#ledger.put(entry);
      deliveries.push(delivery);
      entries.push(entry);
    }
    if (deliveries.length === 0) return;
    // A pipe: the journal first, since what was written but not journalled could not be told from a new version after a crash; everything provisional is sent again
    // then. A file renamed into place is not sent again, so there the journal must never be ahead of it.
    const journalFirst = outlet.kind === "provisional";
    if (journalFirst) {
      store.append(entries);
      entries.forEach((entry, i) => {
        const lifted = deliveries[i]!.record.lifted === true;
        const askFrom =
          (lifted || errand.found === "sweep") && askedFrom !== undefined && askedFrom < entry.updated ? askedFrom : entry.updated;
        provisional.add(this.#owner, { hash: entry.hash, updated: entry.updated, askFrom, byteLength: entry.byteLength });
      });
    }
    try {
      await outlet.write(deliveries);
    } catch (error) {
      if (!(isFailure(error) && error.code === "host-gone")) await this.#takeBack(entries, before);
      throw error;
    }
    if (!journalFirst) store.append(entries);
    this.#journalEntries += entries.length;
    this.#unsaved = true;
    for (const delivery of deliveries) this.#countDelivered(delivery);
  }

  /** Whether the version is to be sent, and as what. @param bodyCrc of a record whose bytes are not at hand. */
  #judge(
    record: RecordHead & { readonly lifted?: true; readonly body?: RecordBody },
    hash: ObjectHash,
    errand: Errand,
    nowS: number,
    bodyCrc = 0,
  ): Omit<Delivery, "record"> | undefined {
    const { report, log, tenant, stanza, source } = this.#p;
    const verdict = this.#ledger.judge(hash, record.updated, () => (record.body ? crcOf(record.body) : bodyCrc));
    let change: Delivery["change"] = "updated";
    let found: Found = errand.found === "sweep" && errand.lateBefore !== undefined && record.updated < errand.lateBefore ? "sweep" : "poll";
    switch (verdict.is) {
      case "sent":
        if (record.lifted) this.#ledger.touch(hash, nowS);
        return undefined;
      case "sent-with-other-bytes":
        log.warn("a version came again with other content and was not sent", { tenant: tenant.name, stream: source.name, id: record.id });
        return undefined;
      case "superseded":
        report.count("superseded");
        return undefined;
      case "unknown":
        change = this.#isNew(record) ? "new" : "updated";
        break;
      case "newer":
        if (verdict.unsent) report.count("superseded");
        break;
      case "replay":
        change = verdict.change;
        found = "replay";
        break;
    }
    return {
      stanza,
      tenant,
      stream: source.name,
      change,
      found,
      key: versionKey(tenant.id, source.name, record.kind, record.id, record.updated),
    };
  }

  #isNew(record: RecordHead): boolean {
    const upTo = this.#mark.upTo;
    if (upTo === undefined || record.created === undefined) return true;
    return record.created > upTo - ticksFromMs(ledgerSpanMs(this.#p.settings));
  }

  async #takeBack(entries: readonly LedgerEntry[], before: readonly (LedgerEntry | undefined)[]): Promise<void> {
    for (let i = entries.length - 1; i >= 0; i--) this.#ledger.restore(entries[i]!.hash, before[i]);
    await this.#p.store.compact(this.#ledger.entries());
    this.#journalEntries = this.#ledger.size;
  }

  async #quarantine(record: UnreadableRecord): Promise<void> {
    const { source, customer, report } = this.#p;
    const named = record.id === undefined ? "without a readable id" : `with id ${record.id}`;
    await customer.incident(
      report,
      new Failure("record-quarantined", {
        actor: record.reason === "too-large" ? "operator" : "microsoft",
        retry: { when: "never" },
        say: `A ${source.name} record ${named} could not be delivered (${record.reason}): ${record.byteLength} bytes, SHA-256 ${record.sha256}.`,
        nextStep:
          record.reason === "too-large"
            ? "Raise record_max_mib above the record's size."
            : "Report the id and the hash to Microsoft if the alert matters.",
      }),
    );
  }

  #checkTenant(record: SourceRecord): void {
    const { tenant, customer, report, source } = this.#p;
    if (record.payloadTenantId === undefined || record.payloadTenantId === tenant.id || this.#toldTenantMismatch) return;
    this.#toldTenantMismatch = true;
    void customer.incident(
      report,
      new Failure("tenant-mismatch", {
        actor: "operator",
        retry: { when: "never" },
        say: `Records of ${source.name} carry tenant ${record.payloadTenantId}, but this customer is configured as ${tenant.id}; they are delivered under the configured one.`,
        nextStep: "Check tenant_id of this customer.",
      }),
    );
  }

  /** After a complete walk: what was to be sent again but is not there any more was covered by a newer version, or is gone from Microsoft. */
  #endReplay(from: Ticks): void {
    if (this.#replayFrom === undefined || this.#replayFrom < from) return;
    this.#replayFrom = undefined;
    const dropped = this.#ledger.dropReplays();
    if (dropped > 0) this.#p.report.count("superseded", dropped);
  }

  async #saveMark(orderly: boolean): Promise<void> {
    const oldest = orderly || this.#p.outlet.kind === "durable" ? undefined : this.#owner.oldest;
    const mark = this.#mark;
    const bounded = (at: Ticks) => (oldest !== undefined && oldest < at ? oldest : at);
    await this.#p.store.flush();
    await this.#p.store.saveMark({
      ...mark,
      ...(mark.upTo === undefined ? {} : { upTo: bounded(mark.upTo) }),
      ...(mark.walk === undefined ? {} : { walk: { ...mark.walk, cursor: bounded(mark.walk.cursor) } }),
    });
    this.#savedAtMs = this.#p.clock.monotonicMs();
    this.#savedWalkAtMs = mark.walkCompletedAtMs;
    this.#unsaved = false;
  }

  /** Forgets what lies behind the ledger's span, and rewrites the journal when most of it is history. */
  async #tidy(): Promise<void> {
    this.#p.provisional.settle();
    const upTo = this.#mark.upTo;
    if (upTo === undefined || this.#journalEntries < 2 * this.#ledger.size + JOURNAL_SLACK) {
      if (upTo === undefined || this.#ledger.size < JOURNAL_SLACK) return;
    }
    const { settings, clock, store } = this.#p;
    const liftedBeforeS = Math.floor((clock.nowMs() - LIFTED_REMEMBERED_MS) / 1000);
    const lifts = this.#p.source.lifts === true;
    const oldest = upTo - BigInt(ledgerSpanMs(settings)) * TICKS_PER_MS;
    const pruned = lifts ? this.#ledger.prune(oldest, liftedBeforeS) : this.#ledger.prune(oldest);
    if (this.#journalEntries >= 2 * this.#ledger.size + JOURNAL_SLACK) {
      await store.compact(this.#ledger.entries());
      this.#journalEntries = this.#ledger.size;
      this.#p.log.debug("journal compacted", { tenant: this.#p.tenant.name, stream: this.#p.source.name, pruned, kept: this.#ledger.size });
    }
  }
}

/** Newest, oldest and order of one page. */
class PageTally {
  #count = 0;
  #newest: Ticks | undefined;
  #oldest: Ticks | undefined;
  #last: Ticks | undefined;
  #stepsUp = 0;
  #stepsDown = 0;
  unplaced = 0;
  /** To be fetched alone once the page is read. */
  readonly huge: (UnreadableRecord & { readonly id: string; readonly updated: Ticks })[] = [];

  meet(at: Ticks): void {
    this.#count += 1;
    if (this.#newest === undefined || at > this.#newest) this.#newest = at;
    if (this.#oldest === undefined || at < this.#oldest) this.#oldest = at;
    if (this.#last !== undefined) {
      if (at > this.#last) this.#stepsUp += 1;
      else if (at < this.#last) this.#stepsDown += 1;
    }
    this.#last = at;
  }

  facts(): Omit<PageFacts, "link" | "serverNowMs" | "partial"> {
    return {
      count: this.#count,
      unplaced: this.unplaced,
      newest: this.#newest,
      oldest: this.#oldest,
      stepsUp: this.#stepsUp,
      stepsDown: this.#stepsDown,
    };
  }
}

const PARTIAL_ANSWER = new Failure("partial-answer", {
  actor: "microsoft",
  retry: { when: "later" },
  say: "Microsoft answered without one of its providers (206 with a warning); what came was delivered and the same stretch is asked for again at the next poll.",
});

const DEGRADABLE = new Set(["service-error", "bad-answer", "timed-out", "connection-reset"]);

const WALK_WARNINGS: Record<"link-repeats" | "link-elsewhere" | "link-refused" | "instant-overfull", (detail: string) => Failure> = {
  "link-repeats": () =>
    new Failure("link-repeats", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: "Microsoft's list gave a next link that was followed already; paging goes on by time, nothing is lost.",
    }),
  "link-elsewhere": (origin) =>
    new Failure("link-elsewhere", {
      actor: "operator",
      retry: { when: "soon" },
      say: `A next link pointed to ${origin}, which is not the configured address; it was not followed and no token went there. Paging goes on by time.`,
      nextStep: "If a proxy rewrites answers, look at it; otherwise check graph_url or api_url.",
    }),
  "link-refused": (say) =>
    new Failure("link-refused", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: `A next link was refused (${say}); paging goes on by time.`,
    }),
  "instant-overfull": (part) =>
    new Failure("instant-overfull", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: `More records share one instant${part ? ` with ${part}` : ""} than paging can reach; the instant is split by other properties.`,
    }),
};

/** The outlet or the state folder is gone: nobody can go on. */
export function concernsEverybody(failure: Failure): boolean {
  return failure.code === "host-gone" || failure.code === "state-unwritable" || failure.code === "state-damaged";
}

function crcOf(body: RecordBody): number {
  const { bytes, start, end } = body;
  return crc32(bytes.subarray(start, end));
}

function stopped(): Failure {
  return new Failure("stopped", { actor: "us", retry: { when: "never" }, say: "The walk was stopped on request." });
}

/** Whatever was thrown, as a Failure; what is none already is a defect of ours and says so. */
export function asFailure(error: unknown): Failure {
  if (isFailure(error)) return error;
  return new Failure("defect", {
    actor: "us",
    retry: { when: "later" },
    say: `Something unexpected failed in this program: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}.`,
    nextStep: "Report this line; the customer is tried again.",
    cause: error,
  });
}
