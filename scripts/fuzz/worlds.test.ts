import { describe, expect, test } from "@jest/globals";
import { liveThrough } from "../../test/harness/collect/random-world.ts";
import { savedWorlds } from "./worlds.ts";

/**
 * Those of the first twenty that take less than a second: an unsorted list in pages of five takes a minute.
 */
const NARROW = [1, 2, 3, 4, 5, 9, 11, 13, 14, 16, 18, 19, 20];
const WIDE = [1, 4];

describe("whatever fails, every version that the service showed arrives once and in order", () => {
  test.each(savedWorlds().map((saved) => [saved.seed, saved.breadth, saved.found] as const))(
    "in the world of seed %i (%s), where the engine once had: %s",
    async (seed, breadth) => {
      expect((await liveThrough(seed, breadth)).faults).toEqual([]);
    },
  );
  test.each(NARROW)("in the world of seed %i, of one stream", async (seed) => {
    expect((await liveThrough(seed, "narrow")).faults).toEqual([]);
  });
  test.each(WIDE)("in the world of seed %i, of several customers and streams", async (seed) => {
    expect((await liveThrough(seed, "wide")).faults).toEqual([]);
  });
});
