import { expect, test } from "@jest/globals";
import { settled } from "../../test/harness/fakes/clock.ts";
import { inParallel } from "./concurrency-limiter.ts";

test("items are begun in their order, and no more of them at the same time than are allowed", async () => {
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  let isDone = false;
  const all = inParallel([1, 2, 3, 4, 5], 2, async (item) => {
    begun.push(item);
    await new Promise<void>((resolve) => ends.push(resolve));
  }).then(() => (isDone = true));
  for (let ended = 0; ended < 5; ended += 1) {
    await settled();
    expect([isDone, begun]).toEqual([false, [1, 2, 3, 4, 5].slice(0, ended + 2)]);
    ends[ended]?.();
  }
  await all;
  expect(isDone).toBe(true);
});
