/** How much of an absolute rate this machine can be asked for. */
import type { Microsoft } from "./microsoft.ts";
import { median, round } from "./runs.ts";

/** A plain loop of this many alerts/s shows a machine on which absolute rates count in full. */
const FULL_RATE = 15_000;

/** What a row's rate must reach here, and the words that say why. */
export interface RateTarget {
  readonly rate: number;
  readonly said: string;
}

/**
 * The plain loop of one `npm run bench`. The first row with an absolute rate runs it in turns with its own
 * runs; every later row takes its target from the same figures. A slower machine gets a smaller target in
 * proportion, and no machine a larger one. Only rates shrink so: memory and processor time do not.
 */
export class RateTargets {
  readonly #plainLoop: (microsoft: Microsoft) => Promise<number>;
  readonly #rates: number[] = [];
  /** The row beside which the loop runs. */
  #row: string | undefined;

  /** @param plainLoop alerts/s of one catch-up by the plain loop. */
  constructor(plainLoop: (microsoft: Microsoft) => Promise<number>) {
    this.#plainLoop = plainLoop;
  }

  /** Call it before each run of `row`: the plain loop runs too, unless it did so beside another row. */
  async beside(row: string, microsoft: Microsoft): Promise<void> {
    if (this.#isOf(row)) this.#rates.push(await this.#plainLoop(microsoft));
  }

  /** What `row` measured of the plain loop itself. */
  measured(row: string, rates: readonly number[]): void {
    if (this.#isOf(row)) this.#rates.push(...rates);
  }

  /** @param full what is asked for where the plain loop makes 15,000 alerts/s or more. */
  of(full: number): RateTarget {
    if (this.#row === undefined || this.#rates.length === 0)
      return { rate: full, said: `>= ${full} (in full, because the plain loop was not measured)` };
    const plainRate = median(this.#rates);
    const rate = Math.round(full * Math.min(1, plainRate / FULL_RATE));
    return {
      rate,
      said: `>= ${rate} (${full} where the plain loop makes ${FULL_RATE}; here ${round(plainRate)} beside ${this.#row})`,
    };
  }

  #isOf(row: string): boolean {
    this.#row ??= row;
    return this.#row === row;
  }
}
