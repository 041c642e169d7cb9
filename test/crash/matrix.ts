import { type Crash, crashAt, type History } from "./crash.ts";
import type { Moment, Program } from "./stage.ts";

export interface MatrixOptions {
  readonly program: Program;
  readonly histories: readonly History[];
  readonly moments: readonly Moment[];
  /** Every `step`-th n, from `first`. 1 and 1: the whole matrix. */
  readonly first?: number;
  readonly step?: number;
  /** The last n; default: until a run ends without an n-th. */
  readonly last?: number;
  /** Crashes at different n that are tried in parallel. */
  readonly lanes?: number;
  readonly report?: (crash: Crash) => void;
}

/**
 * Kills at n = first, first + step, … of each moment until a run ends without it. Answers every crash, in
 * the order in which they were judged.
 */
export async function crashMatrix({
  program,
  histories,
  moments,
  first = 1,
  step = 1,
  last = Number.POSITIVE_INFINITY,
  lanes = 3,
  report,
}: MatrixOptions): Promise<readonly Crash[]> {
  const crashes: Crash[] = [];
  for (const history of histories) {
    for (const moment of moments) {
      let next = first;
      let over = false;
      const lane = async (): Promise<void> => {
        while (!over && next <= last) {
          const n = next;
          next += step;
          const crash = await crashAt(program, history, moment, n);
          if (!crash.reached) over = true;
          crashes.push(crash);
          report?.(crash);
        }
      };
      await Promise.all(Array.from({ length: lanes }, lane));
    }
  }
  return crashes;
}
