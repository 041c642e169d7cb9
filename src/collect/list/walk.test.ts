import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import type { Regime } from "../../../test/harness/collect/world.ts";
import {
  alerts,
  EASY,
  FLAWLESS,
  HOUR,
  judge,
  MINUTE,
  refusedFailure,
  SimStream,
  ticks,
  World,
} from "../../../test/harness/collect/world.ts";
import { T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";

const REGIMES: [string, Regime][] = (["ascending", "descending", "none"] as const).flatMap((order) =>
  [true, false].map((links): [string, Regime] => [
    `${order}, links ${links ? "given" : "not given"}`,
    { ...EASY, order, links, clamp: 40, pageTop: 100 },
  ]),
);

async function collectedOnce(stream: SimStream) {
  const world = new World();
  const customer = world.customer(stream);
  stream.serverOffsetMs = 0;
  const scheduler = await world.open();
  const running = scheduler.runOnce(new AbortController().signal);
  await world.clock.advance(24 * HOUR);
  const [result] = await running;
  return { world, customer, result: result!, verdict: judge(stream, world.sentOf(customer)) };
}

function streamOf(world: { clock: ConstructorParameters<typeof SimStream>[0] }, regime: Regime): SimStream {
  return new SimStream(world.clock, { regime });
}

describe.each(REGIMES)("with order %s, one walk delivers everything exactly once", (_name, regime) => {
  test("over many pages, although pages are clamped without notice", async () => {
    const clockWorld = new World();
    const stream = streamOf(clockWorld, regime);
    stream.add(...alerts(900, T0 - 3 * HOUR, T0 - MINUTE));
    const { verdict, result } = await collectedOnce(stream);
    expect(result.failures).toEqual([]);
    expect(verdict).toEqual(FLAWLESS);
  });

  test("when ties fill pages exactly and more", async () => {
    const stream = streamOf(new World(), regime);
    stream.add(...alerts(60, T0 - 3 * HOUR, T0 - 2 * HOUR, "before"));
    for (const size of [40, 39, 41, 80, 300]) {
      for (let i = 0; i < size; i++)
        stream.add({
          id: `tie-${size}-${i}`,
          updated: ticks(T0 - HOUR + size * 1000),
          visibleAtMs: 0,
          group: "abcd"[i % 4]!,
        });
    }
    stream.add(...alerts(60, T0 - MINUTE * 30, T0 - MINUTE, "after"));
    const { verdict } = await collectedOnce(stream);
    expect(verdict).toEqual(FLAWLESS);
  });

  test("when 1,900 records share one instant", async () => {
    const stream = streamOf(new World(), regime);
    stream.add(...alerts(10, T0 - 3 * HOUR, T0 - 2 * HOUR, "before"));
    for (let i = 0; i < 1900; i++)
      stream.add({ id: `tie-${i}`, updated: ticks(T0 - HOUR), visibleAtMs: 0, group: "abcd"[i % 4]! });
    stream.add(...alerts(10, T0 - MINUTE * 30, T0 - MINUTE, "after"));
    const { verdict } = await collectedOnce(stream);
    expect(verdict).toEqual(FLAWLESS);
  });

  test("for all times, sizes and clamps (property)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ at: fc.integer({ min: 0, max: 60 }), n: fc.integer({ min: 1, max: 12 }) }), {
          maxLength: 25,
        }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 5, max: 40 }),
        async (groups, clamp, skipMax) => {
          const stream = streamOf(new World(), { ...regime, clamp, pageTop: 20, skipMax });
          stream.limits = { perMinute: 100_000 };
          groups.forEach((g, gi) => {
            for (let i = 0; i < g.n; i++)
              stream.add({
                id: `r-${gi}-${i}`,
                updated: ticks(T0 - HOUR + g.at * 1000),
                visibleAtMs: 0,
                group: "abcd"[(gi + i) % 4]!,
              });
          });
          const { verdict } = await collectedOnce(stream);
          expect(verdict).toEqual(FLAWLESS);
        },
      ),
      { numRuns: 60 },
    );
  });
});

test("a record that changes while a sorted list is paged is delivered in its new version and hides no neighbour", async () => {
  const stream = streamOf(new World(), { ...EASY, clamp: 10, pageTop: 10, links: true });
  stream.add(...alerts(95, T0 - 3 * HOUR, T0 - HOUR));
  const random = new FakeRandom(3);
  stream.fault = (_q, n) => {
    if (n > 30) return undefined;
    const id = `alert-${random.below(95)}`;
    stream.add({ id, updated: ticks(T0 - 30 * MINUTE + n * 1000), visibleAtMs: 0 });
    return undefined;
  };
  const { verdict } = await collectedOnce(stream);
  expect(verdict.lost).toEqual([]);
  expect(verdict.duplicated).toEqual([]);
});

test("a list in one order for one instant only, newest first, hides nothing older behind its first page", async () => {
  const stream = streamOf(new World(), { ...EASY, order: "descending", clamp: 3, pageTop: 10 });
  for (let i = 0; i < 5; i++) stream.add({ id: `new-${i}`, updated: ticks(T0 - MINUTE), visibleAtMs: 0 });
  stream.add({ id: "old", updated: ticks(T0 - HOUR), visibleAtMs: 0 });
  const { verdict } = await collectedOnce(stream);
  expect(verdict).toEqual(FLAWLESS);
});

test("a link that the service refuses is given up and paging continues by time", async () => {
  const stream = streamOf(new World(), { ...EASY, order: "descending", links: true, clamp: 10, pageTop: 10 });
  stream.add(...alerts(95, T0 - 3 * HOUR, T0 - HOUR));
  stream.fault = (q) => (q.link && stream.questions.length > 4 ? refusedFailure("skip token expired") : undefined);
  const { verdict, world } = await collectedOnce(stream);
  expect(verdict).toEqual(FLAWLESS);
  expect(world.sink.healths.some((h) => h.streams[0]!.failure === "link-refused")).toBe(true);
});

test("rows that appear in front while an unsorted list is skipped through do not look like its end", async () => {
  const world = new World();
  const stream = streamOf(world, { ...EASY, order: "none", clamp: 5, pageTop: 5, skipMax: 200 });
  const customer = world.customer(stream);
  world.customers[0] = { ...customer, settings: { ...customer.settings, sweepHours: 0 } };
  stream.add(...alerts(40, T0 - 4 * 24 * HOUR, T0 - 2 * 24 * HOUR));
  // Ids that this service sorts first. They appear when the second page is requested.
  for (const id of ["n0", "n1", "n2", "n3", "n4"]) stream.add({ id, updated: ticks(T0), visibleAtMs: T0 + 3_500 });
  stream.answerTakesMs = 1_000;
  await world.start();
  await world.clock.advance(HOUR);
  expect(judge(stream, world.sentOf(customer))).toEqual(FLAWLESS);
});
