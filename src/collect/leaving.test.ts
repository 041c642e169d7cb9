import { expect, test } from "@jest/globals";
import { alerts, HOUR, MINUTE, SimStream, World } from "../../test/harness/collect/world.ts";
import { T0 } from "../../test/harness/fakes/clock.ts";
import { Failure } from "../model/failure.ts";

/** Two customers with ten alerts each, collected for two minutes. */
async function running() {
  const world = new World();
  const database = { aheadMs: 0 };
  world.shared = { nowMs: () => world.clock.now + database.aheadMs, lostOwnerOf: () => undefined };
  const streams = [0, 1].map((n) => {
    const stream = new SimStream(world.clock);
    stream.versions.push(...alerts(10, T0 - 20 * MINUTE, T0 - MINUTE, `of-${n}`));
    world.customer(stream);
    return stream;
  });
  const scheduler = await world.start();
  await world.clock.advance(2 * MINUTE);
  const removed = async (saves: boolean) => {
    const ended = scheduler.remove("customer-0", { saves });
    await world.clock.advance(0);
    await ended;
  };
  return { world, scheduler, streams, removed, database };
}

test("a customer that is removed is asked for no more and is in no status, and the others go on", async () => {
  const { world, scheduler, streams, removed } = await running();
  await removed(true);
  const before = streams.map(({ questions }) => questions.length);
  await world.clock.advance(5 * MINUTE);

  expect(streams[0]?.questions.length).toBe(before[0]);
  expect(streams[1]?.questions.length).toBeGreaterThan(before[1] ?? 0);
  expect(scheduler.status().map(({ input }) => input)).toEqual(["customer-1"]);
  await world.stop();
});

test("a customer that comes back goes on where it was, and nothing of it is sent twice", async () => {
  const { world, scheduler, streams, removed } = await running();
  await removed(true);
  streams[0]?.versions.push(...alerts(3, world.clock.now, world.clock.now + 1_000, "later"));
  await world.clock.advance(MINUTE);
  await scheduler.add(world.customers[0] as (typeof world.customers)[0]);
  await world.clock.advance(2 * MINUTE);

  const sent = world.sink.sent.map(({ key }) => key);
  expect(sent).toHaveLength(23);
  expect(new Set(sent).size).toBe(23);
  await world.stop();
});

test("a customer that was given up in order is polled by its next owner when it is due, not before", async () => {
  const { world, scheduler, streams, removed } = await running();
  // Between two polls.
  await world.clock.advance(MINUTE / 2);
  await removed(true);
  const before = streams[0]?.questions.length ?? 0;
  await scheduler.add(world.customers[0] as (typeof world.customers)[0]);
  await world.clock.advance(MINUTE / 60);
  expect(streams[0]?.questions.length).toBe(before);
  await world.clock.advance(MINUTE);

  expect(streams[0]?.questions.length).toBeGreaterThan(before);
  await world.stop();
});

test("a customer that was given up before the database's clock was set back an hour is polled within poll_seconds", async () => {
  const { world, scheduler, streams, removed, database } = await running();
  database.aheadMs = HOUR;
  await world.clock.advance(2 * MINUTE);
  await removed(true);
  database.aheadMs = 0;
  const before = streams[0]?.questions.length ?? 0;
  streams[0]?.versions.push(...alerts(3, world.clock.now, world.clock.now + 1_000, "later"));
  await scheduler.add(world.customers[0] as (typeof world.customers)[0]);
  await world.clock.advance(MINUTE + 1_000);

  expect(streams[0]?.questions.length).toBeGreaterThan(before);
  expect(world.sink.sent.filter(({ key }) => key.includes("later"))).toHaveLength(3);
  await world.stop();
});

test("customers that are taken over together are polled at no more than 100 a second, and none is left out", async () => {
  const { world, scheduler } = await running();
  const joining = Array.from(
    { length: 200 },
    (_, n) => new SimStream(world.clock, { budgetKey: `app|tenant ${n}|graph` }),
  );
  const customers = joining.map((stream) => world.customer(stream));
  await Promise.all(customers.map((customer) => scheduler.add(customer)));
  const polled = () => joining.filter(({ questions }) => questions.length > 0).length;
  await world.clock.advance(990);
  expect(polled()).toBeGreaterThan(60);
  expect(polled()).toBeLessThanOrEqual(100);
  await world.clock.advance(1_100);

  expect(polled()).toBe(200);
  await world.stop();
});

test("a customer that is due waits for none of those that were taken over before it and are due later", async () => {
  const { world, scheduler } = await running();
  const early = Array.from(
    { length: 200 },
    (_, n) => new SimStream(world.clock, { budgetKey: `app|early ${n}|graph` }),
  );
  const customers = early.map((stream) => world.customer(stream));
  await Promise.all(customers.map((customer) => scheduler.add(customer)));
  await world.clock.advance(10_000);
  await Promise.all(customers.map(({ stanza }) => scheduler.remove(stanza, { saves: true })));
  await Promise.all(customers.map((customer) => scheduler.add(customer)));
  const due = new SimStream(world.clock, { budgetKey: "app|due|graph" });
  await scheduler.add(world.customer(due));
  await world.clock.advance(100);

  expect(due.questions.length).toBeGreaterThan(0);
  await world.stop();
});

test("to remove a customer that is not collected changes nothing", async () => {
  const { world, scheduler } = await running();
  await scheduler.remove("nobody", { saves: true });

  expect(scheduler.status()).toHaveLength(2);
  await world.stop();
});

test("a customer that leaves is asked for no more at once, though another is being opened and it is removed twice", async () => {
  const { world, scheduler, streams } = await running();
  const held = Promise.withResolvers<void>();
  const open = world.state.open.bind(world.state);
  world.state.open = async (key) => {
    await held.promise;
    return open(key);
  };
  const added = scheduler.add(world.customer(new SimStream(world.clock)));
  const before = streams[0]?.questions.length;
  const removed = [1, 2].map(() => scheduler.remove("customer-0", { saves: true }));
  await world.clock.advance(5 * MINUTE);
  expect(streams[0]?.questions.length).toBe(before);

  held.resolve();
  await world.clock.advance(0);
  await Promise.all([added, ...removed]);
  expect(scheduler.status().map(({ input }) => input)).toEqual(["customer-1", "customer-2"]);
  await world.stop();
});

test("a customer that waits for an output is polled when it accepts events again, though one before it leaves meanwhile", async () => {
  const { world, scheduler, streams, removed } = await running();
  const last = new SimStream(world.clock);
  await scheduler.add(world.customer(last));
  const failure = new Failure("output-full", { actor: "operator", retry: { when: "later" }, say: "Full." });
  world.sink.break = () => ({ arrives: 0, failure });
  for (const [n, stream] of [...streams, last].entries())
    stream.versions.push(...alerts(1, world.clock.now, world.clock.now, `waits-${n}`));
  await world.clock.advance(2 * HOUR);
  world.sink.break = undefined;
  const stop = new AbortController();
  const woken = scheduler.outputAccepts(undefined, stop.signal);
  await removed(false);
  await world.clock.advance(1_000);
  await woken;

  const keys = world.sink.sent.map(({ key }) => key);
  expect([1, 2].filter((n) => keys.some((key) => key.includes(`waits-${n}`)))).toEqual([1, 2]);
  await world.stop();
});
