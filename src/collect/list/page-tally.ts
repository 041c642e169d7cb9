import type { Ticks } from "../../model/instant.ts";
import type { UnreadableRecord } from "../../model/record.ts";
import type { PageFacts } from "./walk.ts";

/** A record above the limit whose place in the list is known, so that it can be asked for alone. */
export type HugeRecord = UnreadableRecord & { readonly id: string; readonly updated: Ticks };

/** Newest, oldest and order of one page. */
export class PageTally {
  #count = 0;
  #newest: Ticks | undefined;
  #oldest: Ticks | undefined;
  #last: Ticks | undefined;
  #stepsUp = 0;
  #stepsDown = 0;
  untimed = 0;
  /** To be fetched alone once the page is read. */
  readonly huge: HugeRecord[] = [];

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
      untimed: this.untimed,
      newest: this.#newest,
      oldest: this.#oldest,
      stepsUp: this.#stepsUp,
      stepsDown: this.#stepsDown,
    };
  }
}
