import { type Loads, oneAtATime } from "./one-at-a-time.ts";
import { Looks, type Pace } from "./poll-pace.ts";

export interface PollerParts {
  /** Returns what it loaded, to be compared with the last time; undefined: it failed, or more is expected. */
  readonly load: () => Promise<unknown>;
  readonly pace: Pace;
  readonly nowMs: () => number;
  /** Calls back once; returns what cancels that. */
  readonly after: (ms: number, then: () => void) => () => void;
  /** Nobody can see the page. */
  readonly isHidden: () => boolean;
}

/** Loads at once and again and again, one load at a time: often while something changes, never unseen. */
export class Poller {
  readonly #p: PollerParts;
  readonly #looks: Looks;
  readonly #loads: Loads;
  #isRunning = false;
  #isDue = false;
  #loadedAtMs = Number.NEGATIVE_INFINITY;
  #cancel: () => void = () => undefined;

  constructor(parts: PollerParts) {
    this.#p = parts;
    this.#looks = new Looks(parts.pace, parts.nowMs());
    this.#loads = oneAtATime(() => this.#load());
  }

  start(): void {
    this.#isRunning = true;
    void this.#loads.unlessBusy();
  }

  stop(): void {
    this.#isRunning = false;
    this.#cancel();
  }

  /** After a change that was made here: it shows at once, and what follows from it soon. */
  again(): Promise<void> {
    this.#looks.expectNews(this.#p.nowMs());
    return this.#loads.again();
  }

  /** The page was hidden or is seen again: whoever comes back sees what is true now. */
  visibilityChanged(): void {
    const nowMs = this.#p.nowMs();
    if (!this.#isRunning || this.#p.isHidden()) return;
    if (!this.#isDue && nowMs - this.#loadedAtMs < this.#p.pace.oftenMs) return;
    this.#looks.expectNews(nowMs);
    void this.#loads.unlessBusy();
  }

  async #load(): Promise<void> {
    this.#cancel();
    this.#isDue = false;
    let loaded: unknown;
    try {
      loaded = await this.#p.load();
    } finally {
      const nowMs = this.#p.nowMs();
      this.#looks.found(loaded, nowMs);
      this.#loadedAtMs = nowMs;
      if (this.#isRunning) this.#cancel = this.#p.after(this.#looks.pauseMs(nowMs), () => this.#next());
    }
  }

  #next(): void {
    if (this.#p.isHidden()) this.#isDue = true;
    else void this.#loads.unlessBusy();
  }
}
