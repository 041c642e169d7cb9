import { expect, test } from "@jest/globals";
import { HOUR, MINUTE, SimStream, World } from "../../test/harness/collect/world.ts";
import { Failure } from "../model/failure.ts";

const failure = new Failure("discovery-forbidden", { actor: "operator", retry: { when: "later" }, say: "No." });

/** One customer, which fails from `failsAtMs` on. */
function customer(world: World, failsAtMs: number): string {
  const stream = new SimStream(world.clock);
  stream.fault = () => (world.clock.monotonicMs() >= failsAtMs ? failure : undefined);
  return world.customer(stream, { settings: { pollSeconds: 300, overlapMinutes: 30, sweepHours: 0 } }).tenant.name;
}

/** Each has a state that lasts from `beginMs` on, and returns the name that its health events have. */
const LASTING: readonly (readonly [string, (world: World, beginMs: number) => string])[] = [
  [
    "a customer that is refused as a whole",
    (world, beginMs) => {
      const begin = () => world.scheduler.refuse({ stanza: "refused", tenant: { id: "", name: "Refused" }, failure });
      void world.clock.pause(beginMs).then(begin);
      return "Refused";
    },
  ],
  [
    "what is not a customer",
    (world, beginMs) => {
      const begin = () => world.scheduler.healthOf({ name: "list of customers", id: "" }).be("failing", failure);
      void world.clock.pause(beginMs).then(begin);
      return "list of customers";
    },
  ],
  ["a customer whose stream fails", customer],
  ["a customer that is well", (world) => customer(world, Number.POSITIVE_INFINITY)],
];

// From the start, between two looks of the scheduler, at a look, and a thousandth of a second beside one.
const BEGINNINGS_MS = [0, 5_000, 49_999, 50_000, 50_001, 59_999, 60_000, 60_001, 90_000, 3_599_999];

test.each(LASTING)("%s has a health event every hour, at most a minute late, whenever that began", async (_, of) => {
  for (const beginMs of BEGINNINGS_MS) {
    const world = new World();
    const name = of(world, beginMs);
    await world.start();
    await world.clock.advance(beginMs + 5 * HOUR);
    const said = world.sink.healths.filter(({ tenant }) => tenant === name).map(({ time }) => Date.parse(time));
    const gapsMs = said.slice(1).map((at, n) => at - said[n]!);
    // In the first hour the state changes.
    expect(gapsMs.filter((ms) => ms >= HOUR).length).toBeGreaterThanOrEqual(4);
    expect(gapsMs.filter((ms) => ms > HOUR + MINUTE).map((ms) => ({ beginMs, ms }))).toEqual([]);
    await world.stop();
  }
});
