/** So many at a time: were there more, the oldest are told of again. */
const REMEMBERED_MOST = 1_000;

/**
 * What was told of already in this process, so that a record that is met at each poll is no event at each
 * poll.
 */
export class ReportOnce {
  /** Made when there is something to remember: thousands of streams never have anything. */
  #told: Set<string> | undefined;

  /** True the first time. */
  reportOnce(what: string): boolean {
    this.#told ??= new Set();
    if (this.#told.has(what)) return false;
    this.#told.add(what);
    if (this.#told.size > REMEMBERED_MOST) for (const oldest of this.#told.values()) return this.#told.delete(oldest);
    return true;
  }
}
