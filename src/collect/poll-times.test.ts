import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { T0 } from "../../test/harness/fakes/clock.ts";
import type { TenantId } from "../model/tenant.ts";
import { PollTimes } from "./poll-times.ts";

const EVERY_MS = 60_000;

function tenant(n: number): TenantId {
  return `${String(n).padStart(8, "0")}-2222-4333-8444-555555555555` as TenantId;
}

/** A customer's times, and a clock that a test sets. */
function timesOf(n = 1, everyMs = EVERY_MS) {
  const clock = { now: T0 };
  const times = new PollTimes(tenant(n), everyMs, { nowMs: () => clock.now });
  return { clock, times };
}

describe("the times of a customer", () => {
  test("are the same on every member, once in each interval", () => {
    const [ours, theirs] = [timesOf(1).times, timesOf(1).times];
    const first = ours.firstAfter(T0);

    expect(first).toBeGreaterThan(T0);
    expect(first).toBeLessThanOrEqual(T0 + EVERY_MS);
    expect(theirs.firstAfter(T0)).toBe(first);
    expect(ours.firstAfter(first - 1)).toBe(first);
    expect(ours.firstAfter(first)).toBe(first + EVERY_MS);
  });

  test("are spread over the interval, also among customers of one shard", () => {
    const ofShard = Array.from({ length: 30_000 }, (_, n) => n).filter(
      (n) => createHash("sha256").update(tenant(n)).digest()[0] === 7,
    );
    const places = ofShard.map((n) => timesOf(n).times.firstAfter(T0) - T0);
    const perTenth = Map.groupBy(places, (at) => Math.ceil((10 * at) / EVERY_MS));

    expect(ofShard.length).toBeGreaterThan(80);
    expect(perTenth.size).toBe(10);
    for (const some of perTenth.values()) expect(some.length).toBeLessThan(ofShard.length / 4);
  });
});

describe("the pause after a round", () => {
  test("ends at the customer's next time, and the one after that is an interval later", () => {
    const { clock, times } = timesOf();
    clock.now += times.pauseMs(2_000);
    expect(times.firstAfter(clock.now - 1)).toBe(clock.now);
    // The round takes three seconds.
    clock.now += 3_000;

    expect(times.pauseMs(3_000)).toBe(EVERY_MS - 3_000);
  });

  test("never lets two rounds begin further apart than the interval, whenever and however long they run", () => {
    const rounds = fc.record({
      n: fc.nat(50),
      everyMs: fc.constantFrom(1_000, 15_000, EVERY_MS),
      atMs: fc.nat(EVERY_MS),
      tookMs: fc.nat(2 * EVERY_MS),
    });
    fc.assert(
      fc.property(rounds, ({ n, everyMs, atMs, tookMs }) => {
        const { clock, times } = timesOf(n, everyMs);
        clock.now += atMs + tookMs;
        const pauseMs = times.pauseMs(tookMs);

        expect(pauseMs).toBeGreaterThanOrEqual(0);
        expect(pauseMs).toBeLessThanOrEqual(Math.max(0, everyMs - tookMs));
        // A round that is quick enough for that is followed by one at the customer's time.
        const next = clock.now + pauseMs;
        const beganMs = clock.now - tookMs;
        const ownMs = times.firstAfter(beganMs + Math.min(1_000, everyMs / 10));
        const isQuick = ownMs > clock.now && ownMs - beganMs <= everyMs;
        expect(isQuick ? next : ownMs).toBe(ownMs);
      }),
    );
  });

  test("is a whole one although the clocks were set a little meanwhile, and a customer finds back after an hour's step", () => {
    const { clock, times } = timesOf();
    clock.now = times.firstAfter(T0) - 900;
    expect(times.pauseMs(0)).toBe(EVERY_MS);
    clock.now += 3_600_000 - 20_000;
    clock.now += times.pauseMs(0);

    expect(times.firstAfter(clock.now - 1)).toBe(clock.now);
  });
});

describe("a customer that is taken over", () => {
  const WHOLE = { isInterrupted: false };
  const LONG_AGO = T0 - 3_600_000;

  test("from a lost member is due when that one would have polled it next", () => {
    for (let n = 0; n < 50; n += 1) {
      const { times } = timesOf(n);
      const lost = { sinceMs: LONG_AGO, untilMs: T0 - 6_500 };
      const due = times.dueMs(LONG_AGO, lost, WHOLE);

      // Its last round may not have ended.
      expect(due).toBe(times.firstAfter(T0 - 8_500));
    }
  });

  test("from a member that was lost long ago is due, those first that have waited longest", () => {
    for (let n = 0; n < 50; n += 1) {
      const { times } = timesOf(n);
      const lost = { sinceMs: LONG_AGO - 3_600_000, untilMs: LONG_AGO };

      expect(times.dueMs(LONG_AGO, lost, WHOLE)).toBe(times.firstAfter(LONG_AGO - 2_000));
    }
  });

  test("from a member that had it for less than an interval, or in the middle of a walk, is due at once", () => {
    for (let n = 0; n < 50; n += 1) {
      const { times } = timesOf(n);
      const brief = { sinceMs: T0 - 30_000, untilMs: T0 - 6_500 };
      const long = { sinceMs: LONG_AGO, untilMs: T0 - 6_500 };

      expect(times.dueMs(LONG_AGO, brief, WHOLE)).toBeLessThanOrEqual(T0 - 8_500);
      expect(times.dueMs(LONG_AGO, long, { isInterrupted: true })).toBeLessThanOrEqual(T0 - 8_500);
    }
  });

  test("in order is due when its last owner said, within an interval", () => {
    const { times } = timesOf();

    expect(times.dueMs(T0 + 20_000, undefined, WHOLE)).toBe(T0 + 20_000);
    expect(times.dueMs(T0 + 900_000, undefined, WHOLE)).toBe(T0 + EVERY_MS);
    // Its next owner was lost before that time came.
    expect(times.dueMs(T0 + 20_000, { sinceMs: T0 - 9_000, untilMs: T0 - 6_500 }, WHOLE)).toBe(T0 + 20_000);
  });

  test("is due at once where a clock was set back, so that its member seems to be lost in the future", () => {
    for (let n = 0; n < 50; n += 1) {
      const { times } = timesOf(n);
      const lost = { sinceMs: LONG_AGO, untilMs: T0 + 3_600_000 };

      for (const storedMs of [LONG_AGO, T0 + 900_000])
        expect(times.dueMs(storedMs, lost, WHOLE)).toBeLessThanOrEqual(T0);
    }
  });

  test("from nobody is due at once", () => {
    const { times } = timesOf();

    expect(times.dueMs(T0 - 1, undefined, WHOLE)).toBeLessThanOrEqual(T0);
    expect(times.dueMs(T0 + 900_000, { sinceMs: 0, untilMs: 0 }, WHOLE)).toBeLessThanOrEqual(T0);
  });
});
