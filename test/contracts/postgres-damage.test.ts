/** Packets of events that are damaged in a real PostgreSQL. */
import { statSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { schemaOf } from "../../src/stores/postgres/schema.ts";
import { documentedLine } from "../harness/postgres/documented.ts";
import { deliveriesOf } from "../harness/postgres/fleet.ts";
import { missingPostgresParts, type PostgresServer } from "../harness/postgres/server.ts";
import { claimedOfKey, keysOf, OUTPUTS, StoreWorld } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";
import { KEY } from "./store-contract.ts";

describeWith("the programs of PostgreSQL", missingPostgresParts())("packets that are damaged", () => {
  const world = new StoreWorld();
  const { newFleet, joined, opened, keysWaiting } = world;
  let server: PostgresServer;

  beforeAll(async () => {
    ({ server } = await world.start());
  });
  afterEach(() => world.closeMembers());
  afterAll(() => world.end());

  /** Three packets of one stream. */
  async function threePackets() {
    const fleet = await newFleet();
    const member = await joined(fleet, "member");
    const lease = await claimedOfKey(member);
    const { id, store } = await opened(member, lease);
    for (const n of [1, 2, 3]) await store.commit({ deliveries: deliveriesOf(KEY.tenantId, [n]) });
    const damaged = async () => {
      const found = await member.waiting(OUTPUTS[0] as string, [id], 1 << 20);
      expect(found.map(({ seq }) => seq)).toEqual([1n, 2n, 3n]);
      expect(found.flatMap(({ deliveries }) => deliveries.map(({ key }) => key))).toEqual(keysOf([1, 3]));
      return found.flatMap(({ stream, seq, damage }) =>
        damage === undefined ? [] : [{ stream, seq, damage, epoch: lease.epoch }],
      );
    };
    return { fleet, s: schemaOf(fleet), member, lease, id, damaged };
  }

  test.each([
    ["is empty", "''"],
    ["is cut short", "substring(body for 40)"],
    ["has one changed byte", "set_byte(body, octet_length(body) - 6, 255 - get_byte(body, octet_length(body) - 6))"],
    ["is something else", "'this is not a packet'"],
  ])("a packet that %s hides no other one", async (_, body) => {
    const { s, damaged } = await threePackets();
    server.query(`update ${s}.packet set body = ${body} where seq = 2`);

    expect(await damaged()).toMatchObject([{ seq: 2n, damage: expect.stringMatching(/./) }]);
  });

  test("a page of the disk that the database cannot read hides no other packet", async () => {
    const { s, damaged } = await threePackets();
    // A body that is too large for its row lies in another file.
    server.query(`update ${s}.packet set body = convert_to(repeat('x', 20000), 'UTF8') where seq = 2; checkpoint`);
    const [file = ""] = server.query(
      `select current_setting('data_directory') || '/' || pg_relation_filepath(c.reltoastrelid)
       from pg_class c where c.oid = (select tableoid from ${s}.packet where seq = 2)`,
    );
    await server.kill("SIGINT");
    writeFileSync(file, Buffer.alloc(statSync(file).size, "damage"));
    await server.startAgain();

    expect(await damaged()).toMatchObject([{ seq: 2n, damage: expect.stringContaining("XX001") }]);
  });

  test("are noted once, under the present epoch alone, and their hours stay until somebody looked", async () => {
    const { s, member, lease, id, damaged } = await threePackets();
    server.query(`update ${s}.packet set body = 'damage' where seq = 2`);
    server.query(`create table ${s}.packet_7 partition of ${s}.packet for values in (7)`);
    server.query(`update ${s}.packet set hour = 7`);
    const found = await damaged();
    await member.setAside(found.map((one) => ({ ...one, epoch: 0n })));
    expect((await member.standing()).setAside).toBe(0);
    await member.setAside(found);
    await member.setAside(found);
    await member.confirm(OUTPUTS[0] as string, [{ stream: id, epoch: lease.epoch, seq: 3n }]);
    await member.keepHouse();

    expect((await member.standing()).setAside).toBe(1);
    expect(server.query(`select seq, hour, records from ${s}.set_aside`)).toEqual(["2|7|1"]);
    expect(server.query(`select count(*) from ${s}.packet`)).toEqual(["3"]);
    server.query(`delete from ${s}.set_aside`);
    await member.keepHouse();
    expect(server.query(`select count(*) from ${s}.packet`)).toEqual(["0"]);
  });

  test("that are missing are noted too, and keep no hour", async () => {
    const { s, member, lease, id } = await threePackets();
    await member.setAside([{ stream: id, seq: 9n, epoch: lease.epoch, damage: "it is missing in the database" }]);

    expect(server.query(`select seq, hour, records from ${s}.set_aside`)).toEqual(["9|0|0"]);
  });

  test("are sent again to every output by the documented statement, once they can be read", async () => {
    const { s, member, lease, id, damaged } = await threePackets();
    server.query(`create table spare as select body from ${s}.packet where seq = 2`);
    server.query(`update ${s}.packet set body = 'damage' where seq = 2`);
    await member.setAside(await damaged());
    await member.confirm(OUTPUTS[0] as string, [{ stream: id, epoch: lease.epoch, seq: 3n }]);
    expect(await keysWaiting(member, id)).toEqual([]);
    server.query(`update ${s}.packet set body = (select body from spare) where seq = 2; drop table spare`);
    server.query(documentedLine("with again as", s));

    expect(await keysWaiting(member, id)).toEqual(keysOf([2, 3]));
    expect((await member.standing()).setAside).toBe(0);
  });

  test("are given up by the documented statement", async () => {
    const { s, member, damaged } = await threePackets();
    server.query(`update ${s}.packet set body = 'damage' where seq = 2`);
    await member.setAside(await damaged());
    server.query(documentedLine("delete from defender_mssp_main.set_aside", s));

    expect((await member.standing()).setAside).toBe(0);
  });
});
