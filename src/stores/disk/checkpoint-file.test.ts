import { crc32 } from "node:zlib";
import { expect, test } from "@jest/globals";
import type { Mark } from "../../model/state.ts";
import { decodeMark, encodeMark } from "./checkpoint-file.ts";

const MARK: Mark = {
  version: 1,
  upTo: 638_000_000_000_000_010n,
  reachedUpTo: 638_000_000_000_000_003n,
  sweptUpTo: 638_000_000_000_000_002n,
  start: 7n,
  walk: { from: 1n, cursor: 2n, startedAtMs: 3 },
  nextPollAtMs: 4,
  nextSweepAtMs: 5,
  pollsSinceFullReach: 6,
  walkCompletedAtMs: 8,
  queries: { a: 5n, b: -6n },
};

test("every member of a mark comes back as it was saved", () => {
  expect(decodeMark(encodeMark(MARK))).toEqual({ kind: "mark", mark: MARK });
});

test("a mark with nothing but what every mark has comes back without more", () => {
  const { version, start, nextPollAtMs, nextSweepAtMs, pollsSinceFullReach } = MARK;
  const least: Mark = { version, start, nextPollAtMs, nextSweepAtMs, pollsSinceFullReach };
  expect(decodeMark(encodeMark(least))).toEqual({ kind: "mark", mark: least });
});

test("the file of a release that did not save where the last full reach and the last sweep stood is read", () => {
  const text =
    '{"upTo":"638000000000000010","start":"7","nextPollAtMs":4,"nextSweepAtMs":5,"pollsSinceFullReach":6,"walkCompletedAtMs":8}';
  const { reachedUpTo: _, sweptUpTo: _swept, walk: _walk, queries: _queries, ...older } = MARK;
  expect(decodeMark(`{"version":1,"crc32":${crc32(text)},"mark":${text}}\n`)).toEqual({ kind: "mark", mark: older });
});
