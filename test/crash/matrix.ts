import { type Crash, crashAt, type History, type Host } from "./crash.ts";

export interface MatrixOptions<M extends string> {
  readonly host: Host<M>;
  readonly histories: readonly History[];
  readonly moments: readonly M[];
  /** Every `step`-th n, from `first`. 1 and 1: the whole matrix. */
  readonly first?: number;
  readonly step?: number;
  /** The last n; default: until a run ends without an n-th. */
  readonly last?: number;
  /** Crashes at different n that are tried in parallel. */
  readonly lanes?: number;
  readonly report?: (crash: Crash<M>) => void;
}

/**
 * Kills at n = first, first + step, … of each moment until a run ends without it. Answers every crash, in
 * the order in which they were judged.
 */
export async function crashMatrix<M extends string>({
  host,
  histories,
  moments,
  first = 1,
  step = 1,
  last = Number.POSITIVE_INFINITY,
  lanes = 3,
  report,
}: MatrixOptions<M>): Promise<readonly Crash<M>[]> {
  const crashes: Crash<M>[] = [];
  for (const history of histories) {
    for (const moment of moments) {
      let next = first;
      let over = false;
      const lane = async (): Promise<void> => {
        while (!over && next <= last) {
          const n = next;
          next += step;
          const crash = await crashAt(host, history, moment, n);
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
