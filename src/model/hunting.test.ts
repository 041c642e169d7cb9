import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { type HuntingQuery, halvesOf, planPass } from "./hunting.ts";
import { formatInstant, parseInstant, type Ticks } from "./instant.ts";

const at = (text: string): Ticks => parseInstant(text) as Ticks;
const ms = (text: string): number => Date.parse(text);
const query = (everyMinutes: number, windowMinutes = everyMinutes, delayMinutes = 5): HuntingQuery => ({
  name: "q",
  kql: "DeviceInfo",
  everyMinutes,
  windowMinutes,
  delayMinutes,
});

function reported(planned: ReturnType<typeof planPass>): readonly string[] {
  const { window, untimedAt, skipped } = planned.pass;
  const times = [
    window.from,
    window.to,
    ...(untimedAt === window.to ? [] : [untimedAt]),
    ...(skipped ? [skipped.from, skipped.to] : []),
  ];
  return [
    ...times.map((tick) => formatInstant(tick).slice(0, 16)),
    `due ${new Date(planned.dueAtMs).toISOString().slice(0, 16)}`,
  ];
}

describe("the next window of a query", () => {
  test.each<[string, HuntingQuery, string | undefined, string, readonly string[]]>([
    [
      "the first run takes the hour that ended last",
      query(60),
      undefined,
      "2026-11-24T16:20:00Z",
      ["2026-11-24T15:00", "2026-11-24T16:00", "due 2026-11-24T16:05"],
    ],
    [
      "but not before its delay is over",
      query(60),
      undefined,
      "2026-11-24T16:04:59Z",
      ["2026-11-24T14:00", "2026-11-24T15:00", "due 2026-11-24T15:05"],
    ],
    [
      "then the hour after, when it is over",
      query(60),
      "2026-11-24T16:00:00Z",
      "2026-11-24T16:20:00Z",
      ["2026-11-24T16:00", "2026-11-24T17:00", "due 2026-11-24T17:05"],
    ],
    [
      "a longer window looks back",
      query(15, 60),
      "2026-11-24T16:00:00Z",
      "2026-11-24T16:20:00Z",
      ["2026-11-24T15:15", "2026-11-24T16:15", "due 2026-11-24T16:20"],
    ],
    [
      "after a stop each missed window comes",
      query(60),
      "2026-11-24T03:00:00Z",
      "2026-11-24T16:20:00Z",
      ["2026-11-24T03:00", "2026-11-24T04:00", "due 2026-11-24T04:05"],
    ],
    [
      "an interval that became longer leaves no gap",
      query(60),
      "2026-11-24T16:15:00Z",
      "2026-11-24T16:20:00Z",
      ["2026-11-24T16:15", "2026-11-24T17:00", "due 2026-11-24T17:05"],
    ],
    [
      "what hunting no longer keeps is skipped and said",
      query(60),
      "2026-10-01T00:00:00Z",
      "2026-11-24T16:20:00Z",
      ["2026-10-25T17:00", "2026-10-25T18:00", "2026-10-01T00:00", "2026-10-25T17:00", "due 2026-10-25T18:05"],
    ],
  ])("%s", (_, wanted, done, now, expected) => {
    expect(reported(planPass(wanted, done === undefined ? undefined : at(done), ms(now)))).toEqual(expected);
  });

  test("windows neither overlap nor gap, whenever we look and however often we restart", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_080 }),
        fc.integer({ min: 0, max: 600 }),
        fc.array(fc.integer({ min: 0, max: 50 * 3_600_000 }), { minLength: 1, maxLength: 30 }),
        (every, delay, waits) => {
          let now = ms("2026-11-24T00:00:00Z");
          let done: Ticks | undefined;
          for (const wait of waits) {
            now += wait;
            for (;;) {
              const planned = planPass(query(every, every, delay), done, now);
              if (planned.dueAtMs > now) break;
              const { window, skipped } = planned.pass;
              expect(skipped).toBeUndefined();
              expect(window.from).toBe(done ?? window.from);
              expect(window.to).toBeGreaterThan(window.from);
              done = window.to;
            }
            // Nothing whose time has come is left.
            expect(done).toBeDefined();
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("a window that holds too much is cut in two", () => {
  const { pass } = planPass(query(60), at("2026-11-24T16:00:00Z"), ms("2026-11-24T17:05:00Z"));

  test("the halves are the whole, and untimed rows keep their instant", () => {
    const [first, second] = halvesOf(pass)!;
    expect([first.window.from, second.window.to]).toEqual([pass.window.from, pass.window.to]);
    expect(first.window.to).toBe(second.window.from);
    expect([first.untimedAt, second.untimedAt]).toEqual([pass.untimedAt, pass.untimedAt]);
  });

  test("down to a second", () => {
    let pieces = 0;
    for (let part = halvesOf(pass); part; part = halvesOf(part[0])) pieces += 1;
    expect(pieces).toBe(11);
  });
});
