/**
 * Streams that are moved between a state folder and the database of a fleet, with real files and a real
 * PostgreSQL: what one has seen, the other does not send again, also when the move was interrupted anywhere.
 */
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { type MovedCustomer, type TransferParts, transferIn, transferOut } from "../../src/main/fleet-transfer.ts";
import { isFailure } from "../../src/model/failure.ts";
import { sealed } from "../../src/model/sealed.ts";
import type { StateKey, StreamStore } from "../../src/model/state.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { realDisk } from "../../src/stores/disk/disk.ts";
import { openStateFolder } from "../../src/stores/disk/folder.ts";
import { SecretFiles, tokenEntryName } from "../../src/stores/disk/secrets.ts";
import type { Connections } from "../../src/stores/postgres/connections.ts";
import { FleetKey } from "../../src/stores/postgres/fleet-key.ts";
import { FleetTokens } from "../../src/stores/postgres/fleet-tokens.ts";
import { admission, moveOf } from "../../src/stores/postgres/move.ts";
import { schemaOf } from "../../src/stores/postgres/schema.ts";
import { FakeClock } from "../harness/fakes/clock.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { connectionsTo, deliveriesOf, MEMBER_PASSWORD, MEMBER_ROLE } from "../harness/postgres/fleet.ts";
import { missingPostgresParts, type PostgresServer } from "../harness/postgres/server.ts";
import { ALL, claimedOfKey, OUTPUTS, StoreWorld } from "../harness/postgres/store-world.ts";
import { noteProof } from "../harness/proof.ts";
import { describeWith } from "../harness/real-parts.ts";
import { checkpoint, entry, KEY } from "./store-contract.ts";

const INCIDENTS: StateKey = { ...KEY, stream: "incidents" };
const OTHER: StateKey = { ...KEY, stanza: "Fabrikam", tenantId: "22222222-2222-4333-8444-555555555555" as TenantId };
const CUSTOMERS: readonly MovedCustomer[] = [
  { stanza: KEY.stanza, tenantId: KEY.tenantId, hasToken: true },
  { stanza: OTHER.stanza, tenantId: OTHER.tenantId, hasToken: false },
];
const TOKEN = "a refresh token";
/** FLEET_MOVE_EVERY=1 is every statement. */
const EVERY = Number(process.env["FLEET_MOVE_EVERY"] ?? 6);

/** Statements at which a process is killed, the last one among them. */
function sampled(statements: number): readonly number[] {
  return Array.from({ length: statements }, (_, n) => statements - n).filter((_, n) => n % EVERY === 0);
}

describeWith("the programs of PostgreSQL", missingPostgresParts())("a move between a state folder and a fleet", () => {
  const world = new StoreWorld();
  const clock = new FakeClock(Date.now(), { pauses: "pass" });
  const ports = { disk: realDisk, clock, platform: process.platform };
  const key = FleetKey.fromText(FleetKey.newText()) as FleetKey;
  let server: PostgresServer;
  let database: Connections;
  let dir: string;

  beforeAll(async () => {
    ({ server } = await world.start());
    database = connectionsTo({ port: server.port, user: MEMBER_ROLE, password: MEMBER_PASSWORD });
  });
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "fleet-move-"));
  });
  afterEach(async () => {
    await world.closeMembers();
    rmSync(dir, { recursive: true, force: true });
  });
  afterAll(async () => {
    await database?.close();
    await world.end();
  });

  const openFolder = (mayBeInFleet = false) =>
    openStateFolder(dir, { clock, log: new FakeLog() }, { waitForLock: "10s", mayBeInFleet });
  const files = () => new SecretFiles(dir, { ports, log: new FakeLog() });

  /** @param breaksAt the statement, counted from 1, instead of which the process ends. */
  function partsOf(fleet: string, more: Partial<TransferParts> = {}, breaksAt = Number.POSITIVE_INFINITY) {
    let count = 0;
    const cut: TransferParts["database"] = {
      query(sql, values) {
        count += 1;
        if (count >= breaksAt) return Promise.reject(new Error("killed"));
        return database.query(sql, values);
      },
    };
    return {
      parts: {
        database: cut,
        fleet,
        dir,
        place: `${dir} on host-1`,
        openFolder: () => openFolder(true),
        ports,
        files: files(),
        tokens: new FleetTokens({ database: cut, fleet, key, timers: clock }),
        customers: CUSTOMERS,
        spools: () => [],
        version: "test",
        newId: randomUUID,
        ...more,
      } satisfies TransferParts,
      count: () => count,
    };
  }

  /** As `newFleet` makes it, in a hundredth of the time. */
  function empty(fleet: string): void {
    const s = schemaOf(fleet);
    const tables = [
      "member",
      "move",
      "ledger",
      "delivery",
      "packet",
      "stream",
      "customer",
      "secret",
      "rotation",
      "key",
    ];
    server.query(
      `truncate ${tables.map((table) => `${s}.${table}`).join(", ")} cascade; update ${s}.shard set owner = null`,
    );
  }

  /** What a collector does that works alone: versions of these numbers, then an orderly stop. */
  async function alone(work: (open: (key: StateKey) => Promise<StreamStore>) => Promise<void>, orderly = true) {
    const folder = await openFolder();
    const opened: StreamStore[] = [];
    await work(async (one) => {
      const store = await folder.open(one);
      opened.push(store);
      return store;
    });
    for (const store of opened) await store.close();
    await folder.release({ orderly });
  }

  /** A collector that has seen these, with a refresh token. */
  async function collected(orderly = true): Promise<void> {
    await alone(async (open) => {
      for (const [stream, n] of [
        [KEY, 1],
        [INCIDENTS, 3],
        [OTHER, 5],
      ] as const) {
        const store = await open(stream);
        await store.commit({ entries: [entry(n), entry(n + 1)], checkpoint: checkpoint(n + 1) });
      }
    }, orderly);
    await files().write(tokenEntryName(KEY.tenantId, KEY.stanza), {
      fingerprint: "the way",
      values: { refresh_token: sealed(TOKEN) },
      notes: { stored_at_ms: "1" },
    });
  }

  async function inDatabase(fleet: string) {
    const member = await world.joined(fleet, "member", { key });
    const { store, id } = await world.opened(member, await claimedOfKey(member));
    const token = await new FleetTokens({ database, fleet, key, timers: clock }).give(KEY);
    return {
      member,
      store,
      id,
      seen: [store.checkpoint?.upTo, store.takeEntries()],
      token: token?.values["refresh_token"]?.open((text) => text),
    };
  }

  test("brings every checkpoint, ledger and refresh token into the fleet, and what the fleet has seen back", async () => {
    const fleet = await world.newFleet();
    await collected();
    expect(await transferIn(partsOf(fleet).parts)).toEqual({ streams: 3, tokens: 1 });

    expect(await openFolder().catch((error: unknown) => isFailure(error) && error.code)).toBe("fleet-moved");
    const { member, store, id, seen, token } = await inDatabase(fleet);
    expect([seen, token]).toEqual([[2n, [entry(1), entry(2)]], TOKEN]);
    await store.commit({
      entries: [entry(7)],
      checkpoint: checkpoint(7),
      deliveries: deliveriesOf(KEY.tenantId, [7]),
    });
    await member.leave();
    // An event that nobody has delivered would be lost.
    expect((await transferOut(partsOf(fleet).parts)).refused).toMatch(
      /Packets of events still wait: 1 for json-lines-1/,
    );
    expect(await moveOf(database, fleet)).toBeUndefined();
    await member.register({ name: "member", version: "test", configHash: "one" });
    const again = await world.opened(member, await claimedOfKey(member));
    await member.confirm(OUTPUTS[0] as string, [{ stream: id, epoch: again.lease.epoch, seq: 1n << 40n }]);
    await member.leave();
    expect(await transferOut(partsOf(fleet).parts)).toEqual({ streams: 3, tokens: 1 });

    await alone(async (open) => {
      const back = await open(KEY);
      expect([back.checkpoint?.upTo, back.takeEntries(), back.lastStopWasOrderly]).toEqual([
        7n,
        [entry(1), entry(2), entry(7)],
        true,
      ]);
      expect((await open(INCIDENTS)).takeEntries()).toEqual([entry(3), entry(4)]);
      await back.commit({ entries: [entry(8)], checkpoint: checkpoint(8) });
    });
    const admits = admission(database, fleet);
    // It asked in the moment before the move was noted.
    let asked = 0;
    const late = await world.joined(fleet, "late", { admits: async () => void ((asked += 1) > 1 && (await admits())) });
    expect(await late.claim(ALL)).toEqual([]);
    await expect(late.standing()).rejects.toMatchObject({ code: "fleet-moved" });
    world.expire(fleet, "late");
    await expect(world.joined(fleet, "stopped", { admits })).rejects.toMatchObject({ code: "fleet-moved" });
    expect(server.query(`select name from ${schemaOf(fleet)}.member where name = 'stopped'`)).toEqual([]);
    expect(await transferIn(partsOf(fleet).parts)).toEqual({ streams: 3, tokens: 1 });
    expect((await inDatabase(fleet)).seen).toEqual([8n, [1, 2, 7, 8].map(entry)]);
    await expect(world.joined(fleet, "started", { admits })).resolves.toBeDefined();
  });

  test("that is killed at any statement is run again, and neither side collects until it is complete", async () => {
    const fleet = await world.newFleet();
    await collected();
    const { parts, count } = partsOf(fleet);
    await transferIn(parts);
    const statements = count();
    const rounds: string[] = [];
    const results: string[] = [];
    for (const breaksAt of [...sampled(statements), statements + 1]) {
      rmSync(dir, { recursive: true, force: true });
      empty(fleet);
      await collected();
      await transferIn(partsOf(fleet, {}, breaksAt).parts).catch(() => undefined);
      const move = await moveOf(database, fleet);
      const isAlone = await openFolder().then(
        async (folder) => {
          await folder.release({ orderly: true });
          return true;
        },
        () => false,
      );
      // Never both: the folder is usable only while no member can collect, or nothing was begun.
      rounds.push(`${isAlone ? "folder" : "-"} ${move?.direction ?? "free"}`);
      const result = await transferIn(partsOf(fleet).parts);
      const isDone = /^The streams of .* were moved into the fleet .* before/.test(result.refused ?? "");
      results.push(isDone ? "done" : JSON.stringify(result));
      expect((await inDatabase(fleet)).seen).toEqual([2n, [entry(1), entry(2)]]);
      await world.closeMembers();
    }
    expect(new Set(rounds)).toEqual(new Set(["folder free", "- in", "- free"]));
    expect(rounds.indexOf("- free")).toBe(rounds.length - 1);
    const repeated = JSON.stringify({ streams: 3, tokens: 1 });
    expect(results).toEqual([...rounds.slice(1).map(() => repeated), "done"]);
    // The last round is killed behind the last statement.
    if (EVERY === 1) noteProof({ name: "fleet-move-in", seed: null, counts: { statements, kills: rounds.length } });
  });

  test("back that is killed at any statement is run again, and neither side collects until it is complete", async () => {
    await collected();
    const fleet = await world.newFleet();
    await transferIn(partsOf(fleet).parts);
    const { parts, count } = partsOf(fleet);
    await transferOut(parts);
    const statements = count();
    const results: string[] = [];
    let kills = 0;
    for (const breaksAt of sampled(statements)) {
      kills += 1;
      rmSync(dir, { recursive: true, force: true });
      empty(fleet);
      await collected();
      await transferIn(partsOf(fleet).parts);
      await transferOut(partsOf(fleet, {}, breaksAt).parts).catch(() => undefined);
      expect(await openFolder().catch((error: unknown) => isFailure(error) && error.code)).toBe("fleet-moved");
      if ((await moveOf(database, fleet))?.direction === "out")
        results.push((await transferIn(partsOf(fleet).parts)).refused ?? "moved in");
      expect([breaksAt, await transferOut(partsOf(fleet).parts)]).toEqual([breaksAt, { streams: 3, tokens: 1 }]);
      expect((await transferOut(partsOf(fleet).parts)).refused).toMatch(/were moved to .* before/);
      await alone(async (open) => {
        const store = await open(KEY);
        expect([store.checkpoint?.upTo, store.takeEntries(), store.lastStopWasOrderly]).toEqual([
          2n,
          [entry(1), entry(2)],
          true,
        ]);
      });
    }
    expect(statements).toBeGreaterThan(10);
    const again =
      /^The move of the streams to .* is not complete\. Run `defender-mssp fleet export-state` again first\.$/;
    expect(results.filter((one) => !again.test(one))).toEqual([]);
    expect(results.length).toBeGreaterThan(0);
    if (EVERY === 1) noteProof({ name: "fleet-move-back", seed: null, counts: { statements, kills } });
  });

  test("is refused, and changes nothing, where something would be lost or sent twice", async () => {
    const fleet = await world.newFleet();
    await collected(false);
    const why = async (more: Partial<TransferParts> = {}) => (await transferIn(partsOf(fleet, more).parts)).refused;
    expect(await why()).toMatch(/stopped abnormally/);
    await alone(async (open) => void (await open(KEY)));
    await collected();
    let left: readonly string[] = [];
    // Of a collector that had the folder until then.
    const stopsMeanwhile = () => {
      left = ["https://hec.example.com:8088"];
      return openFolder(true);
    };
    expect(await why({ openFolder: stopsMeanwhile, spools: () => left })).toMatch(
      /still wait for https:\/\/hec.example.com/,
    );
    expect(await why({ tokens: undefined })).toMatch(/fleet.key_file/);
    const member = await world.joined(fleet, "member", { key });
    expect(await why()).toMatch(/Members of the fleet .* live: member\. Nothing was moved\./);
    const { store } = await world.opened(member, await claimedOfKey(member));
    await store.commit({ entries: [entry(9)], checkpoint: checkpoint(9) });
    await member.leave();
    expect(await why()).toMatch(/has collected Contoso already, and goes on from there/);
    expect((await transferOut(partsOf(fleet).parts)).refused).toMatch(/has checkpoints of its own/);

    expect([await moveOf(database, fleet), existsSync(join(dir, "tenants"))]).toEqual([undefined, true]);
    await alone(async (open) =>
      expect((await open(KEY)).takeEntries()).toEqual([entry(1), entry(2), entry(1), entry(2)]),
    );
    expect(readFileSync(join(dir, "fleet-move"), "utf8")).toMatch(/^[0-9a-f-]{36} out test-\d+\n$/);
  });

  test("into another folder than the one that the streams came from leaves them to that one", async () => {
    const fleet = await world.newFleet();
    await collected();
    await transferIn(partsOf(fleet).parts);
    rmSync(dir, { recursive: true, force: true });
    // That host is lost: an empty folder of another one gets everything.
    expect(await transferOut(partsOf(fleet).parts)).toEqual({ streams: 3, tokens: 1 });
    const lost = dir;
    dir = mkdtempSync(join(tmpdir(), "fleet-move-"));
    expect((await transferOut(partsOf(fleet).parts)).refused).toContain(`were moved to the state folder ${lost}`);
    expect((await transferIn(partsOf(fleet).parts)).refused).toContain(`were moved to the state folder ${lost}`);
    rmSync(lost, { recursive: true, force: true });
  });
});
