import type { Failure } from "./failure.ts";
import { TICKS_PER_MS, TICKS_PER_SECOND, type Ticks, ticksFromMs } from "./instant.ts";
import type { PageRecord } from "./record.ts";

/** A saved query. Minutes are whole. */
export interface HuntingQuery {
  /** Part of every row's key, so renaming a query makes its rows new. */
  readonly name: string;
  readonly kql: string;
  readonly everyMinutes: number;
  /** At least `everyMinutes`; a longer window also finds rows that arrive late. */
  readonly windowMinutes: number;
  /** How long after its end a window is queried: rows arrive in the hunting tables some minutes late. */
  readonly delayMinutes: number;
  /** Names or tenant GUIDs; undefined: every customer that hunts. */
  readonly customers?: readonly string[];
}

/** A range of row time: from `from` (inclusive) to `to` (exclusive). */
export interface HuntingWindow {
  readonly from: Ticks;
  readonly to: Ticks;
}

/** One planned request. */
export interface HuntingPass {
  readonly query: HuntingQuery;
  readonly window: HuntingWindow;
  /** End of the previous window: planning from here repeats this one. */
  readonly after: Ticks;
  /**
   * The update time of rows without a `Timestamp`: the end of the scheduled window, even if the window was
   * split.
   */
  readonly untimedAt: Ticks;
  /** Row time that was not queried in time and that the service no longer keeps. */
  readonly skipped?: HuntingWindow;
}

/** Facts about an answer, known after its rows have been read. */
export interface HuntingEnd {
  readonly rowCount: number;
  /** Rows without their own `Timestamp`. */
  readonly untimedCount: number;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** The service truncated the answer at its row limit. */
  readonly isCut: boolean;
}

/** An answer as it streams in. */
export interface HuntingPage {
  readonly serverNowMs: number;
  /** A batch's bytes are valid until the next one is requested. Throws Failure if the body is broken. */
  readonly batches: AsyncIterable<readonly PageRecord[]>;
  /** Only after `batches` has ended. */
  end(): HuntingEnd;
}

/** One customer's access to hunting. */
export interface HuntingSource {
  readonly name: "hunting";
  readonly budgetKey: string;
  readonly limits: { readonly perMinute: number; readonly perHour?: number };
  /** The saved queries of this customer. */
  readonly queries: readonly HuntingQuery[];
  /**
   * Saved queries that cannot run because of a mistake in their file; those in `queries` run anyway.
   */
  readonly problem?: Failure;
  /**
   * One request, not retried. Throws Failure like a SourceStream, and `query-refused` (the query is wrong),
   * `query-too-large` (the answer or the work exceeds the service's limits; a smaller window may work).
   */
  hunt(pass: HuntingPass, signal: AbortSignal): Promise<HuntingPage>;
}

const TICKS_PER_MINUTE = 60n * TICKS_PER_SECOND;
/** Hunting tables keep 30 days (Defender XDR docs, advanced hunting limits). */
const HISTORY_TICKS = 30n * 24n * 60n * TICKS_PER_MINUTE;
/** A shorter window is not split further. */
const SMALLEST_WINDOW_TICKS = TICKS_PER_SECOND;

/** A hunting pass, and when it may be sent. */
export interface PlannedPass {
  readonly dueAtMs: number;
  readonly pass: HuntingPass;
}

/**
 * The next window of a query. Windows end at whole multiples of `every_minutes` since 1970, so that every
 * restart and every customer divides time at the same points. Each begins where the previous one ended (less
 * the lookback of a longer window), so there is no gap and no overlap.
 *
 * @param done end of the last delivered window; undefined at the first run, which uses the window that ended
 *   last.
 */
export function planPass(query: HuntingQuery, done: Ticks | undefined, nowMs: number): PlannedPass {
  const step = BigInt(query.everyMinutes) * TICKS_PER_MINUTE;
  const lookback = BigInt(query.windowMinutes - query.everyMinutes) * TICKS_PER_MINUTE;
  const delay = BigInt(query.delayMinutes) * TICKS_PER_MINUTE;
  const now = ticksFromMs(nowMs);
  const last = done ?? ((now - delay) / step) * step - step;
  const oldest = ((now - HISTORY_TICKS) / step + 1n) * step;
  const begin = last < oldest ? oldest : last;
  const to = (begin / step + 1n) * step;
  const pass: HuntingPass = {
    query,
    window: { from: begin - lookback, to },
    after: begin,
    untimedAt: to,
    ...(begin === last ? {} : { skipped: { from: last, to: begin } }),
  };
  return { dueAtMs: Number((to + delay) / TICKS_PER_MS), pass };
}

/** The pass in two halves, the earlier first; undefined if its window is too small to split. */
export function halvesOf(pass: HuntingPass): readonly [HuntingPass, HuntingPass] | undefined {
  const { from, to } = pass.window;
  if (to - from < 2n * SMALLEST_WINDOW_TICKS) return undefined;
  const middle = from + (to - from) / 2n;
  const { skipped: _, ...rest } = pass;
  return [
    { ...rest, window: { from, to: middle } },
    { ...rest, window: { from: middle, to } },
  ];
}
