import { describe, expect, test } from "@jest/globals";
import {
  alerts,
  EASY,
  FLAWLESS,
  HOUR,
  judge,
  MINUTE,
  refusedFailure,
  SimStream,
  serviceError,
  ticks,
  World,
} from "../../../test/harness/collect/world.ts";
import { T0 } from "../../../test/harness/fakes/clock.ts";

const small = { ...EASY, clamp: 10, pageTop: 10 };
const LATE = {
  id: "late",
  updated: ticks(T0 + 55 * MINUTE),
  created: ticks(T0 + 55 * MINUTE),
  visibleAtMs: T0 + 61 * MINUTE,
};

function given(regime = EASY) {
  const w = new World();
  const stream = new SimStream(w.clock, { regime });
  stream.limits = { perMinute: 10_000 };
  const customer = w.customer(stream);
  return { w, stream, customer };
}

describe("what was to be sent again and could not be", () => {
  test("is still sent again when the journal takes entries again", async () => {
    const { w, stream, customer } = given(small);
    stream.add(...alerts(50, T0 - 5 * HOUR, T0 - MINUTE));
    await w.start();
    await w.clock.advance(3 * MINUTE);
    await w.kill();
    w.sink.sent.length = 0;
    w.state.isFull = true;
    await w.start();
    await w.clock.advance(5 * MINUTE);
    w.state.isFull = false;
    await w.clock.advance(30 * MINUTE);
    expect(new Set(w.sentOf(customer).map((s) => s.id)).size).toBe(50);
  });
});

test("what a broken connection left to be sent again is sent again after a crash although newer events have filled the window", async () => {
  const { w, stream, customer } = given();
  const other = new SimStream(w.clock);
  w.customer(other);
  w.replayMib = 26_000 / (1024 * 1024);
  stream.add(...alerts(20, T0 - HOUR, T0 - MINUTE));
  other.add(...alerts(20, T0 - HOUR, T0 - MINUTE));
  const scheduler = await w.start();
  await w.clock.advance(5 * MINUTE);
  w.sink.sent.length = 0;
  stream.fault = () => serviceError();
  other.add(...alerts(60, T0 + 4 * MINUTE, T0 + 5 * MINUTE, "more"));
  expect(scheduler.replayProvisional()).toBe(40);
  await w.clock.advance(20_000);
  expect(w.sentOf(customer)).toHaveLength(0);
  await w.kill();
  stream.fault = undefined;
  await w.start();
  await w.clock.advance(30 * MINUTE);
  expect(new Set(w.sentOf(customer).map((s) => s.id)).size).toBe(20);
});

describe("what lies further back than the ledger's span but was written just now", () => {
  const old = () => {
    const made = given({ ...EASY, clamp: 200, pageTop: 200 });
    made.stream.add(...alerts(3_000, T0 - 6 * 24 * HOUR, T0 - MINUTE));
    return made;
  };
  test("is known after a crash: it is sent again as a replay, not as new", async () => {
    const { w, stream, customer } = old();
    await w.start();
    await w.clock.advance(10 * MINUTE);
    const before = w.sentOf(customer);
    expect(before).toHaveLength(3_000);
    await w.kill();
    await w.start();
    await w.clock.advance(HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
    expect(w.sentOf(customer)).toHaveLength(6_000);
  });
  test("is sent again when a connection breaks", async () => {
    const { w, customer } = old();
    const scheduler = await w.start();
    await w.clock.advance(10 * MINUTE);
    w.sink.sent.length = 0;
    expect(scheduler.replayProvisional()).toBe(3_000);
    await w.clock.advance(10 * MINUTE);
    expect(w.sentOf(customer)).toHaveLength(3_000);
  });
  test("keeps its order in a journal that is rewritten, so that after a crash the last of a busy second are among those sent again", async () => {
    const { w, stream, customer } = old();
    w.replayMib = 0.1;
    await w.start();
    await w.clock.advance(3 * MINUTE);
    const before = w.sentOf(customer);
    await w.kill();
    const [held] = [...w.state.streams.values()];
    expect(held?.journal.length).toBeLessThan(2_000);
    w.sink.sent.length = 0;
    await w.start();
    await w.clock.advance(HOUR);
    expect(judge(stream, [...before.slice(0, -15), ...w.sentOf(customer)])).toEqual(FLAWLESS);
  });
  test("is known until it was all sent again, although answers without a provider keep that open", async () => {
    const { w, stream, customer } = old();
    const scheduler = await w.start();
    await w.clock.advance(10 * MINUTE);
    stream.partial = () => "Microsoft/Endpoint";
    expect(scheduler.replayProvisional()).toBe(3_000);
    await w.clock.advance(90 * MINUTE);
    // It has settled. A new row makes the sweep save a checkpoint far ahead of it.
    stream.add({ id: "new", updated: ticks(T0 + 100 * MINUTE), created: ticks(T0 + 100 * MINUTE), visibleAtMs: 0 });
    await w.clock.advance(30 * MINUTE);
    stream.partial = undefined;
    await w.clock.advance(HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
  test("is known after several crashes until it was all sent again, although answers without a provider keep that open", async () => {
    const { w, stream, customer } = old();
    await w.start();
    await w.clock.advance(10 * MINUTE);
    await w.kill();
    w.replayMib = 0.1;
    for (const [name] of w.state.streams)
      await w.state.writeFact("replay-since-s", JSON.stringify({ [name]: T0 / 1000 }));
    await w.start();
    await w.clock.advance(30_000);
    await w.kill();
    stream.partial = () => "Microsoft/Endpoint";
    await w.start();
    await w.clock.advance(5 * MINUTE);
    stream.partial = undefined;
    await w.clock.advance(HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
  test("is not asked for again after a crash only because a sweep had found something far back", async () => {
    const { w, stream, customer } = old();
    const late = T0 - 20 * HOUR;
    stream.add({ id: "late", updated: ticks(late), created: ticks(late), visibleAtMs: T0 + 130 * MINUTE });
    await w.start();
    await w.clock.advance(90 * MINUTE);
    // So many rows come that the journal is rewritten without the old ones.
    stream.add(...alerts(700, T0 + 80 * MINUTE, T0 + 90 * MINUTE, "many"));
    await w.clock.advance(100 * MINUTE);
    expect(w.sentOf(customer).filter((s) => s.id === "late")).toHaveLength(1);
    await w.kill();
    await w.start();
    await w.clock.advance(3 * HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
  test("is not swept again because the service's clock went back by hours", async () => {
    const { w, stream, customer } = old();
    await w.start();
    await w.clock.advance(90 * MINUTE);
    stream.add(...alerts(700, T0 + 80 * MINUTE, T0 + 90 * MINUTE, "many"));
    await w.clock.advance(10 * MINUTE);
    stream.serverOffsetMs = -5 * HOUR;
    await w.clock.advance(2 * HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
  test("is forgotten once it has settled", async () => {
    const { w, stream } = old();
    await w.start();
    await w.clock.advance(2 * HOUR);
    // The rows that come now fill the journal until it is rewritten.
    for (let hour = 0; hour < 3; hour++) {
      stream.add(
        ...alerts(1_500, T0 + (2 + hour) * HOUR, T0 + (3 + hour) * HOUR, `more-${hour}`).map((v) => ({
          ...v,
          visibleAtMs: Number(v.updated / 10_000n),
        })),
      );
      await w.clock.advance(HOUR);
    }
    const [held] = [...w.state.streams.values()];
    expect(held?.journal.length).toBeLessThan(7_000);
  });
});

describe("a row that appears late during a standstill or an outage", () => {
  async function withNeighbours(w: World, stream: SimStream) {
    stream.add(LATE);
    for (let i = 0; i < 120; i++)
      stream.add({
        id: `n-${i}`,
        updated: ticks(T0 + i * MINUTE),
        created: ticks(T0 + i * MINUTE),
        visibleAtMs: T0 + i * MINUTE,
      });
    await w.start();
    await w.clock.advance(60.5 * MINUTE);
  }
  test("is found after two days of standstill", async () => {
    const { w, stream, customer } = given();
    await withNeighbours(w, stream);
    await w.stop();
    await w.clock.advance(48 * HOUR);
    await w.start();
    await w.clock.advance(3 * HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
  test("is found after the service failed for two days", async () => {
    const { w, stream, customer } = given();
    await withNeighbours(w, stream);
    stream.fault = () => serviceError();
    await w.clock.advance(48 * HOUR);
    stream.fault = undefined;
    await w.clock.advance(3 * HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
  test("is found after a failure in the middle of a walk", async () => {
    const { w, stream, customer } = given(small);
    stream.add(
      ...alerts(40, T0 + 50 * MINUTE, T0 + 59 * MINUTE, "burst").map((v) => ({ ...v, visibleAtMs: T0 + 60 * MINUTE })),
    );
    stream.add({ ...LATE, updated: ticks(T0 + 52 * MINUTE), visibleAtMs: T0 + 62 * MINUTE });
    stream.fault = (q) =>
      w.clock.now > T0 + 60 * MINUTE && (q.from ?? 0n) > ticks(T0 + 55 * MINUTE) ? serviceError() : undefined;
    await w.start();
    await w.clock.advance(60 * MINUTE + 48 * HOUR);
    stream.fault = undefined;
    await w.clock.advance(3 * HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
  test("is found by the sweep after two days of standstill when it is later than the overlap", async () => {
    const { w, stream, customer } = given();
    await withNeighbours(w, stream);
    stream.add({
      id: "hours late",
      updated: ticks(T0 - 4 * HOUR),
      created: ticks(T0 - 4 * HOUR),
      visibleAtMs: T0 + 61 * MINUTE,
    });
    await w.stop();
    await w.clock.advance(48 * HOUR);
    await w.start();
    await w.clock.advance(3 * HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
  test("is found by the sweep although the first run after the standstill could not complete one", async () => {
    const { w, stream, customer } = given();
    await withNeighbours(w, stream);
    stream.add({
      id: "hours late",
      updated: ticks(T0 - 4 * HOUR),
      created: ticks(T0 - 4 * HOUR),
      visibleAtMs: T0 + 61 * MINUTE,
    });
    await w.stop();
    await w.clock.advance(48 * HOUR);
    stream.fault = (question) => ((question.from ?? 0n) < ticks(T0 - 2 * HOUR) ? serviceError() : undefined);
    await w.start();
    await w.clock.advance(20 * MINUTE);
    await w.stop();
    stream.fault = undefined;
    await w.start();
    await w.clock.advance(3 * HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
  test.each([29, 20])("is found by a poll when it is %i minutes late, sweep or not", async (lateMin) => {
    const { w, stream, customer } = given();
    w.customers[0] = { ...customer, settings: { ...customer.settings, sweepHours: 0 } };
    for (let i = 0; i < 120; i++)
      stream.add({ id: `n-${i}`, updated: ticks(T0 + i * MINUTE), visibleAtMs: T0 + i * MINUTE });
    for (let i = 0; i < 10; i++)
      stream.add({
        id: `l-${i}`,
        updated: ticks(T0 + (40 + i) * MINUTE, 5),
        visibleAtMs: T0 + (40 + i + lateMin) * MINUTE,
      });
    await w.start();
    await w.clock.advance(3 * HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  });
});

test("a crash in the first walk does not move its beginning", async () => {
  const { w, stream, customer } = given({ ...small, clamp: 20, pageTop: 20, order: "descending" });
  stream.add(...alerts(200, T0 - 7 * 24 * HOUR + MINUTE, T0 - MINUTE));
  stream.answerTakesMs = 1000;
  await w.start();
  await w.clock.advance(5_000);
  const before = w.sentOf(customer);
  expect(before.length).toBeGreaterThan(10);
  expect(before.length).toBeLessThan(190);
  await w.kill();
  await w.clock.advance(48 * HOUR);
  await w.start();
  await w.clock.advance(HOUR);
  expect(judge(stream, w.sentOf(customer))).toMatchObject({ lost: [], stale: [] });
});

describe("nothing else is lost because of", () => {
  test.each(["none", "descending", "ascending"] as const)(
    "one record that breaks every answer, order %s, with links",
    async (order) => {
      const { w, stream, customer } = given({ ...EASY, order, links: true, clamp: 50, pageTop: 50 });
      stream.add(...alerts(300, T0 - 5 * HOUR, T0 - MINUTE));
      const poison = stream.versions[77]!;
      stream.midPage = undefined;
      const ask = stream.ask.bind(stream);
      stream.ask = async (q, s) => {
        const page = await ask(q, s);
        const inner = page.batches;
        return {
          ...page,
          batches: (async function* () {
            const all = [];
            for await (const b of inner) all.push(...b);
            if (all.some((r) => r.readable && r.id === poison.id)) throw serviceError();
            yield all;
          })(),
        };
      };
      await w.start();
      await w.clock.advance(6 * HOUR);
      expect(judge(stream, w.sentOf(customer)).lost).toEqual([poison.id]);
    },
  );
  test.each(["none", "descending", "ascending"] as const)(
    "a skip ceiling below the documented one, order %s",
    async (order) => {
      const { w, stream, customer } = given({ ...EASY, order, clamp: 50, pageTop: 50 });
      stream.add(...alerts(300, T0 - 5 * HOUR, T0 - MINUTE));
      stream.add(...alerts(120, T0 - 6 * HOUR, T0 - 6 * HOUR, "tie"));
      stream.fault = (q) => ((q.skip ?? 0) > 100 ? refusedFailure("skip") : undefined);
      await w.start();
      await w.clock.advance(6 * HOUR);
      expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
    },
  );
});

test.each([
  [5, 5, 1_500],
  [6, 3, 2_500],
])(
  "%i rows that appear in front while the first small pages are skipped do not look like the end",
  async (n, clamp, afterMs) => {
    const { w, stream, customer } = given({ ...EASY, order: "descending", clamp, pageTop: clamp });
    stream.add(...alerts(40, T0 - 4 * 24 * HOUR, T0 - 2 * 24 * HOUR));
    stream.add(...alerts(n, T0, T0 + 1_000, "new").map((v) => ({ ...v, visibleAtMs: T0 + afterMs })));
    stream.answerTakesMs = 1_000;
    await w.start();
    await w.clock.advance(HOUR);
    expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
  },
);

test.each([false, true])("objects that change while an unsorted list is paged, links %s", async (links) => {
  for (const seed of [1, 2]) {
    const { w, stream, customer } = given({ ...EASY, order: "none", clamp: 50, pageTop: 50, skipMax: 200, links });
    w.customers[0] = { ...customer, settings: { ...customer.settings, sweepHours: 0 } };
    stream.add(...alerts(1000, T0 - 5 * 24 * HOUR, T0 - MINUTE));
    stream.answerTakesMs = 500;
    for (let i = 0; i < 100; i++)
      stream.add({ id: `alert-${(i * 37 * seed) % 1000}`, updated: ticks(T0 + i * 500), visibleAtMs: T0 + i * 500 });
    await w.start();
    await w.clock.advance(HOUR);
    expect(judge(stream, w.sentOf(customer))).toMatchObject({ lost: [], stale: [] });
  }
});

test("one answer with a clock far ahead does not carry the checkpoint away", async () => {
  const { w, stream, customer } = given();
  w.customers[0] = { ...customer, settings: { ...customer.settings, sweepHours: 0 } };
  await w.start();
  await w.clock.advance(10 * MINUTE);
  stream.serverOffsetMs = 5 * HOUR;
  await w.clock.advance(MINUTE);
  stream.serverOffsetMs = 0;
  for (let i = 0; i < 60; i++)
    stream.add({ id: `n-${i}`, updated: ticks(T0 + (12 + i) * MINUTE), visibleAtMs: T0 + (12 + i) * MINUTE });
  await w.clock.advance(2 * HOUR);
  expect(judge(stream, w.sentOf(customer))).toEqual(FLAWLESS);
});
