/** One customer whose pages always fail, with a real PostgreSQL: the others of its shard go on. */
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { FleetState } from "../../src/collect/fleet/fleet-state.ts";
import type { FleetMember } from "../../src/collect/fleet/member.ts";
import type { OutputLanes } from "../../src/collect/fleet/output-lanes.ts";
import { isFailure } from "../../src/model/failure.ts";
import type { Lease } from "../../src/model/fleet.ts";
import type { StateFolder, StateKey, StreamStore } from "../../src/model/state.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { shardOf } from "../../src/stores/postgres/fleet-store.ts";
import { schemaOf } from "../../src/stores/postgres/schema.ts";
import { FakeClock } from "../harness/fakes/clock.ts";
import { FakeRandom } from "../harness/fakes/random.ts";
import { deliveriesOf } from "../harness/postgres/fleet.ts";
import { missingPostgresParts, type PostgresServer } from "../harness/postgres/server.ts";
import { claimedOfKey, codeOf, OUTPUTS, StoreWorld } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";
import { entry, KEY } from "./store-contract.ts";

/** Customers of one shard. */
const CUSTOMERS: readonly StateKey[] = Array.from({ length: 5_000 }, (_, n) => ({
  ...KEY,
  stanza: `customer ${n}`,
  tenantId: `11111111-2222-4333-8444-${String(n).padStart(12, "0")}` as TenantId,
}))
  .filter(({ tenantId }) => shardOf(tenantId) === shardOf(KEY.tenantId))
  .slice(0, 3);

describeWith("the programs of PostgreSQL", missingPostgresParts())("a customer whose pages always fail", () => {
  const world = new StoreWorld();
  let server: PostgresServer;

  beforeAll(async () => {
    ({ server } = await world.start());
  });
  afterEach(() => world.closeMembers());
  afterAll(() => world.end());

  /** A member that opens all customers of its shard and commits a page for each, again and again. */
  async function collecting() {
    const fleet = await world.newFleet();
    const s = schemaOf(fleet);
    const configured = CUSTOMERS.map(({ stanza, tenantId }) => ({ stanza, tenantId }));
    const store = await world.joined(fleet, "member", { configured });
    const clock = new FakeClock();
    let lease: Lease | undefined = await claimedOfKey(store);
    const losses: Lease[] = [];
    const state = new FleetState({
      local: {} as StateFolder,
      store,
      member: {
        leaseOf: () => lease,
        lost: (lost: Lease) => {
          if (lease?.epoch === lost.epoch) losses.push(lost);
          lease = undefined;
        },
      } as unknown as FleetMember,
      clock,
      random: FakeRandom.always(),
      shardOf,
      reduce: () => Promise.reject(new Error("nothing is huge here")),
      joined: (batches) => batches,
    });
    const [output] = OUTPUTS as [string];
    const lane = { output, add: () => undefined, committed: () => undefined, room: async () => undefined };
    state.deliverInto([{ ...lane, remove: async () => undefined } as unknown as OutputLanes]);
    const open = new Map<string, StreamStore>();
    let page = 0;
    /** What became of each customer's page, and what its health says where it cannot be opened. */
    const round = async () => {
      page += 1;
      if (lease === undefined) {
        await store.release(losses.slice(-1));
        open.clear();
        lease = await claimedOfKey(store);
      }
      const outcomes: string[] = [];
      const says: string[] = [];
      for (const key of CUSTOMERS) {
        try {
          const stream = open.get(key.stanza) ?? (await state.open(key));
          open.set(key.stanza, stream);
          const deliveries = deliveriesOf(key.tenantId, [page]);
          outcomes.push(await codeOf(stream.commit({ entries: [entry(page)], deliveries })));
        } catch (error) {
          if (!isFailure(error)) throw error;
          outcomes.push(`not opened: ${error.code}`);
          says.push(error.say);
        }
      }
      return { outcomes, says };
    };
    /** From now on, by the database, for each packet of the last customer. */
    const fail = (sqlState: string) => {
      const [id] = server.query(
        `select t.id from ${s}.stream t join ${s}.customer c on c.id = t.customer where c.input = '${CUSTOMERS[2]?.stanza}'`,
      );
      server.query(`create or replace function ${s}.failing() returns trigger language plpgsql as $$ begin
        raise exception using errcode = '${sqlState}', message = 'this page fails'; end $$;
        create trigger failing before insert on ${s}.packet for each row when (new.stream = ${id})
        execute function ${s}.failing()`);
    };
    const heal = () => server.query(`drop trigger failing on ${s}.packet`);
    const committed = () =>
      server.query(`select c.input, sum(p.records) from ${s}.packet p join ${s}.stream t on t.id = p.stream
        join ${s}.customer c on c.id = t.customer group by 1 order by c.input`);
    return { clock, losses, round, fail, heal, committed };
  }

  const names = CUSTOMERS.map(({ stanza }) => stanza).sort();

  test("because the database refuses them is alone with that: the shard stays, and the others commit", async () => {
    const { losses, round, fail, heal, committed } = await collecting();
    await round();
    fail("22023");
    for (let n = 0; n < 5; n += 1) expect((await round()).outcomes).toEqual(["done", "done", "fleet-refused"]);
    heal();

    expect((await round()).outcomes).toEqual(["done", "done", "done"]);
    expect(losses).toEqual([]);
    expect(committed()).toEqual([`${names[0]}|7`, `${names[1]}|7`, `${names[2]}|2`]);
  });

  test("because they get no answer loses the shard three times and then waits, and its health says why; the others go on", async () => {
    const { clock, losses, round, fail, heal, committed } = await collecting();
    await round();
    // The server does not know what became of the statement.
    fail("40003");
    for (let n = 0; n < 3; n += 1) expect((await round()).outcomes).toEqual(["done", "done", "fleet-unsettled"]);
    expect(losses).toHaveLength(3);
    for (let n = 0; n < 10; n += 1) {
      const { outcomes, says } = await round();
      expect(outcomes).toEqual(["done", "done", "not opened: fleet-unsettled"]);
      expect(says).toEqual([
        expect.stringMatching(/^The fleet's database did not answer the last 3 commits of alerts/),
      ]);
    }
    expect(losses).toHaveLength(3);
    await clock.advance(60_000);
    expect((await round()).outcomes).toEqual(["done", "done", "fleet-unsettled"]);
    // The next wait is longer.
    await clock.advance(40_000);
    expect((await round()).outcomes).toEqual(["done", "done", "not opened: fleet-unsettled"]);
    heal();
    await clock.advance(60_000);
    for (let n = 0; n < 2; n += 1) expect((await round()).outcomes).toEqual(["done", "done", "done"]);

    expect(losses).toHaveLength(4);
    expect(committed()).toEqual([`${names[0]}|18`, `${names[1]}|18`, `${names[2]}|3`]);
  });
});
