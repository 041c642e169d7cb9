/** The customers in the database of a fleet, in a real PostgreSQL and with the rights of a member. */
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import type { Connections } from "../../src/stores/postgres/connections.ts";
import { initFleet } from "../../src/stores/postgres/init.ts";
import {
  addToRoster,
  changeInRoster,
  drainMembersWithoutRoster,
  readChangedRoster,
  readRoster,
  removeFromRoster,
} from "../../src/stores/postgres/roster.ts";
import { roleSql, schemaOf, upgradeSql } from "../../src/stores/postgres/schema.ts";
import { connectionsTo, MEMBER_PASSWORD, MEMBER_ROLE } from "../harness/postgres/fleet.ts";
import { missingPostgresParts, type PostgresServer } from "../harness/postgres/server.ts";
import { StoreWorld } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";

const CONTOSO = { name: "Contoso", values: { tenant_id: "11111111-2222-4333-8444-555555555555", credential: "mssp" } };
const FABRIKAM = { name: "Fabrikam", values: { tenant_id: "22222222-2222-4333-8444-555555555555", streams: "alerts" } };

describeWith("the programs of PostgreSQL", missingPostgresParts())("a fleet's roster", () => {
  const world = new StoreWorld();
  let server: PostgresServer;
  let admin: Connections;
  let member: Connections;

  beforeAll(async () => {
    ({ server, admin } = await world.start());
    member = connectionsTo({ port: server.port, user: MEMBER_ROLE, password: MEMBER_PASSWORD });
  });
  afterEach(() => world.closeMembers());
  afterAll(async () => {
    await member?.close();
    await world.end();
  });

  test("holds each name and each tenant once, and every change makes another revision", async () => {
    const fleet = await world.newFleet();
    const revisions: string[] = [];
    const revised = async (): Promise<void> => void revisions.push((await readRoster(member, fleet)).revision);
    await revised();
    expect(await addToRoster(member, fleet, CONTOSO)).toEqual({ isDone: true });
    await revised();
    expect(await addToRoster(member, fleet, FABRIKAM)).toEqual({ isDone: true });
    await revised();
    expect(await changeInRoster(member, fleet, { name: "Contoso", values: { index: "soc" } })).toEqual({
      isDone: true,
    });
    await revised();
    expect((await readRoster(member, fleet)).customers).toEqual([
      { name: "Contoso", values: { ...CONTOSO.values, auth: "app", index: "soc" } },
      { name: "Fabrikam", values: { ...FABRIKAM.values, auth: "app" } },
    ]);
    expect(await removeFromRoster(member, fleet, "Contoso")).toEqual({ isDone: true });
    await revised();
    expect(new Set(revisions).size).toBe(5);

    const notDone = { isDone: false, members: undefined };
    expect(await removeFromRoster(member, fleet, "Contoso")).toEqual(notDone);
    expect(await changeInRoster(member, fleet, CONTOSO)).toEqual(notDone);
    expect(await addToRoster(member, fleet, { ...CONTOSO, name: "fabrikam" })).toEqual(notDone);
    expect(await addToRoster(member, fleet, { ...FABRIKAM, name: "Other" })).toEqual(notDone);
    const [last] = revisions.slice(-1);
    expect(await readChangedRoster(member, fleet, last)).toBeUndefined();
    expect(await readChangedRoster(member, fleet, revisions[0])).toMatchObject({ revision: last });
  });

  test("takes no customer while a live member of an older release would not collect it", async () => {
    const fleet = "rolling-roster";
    const s = schemaOf(fleet);
    await admin.query(upgradeSql(fleet, 0, 3));
    // With the words of a member of version 3.
    const register = (boot: string, name: string) =>
      server.query(
        `insert into ${s}.member(boot, name, version, config_hash, alive_until, clock_ahead_ms, other_key, draining)
         values ('${boot}', '${name}', '0.1.0', 'one', clock_timestamp() + interval '1 hour', 0, false, false)`,
      );
    register("11111111-2222-4333-8444-555555555555", "old");
    await initFleet(admin, fleet);
    server.query(roleSql(fleet, MEMBER_ROLE));
    await world.joined(fleet, "new");

    expect(await addToRoster(member, fleet, CONTOSO)).toEqual({ isDone: false, members: "old" });
    expect((await readRoster(member, fleet)).customers).toEqual([]);
    expect(await drainMembersWithoutRoster(member, fleet)).toEqual([]);
    world.expire(fleet, "old");
    expect(await addToRoster(member, fleet, CONTOSO)).toEqual({ isDone: true });

    // It was suspended, and comes back: whoever is drained leaves its customers to the others.
    register("22222222-2222-4333-8444-555555555555", "old");
    expect(await drainMembersWithoutRoster(member, fleet)).toEqual(["old"]);
    expect(await drainMembersWithoutRoster(member, fleet)).toEqual([]);
    expect(await removeFromRoster(member, fleet, "Contoso")).toEqual({ isDone: true });
  });
});
