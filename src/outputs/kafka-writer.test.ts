import { describe, expect, test } from "@jest/globals";
import type { FetchedPartition } from "./kafka-connection.ts";
import { CommittedReader } from "./kafka-writer.ts";

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
