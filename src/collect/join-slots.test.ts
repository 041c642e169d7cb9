import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { JoinSlots } from "./join-slots.ts";

const GOES_ON = new AbortController().signal;

/** @param dueInMs of each customer when it asks. */
async function polled(slots: JoinSlots, clock: FakeClock, dueInMs: readonly number[], withinMs = 10_000) {
  const order: { readonly n: number; readonly atMs: number }[] = [];
  const beganMs = clock.monotonicMs();
  for (const [n, due] of dueInMs.entries())
    void slots.acquire(beganMs + due, GOES_ON).then(() => order.push({ n, atMs: clock.monotonicMs() - beganMs }));
  await clock.advance(withinMs);
  return order;
}

test("customers that are due get a slot each, the one that is due longest first, and none before it is due", async () => {
  const due = fc.array(fc.integer({ min: -300, max: 300 }), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(due, async (dueInMs) => {
      const clock = new FakeClock();
      const order = await polled(new JoinSlots(clock, 100), clock, dueInMs);

      expect(order.map(({ n }) => n)).toEqual(
        [...dueInMs.keys()].sort((a, b) => (dueInMs[a] ?? 0) - (dueInMs[b] ?? 0)),
      );
      let freeMs = 0;
      for (const { n, atMs } of order) {
        expect(atMs).toBe(Math.max(freeMs, dueInMs[n] ?? 0));
        freeMs = atMs + 10;
      }
    }),
    { numRuns: 30 },
  );
});

test("a customer that comes later and is due longer is polled before those that wait already", async () => {
  const clock = new FakeClock();
  const slots = new JoinSlots(clock, 100);
  const first = polled(slots, clock, [0, 0, 0, 500], 5);
  await first;
  const order: string[] = [];
  void slots.acquire(-1_000, GOES_ON).then(() => order.push("late"));
  void slots.acquire(clock.monotonicMs() + 100, GOES_ON).then(() => order.push("later"));
  await clock.advance(10);
  expect(order).toEqual(["late"]);
  await clock.advance(200);

  expect(order).toEqual(["late", "later"]);
  expect(await first).toHaveLength(3);
});

test("a customer that leaves takes no slot, and the others go on", async () => {
  const clock = new FakeClock();
  const slots = new JoinSlots(clock, 100);
  const leaving = new AbortController();
  const ended: string[] = [];
  for (const name of ["first", "second", "third"])
    void slots
      .acquire(1_000, name === "third" ? GOES_ON : leaving.signal)
      .then(() => ended.push(`${name} ${clock.monotonicMs()}`));
  leaving.abort();
  await slots.acquire(0, leaving.signal);
  await clock.advance(2_000);

  expect(ended).toEqual(["first 0", "second 0", "third 1000"]);
});

test("slots that a busy process missed are made up for, and those that nobody needed are not", async () => {
  const clock = new FakeClock();
  const slots = new JoinSlots(clock, 100);
  const waited = polled(
    slots,
    clock,
    Array.from({ length: 50 }, () => 0),
    0,
  );
  clock.now += 300;
  await clock.advance(0);
  expect(await waited).toHaveLength(31);
  await clock.advance(10_000);

  expect(
    await polled(
      slots,
      clock,
      Array.from({ length: 50 }, () => 0),
      95,
    ),
  ).toHaveLength(10);
});
