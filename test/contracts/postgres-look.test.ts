/** What `doctor --fleet` and `status` learn of a real PostgreSQL, with the rights of a member. */
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import type { Checkpoint } from "../../src/model/state.ts";
import type { Connections } from "../../src/stores/postgres/connections.ts";
import { lookAtDatabase, lookAtLag } from "../../src/stores/postgres/look.ts";
import { schemaOf } from "../../src/stores/postgres/schema.ts";
import { connectionsTo, MEMBER_PASSWORD, MEMBER_ROLE } from "../harness/postgres/fleet.ts";
import { missingPostgresParts, type PostgresServer } from "../harness/postgres/server.ts";
import { ALL, claimedOfKey, StoreWorld } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";
import { checkpoint, KEY } from "./store-contract.ts";

const HOUR_MS = 3_600_000;

describeWith("the programs of PostgreSQL", missingPostgresParts())("looking at a fleet's database", () => {
  const world = new StoreWorld();
  let server: PostgresServer;
  let asMember: Connections;

  beforeAll(async () => {
    ({ server } = await world.start());
    asMember = connectionsTo({ port: server.port, user: MEMBER_ROLE, password: MEMBER_PASSWORD });
  });
  afterEach(() => world.closeMembers());
  afterAll(async () => {
    await asMember?.close();
    await world.end();
  });

  test("names streams without a complete walk, those of configured customers only, and who owns them", async () => {
    const fleet = await world.newFleet();
    const member = await world.joined(fleet, "one");
    const stream = await world.opened(member, await claimedOfKey(member));
    const customer = { stanza: KEY.stanza, tenantId: KEY.tenantId, lateAfterMs: HOUR_MS };
    const other = { ...customer, stanza: "never opened" };
    const look = () => lookAtLag(asMember, fleet, [customer, other]);
    const shard = stream.lease.shard;
    const of = async () => (await look()).shards.find((one) => one.shard === shard);

    expect(await of()).toEqual({ shard, owner: "one", streams: 1, late: 0, lagS: undefined });
    const checkpointAt = (agoMs: number): Checkpoint => ({ ...checkpoint(1), walkCompletedAtMs: Date.now() - agoMs });
    await stream.store.commit({ checkpoint: checkpointAt(0) });
    expect(await of()).toMatchObject({ late: 0, lagS: expect.any(Number) });
    expect((await look()).late).toEqual([]);
    await stream.store.commit({ checkpoint: checkpointAt(3 * HOUR_MS) });
    expect(await of()).toMatchObject({ owner: "one", late: 1 });
    expect(await look()).toMatchObject({
      late: [{ customer: KEY.stanza, stream: KEY.stream, shard, lagS: expect.any(Number) }],
      neverOpened: 1,
    });
    expect((await look()).late[0]?.lagS).toBeGreaterThanOrEqual(3 * 3_600);
    expect((await look()).shards).toHaveLength(ALL);
    expect((await lookAtLag(asMember, fleet, [])).late).toEqual([]);

    server.query(`update ${schemaOf(fleet)}.stream set checkpoint = 'damaged'`);
    world.expire(fleet, "one");
    expect(await of()).toEqual({ shard, owner: undefined, streams: 1, late: 0, lagS: undefined });
  });

  test("a member sees whether a commit waits for a standby, and its state only with the right to", async () => {
    const until = async (found: (look: Awaited<ReturnType<typeof lookAtDatabase>>) => boolean) => {
      for (;;) {
        const look = await lookAtDatabase(asMember);
        if (found(look)) return look;
        await pause(50);
      }
    };
    expect(await lookAtDatabase(asMember)).toMatchObject({
      synchronousStandbyNames: "",
      standbys: 0,
      inSync: undefined,
      isReadOnly: false,
    });
    const standby = await server.startStandby();
    try {
      server.query("alter system set synchronous_standby_names = '*'");
      server.query("select pg_reload_conf()");
      expect(
        (await until((look) => look.standbys === 1 && look.synchronousStandbyNames === "*")).inSync,
      ).toBeUndefined();
      server.query(`grant pg_read_all_stats to ${MEMBER_ROLE}`);
      await until((look) => look.inSync === 1);
      await standby.kill();
      await until((look) => look.standbys === 0 && look.inSync === 0);
    } finally {
      // A write would wait for the standby.
      server.query("alter system reset synchronous_standby_names");
      server.query("select pg_reload_conf()");
      await standby.remove();
    }
  });
});
