/**
 * The host of a fleet's database is lost while members commit, and a standby takes its place: synchronous,
 * asynchronous, and behind a pooler on each host. FLEET_FAILOVER_ROUNDS says how often.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from "@jest/globals";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { FleetStory, MEMBER_LOGIN, type MemberProcess } from "../harness/postgres/fleet-story.ts";
import { missingPooler, Pooler } from "../harness/postgres/pooler.ts";
import { missingPostgresParts, PostgresServer } from "../harness/postgres/server.ts";
import { noteProof } from "../harness/proof.ts";
import { describeWith } from "../harness/real-parts.ts";
import { startWithAlerts } from "../harness/simulator/customers.ts";
import type { Simulator } from "../harness/simulator/start.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(3_600_000);

const ROUNDS = Number(process.env["FLEET_FAILOVER_ROUNDS"] ?? 1);
const CUSTOMERS = Array.from({ length: 8 }, (_, n) => `customer-${n + 1}`);
const HISTORY = 20;
const MEMBERS = ["one", "two", "three"];

/** Pages that wait until the standby has them: the program has sent them and has no answer. */
const PAGES_WITHOUT_ANSWER = `select count(*) from pg_stat_activity
  where wait_event = 'SyncRep' and query like 'with f as%'`;

let folder: string;
let simulator: Simulator;
let hec: HecServer;
let indexed: string;
let primary: PostgresServer;
let standby: PostgresServer;
let current: FleetStory | undefined;
const poolers: Pooler[] = [];

describeWith("the programs of PostgreSQL and PgBouncer", missingPostgresParts() ?? missingPooler())(
  "a fleet's database whose host is lost",
  () => {
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "fleet-failover-"));
    });
    beforeEach(async () => {
      simulator = await startWithAlerts("fleet-failover", CUSTOMERS, HISTORY, 31);
      indexed = join(folder, `${randomUUID()}.jsonl`);
      hec = await startHec({ ack: "on", token: "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777", port: 0, out: indexed });
      primary = await PostgresServer.start();
      standby = await primary.startStandby();
    });
    afterEach(async () => {
      current?.end();
      for (const pooler of poolers.splice(0)) await pooler.remove();
      await standby.remove();
      await primary.remove();
      await hec.stop();
      await simulator.stop();
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    /** Three members, all of whose customers were collected. */
    async function begin(name: string, ports: readonly number[], output: "files" | "hec") {
      const { ready } = simulator;
      const story = new FleetStory({
        folder,
        name,
        server: primary,
        ready,
        members: Object.fromEntries(MEMBERS.map((member) => [member, ports])),
        ...(output === "hec" ? { hec: { server: hec, indexed } } : {}),
      });
      current = story;
      await story.init();
      let all = CUSTOMERS.length * HISTORY;
      const appear = (count: number): void => {
        for (let n = 0; n < count; n += 1)
          simulator.control.perform({ do: "record", stream: "alerts", id: randomUUID() });
        all += count * CUSTOMERS.length;
      };
      const running = MEMBERS.map((member) => story.start(member));
      await story.until(() => MEMBERS.every((member) => (story.owners()[member] ?? 0) >= 84), "each owns its share");
      const delivered = () =>
        story.until(() => story.delivered >= all && story.waiting === 0, "everything so far was delivered");
      await delivered();
      return { story, appear, all: () => all, delivered, running };
    }

    /** It takes the place of the primary. */
    function promote(): void {
      standby.query("select pg_promote()");
    }

    async function followAgain(isSynchronous: boolean): Promise<void> {
      const { port } = primary;
      await primary.remove();
      primary = standby;
      standby = await primary.startStandby(port);
      await primary.waitForStandby(isSynchronous);
    }

    async function stop(story: FleetStory, running: readonly MemberProcess[]): Promise<void> {
      for (const member of running) member.kill("SIGTERM");
      for (const member of running) expect([await member.ended, story.log]).toEqual([0, expect.any(String)]);
    }

    test.each([
      ["directly", "sync"],
      ["through a pooler on each host", "pooled"],
    ] as const)(
      "that members reach %s goes on at the synchronous standby: nothing is lost, the store has each version once",
      async (_, name) => {
        if (name === "pooled")
          for (const server of [primary, standby])
            poolers.push(await Pooler.start(server, { passwords: MEMBER_LOGIN, size: 15 }));
        await primary.waitForStandby(true);
        const ports = (poolers.length > 0 ? poolers : [primary, standby]).map(({ port }) => port);
        const { story, appear, all, delivered, running } = await begin(name, ports, "files");
        const counts = { failovers: 0, pages_without_answer: 0, versions_without_answer_kept: 0 };
        for (let round = 0; round < ROUNDS; round += 1)
          // Has the standby what the members got no answer for? In CI one of the two does for each way.
          for (const hasPages of ROUNDS > 1 ? [true, false] : [name === "sync"]) {
            if (counts.failovers > 0) await followAgain(true);
            // What the members send from now on is committed, and waits: the standby gets it, or does not.
            const [pid] = hasPages
              ? standby.query("select pid from pg_stat_wal_receiver")
              : primary.query("select pid from pg_stat_replication");
            process.kill(Number(pid), "SIGSTOP");
            appear(2);
            await story.until(() => Number(primary.query(PAGES_WITHOUT_ANSWER)[0]) > 0, "pages wait for the standby");
            const before = story.committed;
            counts.pages_without_answer += Number(primary.query(PAGES_WITHOUT_ANSWER)[0]);
            const [written = ""] = primary.query("select pg_current_wal_flush_lsn()");
            if (hasPages)
              await story.until(
                () => primary.query(`select sent_lsn >= '${written}' from pg_stat_replication`)[0] === "t",
                "what waits is on its way to the standby",
              );
            await primary.die();
            story.failedOver(standby);
            if (hasPages) {
              process.kill(Number(pid), "SIGCONT");
              await story.until(() => story.committed > before, "the standby has what the members do not know of");
            }
            counts.versions_without_answer_kept += story.committed - before;
            expect(story.committed > before).toBe(hasPages);
            promote();
            counts.failovers += 1;
            appear(1);
            await delivered();
          }
        await stop(story, running);

        const copies = await story.expectWhole(all(), { mayRepeat: true });
        noteProof({
          name: `fleet-failover-${name}`,
          seed: null,
          counts: { ...counts, delivered: all(), lost: 0, doubled: 0, copies },
        });
      },
    );

    test("goes on at an asynchronous standby: what that one lacks is read again from Microsoft, with equal keys", async () => {
      const { story, appear, all, delivered, running } = await begin("async", [primary.port, standby.port], "hec");
      const counts = { failovers: 0, committed_and_lacking: 0, delivered_and_lacking: 0 };
      for (let round = 0; round < ROUNDS; round += 1) {
        if (round > 0) await followAgain(false);
        // It lacks exactly what is committed from here on.
        await standby.hasAllOf(primary);
        const [pid] = primary.query("select pid from pg_stat_replication");
        process.kill(Number(pid), "SIGSTOP");
        // Some of it was delivered and confirmed, and some was not.
        appear(2);
        await delivered();
        counts.delivered_and_lacking += 2 * CUSTOMERS.length;
        await hec.suspend();
        appear(2);
        await story.until(() => story.committed >= all(), "everything was committed");
        await primary.die();
        story.failedOver(standby);
        counts.committed_and_lacking += all() - story.committed;
        promote();
        counts.failovers += 1;
        await hec.resume();
        await story.until(() => story.committed >= all(), "everything was read again");
        await delivered();
      }
      await stop(story, running);

      expect(counts.committed_and_lacking).toBe(4 * CUSTOMERS.length * ROUNDS);
      const copies = await story.expectWhole(all());
      // The member that delivered them knows their keys; another one, that has the customer now, sends them.
      expect(copies).toBeLessThanOrEqual(counts.committed_and_lacking);
      noteProof({
        name: "fleet-failover-async",
        seed: null,
        counts: { ...counts, delivered: all(), lost: 0, doubled: 0, copies },
      });
    });
  },
);
