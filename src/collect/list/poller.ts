import type { Ticks } from "../../model/instant.ts";
import { ticksFromMs } from "../../model/instant.ts";
import type { Checkpoint, StateKey } from "../../model/state.ts";
import type { DeliveryParts, WalkPass } from "../delivery/delivery.ts";
import { StreamDelivery } from "../delivery/delivery.ts";
import type { ProvisionalOwner } from "../delivery/provisional.ts";
import { partialAnswer, WALK_WARNINGS } from "../failures.ts";
import type { PollTimes } from "../poll-times.ts";
import { RoundLoop } from "../round-loop.ts";
import type { LostVersion, Runner } from "../runner.ts";
import {
  checkpointAfter,
  longestSweepEveryMs,
  looksBackFully,
  minimum,
  pollFrom,
  stoodAt,
  sweepEveryMs,
} from "./lookback.ts";
import type { PageReaderParts } from "./page-reader.ts";
import { PageReader } from "./page-reader.ts";
import type { WalkMemory, WalkSource } from "./walk.ts";
import { walk } from "./walk.ts";

const FIRST_SWEEP_IN_MS = 3_600_000;
const EMPTY_CHECKPOINT_SAVED_EVERY_MS = 600_000;
const PROGRESS_SAVED_EVERY_MS = 1_000;

export interface PollerSettings {
  readonly pollSeconds: number;
  readonly overlapMinutes: number;
  readonly sweepHours: number;
}

export interface PollerParts extends DeliveryParts, PageReaderParts {
  readonly settings: PollerSettings;
  /** Of a customer that collectors share; undefined: a poll is due an interval after the last. */
  readonly times?: PollTimes | undefined;
  /** Lower bound of the first run. */
  readonly start: Ticks;
  /** From the last orderly stop; the saved checkpoint may be older. */
  readonly nextPollAtMs?: number;
  /** How many customers this process collects now: the more, the rarer the sweeps. */
  readonly customerCount: () => number;
}

/**
 * One stream of one customer: polls, sweeps, and keeps checkpoint and ledger. Its failures affect no other
 * stream, except those of the host (the sink is gone, the state folder cannot be written), which end the
 * process.
 */
export class StreamPoller implements Runner {
  readonly #p: PollerParts;
  readonly #memory: WalkMemory = {};
  readonly #delivery: StreamDelivery;
  readonly #reader: PageReader;
  readonly #loop: RoundLoop;
  #checkpoint: Checkpoint;
  /** The checkpoint a restart would load if the process crashed now. */
  #savedCheckpoint: Checkpoint | undefined;
  #savedAtMs = Number.NEGATIVE_INFINITY;
  #savedWalkAtMs: number | undefined;
  #requestsOfFullLookback = 0;
  #replayFrom: Ticks | undefined;
  #replaysAsked = 0;
  /** No further ahead was the next sweep planned; absent while the plan is that of an earlier run. */
  #sweepPlannedWithinMs: number | undefined;

  constructor(parts: PollerParts) {
    this.#p = parts;
    const now = parts.clock.nowMs();
    this.#savedCheckpoint = parts.store.checkpoint;
    this.#checkpoint = parts.store.checkpoint ?? {
      version: 1,
      start: parts.start,
      nextPollAtMs: (parts.times ?? parts.clock).nowMs(),
      nextSweepAtMs: now + FIRST_SWEEP_IN_MS,
      pollsSinceFullReach: 0,
    };
    if (parts.nextPollAtMs !== undefined && parts.nextPollAtMs > this.#checkpoint.nextPollAtMs)
      this.#checkpoint = { ...this.#checkpoint, nextPollAtMs: parts.nextPollAtMs };
    const { sweptUpTo, ...checkpoint } = this.#checkpoint;
    this.#checkpoint = checkpoint;
    if (parts.settings.sweepHours > 0 && checkpoint.upTo !== undefined)
      this.#checkpoint = { ...checkpoint, sweptUpTo: sweptUpTo ?? stoodAt(checkpoint.upTo, checkpoint.reachedUpTo) };
    this.#delivery = new StreamDelivery(parts);
    this.#reader = new PageReader(parts, this.#delivery, this.#memory);
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

  get owners(): readonly ProvisionalOwner[] {
    return [this.#delivery.owner];
  }

  get awaitsReplay(): boolean {
    return this.#replayFrom !== undefined;
  }

  /**
   * The version was written but may not have arrived: it is read and sent again. Unknown or outdated versions
   * are ignored.
   */
  askForReplay(version: LostVersion): void {
    if (!this.#delivery.askForReplay(version.hash, version.updated)) return;
    if (this.#replayFrom === undefined || version.askFrom < this.#replayFrom) this.#replayFrom = version.askFrom;
    this.#replaysAsked += 1;
  }

  /**
   * Where a question for a version found in the journal must begin after a crash. A nested record is not
   * found by its own time, but the saved checkpoint never passed it.
   */
  askFromOf(entry: { readonly updated: Ticks }): Ticks {
    const saved = this.#checkpoint.walk?.cursor ?? this.#checkpoint.upTo ?? this.#checkpoint.start;
    return this.#p.source.hasNested === true && saved < entry.updated ? saved : entry.updated;
  }

  /** Ends the present wait, so that a replay begins at once. */
  wakeUp(): void {
    this.#loop.wakeUp();
  }

  tryAgain(): boolean {
    return this.#loop.tryAgain();
  }

  outputAccepts(): boolean {
    return this.#loop.outputAccepts();
  }

  /** Polls until `stop`. Rejects only with what concerns the whole process. */
  async run(stop: AbortSignal, firstPollInMs: number): Promise<void> {
    const round = async () => {
      const beganAtMs = this.#p.clock.monotonicMs();
      await this.round(stop);
      const tookMs = this.#p.clock.monotonicMs() - beganAtMs;
      return this.#p.times?.pauseMs(tookMs) ?? this.#p.settings.pollSeconds * 1000 - tookMs;
    };
    await this.#loop.run(stop, firstPollInMs, round, (nextPollAtMs) => {
      this.#checkpoint = { ...this.#checkpoint, nextPollAtMs };
    });
  }

  /** One poll, and the sweep when it is due. */
  async round(stop: AbortSignal): Promise<void> {
    await this.#poll(stop);
    const { sweepHours } = this.#p.settings;
    if (sweepHours > 0 && this.#sweepIsDue()) await this.#sweep(stop);
    this.#p.report.be("ok");
    await this.#delivery.tidy(this.#askedAgainFrom());
  }

  /**
   * No later question begins further back than the ledger's span before this, neither in this run nor after a
   * crash, when the next run continues from the saved checkpoint.
   */
  #askedAgainFrom(): Ticks | undefined {
    const saved = this.#savedCheckpoint;
    const { upTo } = this.#checkpoint;
    if (upTo === undefined || saved === undefined) return undefined;
    const begun = [this.#checkpoint, saved].flatMap((checkpoint) => [
      checkpoint.upTo ?? checkpoint.start,
      checkpoint.reachedUpTo,
      checkpoint.sweptUpTo,
      checkpoint.walk?.cursor,
    ]);
    return [...begun, this.#replayFrom, this.#delivery.owner.oldest].reduce<Ticks>(minimum, upTo);
  }

  /** A sweep planned too far ahead was planned before the clock was set back, so it is due too. */
  #sweepIsDue(): boolean {
    const { clock, random, settings } = this.#p;
    const nowMs = clock.nowMs();
    const inMs = this.#checkpoint.nextSweepAtMs - nowMs;
    if (inMs <= 0) return true;
    if (this.#sweepPlannedWithinMs !== undefined) return inMs > this.#sweepPlannedWithinMs;
    if (inMs > longestSweepEveryMs(settings.sweepHours)) return true;
    const everyMs = this.#sweepEveryMs();
    this.#sweepPlannedWithinMs = everyMs;
    // A process with more customers planned it. Thousands of customers may come from there at once, so their
    // sweeps are spread.
    if (inMs > everyMs)
      this.#checkpoint = { ...this.#checkpoint, nextSweepAtMs: nowMs + Math.round(everyMs * random.next()) };
    return false;
  }

  #sweepEveryMs(): number {
    return sweepEveryMs({ customers: this.#p.customerCount(), sweepHours: this.#p.settings.sweepHours });
  }

  /**
   * The saved checkpoint is behind the current one: an orderly stop can save a newer one, because nothing is
   * provisional then.
   */
  get couldSayMore(): boolean {
    return this.#delivery.owner.oldest !== undefined || this.#checkpoint.walkCompletedAtMs !== this.#savedWalkAtMs;
  }

  /**
   * @param orderly everything written counts as delivered.
   * @param thorough also saves what only reduces the requests of the next start.
   */
  async close(options: { readonly orderly: boolean; readonly thorough: boolean }): Promise<void> {
    if (this.#delivery.wroteSinceSave || (options.thorough && options.orderly && this.couldSayMore))
      await this.#saveCheckpoint(options.orderly);
    await this.#p.store.flush();
    await this.#p.store.close();
  }

  async #poll(stop: AbortSignal): Promise<void> {
    const { settings, report, clock } = this.#p;
    const checkpoint = this.#checkpoint;
    const oldestReplay = this.#replayFrom;
    const replaysAsked = this.#replaysAsked;
    const full =
      oldestReplay !== undefined ||
      looksBackFully({
        pollsSinceFullLookback: checkpoint.pollsSinceFullReach,
        pollSeconds: settings.pollSeconds,
        requestsOfFullLookback: this.#requestsOfFullLookback,
        perMinute: this.#p.source.limits.perMinute,
      });
    let from = pollFrom({
      upTo: checkpoint.upTo,
      reachedUpTo: checkpoint.reachedUpTo,
      start: checkpoint.start,
      full,
      overlapMinutes: settings.overlapMinutes,
      oldestReplay,
    });
    let walkStartedAtMs = clock.nowMs();
    if (checkpoint.walk) {
      // The interrupted walk continues where it was; only a version that awaits its replay can be further
      // back.
      from =
        oldestReplay !== undefined && oldestReplay < checkpoint.walk.cursor ? oldestReplay : checkpoint.walk.cursor;
      walkStartedAtMs = checkpoint.walk.startedAtMs;
    } else {
      this.#checkpoint = { ...checkpoint, walk: { from, cursor: from, startedAtMs: walkStartedAtMs } };
    }
    // A crash in the first walk must not move its beginning to a later time.
    if (this.#p.store.checkpoint === undefined && this.#savedAtMs === Number.NEGATIVE_INFINITY)
      await this.#saveCheckpoint(false);
    report.walkStartedAtMs = walkStartedAtMs;
    this.#reader.beginWalk();
    const outcome = await walk(
      this.#source({ found: "poll", keepsProgress: true, ...this.#situation(stop) }),
      { from },
      this.#memory,
    );
    const lookedBackFully = full && !checkpoint.walk;
    if (lookedBackFully) this.#requestsOfFullLookback = this.#reader.requests;
    if (outcome.partial !== undefined) {
      // A provider was missing from the answer: its records would be lost if the checkpoint moved.
      const { walk: _unfinished, ...rest } = this.#checkpoint;
      this.#checkpoint = rest;
      await this.#p.customer.incident(report, partialAnswer(outcome.partial));
      return;
    }
    // A replay that was requested during this walk may concern a part that it had already passed: the next
    // walk reads it.
    if (this.#replaysAsked === replaysAsked) this.#endReplay(from);
    const upTo = checkpointAfter({
      upTo: this.#checkpoint.upTo,
      newestSeen: outcome.newestSeen,
      serverNowMs: outcome.serverNowMs,
      ownNowMs: clock.nowMs(),
      overlapMinutes: settings.overlapMinutes,
      start: checkpoint.start,
    });
    const moved = upTo !== this.#checkpoint.upTo;
    const { walk: _done, ...rest } = this.#checkpoint;
    // A walk that continued after an interruption did not read again what it had passed.
    const passed = checkpoint.walk ? minimum(upTo, ticksFromMs(walkStartedAtMs)) : upTo;
    this.#checkpoint = {
      ...rest,
      upTo,
      reachedUpTo: lookedBackFully ? upTo : (checkpoint.reachedUpTo ?? checkpoint.upTo ?? passed),
      walkCompletedAtMs: clock.nowMs(),
      pollsSinceFullReach: lookedBackFully ? 0 : checkpoint.pollsSinceFullReach + 1,
    };
    report.completed(walkStartedAtMs, clock.nowMs());
    if (this.#delivery.wroteSinceSave) await this.#saveCheckpoint(false);
    else if (moved && clock.monotonicMs() - this.#savedAtMs >= EMPTY_CHECKPOINT_SAVED_EVERY_MS)
      await this.#saveCheckpoint(false);
  }

  /**
   * The second look, far back. Rows that only it finds are counted: they show that the overlap is too short.
   */
  async #sweep(stop: AbortSignal): Promise<void> {
    const { settings, clock } = this.#p;
    const upTo = this.#checkpoint.upTo;
    if (upTo === undefined) return;
    // The later of the two clocks counts: if the other one is behind by mistake, the sweep would read rows
    // that the ledger has forgotten.
    const serverNowMs = this.#reader.serverNowMs ?? clock.nowMs();
    const { sweptUpTo } = this.#checkpoint;
    const latest = minimum(
      ticksFromMs(sweptUpTo === undefined ? serverNowMs : Math.max(serverNowMs, clock.nowMs())),
      sweptUpTo,
    );
    const far = latest - ticksFromMs(settings.sweepHours * 3_600_000);
    const from = far < this.#checkpoint.start ? this.#checkpoint.start : far;
    if (from < upTo) {
      const memory: WalkMemory = this.#memory.clamp === undefined ? {} : { clamp: this.#memory.clamp };
      const lateBefore = upTo - ticksFromMs(settings.overlapMinutes * 60_000);
      const { partial } = await walk(
        this.#source({ found: "sweep", lateBefore, keepsProgress: false, ...this.#situation(stop) }),
        { from },
        memory,
      );
      if (partial === undefined) this.#checkpoint = { ...this.#checkpoint, sweptUpTo: upTo };
      else await this.#p.customer.incident(this.#p.report, partialAnswer(partial));
    }
    this.#sweepPlannedWithinMs = this.#sweepEveryMs();
    this.#checkpoint = { ...this.#checkpoint, nextSweepAtMs: clock.nowMs() + this.#sweepPlannedWithinMs };
    if (this.#delivery.wroteSinceSave) await this.#saveCheckpoint(false);
  }

  #situation(stop: AbortSignal): Pick<WalkPass, "upTo" | "isFailing" | "stop"> {
    return { upTo: this.#checkpoint.upTo, isFailing: this.#loop.isFailing, stop };
  }

  #source(pass: WalkPass): WalkSource {
    const { source, customer, report } = this.#p;
    return {
      pageTop: source.pageTop,
      skipMax: source.skipMax,
      splits: source.splits,
      read: (question, seen) => this.#reader.read(question, { ...pass, seen }),
      progress: async (cursor) => {
        if (!pass.keepsProgress || !this.#checkpoint.walk) return;
        // A record dated in the future must not move the walk past rows that are still to come.
        const now = ticksFromMs(this.#reader.serverNowMs ?? this.#p.clock.nowMs());
        const safe = cursor < now ? cursor : now;
        if (safe <= this.#checkpoint.walk.cursor) return;
        this.#checkpoint = { ...this.#checkpoint, walk: { ...this.#checkpoint.walk, cursor: safe } };
        if (this.#delivery.wroteSinceSave && this.#p.clock.monotonicMs() - this.#savedAtMs >= PROGRESS_SAVED_EVERY_MS)
          await this.#saveCheckpoint(false);
      },
      warn: (what, detail) => {
        void customer.incident(report, WALK_WARNINGS[what](detail));
      },
    };
  }

  #endReplay(from: Ticks): void {
    if (this.#replayFrom === undefined || this.#replayFrom < from) return;
    this.#replayFrom = undefined;
    this.#delivery.endReplay();
  }

  async #saveCheckpoint(orderly: boolean): Promise<void> {
    const oldest = orderly || this.#p.sink.kind === "durable" ? undefined : this.#delivery.owner.oldest;
    const checkpoint = this.#checkpoint;
    const bounded = (at: Ticks) => (oldest !== undefined && oldest < at ? oldest : at);
    const saved: Checkpoint = {
      ...checkpoint,
      ...(checkpoint.upTo === undefined ? {} : { upTo: bounded(checkpoint.upTo) }),
      ...(checkpoint.walk === undefined
        ? {}
        : { walk: { ...checkpoint.walk, cursor: bounded(checkpoint.walk.cursor) } }),
    };
    await this.#p.store.commit({ checkpoint: saved });
    this.#savedCheckpoint = saved;
    this.#savedAtMs = this.#p.clock.monotonicMs();
    this.#savedWalkAtMs = checkpoint.walkCompletedAtMs;
    this.#delivery.checkpointSaved();
  }
}
