import { describe, expect, test } from "@jest/globals";
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
