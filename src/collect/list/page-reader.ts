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
import { askCounted, readWithBackoff } from "../read-with-backoff.ts";
import type { CustomerReport, StreamReport } from "../report.ts";
import { ReportOnce } from "../report-once.ts";
import { PageTally } from "./page-tally.ts";
import type { PageFacts, WalkMemory } from "./walk.ts";

const CATCHING_UP_AFTER_MS = 60_000;
/** The smallest step past a record that is assumed to be the poison. */
const POISON_PROBE_SKIP = 1;
const DEGRADABLE = new Set<FailureCode>(["service-error", "bad-answer", "timed-out", "connection-reset"]);

export interface PageReaderParts {
  readonly tenant: Tenant;
  readonly source: SourceStream;
  readonly store: StreamStore;
  readonly budget: Budget;
  readonly limiter: PageLimiter;
  /** For customers whose last round failed, so that they do not delay healthy ones. */
  readonly limiterOfFailing: PageLimiter;
  readonly report: StreamReport;
  readonly customer: CustomerReport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Reads one page of one stream to its end and passes it to the delivery as it streams in. Retries with short
 * pauses, and requests less when the service keeps failing.
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

  /** @param memory the walk's: a page that this reader made smaller is recorded there as a clamp. */
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

  /** A new walk requests again what the last one had to leave out. */
  beginWalk(): void {
    this.#requests = 0;
    this.#withoutExpand = false;
  }

  /**
   * When a page keeps failing although the service works, it is requested in smaller parts: without $expand,
   * then half as many rows, and finally without the one record that breaks it. When the service does not
   * answer at all, this stops after two probes.
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
    // The service works: find the largest page that it can answer. The first row is sent already, so nothing
    // is lost if this fails.
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
   * The first record of the question breaks every answer: it is reported as precisely as possible, and the
   * walk continues behind it.
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
    // Polls begin at different times, so the poison is known by the record behind it.
    if (this.#quarantined.reportOnce(String(page.oldest ?? at))) {
      await this.#p.customer.incident(
        this.#p.report,
        new Failure("record-quarantined", {
          actor: "microsoft",
          retry: { when: "later" },
          say: `One ${this.#p.source.name} record updated between ${formatInstant(at)} and ${formatInstant(page.oldest ?? at)} cannot be fetched (${why.code}). Everything behind it is collected, and each poll requests this record again.`,
          nextStep: "If this lasts for more than a day, open a case with Microsoft and quote these times.",
        }),
      );
    }
    this.#poisoned = at;
    return page;
  }

  async #readOnce(question: Question, pass: QuestionPass): Promise<PageFacts> {
    const { budget, limiter, limiterOfFailing, source, report, clock } = this.#p;
    const slot = await acquireWithinBudget(budget, pass.isFailing ? limiterOfFailing : limiter, pass.stop);
    const tally = new PageTally();
    const pagePass: PagePass = { ...pass, tally, askedFrom: question.from };
    let facts: PageFacts;
    try {
      if (pass.stop.aborted) throw stopped();
      report.asked(clock.monotonicMs());
      this.#requests += 1;
      const page = await askCounted(report, pass.stop, () => source.ask(question, pass.stop));
      report.answered(page.partial === undefined ? "200" : "206");
      await slot.answered();
      this.#serverNowMs = page.serverNowMs;
      for await (const batch of this.#p.store.joined?.(page.batches) ?? page.batches) {
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
      slot.release();
    }
    for (const record of tally.huge) await this.#delivery.deliverHuge(record, pass);
    return facts;
  }
}
