import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { Scheduler } from "../../src/collect/scheduler.ts";
import type { StateFolder } from "../../src/model/state.ts";
import { openStateFolder } from "../../src/stores/disk/folder.ts";
import { alerts, MINUTE, SimStream, World } from "../harness/collect/world.ts";
import { FakeClock, T0 } from "../harness/fakes/clock.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { BodyKeepingState } from "./body-keeping-state.ts";
import { KEY, type OpenedStore, storeContract } from "./store-contract.ts";

/**
 * What every store must do, whatever it keeps its state in: run over the state folder on disk and over a
 * store in memory that keeps bodies, commits first and delivers after.
 */
const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const STORES: readonly (readonly [name: string, open: () => Promise<OpenedStore>])[] = [
  [
    "the state folder on disk",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "stream-store-"));
      folders.push(folder);
      const open = async (): Promise<OpenedStore> => {
        const state = await openStateFolder(
          folder,
          { clock: new FakeClock(), log: new FakeLog() },
          { waitForLock: "10s" },
        );
        return {
          store: await state.open(KEY),
          crash: async () => {
            await state.release({ orderly: false });
            return open();
          },
        };
      };
      return open();
    },
  ],
  [
    "a store that keeps bodies",
    async () => {
      const state = new BodyKeepingState();
      const open = async (): Promise<OpenedStore> => ({ store: await state.open(KEY), crash: open });
      return open();
    },
  ],
];

for (const [name, open] of STORES) storeContract(name, open);

describe("the engine over a store that keeps bodies", () => {
  const opened = async (world: World, state: StateFolder): Promise<{ crash(): Promise<void> }> => {
    world.sink.kind = "durable";
    const { customers, sink, clock, random, log } = world;
    const scheduler = await Scheduler.open({
      customers,
      state,
      sink,
      replayMib: 16,
      concurrency: 16,
      version: "test",
      clock,
      random,
      log,
    });
    const stop = new AbortController();
    const done = scheduler.run(stop.signal).catch(() => undefined);
    return {
      crash: async () => {
        stop.abort();
        await clock.advance(0);
        await done;
      },
    };
  };

  test("commits first and delivers after: crashes between the two lose nothing and send nothing twice", async () => {
    const world = new World();
    const state = new BodyKeepingState();
    const stream = new SimStream(world.clock);
    stream.versions.push(...alerts(300, T0 - 60 * MINUTE, T0 - MINUTE));
    world.customer(stream);
    const delivered: string[] = [];
    for (let crash = 0; crash < 6; crash++) {
      const run = await opened(world, state);
      await world.clock.advance(MINUTE / 4);
      state.deliver(({ key }) => delivered.push(key), 20);
      stream.versions.push(...alerts(3, world.clock.now, world.clock.now + 1_000, `late-${crash}`));
      await world.clock.advance(2 * MINUTE);
      await run.crash();
    }
    const last = await opened(world, state);
    await world.clock.advance(10 * MINUTE);
    state.deliver(({ key }) => delivered.push(key));
    await last.crash();

    expect(world.sink.sent).toEqual([]);
    expect(state.waitingCount).toBe(0);
    expect(delivered).toHaveLength(300 + 6 * 3);
    expect(new Set(delivered).size).toBe(delivered.length);
  });

  test("a commit that is refused counts as not sent, and the versions are read and committed again", async () => {
    const world = new World();
    const state = new BodyKeepingState();
    const stream = new SimStream(world.clock);
    stream.versions.push(...alerts(10, T0 - 5 * MINUTE, T0 - MINUTE));
    world.customer(stream);
    const run = await opened(world, state);
    state.failNext = true;
    await world.clock.advance(20 * MINUTE);
    const delivered: string[] = [];
    state.deliver(({ key }) => delivered.push(key));
    await run.crash();

    expect(delivered).toHaveLength(10);
  });
});
