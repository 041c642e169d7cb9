import { crc32 } from "node:zlib";
import { expect, test } from "@jest/globals";
import type { Checkpoint } from "../../model/state.ts";
import { decodeCheckpoint, encodeCheckpoint } from "./checkpoint-file.ts";

const CHECKPOINT: Checkpoint = {
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

test("every member of a checkpoint comes back as it was saved", () => {
  expect(decodeCheckpoint(encodeCheckpoint(CHECKPOINT))).toEqual({ kind: "checkpoint", checkpoint: CHECKPOINT });
});

test("a checkpoint with only the required members comes back with only these", () => {
  const { version, start, nextPollAtMs, nextSweepAtMs, pollsSinceFullReach } = CHECKPOINT;
  const least: Checkpoint = { version, start, nextPollAtMs, nextSweepAtMs, pollsSinceFullReach };
  expect(decodeCheckpoint(encodeCheckpoint(least))).toEqual({ kind: "checkpoint", checkpoint: least });
});

test("a checkpoint file without the last full lookback and the last sweep, as an older release wrote it, is read", () => {
  const text =
    '{"upTo":"638000000000000010","start":"7","nextPollAtMs":4,"nextSweepAtMs":5,"pollsSinceFullReach":6,"walkCompletedAtMs":8}';
  const { reachedUpTo: _, sweptUpTo: _swept, walk: _walk, queries: _queries, ...older } = CHECKPOINT;
  expect(decodeCheckpoint(`{"version":1,"crc32":${crc32(text)},"mark":${text}}\n`)).toEqual({
    kind: "checkpoint",
    checkpoint: older,
  });
});
