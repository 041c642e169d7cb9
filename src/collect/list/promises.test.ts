import { describe, expect, test } from "@jest/globals";
import {
  alerts,
  EASY,
  FLAWLESS,
  HOUR,
  judge,
  MINUTE,
  recordOf,
  SimStream,
  serviceError,
  throttledUntil,
  ticks,
  World,
} from "../../../test/harness/collect/world.ts";
import { T0 } from "../../../test/harness/fakes/clock.ts";
import { Failure } from "../../model/failure.ts";
import { formatInstant } from "../../model/instant.ts";
import type { PageRecord } from "../../model/record.ts";

/** A running world with one customer that has one stream. */
async function running(prepare: (stream: SimStream, world: World) => void = () => undefined, regime = EASY) {
  const world = new World();
  const stream = new SimStream(world.clock, { regime });
  prepare(stream, world);
  const customer = world.customer(stream);
  const scheduler = await world.start();
  return { world, stream, customer, scheduler, verdict: () => judge(stream, world.sentOf(customer)) };
}

const late = (id: string, updatedMs: number, visibleMs: number) => ({
  id,
  updated: ticks(updatedMs),
  created: ticks(updatedMs),
  visibleAtMs: visibleMs,
});

test("P1 every page is read and used when links are the way through an unordered list", async () => {
  const { world, stream, verdict } = await running((s) => s.add(...alerts(2_000, T0 - HOUR, T0 - MINUTE)), {
    ...EASY,
    order: "none",
    links: true,
    clamp: 50,
    pageTop: 50,
  });
  await world.clock.advance(10 * MINUTE);
  expect(verdict()).toEqual(FLAWLESS);
  expect(stream.questions.filter(({ link }) => link !== undefined).length).toBeGreaterThanOrEqual(39);
});

test("P2 paging needs no link", async () => {
  const { world, verdict } = await running((s) => s.add(...alerts(2_500, T0 - HOUR, T0 - MINUTE)), {
    ...EASY,
    links: false,
    clamp: 100,
  });
  await world.clock.advance(10 * MINUTE);
  expect(verdict()).toEqual(FLAWLESS);
});

test("P3 a clamp is discovered, not assumed: pages of 37 where 1,000 were asked for", async () => {
  const { world, verdict } = await running((s) => s.add(...alerts(400, T0 - HOUR, T0 - MINUTE)), {
    ...EASY,
    clamp: 37,
  });
  await world.clock.advance(10 * MINUTE);
  expect(verdict()).toEqual(FLAWLESS);
});

test("P4 equal instants across a page's edge are neither lost nor asked for endlessly", async () => {
  const { world, stream, verdict } = await running(
    (s) => {
      s.add(...alerts(9, T0 - HOUR, T0 - 30 * MINUTE, "before"));
      for (let i = 0; i < 25; i++) s.add(late(`tie-${i}`, T0 - 20 * MINUTE, 0));
    },
    { ...EASY, clamp: 10, pageTop: 10 },
  );
  await world.clock.advance(MINUTE / 2);
  expect(verdict()).toEqual(FLAWLESS);
  expect(stream.questions.length).toBeLessThan(20);
});

describe("P5 late rows are found", () => {
  test("2 minutes behind the newest: by the next poll", async () => {
    const { world, customer } = await running((s) =>
      s.add(late("a", T0 - MINUTE, 0), late("late", T0 - 2 * MINUTE, T0 + 90_000)),
    );
    await world.clock.advance(3 * MINUTE);
    expect(world.sentOf(customer).map((s) => s.id)).toEqual(["a", "late"]);
  });

  test("25 minutes behind: by the poll that looks back over the whole overlap, within five polls", async () => {
    const { world, customer } = await running((s) =>
      s.add(late("a", T0 - MINUTE, 0), late("late", T0 - 25 * MINUTE, T0 + 90_000)),
    );
    await world.clock.advance(7 * MINUTE);
    expect(world.sentOf(customer).map((s) => [s.id, s.found])).toEqual([
      ["a", "poll"],
      ["late", "poll"],
    ]);
  });

  test("20 hours behind, although the host's clock was two days ahead when the sweep was planned", async () => {
    const { world, customer } = await running((s, w) => {
      w.clock.wallOffsetMs = 48 * HOUR;
      s.add(late("a", T0 - MINUTE, 0), late("late", T0 - 20 * HOUR, T0 + 5 * MINUTE));
    });
    await world.clock.advance(2 * MINUTE);
    world.clock.wallOffsetMs = 0;
    await world.clock.advance(2 * HOUR);
    expect(world.sentOf(customer).map((s) => [s.id, s.found])).toEqual([
      ["a", "poll"],
      ["late", "sweep"],
    ]);
  });

  test("20 hours behind, although the host's clock is two days ahead", async () => {
    const { world, customer } = await running((s, w) => {
      w.clock.wallOffsetMs = 48 * HOUR;
      s.add(late("a", T0 - MINUTE, 0), late("late", T0 - 20 * HOUR, T0 + 5 * MINUTE));
    });
    await world.clock.advance(2 * HOUR);
    expect(world.sentOf(customer).map((s) => [s.id, s.found])).toEqual([
      ["a", "poll"],
      ["late", "sweep"],
    ]);
  });

  test("20 hours behind: by the sweep, which counts it", async () => {
    const { world, customer, scheduler } = await running((s) =>
      s.add(late("a", T0 - MINUTE, 0), late("late", T0 - 20 * HOUR, T0 + 90_000)),
    );
    await world.clock.advance(62 * MINUTE);
    expect(world.sentOf(customer).map((s) => [s.id, s.found])).toEqual([
      ["a", "poll"],
      ["late", "sweep"],
    ]);
    expect(scheduler.summary()[0]?.totals.swept).toBe(1);
  });
});

describe("P6 a changed object is delivered once in its new version, an unchanged one is not", () => {
  test("over two hours of polls, overlaps and sweeps", async () => {
    const { world, stream, customer, verdict } = await running((s) =>
      s.add(...alerts(50, T0 - 20 * HOUR, T0 - MINUTE)),
    );
    await world.clock.advance(10 * MINUTE);
    stream.add({
      id: "alert-3",
      updated: ticks(T0 + 9 * MINUTE),
      created: ticks(T0 - 20 * HOUR),
      visibleAtMs: T0 + 10 * MINUTE,
    });
    await world.clock.advance(2 * HOUR);
    expect(verdict()).toEqual(FLAWLESS);
    expect(world.sentOf(customer)).toHaveLength(51);
    expect(world.sentOf(customer)[50]).toMatchObject({ id: "alert-3", change: "updated", found: "poll" });
  });

  test("an older version that shows up after a newer one is not sent and is counted", async () => {
    const { world, stream, customer, scheduler } = await running((s) => s.add(late("a", T0 - MINUTE, 0)));
    await world.clock.advance(90_000);
    stream.versions.length = 0;
    stream.add(late("a", T0 - 2 * MINUTE, 0));
    await world.clock.advance(2 * MINUTE);
    expect(world.sentOf(customer)).toHaveLength(1);
    expect(scheduler.summary()[0]?.totals.superseded).toBeGreaterThan(0);
  });

  test("the same version with other bytes is not sent and is logged", async () => {
    const { world, stream, customer } = await running((s) => s.add({ ...late("a", T0 - MINUTE, 0), text: "one" }));
    await world.clock.advance(30_000);
    stream.versions.length = 0;
    stream.add({ ...late("a", T0 - MINUTE, 0), text: "two" });
    await world.clock.advance(2 * MINUTE);
    expect(world.sentOf(customer)).toHaveLength(1);
    expect(world.log.lines.some((l) => l.message.includes("other content"))).toBe(true);
  });
});

/** Incidents, each with these old alerts nested in it. */
function incidentsWith(world: World, ...children: string[]): SimStream {
  const stream = new SimStream(world.clock, { name: "xdr-incidents" });
  const ask = stream.ask.bind(stream);
  const nested = children.map((id) => ({ ...recordOf(late(id, T0 - 50 * 24 * HOUR, 0)), nested: true as const }));
  Object.assign(stream, { hasNested: true });
  stream.ask = async (question, signal) => {
    const page = await ask(question, signal);
    return {
      ...page,
      batches: (async function* () {
        for await (const batch of page.batches)
          for (const r of batch) yield r.readable ? [...nested, { ...r, kind: "incident" as const }] : [r];
      })(),
    };
  };
  return stream;
}

test("P7 an alert taken out of an incident has its own identity: a change of the incident alone does not send it again", async () => {
  const world = new World();
  const stream = incidentsWith(world, "child");
  const customer = world.customer(stream);
  stream.add(late("incident", T0 - MINUTE, 0));
  await world.start();
  await world.clock.advance(MINUTE);
  for (let h = 1; h <= 5; h++) {
    stream.add(late("incident", T0 + h * HOUR, T0 + h * HOUR));
    await world.clock.advance(HOUR);
  }
  expect(world.sentOf(customer).filter((s) => s.id === "child")).toHaveLength(1);
  expect(world.sentOf(customer).filter((s) => s.id === "incident")).toHaveLength(6);
});

test("P7 an alert of an incident that is a month old and still changes is not sent again after a restart", async () => {
  const world = new World();
  const stream = incidentsWith(world, ...Array.from({ length: 1_100 }, (_, i) => `child-${i}`));
  const customer = world.customer(stream);
  for (const day of [0, 20, 32]) stream.add(late("incident", T0 + day * 24 * HOUR, T0 + day * 24 * HOUR));
  for (const day of [0, 20, 31.5]) {
    world.clock.now = T0 + day * 24 * HOUR;
    await world.start();
    await world.clock.advance(2 * HOUR);
    await world.stop();
  }
  await world.start();
  await world.clock.advance(12 * HOUR);
  expect(world.sentOf(customer).filter((s) => s.id.startsWith("child"))).toHaveLength(1_100);
});

test("P8 the checkpoint is saved after delivery: what the host did not take is asked for again", async () => {
  const world = new World();
  const stream = new SimStream(world.clock);
  stream.add(...alerts(20, T0 - HOUR, T0 - MINUTE));
  const customer = world.customer(stream);
  let writes = 0;
  world.sink.break = () =>
    ++writes === 2
      ? {
          arrives: 0,
          failure: new Failure("output-full", {
            actor: "operator",
            retry: { when: "later" },
            say: "The disk is full.",
          }),
        }
      : undefined;
  await world.start();
  await world.clock.advance(5 * MINUTE);
  expect(judge(stream, world.sentOf(customer))).toEqual(FLAWLESS);
});

describe("P9 a walk that failed or was partial does not move the checkpoint", () => {
  test("rows behind a failing page are delivered when the service recovers", async () => {
    const { world, stream, customer, verdict } = await running(
      (s, w) => {
        s.add(...alerts(50, T0 - 72 * HOUR, T0 - 48 * HOUR));
        s.fault = (_q, n) => (n > 2 && w.clock.now < T0 + 2 * HOUR ? serviceError() : undefined);
      },
      { ...EASY, clamp: 10, pageTop: 10, skipMax: 500 },
    );
    await world.clock.advance(HOUR);
    expect(world.sentOf(customer).length).toBeLessThan(50);
    stream.fault = undefined;
    await world.clock.advance(HOUR);
    expect(verdict()).toEqual(FLAWLESS);
    expect(world.sentOf(customer)).toHaveLength(50);
  });

  test("P19 an answer without one provider is delivered, keeps the checkpoint and is reported", async () => {
    const { world, stream, customer, verdict } = await running((s) => {
      s.add(late("a", T0 - HOUR, 0));
      s.partial = () => "Microsoft/Endpoint";
    });
    await world.clock.advance(3 * HOUR);
    expect(world.sentOf(customer).map((s) => s.id)).toEqual(["a"]);
    expect(world.sink.healths.flatMap((h) => h.streams).find((s) => s.failure === "partial-answer")?.say).toContain(
      "Microsoft/Endpoint",
    );
    stream.partial = undefined;
    stream.add(late("hidden", T0 - 6 * 24 * HOUR, 0));
    await world.clock.advance(5 * MINUTE);
    expect(verdict()).toEqual(FLAWLESS);
  });
});

test("P10 a failure in a long walk repeats no more than the failed page", async () => {
  const { world, stream, verdict } = await running(
    (s) => {
      s.add(...alerts(1_000, T0 - 5 * HOUR, T0 - MINUTE));
      s.limits = { perMinute: 10_000 };
      s.fault = (_q, n) => (n >= 50 && n < 80 ? serviceError() : undefined);
    },
    { ...EASY, clamp: 10, pageTop: 10 },
  );
  await world.clock.advance(2 * HOUR);
  expect(verdict()).toEqual(FLAWLESS);
  const before = stream.questions[48]?.from as bigint;
  const afterwards = stream.questions.slice(80, 120).map((q) => q.from as bigint);
  expect(afterwards.every((from) => from >= before)).toBe(true);
});

test("P12 Retry-After is kept to the second, is not a failure, and stalls only that customer", async () => {
  const world = new World();
  const slow = new SimStream(world.clock, { budgetKey: "slow" });
  const healthy = new SimStream(world.clock, { budgetKey: "healthy" });
  slow.add(late("a", T0 - HOUR, 0));
  slow.fault = (_q, n) => (n === 1 ? throttledUntil(T0 + 17 * MINUTE) : undefined);
  world.customer(slow);
  world.customer(healthy);
  const scheduler = await world.start();
  await world.clock.advance(17 * MINUTE - 1_000);
  expect(slow.questions).toHaveLength(1);
  expect(healthy.questions.length).toBeGreaterThanOrEqual(16);
  await world.clock.advance(2_000);
  expect(slow.questions.length).toBeGreaterThan(1);
  expect(slow.askedAtMs[1]! - (T0 + 17 * MINUTE)).toBeLessThan(1_000);
  expect(world.sink.healths.flatMap((h) => h.streams).filter((s) => s.state === "failing")).toEqual([]);
  expect(scheduler.summary()[0]?.totals.throttled).toBe(1);
});

test("P12 a service that asks for one second for ever is asked less and less often", async () => {
  const world = new World();
  const slow = new SimStream(world.clock, { budgetKey: "slow" });
  slow.fault = () => throttledUntil(world.clock.nowMs() + 1_000);
  world.customer(slow);
  await world.start();
  await world.clock.advance(HOUR);
  const pausesMs = slow.askedAtMs.slice(1).map((at, n) => at - slow.askedAtMs[n]!);
  expect(pausesMs.slice(0, 7).map((ms) => Math.round(ms / 1_000))).toEqual([1, 1, 1, 2, 4, 8, 16]);
  expect(slow.questions.length).toBeLessThan(17);
});

describe("P13 requests are paced before the limit", () => {
  test.each([
    [{ perMinute: 20 }, 60_000, 20],
    [{ perMinute: 50, perHour: 120 }, HOUR, 120],
  ])("%j is never passed in any window", async (limits, windowMs, most) => {
    const { world, stream, verdict } = await running(
      (s) => {
        s.limits = limits;
        s.add(...alerts(250, T0 - 5 * HOUR, T0 - MINUTE));
      },
      { ...EASY, clamp: 2, pageTop: 2 },
    );
    await world.clock.advance(20 * HOUR);
    expect(verdict()).toEqual(FLAWLESS);
    stream.askedAtMs.forEach((at, i) => {
      const within = stream.askedAtMs.slice(i).filter((other) => other < at + windowMs).length;
      expect(within).toBeLessThanOrEqual(most);
    });
    expect(stream.askedAtMs.filter((at) => at < T0 + 1_000).length).toBeGreaterThanOrEqual(
      Math.min(20, limits.perMinute),
    );
  });
});

describe("P14 a page that fails for ever is asked for in smaller parts instead of stalling", () => {
  test("$expand is dropped", async () => {
    const { world, customer, verdict } = await running((s) => {
      s.add(...alerts(30, T0 - HOUR, T0 - MINUTE));
      s.fault = (q) => (q.withoutExpand ? undefined : serviceError());
    });
    await world.clock.advance(5 * MINUTE);
    expect(verdict()).toEqual(FLAWLESS);
    expect(world.sentOf(customer)).toHaveLength(30);
  });

  test("P15 pages above a size that the way there refuses are halved and the walk goes on", async () => {
    const { world, customer, verdict } = await running((s) => {
      s.add(...alerts(300, T0 - HOUR, T0 - MINUTE));
      s.fault = (q) => (q.top > 20 ? serviceError() : undefined);
    });
    await world.clock.advance(HOUR);
    expect(verdict()).toEqual(FLAWLESS);
    expect(world.sentOf(customer)).toHaveLength(300);
  });

  /** Every answer that would contain this record fails. */
  function poisoned(s: SimStream, id: string): void {
    const ask = s.ask.bind(s);
    s.ask = async (question, signal) => {
      const page = await ask(question, signal);
      const rows: PageRecord[] = [];
      for await (const batch of page.batches) rows.push(...batch);
      if (rows.some((r) => r.readable && r.id === id)) throw serviceError();
      return {
        ...page,
        batches: (async function* () {
          yield rows;
        })(),
      };
    };
  }

  test("one poisonous record is named in an event and everything around it is delivered", async () => {
    const { world, stream, customer } = await running((s) => {
      s.add(...alerts(30, T0 - HOUR, T0 - MINUTE));
      poisoned(s, "alert-12");
    });
    await world.clock.advance(10 * MINUTE);
    const ids = new Set(world.sentOf(customer).map((s) => s.id));
    expect(ids.size).toBe(29);
    expect(ids.has(stream.versions[12]!.id)).toBe(false);
    expect(
      world.sink.healths.some(
        (h) =>
          h.streams[0]?.failure === "record-quarantined" &&
          h.streams[0].say?.includes(formatInstant(stream.versions[13]!.updated)),
      ),
    ).toBe(true);
    expect(judge(stream, world.sentOf(customer)).duplicated).toEqual([]);
  });

  test("a poisonous record that many polls meet is reported once", async () => {
    const { world, customer } = await running((s) => {
      s.add(...alerts(30, T0 - HOUR, T0 - MINUTE));
      s.add(late("new", T0 + 5 * MINUTE, T0 + 6 * MINUTE));
      poisoned(s, "alert-28");
    });
    await world.clock.advance(40 * MINUTE);
    expect(world.sink.healths.filter((h) => h.streams[0]?.failure === "record-quarantined")).toHaveLength(1);
    expect(new Set(world.sentOf(customer).map((s) => s.id)).size).toBe(30);
  });

  test("a service that does not answer at all gets no further requests", async () => {
    const { world, stream } = await running((s) => {
      s.add(...alerts(30, T0 - HOUR, T0 - MINUTE));
      s.fault = () => serviceError();
    });
    await world.clock.advance(2 * HOUR);
    expect(stream.questions.length).toBeLessThan(12 * 7);
    expect(world.sink.healths.at(-1)?.streams[0]).toMatchObject({
      state: "failing",
      failure: "service-error",
      actor: "microsoft",
    });
  });
});

test("P17 a burst, a 500 for ever, a throttled and a signed-out customer do not delay the others", async () => {
  const world = new World();
  world.concurrency = 4;
  const failing: ((s: SimStream) => void)[] = [
    (s) => s.add(...alerts(15_000, T0 - HOUR, T0 - MINUTE, "burst")),
    (s) => (s.fault = () => serviceError()),
    (s) => (s.fault = () => throttledUntil(world.clock.now + 30_000)),
    (s) =>
      (s.fault = () =>
        new Failure("consent-missing", {
          actor: "customer",
          area: "sign-in",
          retry: { when: "never" },
          say: "No consent.",
        })),
  ];
  for (const [i, failureText] of failing.entries()) {
    const stream = new SimStream(world.clock, { budgetKey: `t${i}` });
    stream.answerTakesMs = 200;
    failureText(stream);
    world.customer(stream);
  }
  const healthy = Array.from({ length: 20 }, (_, i) => {
    const stream = new SimStream(world.clock, { budgetKey: `h${i}` });
    stream.answerTakesMs = 200;
    for (let k = 0; k < 10; k++) stream.add(late(`a${k}`, T0 + k * MINUTE, T0 + k * MINUTE));
    return { stream, customer: world.customer(stream) };
  });
  await world.start();
  await world.clock.advance(12 * MINUTE);
  for (const { customer } of healthy) {
    const sent = world.sentOf(customer);
    expect(sent).toHaveLength(10);
    for (const s of sent) expect(s.atMs - (T0 + Number(s.id.slice(1)) * MINUTE)).toBeLessThanOrEqual(MINUTE + 4_000);
  }
});

test("P17 customers whose service hangs do not use up the slots of the others", async () => {
  const world = new World();
  world.concurrency = 4;
  for (let i = 0; i < 12; i++) {
    const stream = new SimStream(world.clock, { budgetKey: `hanging${i}` });
    stream.answerTakesMs = 60_000;
    stream.fault = () => serviceError();
    world.customer(stream);
  }
  const healthy = Array.from({ length: 20 }, (_, i) => {
    const stream = new SimStream(world.clock, { budgetKey: `h${i}` });
    stream.answerTakesMs = 100;
    for (let k = 0; k < 20; k++) stream.add(late(`a${k}`, T0 + k * MINUTE, T0 + k * MINUTE));
    return world.customer(stream);
  });
  await world.start();
  await world.clock.advance(22 * MINUTE);
  for (const customer of healthy) {
    const sent = world.sentOf(customer);
    expect(sent).toHaveLength(20);
    // The first attempts of all twelve come at once, before they count as failing. Afterwards they share the
    // smaller limiter for failing customers.
    for (const s of sent) expect(s.atMs - (T0 + Number(s.id.slice(1)) * MINUTE)).toBeLessThanOrEqual(MINUTE + 10_000);
  }
});

test("P18 each stream has its own checkpoint", async () => {
  const world = new World();
  const one = new SimStream(world.clock, { name: "alerts", budgetKey: "a" });
  const two = new SimStream(world.clock, { name: "incidents", budgetKey: "b" });
  one.add(...alerts(5, T0 - HOUR, T0 - MINUTE));
  two.add(...alerts(5, T0 - 72 * HOUR, T0 - 48 * HOUR, "incident"));
  two.fault = () => (world.clock.now < T0 + 3 * HOUR ? serviceError() : undefined);
  const customer = world.customer(one, { sources: [one, two] });
  await world.start();
  await world.clock.advance(HOUR);
  await world.stop();
  await world.start();
  await world.clock.advance(3 * HOUR);
  expect(world.sentOf(customer)).toHaveLength(10);
});

test("P23 events carry the configured tenant, and a payload that names another is delivered and reported", async () => {
  const { world, customer } = await running((s) =>
    s.add({ ...late("a", T0 - MINUTE, 0), payloadTenantId: "99999999-2222-4333-8444-555555555555" }),
  );
  await world.clock.advance(2 * MINUTE);
  expect(world.sentOf(customer)[0]?.key.startsWith(customer.tenant.id)).toBe(true);
  expect(world.sink.healths.filter((h) => h.streams[0]?.failure === "tenant-mismatch")).toHaveLength(1);
});

describe("P24 silence is visible", () => {
  test("a healthy customer sends a health event at its first walk and every hour, with counts", async () => {
    const { world } = await running((s) => s.add(...alerts(3, T0 - HOUR, T0 - MINUTE)));
    await world.clock.advance(3 * HOUR + 5 * MINUTE);
    expect(world.sink.healths.map((h) => h.streams[0]?.state)).toEqual(["ok", "ok", "ok", "ok"]);
    expect(world.sink.healths[0]?.streams[0]).toMatchObject({ new: 3, failure: null });
    expect(world.sink.healths[1]?.streams[0]).toMatchObject({ new: 0 });
  });

  test("a failing sign-in is an event that names who must act, at once and then hourly while it lasts, and its end is one too", async () => {
    const { world, stream } = await running((s) => {
      s.fault = () =>
        new Failure("consent-missing", {
          actor: "customer",
          area: "sign-in",
          retry: { when: "never" },
          say: "Contoso has not consented.",
          nextStep: "Send the link.",
        });
    });
    await world.clock.advance(MINUTE);
    expect(world.sink.healths[0]?.streams[0]).toMatchObject({
      state: "awaiting-consent",
      actor: "customer",
      next_step: "Send the link.",
      failure: "consent-missing",
    });
    await world.clock.advance(130 * MINUTE);
    stream.fault = undefined;
    await world.clock.advance(20 * MINUTE);
    expect(world.sink.healths.at(-1)?.streams[0]).toMatchObject({ state: "ok", failure: null });
    expect(world.sink.healths.length).toBeGreaterThanOrEqual(4);
  });
});

test("P25 a lost state re-reads the configured time back, with the keys it had before", async () => {
  const { world, stream, customer } = await running((s) =>
    s.add(
      ...alerts(40, T0 - 6 * 24 * HOUR, T0 - MINUTE),
      ...alerts(5, T0 - 20 * 24 * HOUR, T0 - 8 * 24 * HOUR, "ancient"),
    ),
  );
  await world.clock.advance(2 * MINUTE);
  const keys = world.sentOf(customer).map((s) => s.key);
  await world.stop();
  world.state.streams.clear();
  world.sink.sent.length = 0;
  await world.start();
  await world.clock.advance(2 * MINUTE);
  expect(world.sentOf(customer).map((s) => s.key)).toEqual(keys);
  expect(keys).toHaveLength(40);
  expect(stream.questions.every((q) => q.from === undefined || q.from >= ticks(T0 - 7 * 24 * HOUR))).toBe(true);
});

test("P26 an answer without records makes no event", async () => {
  const { world } = await running();
  await world.clock.advance(3 * HOUR);
  expect(world.sink.sent).toEqual([]);
});

test("P27 a next link to another host is not followed, is reported, and nothing is lost", async () => {
  const { world, stream, verdict } = await running(
    (s) => {
      s.linkHost = "https://elsewhere.example";
      s.add(...alerts(95, T0 - HOUR, T0 - MINUTE));
    },
    { ...EASY, order: "descending", links: true, clamp: 10, pageTop: 10 },
  );
  await world.clock.advance(10 * MINUTE);
  expect(verdict()).toEqual(FLAWLESS);
  expect(stream.questions.every((q) => q.link === undefined)).toBe(true);
  expect(
    world.sink.healths.some(
      (h) => h.streams[0]?.failure === "link-elsewhere" && h.streams[0].say?.includes("elsewhere.example"),
    ),
  ).toBe(true);
});

describe("an empty walk moves the checkpoint, but never past the service's now less the overlap", () => {
  test("a row that appears 29 minutes late after hours of silence is found by a poll", async () => {
    const { world, customer } = await running((s) =>
      s.add(late("a", T0 - 6 * HOUR, 0), late("late", T0 + 3 * HOUR, T0 + 3 * HOUR + 29 * MINUTE)),
    );
    await world.clock.advance(4 * HOUR);
    expect(world.sentOf(customer).map((s) => [s.id, s.found])).toContainEqual(["late", "poll"]);
  });

  test("an idle customer does not request its first day again and again", async () => {
    const { world, stream } = await running((s) => s.add(late("a", T0 - 6 * HOUR, 0)));
    await world.clock.advance(5 * HOUR);
    const farBack = stream.questions.slice(-50).filter((q) => (q.from as bigint) < ticks(T0 + 3 * HOUR));
    expect(farBack.length).toBeLessThanOrEqual(2);
  });

  test("it follows the service's clock, not this machine's", async () => {
    const { world, customer } = await running((s, w) => {
      w.clock.wallOffsetMs = 3 * HOUR;
      s.add(late("a", T0 - MINUTE, 0), late("b", T0 + 20 * MINUTE, T0 + 21 * MINUTE));
    });
    await world.clock.advance(30 * MINUTE);
    expect(world.sentOf(customer).map((s) => s.id)).toEqual(["a", "b"]);
  });
});

test("a record dated in the far future is delivered and hides nothing that comes after it", async () => {
  const { world, stream, verdict } = await running((s) =>
    s.add(late("future", Date.UTC(2199, 0, 1), 0), ...alerts(20, T0 - HOUR, T0 - MINUTE)),
  );
  await world.clock.advance(5 * MINUTE);
  for (let i = 1; i <= 5; i++) stream.add(late(`after-${i}`, T0 + (5 + i) * MINUTE, T0 + (5 + i) * MINUTE));
  await world.clock.advance(30 * MINUTE);
  expect(verdict()).toEqual(FLAWLESS);
});

test("a record without id is reported with length and hash, and the others go on", async () => {
  const { world, customer } = await running((s) => {
    s.extra = [{ readable: false, reason: "no-id", byteLength: 77, sha256: "ab".repeat(32) }];
    s.add(late("a", T0 - MINUTE, 0));
  });
  await world.clock.advance(2 * MINUTE);
  expect(world.sentOf(customer).map((s) => s.id)).toEqual(["a"]);
  const said = world.sink.healths.find((h) => h.streams[0]?.failure === "record-quarantined")?.streams[0]?.say;
  expect(said).toContain("77 bytes");
  expect(said).toContain("abab");
});

test("a record that cannot be delivered is reported once for each content, however often it is met", async () => {
  const bad = { readable: false, reason: "no-id", byteLength: 77 } as const;
  const { world, stream } = await running();
  const ask = stream.ask.bind(stream);
  let content = "ab";
  stream.ask = (question, signal) => {
    stream.extra = [{ ...bad, sha256: content.repeat(32) }];
    return ask(question, signal);
  };
  await world.clock.advance(20 * MINUTE);
  content = "cd";
  await world.clock.advance(20 * MINUTE);
  const said = world.sink.healths.map((h) => h.streams[0]!).filter((s) => s.failure === "record-quarantined");
  expect(said.map((s) => /SHA-256 (..)/.exec(s.say ?? "")?.[1])).toEqual(["ab", "cd"]);
});
