import { Failure, isFailure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";
import type { Ticks } from "../../model/instant.ts";
import { formatInstant } from "../../model/instant.ts";
import type { Clock, Log, Question, Random, SourceStream } from "../../model/ports.ts";
import type { StreamStore } from "../../model/state.ts";
import type { Tenant } from "../../model/tenant.ts";
import type { Budget } from "../budget.ts";
import type { PagePass, QuestionPass, StreamDelivery } from "../delivery/delivery.ts";
import { stopped } from "../failures.ts";
import { acquireWithinBudget, type PageLimiter } from "../page-limiter.ts";
import { readWithBackoff } from "../read-with-backoff.ts";
import type { CustomerReport, StreamReport } from "../report.ts";
import { ReportOnce } from "../report-once.ts";
import { PageTally } from "./page-tally.ts";
import type { PageFacts, WalkMemory } from "./walk.ts";

const CATCHING_UP_AFTER_MS = 60_000;
/** The smallest step past a record that is taken for the poison. */
const POISON_PROBE_SKIP = 1;
const DEGRADABLE = new Set<FailureCode>(["service-error", "bad-answer", "timed-out", "connection-reset"]);

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

/**
 * Reads one page of one stream to its end, with the patience and the retreats that a service with failures calls
 * for, and has the delivery deliver it as it streams in.
 */
export class PageReader {
  readonly #p: PageReaderParts;
  readonly #delivery: StreamDelivery;
  readonly #memory: WalkMemory;
  #poisoned: Ticks | undefined;
  readonly #quarantined = new ReportOnce();
  #largestTop: number | undefined;
  #withoutExpand = false;
  #serverNowMs: number | undefined;
  #requests = 0;

  /** @param memory the walk's: a clamp of our own making is learnt there like any other. */
  constructor(parts: PageReaderParts, delivery: StreamDelivery, memory: WalkMemory) {
    this.#p = parts;
    this.#delivery = delivery;
    this.#memory = memory;
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
  async read(question: Question, pass: QuestionPass): Promise<PageFacts> {
    const asked: Question = question.link
      ? question
      : {
          ...question,
          top: Math.min(question.top, this.#largestTop ?? question.top),
          ...(this.#withoutExpand ? { withoutExpand: true } : {}),
        };
    try {
      if (this.#poisoned !== undefined && question.from === this.#poisoned && !question.link)
        return await this.#smaller(question, pass, undefined);
      const page = await readWithBackoff(this.#p, pass.stop, () => this.#readOnce(asked, pass));
      if (this.#largestTop !== undefined && !question.link)
        this.#largestTop = this.#largestTop * 2 < question.top ? this.#largestTop * 2 : undefined;
      return page;
    } catch (error) {
      if (!isFailure(error) || !DEGRADABLE.has(error.code) || question.link || pass.stop.aborted) throw error;
      return this.#smaller(asked, pass, error);
    }
  }

  async #smaller(question: Question, pass: QuestionPass, why: Failure | undefined): Promise<PageFacts> {
    const withoutExpand = { ...question, withoutExpand: true };
    let top = 1;
    let page: PageFacts | undefined;
    try {
      page = await this.#readOnce({ ...withoutExpand, top: 1 }, pass);
    } catch (error) {
      if (!isFailure(error) || !DEGRADABLE.has(error.code) || pass.stop.aborted) throw error;
      return this.#aroundPoison(withoutExpand, pass, why ?? error);
    }
    this.#poisoned = undefined;
    // The service lives: find the largest page that works. The first rows are out already, so nothing is lost
    // whatever fails.
    for (top = Math.floor(question.top / 2); top > 1; top = Math.floor(top / 2)) {
      try {
        page = await this.#readOnce({ ...withoutExpand, top }, pass);
        break;
      } catch (error) {
        if (!isFailure(error) || !DEGRADABLE.has(error.code) || pass.stop.aborted) throw error;
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
  async #aroundPoison(question: Question, pass: QuestionPass, why: Failure): Promise<PageFacts> {
    const at = question.from;
    if (at === undefined || this.#p.source.skipMax === 0) throw why;
    const skip = (question.skip ?? 0) + POISON_PROBE_SKIP;
    let page: PageFacts;
    try {
      page = await this.#readOnce({ ...question, top: 1, skip }, pass);
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

  async #readOnce(question: Question, pass: QuestionPass): Promise<PageFacts> {
    const { budget, limiter, limiterOfFailing, source, report, clock } = this.#p;
    const release = await acquireWithinBudget(budget, pass.isFailing ? limiterOfFailing : limiter, pass.stop);
    const tally = new PageTally();
    const pagePass: PagePass = { ...pass, tally, askedFrom: question.from };
    let facts: PageFacts;
    try {
      if (pass.stop.aborted) throw stopped();
      report.count("requests");
      this.#requests += 1;
      const page = await source.ask(question, pass.stop);
      this.#serverNowMs = page.serverNowMs;
      for await (const batch of page.batches) {
        await this.#delivery.deliver(batch, pagePass);
        if (pass.stop.aborted) throw stopped();
      }
      await this.#p.store.flush();
      if (
        report.walkStartedAtMs !== undefined &&
        clock.nowMs() - report.walkStartedAtMs > CATCHING_UP_AFTER_MS &&
        pass.keepsProgress
      )
        report.be("catching-up");
      else if (report.state === "throttled") report.be(pass.upTo === undefined ? "catching-up" : "ok");
      facts = { ...tally.facts(), link: page.link(), serverNowMs: page.serverNowMs, partial: page.partial };
    } finally {
      release();
    }
    for (const record of tally.huge) await this.#delivery.deliverHuge(record, pass);
    return facts;
  }
}
