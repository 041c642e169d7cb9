import { expect, test } from "@jest/globals";
import { deliveriesOf } from "../../../test/harness/postgres/fleet.ts";
import { bodiesAt } from "../../json/record-bodies.ts";
import type { Delivery } from "../../model/event.ts";
import type { LedgerEntry } from "../../model/state.ts";
import type { TenantId } from "../../model/tenant.ts";
import { CommittedPackets } from "./committed-packets.ts";
import type { Database } from "./connections.ts";
import { fleetStream } from "./stream-store.ts";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;
const PLACE = { stream: 1, seq: 1n, epoch: 7n };
const ENTRY: LedgerEntry = {
  hash: [1, 2, 3, 4],
  updated: 1n,
  writtenAtS: 1,
  byteLength: 1,
  bodyCrc: 1,
  change: "new",
};
/** A small packet takes so much: its bytes, and 16 numbers of its record's tables. */
const ONE = (1 << 16) + 64;

function textsOf(deliveries: readonly Delivery[]): readonly string[] {
  return deliveries.map(({ record: { body } }) => Buffer.from(body.bytes.subarray(body.start, body.end)).toString());
}

function commit(packets: CommittedPackets, seq: number, outputs: readonly string[] = ["a"]): void {
  packets.committed({ ...PLACE, seq: BigInt(seq) }, packets.pack(deliveriesOf(TENANT, [seq])), outputs);
}

test("a packet's memory is used again once each output confirmed it, and not while somebody reads it", () => {
  const packets = new CommittedPackets(4 * ONE, bodiesAt);
  commit(packets, 1, ["a", "b"]);
  const [reading] = packets.using([1]);
  packets.confirmed("a", PLACE);
  expect(packets.using([1])).toEqual([reading]);
  packets.confirmed("b", PLACE);
  expect(packets.using([1])).toEqual([]);
  for (const seq of [2, 3]) commit(packets, seq);
  expect(textsOf(reading?.deliveries ?? [])).toEqual(textsOf(deliveriesOf(TENANT, [1])));
  expect(packets.bytes).toBe(3 * ONE);
  for (let n = 0; n < 2; n += 1) if (reading !== undefined) packets.done(reading);
  expect(packets.bytes).toBe(2 * ONE);
  packets.forget(1);
  expect(packets.bytes).toBe(0);
});

test("what there is no room for is not kept, and the packets before it are", () => {
  const packets = new CommittedPackets(2 * ONE, bodiesAt);
  for (const seq of [1, 2, 3]) commit(packets, seq);
  expect(packets.using([1]).map(({ seq }) => seq)).toEqual([1n, 2n]);
  expect(packets.bytes).toBe(2 * ONE);
});

test("a packet that was not committed takes no room, and one whose number comes again replaces the other", () => {
  const packets = new CommittedPackets(2 * ONE, bodiesAt);
  packets.dropped(packets.pack(deliveriesOf(TENANT, [1])));
  expect(packets.bytes).toBe(0);
  for (const n of [1, 2]) packets.committed(PLACE, packets.pack(deliveriesOf(TENANT, [n])), ["a"]);
  expect(packets.using([1]).flatMap(({ deliveries }) => textsOf(deliveries))).toEqual(
    textsOf(deliveriesOf(TENANT, [2])),
  );
  expect(packets.bytes).toBe(ONE);
});

test("a packet whose number comes again is not kept any more, though there is no room for the other one", () => {
  const packets = new CommittedPackets(ONE, bodiesAt);
  for (const n of [1, 2]) packets.committed(PLACE, packets.pack(deliveriesOf(TENANT, [n])), ["a"]);
  expect(packets.using([1])).toEqual([]);
  expect(packets.bytes).toBe(0);
});

test("of a stream that is closed nothing is kept, not even what it is just committing", async () => {
  const packets = new CommittedPackets(4 * ONE, bodiesAt);
  const answered = Promise.withResolvers<void>();
  const database = { query: () => answered.promise.then(() => [{ seq: "1" }]) } as unknown as Database;
  const { store } = fleetStream(
    { database, schema: "fleet", boot: "b", packets },
    {
      key: { stanza: "Contoso", tenantId: TENANT, stream: "alerts" },
      lease: { shard: 1, epoch: PLACE.epoch },
      outputs: ["a"],
      events: { committed: () => undefined, lost: () => undefined },
      others: [],
    },
    { id: 1, next_seq: "1", checkpoint: null },
    [ENTRY],
  );
  const committing = store.commit({ deliveries: deliveriesOf(TENANT, [1]) });
  const closing = store.close();
  answered.resolve();
  await Promise.all([committing, closing]);
  await store.commit({ deliveries: deliveriesOf(TENANT, [2]) });

  expect(packets.using([1])).toEqual([]);
  expect(packets.bytes).toBe(0);
  // Its customer may be on its way to be opened: with an empty ledger it would send everything again.
  expect(store.takeEntries()).toEqual([ENTRY]);
});
