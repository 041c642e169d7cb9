import { describe, expect, test } from "@jest/globals";
import {
  alerts,
  EASY,
  FLAWLESS,
  HOUR,
  judge,
  MINUTE,
  SimStream,
  serviceError,
  ticks,
  World,
} from "../../test/harness/collect/world.ts";
import { T0 } from "../../test/harness/fakes/clock.ts";
import { Failure } from "../model/failure.ts";
import type { StateKey } from "../model/state.ts";

const small = { ...EASY, clamp: 10, pageTop: 10 };

function world(n = 200) {
  const w = new World();
  const stream = new SimStream(w.clock, { regime: small });
  stream.limits = { perMinute: 10_000 };
  stream.add(...alerts(n, T0 - 5 * HOUR, T0 - MINUTE));
  const customer = w.customer(stream);
  return { w, stream, customer };
}

test("after an orderly stop nothing repeats", async () => {
  const { w, stream, customer } = world();
  await w.start();
  await w.clock.advance(3 * MINUTE);
  await w.stop();
  const sent = w.sentOf(customer).length;
  await w.start();
  await w.clock.advance(2 * HOUR);
  expect(w.sentOf(customer)).toHaveLength(sent);
  expect(judge(stream, w.sentOf(customer))).toEqual({ lost: [], stale: [], duplicated: [], outOfOrder: [] });
});

test("after an orderly stop in the middle of a long walk the next run continues where it was", async () => {
  const { w, stream, customer } = world();
  stream.answerTakesMs = 100;
  await w.start();
  await w.clock.advance(1_000);
  const asked = stream.questions.length;
  await w.stop();
  const at = w.sentOf(customer).length;
  expect(at).toBeGreaterThan(10);
  expect(at).toBeLessThan(190);
  await w.start();
  await w.clock.advance(10 * MINUTE);
  expect(judge(stream, w.sentOf(customer))).toEqual({ lost: [], stale: [], duplicated: [], outOfOrder: [] });
  const resumed = stream.questions[asked + 1]?.from as bigint;
  expect(resumed).toBeGreaterThan(ticks(T0 - 5 * HOUR));
});

describe("after a crash everything provisional is sent again with equal keys, and nothing is lost", () => {
  test.each([0, 150, 450, 950, 1_550, 5_000, 70_000])("killed after %i ms", async (ms) => {
    const { w, stream, customer } = world();
    stream.answerTakesMs = 100;
    await w.start();
    await w.clock.advance(ms);
    // What the pipe held is gone with the process: the last 15 events never arrived.
    const before = w.sentOf(customer);
    await w.kill();
    const arrived = before.slice(0, Math.max(0, before.length - 15));
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(10 * MINUTE);
    const after = w.sentOf(customer);
    const verdict = judge(stream, [...arrived, ...after]);
    expect(verdict.lost).toEqual([]);
    expect(verdict.stale).toEqual([]);
    expect(verdict.duplicated).toEqual([]);
    const again = after.filter((s) => arrived.some((a) => a.key === s.key));
    expect(again.filter((s) => s.found !== "replay")).toEqual([]);
  });

  test("although the host's clock was two hours ahead before and was put right", async () => {
    const { w, stream, customer } = world();
    w.clock.wallOffsetMs = 2 * HOUR;
    await w.start();
    await w.clock.advance(3 * MINUTE);
    w.clock.wallOffsetMs = 0;
    stream.add(...alerts(30, T0 + MINUTE, T0 + 3 * MINUTE, "after"));
    await w.clock.advance(3 * MINUTE);
    const before = w.sentOf(customer);
    expect(before).toHaveLength(230);
    await w.kill();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(10 * MINUTE);
    const verdict = judge(stream, [...before.slice(0, -15), ...w.sentOf(customer)]);
    expect(verdict).toEqual({ lost: [], stale: [], duplicated: [], outOfOrder: [] });
  });

  test("although the host's clock was put forward by an hour meanwhile", async () => {
    const { w, stream, customer } = world(20);
    await w.start();
    await w.clock.advance(3 * MINUTE);
    w.clock.wallOffsetMs = HOUR;
    stream.add({ id: "after", updated: ticks(T0 + 3 * MINUTE), visibleAtMs: T0 });
    await w.clock.advance(3 * MINUTE);
    const before = w.sentOf(customer);
    expect(before).toHaveLength(21);
    await w.kill();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(10 * MINUTE);
    expect(judge(stream, [...before.slice(0, -15), ...w.sentOf(customer)]).lost).toEqual([]);
  });

  test("although the journal was compacted since, which keeps no order", async () => {
    const { w, stream, customer } = world(20);
    w.replayMib = 0.02;
    await w.start();
    await w.clock.advance(3 * MINUTE);
    stream.add(...alerts(30, T0 + MINUTE, T0 + 3 * MINUTE, "after"));
    await w.clock.advance(3 * MINUTE);
    const before = w.sentOf(customer);
    await w.kill();
    for (const held of w.state.streams.values()) held.journal.reverse();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(10 * MINUTE);
    expect(judge(stream, [...before.slice(0, -15), ...w.sentOf(customer)]).lost).toEqual([]);
  });

  test("although an orderly stop came before everything had been sent again", async () => {
    const { w, stream, customer } = world();
    stream.answerTakesMs = 100;
    await w.start();
    await w.clock.advance(MINUTE);
    const before = w.sentOf(customer);
    await w.kill();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(700);
    await w.stop();
    expect(w.sentOf(customer).length).toBeLessThan(100);
    await w.start();
    await w.clock.advance(10 * MINUTE);
    expect(judge(stream, [...before.slice(0, -15), ...w.sentOf(customer)])).toEqual({
      lost: [],
      stale: [],
      duplicated: [],
      outOfOrder: [],
    });
  });

  test("although the stanza was renamed before everything had been sent again, and its old name is forgotten", async () => {
    const { w, stream, customer } = world();
    stream.answerTakesMs = 100;
    await w.start();
    await w.clock.advance(MINUTE);
    const before = w.sentOf(customer);
    await w.kill();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(700);
    await w.stop();
    expect(w.sentOf(customer).length).toBeLessThan(100);
    const renamed = { ...customer, stanza: "Renamed" };
    w.customers = [renamed];
    const [[name, held]] = [...w.state.streams] as [[string, never]];
    w.state.streams.set(name.replace(customer.stanza, renamed.stanza), held);
    w.state.streams.delete(name);
    Object.assign(w.state, {
      wasLeftUnder: (key: StateKey, stanza: string) => key.stanza === renamed.stanza && stanza === customer.stanza,
    });
    await w.start();
    expect(await w.state.readFact("replay-since-s")).not.toContain(customer.stanza);
    await w.stop();
    await w.start();
    await w.clock.advance(10 * MINUTE);
    expect(judge(stream, [...before.slice(0, -15), ...w.sentOf(customer)])).toEqual(FLAWLESS);
    expect(await w.state.readFact("replay-since-s")).toBe("{}");
  });

  test("although several crashes followed one another and what was sent again filled the window each time", async () => {
    const { w, stream, customer } = world();
    w.replayMib = 0.15;
    stream.answerTakesMs = 100;
    await w.start();
    await w.clock.advance(MINUTE);
    const before = w.sentOf(customer);
    await w.kill();
    const arrived = before.slice(0, -15);
    for (let crash = 0; crash < 6; crash += 1) {
      w.sink.sent.length = 0;
      await w.start();
      await w.clock.advance(1_500);
      const written = w.sentOf(customer);
      expect(written.length).toBeLessThan(160);
      await w.kill();
      arrived.push(...written.slice(0, -15));
    }
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(10 * MINUTE);
    expect(judge(stream, [...arrived, ...w.sentOf(customer)]).lost).toEqual([]);
  });

  test("although this customer was left out for one run before everything had been sent again", async () => {
    const { w, stream, customer } = world(20);
    const other = new SimStream(w.clock, { budgetKey: "other" });
    const second = w.customer(other);
    await w.start();
    await w.clock.advance(MINUTE);
    const before = w.sentOf(customer);
    await w.kill();
    stream.fault = () => serviceError();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(5 * MINUTE);
    await w.stop();
    stream.fault = undefined;
    w.customers = [second];
    await w.start();
    await w.clock.advance(5 * MINUTE);
    await w.stop();
    w.customers = [customer, second];
    await w.start();
    await w.clock.advance(10 * MINUTE);
    expect(judge(stream, [...before.slice(0, -15), ...w.sentOf(customer)]).lost).toEqual([]);
  });

  test("although others filled the window while this customer's service was down", async () => {
    const { w, stream, customer } = world(20);
    w.replayMib = 0.05;
    const other = new SimStream(w.clock, { budgetKey: "other" });
    w.customer(other);
    await w.start();
    await w.clock.advance(MINUTE);
    const before = w.sentOf(customer);
    expect(before).toHaveLength(20);
    await w.kill();
    stream.fault = () => serviceError();
    other.add(...alerts(300, T0, T0 + MINUTE, "other"));
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(5 * MINUTE);
    expect(w.sink.sent).toHaveLength(300);
    await w.kill();
    stream.fault = undefined;
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(10 * MINUTE);
    expect(judge(stream, [...before.slice(0, -15), ...w.sentOf(customer)]).lost).toEqual([]);
  });

  test("a version superseded meanwhile is covered by its newer one and counted", async () => {
    const { w, stream, customer } = world(5);
    await w.start();
    await w.clock.advance(1_000);
    await w.kill();
    stream.add({ id: "alert-2", updated: ticks(T0 + 10_000), visibleAtMs: 0 });
    w.sink.sent.length = 0;
    const scheduler = await w.start();
    await w.clock.advance(5 * MINUTE);
    expect(
      w
        .sentOf(customer)
        .filter((s) => s.found === "replay")
        .map((s) => s.id),
    ).toEqual(["alert-0", "alert-1", "alert-3", "alert-4"]);
    expect(
      w
        .sentOf(customer)
        .filter((s) => s.id === "alert-2")
        .map((s) => [s.change, s.found]),
    ).toEqual([["updated", "poll"]]);
    expect(scheduler.summary()[0]?.totals.superseded).toBe(1);
  });

  test("what settled an hour ago is not sent again", async () => {
    const { w, stream, customer } = world(20);
    await w.start();
    await w.clock.advance(2 * HOUR);
    stream.add({ id: "fresh", updated: ticks(T0 + 2 * HOUR), created: ticks(T0 + 2 * HOUR), visibleAtMs: 0 });
    await w.clock.advance(2 * MINUTE);
    await w.kill();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(5 * MINUTE);
    expect(w.sentOf(customer).map((s) => [s.id, s.found])).toEqual([["fresh", "replay"]]);
  });

  test("no more than replay_mib is sent again", async () => {
    const { w, customer } = world(2_000);
    w.replayMib = 0.1;
    await w.start();
    await w.clock.advance(5 * MINUTE);
    await w.kill();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(5 * MINUTE);
    const replayed = w.sentOf(customer).length;
    expect(replayed).toBeGreaterThan(100);
    expect(replayed).toBeLessThan(250);
  });

  test("a second crash during the replay loses nothing either", async () => {
    const { w, stream, customer } = world();
    stream.answerTakesMs = 100;
    await w.start();
    await w.clock.advance(10_000);
    await w.kill();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(1_000);
    await w.kill();
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(10 * MINUTE);
    expect(new Set(w.sentOf(customer).map((s) => s.id)).size).toBe(200);
    expect(judge(stream, w.sentOf(customer)).stale).toEqual([]);
  });
});

test("the saved checkpoint never passes the oldest provisional version", async () => {
  const { w } = world(50);
  await w.start();
  await w.clock.advance(5 * MINUTE);
  const [held] = [...w.state.streams.values()];
  expect(held?.checkpoint?.upTo === undefined || held.checkpoint.upTo <= ticks(T0 - 5 * HOUR)).toBe(true);
  await w.stop();
  expect(held?.checkpoint?.upTo).toBeGreaterThan(ticks(T0 - 2 * MINUTE));
});

test("a full disk under the state folder stops no customer for good: what could not be journalled is sent when there is room again, once", async () => {
  const { w, stream, customer } = world(60);
  w.state.isFull = true;
  await w.start();
  await w.clock.advance(5 * MINUTE);
  expect(w.sentOf(customer)).toEqual([]);
  expect(w.sink.healths.at(-1)?.streams[0]).toMatchObject({
    state: "failing",
    failure: "state-unwritable",
    actor: "operator",
  });
  w.state.isFull = false;
  await w.clock.advance(20 * MINUTE);
  expect(judge(stream, w.sentOf(customer))).toEqual({ lost: [], stale: [], duplicated: [], outOfOrder: [] });
  expect(w.sink.healths.at(-1)?.streams[0]).toMatchObject({ state: "ok" });
});

test("EPIPE ends the run for all customers and does not count as an orderly stop", async () => {
  const { w } = world(50);
  let writes = 0;
  w.sink.break = () =>
    ++writes === 3
      ? {
          arrives: 0,
          failure: new Failure("host-gone", {
            actor: "operator",
            retry: { when: "never" },
            say: "The reader is gone.",
          }),
        }
      : undefined;
  await w.start();
  await w.clock.advance(MINUTE);
  await expect(w.done).rejects.toMatchObject({ code: "host-gone" });
});

test("a broken connection sends everything provisional again at once", async () => {
  const { w, customer } = world(30);
  const scheduler = await w.start();
  await w.clock.advance(10_000);
  w.sink.sent.length = 0;
  expect(scheduler.replayProvisional()).toBe(30);
  await w.clock.advance(5_000);
  expect(w.sentOf(customer)).toHaveLength(30);
  expect(w.sentOf(customer).every((s) => s.found === "replay")).toBe(true);
  await w.clock.advance(10 * MINUTE);
  expect(w.sentOf(customer)).toHaveLength(30);
});

test("a connection that breaks in the middle of a walk has what that walk had sent before sent again", async () => {
  const { w, customer } = world(100);
  let scheduler: Awaited<ReturnType<typeof w.start>> | undefined;
  let writes = 0;
  const asked: number[] = [];
  w.sink.break = () => {
    writes += 1;
    if (writes === 16) asked.push(scheduler?.replayProvisional() ?? 0);
    return undefined;
  };
  scheduler = await w.start();
  await w.clock.advance(5 * MINUTE);
  const replayed = w.sentOf(customer).filter((s) => s.found === "replay");
  expect(asked[0]).toBeGreaterThan(0);
  expect(replayed).toHaveLength(asked[0] as number);
});

test("a crash after a sweep that found nothing repeats nothing: what the checkpoint that was saved asks for is not forgotten", async () => {
  const { w, stream, customer } = world(2_000);
  w.sink.kind = "durable";
  await w.start();
  await w.clock.advance(2 * HOUR);
  await w.stop();
  stream.add(...alerts(1_100, T0 + 3 * HOUR, T0 + 40 * HOUR, "meanwhile"));
  await w.clock.advance(40 * HOUR);
  await w.start();
  await w.clock.advance(8 * MINUTE);
  await w.kill();
  expect(w.sentOf(customer)).toHaveLength(3_100);
  await w.start();
  await w.clock.advance(2 * HOUR);
  expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
});

test("an idle customer's checkpoint is not written at each empty poll", async () => {
  const w = new World();
  const stream = new SimStream(w.clock);
  w.customer(stream);
  await w.start();
  await w.clock.advance(HOUR);
  const [held] = [...w.state.streams.values()];
  expect(held?.checkpointsSaved).toBeLessThanOrEqual(7);
});

test("a restart neither delays nor repeats a poll", async () => {
  const w = new World();
  const stream = new SimStream(w.clock);
  w.customer(stream);
  await w.start();
  await w.clock.advance(90_000);
  const last = stream.askedAtMs.at(-1) as number;
  // With thousands of customers there is no time to save every checkpoint, so the times of their next polls
  // are saved together.
  await w.stop(0);
  await w.clock.advance(5_000);
  await w.start();
  await w.clock.advance(55_000);
  const next = stream.askedAtMs.find((at) => at > last) as number;
  expect(Math.abs(next - last - MINUTE)).toBeLessThan(2_000);
});
