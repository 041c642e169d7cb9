/**
 * Enough for the provisional window of the engine (an hour, at most `replay_mib`) at its default; what falls
 * out causes a repeat, never a loss.
 */
export const REMEMBERED = 50_000;

/**
 * Which events an output had lately. An event that another output refused comes again for all of them, and
 * after a broken connection everything provisional does: only the output that lacks it takes it then.
 */
export class RecentKeys {
  readonly #had = new Set<string>();
  #pendingResend = new Set<string>();
  readonly #most: number;

  constructor(most = REMEMBERED) {
    this.#most = most;
  }

  /** What comes again and again is remembered longest. */
  wants(key: string): boolean {
    if (!this.#had.delete(key)) return true;
    this.#had.add(key);
    return this.#pendingResend.has(key);
  }

  /** The output has them now. */
  took(keys: readonly string[]): void {
    for (const key of keys) {
      this.#pendingResend.delete(key);
      this.#had.delete(key);
      this.#had.add(key);
    }
    this.#forget();
  }

  /** They may have been lost on the way. */
  setPending(keys: Iterable<string>): void {
    for (const key of keys) this.#pendingResend.add(key);
  }

  #forget(): void {
    for (const oldest of this.#had) {
      if (this.#had.size <= this.#most) return;
      this.#had.delete(oldest);
      this.#pendingResend.delete(oldest);
    }
  }
}

/**
 * The same texts, without the pieces each was put together from: the runtime joins those only when it must,
 * and until then a key takes half a kilobyte instead of a sixth.
 */
export function joined(texts: readonly string[]): readonly string[] {
  const whole = texts.join("");
  let at = 0;
  return texts.map(({ length }) => {
    at += length;
    return whole.slice(at - length, at);
  });
}
