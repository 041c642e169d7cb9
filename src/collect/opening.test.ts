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
