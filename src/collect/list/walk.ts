import { isFailure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";
import { formatInstant, type Ticks } from "../../model/instant.ts";
import type { PageLink, Question, SplitCondition } from "../../model/ports.ts";
import type { WalkWarning } from "../failures.ts";

/** How a list sorts, learnt anew in each walk and never assumed. */
type Order = "unknown" | "ascending" | "descending" | "none";

/**
 * This many neighbours in one direction and none in the other: in an unsorted list the chance is 2^-12 or
 * less.
 */
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
   * Reads one page to its end, delivers what is new, and passes each record's id and instant to `seen`.
   * Throws when the page cannot be read.
   */
  read(question: Question, seen: Seen): Promise<PageFacts>;
  /** Everything from the walk's beginning to `cursor` was written. */
  progress(cursor: Ticks): Promise<void>;
  readonly pageTop: number;
  readonly skipMax: number;
  readonly splits: readonly { readonly property: string; readonly values: readonly string[] }[];
  readonly warn: (what: WalkWarning, detail: string) => void;
}

/** Kept outside the walk, so that after a failure the next attempt continues where this one was. */
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

/** Records that share one instant: nearly always one, for which a Set would be garbage of each row. */
class IdsOfInstant {
  #first: string | undefined;
  #others: Set<string> | undefined;

  /** Begins anew with one id. */
  restart(id: string): void {
    this.#first = id;
    this.#others = undefined;
  }

  /** False when the id is there. */
  add(id: string): boolean {
    if (id === this.#first || this.#others?.has(id) === true) return false;
    this.#others ??= new Set();
    this.#others.add(id);
    return true;
  }

  get size(): number {
    return (this.#first === undefined ? 0 : 1) + (this.#others?.size ?? 0);
  }
}

/**
 * Which records a walk has met. Only those at its newest and oldest instant are remembered, unless
 * `everything` is set. A page that adds nothing here adds nothing to the walk.
 */
export class Seen {
  count = 0;
  newest: Ticks | undefined;
  oldest: Ticks | undefined;
  readonly #atNewest = new IdsOfInstant();
  readonly #atOldest = new IdsOfInstant();
  readonly #all: Map<string, Ticks> | undefined;

  /** @param everything remember each record, for unsorted lists. */
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
      this.#atNewest.restart(id);
      fresh = true;
    } else if (at === this.newest && this.#atNewest.add(id)) fresh = true;
    if (this.oldest === undefined || at < this.oldest) {
      this.oldest = at;
      this.#atOldest.restart(id);
      fresh = true;
    } else if (at === this.oldest && this.#atOldest.add(id)) fresh = true;
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
 * Reads everything updated from `from` on (to `to`, when given), however the service sorts and links its
 * pages:
 *
 * - What fits into few pages is proven complete by skipping the rows shown so far. That holds for any order.
 * - Sorted oldest first: by keyset. Each next question begins at the newest instant of the page (`ge`, never
 *   `gt`, because rows with the same instant may lie beyond the page's end). A record that changes during the
 *   walk moves to the end of the list and is met later. With an offset or a link, its neighbour would be
 *   missed.
 * - Otherwise links are followed. Without links, newest first is read by keyset downwards, and an unsorted
 *   list by `skip`, in windows that are halved.
 * - When all rows of a page share one instant, that instant is drained by `skip`, then by links, then split
 *   by other properties: one question for each known value, and one for all rows with none of them.
 *
 * A short page does not mean the end, because the service may clamp pages without notice.
 */
export async function walk(
  source: WalkSource,
  range: { readonly from: Ticks; readonly to?: Ticks },
  memory: WalkMemory,
): Promise<WalkOutcome> {
  return new Walk(source, memory).run(range.from, range.to);
}

type Where = readonly SplitCondition[];

class Walk {
  readonly #source: WalkSource;
  readonly #memory: WalkMemory;
  #pages = 0;
  #serverNowMs: number | undefined;
  #newestSeen: Ticks | undefined;
  #partial: string | undefined;
  #stepsUp = 0;
  #stepsDown = 0;
  /** Largest `skip` that was not refused yet. The ceiling is documented for some lists only. */
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
      // Rows updated since the failed walk began are newer than the part that it had finished.
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
    // An API without paging has shown everything.
    if (this.#source.skipMax === 0) return;
    let page = first;
    let noNewRows = 0;
    let shownLast = first;
    while (this.#order === "unknown" || !this.#mayHaveMore(page)) {
      if (seen.count > this.#skipMost) break;
      const known = seen.count;
      const beyond = await this.#skipping(this.#question(from, to, known + untimed + noNewRows), seen);
      if (beyond === undefined) break;
      page = beyond;
      untimed += page.untimed;
      if (page.count === 0 && page.untimed === 0) return;
      if (page.count > 0 && seen.count === known) {
        // Known rows do not mean the end: rows that appeared in front push them down by as many places. The
        // same page twice does: the service does not support `skip`.
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

  /** Undefined when the service refuses to skip that far: the walk then uses smaller windows. */
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

  #mayHaveMore(page: PageFacts): boolean {
    return (
      page.count >= this.#source.pageTop ||
      page.link.kind !== "none" ||
      (this.#memory.clamp !== undefined && page.count >= this.#memory.clamp)
    );
  }

  /**
   * By keyset. If a page turns out not to be sorted after all, the whole range is read again as an unsorted
   * list.
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
        if (!this.#mayHaveMore(page) && (await this.#nothingBeyond(cursor, to, seen, page))) {
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

  /** Skips the known rows at the newest instant: only an answer without a new record proves the end. */
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
    // Links may stop at an offset, and an unsorted list does not show that they did.
    const page = await this.#page(this.#question(from, chain.oldest), new Seen());
    if (page.oldest !== undefined && page.oldest < chain.oldest) await this.#unordered(from, chain.oldest);
  }

  /** Follows next links. `ended`: the last page had no link. */
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
        // A link's page cannot be requested in smaller parts; its time range can. If the service is down,
        // that request fails as well.
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
      // All rows share one instant, or none was new: older rows may follow.
      await this.#drainInstant(to);
      to -= ONE_TICK;
    }
  }

  /**
   * Unsorted: a window is complete when skipping the rows it showed shows no more. A window with too many
   * rows is halved.
   */
  async #unordered(from: Ticks, to: Ticks | undefined): Promise<void> {
    const seen = new Seen(true);
    for (let pages: number | undefined; ; ) {
      const before = seen.count;
      pages = await this.#pass(from, to, seen);
      if (pages === undefined) break;
      if (pages <= 1 || seen.count === before) return;
    }
    // Split at the median instant of what was shown, so that many rows at one instant end up on their own.
    const middle = seen.middle as Ticks;
    if (middle > from) await this.#unordered(from, middle - ONE_TICK);
    await this.#drainInstant(middle);
    if (to === undefined || middle < to) await this.#unordered(middle + ONE_TICK, to);
  }

  /**
   * Skips through a window once and returns how many pages had rows; undefined when it holds more rows than
   * can be skipped. A record that changes meanwhile leaves the window, and its neighbours move to places
   * already skipped. So a window of several pages is read again until nothing new appears.
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
      // A failed attempt may already have counted rows that this smaller page does not contain, so "no new
      // rows" does not mean the end.
      hasNoNewRows = isFirst && seen.count === known && met >= known;
      // One such page does not mean the end either, because rows that appeared in front push known rows
      // there. Two in a row do: the service does not support `skip`.
      if (hasNoNewRows && hadNoNewRows) return pages - 1;
      met += page.count;
    }
    return undefined;
  }

  /** Everything at one instant, when a page could not hold it. */
  async #drainInstant(at: Ticks): Promise<void> {
    if (await this.#skipThrough(at, [])) return;
    if (await this.#linkThrough(at)) return;
    const missed = await this.#splitInstant(at, [], 0);
    const when = formatInstant(at);
    if (missed.length === 0) this.#source.warn("instant-overfull", when);
    else this.#source.warn("instant-incomplete", `${when} (${shortList(missed)})`);
  }

  /**
   * True when skipping all rows met shows no more. Passes are repeated until one adds nothing: when a record
   * leaves the instant during a pass, its neighbours move to places already skipped.
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

  /** Reads one instant by links, which have no ceiling. True when the last page had no link. */
  async #linkThrough(at: Ticks): Promise<boolean> {
    const first = await this.#page(this.#question(at, at), new Seen());
    if (first.link.kind !== "next") return false;
    const { ended } = await this.#followLinks(first);
    return ended;
  }

  /**
   * Requests the rows of an instant in parts. Our lists of values are never complete, and not every cloud
   * knows all of them: a refused value is left out, and the last question asks for the rows with none of the
   * accepted ones. Returns the parts of which rows may be missing.
   */
  async #splitInstant(at: Ticks, where: Where, level: number): Promise<readonly string[]> {
    const split = this.#source.splits[level];
    if (!split) return [inWords(where)];
    const { property } = split;
    const accepted: string[] = [];
    const missed: string[] = [];
    for (const value of split.values) {
      const missedHere = await this.#part(at, [...where, { property, value }], level);
      if (missedHere === undefined) continue;
      accepted.push(value);
      missed.push(...missedHere);
    }
    // A property of which every value is refused splits nothing.
    if (accepted.length === 0) return this.#splitInstant(at, where, level + 1);
    const rest: Where = [...where, { property, noneOf: accepted }];
    return [...missed, ...((await this.#part(at, rest, level)) ?? [inWords(rest)])];
  }

  /** Requests one part. Returns the parts of it of which rows may be missing; undefined: it was refused. */
  async #part(at: Ticks, where: Where, level: number): Promise<readonly string[] | undefined> {
    try {
      return (await this.#skipThrough(at, where)) ? [] : await this.#splitInstant(at, where, level + 1);
    } catch (error) {
      if (!isFailure(error) || error.code !== "refused" || error.status !== 400) throw error;
      return undefined;
    }
  }
}

function inWords(where: Where): string {
  if (where.length === 0) return "no property splits it";
  return where.map((one) => `${one.property} ${"noneOf" in one ? "with another value" : one.value}`).join(", ");
}

/** The first few; there can be hundreds. */
function shortList(parts: readonly string[]): string {
  const shown = parts.slice(0, 3).join("; ");
  return parts.length > 3 ? `${shown}; and ${parts.length - 3} more` : shown;
}

function isLike(page: PageFacts, other: PageFacts): boolean {
  return page.count === other.count && page.newest === other.newest && page.oldest === other.oldest;
}

const LINK_GIVEN_UP = new Set<FailureCode>(["refused", "service-error", "bad-answer"]);
