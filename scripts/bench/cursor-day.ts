/**
 * A synthetic day of one customer's alerts for the row `cursor-rules`. Times are ms, instants ticks of 100
 * ns.
 */

export interface DayVersion {
  readonly id: string;
  readonly created: bigint;
  readonly updated: bigint;
  /** When the list begins to show it; ms from the start of the day. */
  readonly visibleAtMs: number;
}

export const MINUTE_MS = 60_000;
export const DAY_MS = 24 * 60 * MINUTE_MS;
const TICKS_PER_MS = 10_000n;

const ALERTS = 4_500;
const VERSIONS_ON_AVERAGE = 3.1;
const BURST = { alerts: 2_500, atMs: 10 * 60 * MINUTE_MS, forMs: 5 * MINUTE_MS };
const TIES = { groups: 25, size: 60 };
const LATE = { share: 0.02, fromMs: MINUTE_MS, toMs: 20 * MINUTE_MS };
const PROMPT_MS = 20_000;
const LAST_UPDATE_AFTER_MS = 8 * 60 * MINUTE_MS;

/** Numbers from 0 to 1 that repeat with their seed (a 32-bit LCG: nothing here needs more). */
export function seededRandom(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * 4,500 alerts with 3.1 versions on average: a burst of 2,500 in five minutes, 1,500 updates in 25 groups at
 * one instant each, 2 % of all versions 1 to 20 minutes late.
 */
export function syntheticDay(seed: number): readonly DayVersion[] {
  const random = seededRandom(seed);
  const versions: DayVersion[] = [];
  const ticksAt = (ms: number): bigint => BigInt(Math.floor(ms)) * TICKS_PER_MS + BigInt(Math.floor(random() * 10_000));
  const add = (id: string, created: bigint, updated: bigint): void => {
    const atMs = Number(updated / TICKS_PER_MS);
    const isLate = random() < LATE.share;
    const delayMs = isLate ? LATE.fromMs + random() * (LATE.toMs - LATE.fromMs) : random() * PROMPT_MS;
    versions.push({ id, created, updated, visibleAtMs: atMs + delayMs });
  };
  const createdAt: { readonly id: string; readonly created: bigint; readonly ms: number }[] = [];
  for (let i = 0; i < ALERTS; i += 1) {
    const ms = i < BURST.alerts ? BURST.atMs + random() * BURST.forMs : random() * (DAY_MS - 60 * MINUTE_MS);
    createdAt.push({ id: `alert-${i}`, created: ticksAt(ms), ms });
  }
  for (const { id, created } of createdAt) add(id, created, created);
  const single = ALERTS * (VERSIONS_ON_AVERAGE - 1) - TIES.groups * TIES.size;
  for (let i = 0; i < single; i += 1) {
    const { id, created, ms } = createdAt[Math.floor(random() * ALERTS)] as (typeof createdAt)[number];
    add(id, created, ticksAt(Math.min(DAY_MS - 1, ms + 1_000 + random() * LAST_UPDATE_AFTER_MS)));
  }
  const old = createdAt.toSorted((one, other) => one.ms - other.ms);
  for (let group = 0; group < TIES.groups; group += 1) {
    const ms = DAY_MS / 2 + (group * DAY_MS) / 2 / TIES.groups;
    const instant = ticksAt(ms);
    const candidates = old.filter((alert) => alert.ms < ms - 1_000);
    const first = Math.floor(random() * (candidates.length - TIES.size));
    for (const { id, created } of candidates.slice(first, first + TIES.size)) add(id, created, instant);
  }
  return versions.toSorted((one, other) => one.visibleAtMs - other.visibleAtMs);
}

export const ticksOfMs = (ms: number): bigint => BigInt(Math.floor(ms)) * TICKS_PER_MS;
