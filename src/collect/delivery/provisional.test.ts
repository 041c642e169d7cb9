import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { PROVISIONAL_FOR_MS } from "../../model/provisional.ts";
import { objectHash } from "./ledger.ts";
import { Provisional, ProvisionalOwner, provisionalAtEnd } from "./provisional.ts";

const entry = (writtenAtS: number, byteLength = 100) => ({ writtenAtS, byteLength });

describe("what was provisional when the process ended", () => {
  test.each([
    ["all of the last hour when it is small", [[entry(1000), entry(2000)]], 10_000, [2]],
    [
      "nothing older than an hour before the last write",
      [[entry(1000), entry(1001 + PROVISIONAL_FOR_MS / 1000)]],
      10_000,
      [1],
    ],
    ["the newest bytes only", [[entry(1), entry(2), entry(3), entry(4)]], 250, [3]],
    ["the newest bytes of one second too", [[entry(9), entry(9), entry(9), entry(9)]], 250, [3]],
    ["over several journals, newest first", [[entry(1), entry(5)], [entry(2), entry(6)], []], 150, [1, 1, 0]],
    [
      "each journal's newest within the last second",
      [
        [entry(9), entry(9)],
        [entry(9), entry(9)],
      ],
      150,
      [2, 2],
    ],
    ["one entry larger than the window", [[entry(1), entry(2, 5_000)]], 150, [1]],
  ])("%s", (_name, lists, maxBytes, wanted) => {
    expect(provisionalAtEnd(lists, maxBytes)).toEqual(wanted);
  });
});

test("a stream's oldest provisional instant is the smallest of those still in the window (property)", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.record({ at: fc.bigInt({ min: 0n, max: 50n }) }), fc.constant("settle" as const)), {
        maxLength: 60,
      }),
      (steps) => {
        const owner = new ProvisionalOwner();
        const model: bigint[] = [];
        for (const step of steps) {
          if (step === "settle") {
            if (model.length === 0) continue;
            model.shift();
            owner.settleOne();
          } else {
            model.push(step.at);
            owner.add(step.at);
          }
          expect(owner.oldest).toBe(model.length === 0 ? undefined : model.reduce((a, b) => (a < b ? a : b)));
        }
      },
    ),
  );
});

test("the newest item stays provisional even when it alone is larger than the window", () => {
  const clock = new FakeClock();
  const window = new Provisional(clock, 1_000);
  const owner = new ProvisionalOwner();
  window.add(owner, { hash: objectHash("alert", "a"), updated: 1n, askFrom: 1n, byteLength: 500 });
  window.add(owner, { hash: objectHash("alert", "b"), updated: 2n, askFrom: 2n, byteLength: 5_000 });
  expect(window.all().map((v) => v.updated)).toEqual([2n]);
  clock.now += PROVISIONAL_FOR_MS + 1;
  expect(window.all()).toEqual([]);
  expect(owner.oldest).toBeUndefined();
});

test("the window holds the newest versions with all that is known of them, in the order written (property)", () => {
  const owners = [new ProvisionalOwner(), new ProvisionalOwner()];
  const ticks = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const version = fc.record({
    owner: fc.constantFrom(...owners),
    hash: fc.tuple(fc.integer(), fc.integer(), fc.integer(), fc.integer()),
    updated: ticks,
    askFrom: ticks,
    // A large one pushes out many at once.
    byteLength: fc.oneof(
      { weight: 30, arbitrary: fc.integer({ min: 1, max: 10 }) },
      { weight: 1, arbitrary: fc.constant(900) },
    ),
  });
  fc.assert(
    fc.property(fc.array(version, { maxLength: 400, size: "max" }), (versions) => {
      const window = new Provisional(new FakeClock(), 1_000);
      let model: typeof versions = [];
      for (const one of versions) {
        const { owner, ...written } = one;
        window.add(owner, written);
        model.push(one);
        while (model.reduce((sum, { byteLength }) => sum + byteLength, 0) > 1_000) model = model.slice(1);
      }
      expect(window.all()).toEqual(
        model.map(({ owner, hash, updated, askFrom }) => ({ owner, hash, updated, askFrom })),
      );
    }),
  );
});
