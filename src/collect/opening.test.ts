import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { SimStream, World } from "../../test/harness/collect/world.ts";
import type { StateFolder } from "../model/state.ts";
import { openStateFolder } from "../stores/disk/folder.ts";
import { Scheduler } from "./scheduler.ts";

test("a stop while thousands of customers are being opened takes effect at the next one, and the orderly stop before it still counts", async () => {
  const world = new World();
  for (let n = 0; n < 5; n++) world.customer(new SimStream(world.clock));
  const dir = mkdtempSync(join(tmpdir(), "opening-"));
  const opened = () => openStateFolder(dir, { clock: world.clock, log: world.log }, { waitForLock: "10s" });
  const schedulerOver = (state: StateFolder, stop?: AbortSignal) =>
    Scheduler.open({
      customers: world.customers,
      state,
      sink: world.sink,
      replayMib: 16,
      concurrency: 16,
      version: "test",
      clock: world.clock,
      random: world.random,
      log: world.log,
      ...(stop ? { stop } : {}),
    });
  const first = await opened();
  await (await schedulerOver(first)).close({ orderly: true });
  await first.release({ orderly: true });

  const second = await opened();
  const stop = new AbortController();
  const open = second.open.bind(second);
  let count = 0;
  second.open = (key) => {
    if (++count === 2) stop.abort();
    return open(key);
  };
  await expect(schedulerOver(second, stop.signal)).rejects.toMatchObject({ code: "stopped" });
  expect(count).toBe(2);
  await second.release({ orderly: false });

  const third = await opened();
  expect(third.lastStopWasOrderly).toBe(true);
  await third.release({ orderly: true });
  rmSync(dir, { recursive: true });
});

test("a start signs in at most fifty customers a second, and no stream of a customer waits for another's turn", async () => {
  const world = new World();
  const streams = Array.from({ length: 120 }, (_, n) =>
    (["alerts", "incidents"] as const).map((name) => new SimStream(world.clock, { name, budgetKey: `${n}` })),
  );
  for (const sources of streams) world.customer(sources[0]!, { sources });
  const startedMs = world.clock.nowMs();
  await world.start();
  await world.clock.advance(10_000);
  const firstMs = streams.map((sources) => sources.map(({ askedAtMs: [first] }) => first! - startedMs));
  await world.stop();

  expect(firstMs.filter(([alerts, incidents]) => alerts !== incidents)).toEqual([]);
  const inOrder = firstMs.flatMap(([first]) => first!).sort((a, b) => a - b);
  // Each has a fiftieth of a second, and a random place in it.
  const perSecond = inOrder.map((from) => inOrder.filter((at) => at >= from && at < from + 1000 - 20).length);
  expect(Math.max(...perSecond)).toBeLessThanOrEqual(50);
  expect(inOrder.at(-1)).toBeLessThanOrEqual((120 / 50) * 1000);
});
