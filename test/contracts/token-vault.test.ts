/**
 * Stores of refresh tokens: the contract of all of them, and what only the fleet's database can promise,
 * tried with a real PostgreSQL.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { Failure } from "../../src/model/failure.ts";
import type { Lease } from "../../src/model/fleet.ts";
import { type Sealed, sealed } from "../../src/model/sealed.ts";
import { FileTokenVault, SecretFiles } from "../../src/stores/disk/secrets.ts";
import type { Database } from "../../src/stores/postgres/connections.ts";
import { FleetKey } from "../../src/stores/postgres/fleet-key.ts";
import { type PostgresFleet, shardOf } from "../../src/stores/postgres/fleet-store.ts";
import { FleetTokens } from "../../src/stores/postgres/fleet-tokens.ts";
import { keyInUse } from "../../src/stores/postgres/init.ts";
import { schemaOf } from "../../src/stores/postgres/schema.ts";
import { diskPorts } from "../harness/fakes/disk.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { connectionsTo, MEMBER_PASSWORD, MEMBER_ROLE } from "../harness/postgres/fleet.ts";
import { missingPostgresParts, type PostgresServer } from "../harness/postgres/server.ts";
import { claimedOfKey, codeOf, StoreWorld } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";
import { KEY } from "./store-contract.ts";
import { BINDING, OTHER_BINDING, redeemed, tokenIn, vaultContract } from "./token-vault-contract.ts";

const { stanza, tenantId } = KEY;

describe("refresh tokens in files", () => {
  const folders: string[] = [];
  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  vaultContract("keep the contract of every vault", async () => {
    const folder = mkdtempSync(join(tmpdir(), "vault-"));
    folders.push(folder);
    return {
      open: (choice) => {
        const files = new SecretFiles(folder, { ports: diskPorts(), log: new FakeLog() });
        return new FileTokenVault({ files, tenantId, stanza, nowMs: () => 1_000, ...choice });
      },
    };
  });
});

describeWith("the programs of PostgreSQL", missingPostgresParts())("refresh tokens in the fleet's database", () => {
  const world = new StoreWorld();
  const { newFleet, joined, expire, stay } = world;
  const connections: ReturnType<typeof connectionsTo>[] = [];
  let server: PostgresServer;

  beforeAll(async () => {
    ({ server } = await world.start());
  });
  afterEach(async () => {
    for (const one of connections.splice(0)) await one.close();
    await world.closeMembers();
  });
  afterAll(() => world.end());

  const newKey = () => FleetKey.fromText(FleetKey.newText()) as FleetKey;

  const TIMERS = { nowMs: () => 1_000, monotonicMs: () => 0, pause: () => Promise.resolve() };
  const connectedAs = () => {
    const one = connectionsTo({ port: server.port, user: MEMBER_ROLE, password: MEMBER_PASSWORD });
    connections.push(one);
    return one;
  };

  interface Member {
    readonly store: PostgresFleet;
    readonly tokens: FleetTokens;
    readonly vault: (typed?: Sealed) => ReturnType<FleetTokens["vault"]>;
    /** Claims everything that is free. */
    readonly claim: () => Promise<void>;
    readonly lost: () => void;
    /** As when its process is stopped: it believes what it knew last. */
    alive: boolean;
    /** Each pause of a member that waits. */
    pauses: number;
    /** Called at each pause. */
    onPause: () => Promise<void> | void;
    /** Statements that the database does, and whose answer is lost. */
    losesAnswers: boolean;
  }

  /** @param key of the member's key file. */
  async function member(fleet: string, name: string, key: FleetKey): Promise<Member> {
    const store = await joined(fleet, name, { key });
    stay(fleet, name);
    let lease: Lease | undefined;
    const inner = connectedAs();
    const database: Database = {
      query: async <Row>(sql: string, values?: readonly unknown[]) => {
        const rows = await inner.query<Row>(sql, values);
        if (it.losesAnswers)
          throw new Failure("fleet-unsettled", { actor: "us", retry: { when: "later" }, say: "Lost." });
        return rows;
      },
    };
    let nowMs = 0;
    const timers = {
      nowMs: () => 1_000,
      monotonicMs: () => nowMs,
      pause: async (forMs: number) => {
        nowMs += forMs;
        it.pauses += 1;
        await it.onPause();
      },
    };
    const tokens = new FleetTokens({ database, fleet, key, timers });
    const renewing = { boot: () => store.boot, leaseOf: () => lease, isAlive: () => it.alive };
    const it: Member = {
      store,
      tokens,
      vault: (typed) =>
        tokens.vault({ tenantId, stanza, fingerprint: BINDING, ...(typed === undefined ? {} : { typed }) }, renewing),
      claim: async () => {
        lease = await claimedOfKey(store);
      },
      lost: () => {
        lease = undefined;
      },
      alive: true,
      pauses: 0,
      onPause: () => undefined,
      losesAnswers: false,
    };
    return it;
  }

  vaultContract("keep the contract of every vault", async () => {
    const fleet = await newFleet();
    const one = await member(fleet, "one", newKey());
    await one.claim();
    return {
      open: ({ fingerprint, typed }) =>
        one.tokens.vault(
          { tenantId, stanza, fingerprint, ...(typed === undefined ? {} : { typed }) },
          { boot: () => one.store.boot, leaseOf: () => leaseOf(one), isAlive: () => true },
        ),
    };
    function leaseOf(owner: Member) {
      const [epoch = "0"] = server.query(
        `select epoch from ${schemaOf(fleet)}.shard where owner = '${owner.store.boot}' and id = ${shardOf(tenantId)}`,
      );
      return { shard: shardOf(tenantId), epoch: BigInt(epoch) };
    }
  });

  test("a member that takes a customer over sends the token that the one before has stored", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const [one, two] = [await member(fleet, "one", key), await member(fleet, "two", key)];
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");
    expire(fleet, "one");
    await two.claim();

    expect(await redeemed(two.vault(sealed("typed years ago on another host")), "second")).toBe("first");
    expect(await tokenIn(two.vault())).toBe("second");
  });

  test("the next owner waits until a rotation that is under way has ended, and sends its token", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const [one, two] = [await member(fleet, "one", key), await member(fleet, "two", key)];
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");
    const rotating = one.vault();
    expect((await rotating.current()).open((text) => text)).toBe("first");
    // An orderly stop gives the customer up while Microsoft's answer is on its way.
    await one.store.release(await one.store.standing().then(({ owned }) => owned));
    one.lost();
    await two.claim();
    two.onPause = () => rotating.store(sealed("second"), { refused: false });

    expect(await redeemed(two.vault(), "third")).toBe("second");
    expect(two.pauses).toBe(1);
    expect(await tokenIn(two.vault())).toBe("third");
  });

  test("the next owner does not wait for a member that is gone, which then stores nothing", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const [one, two] = [await member(fleet, "one", key), await member(fleet, "two", key)];
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");
    const rotating = one.vault();
    await rotating.current();
    expire(fleet, "one");
    await two.claim();
    expect(await redeemed(two.vault(), "second")).toBe("first");

    expect(await codeOf(rotating.store(sealed("of the past"), { refused: false }))).toBe("fleet-fenced");
    expect(two.pauses).toBe(0);
    expect(await tokenIn(two.vault())).toBe("second");
  });

  test("a member that is not the owner, or may be taken for gone, gets no token", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const [one, two] = [await member(fleet, "one", key), await member(fleet, "two", key)];
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");

    expect(await codeOf(two.vault().current())).toBe("fleet-fenced");
    // It was suspended, and does not know yet that another member owns the customer.
    expire(fleet, "one");
    await two.claim();
    one.onPause = () => {
      one.alive = false;
    };
    expect(await codeOf(one.vault().current())).toBe("fleet-fenced");
    expect(await tokenIn(two.vault())).toBe("first");
  });

  test("a member whose key is the fleet's no more says so, and does not wait for ever", async () => {
    const fleet = await newFleet();
    const one = await member(fleet, "one", newKey());
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");
    one.onPause = () => {
      one.alive = false;
    };
    server.query(`delete from ${schemaOf(fleet)}.key`);

    expect(await codeOf(one.vault().current())).toBe("fleet-key-differs");
  });

  test("a token whose storing got no answer is stored once, and is sent next", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const one = await member(fleet, "one", key);
    await one.claim();
    const vault = one.vault(sealed("typed"));
    await vault.current();
    one.losesAnswers = true;
    one.onPause = () => {
      one.losesAnswers = one.pauses < 3;
    };
    await vault.store(sealed("first"), { refused: false });
    await vault.ended?.({ refused: false });

    expect(one.pauses).toBe(3);
    expect(await redeemed(vault, "second")).toBe("first");
  });

  test("a token that could not be stored for a long time is kept, and stored before the next redemption", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const [one, two] = [await member(fleet, "one", key), await member(fleet, "two", key)];
    await one.claim();
    const s = schemaOf(fleet);
    const vault = one.vault(sealed("typed"));
    await vault.current();
    server.query(`revoke insert on ${s}.secret from ${MEMBER_ROLE}`);
    expect(await codeOf(vault.store(sealed("first"), { refused: false }))).toBe("fleet-refused");
    await vault.ended?.({ refused: false });
    server.query(`grant insert on ${s}.secret to ${MEMBER_ROLE}`);

    expect(await tokenIn(one.vault(sealed("typed")))).toBe("first");
    expire(fleet, "one");
    await two.claim();
    expect(await tokenIn(two.vault())).toBe("first");
  });

  test("a token that a person stores counts at once, and what was under way is not stored over it", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const one = await member(fleet, "one", key);
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");
    const before = await one.tokens.typed();
    const rotating = one.vault();
    await rotating.current();
    const command = await member(fleet, "command", key);
    await command.tokens.put({ tenantId, stanza, fingerprint: BINDING }, sealed("of a person"));

    expect(await codeOf(rotating.store(sealed("second"), { refused: false }))).toBe("fleet-fenced");
    expect(await one.tokens.typed()).not.toEqual(before);
    expect(await redeemed(one.vault(sealed("typed")), "third")).toBe("of a person");
  });

  test("the token in a member's file is tried only after Microsoft refused the stored one", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const one = await member(fleet, "one", key);
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");
    const vault = one.vault(sealed("typed anew"));
    const sent = [];
    for (const refused of [true, true, true]) {
      sent.push((await vault.current()).open((text) => text));
      await vault.ended?.({ refused });
    }
    sent.push(await redeemed(vault, "second"), await tokenIn(vault));

    expect(sent).toEqual(["first", "typed anew", "first", "typed anew", "second"]);
  });

  test("a damaged token is named as damaged, and a person's new one replaces it", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const one = await member(fleet, "one", key);
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");
    server.query(`update ${schemaOf(fleet)}.secret set sealed = substring(sealed from 1 for 40)`);
    expect(await codeOf(one.vault().current())).toBe("state-damaged");
    await one.tokens.put({ tenantId, stanza, fingerprint: BINDING }, sealed("of a person"));

    expect(await tokenIn(one.vault())).toBe("of a person");
  });

  test("a command reads the token that members share, and stores a renewed one only where nobody else did", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const one = await member(fleet, "one", key);
    const owner = { tenantId, stanza, fingerprint: BINDING };
    const command = new FleetTokens({ database: connectedAs(), fleet, key, timers: TIMERS });
    expect(await command.stored(owner)).toBeUndefined();
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");
    const found = await command.stored(owner);
    expect(found?.token.open((text) => text)).toBe("first");
    const second = await command.replace(owner, found?.edition ?? "", sealed("second"));
    const third = await command.replace(owner, second ?? "", sealed("third"));
    expect([second, third]).toEqual([expect.any(String), expect.any(String)]);
    expect(await command.replace(owner, second ?? "", sealed("late"))).toBeUndefined();

    const rotating = one.vault();
    expect((await rotating.current()).open((text) => text)).toBe("third");
    const during = await command.stored(owner);
    expect(await command.replace(owner, during?.edition ?? "", sealed("of the command"))).toBeUndefined();
    await rotating.store(sealed("fourth"), { refused: false });
    await rotating.ended?.({ refused: false });
    expect(await command.replace(owner, during?.edition ?? "", sealed("of the command"))).toBeUndefined();
    expect(await tokenIn(one.vault())).toBe("fourth");
  });

  test("a token is bound to the present endpoints, waits for a renewal that is under way, and members look again", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const one = await member(fleet, "one", key);
    await one.claim();
    await redeemed(one.vault(sealed("typed")), "first");
    const moved = { tenantId, stanza, fingerprint: OTHER_BINDING };
    const rotating = one.vault();
    await rotating.current();
    let pauses = 0;
    const pause = async () => {
      pauses += 1;
      await rotating.ended?.({ refused: false });
    };
    const command = new FleetTokens({ database: connectedAs(), fleet, key, timers: { ...TIMERS, pause } });
    const before = await command.typed();
    expect(await codeOf(command.stored(moved))).toBe("endpoint-changed");

    expect(await command.rebind(moved)).toBe(true);
    expect(pauses).toBe(1);
    expect(await command.typed()).not.toEqual(before);
    expect(await command.rebind(moved)).toBe(false);
    expect((await command.stored(moved))?.token.open((text) => text)).toBe("first");
    expect(await command.rebind({ ...moved, stanza: "unknown" })).toBe(false);
  });

  test("`fleet init` hears of the fleet's key as soon as a member has used one", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const database = connectionsTo({ port: server.port, user: MEMBER_ROLE, password: MEMBER_PASSWORD });
    connections.push(database);
    expect(await keyInUse(database, fleet)).toBeUndefined();
    await member(fleet, "one", key);

    expect(await keyInUse(database, fleet)).toBe(key.fingerprint);
  });

  test("a dump of the database shows no token, and with another key or for another customer it is not opened", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const one = await member(fleet, "one", key);
    await one.claim();
    const token = `1.AX${"kQz7Wm2Xv9Lb4Tn8Rj3Hd6Fs1Gp5Yc0A".repeat(4)}`;
    await redeemed(one.vault(sealed("typed-Pm4Xc8Vb2Nz6Lk1Jh5Gf9Ds3Aq7We0")), token);
    const s = schemaOf(fleet);
    const bytes = server
      .query(`select encode(sealed, 'hex') from ${s}.secret`)
      .map((hex) => Buffer.from(hex, "hex").toString("latin1"));
    const rows = ["secret", "rotation", "key"].flatMap((table) => server.query(`select t::text from ${s}.${table} t`));

    expect(bytes).toHaveLength(1);
    for (const text of [...bytes, ...rows]) {
      expect(text).not.toContain(token.slice(4, 20));
      expect(text).not.toContain("typed-");
    }
    server.query(`update ${s}.secret set binding = replace(binding, 'whole', 'thief')`);
    expect(await codeOf(one.vault().current())).toBe("state-damaged");
    const other = new FleetTokens({ database: connectedAs(), fleet, key: newKey(), timers: TIMERS });
    expect(await codeOf(other.stored({ tenantId, stanza, fingerprint: BINDING }))).toBe("fleet-key-differs");
    server.query(`update ${s}.secret set binding = '${BINDING}', input = 'Fabrikam'`);
    expect(await codeOf(one.vault().current())).toBe("not-signed-in");
    server.query(`update ${s}.secret set input = '${stanza}'`);
    expect(await tokenIn(one.vault())).toBe(token);
  });

  test("a member with another key is named, gets no share and cannot store; without secrets no key is needed", async () => {
    const [fleet, key] = [await newFleet(), newKey()];
    const one = await member(fleet, "one", key);
    const other = await member(fleet, "other", newKey());
    const without = await joined(fleet, "without");
    stay(fleet, "without");
    await one.claim();
    const standing = async (store: PostgresFleet, name: string) => {
      await store.renew();
      stay(fleet, name);
      const { shares, members, hasOtherKey } = await store.standing();
      return { shares, members, hasOtherKey };
    };

    expect(await standing(one.store, "one")).toEqual({ shares: true, members: 2, hasOtherKey: false });
    expect(await standing(other.store, "other")).toEqual({ shares: false, members: 2, hasOtherKey: true });
    expect(await standing(without, "without")).toEqual({ shares: true, members: 2, hasOtherKey: false });
    await redeemed(one.vault(sealed("typed")), "first");
    expect(await standing(without, "without")).toEqual({ shares: false, members: 1, hasOtherKey: true });
    expect(await codeOf(other.tokens.put({ tenantId, stanza, fingerprint: BINDING }, sealed("x")))).toBe(
      "fleet-key-differs",
    );
    await one.store.leave();
    expect(await standing(other.store, "other")).toEqual({ shares: false, members: 0, hasOtherKey: true });
    // A member of an older release leaves no customers to one that is drained.
    expect(server.query(`select name from ${schemaOf(fleet)}.member where draining order by 1`)).toEqual([
      "other",
      "without",
    ]);
  });
});

describe("the fleet's key", () => {
  test("is 32 bytes as base64, and nothing else", () => {
    const text = FleetKey.newText();

    expect(Buffer.from(text, "base64")).toHaveLength(32);
    expect(FleetKey.fromText(text)?.fingerprint).toMatch(/^[0-9a-f]{32}$/);
    expect(FleetKey.fromText(text)?.fingerprint).toBe(FleetKey.fromText(`${text.trim()}\r\n`)?.fingerprint);
    for (const wrong of ["", "x", text.slice(4), `${text.trim()}AAAA`, `${"A".repeat(42)}!=`])
      expect(FleetKey.fromText(wrong)).toBeUndefined();
  });

  test("opens what it has sealed, with the same context only, and nothing that was changed", () => {
    const key = FleetKey.fromText(FleetKey.newText()) as FleetKey;
    const bytes = key.encrypt("secret", ["main", "a"]);

    expect(key.open(bytes, ["main", "a"])).toBe("secret");
    expect(key.open(bytes, ["main", "b"])).toBeUndefined();
    expect(key.open(bytes, ["maina"])).toBeUndefined();
    expect(FleetKey.fromText(FleetKey.newText())?.open(bytes, ["main", "a"])).toBeUndefined();
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(key.open(changed, ["main", "a"])).toBeUndefined();
      expect(key.open(bytes.subarray(0, at), ["main", "a"])).toBeUndefined();
    }
    expect(key.encrypt("secret", ["main", "a"]).equals(bytes)).toBe(false);
  });
});
