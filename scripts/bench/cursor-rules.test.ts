import { describe, expect, test } from "@jest/globals";
import { syntheticDay } from "./cursor-day.ts";
import { engineDay } from "./cursor-rules.ts";

const day = syntheticDay(1);

test("the synthetic day has the alerts, updates and late rows that the comparison names", () => {
  const ids = new Set(day.map(({ id }) => id));
  expect(ids.size).toBe(4_500);
  expect(day.length / ids.size).toBeCloseTo(3.1, 1);
  const atOneInstant = Object.values(Object.groupBy(day, ({ updated }) => String(updated))).filter(
    (group) => (group?.length ?? 0) >= 50,
  );
  expect(atOneInstant).toHaveLength(25);
  const late = day.filter(({ updated, visibleAtMs }) => visibleAtMs - Number(updated / 10_000n) > 25_000);
  expect(late.length / day.length).toBeCloseTo(0.02, 2);
});

describe("the engine loses nothing, leaves nothing stale and repeats nothing over that day", () => {
  test.each([
    ["without a failing request", false],
    ["with 5 % of requests failing", true],
  ])("%s", async (_, failing) => {
    const { lost, stale, duplicates, deliveries } = await engineDay(day, failing, 1);
    expect({ lost, stale, duplicates }).toEqual({ lost: 0, stale: 0, duplicates: 0 });
    expect(deliveries).toBeGreaterThan(10_000);
  });
});
