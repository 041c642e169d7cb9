import { describe, expect, test } from "@jest/globals";
import { EVENING_MS, FakeClock } from "../../test/harness/fakes/clock.ts";
import type { FetchedPartition } from "./kafka-connection.ts";
import { CommittedReader, readAll } from "./kafka-writer.ts";

const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

type Batch = NonNullable<FetchedPartition["records"]>[number];

function batch(offset: number, producerId: bigint, value: string | undefined): Batch {
  const record = { length: 0, attributes: 0, timestampDelta: 0n, offsetDelta: 0, headers: [] };
  return {
    firstOffset: BigInt(offset),
    length: 0,
    partitionLeaderEpoch: 0,
    magic: 2,
    crc: 0,
    attributes: value === undefined ? TRANSACTIONAL | CONTROL : TRANSACTIONAL,
    lastOffsetDelta: 0,
    firstTimestamp: 0n,
    maxTimestamp: 0n,
    producerId,
    producerEpoch: 0,
    firstSequence: 0,
    records: [{ ...record, key: Buffer.from("k"), value: Buffer.from(value ?? "end") }],
  };
}

function partition(records: readonly Batch[], abortedTransactions: FetchedPartition["abortedTransactions"]) {
  return {
    partitionIndex: 0,
    errorCode: 0,
    highWatermark: 10n,
    lastStableOffset: 10n,
    logStartOffset: 0n,
    abortedTransactions,
    preferredReadReplica: -1,
    records: [...records],
  } as FetchedPartition;
}

describe("a watermark", () => {
  test("of an aborted transaction does not count, and the one committed before it does", () => {
    const reader = new CommittedReader();
    const next = reader.read(
      partition(
        [batch(0, 1n, "committed"), batch(1, 1n, undefined), batch(2, 1n, "aborted"), batch(3, 1n, undefined)],
        [{ producerId: 1n, firstOffset: 2n }],
      ),
      0n,
    );
    expect([reader.last("k")?.toString(), next]).toEqual(["committed", 4n]);
  });

  test("that the same producer commits behind an aborted transaction counts", () => {
    const reader = new CommittedReader();
    reader.read(
      partition(
        [batch(0, 1n, "aborted"), batch(1, 1n, undefined), batch(2, 1n, "committed"), batch(3, 1n, undefined)],
        [{ producerId: 1n, firstOffset: 0n }],
      ),
      0n,
    );
    expect(reader.last("k")?.toString()).toBe("committed");
  });

  test("counts although another producer's transaction between was aborted", () => {
    const reader = new CommittedReader();
    reader.read(
      partition(
        [batch(0, 2n, "of another"), batch(1, 1n, "committed"), batch(2, 2n, undefined), batch(3, 1n, undefined)],
        [{ producerId: 2n, firstOffset: 0n }],
      ),
      0n,
    );
    expect(reader.last("k")?.toString()).toBe("committed");
  });
});

/** A partition that gives one batch a fetch, each after this long; nothing when there is none. */
function slowPartition(batches: readonly Batch[], end: number, clock: FakeClock, fetchMs: number) {
  return {
    earliest: () => Promise.resolve(0n),
    latest: () => Promise.resolve(BigInt(end)),
    fetchFrom: async (offset: bigint) => {
      await clock.advance(fetchMs);
      const found = batches.filter(({ firstOffset }) => firstOffset === offset);
      // As a new leader says it, which does not know yet how far the others are.
      return { ...partition(found, []), highWatermark: 1n };
    },
  };
}

describe("the read of what is committed", () => {
  const committed = ["one", "two", "three", "four"].map((value, i) => batch(i, 1n, value));

  test("goes on for as long as the partition gives something", async () => {
    const clock = new FakeClock(EVENING_MS);
    const reader = new CommittedReader();
    await readAll(reader, slowPartition(committed, 4, clock, 40_000), undefined, {
      clock,
      stop: new AbortController().signal,
    });
    expect(reader.last("k")?.toString()).toBe("four");
  });

  test("goes to the end of the partition although a new leader says in a fetch that it ends before", async () => {
    const clock = new FakeClock(EVENING_MS);
    const reader = new CommittedReader();
    await readAll(reader, slowPartition(committed, 4, clock, 1), undefined, {
      clock,
      stop: new AbortController().signal,
    });
    expect(reader.last("k")?.toString()).toBe("four");
  });

  test("fails when a new leader does not know yet where the partition ends", async () => {
    const clock = new FakeClock(EVENING_MS);
    const source = {
      ...slowPartition(committed, 4, clock, 1),
      latest: () => Promise.reject(new Error("OFFSET_NOT_AVAILABLE")),
    };
    const reading = readAll(new CommittedReader(), source, undefined, { clock, stop: new AbortController().signal });
    await expect(reading).rejects.toThrow("OFFSET_NOT_AVAILABLE");
  });

  test("ends with an error when another transaction hides the rest for a minute", async () => {
    const clock = new FakeClock(EVENING_MS);
    const reading = readAll(new CommittedReader(), slowPartition(committed, 5, clock, 40_000), undefined, {
      clock,
      stop: new AbortController().signal,
    });
    await expect(reading).rejects.toThrow("another transaction stays open");
  });
});
