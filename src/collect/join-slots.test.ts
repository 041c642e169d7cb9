import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { JoinSlots } from "./join-slots.ts";

test("each customer gets the first slot at or after its due time that nobody has, and no two get the same", () => {
  const due = fc.array(
    fc.record({ dueInMs: fc.integer({ min: 0, max: 300 }), laterMs: fc.integer({ min: 0, max: 40 }) }),
  );
  fc.assert(
    fc.property(due, (customers) => {
      const slots = new JoinSlots(100);
      const taken = new Set<number>();
      let nowMs = 5;
      for (const { dueInMs, laterMs } of customers) {
        nowMs += laterMs;
        let wanted = Math.ceil((nowMs + dueInMs) / 10);
        while (taken.has(wanted)) wanted += 1;
        taken.add(wanted);
        expect(nowMs + slots.acquire(nowMs, dueInMs)).toBe(wanted * 10);
      }
    }),
  );
});

test("who is never due is asked at once, if nobody else is", () => {
  expect(new JoinSlots(100).acquire(20, Number.POSITIVE_INFINITY)).toBe(0);
});
