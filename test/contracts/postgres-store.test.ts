/**
 * The fleet's store in a real PostgreSQL: the contract of every store, and what only a store that several
 * members share can promise.
 */
import { chmodSync, chownSync, cpSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { DatabaseError } from "pg";
import { withFleetDatabase } from "../../src/main/fleet-database.ts";
import type { Lease } from "../../src/model/fleet.ts";
import type { Connections } from "../../src/stores/postgres/connections.ts";
import { statementFailed } from "../../src/stores/postgres/failures.ts";
import { FleetKey } from "../../src/stores/postgres/fleet-key.ts";
import type { PostgresFleet } from "../../src/stores/postgres/fleet-store.ts";
import { initFleet } from "../../src/stores/postgres/init.ts";
import { roleSql, SCHEMA_VERSION, schemaOf, upgradeSql } from "../../src/stores/postgres/schema.ts";
import { CuttingProxy } from "../harness/postgres/cutting-proxy.ts";
import { documentedLine } from "../harness/postgres/documented.ts";
import {
  connectionsTo,
  deliveriesOf,
  MEMBER_PASSWORD,
  MEMBER_ROLE,
  type MemberChoice,
  settingsFor,
} from "../harness/postgres/fleet.ts";
import { missingPostgresParts, type PostgresServer } from "../harness/postgres/server.ts";
import { ALL, claimedOfKey, codeOf, keysOf, leaseOfKey, OUTPUTS, StoreWorld } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";
import { checkpoint, entry, KEY, storeContract } from "./store-contract.ts";

const withPostgres = describeWith("the programs of PostgreSQL", missingPostgresParts());

withPostgres("the fleet's store", () => {
  const world = new StoreWorld();
  const { newFleet, joined, expire, stay, opened, keysWaiting } = world;
  let server: PostgresServer;
  let admin: Connections;

  beforeAll(async () => {
    ({ server, admin } = await world.start());
  });
  afterEach(() => world.closeMembers());
  afterAll(() => world.end());

  const waitingForLock = (): string[] =>
    server.query(`select pid from pg_stat_activity where usename = '${MEMBER_ROLE}' and wait_event_type = 'Lock'`);
  /** The server's process has ended, and holds no lock any more. */
  const gone = async (pid: string): Promise<void> => {
    while (server.query(`select 1 from pg_stat_activity where pid = ${pid}`).length > 0) await pause(20);
  };
  /** Resolves with what it does; undefined as soon as it waits for a lock. */
  const withoutWaiting = async <T>(work: Promise<T>): Promise<T | undefined> => {
    const done = new AbortController();
    const waits = async (): Promise<undefined> => {
      while (!done.signal.aborted && waitingForLock().length === 0) await pause(100);
    };
    try {
      return await Promise.race([work, waits()]);
    } finally {
      done.abort();
    }
  };

  storeContract("keeps the contract of every store", world.crashable);

  describe("shards", () => {
    test("belong to one live member each, and to another once their owner is silent", async () => {
      const fleet = await newFleet();
      const [first, second] = [await joined(fleet, "first"), await joined(fleet, "second")];
      const halves = await Promise.all([first.claim(ALL / 2), second.claim(ALL)]);
      const shards = halves.flat().map(({ shard }) => shard);

      expect(new Set(shards).size).toBe(shards.length);
      expect(await first.claim(ALL)).toEqual([]);
      expect(await first.standing()).toMatchObject({ members: 2, shares: true, shards: ALL, setAside: 0 });
      expect(new Set((await first.standing()).owned)).toEqual(new Set(halves[0]));
      expire(fleet, "second");

      expect(await second.renew()).toBe(false);
      expect(await second.claim(ALL)).toEqual([]);
      const taken = await first.claim(ALL);
      expect(taken).toHaveLength(halves[1].length);
      const before = new Map(halves[1].map(({ shard, epoch }) => [shard, epoch]));
      expect(taken.every(({ shard, epoch }) => epoch > (before.get(shard) ?? 0n))).toBe(true);
    });

    test("that are given up can be claimed at once; what is another's by now stays so", async () => {
      const fleet = await newFleet();
      const [first, second] = [await joined(fleet, "first"), await joined(fleet, "second")];
      const leases = await first.claim(ALL);
      await first.release(leases.slice(0, 10));
      const taken = await second.claim(10);
      await first.release(leases);

      expect(taken.map(({ shard }) => shard)).toEqual(leases.slice(0, 10).map(({ shard }) => shard));
      expect(server.query(`select count(*) from ${schemaOf(fleet)}.shard where owner is not null`)).toEqual(["10"]);
    });

    test("that are claimed from a lost member say since when and until when it had them, others do not", async () => {
      const fleet = await newFleet();
      const [first, second] = [await joined(fleet, "first"), await joined(fleet, "second")];
      const leases = await first.claim(ALL);
      await first.release(leases.slice(0, 1));
      const nowMs = () => Number(server.query("select floor(extract(epoch from clock_timestamp()) * 1000)")[0]);
      const fromMs = nowMs();
      expire(fleet, "first");
      const toMs = nowMs();
      const [givenUp, ...lost] = await second.claim(ALL - 1);

      expect(leases.filter(({ lostOwner }) => lostOwner !== undefined)).toEqual([]);
      expect(givenUp).not.toHaveProperty("lostOwner");
      expect(lost).toHaveLength(ALL - 2);
      for (const { lostOwner, shard } of lost) {
        expect(BigInt(lostOwner?.sinceMs ?? 0)).toBe(leases.find((one) => one.shard === shard)?.epoch);
        // The place lasts 6 s from the last renewal.
        expect(lostOwner?.untilMs).toBeGreaterThanOrEqual(fromMs - 6_000);
        expect(lostOwner?.untilMs).toBeLessThanOrEqual(toMs - 6_000);
      }
      server.query(`delete from ${schemaOf(fleet)}.member where name = 'first'`);
      const [last] = await second.claim(1);
      expect(last?.lostOwner?.untilMs).toBe(0);
    });

    test.each([
      ["commits a page", (s: string) => `select from ${s}.stream where shard = $1 for update`],
      [
        "confirms a delivery",
        (s: string) =>
          `select from ${s}.delivery where stream in (select id from ${s}.stream where shard = $1) for update`,
      ],
      ["opens a stream", (s: string) => `select from ${s}.shard where id = $1 for share`],
    ])("a statement that hangs while it %s holds up its own shard only", async (_, locks) => {
      const fleet = await newFleet();
      const [lost, next] = [await joined(fleet, "lost"), await joined(fleet, "next")];
      const lease = await claimedOfKey(lost);
      await opened(lost, lease);
      const holder = await server.session();
      try {
        await holder.query("begin");
        await holder.query(locks(schemaOf(fleet)), [lease.shard]);
        expire(fleet, "lost");
        const claimed = await withoutWaiting(next.claim(ALL));

        expect(claimed?.map(({ shard }) => shard)).toEqual(
          Array.from({ length: ALL }, (__, shard) => shard).filter((shard) => shard !== lease.shard),
        );
        expect(await next.claim(1)).toEqual([]);
        await holder.query("commit");
        expect(await next.claim(1)).toMatchObject([{ shard: lease.shard }]);
      } finally {
        await holder.end();
      }
    });

    test("a shard that is held up does not keep a member from the others, however few it asks for", async () => {
      const fleet = await newFleet();
      const [lost, next] = [await joined(fleet, "lost"), await joined(fleet, "next")];
      const leases = await lost.claim(ALL);
      const lease = leaseOfKey(leases);
      await opened(lost, lease);
      const other = leases.find(({ shard }) => shard > lease.shard) as Lease;
      const holder = await server.session();
      try {
        await holder.query("begin");
        await holder.query(`select from ${schemaOf(fleet)}.stream for update`);
        await lost.release([lease, other]);
        let claimed: readonly Lease[] = [];
        for (let tries = 0; claimed.length === 0 && tries < 100; tries += 1) claimed = await next.claim(1);

        expect(claimed).toMatchObject([{ shard: other.shard }]);
      } finally {
        await holder.end();
      }
    });

    test("are all free after a member has left", async () => {
      const fleet = await newFleet();
      const [first, second] = [await joined(fleet, "first"), await joined(fleet, "second")];
      await first.claim(ALL);
      await first.leave();

      expect(await second.claim(ALL)).toHaveLength(ALL);
      expect((await second.standing()).members).toBe(1);
    });

    test("a member learns the database's timeline, and is none the worse where the database does not say it", async () => {
      const fleet = await newFleet();
      const statements: string[] = [];
      const refusesTimeline = (sql: string) => {
        statements.push(sql);
        if (!sql.includes("pg_walfile_name")) return;
        const code = { code: "0A000", severity: "ERROR" };
        throw statementFailed(Object.assign(new DatabaseError("is not supported", 0, "error"), code));
      };
      const [first, second] = [await joined(fleet, "first"), await joined(fleet, "second", { sees: refusesTimeline })];
      expect((await first.standing()).timeline).toBe("00000001");
      expect(await second.standing()).toEqual({ ...(await second.standing()), members: 2 });
      statements.length = 0;

      expect(await second.standing()).not.toHaveProperty("timeline");
      expect(statements).toHaveLength(1);
    });

    test("a member whose question about the timeline was interrupted once asks for it again", async () => {
      const fleet = await newFleet();
      let interruptions = 1;
      const interrupted = (sql: string) => {
        if (!sql.includes("pg_walfile_name") || interruptions === 0) return;
        interruptions -= 1;
        const code = { code: "57014", severity: "ERROR" };
        throw statementFailed(Object.assign(new DatabaseError("canceling statement", 0, "error"), code));
      };
      const member = await joined(fleet, "member", { sees: interrupted });
      expect((await member.standing()).members).toBe(1);

      expect((await member.standing()).timeline).toBe("00000001");
    });

    test("a member that runs with another configuration is named", async () => {
      const fleet = await newFleet();
      const first = await joined(fleet, "first");
      await (await joined(fleet, "second")).register({ name: "second", version: "test", configHash: "other" });

      expect((await first.standing()).otherConfigurations).toEqual(["second"]);
    });
  });

  describe("several members", () => {
    test("share with those that are not drained and have the applied configuration, while there are any", async () => {
      const fleet = await newFleet();
      const s = schemaOf(fleet);
      const [applied, other] = [await joined(fleet, "applied"), await joined(fleet, "other")];
      await other.register({ name: "other", version: "test", configHash: "newer" });
      server.query(`delete from ${s}.member where name = 'other' and config_hash = 'one'`);
      const shares = async () => [(await applied.standing()).shares, (await other.standing()).shares];
      expect(await shares()).toEqual([true, false]);
      server.query(`update ${s}.member set draining = true where name = 'applied'`);
      expect(await shares()).toEqual([false, true]);
      server.query(`update ${s}.member set draining = true`);

      expect(await shares()).toEqual([true, true]);
    });

    test("a drained member stays drained when it joins again under a new identity", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      server.query(`update ${schemaOf(fleet)}.member set draining = true`);
      expire(fleet, "member");
      await member.register({ name: "member", version: "test", configHash: "one" });

      expect((await member.standing()).isDraining).toBe(true);
    });

    test("a member whose clock is an hour off owns its shards as any other, and learns by how much", async () => {
      const fleet = await newFleet();
      const ahead = await joined(fleet, "ahead", { clockAheadMs: 3_600_000 });
      const behind = await joined(fleet, "behind", { clockAheadMs: -3_600_000 });
      await ahead.claim(ALL / 2);
      await behind.claim(ALL);
      expect([await ahead.renew(), await behind.renew()]).toEqual([true, true]);

      expect(Math.round((await ahead.standing()).clockAheadMs / 600_000)).toBe(6);
      expect(Math.round((await behind.standing()).clockAheadMs / 600_000)).toBe(-6);
      expect((await ahead.standing()).owned).toHaveLength(ALL / 2);
      expect((await behind.standing()).owned).toHaveLength(ALL / 2);
    });

    test("of two fleets in one database own their shards beside each other, and see nothing of the other", async () => {
      const [one, two] = [await newFleet(), await newFleet()];
      const [ofOne, ofTwo] = [await joined(one, "member"), await joined(two, "member")];
      const [first, second] = [await opened(ofOne, await claimedOfKey(ofOne)), await ofTwo.claim(ALL)];
      await first.store.commit({ entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) });
      const other = await opened(ofTwo, leaseOfKey(second));

      expect(other.store.takeEntries()).toEqual([]);
      expect(await keysWaiting(ofTwo, other.id)).toEqual([]);
      expect((await ofOne.standing()).members).toBe(1);
    });
  });

  describe("a database that was restored from a backup", () => {
    const page = (n: number) => ({ entries: [entry(n)], deliveries: deliveriesOf(KEY.tenantId, [n]) });

    /** The files of the server as they were, by a copy that it cannot notice. */
    async function restored(s: string, since: () => Promise<void>): Promise<void> {
      const [data = ""] = server.query("show data_directory");
      await server.kill("SIGINT");
      const copy = mkdtempSync(join(tmpdir(), "backup-"));
      cpSync(data, copy, { recursive: true, preserveTimestamps: true });
      await server.startAgain();
      await since();
      expect(server.query(`select count(*) from ${s}.packet`)).not.toEqual(["0"]);
      await server.kill("SIGQUIT");
      const { uid, gid } = statSync(data);
      rmSync(data, { recursive: true });
      cpSync(copy, data, { recursive: true });
      rmSync(copy, { recursive: true });
      for (const file of [".", ...readdirSync(data, { recursive: true })])
        chownSync(join(data, String(file)), uid, gid);
      chmodSync(data, 0o700);
      await server.startAgain();
    }

    test("takes nothing of a member from before, which reads again what the backup knows, and loses nothing", async () => {
      const fleet = await newFleet();
      const s = schemaOf(fleet);
      const member = await joined(fleet, "member");
      const lease = await claimedOfKey(member);
      const before = await opened(member, lease);
      await before.store.commit(page(1));
      await restored(s, async () => {
        await before.store.commit(page(2)).catch(() => before.store.commit(page(2)));
        await before.store.commit(page(3));
      });
      // What was delivered before the restore is confirmed after it, under a lease that the backup knows.
      const seq = { stream: before.id, epoch: lease.epoch, seq: 3n };
      const confirm = () => member.confirm(OUTPUTS[0] as string, [seq]);
      expect(await confirm().catch(confirm)).toEqual([before.id]);
      expect(await codeOf(before.store.commit(page(4)))).toBe("fleet-fenced");
      await member.register({ name: "member", version: "test", configHash: "one" });
      server.query(`delete from ${s}.member where alive_until < (select max(alive_until) from ${s}.member)`);
      const after = await opened(member, await claimedOfKey(member));

      expect(after.lease.epoch).toBeGreaterThan(lease.epoch);
      expect(after.store.takeEntries()).toEqual([entry(1)]);
      for (const n of [2, 3, 4]) await after.store.commit(page(n));
      expect(await keysWaiting(member, after.id)).toEqual(keysOf([2, 3, 4]));
    });

    test("by the documented commands has what waited when it was dumped under a running member, and goes on", async () => {
      const fleet = await newFleet();
      const s = schemaOf(fleet);
      const folder = mkdtempSync(join(tmpdir(), "backup-"));
      const asDocumented = (program: string) => {
        const [, ...args] = documentedLine(program, s).replace("fleet.dump", join(folder, "fleet.dump")).split(" ");
        server.run(
          program,
          args.map((one) => one.replace(/(?<=^|--dbname=)fleet$/, "postgres")),
        );
      };
      const before = await joined(fleet, "before");
      const old = await opened(before, await claimedOfKey(before));
      await old.store.commit(page(1));
      asDocumented("pg_dump");
      await old.store.commit(page(2));
      await world.closeMembers();
      server.query(`drop schema ${s} cascade`);
      asDocumented("pg_restore");
      rmSync(folder, { recursive: true });
      expect(await initFleet(admin, fleet)).toEqual({ before: SCHEMA_VERSION, now: SCHEMA_VERSION });
      expire(fleet, "before");
      const member = await joined(fleet, "after");
      const after = await opened(member, await claimedOfKey(member));

      expect(after.store.takeEntries()).toEqual([entry(1)]);
      await after.store.commit(page(2));
      expect(await keysWaiting(member, after.id)).toEqual(keysOf([1, 2]));
    });
  });

  describe("fencing", () => {
    async function takeover(choice: MemberChoice = {}) {
      const fleet = await newFleet();
      const [zombie, heir] = [await joined(fleet, "zombie"), await joined(fleet, "heir", choice)];
      const before = await opened(zombie, await claimedOfKey(zombie));
      await before.store.commit({ entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) });
      expire(fleet, "zombie");
      return { fleet, zombie, heir, before };
    }

    test("a member that was taken over commits nothing, before and after the new owner has written", async () => {
      const { heir, before } = await takeover();
      const leases = await heir.claim(ALL);
      const late = { entries: [entry(2)], deliveries: deliveriesOf(KEY.tenantId, [2]) };

      expect(await codeOf(before.store.commit(late))).toBe("fleet-fenced");
      expect(before.lost).toEqual([before.lease]);
      const after = await opened(heir, leaseOfKey(leases));
      expect(after.store.takeEntries()).toEqual([entry(1)]);
      await after.store.commit({ entries: [entry(3)], deliveries: deliveriesOf(KEY.tenantId, [3]) });
      expect(await codeOf(before.store.commit(late))).toBe("fleet-fenced");
      expect(await keysWaiting(heir, after.id)).toEqual(keysOf([1, 3]));
    });

    test("a stream that the old owner opened while the new one claimed is the new one's, too", async () => {
      // Without a list of customers each stream is opened alone.
      const { fleet, heir, before } = await takeover({ configured: [] });
      const leases = await heir.claim(ALL);
      // As if the claim had not seen the stream, because it was made in the same moment.
      server.query(`update ${schemaOf(fleet)}.stream set epoch = ${before.lease.epoch}`);
      await opened(heir, leaseOfKey(leases));

      expect(await codeOf(before.store.commit({ entries: [entry(2)] }))).toBe("fleet-fenced");
    });

    test("an old lease opens no stream", async () => {
      const { zombie, heir, before } = await takeover();
      await heir.claim(ALL);

      expect(await codeOf(opened(zombie, before.lease))).toBe("fleet-fenced");
    });

    test("a checkpoint, a compaction and an output's progress are fenced like a page", async () => {
      const { fleet, zombie, heir, before } = await takeover();
      // A store that has lost its shard says so without asking; each write needs one that does not know yet.
      const compacting = await opened(zombie, before.lease);
      await heir.claim(ALL);
      const seq = { stream: before.id, epoch: before.lease.epoch, seq: 1n };
      expect(await zombie.confirm(OUTPUTS[0] as string, [seq])).toEqual([]);

      expect(await codeOf(before.store.commit({ checkpoint: checkpoint(9) }))).toBe("fleet-fenced");
      expect(await codeOf(compacting.store.compact([]))).toBe("fleet-fenced");
      expect(server.query(`select checkpoint is null from ${schemaOf(fleet)}.stream`)).toEqual(["t"]);
      expect(server.query(`select count(*) from ${schemaOf(fleet)}.ledger`)).toEqual(["1"]);
      expect(server.query(`select seq from ${schemaOf(fleet)}.delivery`)).toEqual(["0"]);
    });

    test("of two stores under one lease only the one that knows the last commit writes", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const lease = await claimedOfKey(member);
      const [stale, fresh] = [await opened(member, lease), await opened(member, lease)];
      await fresh.store.commit({ entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) });

      const again = { entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) };
      expect(await codeOf(stale.store.commit(again))).toBe("fleet-fenced");
      expect(await keysWaiting(member, fresh.id)).toEqual(keysOf([1]));
    });

    test("two members that both believe to own a customer never both commit a page", async () => {
      const fleet = await newFleet();
      const committed: number[] = [];
      const names = ["one", "two"];
      const all = await Promise.all(names.map((name) => joined(fleet, name)));
      let stream = 0;
      for (let round = 0; round < 6; round += 1) {
        const [old, heir] = round % 2 === 0 ? all : all.toReversed();
        const [oldName] = round % 2 === 0 ? names : names.toReversed();
        await old?.register({ name: oldName as string, version: "test", configHash: "one" });
        const was = await opened(old as PostgresFleet, await claimedOfKey(old as PostgresFleet));
        stream = was.id;
        expire(fleet, oldName as string);
        await heir?.register({ name: names[(round + 1) % 2] as string, version: "test", configHash: "one" });
        const page = (n: number) => ({ entries: [entry(n)], deliveries: deliveriesOf(KEY.tenantId, [n]) });
        // The old owner's page and the claim meet in the database in either order.
        const [late, lease] = await Promise.all([
          codeOf(was.store.commit(page(2 * round))),
          claimedOfKey(heir as PostgresFleet),
        ]);
        if (late === "done") committed.push(2 * round);
        const is = await opened(heir as PostgresFleet, lease);
        const known = is.store.takeEntries().some(({ updated }) => updated === BigInt(2 * round));
        expect(known).toBe(late === "done");
        await is.store.commit(page(2 * round + 1));
        committed.push(2 * round + 1);
        expire(fleet, names[(round + 1) % 2] as string);
      }
      await all[0]?.register({ name: "one", version: "test", configHash: "one" });

      expect(await keysWaiting(all[0] as PostgresFleet, stream)).toEqual(keysOf(committed));
    });
  });

  describe("a takeover of many customers", () => {
    const many = Array.from({ length: 40 }, (_, n) => ({ ...KEY, stanza: `Contoso ${n}` }));
    const events = { lost: () => undefined, committed: () => undefined };
    const openAll = (member: PostgresFleet, lease: Lease) =>
      Promise.all(many.map((key) => member.open(key, lease, OUTPUTS, events)));

    /** Each has a ledger, a checkpoint and a packet, and its owner is gone. */
    async function leftBehind() {
      const fleet = await newFleet();
      const dead = await joined(fleet, "dead", { configured: many });
      const streams = await openAll(dead, await claimedOfKey(dead));
      for (const [n, { store }] of streams.entries())
        await store.commit({
          entries: [entry(n)],
          checkpoint: checkpoint(n),
          deliveries: deliveriesOf(KEY.tenantId, [n]),
        });
      expire(fleet, "dead");
      return { fleet, streams };
    }

    test("opens all streams of a shard with a few statements, and each goes on where its old owner stopped", async () => {
      const { fleet, streams } = await leftBehind();
      const statements: string[] = [];
      const heir = await joined(fleet, "heir", { configured: many, sees: (sql) => statements.push(sql) });
      const lease = await claimedOfKey(heir);
      statements.length = 0;
      const taken = await openAll(heir, lease);

      expect(statements.length).toBeLessThanOrEqual(3);
      expect(taken.map(({ id }) => id)).toEqual(streams.map(({ id }) => id));
      for (const [n, { id, store }] of taken.entries()) {
        expect([store.checkpoint, store.takeEntries()]).toEqual([checkpoint(n), [entry(n)]]);
        await store.commit({ entries: [entry(100 + n)], deliveries: deliveriesOf(KEY.tenantId, [100 + n]) });
        expect(await keysWaiting(heir, id)).toEqual(keysOf([n, 100 + n]));
      }
      const late = await Promise.all(streams.map(({ store }) => codeOf(store.commit({ entries: [entry(7)] }))));
      expect(new Set(late)).toEqual(new Set(["fleet-fenced"]));
    });

    test("gives each stream out once: whoever opens it again reads what was committed since", async () => {
      const { fleet } = await leftBehind();
      const heir = await joined(fleet, "heir", { configured: many });
      const lease = await claimedOfKey(heir);
      const [first] = await openAll(heir, lease);
      await first?.store.commit({ entries: [entry(100)] });
      const again = await heir.open(many[0] as typeof KEY, lease, OUTPUTS, events);

      expect(again.store.takeEntries()).toEqual([entry(0), entry(100)]);
    });

    test("opens a stream with a long ledger alone, with all of it", async () => {
      const { fleet, streams } = await leftBehind();
      const s = schemaOf(fleet);
      server.query(`insert into ${s}.ledger(stream, object, ticks, written, bytes, crc, is_new)
        select ${streams[3]?.id}, gen_random_uuid(), 1, 1, 1, 1, true from generate_series(1, 1100)`);
      const heir = await joined(fleet, "heir", { configured: many });
      const taken = await openAll(heir, await claimedOfKey(heir));

      expect(taken.map(({ store }) => store.takeEntries().length)).toEqual(many.map((_, n) => (n === 3 ? 1101 : 1)));
    });

    test("opens each stream alone where the database refuses to read them together", async () => {
      const { fleet } = await leftBehind();
      let refusals = 0;
      const refusesFirst = (sql: string) => {
        if (!sql.includes("t.epoch = $2 and c.tenant") || refusals > 0) return;
        refusals += 1;
        throw statementFailed(
          Object.assign(new DatabaseError("damaged", 0, "error"), { code: "XX001", severity: "ERROR" }),
        );
      };
      const heir = await joined(fleet, "heir", { configured: many, sees: refusesFirst });
      const taken = await openAll(heir, await claimedOfKey(heir));

      expect(refusals).toBe(1);
      expect(taken.map(({ store }) => store.takeEntries())).toEqual(many.map((_, n) => [entry(n)]));
    });

    test("fences what the old owner opened while the new one claimed", async () => {
      const { fleet, streams } = await leftBehind();
      const heir = await joined(fleet, "heir", { configured: many });
      const lease = await claimedOfKey(heir);
      // As if the claim had not seen the streams, because they were made in the same moment.
      const old = streams[0]?.lease.epoch;
      server.query(`update ${schemaOf(fleet)}.stream set epoch = ${old}`);
      const [taken] = await openAll(heir, lease);

      expect(await codeOf(streams[0]?.store.commit({ entries: [entry(7)] }) as Promise<void>)).toBe("fleet-fenced");
      await taken?.store.commit({ entries: [entry(8)] });
    });
  });

  describe("a commit whose answer never comes", () => {
    test("is not tried again: the shard is forgotten, and after a new claim the page is there once", async () => {
      const fleet = await newFleet();
      const proxy = await CuttingProxy.open(server.port);
      try {
        const member = await joined(fleet, "member", { port: proxy.port, answerWithinMs: 5_000 });
        const before = await opened(member, await claimedOfKey(member));
        proxy.mode = "swallow-answers";
        const page = { entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) };

        expect(await codeOf(before.store.commit(page))).toBe("fleet-unsettled");
        expect(before.lost).toEqual([before.lease]);
        expect(await codeOf(before.store.commit(page))).toBe("fleet-fenced");
        // The server may begin with it only after the member has given up waiting.
        while (server.query(`select 1 from ${schemaOf(fleet)}.packet`).length === 0) await pause(20);
        proxy.mode = "pass";
        proxy.cut();
        await member.release([before.lease]);
        const lease = await claimedOfKey(member);
        const after = await opened(member, lease);

        expect(lease.shard).toBe(before.lease.shard);
        expect(lease.epoch).toBeGreaterThan(before.lease.epoch);
        expect(after.store.takeEntries()).toEqual([entry(1)]);
        expect(await keysWaiting(member, after.id)).toEqual(keysOf([1]));
      } finally {
        await proxy.close();
      }
    });

    /** Statements of members that wait for a lock, with the server's processes. */
    test.each([
      ["the server goes on and commits it", "committed before the claim", true],
      ["the server is told to end it", "undone", false],
      ["a claim comes while the server is still at it", "committed during the claim", true],
    ] as const)(
      "a connection that is cut after the page was sent is settled by reading: %s (%s)",
      async (_, outcome, isThere) => {
        const fleet = await newFleet();
        const proxy = await CuttingProxy.open(server.port);
        const holder = await server.session();
        try {
          const member = await joined(fleet, "member", { port: proxy.port, answerWithinMs: 3_600_000 });
          const before = await opened(member, await claimedOfKey(member));
          const page = { entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) };
          await holder.query("begin");
          await holder.query(`select from ${schemaOf(fleet)}.stream for update`);
          const code = codeOf(before.store.commit(page));
          while (waitingForLock().length === 0) await pause(20);
          const [pid] = waitingForLock();
          proxy.cut();
          expect(await code).toBe("fleet-unsettled");
          expect(before.lost).toEqual([before.lease]);

          await member.release([before.lease]);
          if (outcome === "undone") server.query(`select pg_terminate_backend(${pid})`);
          // What may still be committed is not claimed before it is.
          const early = outcome === "committed during the claim" ? await member.claim(ALL) : [];
          expect(early).toEqual([]);
          await holder.query("commit");
          // It has its lock before it has committed, and a claim in between would be first.
          await gone(pid as string);
          const after = await opened(member, await claimedOfKey(member));

          expect(after.store.takeEntries()).toEqual(isThere ? [entry(1)] : []);
          if (!isThere) await after.store.commit(page);
          expect(await keysWaiting(member, after.id)).toEqual(keysOf([1]));
          expect(server.query(`select sum(records) from ${schemaOf(fleet)}.packet`)).toEqual(["1"]);
        } finally {
          await holder.end();
          await proxy.close();
        }
      },
    );

    test("a connection that cannot be made commits nothing, and the lease stays", async () => {
      const fleet = await newFleet();
      const proxy = await CuttingProxy.open(server.port);
      try {
        const member = await joined(fleet, "member", { port: proxy.port });
        const { store, lost, committed } = await opened(member, await claimedOfKey(member));
        proxy.mode = "refuse";
        proxy.cut();
        const page = { entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) };

        expect(["fleet-unreachable", "fleet-unsettled"]).toContain(await codeOf(store.commit(page)));
        proxy.mode = "pass";
        const again = lost.length > 0 ? "done" : await codeOf(store.commit(page));
        expect(again).toBe("done");
        expect(committed.length).toBe(1 - lost.length);
      } finally {
        await proxy.close();
      }
    });

    test("a page that the server refuses counts as not sent, and is committed when it can be", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const { id, store, lost, committed } = await opened(member, await claimedOfKey(member));
      const page = { entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) };
      server.query(`revoke insert on ${schemaOf(fleet)}.packet from ${MEMBER_ROLE}`);

      expect(await codeOf(store.commit(page))).toBe("fleet-refused");
      expect([lost, committed]).toEqual([[], []]);
      server.query(`grant insert on ${schemaOf(fleet)}.packet to ${MEMBER_ROLE}`);
      await store.commit(page);
      expect(committed).toEqual([id]);
      expect(await keysWaiting(member, id)).toEqual(keysOf([1]));
    });

    test("a page for which the database has no space is not lost: it says so, names the next step and takes it later", async () => {
      const fleet = await newFleet();
      const s = schemaOf(fleet);
      const member = await joined(fleet, "member");
      const { id, store, lost, committed } = await opened(member, await claimedOfKey(member));
      const page = { entries: [entry(1)], checkpoint: checkpoint(1), deliveries: deliveriesOf(KEY.tenantId, [1]) };
      // As the server says it where a table's file cannot grow.
      server.query(`create function ${s}.full_disk() returns trigger language plpgsql as $$ begin
        raise exception using errcode = 'disk_full',
          message = 'could not extend file "base/5/16384": No space left on device'; end $$;
        create trigger full_disk before insert on ${s}.packet for each row execute function ${s}.full_disk()`);
      const failure = await store.commit(page).catch((error: unknown) => error);

      expect(failure).toMatchObject({
        code: "fleet-refused",
        actor: "operator",
        say: expect.stringMatching(
          /\(53100\): could not extend file .* No space left on device\. Nothing of it was committed\.$/,
        ),
        nextStep: "Free disk space on the database's host. Collection resumes by itself.",
      });
      expect([lost, committed]).toEqual([[], []]);
      expect(server.query(`select checkpoint is null, next_seq from ${s}.stream`)).toEqual(["t|1"]);
      expect(server.query(`select count(*) from ${s}.ledger`)).toEqual(["0"]);
      expect(await member.renew()).toBe(true);
      server.query(`drop trigger full_disk on ${s}.packet`);
      await store.commit(page);
      expect(committed).toEqual([id]);
      expect(await keysWaiting(member, id)).toEqual(keysOf([1]));
    });

    test("a page of a database that is read-only counts as not sent, and is committed when it can be", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const { id, store, lost, committed } = await opened(member, await claimedOfKey(member));
      const page = { entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) };
      const readOnly = async (isReadOnly: boolean): Promise<void> => {
        server.query(`alter role ${MEMBER_ROLE} set default_transaction_read_only = ${isReadOnly}`);
        const pids = server.query(`select pid from pg_stat_activity where usename = '${MEMBER_ROLE}'`);
        for (const pid of pids) server.query(`select pg_terminate_backend(${pid})`);
        // They were told, and until they end they answer as before.
        for (const pid of pids) await gone(pid);
      };
      /** What the first answer over new connections says; the old ones are cut. */
      const answered = async (ask: () => Promise<unknown>): Promise<string> => {
        for (;;) {
          const code = await codeOf(ask());
          if (code !== "fleet-unreachable" && code !== "fleet-unsettled") return code;
        }
      };
      await readOnly(true);
      expect(await answered(() => member.standing())).toBe("done");

      expect(await codeOf(store.commit(page))).toBe("fleet-refused");
      expect(await answered(() => member.renew())).toBe("fleet-refused");
      expect([lost, committed]).toEqual([[], []]);
      await readOnly(false);
      expect(await answered(() => member.standing())).toBe("done");
      await store.commit(page);
      expect(committed).toEqual([id]);
      expect(await keysWaiting(member, id)).toEqual(keysOf([1]));
    });

    test("a page after the database crashed and came back is committed once", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const before = await opened(member, await claimedOfKey(member));
      await before.store.commit({ entries: [entry(1)], deliveries: deliveriesOf(KEY.tenantId, [1]) });
      await server.kill();
      const page = { entries: [entry(2)], deliveries: deliveriesOf(KEY.tenantId, [2]) };
      const whileDown = await codeOf(before.store.commit(page));
      await server.startAgain();

      expect(["fleet-unreachable", "fleet-unsettled"]).toContain(whileDown);
      await member.release([before.lease]);
      const after = await opened(member, await claimedOfKey(member));
      expect(after.store.takeEntries()).toEqual([entry(1)]);
      await after.store.commit(page);
      expect(await keysWaiting(member, before.id)).toEqual(keysOf([1, 2]));
    });
  });

  describe("packets", () => {
    test("come back with the bytes, the members and what was known of each version, oldest first", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const { id, store } = await opened(member, await claimedOfKey(member));
      const pages = [[1, 2, 3], [4]].map((page) => deliveriesOf(KEY.tenantId, page));
      for (const deliveries of pages) await store.commit({ deliveries });
      const waiting = await member.waiting(OUTPUTS[0] as string, [id], 1 << 20);

      expect(waiting.map(({ seq }) => seq)).toEqual([1n, 2n]);
      const comparable = (deliveries: ReturnType<typeof deliveriesOf>) =>
        deliveries.map(({ record: { body, ...record }, ...delivery }) => ({
          ...delivery,
          record,
          text: Buffer.from(body.bytes.subarray(body.start, body.end)).toString(),
          members: Array.from(body.members.slice(body.firstMember, body.firstMember + body.memberCount * 7)),
          escapes: Array.from(body.escapes.slice(body.firstEscape, body.firstEscape + body.escapeCount)),
        }));
      expect(comparable(waiting.flatMap(({ deliveries }) => deliveries))).toEqual(comparable(pages.flat()));
    });

    test("are read within a limit, and at least one of them", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const { id, store } = await opened(member, await claimedOfKey(member));
      for (const n of [1, 2, 3]) await store.commit({ deliveries: deliveriesOf(KEY.tenantId, [n]) });

      expect(await member.waiting(OUTPUTS[0] as string, [id], 1)).toHaveLength(1);
    });

    test("of a stream that commits faster than they are delivered hide no other stream's", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const lease = await claimedOfKey(member);
      const busy = await opened(member, lease);
      const quiet = await member.open({ ...KEY, stream: "incidents" }, lease, OUTPUTS, {
        lost: () => undefined,
        committed: () => undefined,
      });
      for (const n of [1, 2, 3, 4]) await busy.store.commit({ deliveries: deliveriesOf(KEY.tenantId, [n]) });
      await quiet.store.commit({ deliveries: deliveriesOf(KEY.tenantId, [5]) });
      const both = [busy.id, quiet.id];
      const [first] = await member.waiting(OUTPUTS[0] as string, both, 1);
      const bytes = first?.bytes ?? 0;
      const found = await member.waiting(OUTPUTS[0] as string, both, 3 * bytes + 40);

      expect(busy.id).toBeLessThan(quiet.id);
      expect(found.map(({ stream, seq }) => [stream, seq])).toEqual([
        [busy.id, 1n],
        [busy.id, 2n],
        [quiet.id, 1n],
      ]);
    });

    test("that a receiver took and that are not confirmed yet are left out, each stream's by its own", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const lease = await claimedOfKey(member);
      const first = await opened(member, lease);
      const second = await member.open({ ...KEY, stream: "incidents" }, lease, OUTPUTS, {
        lost: () => undefined,
        committed: () => undefined,
      });
      const both = [first, second];
      for (const { store } of both)
        for (const n of [1, 2, 3]) await store.commit({ deliveries: deliveriesOf(KEY.tenantId, [n]) });
      const [output] = OUTPUTS as [string];
      await member.confirm(output, [{ stream: second.id, epoch: lease.epoch, seq: 2n }]);
      const ids = both.map(({ id }) => id);
      const found = async (...takenTo: readonly (readonly [number, bigint])[]) =>
        (await member.waiting(output, ids, 1 << 20, new Map(takenTo))).map(({ stream, seq }) => [stream, seq]);

      expect(await found([first.id, 2n])).toEqual([
        [first.id, 3n],
        [second.id, 3n],
      ]);
      // What was confirmed meanwhile does not wait again.
      expect(await found([second.id, 1n], [first.id, 3n])).toEqual([[second.id, 3n]]);
      expect(await found([first.id, 3n], [second.id, 3n])).toEqual([]);
    });

    test("wait for each output until that one confirmed them; a new output gets what comes from now on", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const lease = await claimedOfKey(member);
      const { id, store } = await opened(member, lease, ["a", "b"]);
      for (const n of [1, 2]) await store.commit({ deliveries: deliveriesOf(KEY.tenantId, [n]) });
      expect(await member.confirm("a", [{ stream: id, epoch: lease.epoch, seq: 1n }])).toEqual([id]);
      // An older confirmation that arrives late takes nothing back.
      expect(await member.confirm("a", [{ stream: id, epoch: lease.epoch, seq: 0n }])).toEqual([id]);
      const again = await opened(member, lease, ["a", "c"]);
      const outputsKept = `select output from ${schemaOf(fleet)}.delivery order by output`;
      expect(server.query(outputsKept)).toEqual(["a", "b", "c"]);
      await again.store.commit({ deliveries: deliveriesOf(KEY.tenantId, [3]) });

      expect(await keysWaiting(member, id, "a")).toEqual(keysOf([2, 3]));
      // An output that another member may still have is forgotten only after it confirmed everything.
      expect(await keysWaiting(member, id, "b")).toEqual(keysOf([1, 2, 3]));
      expect(await keysWaiting(member, id, "c")).toEqual(keysOf([3]));
      await again.store.commit({ checkpoint: checkpoint(1) });
      await member.confirm("b", [{ stream: id, epoch: lease.epoch, seq: 3n }]);
      await opened(member, lease, ["a", "c"]);
      expect(server.query(outputsKept)).toEqual(["a", "c"]);
    });

    test("wait for an output that only another member has while configurations differ", async () => {
      const fleet = await newFleet();
      const [changed, other] = [await joined(fleet, "changed"), await joined(fleet, "other")];
      const [id, firstEpoch] = await (async () => {
        const lease = await claimedOfKey(other);
        const { id: stream, store } = await opened(other, lease, ["a", "b"]);
        await store.commit({ deliveries: deliveriesOf(KEY.tenantId, [1]) });
        const seq = { stream, epoch: lease.epoch, seq: 1n };
        await Promise.all(["a", "b"].map((output) => other.confirm(output, [seq])));
        await other.release([lease]);
        return [stream, lease.epoch] as const;
      })();
      server.query(`update ${schemaOf(fleet)}.member set config_hash = 'new' where name = 'changed'`);
      const lease = await claimedOfKey(changed);
      const meanwhile = await opened(changed, lease, ["a"]);
      await meanwhile.store.commit({ deliveries: deliveriesOf(KEY.tenantId, [2]) });
      await changed.release([lease]);
      const back = await claimedOfKey(other);
      await opened(other, back, ["a", "b"]);

      expect(back.epoch).toBeGreaterThan(firstEpoch);
      expect(await keysWaiting(other, id, "b")).toEqual(keysOf([2]));
    });

    test("that wait for an output whose settings changed are delivered by the one that replaces it", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const lease = await claimedOfKey(member);
      const { id, store } = await opened(member, lease, ["cef-file-a", "json-lines-a"]);
      for (const n of [1, 2]) await store.commit({ deliveries: deliveriesOf(KEY.tenantId, [n]) });
      await member.confirm("cef-file-a", [{ stream: id, epoch: lease.epoch, seq: 1n }]);
      await opened(member, lease, ["cef-file-b", "json-lines-a"]);

      expect(await keysWaiting(member, id, "cef-file-b")).toEqual(keysOf([2]));
      expect(await keysWaiting(member, id, "json-lines-a")).toEqual(keysOf([1, 2]));
      const outputs = server.query(`select output from ${schemaOf(fleet)}.delivery order by output`);
      expect(outputs).toEqual(["cef-file-b", "json-lines-a"]);
    });

    test("are removed by the hour, once every output confirmed all of that hour", async () => {
      const fleet = await newFleet();
      const s = schemaOf(fleet);
      const member = await joined(fleet, "member");
      const lease = await claimedOfKey(member);
      const { id, store } = await opened(member, lease);
      await store.commit({ deliveries: deliveriesOf(KEY.tenantId, [1]) });
      server.query(`create table ${s}.packet_7 partition of ${s}.packet for values in (7)`);
      server.query(`update ${s}.packet set hour = 7`);
      await member.keepHouse();

      expect(await keysWaiting(member, id)).toEqual(keysOf([1]));
      await member.confirm(OUTPUTS[0] as string, [{ stream: id, epoch: lease.epoch, seq: 1n }]);
      await member.keepHouse();
      expect(server.query(`select count(*) from ${s}.packet`)).toEqual(["0"]);
      expect(server.query(`select to_regclass('${s}.packet_7') is null`)).toEqual(["t"]);
    });

    test("that wait keep no member from starting while their hours cannot be removed", async () => {
      const fleet = await newFleet();
      const s = schemaOf(fleet);
      server.query(`create or replace function ${s}.drop_delivered_hours() returns int language plpgsql
        as 'begin raise exception using errcode = ''55P03'', message = ''lock timeout''; end'`);
      const member = await joined(fleet, "member");

      expect(await codeOf(member.keepHouse())).toBe("fleet-refused");
      server.query(`revoke execute on function ${s}.make_packet_hours() from ${MEMBER_ROLE}`);
      expect(await codeOf(joined(fleet, "member"))).toBe("fleet-refused");
    });

    test("are committed after the server's clock has left the hours that were made", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member");
      const { id, store } = await opened(member, await claimedOfKey(member));
      const hours = server.query(
        `select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = '${schemaOf(fleet)}.packet'::regclass`,
      );
      for (const hour of hours) server.query(`drop table ${schemaOf(fleet)}.${hour}`);
      const page = { deliveries: deliveriesOf(KEY.tenantId, [1]) };

      expect(await codeOf(store.commit(page))).toBe("fleet-refused");
      expect(await codeOf(store.commit(page))).toBe("done");
      expect(await keysWaiting(member, id)).toEqual(keysOf([1]));
    });
  });

  describe("a stanza that was renamed", () => {
    test("takes over what its tenant left under a name that is configured no more", async () => {
      const fleet = await newFleet();
      const member = await joined(fleet, "member", { configured: [] });
      const lease = await claimedOfKey(member);
      const { id, store } = await opened(member, lease);
      await store.commit({ entries: [entry(1)], checkpoint: checkpoint(1) });
      const events = { lost: () => undefined, committed: () => undefined };
      const renamed = await member.open({ ...KEY, stanza: "Contoso Ltd" }, lease, OUTPUTS, events);

      expect(renamed.id).toBe(id);
      expect(renamed.store.checkpoint).toEqual(checkpoint(1));
    });
  });

  describe("the schema", () => {
    test("is made once; a second init changes nothing, and a newer one is refused by init, members and commands", async () => {
      const fleet = await newFleet();
      expect(await initFleet(admin, fleet)).toEqual({ before: SCHEMA_VERSION, now: SCHEMA_VERSION });
      server.query(`update ${schemaOf(fleet)}.fleet set version = ${SCHEMA_VERSION + 1}`);

      expect(await codeOf(initFleet(admin, fleet))).toBe("fleet-schema");
      expect(await codeOf(joined(fleet, "member"))).toBe("fleet-schema");
      expect(await codeOf(joined("missing", "member"))).toBe("fleet-schema");
      let begun = 0;
      const command = withFleetDatabase(settingsFor([server.port], { name: fleet }), async () => (begun += 1));
      expect([await codeOf(command), begun]).toEqual(["fleet-schema", 0]);
    });

    test("of an older release is refused by members, and upgraded by init with everything that it holds", async () => {
      const fleet = "older";
      const s = schemaOf(fleet);
      await admin.query(upgradeSql(fleet, 0, 1));
      server.query(`grant usage on schema ${s} to ${MEMBER_ROLE}; grant select on ${s}.fleet to ${MEMBER_ROLE}`);
      server.query(`update ${s}.shard set epoch = ${1n << 60n}`);
      expect(await codeOf(joined(fleet, "member"))).toBe("fleet-schema");

      expect(await initFleet(admin, fleet)).toEqual({ before: 1, now: SCHEMA_VERSION });
      server.query(roleSql(fleet, MEMBER_ROLE));
      const member = await joined(fleet, "member");
      expect((await claimedOfKey(member)).epoch).toBe((1n << 60n) + 1n);
    });

    test("of a newer release lets members of version 2 go on beside new ones, and share with them", async () => {
      const fleet = "rolling";
      const s = schemaOf(fleet);
      await admin.query(upgradeSql(fleet, 0, 2));
      // With what a member of version 2 may and says, word for word.
      server.query(
        `grant usage on schema ${s} to ${MEMBER_ROLE}; grant select on ${s}.fleet to ${MEMBER_ROLE};
         grant select, insert, update, delete on ${s}.member to ${MEMBER_ROLE};
         grant select, update on ${s}.shard to ${MEMBER_ROLE};
         grant select, insert, update on ${s}.customer, ${s}.stream, ${s}.configuration to ${MEMBER_ROLE};
         grant select, insert, update, delete on ${s}.delivery, ${s}.ledger to ${MEMBER_ROLE};
         grant select, insert on ${s}.packet, ${s}.set_aside to ${MEMBER_ROLE};
         grant execute on function ${s}.make_packet_hours(), ${s}.drop_delivered_hours() to ${MEMBER_ROLE};`,
      );
      const old = connectionsTo({ port: server.port, user: MEMBER_ROLE, password: MEMBER_PASSWORD });
      const boot = "11111111-2222-4333-8444-555555555555";
      const ahead = (parameter: string) =>
        `${parameter}::bigint - floor(extract(epoch from clock_timestamp()) * 1000)::bigint`;
      const register = () =>
        old.query(
          `with gone as (delete from ${s}.member where alive_until < clock_timestamp() - interval '1 day'),
           first as (insert into ${s}.configuration(hash) values ($4) on conflict do nothing)
           insert into ${s}.member(boot, name, version, config_hash, alive_until, clock_ahead_ms, draining)
           values ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 millisecond', ${ahead("$6")},
             coalesce((select draining from ${s}.member where boot = $7), false))`,
          [boot, "old", "0.1.0", "one", 3_600_000, Date.now(), null],
        );
      const renew = () =>
        old.query(
          `update ${s}.member set alive_until = clock_timestamp() + $2 * interval '1 millisecond',
             clock_ahead_ms = ${ahead("$3")}
           where boot = $1 and alive_until > clock_timestamp() returning boot`,
          [boot, 3_600_000, Date.now()],
        );
      const sharingAsOld = async () => {
        const rows = await old.query<{ name: string; isDraining: boolean }>(
          `select m.name, m.boot = $1 as "isSelf", m.draining as "isDraining", m.config_hash as hash,
             m.config_hash = (select hash from ${s}.configuration) as "isApplied", m.clock_ahead_ms::int8 as ahead,
             (select count(*)::int from ${s}.set_aside) as "setAside"
           from ${s}.member m where m.alive_until > clock_timestamp()`,
          [boot],
        );
        return rows.filter(({ isDraining }) => !isDraining).map(({ name }) => name);
      };
      try {
        await register();
        await initFleet(admin, fleet);
        expect(await renew()).toHaveLength(1);
        server.query(roleSql(fleet, MEMBER_ROLE));
        const key = FleetKey.fromText(FleetKey.newText()) as FleetKey;
        const fresh = await joined(fleet, "fresh", { key });
        stay(fleet, "fresh");
        expect([...(await sharingAsOld())].sort()).toEqual(["fresh", "old"]);
        expect((await fresh.standing()).members).toBe(2);
        expect(await fresh.claim(ALL / 2)).toHaveLength(ALL / 2);
        expect(await renew()).toHaveLength(1);

        // A member with another key takes nobody, so the old one must not leave customers to it.
        await joined(fleet, "other", { key: FleetKey.fromText(FleetKey.newText()) as FleetKey });
        stay(fleet, "other");
        expect([...(await sharingAsOld())].sort()).toEqual(["fresh", "old"]);
        expect((await fresh.standing()).members).toBe(2);
      } finally {
        await old.close();
      }
    });

    test("gives the member's role no right to change tables, and none on another fleet", async () => {
      const fleet = await newFleet();
      const stranger = "stranger";
      server.query(`create role ${stranger} login password 'stranger'`);
      const asStranger = connectionsTo({ port: server.port, user: stranger, password: "stranger" });
      const asMember = connectionsTo({ port: server.port, user: MEMBER_ROLE, password: MEMBER_PASSWORD });
      try {
        const s = schemaOf(fleet);
        expect(await codeOf(asMember.query(`drop table ${s}.ledger`))).toBe("fleet-refused");
        expect(await codeOf(asMember.query(`delete from ${s}.packet`))).toBe("fleet-refused");
        expect(await codeOf(asMember.query(`update ${s}.fleet set version = 9`))).toBe("fleet-refused");
        expect(await codeOf(asStranger.query(`select ${s}.drop_delivered_hours()`))).toBe("fleet-refused");
      } finally {
        await asStranger.close();
        await asMember.close();
      }
    });
  });
});
