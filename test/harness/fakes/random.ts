import type { Random } from "../../../src/model/ports.ts";

/** The fake for `Random`: the same numbers for the same seed, or always one number. */
export class FakeRandom implements Random {
  #state: number;
  #always: number | undefined;

  constructor(seed = 1) {
    this.#state = seed >>> 0 || 1;
  }

  /** Answers nothing but `number`; half is the middle of every spread. */
  static always(number = 0.5): FakeRandom {
    const random = new FakeRandom();
    random.#always = number;
    return random;
  }

  next(): number {
    if (this.#always !== undefined) return this.#always;
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state / 2 ** 32;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }
}
