import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { Scheduler } from "../../src/collect/scheduler.ts";
import type { Checkpoint, LedgerEntry, StateFolder, StreamStore } from "../../src/model/state.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { openStateFolder } from "../../src/stores/disk/folder.ts";
import { alerts, MINUTE, SimStream, World } from "../harness/collect/world.ts";
import { FakeClock, T0 } from "../harness/fakes/clock.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { BodyKeepingState } from "./body-keeping-state.ts";

/**
 * What every store must do, whatever it keeps its state in: run over the state folder on disk and over a
 * store in memory that keeps bodies, commits first and delivers after.
 */
const KEY = {
  stanza: "Contoso",
  tenantId: "11111111-2222-4333-8444-555555555555" as TenantId,
  stream: "alerts",
} as const;

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function entry(n: number): LedgerEntry {
  return {
    hash: [n, n + 1, n + 2, n + 3],
    updated: BigInt(n),
    writtenAtS: n,
    byteLength: n,
    bodyCrc: n,
    change: "new",
  };
}

function checkpoint(n: number): Checkpoint {
  return {
    version: 1,
    start: 0n,
    upTo: BigInt(n),
    nextPollAtMs: n,
    nextSweepAtMs: n,
    pollsSinceFullReach: 0,
  };
}

interface Opened {
  readonly store: StreamStore;
  /** The process ends as by a kill; what was committed stays. */
  crash(): Promise<Opened>;
}

const STORES: readonly (readonly [name: string, open: () => Promise<Opened>])[] = [
  [
    "the state folder on disk",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "stream-store-"));
      folders.push(folder);
      const open = async (): Promise<Opened> => {
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
      const open = async (): Promise<Opened> => ({ store: await state.open(KEY), crash: open });
      return open();
    },
  ],
];

describe.each(STORES)("%s", (_name, open) => {
  test("is empty when it is new", async () => {
    const { store } = await open();

    expect(store.checkpoint).toBeUndefined();
    expect(store.takeEntries()).toEqual([]);
  });

  test("has after a crash every entry that was committed, in the order of the commits", async () => {
    const first = await open();
    await first.store.commit({ entries: [entry(1), entry(2)] });
    await first.store.commit({ entries: [entry(3)] });
    const second = await first.crash();

    expect(second.store.takeEntries()).toEqual([entry(1), entry(2), entry(3)]);
    await second.store.commit({ entries: [entry(4)] });
    expect((await second.crash()).store.takeEntries()).toEqual([1, 2, 3, 4].map(entry));
  });

  test("has after a crash the newest checkpoint that was committed, and with it every entry before it", async () => {
    const first = await open();
    await first.store.commit({ entries: [entry(1)], checkpoint: checkpoint(1) });
    await first.store.commit({ checkpoint: checkpoint(2) });
    await first.store.commit({ entries: [entry(2)] });
    const second = await first.crash();

    expect(second.store.checkpoint).toEqual(checkpoint(2));
    expect(second.store.takeEntries()).toEqual([entry(1), entry(2)]);
  });

  test("holds after a compaction what the compaction was given and what was committed since", async () => {
    const first = await open();
    await first.store.commit({ entries: [1, 2, 3, 4].map(entry) });
    await first.store.compact([entry(2), entry(4)]);
    await first.store.commit({ entries: [entry(5)] });
    await first.store.flush();

    expect((await first.crash()).store.takeEntries()).toEqual([entry(2), entry(4), entry(5)]);
  });

  test("an empty commit changes nothing", async () => {
    const first = await open();
    await first.store.commit({});
    await first.store.commit({ entries: [] });
    const second = await first.crash();

    expect(second.store.checkpoint).toBeUndefined();
    expect(second.store.takeEntries()).toEqual([]);
  });
});

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
