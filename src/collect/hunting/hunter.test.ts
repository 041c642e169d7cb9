import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { HOUR, MINUTE, SimStream, serviceError, throttledUntil, World } from "../../../test/harness/collect/world.ts";
import { type FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { Failure } from "../../model/failure.ts";
import type { HuntingPage, HuntingPass, HuntingQuery, HuntingSource } from "../../model/hunting.ts";
import { formatInstant, type Ticks, ticksFromMs } from "../../model/instant.ts";
import type { PageRecord } from "../../model/record.ts";
import type { Customer } from "../scheduler.ts";

interface Row {
  readonly query: string;
  readonly at: number;
  readonly visibleAtMs?: number;
  readonly text: string;
  /** A summary's row: it has no time and is in every window. */
  readonly untimed?: true;
}

/** Simulates Microsoft's hunting API: rows by time, both ends of a Timespan inclusive, a row limit. */
class SimHunting implements HuntingSource {
  readonly name = "hunting";
  readonly budgetKey = "app|tenant|hunting";
  limits = { perMinute: 45 };
  readonly queries: readonly HuntingQuery[];
  readonly rows: Row[] = [];
  readonly asked: HuntingPass[] = [];
  rowsMost = 100_000;
  problem?: Failure;
  serverOffsetMs = 0;
  takesMs = 0;
  fault: ((pass: HuntingPass, n: number) => Failure | undefined) | undefined;
  breaksAfter: number | undefined;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock, ...queries: (Partial<HuntingQuery> & { readonly name: string })[]) {
    this.#clock = clock;
    this.queries = queries.map((query) => ({
      kql: "T",
      everyMinutes: 60,
      windowMinutes: query.everyMinutes ?? 60,
      delayMinutes: 5,
      ...query,
    }));
  }

  async hunt(pass: HuntingPass, signal: AbortSignal): Promise<HuntingPage> {
    this.asked.push(pass);
    if (this.takesMs > 0) await this.#clock.pause(this.takesMs, signal);
    if (signal.aborted) throw new Failure("stopped", { actor: "us", retry: { when: "never" }, say: "Stopped." });
    const failure = this.fault?.(pass, this.asked.length);
    if (failure) throw failure;
    const { from, to } = pass.window;
    const found = this.rows.filter((row) => {
      if (row.query !== pass.query.name || (row.visibleAtMs ?? 0) > this.#clock.now) return false;
      return row.untimed === true || (ticksFromMs(row.at) >= from && ticksFromMs(row.at) <= to - 1n);
    });
    const shown = found.slice(0, this.rowsMost);
    const { breaksAfter } = this;
    this.breaksAfter = undefined;
    return {
      serverNowMs: this.#clock.now + this.serverOffsetMs,
      batches: (async function* () {
        for (const [i, row] of shown.entries()) {
          if (i === breaksAfter)
            throw new Failure("connection-reset", { actor: "microsoft", retry: { when: "soon" }, say: "Reset." });
          yield [recordOf(row, pass)];
        }
      })(),
      end: () => ({
        rowCount: shown.length,
        untimedCount: shown.filter((row) => row.untimed).length,
        columns: [],
        isCut: shown.length >= this.rowsMost,
      }),
    };
  }
}

function recordOf(row: Row, pass: HuntingPass): PageRecord {
  const bytes = new TextEncoder().encode(
    JSON.stringify(row.untimed ? { n: row.text } : { Timestamp: new Date(row.at).toISOString(), n: row.text }),
  );
  const updated: Ticks = row.untimed ? pass.untimedAt : ticksFromMs(row.at);
  return {
    readable: true,
    kind: "row",
    id: `${row.query}/${createHash("sha256").update(bytes).digest("hex")}`,
    updated,
    service: row.query,
    body: {
      bytes,
      start: 0,
      end: bytes.length,
      members: new Int32Array(0),
      firstMember: 0,
      memberCount: 0,
      escapes: new Int32Array(0),
      firstEscape: 0,
      escapeCount: 0,
    },
  };
}

const rowsEvery = (query: string, minutes: number, fromMs: number, toMs: number): Row[] =>
  Array.from({ length: Math.ceil((toMs - fromMs) / (minutes * MINUTE)) }, (_, i) => ({
    query,
    at: fromMs + i * minutes * MINUTE,
    text: `${i}`,
  }));

function given(...queries: (Partial<HuntingQuery> & { readonly name: string })[]) {
  const world = new World();
  const hunting = new SimHunting(world.clock, ...queries);
  const customer = world.customer(new SimStream(world.clock), { sources: [], hunting });
  return { world, hunting, customer };
}

const windows = (hunting: SimHunting): string[] =>
  hunting.asked.map(
    ({ query, window }) =>
      `${query.name} ${formatInstant(window.from).slice(11, 19)}-${formatInstant(window.to).slice(11, 19)}`,
  );

const failuresOf = (world: World): string[] => [
  ...new Set(
    world.sink.healths.flatMap(({ streams }) => streams.map(({ failure }) => failure)).filter((code) => code !== null),
  ),
];

const keysOf = (world: World, customer: Customer): string[] => world.sentOf(customer).map(({ key }) => key);

describe("windows on their schedule", () => {
  test("each is read once and each row is sent once, despite restarts", async () => {
    const { world, hunting, customer } = given({ name: "a" }, { name: "b", everyMinutes: 30 });
    hunting.rows.push(...rowsEvery("a", 7, T0 - HOUR, T0 + 6 * HOUR), ...rowsEvery("b", 1, T0 - HOUR, T0 + 6 * HOUR));
    await world.start();
    for (let i = 0; i < 6; i += 1) {
      await world.clock.advance(61 * MINUTE);
      await world.stop();
      await world.clock.advance(3 * MINUTE);
      await world.start();
    }
    await world.clock.advance(6 * MINUTE);

    const asked = windows(hunting);
    expect(asked).toEqual([...new Set(asked)]);
    expect(asked.slice(0, 4)).toEqual([
      "a 10:00:00-11:00:00",
      "b 11:00:00-11:30:00",
      "a 11:00:00-12:00:00",
      "b 11:30:00-12:00:00",
    ]);
    const keys = keysOf(world, customer);
    expect(new Set(keys).size).toBe(keys.length);
    // All rows between the first window's begin and the last one's end.
    const last = (name: string): Ticks => hunting.asked.filter(({ query }) => query.name === name).at(-1)!.window.to;
    const due = hunting.rows.filter((row) => row.at >= T0 - HOUR && ticksFromMs(row.at) < last(row.query));
    expect(keys.length).toBe(due.length);
    expect(world.sink.healths.flatMap(({ streams }) => streams).every(({ failure }) => failure === null)).toBe(true);
  });

  test("a longer window finds late rows and does not send the known ones a second time", async () => {
    const { world, hunting, customer } = given({ name: "a", everyMinutes: 15, windowMinutes: 60 });
    hunting.rows.push(
      { query: "a", at: T0 + MINUTE, text: "on time" },
      { query: "a", at: T0 + 2 * MINUTE, text: "late", visibleAtMs: T0 + 30 * MINUTE },
    );
    await world.start();
    await world.clock.advance(2 * HOUR);
    expect(world.sentOf(customer).map(({ found }) => found)).toEqual(["poll", "poll"]);
  });

  test("windows missed during a stop are read one by one afterwards", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rows.push(...rowsEvery("a", 10, T0 - HOUR, T0 + 10 * HOUR));
    await world.start();
    await world.clock.advance(6 * MINUTE);
    await world.stop();
    await world.clock.advance(8 * HOUR);
    await world.start();
    await world.clock.advance(MINUTE);
    expect(windows(hunting)).toHaveLength(10);
    expect(keysOf(world, customer)).toHaveLength(6 * 9);
  });

  test("a clock that is ahead does not complete a window before it is due", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rows.push(
      ...rowsEvery("a", 10, T0 - HOUR, T0 + 3 * HOUR).map((row) => ({ ...row, visibleAtMs: row.at + 3 * MINUTE })),
    );
    world.clock.wallOffsetMs = 95 * MINUTE;
    await world.start();
    await world.clock.advance(3 * HOUR + 6 * MINUTE);
    const times = world.sentOf(customer).map(({ updated }) => updated);
    expect(times).toEqual(hunting.rows.filter((row) => row.at >= T0).map((row) => ticksFromMs(row.at)));
  });
});

describe("a crash neither loses nor repeats a row", () => {
  test.each([1, 2, 3, 5, 8])("in the middle of window %i", async (n) => {
    const { world, hunting, customer } = given({ name: "a", everyMinutes: 5 });
    hunting.rows.push(...rowsEvery("a", 1, T0 - HOUR, T0 + 3 * HOUR));
    await world.start();
    await world.clock.advance((n * 5 + 1) * MINUTE);
    await world.kill();
    await world.clock.advance(4 * MINUTE);
    await world.start();
    await world.clock.advance(HOUR);

    const sent = world.sentOf(customer);
    const fresh = sent.filter(({ found }) => found !== "replay").map(({ key }) => key);
    expect(new Set(fresh).size).toBe(fresh.length);
    const to = hunting.asked.at(-1)!.window.to;
    const from = hunting.asked[0]!.window.from;
    const due = hunting.rows.filter((row) => ticksFromMs(row.at) >= from && ticksFromMs(row.at) < to).length;
    expect(new Set(sent.map(({ key }) => key)).size).toBe(due);
    // Written is not delivered: what was written before the crash is sent once more.
    expect(sent.length - fresh.length).toBeGreaterThan(0);
  });

  test("in the first window, long before the next start, leaves that window to be asked for", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rows.push(...rowsEvery("a", 10, T0 - 2 * HOUR, T0 + 4 * HOUR));
    hunting.takesMs = 2 * MINUTE;
    await world.start();
    await world.clock.advance(MINUTE);
    await world.kill();
    await world.clock.advance(3 * HOUR);
    hunting.takesMs = 0;
    await world.start();
    await world.clock.advance(6 * MINUTE);
    expect(world.sentOf(customer)).toHaveLength(6 * 5);
  });

  test("rows that could not be journalled because the disk was full are sent when there is room", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rows.push(...rowsEvery("a", 10, T0 - 2 * HOUR, T0));
    world.state.isFull = true;
    await world.start();
    await world.clock.advance(10 * MINUTE);
    expect(world.sentOf(customer)).toEqual([]);
    expect(failuresOf(world)).toContain("state-unwritable");
    world.state.isFull = false;
    await world.clock.advance(20 * MINUTE);
    expect(new Set(keysOf(world, customer)).size).toBe(hunting.rows.length);
  });

  test("rows that the output refused are sent when it takes them", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rows.push(...rowsEvery("a", 10, T0 - 2 * HOUR, T0));
    let broken = 2;
    world.sink.break = () =>
      broken-- > 0
        ? {
            arrives: 0,
            failure: new Failure("output-full", { actor: "operator", retry: { when: "later" }, say: "Full." }),
          }
        : undefined;
    await world.start();
    await world.clock.advance(4 * MINUTE);
    expect(world.sentOf(customer)).toHaveLength(6);
  });

  test("a broken connection brings the window back, with equal keys", async () => {
    const { world, hunting, customer } = given({ name: "a" }, { name: "b" });
    hunting.rows.push(...rowsEvery("a", 10, T0 - 2 * HOUR, T0));
    const scheduler = await world.start();
    await world.clock.advance(6 * MINUTE);
    const before = keysOf(world, customer);
    expect(scheduler.replayProvisional()).toBe(before.length);
    await world.clock.advance(2 * MINUTE);
    const again = world.sentOf(customer).slice(before.length);
    expect(again.map(({ key }) => key)).toEqual(before);
    expect(new Set(again.map(({ found }) => found))).toEqual(new Set(["replay"]));
    // The other query had nothing to send again.
    expect(windows(hunting).filter((text) => text.startsWith("b"))).toHaveLength(2);
  });

  test("a body that is interrupted is requested again, and hunting continues", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rows.push(...rowsEvery("a", 10, T0 - 2 * HOUR, T0));
    hunting.breaksAfter = 2;
    await world.start();
    await world.clock.advance(2 * MINUTE);
    expect(keysOf(world, customer)).toHaveLength(6);
    expect(new Set(keysOf(world, customer)).size).toBe(6);
  });
});

const refusedQuery = (): Failure =>
  new Failure("query-refused", {
    actor: "operator",
    retry: { when: "later" },
    say: "No such column.",
    nextStep: "Correct it.",
  });

describe("a query with failures", () => {
  test("does not stop the others, and is reported once", async () => {
    const { world, hunting, customer } = given({ name: "bad" }, { name: "good" });
    hunting.rows.push(...rowsEvery("good", 10, T0 - 2 * HOUR, T0 + 2 * HOUR));
    hunting.fault = ({ query }) => (query.name === "bad" ? refusedQuery() : undefined);
    await world.start();
    await world.clock.advance(2 * HOUR + 6 * MINUTE);
    expect(world.sentOf(customer)).toHaveLength(6 * 4);
    expect(failuresOf(world)).toEqual(["query-refused"]);
    expect(world.sink.healths.at(-1)?.streams[0]).toMatchObject({
      state: "failing",
      actor: "operator",
      say: "Query bad: No such column.",
    });
    // Growing pauses: 30 s, 1, 2, 4, 8 min, then every 15 minutes.
    expect(windows(hunting).filter((text) => text.startsWith("bad")).length).toBeLessThan(20);
  });

  test("continues where it was when it is fixed", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rows.push(...rowsEvery("a", 10, T0 - 2 * HOUR, T0 + 4 * HOUR));
    hunting.fault = () => (world.clock.now < T0 + 3 * HOUR ? refusedQuery() : undefined);
    await world.start();
    await world.clock.advance(3 * HOUR + 30 * MINUTE);
    expect(world.sentOf(customer)).toHaveLength(6 * 5);
    expect(world.sink.healths.at(-1)?.streams[0]).toMatchObject({ state: "ok", failure: null });
  });

  test("that has a mistake in the file is reported, and the others run", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.problem = new Failure("hunting-queries-wrong", {
      actor: "operator",
      retry: { when: "never" },
      say: "queries[1] is not an object.",
    });
    hunting.rows.push(...rowsEvery("a", 10, T0 - 2 * HOUR, T0));
    await world.start();
    await world.clock.advance(MINUTE);
    expect(world.sentOf(customer)).toHaveLength(6);
    expect(world.sink.healths.at(-1)?.streams[0]).toMatchObject({
      state: "failing",
      failure: "hunting-queries-wrong",
    });
  });

  test("that a mistake in the file hid for hours continues where it was", async () => {
    const { world, hunting, customer } = given({ name: "a" }, { name: "b" });
    hunting.rows.push(
      ...rowsEvery("a", 10, T0 - 2 * HOUR, T0 + 8 * HOUR),
      ...rowsEvery("b", 10, T0 - 2 * HOUR, T0 + 8 * HOUR),
    );
    await world.start();
    await world.clock.advance(10 * MINUTE);
    await world.stop();
    const both = hunting.queries;
    Object.assign(hunting, { queries: both.slice(1) });
    await world.start();
    await world.clock.advance(5 * HOUR);
    await world.stop();
    Object.assign(hunting, { queries: both });
    await world.start();
    await world.clock.advance(HOUR);
    expect(world.sentOf(customer).filter(({ id }) => id.startsWith("a/"))).toHaveLength(6 * 8);
    expect(world.sentOf(customer)).toHaveLength(2 * 6 * 8);
  });

  test("that is added later begins at its beginning, also with a name that every object answers to", async () => {
    const { world, hunting, customer } = given({ name: "a" }, { name: "constructor" });
    hunting.rows.push(...rowsEvery("constructor", 10, T0 - 2 * HOUR, T0 + 2 * HOUR));
    const both = hunting.queries;
    Object.assign(hunting, { queries: both.slice(0, 1) });
    await world.start();
    await world.clock.advance(10 * MINUTE);
    await world.stop();
    Object.assign(hunting, { queries: both });
    await world.start();
    await world.clock.advance(HOUR);
    expect(world.sentOf(customer)).toHaveLength(6 * 2);
    expect(world.sink.healths.at(-1)?.streams[0]).toMatchObject({ state: "ok", failure: null });
  });

  test("does not hide a mistake in the file", async () => {
    const { world, hunting } = given({ name: "bad" });
    hunting.problem = new Failure("hunting-queries-wrong", {
      actor: "operator",
      retry: { when: "never" },
      say: "queries[1] is not an object.",
    });
    hunting.fault = () => refusedQuery();
    await world.start();
    await world.clock.advance(2 * HOUR);
    expect(failuresOf(world)).toEqual(["hunting-queries-wrong", "query-refused"]);
  });

  test("a 500 is retried after 1, 2 and 4 s before the query waits", async () => {
    const { world, hunting } = given({ name: "a" });
    hunting.fault = () => serviceError();
    await world.start();
    await world.clock.advance(20_000);
    expect(hunting.asked).toHaveLength(4);
  });

  test("a 429 holds all of that customer's hunting for as long as it says", async () => {
    const { world, hunting, customer } = given({ name: "a" }, { name: "b" });
    hunting.rows.push({ query: "b", at: T0 - 90 * MINUTE, text: "x" });
    hunting.fault = (_, n) => (n === 1 ? throttledUntil(T0 + 15 * MINUTE) : undefined);
    await world.start();
    await world.clock.advance(14 * MINUTE);
    expect(hunting.asked).toHaveLength(1);
    await world.clock.advance(2 * MINUTE);
    expect(world.sentOf(customer)).toHaveLength(1);
  });
});

test("a window that came half and then fails for longer than rows are remembered sends none of them twice", async () => {
  const { world, hunting, customer } = given({ name: "q" });
  for (let i = 0; i < 1_500; i += 1) hunting.rows.push({ query: "q", at: T0 - 30 * MINUTE + i * 100, text: `${i}` });
  await world.start();
  await world.clock.advance(MINUTE);
  const asked = hunting.asked.length;
  hunting.breaksAfter = 1_400;
  hunting.fault = (_pass, n) => (n > asked + 1 && world.clock.now < T0 + 6 * HOUR ? serviceError() : undefined);
  await world.clock.advance(9 * MINUTE);
  expect(keysOf(world, customer)).toHaveLength(1_400);
  await world.clock.advance(3 * HOUR);
  await world.stop();
  await world.start();
  await world.clock.advance(10 * HOUR);
  expect(keysOf(world, customer)).toHaveLength(1_500);
  expect(new Set(keysOf(world, customer)).size).toBe(1_500);
});

describe("a window that holds more than an answer can", () => {
  test("is split until it fits, and every row comes once", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rowsMost = 10;
    hunting.rows.push(...rowsEvery("a", 1, T0 - 2 * HOUR, T0));
    await world.start();
    await world.clock.advance(2 * MINUTE);
    expect(new Set(keysOf(world, customer)).size).toBe(60);
    expect(keysOf(world, customer)).toHaveLength(60);
    expect(failuresOf(world)).toEqual(["hunting-split"]);
  });

  test("is split as well when the service refuses its size", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rows.push(...rowsEvery("a", 1, T0 - 2 * HOUR, T0));
    hunting.fault = ({ window }) =>
      window.to - window.from > ticksFromMs(20 * MINUTE)
        ? new Failure("query-too-large", { actor: "operator", retry: { when: "later" }, say: "Too large." })
        : undefined;
    await world.start();
    await world.clock.advance(2 * MINUTE);
    expect(keysOf(world, customer)).toHaveLength(60);
  });

  test("a summary is not split, since half of it is another summary; what is missing is reported", async () => {
    const { world, hunting, customer } = given({ name: "a" });
    hunting.rowsMost = 3;
    for (const text of ["x", "y", "z", "lost"]) hunting.rows.push({ query: "a", at: 0, text, untimed: true });
    await world.start();
    await world.clock.advance(2 * MINUTE);
    expect(hunting.asked).toHaveLength(1);
    expect(keysOf(world, customer)).toHaveLength(3);
    expect(failuresOf(world)).toEqual(["hunting-cut"]);
  });

  test("more rows than the limit in one second are reported, and the schedule continues", async () => {
    const { world, hunting } = given({ name: "a", everyMinutes: 1, windowMinutes: 1 });
    hunting.rowsMost = 5;
    for (let i = 0; i < 9; i += 1) hunting.rows.push({ query: "a", at: T0 - 5.5 * MINUTE, text: `${i}` });
    await world.start();
    await world.clock.advance(5 * MINUTE);
    expect(failuresOf(world)).toEqual(["hunting-split", "hunting-cut"]);
    expect(hunting.asked.at(-1)?.window.to).toBe(ticksFromMs(T0));
  });
});

test("equal rows of a summary are an event per window", async () => {
  const { world, hunting, customer } = given({ name: "a" });
  hunting.rows.push({ query: "a", at: 0, text: "same", untimed: true });
  await world.start();
  await world.clock.advance(3 * HOUR + 6 * MINUTE);
  expect(world.sentOf(customer).map(({ updated }) => formatInstant(updated).slice(11, 16))).toEqual([
    "11:00",
    "12:00",
    "13:00",
    "14:00",
    "15:00",
  ]);
});

test("a time range that hunting no longer keeps is reported as missing", async () => {
  const { world, hunting } = given({ name: "a", everyMinutes: 1_440, windowMinutes: 1_440 });
  await world.start();
  await world.clock.advance(6 * MINUTE);
  await world.stop();
  await world.clock.advance(40 * 24 * HOUR);
  await world.start();
  await world.clock.advance(2 * MINUTE);
  expect(failuresOf(world)).toEqual(["hunting-gap"]);
  expect(hunting.asked.length).toBeGreaterThan(25);
});
