import { describe, expect, test } from "@jest/globals";
import { parseStanzas } from "../config/settings.ts";
import type { Stanza } from "../model/stanza.ts";
import type { Database } from "../stores/postgres/connections.ts";
import { checksOf } from "./fleet-doctor.ts";

/** What `doctor --fleet` says of live members, each with its configuration. */
async function saidOf(
  members: readonly { readonly hash: string; readonly applied: boolean; readonly draining?: true }[],
) {
  const rows = members.map(({ hash, applied, draining = false }, i) => ({
    name: `member-${i}`,
    version: "1.0.0",
    alive: true,
    shards: 128,
    config_hash: hash,
    applied,
    draining,
    ahead: "0",
    customers: 4,
    // Shards without an owner.
    n: 0,
  }));
  const database: Database = { query: <Row>() => Promise.resolve(rows as unknown as readonly Row[]) };
  const check = checksOf(database, "main", "db.example.com:5432").find(({ name }) => name === "members");
  return check?.run(new AbortController().signal);
}

describe("what doctor says of a fleet's members and the applied configuration", () => {
  test("nothing where all run with it", async () => {
    expect(await saidOf([{ hash: "one", applied: true }])).toBe("member-0 (1.0.0, 128 shards).");
  });

  test("that those with it collect where others run beside them", async () => {
    const said = await saidOf([
      { hash: "one", applied: true },
      { hash: "two", applied: false },
    ]);

    expect(said).toMatch(/another configuration than the applied one.*; those with the applied one collect\.$/);
  });

  test.each([
    ["nobody runs with it", [{ hash: "two", applied: false }]],
    [
      "who runs with it is drained",
      [
        { hash: "one", applied: true, draining: true as const },
        { hash: "two", applied: false },
      ],
    ],
  ])("that others collect with their own, and what would change that, where %s", async (_, members) => {
    expect(await saidOf(members)).toMatch(
      / No member with the applied configuration takes customers, so the others do\. One that starts with it takes over all of them\.$/,
    );
  });
});

/** What a check says over a database that answers every question with these rows. */
async function saidOver(name: string, rows: readonly object[]) {
  const database: Database = { query: <Row>() => Promise.resolve(rows as readonly Row[]) };
  const check = checksOf(database, "main", "db.example.com:5432").find((one) => one.name === name);
  return check?.run(new AbortController().signal);
}

describe("what doctor says of the database's standbys", () => {
  const row = {
    version: "15.2",
    commit: "on",
    fsync: "on",
    standby_names: "",
    standbys: 0,
    in_sync: null,
    read_only: false,
    bytes: "3145728",
    connections: 12,
    connections_most: 60,
  };
  test.each([
    ["none follows", {}, /No standby follows: if this host is lost/],
    [
      "a commit waits for none",
      { standbys: 2 },
      /a commit waits for none of them \(synchronous_standby_names is empty\)/,
    ],
    [
      "synchronous_commit ends before they have it",
      { standbys: 1, standby_names: "a", commit: "local" },
      /waits for none of them \(synchronous_commit is local\)/,
    ],
    [
      "this role may not see their state",
      { standbys: 1, standby_names: "a" },
      /Grant pg_read_all_stats to fleet\.user/,
    ],
    ["one is in sync", { standbys: 2, standby_names: "a", in_sync: 1 }, /a commit waits for 1 of them \(a\)/],
    ["the host's disk is not waited for", { fsync: "off" }, /fsync is off: a crash of its host damages/],
  ])("where %s", async (_, differs, said) => {
    expect(await saidOver("durability", [{ ...row, ...differs }])).toMatch(said);
  });

  test.each([
    ["none follows although each commit waits for one", { standby_names: "a" }, /no standby follows/],
    ["none is in sync", { standby_names: "a", standbys: 1, in_sync: 0 }, /none of the 1 standby servers/],
  ])("and fails where %s", async (_, differs, said) => {
    await expect(saidOver("durability", [{ ...row, ...differs }])).rejects.toMatchObject({
      code: "fleet-standby-missing",
      say: expect.stringMatching(said),
    });
  });

  test("a database that is read-only fails, and one that is not says how full it is", async () => {
    expect(await saidOver("database", [row])).toMatch(/takes 3 MiB; 12 of 60 connections are in use\.$/);
    await expect(saidOver("database", [{ ...row, read_only: true }])).rejects.toMatchObject({ code: "fleet-refused" });
  });
});

describe("what doctor says of lag", () => {
  const shard = { shard: 7, owner: "one", streams: 10, late: 0, lag_ms: "90000", opened: 5 };
  test("no stream is behind", async () => {
    expect(await saidOver("lag", [shard])).toMatch(
      /No stream is behind\. The oldest walk that was saved ended 90 s ago/,
    );
  });

  test("some are behind, with the worst by name, its shard and its member", async () => {
    // The fake answers both questions with these rows.
    const row = { ...shard, late: 1, lag_ms: "10800000", customer: "Contoso", stream: "alerts" };
    expect(await saidOver("lag", [row])).toMatch(
      /^1 streams of 1 shards are behind\. The worst: Contoso, alerts: 3 hours \(shard 7 of one\)\./,
    );
  });

  test("most are behind, which fails", async () => {
    const row = { ...shard, late: 6, customer: "Contoso", stream: "alerts" };
    await expect(saidOver("lag", [row])).rejects.toMatchObject({ code: "fleet-behind" });
  });
});

describe("customers of which lag is counted", () => {
  test("are those of the file and those of the fleet's database, each once", async () => {
    const [contoso, fabrikam] = ["11111111-2222-4333-8444-555555555555", "22222222-2222-4333-8444-555555555555"];
    const row = (name: string, tenant: string) => ({ revision: "1", name, tenant, credential: "mssp" });
    const asked: (readonly unknown[])[] = [];
    const database: Database = {
      query: <Row>(sql: string, values: readonly unknown[] = []) => {
        const isOfRoster = sql.includes(".roster r");
        if (!isOfRoster) asked.push(values);
        const rows: readonly object[] = isOfRoster
          ? [row("Contoso", contoso), row("Fabrikam", fabrikam)]
          : [{ shard: 7, streams: 2, late: 0, lag_ms: "90000", opened: 2 }];
        return Promise.resolve(rows as readonly Row[]);
      },
    };
    const { stanzas } = parseStanzas([{ name: "Contoso", values: { tenant_id: contoso, credential: "app" } }], {
      host: "arcsight",
      nowMs: 0,
    });
    const [stanza] = stanzas as readonly [Stanza];
    const inFile = [{ name: "Contoso", tenantId: contoso, stanza }];
    const reader = { inFile, file: "member.properties", overrides: {}, globals: {}, nowMs: 0 };
    const lag = checksOf(database, "main", "db.example.com:5432", reader).find(({ name }) => name === "lag");

    expect(await lag?.run(new AbortController().signal)).toMatch(/^No stream is behind\./);
    expect(asked.length).toBeGreaterThan(0);
    for (const [tenants, names] of asked)
      expect([tenants, names]).toEqual([
        [contoso, fabrikam],
        ["Contoso", "Fabrikam"],
      ]);
  });
});
