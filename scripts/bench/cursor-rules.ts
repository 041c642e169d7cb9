import type { SourceStream } from "../../src/model/ports.ts";
import { EASY, SimStream, serviceError, type Version, World } from "../../test/harness/collect/world.ts";
import { T0 } from "../../test/harness/fakes/clock.ts";
import { DAY_MS, type DayVersion, MINUTE_MS, seededRandom, syntheticDay, ticksOfMs } from "./cursor-day.ts";
import type { Bench, Outcome } from "./runs.ts";

/** What the engine made of a day, counted over all alerts. */
interface DayResult {
  /** Alerts of which no version was delivered. */
  readonly lost: number;
  /** Alerts whose last version was not delivered, although another was. */
  readonly stale: number;
  /** Deliveries of a version that had been delivered before. */
  readonly duplicates: number;
  readonly deliveries: number;
}

/** Long enough for everything late. */
const AFTERWARDS_MS = 3 * 60 * MINUTE_MS;
const FAILING_SHARE = 0.05;

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

function judgeDay(
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

/** Row `cursor-rules`: the engine over three days, each also with 5 % of its requests failing. */
export async function cursorRules({ say }: Pick<Bench, "say">): Promise<Outcome[]> {
  const wrong: number[] = [];
  for (const seed of SEEDS) {
    const versions = syntheticDay(seed);
    for (const failing of [false, true]) {
      const { lost, stale, duplicates, deliveries } = await engineDay(versions, failing, seed);
      wrong.push(lost + stale + duplicates);
      say(
        `  day ${seed}${failing ? ", 5 % of requests failing" : ""}: ${lost} lost, ${stale} stale, ${duplicates} repeated of ${deliveries} deliveries`,
      );
    }
  }
  const worst = Math.max(...wrong);
  return [
    {
      name: "cursor-rules",
      value: worst,
      unit: "lost, stale or repeated",
      target: "0",
      holds: worst === 0,
      runs: wrong,
    },
  ];
}
