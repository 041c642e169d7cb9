/** At most this many are remembered; beyond that the oldest are reported again. */
const REMEMBERED_MOST = 1_000;

/**
 * What this process has reported already, so that a record that every poll meets is not an event at every
 * poll.
 */
export class ReportOnce {
  /** Created on first use: thousands of streams never have anything to report. */
  #reported: Set<string> | undefined;

  /** True the first time. */
  reportOnce(what: string): boolean {
    this.#reported ??= new Set();
    if (this.#reported.has(what)) return false;
    this.#reported.add(what);
    if (this.#reported.size > REMEMBERED_MOST)
      for (const oldest of this.#reported.values()) return this.#reported.delete(oldest);
    return true;
  }
}
