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
  serviceError,
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

describe("an instant that paging cannot reach is split by values, and no list of values is complete:", () => {
  const OVERFULL: Regime = { ...EASY, clamp: 40, pageTop: 100, skipMax: 500 };
  /** So many records at one instant, with the groups in turn. */
  const tied = (groups: readonly (string | undefined)[], n = 1_900, kind?: (i: number) => string) => {
    const stream = streamOf(new World(), OVERFULL);
    stream.limits = { perMinute: 100_000 };
    for (let i = 0; i < n; i++) {
      const group = groups[i % groups.length];
      stream.add({
        id: `tie-${i}`,
        updated: ticks(T0 - HOUR),
        visibleAtMs: 0,
        ...(group === undefined ? {} : { group }),
        ...(kind === undefined ? {} : { kind: kind(i) }),
      });
    }
    return stream;
  };
  const warned = (world: World) =>
    world.sink.healths.flatMap(({ streams }) =>
      streams.flatMap(({ failure, say }) => (failure?.startsWith("instant-") ? [`${failure}: ${say}`] : [])),
    );
  const WHEN = "2026-11-24T11:00:00.0000000Z";

  test("records with a value that is not listed, and records without one, are collected", async () => {
    const stream = tied(["a", "b", "c", "d", "new", undefined], 1_500);
    const { verdict, world } = await collectedOnce(stream);
    expect(verdict).toEqual(FLAWLESS);
    expect(warned(world)).toEqual([
      `instant-overfull: More records share the instant ${WHEN} than paging can reach. They were requested in parts, split by other properties, and all were collected.`,
    ]);
  });

  test("a value that the service refuses is left out, and its records come with the rest", async () => {
    const stream = tied(["a", "b", "c", "d", "new"], 1_200);
    stream.unknownMembers = ["b"];
    const { verdict, world, result } = await collectedOnce(stream);
    expect(result.failures).toEqual([]);
    expect(verdict).toEqual(FLAWLESS);
    expect(warned(world).map((line) => line.split(":")[0])).toEqual(["instant-overfull"]);
  });

  test("a part that is too large itself is split by the next property, the rest as well", async () => {
    const stream = tied(["a", "new"], 1_900, (i) => `kind-${i % 8}`);
    stream.splits = [...stream.splits, { property: "kind", values: ["kind-0", "kind-1", "kind-2", "kind-3"] }];
    const { verdict, world } = await collectedOnce(stream);
    expect(verdict).toEqual(FLAWLESS);
    expect(warned(world).map((line) => line.split(":")[0])).toEqual(["instant-overfull"]);
  });

  test("a property of which every value is refused is passed over", async () => {
    const stream = tied(["a"], 1_900, (i) => `kind-${i % 5}`);
    stream.unknownMembers = ["a", "b", "c", "d"];
    stream.splits = [...stream.splits, { property: "kind", values: ["kind-0", "kind-1"] }];
    stream.regime = { ...OVERFULL, skipMax: 1_200 };
    const { verdict } = await collectedOnce(stream);
    expect(verdict).toEqual(FLAWLESS);
    const excluding = stream.questions.flatMap(({ where = [] }) => where.filter((one) => "noneOf" in one));
    expect(new Set(excluding.map(({ property }) => property))).toEqual(new Set(["kind"]));
  });

  test("a refused question for the rest is reported as possibly incomplete, and collection goes on", async () => {
    const stream = tied(["a", "b", "c", "d", "new"]);
    stream.add(...alerts(10, T0 - MINUTE * 30, T0 - MINUTE, "after"));
    stream.refusesNoneOf = true;
    const { world, customer, result } = await collectedOnce(stream);
    expect(result.failures).toEqual([]);
    expect(world.sentOf(customer).filter(({ id }) => id.startsWith("after"))).toHaveLength(10);
    expect(warned(world)).toEqual([
      `instant-incomplete: More records share one instant than paging can reach, and some of them may be missing: ${WHEN} (group with another value). Each poll whose lookback includes this time requests them again.`,
    ]);
  });

  test("a part that cannot be split further is named", async () => {
    const { world } = await collectedOnce(tied(["a"]));
    expect(warned(world)).toEqual([
      `instant-incomplete: More records share one instant than paging can reach, and some of them may be missing: ${WHEN} (group a). Each poll whose lookback includes this time requests them again.`,
    ]);
  });

  test("a service that fails during the split fails the walk: nothing is passed over", async () => {
    const stream = tied(["a", "b", "c", "d"]);
    stream.fault = (question) => (question.where === undefined ? undefined : serviceError());
    const { result, world } = await collectedOnce(stream);
    expect(result.failures.map(({ failure }) => failure.code)).toEqual(["service-error"]);
    expect(warned(world)).toEqual([]);
  });
});
