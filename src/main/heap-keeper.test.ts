import { spawnSync } from "node:child_process";
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

test("the runtime knows the flags that are set while it runs, and collects when asked", () => {
  const program = `
    import { ownHeap } from "./heap-keeper.ts";
    const heap = ownHeap();
    let garbage = Array.from({ length: 1e6 }, (_, n) => ({ n }));
    const before = heap.usedBytes();
    garbage = undefined;
    heap.collect();
    console.log(before - heap.usedBytes() > 8e6);`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
  expect({ stdout, stderr }).toEqual({ stdout: "true\n", stderr: "" });
});
