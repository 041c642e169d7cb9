import { getEventListeners } from "node:events";
import { expect, test } from "@jest/globals";
import { alerts, MINUTE, SimStream, World } from "../../test/harness/collect/world.ts";
import { T0 } from "../../test/harness/fakes/clock.ts";

/** Notes the signal of each of its requests. */
class NotingStream extends SimStream {
  readonly signals = new Set<AbortSignal>();

  override ask(...asked: Parameters<SimStream["ask"]>): ReturnType<SimStream["ask"]> {
    this.signals.add(asked[1]);
    return super.ask(...asked);
  }
}

test("requests of many customers add no listener to a signal that another customer's requests use", async () => {
  const world = new World();
  const streams = Array.from({ length: 50 }, () => {
    const stream = new NotingStream(world.clock);
    world.customer(stream);
    return stream;
  });
  await world.start();
  await world.clock.advance(3 * MINUTE);

  const signals = streams.flatMap((stream) => [...stream.signals]);
  expect(signals).toHaveLength(50);
  expect(new Set(signals).size).toBe(50);
  for (const signal of signals) expect(getEventListeners(signal, "abort").length).toBeLessThan(5);
  await world.stop();
  expect(signals.every(({ aborted }) => aborted)).toBe(true);
});

/** Its first request is answered only when the test says so, whatever is stopped meanwhile. */
class HeldStream extends SimStream {
  readonly held = Promise.withResolvers<void>();

  override async ask(...asked: Parameters<SimStream["ask"]>): ReturnType<SimStream["ask"]> {
    await this.held.promise;
    return super.ask(...asked);
  }
}

test("a customer that joins while the others end is not collected, and the stop does not wait for it", async () => {
  const world = new World();
  const slow = new HeldStream(world.clock);
  world.customer(slow);
  const scheduler = await world.start();
  await world.clock.advance(MINUTE);
  const late = new SimStream(world.clock);
  late.versions.push(...alerts(10, T0 - 20 * MINUTE, T0 - MINUTE, "late"));
  const customer = world.customer(late);

  const stopped = world.stop();
  await scheduler.add(customer);
  slow.held.resolve();
  await stopped;

  expect(late.questions).toHaveLength(0);
  expect(world.sentOf(customer)).toHaveLength(0);
});
