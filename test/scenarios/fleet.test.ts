/**
 * Collectors of one fleet over a real PostgreSQL. One is killed while it collects, and the other one takes
 * over; then a storm of everything that can happen to three of them, with files as output and with HEC.
 * DEFENDER_MSSP_REAL_PARTS=1 runs every fault, FLEET_ROUNDS says how often.
 */
import { randomUUID } from "node:crypto";
import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { CuttingProxy } from "../harness/postgres/cutting-proxy.ts";
import { FleetStory, type MemberProcess } from "../harness/postgres/fleet-story.ts";
import { missingPostgresParts, PostgresServer } from "../harness/postgres/server.ts";
import { noteProof } from "../harness/proof.ts";
import { describeWith, REAL_PARTS_REQUIRED } from "../harness/real-parts.ts";
import { startWithAlerts } from "../harness/simulator/customers.ts";
import type { Simulator } from "../harness/simulator/start.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(3_600_000);

const ROUNDS = Number(process.env["FLEET_ROUNDS"] ?? 1);
const CUSTOMERS = Array.from({ length: 8 }, (_, n) => `customer-${n + 1}`);
const HISTORY = 20;
const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";

let folder: string;
let server: PostgresServer;
let simulator: Simulator | undefined;
let current: FleetStory | undefined;
let hec: HecServer | undefined;
const proxies: CuttingProxy[] = [];

describeWith("the programs of PostgreSQL", missingPostgresParts())("a fleet", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "fleet-"));
    server = await PostgresServer.start();
  });
  afterEach(async () => {
    current?.end();
    for (const proxy of proxies.splice(0)) await proxy.close();
    await simulator?.stop();
    simulator = undefined;
    await hec?.stop();
    hec = undefined;
  });
  afterAll(async () => {
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Customers with a history. */
  async function begin(
    name: string,
    members: readonly string[],
    output: "files" | "hec" = "files",
    options: { readonly refreshTokens?: boolean } = {},
  ) {
    const started = await startWithAlerts("fleet", CUSTOMERS, HISTORY, 29);
    simulator = started;
    for (const _ of members) proxies.push(await CuttingProxy.open(server.port));
    const ports = Object.fromEntries(members.map((member, i) => [member, proxies[i]?.port ?? 0]));
    const indexed = join(folder, `${name}.indexed.jsonl`);
    if (output === "hec") hec = await startHec({ ack: "on", token: TOKEN, port: 0, out: indexed });
    const receiver = hec === undefined ? {} : { hec: { server: hec, indexed } };
    const story = new FleetStory({
      folder,
      name,
      server,
      ready: started.ready,
      members: ports,
      ...receiver,
      ...options,
    });
    current = story;
    await story.init();
    let all = CUSTOMERS.length * HISTORY;
    /** New alerts of every customer. */
    const appear = (count: number): void => {
      for (let n = 0; n < count; n += 1) started.control.perform({ do: "record", stream: "alerts", id: randomUUID() });
      all += count * CUSTOMERS.length;
    };
    return { story, appear, all: () => all };
  }

  test("a member that is killed is taken over: nothing is lost, the store holds every version once", async () => {
    const { story, appear, all } = await begin("takeover", ["one", "two"]);
    const [one, two] = [story.start("one"), story.start("two")];
    await story.until(() => story.owners()["one"] === 128 && story.owners()["two"] === 128, "each owns its half");
    await story.until(() => ["one", "two"].every((name) => story.eventsOf(name).length > 0), "both have delivered");
    await story.said(
      () => story.doctor(),
      /members +one \([^)]*, 128 shards\), two \([^)]*, 128 shards\)\.\n[\s\S]*exit 0$/,
    );
    appear(2);
    one.kill("SIGKILL");
    await one.ended;
    appear(2);
    await story.until(() => story.owners()["two"] === 256, "the other one owns everything");
    await story.until(() => story.delivered >= all() && story.waiting === 0, "everything was delivered");
    two.kill("SIGTERM");
    expect([await two.ended, story.log]).toEqual([0, expect.any(String)]);

    await story.expectWhole(all());
    expect(await story.doctor()).toMatch(/256 of 256 shards have no live owner[\s\S]*exit 7$/);
  });

  test("a member is drained, and a changed configuration collects only after it was applied", async () => {
    const { story, appear, all } = await begin("operated", ["one", "two"]);
    let one = story.start("one");
    const two = story.start("two");
    await story.until(() => story.owners()["one"] === 128 && story.owners()["two"] === 128, "each owns its half");
    expect(await story.ask(["fleet", "drain"], "one")).toMatch(/one is drained[^\n]*\nexit 0$/);
    await story.until(() => isDeepStrictEqual(story.owners(), { two: 256 }), "the other one owns everything");
    await story.until(() => story.delivered >= all(), "every customer was collected");
    await story.said(() => story.doctor(), /one \([^,)]*, drained, 0 shards\), two \([^,)]*, 256 shards\)\.\n/);
    await story.said(
      () => story.ask(["status"], "one"),
      /^one: 0 customers, version \S+\ntwo: 8 customers, version \S+\n[\s\S]*exit 0$/,
    );
    expect(await story.ask(["fleet", "drain", "two"], "one")).toMatch(
      /No other live member could take over[^\n]*\nexit 7$/,
    );
    expect(await story.ask(["fleet", "drain", "three"], "one")).toMatch(/Live members: one, two\.\nexit 2$/);

    one.kill("SIGTERM");
    expect([await one.ended, story.log]).toEqual([0, expect.any(String)]);
    story.configure("one", "poll_seconds=1", "poll_seconds=2");
    one = story.start("one");
    const differs = "fleet operated fleet-configuration-differs";
    await story.until(() => story.healthOf("one").includes(differs), "health names the difference");
    appear(1);
    await story.until(() => story.delivered >= all(), "the other member collects");
    // On a busy machine it may renew late, and then owns nothing for a moment.
    await story.until(() => isDeepStrictEqual(story.owners(), { two: 256 }), "the other member owns everything");
    expect(await story.ask(["fleet", "apply"], "one")).toMatch(/members="?two"?[\s\S]*exit 0$/);
    await story.until(() => story.owners()["one"] === 256, "the member with the applied configuration owns everything");
    appear(1);
    await story.until(() => story.delivered >= all(), "everything was delivered");
    for (const member of [one, two]) member.kill("SIGTERM");
    for (const member of [one, two]) expect([await member.ended, story.log]).toEqual([0, expect.any(String)]);

    await story.expectWhole(all());
  });

  test("refresh tokens are shared: a member killed while it renews them loses none, and another key takes nobody", async () => {
    const { story, all } = await begin("tokens", ["one", "two", "other"], "files", { refreshTokens: true });
    // `fleet init` has made the first member's.
    copyFileSync(story.keyFile("one"), story.keyFile("two"));
    writeFileSync(story.keyFile("other"), `${Buffer.alloc(32, 7).toString("base64")}\n`, { mode: 0o600 });
    // One customer is still to be signed in.
    const [first] = (simulator as Simulator).ready.customers;
    for (const member of ["one", "two", "other"])
      story.configure(member, `tenants[0].refresh_token=${first?.refresh_token}\n`, "");
    const issued = () =>
      [...(simulator as Simulator).control.world.customers.values()].reduce(
        (sum, { counters }) => sum + counters.tokenRequests,
        0,
      );
    simulator?.control.perform({ do: "fault", on: ["token"], answer: { delay_ms: 20_000 } });
    const before = issued();
    const one = story.start("one");
    await story.until(() => issued() > before, "Microsoft has issued a token, and its answer is on the way");
    one.kill("SIGKILL");
    await one.ended;
    simulator?.control.perform({ do: "clear-faults" });
    const two = story.start("two");
    const other = story.start("other");
    await story.until(() => story.delivered >= all() - HISTORY, "the others are collected with the tokens left");
    const unknown = `${first?.tenant_name} not-signed-in`;
    await story.until(() => story.healthOf("two").includes(unknown), "health says that it is not signed in");
    const acquire = ["token", "acquire", "--customer", first?.tenant_name ?? "", "--to", "fleet", "--from", "-"];
    const stored = await story.ask(acquire, "one", `${first?.refresh_token}\n`);
    await story.until(() => story.delivered >= all(), "the member collects it too, without a restart");
    await story.until(() => story.healthOf("other").includes("fleet tokens fleet-key-differs"), "health says so");
    await story.until(() => isDeepStrictEqual(story.owners(), { two: 256 }), "the other key takes nobody");
    const doctor = await story.doctor();
    // The command has the token of the database, and no other one.
    story.configure("one", /tenants\[\d+\]\.refresh_token=.*\n/g, "");
    const name = CUSTOMERS[1] as string;
    const access = await story.ask(["token", "access", "--customer", name, "--for", "graph"], "one");
    const reseal = await story.ask(["credential", "reseal", "--all"], "one");
    const secrets = server
      .query(`select input || '|' || encode(sealed, 'hex') from ${story.schema}.secret order by 1`)
      .map((row) => row.split("|"));
    for (const member of [two, other]) member.kill("SIGTERM");
    for (const member of [two, other]) expect([await member.ended, story.log]).toEqual([0, expect.any(String)]);

    expect(access).toMatch(/^ok  [\s\S]*exit 0$/);
    expect(reseal).toMatch(/No secret in \S+ and the database of the fleet tokens needed a change\.\nexit 0$/);
    expect(stored).toMatch(/is stored in the database of the fleet tokens\.[\s\S]*exit 0$/);
    expect(doctor).toMatch(/other \([^)]*another key file than the fleet's[^)]*, 0 shards\)/);
    expect(secrets.map(([customer]) => customer)).toEqual(CUSTOMERS);
    const bytes = secrets.map(([, hex = ""]) => Buffer.from(hex, "hex").toString("latin1"));
    // Every refresh token of the simulator begins so.
    for (const text of [...bytes, story.log, stored, access, reseal]) expect(text).not.toMatch(/1\.A[A-Za-z0-9_-]{40}/);
    expect(statSync(story.keyFile("one")).mode & 0o777).toBe(0o600);
    await story.expectWhole(all());
  });

  const storm = REAL_PARTS_REQUIRED ? test : test.skip;
  storm("a database that is gone is heard of for every customer, and nothing is lost when it is back", async () => {
    const { story, appear, all } = await begin("outage", ["one", "two", "late"]);
    const running = [story.start("one"), story.start("two")];
    await story.until(() => story.delivered >= all(), "everything so far was delivered");
    await story.until(() => story.owners()["one"] === 128 && story.owners()["two"] === 128, "each owns its half");
    await server.kill("SIGINT");
    appear(3);
    const late = story.start("late");
    await story.until(
      () => story.healthOf("late").includes("fleet outage fleet-unreachable"),
      "a member that starts says that it waits",
    );
    const said = () => [...story.healthOf("one"), ...story.healthOf("two")];
    await story.until(
      () => CUSTOMERS.every((customer) => said().includes(`${customer} fleet-unconfirmed`)),
      "health says for every customer that it is not collected",
    );
    await story.until(
      () => said().filter((one) => one === "fleet outage fleet-unreachable").length >= 2,
      "health of both members names the database",
    );
    await server.startAgain();
    await story.until(() => (story.owners()["late"] ?? 0) >= 84, "the member that waited has its share");
    await story.until(() => story.delivered >= all(), "everything was delivered");
    const isGoodAgain = (customer: string) =>
      ["one", "two", "late"]
        .map((member) => story.healthOf(member))
        .some((health) => health.lastIndexOf(`${customer} ok`) > health.lastIndexOf(`${customer} fleet-unconfirmed`));
    await story.until(() => CUSTOMERS.every(isGoodAgain), "health of every customer is good again");
    running.push(late);
    for (const member of running) member.kill("SIGTERM");
    for (const member of running) expect([await member.ended, story.log]).toEqual([0, expect.any(String)]);

    await story.expectWhole(all());
  });

  storm(
    "a database that is full, and then read-only, is heard of for every customer, and nothing is lost",
    async () => {
      const { story, appear, all } = await begin("full", ["one", "two"]);
      const running = [story.start("one"), story.start("two")];
      await story.until(() => story.owners()["one"] === 128 && story.owners()["two"] === 128, "each owns its half");
      await story.until(() => story.delivered >= all(), "everything so far was delivered");
      const health = () => [...story.healthOf("one"), ...story.healthOf("two")];
      const said = () => [...story.saidOf("one"), ...story.saidOf("two")];
      const saidOfEach = (code: string) =>
        story.until(
          () => CUSTOMERS.every((customer) => health().includes(`${customer} ${code}`)),
          `health says ${code} of every customer`,
        );
      const goesOn = async (): Promise<void> => {
        await story.until(() => story.delivered >= all() && story.waiting === 0, "everything was delivered");
        const lastOf = (customer: string) =>
          Math.max(
            ...["one", "two"].map(
              (member) =>
                story.healthOf(member).lastIndexOf(`${customer} ok`) -
                story.healthOf(member).findLastIndex((one) => one.startsWith(`${customer} fleet-`)),
            ),
          );
        await story.until(
          () => CUSTOMERS.every((customer) => lastOf(customer) > 0),
          "health of every customer is good again",
        );
      };

      // Nothing was committed in that hour yet.
      const [hour = ""] = server.query(`select ${story.schema}.this_hour() + 2`);
      await server.withoutSpace(`${story.schema}.packet_${hour}`);
      server.query(
        `create or replace function ${story.schema}.this_hour() returns int language sql stable as 'select ${hour}'`,
      );
      const before = story.committed;
      appear(2);
      await saidOfEach("fleet-refused");
      expect(story.committed).toBe(before);
      expect(said().find((one) => one.includes("No space left on device"))).toMatch(
        /^customer-\d: The fleet's database refused a statement \(53100\): .* Nothing of it was committed\. Free disk space on the database's host\. Collection resumes by itself\.$/,
      );
      server.query(`truncate ${story.schema}.packet_${hour}`);
      await goesOn();

      server.query("alter system set default_transaction_read_only = on");
      server.query("select pg_reload_conf()");
      appear(2);
      await saidOfEach("fleet-unconfirmed");
      await story.until(() => health().includes("fleet full fleet-refused"), "health names the database");
      expect(said().find((one) => one.includes(": This member does not collect"))).toMatch(
        /^customer-\d: .* \(25006\): .* Nothing of it was committed\. Make the database writable, or put the primary into fleet\.url\.$/,
      );
      expect(await story.doctor()).toMatch(/The fleet's database is read-only for fleet\.user/);
      server.query("alter system reset default_transaction_read_only");
      server.query("select pg_reload_conf()");
      await goesOn();
      for (const member of running) member.kill("SIGTERM");
      for (const member of running) expect([await member.ended, story.log]).toEqual([0, expect.any(String)]);

      await story.expectWhole(all());
    },
  );

  storm.each([
    ["files", "storm"],
    ["hec", "storm-hec"],
  ] as const)(
    "three members that deliver to %s survive kills, pauses, cut networks and restarts",
    async (output, fleet) => {
      const names = ["one", "two", "three"];
      const { story, appear, all } = await begin(fleet, names, output);
      const running = new Map<string, MemberProcess>(names.map((name) => [name, story.start(name)]));
      const counts = { kills: 0, pauses: 0, cuts: 0, database_crashes: 0, takeovers: 0 };
      let restarts = 0;
      const balanced = () => names.every((name) => (story.owners()[name] ?? 0) >= 84);
      /** The others own what it had. */
      const takenOver = async (name: string) => {
        await story.until(
          () =>
            story.owners()[name] === undefined && Object.values(story.owners()).reduce((sum, n) => sum + n, 0) === 256,
          `the others own what ${name} had`,
        );
        counts.takeovers += 1;
      };
      const delivered = () => story.until(() => story.delivered >= all(), "everything so far was delivered");
      const faults: Readonly<Record<string, (name: string, proxy: CuttingProxy) => Promise<void>>> = {
        kill: async (name) => {
          running.get(name)?.kill("SIGKILL");
          await running.get(name)?.ended;
          counts.kills += 1;
          appear(1);
          await takenOver(name);
          running.set(name, story.start(name));
        },
        pause: async (name) => {
          running.get(name)?.kill("SIGSTOP");
          counts.pauses += 1;
          appear(1);
          await takenOver(name);
          // It believes that it owns its shards, and has pages and packets on their way.
          running.get(name)?.kill("SIGCONT");
        },
        cut: async (name, proxy) => {
          // The database gets what the member says, and the member gets no answer.
          proxy.mode = "swallow-answers";
          counts.cuts += 1;
          appear(1);
          await takenOver(name);
          proxy.mode = "pass";
          proxy.cut();
        },
        crash: async () => {
          await server.kill("SIGQUIT");
          counts.database_crashes += 1;
          appear(1);
          await server.startAgain();
        },
        ...(hec === undefined ? {} : { restart: () => restart(hec as HecServer) }),
      };
      /** What HEC took and did not index is gone, its ids begin at 0, and for a while nobody answers. */
      const restart = async (receiver: HecServer) => {
        const before = receiver.indexer.posts;
        appear(1);
        await story.until(() => receiver.indexer.posts > before, "HEC took something");
        receiver.indexer.restart();
        restarts += 1;
        await receiver.suspend();
        appear(1);
        await story.until(
          () => story.waiting > 0 && story.committed >= all(),
          "what HEC does not take waits in the store",
        );
        await receiver.resume();
      };
      for (let round = 0; round < ROUNDS; round += 1)
        for (const [place, fault] of Object.values(faults).entries()) {
          await story.until(balanced, "every member owns its share");
          const at = (round + place) % names.length;
          appear(2);
          await fault(names[at] as string, proxies[at] as CuttingProxy);
          appear(1);
          await delivered();
        }
      await story.until(() => story.waiting === 0, "everything was confirmed");
      for (const member of running.values()) member.kill("SIGTERM");
      for (const member of running.values()) expect([await member.ended, story.log]).toEqual([0, expect.any(String)]);

      const copies = await story.expectWhole(all());
      expect(counts.takeovers).toBeGreaterThanOrEqual(3);
      noteProof({
        name: `fleet-storm-${output}`,
        seed: null,
        counts: {
          ...counts,
          ...(hec === undefined ? {} : { hec_restarts: restarts }),
          delivered: all(),
          lost: 0,
          doubled: 0,
          copies,
        },
      });
    },
  );
});
