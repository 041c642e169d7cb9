/**
 * Members that reach their database through a pooler in transaction mode: a real PgBouncer, which has one
 * connection to PostgreSQL for all members together, so that each statement may run on any of them.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import type { FleetSettings } from "../../src/config/fleet-settings.ts";
import { fleetConnections } from "../../src/main/fleet-database.ts";
import { checksOf } from "../../src/main/fleet-doctor.ts";
import { isFailure } from "../../src/model/failure.ts";
import { sealed } from "../../src/model/sealed.ts";
import type { Connections } from "../../src/stores/postgres/connections.ts";
import {
  connectedBy,
  connectionsTo,
  deliveriesOf,
  MEMBER_PASSWORD,
  MEMBER_ROLE,
  settingsFor,
} from "../harness/postgres/fleet.ts";
import { missingPooler, Pooler } from "../harness/postgres/pooler.ts";
import { missingPostgresParts, PostgresServer } from "../harness/postgres/server.ts";
import { ALL, claimedOfKey, codeOf, keysOf, StoreWorld } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";
import { makeServerCertificate } from "../harness/simulator/certificates.ts";
import { entry, KEY, storeContract } from "./store-contract.ts";

const withPooler = describeWith("the programs of PostgreSQL and PgBouncer", missingPostgresParts() ?? missingPooler());

/** What doctor says of the database, or how the connection failed. */
const doctorOf = (port: number, more: Partial<FleetSettings> = {}): Promise<string> =>
  connectedBy(settingsFor([port], more), async (database) => {
    const [check] = checksOf(database, "main", "db.example.com:6432");
    return (await check?.run(new AbortController().signal)) ?? "";
  });

withPooler("the fleet's store through a pooler in transaction mode", () => {
  const world = new StoreWorld();
  const { newFleet, joined, expire, opened, keysWaiting } = world;
  let server: PostgresServer;

  beforeAll(async () => {
    ({ server } = await world.start({ isPooled: true }));
  });
  afterEach(() => world.closeMembers());
  afterAll(() => world.end());

  const page = (n: number) => ({ entries: [entry(n)], deliveries: deliveriesOf(KEY.tenantId, [n]) });

  storeContract("keeps the contract of every store", world.crashable);

  test("a member that was taken over commits nothing, and its heir goes on where it stopped", async () => {
    const fleet = await newFleet();
    const [zombie, heir] = [await joined(fleet, "zombie"), await joined(fleet, "heir")];
    const before = await opened(zombie, await claimedOfKey(zombie));
    await before.store.commit(page(1));
    expire(fleet, "zombie");
    const after = await opened(heir, await claimedOfKey(heir));

    expect(await codeOf(before.store.commit(page(2)))).toBe("fleet-fenced");
    expect(await zombie.renew()).toBe(false);
    expect(after.store.takeEntries()).toEqual([entry(1)]);
    await after.store.commit(page(3));
    expect(await keysWaiting(heir, after.id)).toEqual(keysOf([1, 3]));
  });

  test("many statements at once wait for the pooler's connection, and each does its part once", async () => {
    const fleet = await newFleet();
    const names = Array.from({ length: 6 }, (_, n) => `member-${n}`);
    const members = await Promise.all(names.map((name) => joined(fleet, name)));
    const claimed = await Promise.all(members.map((member) => member.claim(ALL / 4)));

    const shards = claimed.flat().map(({ shard }) => shard);
    expect(new Set(shards).size).toBe(shards.length);
    expect(shards).toHaveLength(ALL);
    expect(await Promise.all(members.map((member) => member.renew()))).toEqual(names.map(() => true));
  });

  test("a page whose server crashed under the pooler is not tried again, and is there once after a new claim", async () => {
    const fleet = await newFleet();
    const member = await joined(fleet, "member");
    const before = await opened(member, await claimedOfKey(member));
    await before.store.commit(page(1));
    await server.kill();
    const whileDown = await codeOf(before.store.commit(page(2)));
    await server.startAgain();
    /** PgBouncer tries a server again a second after it refused a connection. */
    const answered = async <T>(ask: () => Promise<T>): Promise<T> => {
      for (;;)
        try {
          return await ask();
        } catch (error) {
          if (!isFailure(error) || error.code !== "fleet-unreachable") throw error;
        }
    };
    await answered(() => member.release([before.lease]));
    const after = await opened(member, await answered(() => claimedOfKey(member)));

    expect(["fleet-unreachable", "fleet-unsettled"]).toContain(whileDown);
    expect(after.store.takeEntries()).toEqual([entry(1)]);
    await after.store.commit(page(2));
    expect(await keysWaiting(member, after.id)).toEqual(keysOf([1, 2]));
  });

  test("the limit of statements that the set-up gives the members' role counts behind a pooler that reconnects", async () => {
    const setUp = readFileSync(join(import.meta.dirname, "../../docs/fleet/README.md"), "utf8");
    const [statement = ""] = /alter role collector set statement_timeout = .+;/.exec(setUp) ?? [];
    const role = { user: MEMBER_ROLE, password: MEMBER_PASSWORD };
    const pooler = await Pooler.start(server, { passwords: { [role.user]: role.password } });
    const member = connectionsTo({ port: pooler.port, ...role });
    const limit = async () =>
      (await member.query<{ most: string }>("select current_setting('statement_timeout') as most"))[0]?.most;
    try {
      const before = await limit();
      server.query(statement);
      expect([before, await limit()]).toEqual(["0", "0"]);
      pooler.reconnect();
      expect(await limit()).toBe("15s");
    } finally {
      server.query(`alter role ${role.user} reset statement_timeout`);
      await member.close();
      await pooler.remove();
    }
  });

  describe("as doctor and the way to the database see it", () => {
    test("doctor says that a pooler answers, and nothing of one where the database answers itself", async () => {
      expect(await doctorOf(world.memberPlace.port)).toMatch(
        /^The primary answers at db\.example\.com:6432 through a pooler: PostgreSQL /,
      );
      expect(await doctorOf(server.port)).toMatch(/^The primary answers at db\.example\.com:6432: PostgreSQL /);
    });

    test("a wrong password is refused with what to correct, and is in no sentence", async () => {
      const said = await doctorOf(world.memberPlace.port, { password: sealed("not-the-password") });

      expect(said).toMatch(/^fleet-unreachable never .*authentication failed/);
      expect(said).not.toContain("not-the-password");
    });

    test("a database that does not exist is refused, as it is without a pooler", async () => {
      expect(await doctorOf(world.memberPlace.port, { database: "unknown" })).toMatch(/^fleet-unreachable never /);
    });

    test("TLS to the pooler is verified, and one without TLS is refused where TLS is asked for", async () => {
      const folder = mkdtempSync(join(tmpdir(), "pooler-tls-"));
      const certificate = await makeServerCertificate(Date.now());
      const caFile = join(folder, "ca.pem");
      writeFileSync(caFile, certificate.caPem);
      const encrypted = await Pooler.start(server, { passwords: {}, tls: certificate });
      try {
        expect(await doctorOf(encrypted.port, { caFile })).toMatch(/ through a pooler: PostgreSQL /);
        const otherCa = join(folder, "other-ca.pem");
        writeFileSync(otherCa, (await makeServerCertificate(Date.now())).caPem);
        expect(await doctorOf(encrypted.port, { caFile: otherCa })).toMatch(/^fleet-unreachable never .*certificate/);
        expect(await doctorOf(world.memberPlace.port, { caFile })).toMatch(/^fleet-unreachable never .*SSL/);
      } finally {
        await encrypted.remove();
        rmSync(folder, { recursive: true, force: true });
      }
    });

    test("of two poolers the one whose primary is gone is passed over before a statement would be given up", async () => {
      const gone = await PostgresServer.start();
      const passwords = { [MEMBER_ROLE]: MEMBER_PASSWORD };
      const deserted = await Pooler.start(gone, { passwords });
      let connections: Connections | undefined;
      try {
        // PgBouncer still takes connections of a role that it has seen, and lets their first statement wait.
        const before = connectionsTo({ port: deserted.port });
        await before.query("select");
        await before.close();
        await gone.kill();
        const settings = settingsFor([deserted.port, world.memberPlace.port]);
        connections = await fleetConnections(settings, 1, undefined, { answerWithinMs: 3_600_000 });

        expect(await connections.query("select 1 as one")).toEqual([{ one: 1 }]);
      } finally {
        await connections?.close();
        await deserted.remove();
        await gone.remove();
      }
    }, 120_000);
  });
});
