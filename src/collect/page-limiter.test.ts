import { expect, test } from "@jest/globals";
import { MINUTE } from "../../test/harness/collect/world.ts";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { Budget } from "./budget.ts";
import { acquireWithinBudget, PageLimiter } from "./page-limiter.ts";

/** Other customers: each takes the slot and holds it, so that a request made now waits for `forMs`. */
function crowd(limiter: PageLimiter, clock: FakeClock, forMs: number): void {
  const heldMs = 2_500;
  for (let waited = 0; waited < forMs; waited += heldMs) {
    void (async () => {
      const slot = await limiter.acquire();
      await clock.pause(heldMs);
      slot.release();
    })();
  }
}

function sender(budget: Budget, clock: FakeClock) {
  const leftAtMs: number[] = [];
  const stop = new AbortController();
  const send = async (limiter: PageLimiter): Promise<void> => {
    const slot = await acquireWithinBudget(budget, limiter, stop.signal);
    leftAtMs.push(clock.monotonicMs());
    slot.release();
  };
  return { leftAtMs, stop, send };
}

test("P13 a request that waited long for its slot is counted when it leaves, not when it was queued", async () => {
  const clock = new FakeClock();
  const limiter = new PageLimiter(1, clock);
  const budget = new Budget({ perMinute: 2 }, clock);
  const { leftAtMs, send } = sender(budget, clock);
  crowd(limiter, clock, 70_000);
  const all = [send(limiter), send(limiter)];
  await clock.advance(62_000);
  all.push(send(new PageLimiter(1, clock)), send(new PageLimiter(1, clock)));
  await clock.advance(5 * MINUTE);
  await Promise.all(all);
  expect(leftAtMs).toHaveLength(4);
  const apart = leftAtMs.slice(2).map((at, i) => at - leftAtMs[i]!);
  expect(Math.min(...apart)).toBeGreaterThanOrEqual(MINUTE);
  expect(leftAtMs.at(-1)).toBeLessThan(2.2 * MINUTE);
});

test("a request that waits for its budget holds no slot meanwhile", async () => {
  const clock = new FakeClock();
  const limiter = new PageLimiter(1, clock);
  const spent = new Budget({ perMinute: 1 }, clock);
  const { leftAtMs, send } = sender(spent, clock);
  void send(limiter);
  void send(limiter);
  await clock.advance(1_000);
  expect(leftAtMs).toEqual([0]);
  const other = sender(new Budget({ perMinute: 1 }, clock), clock);
  void other.send(limiter);
  await clock.advance(0);
  expect(other.leftAtMs).toEqual([1_000]);
});

test("a stop ends the wait for a slot, and no request is counted", async () => {
  const clock = new FakeClock();
  const limiter = new PageLimiter(1, clock);
  const budget = new Budget({ perMinute: 1 }, clock);
  const { leftAtMs, stop, send } = sender(budget, clock);
  crowd(limiter, clock, 10_000);
  const sent = send(limiter).then(
    () => undefined,
    (error: unknown) => error,
  );
  await clock.advance(1_000);
  stop.abort();
  await clock.advance(20_000);
  expect(await sent).toMatchObject({ code: "stopped" });
  expect(leftAtMs).toEqual([]);
  expect(budget.waitMs()).toBe(0);
});

test("requests without an answer hold no slot, however many there are", async () => {
  const clock = new FakeClock();
  const limiter = new PageLimiter(2, clock);
  const hanging = Array.from({ length: 100 }, () => limiter.acquire());
  await clock.advance(50 * 3_001);
  await Promise.all(hanging);
  let isHeld = false;
  void limiter.acquire().then(() => (isHeld = true));
  await clock.advance(3_001);
  expect(isHeld).toBe(true);
});

test("a page whose answer came late waits for a slot before it is read", async () => {
  const clock = new FakeClock();
  const limiter = new PageLimiter(1, clock);
  const late = await limiter.acquire();
  await clock.advance(3_001);
  const other = await limiter.acquire();
  let isRead = false;
  void late.answered().then(() => (isRead = true));
  await clock.advance(0);
  expect(isRead).toBe(false);
  other.release();
  await clock.advance(0);
  expect(isRead).toBe(true);
});
