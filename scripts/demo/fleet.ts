/** `npm run demo -- --fleet`: two collectors share the customers, and one of them is killed. */
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type HecServer, startHec } from "../../test/harness/hec/server.ts";
import { consult } from "../../test/harness/oracle/main.ts";
import { missingPostgresParts, PostgresServer, SUPERUSER_PASSWORD } from "../../test/harness/postgres/server.ts";
import { startWithAlerts } from "../../test/harness/simulator/customers.ts";
import type { Simulator } from "../../test/harness/simulator/start.ts";
import { tenantLines } from "../../test/harness/simulator/tenant-lines.ts";
import { ScriptProblem } from "../build/project.ts";
import { Child } from "./children.ts";
import { makeFleetSchema } from "./fleet-schema.ts";
import { headline, type Promises, say } from "./promises.ts";

const CUSTOMERS = ["contoso", "fabrikam", "tailspin", "adatum", "northwind", "woodgrove", "litware", "proseware"];
const HISTORY = 25;
const SHARDS = 256;
/** A busy machine may take long; nothing here depends on it. */
const WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 250;
const SCHEMA = "defender_mssp_demo";
const ROLE = "collector";

/** Why this machine cannot show it; undefined: it can. */
export function fleetDemoSkipped(): string | undefined {
  const missing = missingPostgresParts();
  if (missing === undefined) return undefined;
  return `The demo of a fleet is skipped: ${missing}. Install Debian's package postgresql to see it.`;
}

/** @param folder a new one; what went wrong can be read there. */
export async function showFleet(folder: string, binary: string, promises: Promises): Promise<void> {
  const ending: (() => Promise<unknown>)[] = [];
  try {
    headline("1. A simulated Microsoft, a simulated Splunk (HEC) and a PostgreSQL, all on this machine");
    const simulator = await startWithAlerts("fleet-demo", CUSTOMERS, HISTORY, 29);
    ending.push(() => simulator.stop());
    const indexed = join(folder, "indexed.jsonl");
    const hec = await startHec({ ack: "on", token: randomUUID(), port: 0, out: indexed });
    ending.push(() => hec.stop());
    const database = await PostgresServer.start();
    ending.push(() => database.remove());
    say(`  ${CUSTOMERS.length} customers with ${HISTORY} alerts each`);
    await new Story(folder, binary, { simulator, hec, indexed, database }, promises).tell(ending);
  } finally {
    for (const end of ending.toReversed()) await end();
  }
}

interface World {
  readonly simulator: Simulator;
  readonly hec: HecServer;
  /** Gets each event that the simulated Splunk has indexed. */
  readonly indexed: string;
  readonly database: PostgresServer;
}

class Story {
  readonly #folder: string;
  readonly #binary: string;
  readonly #world: World;
  readonly #promises: Promises;
  /** Alerts that Microsoft has shown so far, of all customers. */
  #shown = CUSTOMERS.length * HISTORY;

  constructor(folder: string, binary: string, world: World, promises: Promises) {
    this.#folder = folder;
    this.#binary = binary;
    this.#world = world;
    this.#promises = promises;
  }

  /** @param ending gets what ends the collectors. */
  async tell(ending: (() => Promise<unknown>)[]): Promise<void> {
    const promises = this.#promises;
    headline("2. Two collectors share the customers");
    this.#init();
    const start = (name: string) => {
      const member = new Child(`collector ${name}`, this.#binary, ["run", "--config", this.#config(name)]);
      ending.push(() => member.stop());
      return member;
    };
    for (const name of ["one", "two"]) this.#configure(name);
    const [one, two] = [start("one"), start("two")];
    await this.#until("each collector owns its half", [one, two], () => {
      const owned = this.#owned();
      return owned["one"] === SHARDS / 2 && owned["two"] === SHARDS / 2;
    });
    say(
      `  collector one (pid ${one.pid}) and collector two (pid ${two.pid}) own ${SHARDS / 2} of ${SHARDS} shards each`,
    );
    await this.#until("everything so far is indexed", [one, two], () => this.#keys().size >= this.#shown);
    say(`  Splunk has indexed ${this.#keys().size} alerts`);

    headline("3. New alerts appear, and collector one is killed with kill -9");
    this.#appear();
    await one.kill();
    const killedMs = performance.now();
    const seconds = () => ((performance.now() - killedMs) / 1_000).toFixed(1);
    say(`   0.0 s  collector one is dead; its customers have no collector`);
    this.#appear();
    await this.#until("collector two owns everything", [two], () => this.#owned()["two"] === SHARDS);
    const takeover = seconds();
    say(`  ${takeover.padStart(4)} s  collector two owns all ${SHARDS} shards`);
    await this.#until("everything is indexed", [two], () => this.#keys().size >= this.#shown);
    say(`  ${seconds().padStart(4)} s  Splunk has indexed all ${this.#shown} alerts`);
    promises.check("the customers of the killed collector were taken over", true, `${takeover} s after the kill`);

    headline("4. Did anything get lost?");
    await this.#until("everything is confirmed", [two], () => this.#count(WAITING) === 0);
    const code = await two.stop(30_000);
    promises.check(
      "collector two stopped when asked",
      code === 0,
      code === 0 ? "" : `exit code ${code}: ${two.complaints.at(-1)}`,
    );
    await this.#judge();
    say(`  every event  ${this.#world.indexed}`);
  }

  async #judge(): Promise<void> {
    const promises = this.#promises;
    const { simulator, indexed } = this.#world;
    const { totals } = await consult({ truth: simulator.ready.control_url, delivered: [indexed], format: "jsonl" });
    const { lost, stale, changed_bytes: changed, unknown, delivered } = totals;
    promises.check(
      "the oracle, which knows what Microsoft showed, finds nothing lost, stale or altered",
      [lost, stale, changed, unknown].every((count) => count === 0) && delivered === this.#shown,
      `${delivered} of ${this.#shown} alerts, ${lost} lost`,
    );
    const committed = this.#count(`select coalesce(sum(records), 0) from ${SCHEMA}.packet`);
    promises.check("the database holds each alert once", committed === this.#shown, `${committed}`);
    const texts = [...this.#keys().values()];
    const copies = texts.reduce((sum, { count }) => sum + count - 1, 0);
    promises.check(
      "what was sent twice has an equal key, so that a search counts it once",
      texts.every(({ areEqual }) => areEqual),
      copies === 1 ? "1 copy" : `${copies} copies`,
    );
  }

  /** One new alert of each customer. */
  #appear(): void {
    this.#world.simulator.control.perform({ do: "record", stream: "alerts", id: randomUUID() });
    this.#shown += CUSTOMERS.length;
  }

  #configure(member: string): void {
    const { simulator, hec, database } = this.#world;
    const lines = [
      ...tenantLines(simulator.ready, { poll_seconds: "1" }),
      "outputs[0].type=hec",
      `outputs[0].urls=${hec.ready.url}`,
      `outputs[0].token=${hec.ready.token}`,
      `outputs[0].ca_file=${hec.ready.ca_file}`,
      `state_dir=${join(this.#folder, member)}`,
      `fleet.url=${database.url}`,
      `fleet.user=${ROLE}`,
      `fleet.password=${SUPERUSER_PASSWORD}`,
      "fleet.name=demo",
      `fleet.member=${member}`,
    ];
    writeFileSync(this.#config(member), lines.map((line) => `${line}\n`).join(""), { mode: 0o600 });
  }

  /** Makes the schema, as docs/fleet says. */
  #init(): void {
    const { database } = this.#world;
    database.query(`create role ${ROLE} login password '${SUPERUSER_PASSWORD.replaceAll("'", "''")}'`);
    this.#configure("one");
    makeFleetSchema(database, this.#binary, this.#config("one"));
    say("  `defender-mssp fleet init` has made the schema");
  }

  async #until(what: string, members: readonly Child[], holds: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + WITHIN_MS;
    while (!holds()) {
      if (performance.now() > deadlineMs)
        throw new ScriptProblem(
          `Not within ${WITHIN_MS / 1_000} s: ${what}. ${members.map(({ complaints }) => complaints.at(-1) ?? "").join(" ")}`,
        );
      await pause(LOOK_EVERY_MS);
    }
  }

  /** How many shards each live collector owns. */
  #owned(): Readonly<Record<string, number>> {
    const rows = this.#world.database.query(
      `select m.name || '|' || count(*) from ${SCHEMA}.shard s join ${SCHEMA}.member m on m.boot = s.owner
       where m.alive_until > clock_timestamp() group by m.name`,
    );
    return Object.fromEntries(rows.map((row) => [row.split("|")[0] ?? "", Number(row.split("|")[1])]));
  }

  #count(sql: string): number {
    return Number(this.#world.database.query(sql)[0]);
  }

  /** Keys of the indexed events, with their copies. */
  #keys(): ReadonlyMap<string, { readonly count: number; readonly areEqual: boolean; readonly text: string }> {
    const { indexed } = this.#world;
    const keys = new Map<string, { count: number; areEqual: boolean; text: string }>();
    const lines = existsSync(indexed) ? readFileSync(indexed, "utf8").split("\n").slice(0, -1) : [];
    for (const text of lines) {
      const { mssp } = JSON.parse(text) as { readonly mssp?: { readonly key: string } };
      // Health.
      if (mssp === undefined) continue;
      const known = keys.get(mssp.key);
      keys.set(mssp.key, {
        count: (known?.count ?? 0) + 1,
        areEqual: (known?.areEqual ?? true) && (known?.text ?? text) === text,
        text,
      });
    }
    return keys;
  }

  #config(member: string): string {
    return join(this.#folder, `${member}.properties`);
  }
}

/** Packets that HEC has not confirmed. */
const WAITING = `select count(*) from ${SCHEMA}.packet p join ${SCHEMA}.delivery d on d.stream = p.stream where p.seq > d.seq`;
