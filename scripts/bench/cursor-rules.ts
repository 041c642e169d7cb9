import { EASY, SimStream, serviceError, T0, type Version, World } from "../../src/collect/collect.test-kit.ts";
import type { SourceStream } from "../../src/model/ports.ts";
import {
  DAY_MS,
  DayList,
  type DayVersion,
  MINUTE_MS,
  RequestFailed,
  seededRandom,
  syntheticDay,
  ticksOfMs,
} from "./cursor-day.ts";
import { CURSOR_MODELS, type CursorModel } from "./cursor-models.ts";
import type { Bench, Outcome } from "./runs.ts";

/** What a rule made of a day, counted over all alerts. */
export interface DayResult {
  /** Alerts of which no version was delivered. */
  readonly lost: number;
  /** Alerts whose last version was not delivered, although another was. */
  readonly stale: number;
  /** Deliveries of a version that had been delivered before. */
  readonly duplicates: number;
  readonly deliveries: number;
}

/** Long enough for everything late and for a rule that lags to catch up. */
const AFTERWARDS_MS = 3 * 60 * MINUTE_MS;
const FAILING_SHARE = 0.05;

export interface Rule {
  readonly rule: string;
  readonly who: string;
  readonly day: (versions: readonly DayVersion[], failing: boolean, seed: number) => Promise<DayResult>;
}

/** The ten models, then the real engine. */
export const RULES: readonly Rule[] = [
  ...CURSOR_MODELS.map((model) => ({
    rule: model.rule,
    who: model.who,
    day: (versions: readonly DayVersion[], failing: boolean, seed: number) =>
      Promise.resolve(modelDay(model, versions, failing, seed)),
  })),
  {
    rule: "updated `ge` mark less the reach, by keyset and `$skip`, ledger of versions, sweep",
    who: "defender-mssp, the engine itself",
    day: engineDay,
  },
];

function modelDay(model: CursorModel, versions: readonly DayVersion[], failing: boolean, seed: number): DayResult {
  const random = seededRandom(seed + 1_000);
  const list = new DayList(versions, () => failing && random() < FAILING_SHARE);
  const poll = model.start();
  const delivered: (readonly [id: string, updated: bigint])[] = [];
  for (list.nowMs = 0; list.nowMs <= DAY_MS + AFTERWARDS_MS; list.nowMs += model.pollMs) {
    try {
      poll(list, (rows) => delivered.push(...rows.map(({ id, updated }) => [id, updated] as const)));
    } catch (error) {
      if (!(error instanceof RequestFailed)) throw error;
    }
  }
  return judgeDay(versions, delivered);
}

/** Finds what is visible by going on from the last time; the day is long and asked for often. */
class DayStream extends SimStream {
  private readonly newest = new Map<string, Version>();
  private readonly clock: World["clock"];
  private next = 0;
  private list: Version[] = [];

  constructor(clock: World["clock"]) {
    super(clock, { regime: EASY });
    this.clock = clock;
  }

  override visible(): Version[] {
    const before = this.next;
    for (let version = this.versions[this.next]; version !== undefined && version.visibleAtMs <= this.clock.now; ) {
      const held = this.newest.get(version.id);
      if (held === undefined || version.updated > held.updated) this.newest.set(version.id, version);
      this.next += 1;
      version = this.versions[this.next];
    }
    if (this.next > before) this.list = [...this.newest.values()];
    return this.list;
  }
}

/** The real engine over the same versions; its clock is simulated, so the day takes seconds. */
export async function engineDay(versions: readonly DayVersion[], failing: boolean, seed: number): Promise<DayResult> {
  const world = new World();
  const stream = new DayStream(world.clock);
  const base = ticksOfMs(T0);
  stream.add(
    ...versions.map(({ id, created, updated, visibleAtMs }) => ({
      id,
      created: base + created,
      updated: base + updated,
      visibleAtMs: T0 + visibleAtMs,
    })),
  );
  const random = seededRandom(seed + 1_000);
  if (failing) stream.fault = () => (random() < FAILING_SHARE ? serviceError() : undefined);
  const source: SourceStream = stream;
  const customer = world.customer(stream, { sources: [source] });
  await world.start();
  await world.clock.advance(DAY_MS + AFTERWARDS_MS);
  await world.stop();
  return judgeDay(
    versions,
    world.sentOf(customer).map(({ id, updated }) => [id, updated - base] as const),
  );
}

export function judgeDay(
  versions: readonly DayVersion[],
  delivered: readonly (readonly [id: string, updated: bigint])[],
): DayResult {
  const last = new Map<string, bigint>();
  for (const { id, updated } of versions) if ((last.get(id) ?? -1n) < updated) last.set(id, updated);
  const got = new Map<string, Set<bigint>>();
  let duplicates = 0;
  for (const [id, updated] of delivered) {
    const held = got.get(id) ?? new Set();
    if (held.has(updated)) duplicates += 1;
    held.add(updated);
    got.set(id, held);
  }
  let lost = 0;
  let stale = 0;
  for (const [id, updated] of last) {
    const held = got.get(id);
    if (held === undefined) lost += 1;
    else if (!held.has(updated)) stale += 1;
  }
  return { lost, stale, duplicates, deliveries: delivered.length };
}

const SEEDS = [1, 2, 3];

/** Row `cursor-rules`: the table of all rules, and ours as the figure. */
export async function cursorRules({ say }: Pick<Bench, "say">): Promise<Outcome[]> {
  say(
    "  lost = alerts never delivered, stale = last version never delivered; mean of 3 days of 4,500 alerts; behind the bar with 5 % of requests failing",
  );
  say(
    `  ${"lost".padStart(6)} ${"stale".padStart(6)} ${"repeats".padStart(9)} | ${"lost".padStart(6)} ${"stale".padStart(6)} ${"repeats".padStart(9)}  rule`,
  );
  let ours: readonly number[] = [];
  for (const { rule, who, day } of RULES) {
    const backoff: DayResult[] = [];
    const failing: DayResult[] = [];
    for (const seed of SEEDS) {
      const versions = syntheticDay(seed);
      backoff.push(await day(versions, false, seed));
      failing.push(await day(versions, true, seed));
    }
    const cells = (results: readonly DayResult[]): string =>
      [
        mean(results.map(({ lost }) => lost)).padStart(6),
        mean(results.map(({ stale }) => stale)).padStart(6),
        `${((100 * sum(results.map(({ duplicates }) => duplicates))) / sum(results.map(({ deliveries }) => deliveries))).toFixed(1)} %`.padStart(
          9,
        ),
      ].join(" ");
    say(`  ${cells(backoff)} | ${cells(failing)}  ${rule} (${who})`);
    ours = [...backoff, ...failing].map(({ lost, stale, duplicates }) => lost + stale + duplicates);
  }
  const worst = Math.max(...ours);
  return [
    {
      name: "cursor-rules",
      value: worst,
      unit: "lost, stale or repeated by ours",
      target: "0",
      holds: worst === 0,
      runs: ours,
    },
  ];
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): string => String(Math.round(sum(values) / values.length));
