import { getEventListeners } from "node:events";
import * as fs from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { EVENING_MS, FakeClock, settled } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { batchOf, newFolder, Receiver } from "../../test/harness/fakes/receiver.ts";
import { countedOutput, EventRate, pacedOutput } from "./event-rate.ts";
import type { Batch, Output } from "./output.ts";
import { SyslogOutput } from "./syslog.ts";

const names = (count: number) => Array.from({ length: count }, (_, i) => `e${i}`);

function recorded(fails: (batch: Batch) => boolean = () => false) {
  const written: string[] = [];
  const output: Output = {
    name: "outputs[0]",
    where: "here",
    kind: "durable",
    wants: (key) => !written.includes(key),
    async write(batch) {
      if (fails(batch)) throw new Error("refused");
      expect(Buffer.from(batch.bytes).toString()).toBe(batch.keys.map((key) => `${key}\n`).join(""));
      expect(batch.ends.at(-1)).toBe(batch.bytes.length);
      written.push(...batch.keys);
    },
    condition: () => ({ state: "up", spooledBytes: 0, spoolLimitBytes: 0 }),
    listen: () => undefined,
    close: async () => undefined,
  };
  return { output, written };
}

test("an output with max_eps gets at most so many events in each second, and the writer waits for it", async () => {
  const clock = new FakeClock(EVENING_MS);
  const { output, written } = recorded();
  const paced = pacedOutput(output, new EventRate(10, clock));
  let done = false;
  const writing = Promise.all([paced.write(batchOf(...names(25))), paced.write(batchOf("last"))]).finally(() => {
    done = true;
  });
  const seen: [number, boolean][] = [];
  for (let second = 0; second < 3; second += 1) {
    await settled();
    seen.push([written.length, done]);
    await clock.advance(1_000);
  }
  expect(seen).toEqual([
    [10, false],
    [20, false],
    [25, false],
  ]);
  await writing;
  expect(done).toBe(true);
  expect(written).toEqual([...names(25), "last"]);
});

test("a part that is refused refuses the batch, and what was written before it is not wanted again", async () => {
  const clock = new FakeClock(EVENING_MS, { pauses: "pass" });
  const { output, written } = recorded(({ keys }) => keys.includes("e3"));
  const paced = pacedOutput(output, new EventRate(2, clock));
  await expect(paced.write(batchOf(...names(5)))).rejects.toThrow("refused");
  expect(written).toEqual(["e0", "e1"]);
  expect(names(5).filter((key) => paced.wants(key))).toEqual(["e2", "e3", "e4"]);
});

test("a stop does not wait for max_eps", async () => {
  const clock = new FakeClock(EVENING_MS);
  const { output, written } = recorded();
  const paced = pacedOutput(output, new EventRate(1, clock));
  const writing = paced.write(batchOf(...names(100)));
  await settled();
  await Promise.all([paced.close(1_000), writing]);
  expect(written).toHaveLength(100);
});

test("the spool of a syslog output is sent no faster than max_eps after an outage", async () => {
  const clock = new FakeClock(EVENING_MS);
  const receiver = Object.assign(new Receiver(), { up: false });
  const syslog = new SyslogOutput({
    name: "outputs[0]",
    target: { host: "siem", port: 1999, protocol: "tcp" },
    style: { format: "rfc3164", framing: "newline", host: "collector" },
    spoolBytes: 1 << 20,
    stateFolder: newFolder(),
    dialer: receiver,
    disk: fs,
    clock,
    random: FakeRandom.always(),
    log: new FakeLog(),
    rate: new EventRate(4, clock),
  });
  await syslog.write(batchOf(...names(12)));
  receiver.up = true;
  let before = 0;
  for (let second = 0; second < 8; second += 1) {
    await clock.pass(1_000);
    expect(receiver.events.length - before).toBeLessThanOrEqual(4);
    before = receiver.events.length;
  }
  expect(receiver.events).toEqual(names(12));
});

describe("max_eps of a fleet's member", () => {
  /** Writers that send one batch after another, each in a slot of its own. */
  const started = ({ members = 1, writers = 1, perSlot = 5 }) => {
    const clock = new FakeClock(EVENING_MS);
    const { output, written } = recorded();
    const rate = new EventRate(10, clock, () => members);
    const counted = countedOutput(output, rate);
    const stop = new AbortController();
    const work = async (writer: number) => {
      for (let n = 0; ; n += 1) {
        const release = await counted.pace?.acquireSlot(stop.signal);
        if (release === undefined) return;
        const writing = counted.write(batchOf(...names(perSlot).map((name) => `${writer}-${n}-${name}`)));
        release();
        await writing;
      }
    };
    const ended = Promise.all(Array.from({ length: writers }, (_, i) => work(i)));
    return { clock, rate, counted, written, stop, ended };
  };

  test("holds for all writers together, one after another", async () => {
    const { clock, written, stop, ended } = started({ writers: 4 });
    const counts: number[] = [];
    for (let second = 0; second < 4; second += 1) {
      await clock.advance(1_000);
      counts.push(written.length);
    }

    // The first batch goes at once, and each one pays for itself afterwards.
    expect(counts).toEqual([15, 25, 35, 45]);
    expect(new Set(written.map((key) => key.slice(0, 2))).size).toBe(4);
    stop.abort();
    await ended;
  });

  test("is shared by all members: each sends an equal part", async () => {
    const { clock, rate, written, stop, ended } = started({ members: 5, perSlot: 2 });
    await clock.advance(10_000);

    expect(written).toHaveLength(2 * 11);
    expect([rate.perSecond, rate.bytesAtOnce]).toEqual([2, 1_400]);
    stop.abort();
    await ended;
  });

  test("a wait for a slot ends with the stop, and the next writer gets the slot", async () => {
    const clock = new FakeClock(EVENING_MS);
    const rate = new EventRate(1, clock);
    rate.count(60);
    const [gone, stays] = [new AbortController(), new AbortController()];
    const slots = [rate.acquireSlot(gone.signal), rate.acquireSlot(stays.signal)];
    gone.abort();
    expect(await slots[0]).toBeUndefined();
    await clock.advance(60_000);
    expect(await slots[1]).toEqual(expect.any(Function));
  });

  test("a wait for a slot leaves nothing behind in memory", async () => {
    const rate = new EventRate(1, new FakeClock(EVENING_MS));
    const { signal } = new AbortController();
    for (let n = 0; n < 3; n += 1) (await rate.acquireSlot(signal))?.();

    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});
