import { expect, jest, test } from "@jest/globals";
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

test("customers that are all due at once look at few slots each, however many there are", () => {
  const slots = new JoinSlots(100);
  const customers = 2_000;
  const looks = jest.spyOn(Map.prototype, "get");
  for (let n = 0; n < customers; n += 1) slots.acquire(2 * n, 0);
  const count = looks.mock.calls.length;
  looks.mockRestore();
  expect(count).toBeLessThan(10 * customers);
});
