import { describe, expect, test } from "@jest/globals";
import { alerts, HOUR, MINUTE, refusedFailure, SimStream, World } from "../../../test/harness/collect/world.ts";
import { T0 } from "../../../test/harness/fakes/clock.ts";
import type { LostOwner } from "../../model/lost-owner.ts";

const COUNT = 300;
/** From the last renewal until another member claims the shards. */
const CLAIMED_AFTER_MS = 6_500;

/** Customers that one member of a fleet collects, and then another one. */
async function collected() {
  const world = new World();
  let lost: LostOwner | undefined;
  // The database's clock is right, whatever the host's shows.
  world.shared = { nowMs: () => world.clock.now, lostOwnerOf: () => lost };
  const streams = Array.from(
    { length: COUNT },
    (_, n) => new SimStream(world.clock, { budgetKey: `app|tenant ${n}|graph` }),
  );
  for (const [n, stream] of streams.entries()) stream.add(...alerts(1, T0 - HOUR, T0 - HOUR, `of-${n}`));
  const customers = streams.map((stream) => world.customer(stream));
  world.customers = [];
  const claim = async (lostOwner: LostOwner | undefined): Promise<void> => {
    lost = lostOwner;
    const scheduler = await world.start();
    await Promise.all(customers.map((customer) => scheduler.add(customer)));
  };
  await claim(undefined);
  await world.clock.advance(5 * MINUTE);
  /** Of all customers, the times of their polls since then. */
  const polledSince = (fromMs: number) => streams.map(({ askedAtMs }) => askedAtMs.filter((at) => at >= fromMs));
  return { world, streams, claim, polledSince };
}

/** The longest time between two polls of one customer, of those times and up to now. */
function longestPauseMs(polls: readonly (readonly number[])[], nowMs: number): number {
  return Math.max(...polls.flatMap((times) => [...times, nowMs].map((at, i) => at - (times[i - 1] ?? at))));
}

test("a member of a fleet polls each customer at its own time in the interval, whenever it was taken", async () => {
  const { world, polledSince } = await collected();
  // A poll that found something asks twice.
  const polls = polledSince(world.clock.now - 3 * MINUTE).map((at) => [...new Set(at)]);
  const times = polls.map((at) => at.map((ms) => ms % MINUTE));

  expect(polls.every(({ length }) => length === 3)).toBe(true);
  expect(times.every((at) => new Set(at).size === 1)).toBe(true);
  expect(new Set(times.map(([at]) => at)).size).toBeGreaterThan(0.9 * COUNT);
  await world.stop();
});

describe("after the kill of its member", () => {
  test.each([
    ["the same as before", 0],
    ["an hour ahead", HOUR],
    ["an hour behind", -HOUR],
  ])("a customer waits at most 7 s longer than an interval, with the clock of its next member %s", async (_, offMs) => {
    const { world, claim, polledSince } = await collected();
    await world.kill();
    const killedMs = world.clock.now;
    await world.clock.advance(CLAIMED_AFTER_MS);
    world.clock.wallOffsetMs = offMs;
    await claim({ sinceMs: T0, untilMs: killedMs });
    await world.clock.advance(3 * MINUTE);
    const polls = polledSince(killedMs - MINUTE);

    expect(longestPauseMs(polls, world.clock.now)).toBeLessThanOrEqual(MINUTE + 7_000);
    // Those that were not due wait for their time: no burst of sign-ins.
    const first = polls.map((at) => at.find((ms) => ms > killedMs) ?? Number.NaN);
    expect(first.filter((at) => at > killedMs + CLAIMED_AFTER_MS + 1_000).length).toBeGreaterThan(0.8 * COUNT);
    await world.stop();
  });

  test("the customers that were due meanwhile are polled first, in the order in which they were due", async () => {
    const { world, claim, polledSince } = await collected();
    const before = polledSince(world.clock.now - MINUTE).map(([at]) => at ?? Number.NaN);
    await world.kill();
    const killedMs = world.clock.now;
    await world.clock.advance(CLAIMED_AFTER_MS);
    await claim({ sinceMs: T0, untilMs: killedMs });
    await world.clock.advance(MINUTE);
    const after = polledSince(killedMs + 1).map(([at]) => at ?? Number.NaN);
    const overdue = [...before.keys()].filter((n) => (before[n] ?? 0) + MINUTE < killedMs + CLAIMED_AFTER_MS);
    const inOrder = overdue.toSorted((a, b) => (after[a] ?? 0) - (after[b] ?? 0)).map((n) => before[n] ?? 0);

    expect(overdue.length).toBeGreaterThan(20);
    // The first one that was opened found nobody before it. Of times a second apart nobody knows the order.
    const [, ...others] = inOrder;
    for (const [i, at] of others.entries()) expect(Math.max(...others.slice(0, i)) - at).toBeLessThan(1_000);
    await world.stop();
  });
});

test("after an hour without the database all customers are polled at once, 100 a second", async () => {
  const { world, claim, polledSince } = await collected();
  await world.kill();
  const killedMs = world.clock.now;
  await world.clock.advance(HOUR);
  const backMs = world.clock.now;
  await claim({ sinceMs: T0, untilMs: killedMs });
  await world.clock.advance(MINUTE);
  const first = polledSince(killedMs + 1).map(([at]) => (at ?? Number.NaN) - backMs);

  expect(Math.max(...first)).toBeLessThanOrEqual(COUNT * 10);
  const perSecond = Map.groupBy(first, (ms) => Math.floor(ms / 1_000));
  expect(Math.max(...[...perSecond.values()].map(({ length }) => length))).toBeLessThanOrEqual(100);
  await world.stop();
});

test("a customer whose member was killed before it had polled those that it took over is polled at once", async () => {
  const { world, claim, polledSince } = await collected();
  await world.kill();
  const firstMs = world.clock.now;
  // A second member claims them, and is killed before it polls anybody.
  await world.clock.advance(2 * CLAIMED_AFTER_MS);
  await claim({ sinceMs: firstMs + CLAIMED_AFTER_MS, untilMs: firstMs + CLAIMED_AFTER_MS });
  await world.clock.advance(MINUTE);

  expect(longestPauseMs(polledSince(firstMs - MINUTE), world.clock.now)).toBeLessThanOrEqual(
    MINUTE + 2 * CLAIMED_AFTER_MS + COUNT * 10,
  );
  await world.stop();
});

test("a stream that failed finds back to its customer's time, and its other streams keep it", async () => {
  const world = new World();
  world.shared = { nowMs: () => world.clock.now, lostOwnerOf: () => undefined };
  const [ofAlerts, incidents] = [new SimStream(world.clock), new SimStream(world.clock, { name: "incidents" })];
  world.customer(ofAlerts, { sources: [ofAlerts, incidents] });
  await world.start();
  await world.clock.advance(5 * MINUTE);
  const ownTime = (incidents.askedAtMs.at(-1) ?? 0) % MINUTE;
  const failing = incidents.askedAtMs.length;
  incidents.fault = () => refusedFailure("not now");
  await world.clock.advance(3 * MINUTE);
  incidents.fault = undefined;
  await world.clock.advance(20 * MINUTE);

  expect(incidents.askedAtMs.slice(failing).some((at) => at % MINUTE !== ownTime)).toBe(true);
  expect(incidents.askedAtMs.slice(-3).map((at) => at % MINUTE)).toEqual([ownTime, ownTime, ownTime]);
  expect(ofAlerts.askedAtMs.slice(-20).every((at) => at % MINUTE === ownTime)).toBe(true);
  await world.stop();
});
