import { isFailure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";
import type { Ticks } from "../../model/instant.ts";
import type { PageLink, Question } from "../../model/ports.ts";

/** How a list sorts, learnt anew in each walk and never assumed. */
type Order = "unknown" | "ascending" | "descending" | "none";

/** So many neighbours in one direction and none in the other: chance would do that once in 2^12 or rarer. */
const STEPS_THAT_CONVINCE = 12;

/** What one page held, by the records whose time the question bounds. */
export interface PageFacts {
  readonly count: number;
  /** Records without a usable time: they take places that `skip` must pass. */
  readonly untimed: number;
  readonly newest: Ticks | undefined;
  readonly oldest: Ticks | undefined;
  /** Neighbours of which the second is newer, and older, than the first. */
  readonly stepsUp: number;
  readonly stepsDown: number;
  readonly link: PageLink;
  readonly serverNowMs: number;
  /** The provider that is missing from the page. */
  readonly partial: string | undefined;
}

/** What a walk needs of one stream. */
export interface WalkSource {
  /**
   * Reads one page to its end, delivers what is fresh, and shows `seen` each record's id and instant. Throws
   * when the page cannot be had.
   */
  read(question: Question, seen: Seen): Promise<PageFacts>;
  /** Everything from the walk's beginning to `cursor` was written. */
  progress(cursor: Ticks): Promise<void>;
  readonly pageTop: number;
  readonly skipMax: number;
  readonly splits: readonly { readonly property: string; readonly values: readonly string[] }[];
  readonly warn: (
    what: "link-repeats" | "link-elsewhere" | "link-refused" | "instant-overfull",
    detail: string,
  ) => void;
}

/** Kept beside the walk, so that after a failure the next attempt goes on where this one was. */
export interface WalkMemory {
  /** A page of this many records was seen to be followed by more: the service clamps there. */
  clamp?: number;
  /** Descending walks that failed: everything above was written. */
  to?: Ticks;
}

export interface WalkOutcome {
  readonly pages: number;
  /** The service's clock when the walk began. */
  readonly serverNowMs: number;
  readonly newestSeen: Ticks | undefined;
  /** The provider that was missing from some page: the checkpoint must stay. */
  readonly partial: string | undefined;
}

/** The next half tick: instants are whole ticks, so `cursor + 1` is "after cursor". */
const ONE_TICK = 1n;

/**
 * Which records a walk has met, remembered only where it matters: at its edges. A page that adds nothing here
 * adds nothing to the walk.
 */
export class Seen {
  count = 0;
  newest: Ticks | undefined;
  oldest: Ticks | undefined;
  #atNewest = new Set<string>();
  #atOldest = new Set<string>();
  readonly #all: Map<string, Ticks> | undefined;

  /** @param everything remember each record, for lists without any order. */
  constructor(everything = false) {
    this.#all = everything ? new Map() : undefined;
  }

  meet(id: string, at: Ticks): void {
    if (this.#all) {
      const key = `${id}@${at}`;
      if (this.#all.has(key)) return;
      this.#all.set(key, at);
    }
    let fresh = this.#all !== undefined;
    if (this.newest === undefined || at > this.newest) {
      this.newest = at;
      this.#atNewest = new Set([id]);
      fresh = true;
    } else if (at === this.newest && !this.#atNewest.has(id)) {
      this.#atNewest.add(id);
      fresh = true;
    }
    if (this.oldest === undefined || at < this.oldest) {
      this.oldest = at;
      this.#atOldest = new Set([id]);
      fresh = true;
    } else if (at === this.oldest && !this.#atOldest.has(id)) {
      this.#atOldest.add(id);
      fresh = true;
    }
    if (fresh) this.count += 1;
  }

  /** The median instant of everything met, when everything is remembered. */
  get middle(): Ticks | undefined {
    if (!this.#all) return undefined;
    const instants = [...this.#all.values()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    return instants[Math.floor(instants.length / 2)];
  }

  /** How many records share the newest instant. */
  get countAtNewest(): number {
    return this.#atNewest.size;
  }
}

/**
 * Reads everything updated from `from` on (to `to`, when given), whatever the service makes of order and
 * links:
 *
 * - what fits into few pages is proven complete by skipping what was shown: that holds for any order.
 * - sorted oldest first: by keyset, each next question begins at the newest instant of the page (`ge`, never
 *   `gt`: ties may lie beyond the page's edge). A record that changes meanwhile moves ahead of us and is met
 *   later; an offset or a link would let its neighbour slip through.
 * - otherwise a link is followed; without one, newest first goes by keyset downwards and a list without order
 *   by `skip`, in windows that are halved.
 * - a page whose rows all share one instant is drained by `skip`, then by links, then split by other
 *   properties.
 *
 * A short page proves nothing, since the service may clamp pages without a word.
 */
export async function walk(
  source: WalkSource,
  range: { readonly from: Ticks; readonly to?: Ticks },
  memory: WalkMemory,
): Promise<WalkOutcome> {
  return new Walk(source, memory).run(range.from, range.to);
}

type Where = readonly { readonly property: string; readonly value: string }[];

class Walk {
  readonly #source: WalkSource;
  readonly #memory: WalkMemory;
  #pages = 0;
  #serverNowMs: number | undefined;
  #newestSeen: Ticks | undefined;
  #partial: string | undefined;
  #stepsUp = 0;
  #stepsDown = 0;
  /** Largest `skip` that was not refused yet: the ceiling is documented for some lists only. */
  #skipMost: number;

  constructor(source: WalkSource, memory: WalkMemory) {
    this.#source = source;
    this.#skipMost = source.skipMax;
    this.#memory = memory;
  }

  async run(from: Ticks, to: Ticks | undefined): Promise<WalkOutcome> {
    const resumeBelow = this.#memory.to;
    if (resumeBelow !== undefined) {
      if (resumeBelow >= from) await this.#range(from, resumeBelow);
      delete this.#memory.to;
      // What was updated since the failed walk began lies above the part that it had finished.
      await this.#range(resumeBelow, to);
    } else {
      await this.#range(from, to);
    }
    delete this.#memory.to;
    return {
      pages: this.#pages,
      serverNowMs: this.#serverNowMs ?? 0,
      newestSeen: this.#newestSeen,
      partial: this.#partial,
    };
  }

  get #order(): Order {
    if (this.#stepsUp > 0 && this.#stepsDown > 0) return "none";
    if (this.#stepsUp >= STEPS_THAT_CONVINCE) return "ascending";
    if (this.#stepsDown >= STEPS_THAT_CONVINCE) return "descending";
    return "unknown";
  }

  async #range(from: Ticks, to: Ticks | undefined): Promise<void> {
    const seen = new Seen(true);
    const first = await this.#page(this.#question(from, to), seen);
    let untimed = first.untimed;
    if (first.count === 0 && untimed === 0) return;
    // An API that knows no paging has shown everything.
    if (this.#source.skipMax === 0) return;
    let page = first;
    let noNewRows = 0;
    let shownLast = first;
    while (this.#order === "unknown" || !this.#mayGoOn(page)) {
      if (seen.count > this.#skipMost) break;
      const known = seen.count;
      const beyond = await this.#skipping(this.#question(from, to, known + untimed + noNewRows), seen);
      if (beyond === undefined) break;
      page = beyond;
      untimed += page.untimed;
      if (page.count === 0 && page.untimed === 0) return;
      if (page.count > 0 && seen.count === known) {
        // Rows that appeared in front of what was shown push it down by as many places: that proves nothing,
        // but a service that knows no skip shows the same twice.
        if (noNewRows > 0 && isLike(page, shownLast)) return;
        noNewRows += page.count;
        shownLast = page;
        continue;
      }
      noNewRows = 0;
      this.#memory.clamp = Math.min(this.#memory.clamp ?? Number.POSITIVE_INFINITY, first.count);
    }
    if (this.#order === "ascending") return this.#upwards(from, to);
    if (this.#order === "descending" || first.link.kind !== "none") return this.#notUpwards(from, to, first);
    return this.#unordered(from, to);
  }

  async #page(question: Question, seen: Seen): Promise<PageFacts> {
    const facts = await this.#source.read(question, seen);
    this.#pages += 1;
    this.#serverNowMs ??= facts.serverNowMs;
    if (facts.newest !== undefined && (this.#newestSeen === undefined || facts.newest > this.#newestSeen))
      this.#newestSeen = facts.newest;
    this.#partial ??= facts.partial;
    this.#stepsUp += facts.stepsUp;
    this.#stepsDown += facts.stepsDown;
    return facts;
  }

  /** Undefined when the service refuses to skip so far: the walk does without, in smaller windows. */
  async #skipping(question: Question, seen: Seen): Promise<PageFacts | undefined> {
    try {
      return await this.#page(question, seen);
    } catch (error) {
      if (question.skip === undefined || !isFailure(error) || error.code !== "refused") throw error;
      this.#skipMost = Math.min(this.#skipMost, question.skip - 1);
      return undefined;
    }
  }

  #question(from: Ticks, to: Ticks | undefined, skip = 0, where: Where = []): Question {
    return {
      from,
      ...(to === undefined ? {} : { to }),
      top: this.#source.pageTop,
      ...(skip > 0 ? { skip } : {}),
      ...(where.length > 0 ? { where } : {}),
    };
  }

  #mayGoOn(page: PageFacts): boolean {
    return (
      page.count >= this.#source.pageTop ||
      page.link.kind !== "none" ||
      (this.#memory.clamp !== undefined && page.count >= this.#memory.clamp)
    );
  }

  /**
   * By keyset; should a page turn out not to be sorted after all, the whole range is read again without that
   * belief.
   */
  async #upwards(from: Ticks, to: Ticks | undefined): Promise<void> {
    const seen = new Seen();
    let cursor = from;
    for (;;) {
      const known = seen.count;
      const page = await this.#page(this.#question(cursor, to), seen);
      if (page.count === 0) return;
      if (this.#order !== "ascending") return this.#unordered(from, to);
      const newest = page.newest as Ticks;
      if (newest > cursor) {
        cursor = newest;
        if (!this.#mayGoOn(page) && (await this.#nothingBeyond(cursor, to, seen, page))) {
          await this.#progress(cursor);
          return;
        }
      } else if (seen.count === known && (await this.#nothingBeyond(cursor, to, seen, page))) {
        return;
      } else {
        await this.#drainInstant(cursor);
        cursor += ONE_TICK;
        if (to !== undefined && cursor > to) return;
      }
      await this.#progress(cursor);
    }
  }

  async #progress(cursor: Ticks): Promise<void> {
    if (this.#partial === undefined) await this.#source.progress(cursor);
  }

  /** Skips what is known at the newest instant: only an answer without a new record proves the end. */
  async #nothingBeyond(cursor: Ticks, to: Ticks | undefined, seen: Seen, page: PageFacts): Promise<boolean> {
    if (seen.newest !== cursor || seen.countAtNewest > this.#skipMost) return false;
    const known = seen.count;
    const beyond = await this.#skipping(this.#question(cursor, to, seen.countAtNewest), seen);
    if (beyond === undefined) return false;
    if (beyond.count === 0 || seen.count === known) return true;
    this.#memory.clamp = Math.min(this.#memory.clamp ?? Number.POSITIVE_INFINITY, page.count);
    return false;
  }

  async #notUpwards(from: Ticks, to: Ticks | undefined, first: PageFacts): Promise<void> {
    const chain = await this.#followLinks(first);
    if (this.#order === "descending") return this.#downwards(from, chain.oldest);
    if (!chain.ended || chain.followed === 0) return this.#unordered(from, to);
    // Links may stop at an offset, and nothing in an unsorted list shows that they did.
    const page = await this.#page(this.#question(from, chain.oldest), new Seen());
    if (page.oldest !== undefined && page.oldest < chain.oldest) await this.#unordered(from, chain.oldest);
  }

  /** Follows next links. `ended`: the service left the link away by itself. */
  async #followLinks(
    first: PageFacts,
  ): Promise<{ readonly followed: number; readonly ended: boolean; readonly oldest: Ticks }> {
    const taken = new Set<string>();
    const unused = new Seen();
    let page = first;
    let oldest = first.oldest as Ticks;
    for (let followed = 0; ; followed++) {
      if (page.link.kind === "none") return { followed, ended: true, oldest };
      if (page.link.kind === "elsewhere") {
        this.#source.warn("link-elsewhere", page.link.origin);
        return { followed, ended: false, oldest };
      }
      if (taken.has(page.link.url)) {
        this.#source.warn("link-repeats", String(taken.size));
        return { followed, ended: false, oldest };
      }
      taken.add(page.link.url);
      if (this.#order === "descending") this.#memory.to = oldest;
      try {
        page = await this.#page({ link: page.link.url, top: this.#source.pageTop }, unused);
      } catch (error) {
        // What a link brings cannot be asked for in smaller parts; by time it can. A service that is down
        // refuses that as well.
        if (!isFailure(error) || !LINK_GIVEN_UP.has(error.code)) throw error;
        this.#source.warn("link-refused", error.say);
        return { followed, ended: false, oldest };
      }
      if (page.oldest !== undefined && page.oldest < oldest) oldest = page.oldest;
    }
  }

  /** Newest first: each next question ends at the oldest instant met. */
  async #downwards(from: Ticks, below: Ticks): Promise<void> {
    const seen = new Seen();
    let to = below;
    while (to >= from) {
      this.#memory.to = to;
      const known = seen.count;
      const page = await this.#page(this.#question(from, to), seen);
      if (page.count === 0) return;
      if (this.#order !== "descending") return this.#unordered(from, below);
      const oldest = page.oldest as Ticks;
      if (oldest < to && seen.count > known) {
        to = oldest;
        continue;
      }
      // The page is full of one instant, or showed nothing new: older rows may lie behind it.
      await this.#drainInstant(to);
      to -= ONE_TICK;
    }
  }

  /**
   * No order at all: a window is complete when skipping what it showed shows nothing more; one that shows too
   * much is halved.
   */
  async #unordered(from: Ticks, to: Ticks | undefined): Promise<void> {
    const seen = new Seen(true);
    for (let pages: number | undefined; ; ) {
      const before = seen.count;
      pages = await this.#pass(from, to, seen);
      if (pages === undefined) break;
      if (pages <= 1 || seen.count === before) return;
    }
    // Cut at the instant that half of what was shown lies below: a crowd at one instant ends up alone.
    const middle = seen.middle as Ticks;
    if (middle > from) await this.#unordered(from, middle - ONE_TICK);
    await this.#drainInstant(middle);
    if (to === undefined || middle < to) await this.#unordered(middle + ONE_TICK, to);
  }

  /**
   * Skips through a window once and returns how many pages showed something; undefined when it holds more
   * than can be skipped. A record that changes meanwhile leaves the window and moves its neighbours to places
   * already skipped, so what took several pages is gone through until that shows nothing new.
   */
  async #pass(from: Ticks, to: Ticks | undefined, seen: Seen): Promise<number | undefined> {
    const isFirst = seen.count === 0;
    let met = 0;
    let hasNoNewRows = false;
    for (let pages = 0; met <= this.#skipMost; pages++) {
      const known = seen.count;
      const page = await this.#skipping(this.#question(from, to, met), seen);
      if (page === undefined) return undefined;
      if (page.count === 0) return pages;
      const hadNoNewRows = hasNoNewRows;
      // An attempt that broke off has met rows that the smaller page after it did not hold: they lie ahead
      // and prove nothing.
      hasNoNewRows = isFirst && seen.count === known && met >= known;
      // One such page proves nothing either, since rows that appeared in front push known ones there; a
      // service that knows no skip shows the same twice.
      if (hasNoNewRows && hadNoNewRows) return pages - 1;
      met += page.count;
    }
    return undefined;
  }

  /** Everything at one instant, when a page could not hold it. */
  async #drainInstant(at: Ticks): Promise<void> {
    if (await this.#skipThrough(at, [])) return;
    if (await this.#linkThrough(at)) return;
    await this.#splitInstant(at, []);
  }

  /**
   * True when skipping over all that was met shows nothing more. Passes are repeated until one adds nothing:
   * a record that leaves the instant while we page moves its neighbours to places already skipped.
   */
  async #skipThrough(at: Ticks, where: Where): Promise<boolean> {
    const seen = new Seen(true);
    for (;;) {
      const before = seen.count;
      let met = 0;
      for (let skip = 0; ; ) {
        const page = await this.#skipping(this.#question(at, at, skip, where), seen);
        if (page === undefined) return false;
        met += page.count;
        if (page.count === 0) break;
        if (skip >= this.#skipMost) return false;
        skip = Math.min(met, this.#skipMost);
      }
      if (seen.count === before) return true;
    }
  }

  /** Links reach any depth inside one instant; true when they ended by themselves. */
  async #linkThrough(at: Ticks): Promise<boolean> {
    const first = await this.#page(this.#question(at, at), new Seen());
    if (first.link.kind !== "next") return false;
    const { ended } = await this.#followLinks(first);
    return ended;
  }

  async #splitInstant(at: Ticks, where: Where): Promise<void> {
    const split = this.#source.splits[where.length];
    this.#source.warn("instant-overfull", where.map((w) => `${w.property} ${w.value}`).join(", "));
    if (!split) return;
    for (const value of split.values) {
      const part = [...where, { property: split.property, value }];
      if (!(await this.#skipThrough(at, part))) await this.#splitInstant(at, part);
    }
  }
}

function isLike(page: PageFacts, other: PageFacts): boolean {
  return page.count === other.count && page.newest === other.newest && page.oldest === other.oldest;
}

const LINK_GIVEN_UP = new Set<FailureCode>(["refused", "service-error", "bad-answer"]);
