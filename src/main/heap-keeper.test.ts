import { expect, test } from "@jest/globals";
import type { Clock } from "../model/ports.ts";
import { keepHeapSmall } from "./heap-keeper.ts";

/** Bytes in use each second, given what is alive and how fast garbage grows; collections by second. */
async function run(
  seconds: number,
  alive: (second: number) => number,
  garbagePerSecond: number,
): Promise<{ peak: number; collectedAt: number[] }> {
  const stop = new AbortController();
  let second = 0;
  let garbage = 0;
  let peak = 0;
  const collectedAt: number[] = [];
  const clock: Clock = {
    nowMs: () => second * 1000,
    monotonicMs: () => second * 1000,
    async pause(ms) {
      second += ms / 1000;
      garbage += (garbagePerSecond * ms) / 1000;
      peak = Math.max(peak, alive(second) + garbage);
      if (second >= seconds) stop.abort();
    },
  };
  const heap = {
    usedBytes: () => alive(second) + garbage,
    collect() {
      garbage = 0;
      collectedAt.push(second);
    },
  };
  await keepHeapSmall(heap, clock, stop.signal);
  return { peak, collectedAt };
}

test("the garbage of many customers never doubles the heap, and collections stay rare", async () => {
  const { peak, collectedAt } = await run(600, () => 66e6, 1e6);
  expect(peak).toBeLessThan(66e6 * 1.4);
  expect(collectedAt.length).toBeLessThan(600 / 15);
});

test("a small heap is left to the runtime", async () => {
  const { collectedAt } = await run(60, () => 30e6, 0.5e6);
  expect(collectedAt).toEqual([]);
});

test("a heap of which everything is alive is not collected again and again", async () => {
  const { collectedAt } = await run(600, (second) => 60e6 + second * 1e6, 0);
  expect(collectedAt.length).toBeLessThan(12);
});
