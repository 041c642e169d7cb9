import { expect, test } from "@jest/globals";
import { alerts, FLAWLESS, HOUR, judge, MINUTE, SimStream, ticks, World } from "../../../test/harness/collect/world.ts";
import { T0 } from "../../../test/harness/fakes/clock.ts";

/** One customer with a stream, among others that have none. */
function among(customers: number) {
  const world = new World();
  const stream = new SimStream(world.clock);
  const customer = world.customer(stream);
  const others = Array.from({ length: customers - 1 }, () => world.customer(stream, { sources: [] }));
  let counted = 0;
  /** Questions since the last call that looked further back than polls do. */
  const swept = () => {
    const asked = stream.questions.slice(counted);
    counted = stream.questions.length;
    return asked.filter(({ from }) => from !== undefined && from < ticks(T0 - 10 * HOUR)).length;
  };
  return { world, stream, customer, others, swept };
}

test("10,000 customers are swept every two hours: what is 20 hours late is found, and nothing is sent twice", async () => {
  const { world, stream, customer, swept } = among(10_000);
  // The second sweep reads the oldest of them again. With so many, the ledger forgets what it may.
  stream.add(...alerts(1_200, T0 - 23 * HOUR, T0 - MINUTE));
  await world.start();
  await world.clock.advance(50 * MINUTE);
  swept();
  await world.clock.advance(15 * MINUTE);
  expect(swept()).toBeGreaterThan(0);
  const late = ticks(T0 - 20 * HOUR);
  stream.add({ id: "late", updated: late, created: late, visibleAtMs: T0 + 65 * MINUTE });
  await world.clock.advance(110 * MINUTE);
  expect(swept()).toBe(0);
  await world.clock.advance(15 * MINUTE);

  expect(swept()).toBeGreaterThan(0);
  await world.clock.advance(2 * HOUR);
  expect(judge(stream, world.sentOf(customer))).toEqual(FLAWLESS);
  await world.stop();
});

test("a sweep that a process with more customers planned comes within an hour in one with fewer, and not at once", async () => {
  const { world, stream, others, swept } = among(20_000);
  stream.add(...alerts(5, T0 - 23 * HOUR, T0 - MINUTE));
  await world.start();
  // After the sweep, a new row makes the poller save its plan.
  const appears = T0 + 62 * MINUTE;
  stream.add({ id: "new", updated: ticks(appears), created: ticks(appears), visibleAtMs: appears });
  await world.clock.advance(65 * MINUTE);
  await world.stop();
  world.customers = world.customers.filter((one) => !others.includes(one));
  await world.start();
  swept();
  await world.clock.advance(2 * MINUTE);
  expect(swept()).toBe(0);
  await world.clock.advance(60 * MINUTE);

  expect(swept()).toBeGreaterThan(0);
  await world.stop();
});
