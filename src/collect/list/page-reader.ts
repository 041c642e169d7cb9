import { Failure, isFailure } from "../../model/failure.ts";
import type { Ticks } from "../../model/instant.ts";
import { formatInstant } from "../../model/instant.ts";
import type { Clock, Log, Question, Random, SourceStream } from "../../model/ports.ts";
import type { StreamStore } from "../../model/state.ts";
import type { Tenant } from "../../model/tenant.ts";
import { shortPauseMs } from "../backoff.ts";
import type { Budget } from "../budget.ts";
import type { StreamDelivery, WalkPass } from "../delivery/delivery.ts";
import { stopped } from "../failures.ts";
import { acquireWithinBudget, type PageLimiter } from "../limiter.ts";
import type { CustomerReport, StreamReport } from "../report.ts";
import { ReportOnce } from "../report-once.ts";
import { PageTally } from "./page-tally.ts";
import type { PageFacts, Seen, WalkMemory } from "./walk.ts";

const CATCHING_UP_AFTER_MS = 60_000;
/** The smallest step past a record that is taken for the poison. */
const POISON_PROBE_SKIP = 1;
const DEGRADABLE = new Set(["service-error", "bad-answer", "timed-out", "connection-reset"]);

export interface PageReaderParts {
  readonly tenant: Tenant;
  readonly source: SourceStream;
  readonly store: StreamStore;
  readonly budget: Budget;
  readonly limiter: PageLimiter;
  /** For customers whose last round failed: until they are well again they wait among themselves. */
  readonly limiterOfFailing: PageLimiter;
  readonly report: StreamReport;
  readonly customer: CustomerReport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What the poller knows and the reader asks for. */
export interface Situation {
  /** The customer's last round failed. */
  readonly isFailing: boolean;
  /** No walk was completed yet. */
  readonly isFirstWalk: boolean;
}

/**
 * Reads one page of one stream to its end, with the patience and the retreats that a service with failures calls
 * for, and has the delivery deliver it as it streams in.
 */
export class PageReader {
  readonly #p: PageReaderParts;
  readonly #delivery: StreamDelivery;
  readonly #memory: WalkMemory;
  readonly #situation: () => Situation;
  #poisoned: Ticks | undefined;
  readonly #quarantined = new ReportOnce();
  #largestTop: number | undefined;
  #withoutExpand = false;
  #serverNowMs: number | undefined;
  #requests = 0;

  /** @param memory the walk's: a clamp of our own making is learnt there like any other. */
  constructor(parts: PageReaderParts, delivery: StreamDelivery, memory: WalkMemory, situation: () => Situation) {
    this.#p = parts;
    this.#delivery = delivery;
    this.#memory = memory;
    this.#situation = situation;
  }

  /** The service's clock at the last answer. */
  get serverNowMs(): number | undefined {
    return this.#serverNowMs;
  }

  /** Requests since `beginWalk`. */
  get requests(): number {
    return this.#requests;
  }

  /** A new walk asks for everything again that the last one had to do without. */
  beginWalk(): void {
    this.#requests = 0;
    this.#withoutExpand = false;
  }

  /**
   * A page that cannot be had although the service lives is asked for in smaller parts: without $expand, half
   * as many rows, and at last around the one record that breaks it. A service that answers nothing at all is
   * left in peace after two probes.
   */
  async read(question: Question, seen: Seen, pass: WalkPass, stop: AbortSignal): Promise<PageFacts> {
    const asked: Question = question.link
      ? question
      : {
          ...question,
          top: Math.min(question.top, this.#largestTop ?? question.top),
          ...(this.#withoutExpand ? { withoutExpand: true } : {}),
        };
    try {
      if (this.#poisoned !== undefined && question.from === this.#poisoned && !question.link)
        return await this.#smaller(question, seen, pass, stop, undefined);
      const page = await this.#readPatiently(asked, seen, pass, stop);
      if (this.#largestTop !== undefined && !question.link)
        this.#largestTop = this.#largestTop * 2 < question.top ? this.#largestTop * 2 : undefined;
      return page;
    } catch (error) {
      if (!isFailure(error) || !DEGRADABLE.has(error.code) || question.link || stop.aborted) throw error;
      return this.#smaller(asked, seen, pass, stop, error);
    }
  }

  async #smaller(
    question: Question,
    seen: Seen,
    pass: WalkPass,
    stop: AbortSignal,
    why: Failure | undefined,
  ): Promise<PageFacts> {
    const withoutExpand = { ...question, withoutExpand: true };
    let top = 1;
    let page: PageFacts | undefined;
    try {
      page = await this.#readOnce({ ...withoutExpand, top: 1 }, seen, pass, stop);
    } catch (error) {
      if (!isFailure(error) || !DEGRADABLE.has(error.code) || stop.aborted) throw error;
      return this.#aroundPoison(withoutExpand, seen, pass, stop, why ?? error);
    }
    this.#poisoned = undefined;
    // The service lives: find the largest page that works. The first rows are out already, so nothing is lost
    // whatever fails.
    for (top = Math.floor(question.top / 2); top > 1; top = Math.floor(top / 2)) {
      try {
        page = await this.#readOnce({ ...withoutExpand, top }, seen, pass, stop);
        break;
      } catch (error) {
        if (!isFailure(error) || !DEGRADABLE.has(error.code) || stop.aborted) throw error;
      }
    }
    this.#withoutExpand = true;
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

  /**
   * The first record of the question breaks every answer: it is named as well as it can be, and the walk goes
   * on behind it.
   */
  async #aroundPoison(
    question: Question,
    seen: Seen,
    pass: WalkPass,
    stop: AbortSignal,
    why: Failure,
  ): Promise<PageFacts> {
    const at = question.from;
    if (at === undefined || this.#p.source.skipMax === 0) throw why;
    const skip = (question.skip ?? 0) + POISON_PROBE_SKIP;
    let page: PageFacts;
    try {
      page = await this.#readOnce({ ...question, top: 1, skip }, seen, pass, stop);
    } catch {
      throw why;
    }
    if (page.count === 0) throw why;
    // Polls begin at different times, but behind the record lies the same one.
    if (this.#quarantined.reportOnce(String(page.oldest ?? at))) {
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

  /**
   * One question with the short pauses of a walk: 1, 2 and 4 s, and as long as the service asks for by
   * Retry-After.
   */
  async #readPatiently(question: Question, seen: Seen, pass: WalkPass, stop: AbortSignal): Promise<PageFacts> {
    const { clock, random, report, budget } = this.#p;
    for (let failed = 0; ; ) {
      try {
        return await this.#readOnce(question, seen, pass, stop);
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
        const pauseMs = error.retry.when === "soon" ? shortPauseMs(failed, random) : undefined;
        if (pauseMs === undefined) throw error;
        failed += 1;
        await clock.pause(pauseMs, stop);
        if (stop.aborted) throw error;
      }
    }
  }

  async #readOnce(question: Question, seen: Seen, pass: WalkPass, stop: AbortSignal): Promise<PageFacts> {
    const { budget, limiter, limiterOfFailing, source, report, clock } = this.#p;
    const giveBack = await acquireWithinBudget(budget, this.#situation().isFailing ? limiterOfFailing : limiter, stop);
    const tally = new PageTally();
    let facts: PageFacts;
    try {
      if (stop.aborted) throw stopped();
      report.count("requests");
      this.#requests += 1;
      const page = await source.ask(question, stop);
      this.#serverNowMs = page.serverNowMs;
      for await (const batch of page.batches) {
        await this.#delivery.deliver(batch, tally, seen, pass, question.from);
        if (stop.aborted) throw stopped();
      }
      await this.#p.store.flush();
      if (
        report.walkStartedAtMs !== undefined &&
        clock.nowMs() - report.walkStartedAtMs > CATCHING_UP_AFTER_MS &&
        pass.keepsProgress
      )
        report.be("catching-up");
      else if (report.state === "throttled") report.be(this.#situation().isFirstWalk ? "catching-up" : "ok");
      facts = { ...tally.facts(), link: page.link(), serverNowMs: page.serverNowMs, partial: page.partial };
    } finally {
      giveBack();
    }
    for (const record of tally.huge) await this.#delivery.deliverHuge(record, pass, stop);
    return facts;
  }
}
