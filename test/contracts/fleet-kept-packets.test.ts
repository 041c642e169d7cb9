/** Packets that a member delivers from its memory: the database alone decides which. */
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import type { PostgresFleet } from "../../src/stores/postgres/fleet-store.ts";
import { schemaOf } from "../../src/stores/postgres/schema.ts";
import { deliveriesOf } from "../harness/postgres/fleet.ts";
import { missingPostgresParts, type PostgresServer } from "../harness/postgres/server.ts";
import { claimedOfKey, keysOf, OUTPUTS, StoreWorld } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";
import { KEY } from "./store-contract.ts";

/** A packet of one small alert takes so much, with its tables. */
const ONE = (1 << 16) + 64;

const withPostgres = describeWith("the programs of PostgreSQL", missingPostgresParts());

withPostgres("packets that a member keeps", () => {
  const world = new StoreWorld();
  const { newFleet, joined, opened } = world;
  const [output] = OUTPUTS as [string];
  let server: PostgresServer;

  beforeAll(async () => {
    ({ server } = await world.start());
  });
  afterEach(() => world.closeMembers());
  afterAll(() => world.end());

  async function committed(keptMostBytes: number, numbers: readonly number[]) {
    const fleet = await newFleet();
    const member = await joined(fleet, "member", { keptMostBytes });
    const lease = await claimedOfKey(member);
    const { id, store } = await opened(member, lease);
    for (const n of numbers) await store.commit({ deliveries: deliveriesOf(KEY.tenantId, [n]) });
    return { member, id, store, lease, s: schemaOf(fleet) };
  }

  /** Keys of what waits, and "damaged" for what cannot be read. */
  async function waitingFor(member: PostgresFleet, id: number): Promise<readonly string[]> {
    const packets = await member.waiting(output, [id], 1 << 20);
    const found = packets.flatMap(({ damage, deliveries }) =>
      damage === undefined ? deliveries.map(({ key }) => key) : ["damaged"],
    );
    for (const packet of packets) packet.done?.();
    return found;
  }

  test("are delivered without reading them back, and those beyond the room are read back in their place", async () => {
    const { member, id, s } = await committed(2 * ONE, [1, 2, 3]);
    expect(await waitingFor(member, id)).toEqual(keysOf([1, 2, 3]));
    server.query(`update ${s}.packet set body = '\\x00'`);

    expect(await waitingFor(member, id)).toEqual([...keysOf([1, 2]), "damaged"]);
    // A second time too: the output may refuse them.
    expect(await waitingFor(member, id)).toEqual([...keysOf([1, 2]), "damaged"]);
  });

  test("leave memory when a receiver that acknowledges nothing took them, long before they are confirmed", async () => {
    const { member, id, store, s } = await committed(2 * ONE, [1, 2]);
    expect(await member.waiting(output, [id], 1 << 20, new Map([[id, 2n]]))).toEqual([]);
    for (const n of [3, 4]) await store.commit({ deliveries: deliveriesOf(KEY.tenantId, [n]) });
    server.query(`update ${s}.packet set body = '\\x00'`);

    expect(await waitingFor(member, id)).toEqual(["damaged", "damaged", ...keysOf([3, 4])]);
  });

  test("are not delivered where the database has another packet under the number, as after a restore", async () => {
    const { member, id, s } = await committed(1 << 20, [1, 2]);
    server.query(
      `update ${s}.packet set epoch = epoch + 1, body = (select body from ${s}.packet where seq = 2) where seq = 1`,
    );

    expect(await waitingFor(member, id)).toEqual(keysOf([2, 2]));
  });

  test("are not delivered where the database has none: not committed, or confirmed", async () => {
    const { member, id, store, lease, s } = await committed(1 << 20, [1, 2, 3]);
    await member.confirm(output, [{ stream: id, epoch: lease.epoch, seq: 1n }]);
    server.query(`delete from ${s}.packet where seq = 2; update ${s}.stream set epoch = epoch + 1`);
    await expect(store.commit({ deliveries: deliveriesOf(KEY.tenantId, [4]) })).rejects.toMatchObject({
      code: "fleet-fenced",
    });

    expect(await waitingFor(member, id)).toEqual(keysOf([3]));
  });
});
