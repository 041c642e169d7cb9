/**
 * Rows of the fleet: built binaries that share customers through a real PostgreSQL.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { missingPostgresParts, PostgresServer, SUPERUSER_PASSWORD } from "../../test/harness/postgres/server.ts";
import type { Proof } from "../../test/harness/proof.ts";
import { ROOT, ScriptProblem } from "../build/project.ts";
import { Child } from "../demo/children.ts";
import { makeFleetSchema } from "../demo/fleet-schema.ts";
import { cpuMsOf, cpuMsOfTree } from "./collector.ts";
import type { Microsoft } from "./microsoft.ts";
import { type Bench, median, type Outcome, round, WITHIN_MS, withMicrosoft } from "./runs.ts";

const MEMBERS = ["one", "two", "three"] as const;
const SHARDS = 256;
const SCHEMA = "defender_mssp_bench";
const ROLE = "collector";
const LOOK_EVERY_MS = 250;
/** A machine that is too slow for a target should say so with a figure. */
const SLOWLY_WITHIN_MS = 4 * WITHIN_MS;

/** Without PostgreSQL a row is left out with a sentence, as the programs of `catch-up` are. */
async function withPostgres(bench: Bench, measure: (server: PostgresServer) => Promise<Outcome[]>): Promise<Outcome[]> {
  const missing = missingPostgresParts();
  if (missing !== undefined) {
    bench.say(`  left out: ${missing}. Install Debian's package postgresql to measure it.`);
    return [];
  }
  // As an operator runs it: what is committed survives a loss of power.
  const server = await PostgresServer.start({
    fsync: "on",
    full_page_writes: "on",
    shared_buffers: "128MB",
    max_wal_size: "4GB",
    autovacuum_naptime: "60",
  });
  try {
    return await measure(server);
  } finally {
    await server.remove();
  }
}

const VERSIONS = 25 * 8000;
const COMMITTED_TARGET = 10_000;

/** Row `fleet-commit`: from the start of three members until the last version is committed. */
export function commitsOfFleet(bench: Bench): Promise<Outcome[]> {
  return withPostgres(bench, (server) =>
    withMicrosoft(resolve(ROOT, "test/scenarios/load-25x8000.yaml"), async (microsoft) => {
      // The first reader makes the simulator prepare its pages.
      await committedBy(bench, server, microsoft, "first");
      const rates: number[] = [];
      for (let run = 0; run < bench.runs; run += 1) {
        await bench.rateTargets.beside("fleet-commit", microsoft);
        rates.push(await committedBy(bench, server, microsoft, `run ${run + 1}`));
      }
      const target = bench.rateTargets.of(COMMITTED_TARGET);
      const rate = median(rates);
      return [
        {
          name: "fleet-commit",
          value: round(rate),
          unit: "versions/s",
          target: target.said,
          holds: rate >= target.rate,
          runs: rates.map(round),
        },
      ];
    }),
  );
}

async function committedBy(bench: Bench, server: PostgresServer, microsoft: Microsoft, label: string): Promise<number> {
  return withFleet(bench, server, microsoft, async (fleet) => {
    const startedMs = performance.now();
    fleet.start();
    await fleet.until("every version is committed", () => fleet.committed() >= VERSIONS, SLOWLY_WITHIN_MS);
    const seconds = (performance.now() - startedMs) / 1000;
    const committed = fleet.committed();
    if (committed !== VERSIONS) throw new ScriptProblem(`${committed} versions are committed instead of ${VERSIONS}.`);
    await fleet.until("every version is delivered", () => fleet.waiting() === 0, SLOWLY_WITHIN_MS);
    const cpuUs = (microseconds: number) => round((microseconds * 1000) / VERSIONS);
    bench.say(
      `  ${label}: ${round(VERSIONS / seconds)} versions/s; processor time per version: members ${cpuUs(fleet.cpuMs())} µs, PostgreSQL ${cpuUs(cpuMsOfTree(server.pid))} µs since its start`,
    );
    return VERSIONS / seconds;
  });
}

const TAKEN_OVER = 2000;
const POLL_SECONDS = 60;
const TAKEOVER_TARGET_S = POLL_SECONDS + 15;

/**
 * Row `fleet-takeover`: three members with 2,000 customers each, and one is killed. The simulator says how
 * long a customer was not polled at most. An alert appears for every customer in that moment; it is committed
 * by the first poll of the customer's new owner, so the database says when that was.
 */
export function takeoverOfFleet(bench: Bench): Promise<Outcome[]> {
  const customers = TAKEN_OVER * MEMBERS.length;
  return withPostgres(bench, (server) =>
    withMicrosoft(idleCustomers("fleet-takeover", customers), async (microsoft) => {
      const seconds: number[] = [];
      for (let run = 0; run < bench.runs; run += 1)
        seconds.push(
          await withFleet(bench, server, microsoft, async (fleet) => {
            fleet.start();
            await fleet.until("every customer is collected", () => fleet.streams() >= customers, SLOWLY_WITHIN_MS);
            await fleet.until("each member has its share", () => fleet.isBalanced());
            // Joining members took customers from the first one; that must be over.
            await fleet.untilQuiet();
            // Members that had their customers for a shorter time are not taken to have polled them all.
            await pause(POLL_SECONDS * 1000);
            return takeover(bench, fleet, microsoft);
          }),
        );
      const value = median(seconds);
      return [
        {
          name: "fleet-takeover",
          value: round(value),
          unit: `s between two polls of one customer at most, polled each ${POLL_SECONDS} s`,
          target: `<= ${TAKEOVER_TARGET_S}`,
          holds: value <= TAKEOVER_TARGET_S,
          runs: seconds.map(round),
        },
      ];
    }),
  );
}

async function takeover({ say }: Bench, fleet: Fleet, { control_url }: Microsoft): Promise<number> {
  const shards = fleet.shardsOf("one");
  const customers = fleet.streamsIn(shards);
  const before = fleet.committedIn(shards);
  const statements = fleet.statements();
  await asked(control_url, "pauses", { method: "DELETE" });
  await fleet.kill("one");
  const killedMs = performance.now();
  const seconds = () => (performance.now() - killedMs) / 1000;
  const alert = JSON.stringify({ stream: "alerts", id: crypto.randomUUID() });
  await asked(control_url, "records", { method: "POST", body: alert });
  await fleet.until("the others own everything", () => fleet.ownedWithout("one") === SHARDS);
  const owned = seconds();
  await fleet.until(
    "half of its customers are polled again",
    () => fleet.committedIn(shards) - before >= customers / 2,
  );
  const half = seconds();
  await fleet.until("its customers are polled again", () => fleet.committedIn(shards) - before >= customers);
  const all = seconds();
  const state = (await (await asked(control_url, "state")).json()) as {
    readonly customers: readonly { readonly apis: { readonly graph: { readonly longest_pause_ms: number } } }[];
  };
  const longestPause = Math.max(...state.customers.map(({ apis }) => apis.graph.longest_pause_ms)) / 1000;
  say(
    `  ${customers} customers: shards owned after ${round(owned)} s, half polled after ${round(half)} s, the last after ${round(all)} s; no customer waited longer than ${round(longestPause)} s; ${fleet.statements() - statements} transactions in PostgreSQL meanwhile`,
  );
  return longestPause;
}

async function asked(controlUrl: string, path: string, request: RequestInit = {}): Promise<Response> {
  const answer = await fetch(`${controlUrl}/${path}`, request);
  if (!answer.ok) throw new ScriptProblem(`The simulator answered ${answer.status}: ${await answer.text()}`);
  return answer;
}

const IDLE_CUSTOMERS = 10_000;
const IDLE_TARGET = 2;

/** Row `fleet-idle`: processor time of PostgreSQL over minutes in which nothing is new. */
export function idleFleet(bench: Bench): Promise<Outcome[]> {
  return withPostgres(bench, (server) =>
    withMicrosoft(idleCustomers("fleet-idle", IDLE_CUSTOMERS), async (microsoft) =>
      withFleet(bench, server, microsoft, async (fleet) => {
        fleet.start();
        await fleet.until("every customer is collected", () => fleet.streams() >= IDLE_CUSTOMERS, SLOWLY_WITHIN_MS);
        await fleet.untilQuiet();
        const shares: number[] = [];
        for (let run = 0; run < bench.runs; run += 1) {
          const [databaseMs, membersMs, atMs] = [cpuMsOfTree(server.pid), fleet.cpuMs(), performance.now()];
          await pause(60_000);
          const share = (spentMs: number) => (spentMs / (performance.now() - atMs)) * 100;
          shares.push(share(cpuMsOfTree(server.pid) - databaseMs));
          bench.say(
            `  PostgreSQL ${round(shares.at(-1) ?? 0)} %, members ${round(share(fleet.cpuMs() - membersMs))} %`,
          );
        }
        const value = median(shares);
        return [
          {
            name: "fleet-idle",
            value: round(value),
            unit: "% of one core in PostgreSQL",
            target: `<= ${IDLE_TARGET}`,
            holds: value <= IDLE_TARGET,
            runs: shares.map(round),
          },
        ];
      }),
    ),
  );
}

/** Row `fleet-storm`: the storms of test/scenarios/fleet.test.ts, which expect every promise. */
export async function stormOfFleet({ runs, say }: Bench): Promise<Outcome[]> {
  const missing = missingPostgresParts();
  if (missing !== undefined) {
    say(`  left out: ${missing}. Install Debian's package postgresql to measure it.`);
    return [];
  }
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  const counted = join(folder, "counted.ndjson");
  try {
    const { status, stderr } = spawnSync(
      "npm",
      ["run", "--silent", "jest", "--", "test/scenarios/fleet.test.ts", "-t", "three members that deliver to"],
      {
        cwd: ROOT,
        encoding: "utf8",
        env: {
          ...process.env,
          FLEET_ROUNDS: String(runs),
          DEFENDER_MSSP_REAL_PARTS: "1",
          DEFENDER_MSSP_PROOFS: counted,
        },
      },
    );
    if (status !== 0) {
      say(stderr.slice(-4_000));
      return [{ ...STORM, value: 1, holds: false, runs: [1] }];
    }
    const proofs = readFileSync(counted, "utf8").trim().split("\n");
    for (const proof of proofs) {
      const { name, counts } = JSON.parse(proof) as Proof;
      say(
        `  ${name}: ${Object.entries(counts)
          .map(([what, count]) => `${what} ${count}`)
          .join(", ")}`,
      );
    }
    return [{ ...STORM, value: 0, holds: proofs.length === 2, runs: [0] }];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const STORM = {
  name: "fleet-storm",
  unit: "storms that lost or doubled something, or had a copy with another key",
  target: "0",
} as const;

/** Each with one alert, and one stream. */
function idleCustomers(name: string, count: number) {
  const generate = [{ stream: "alerts", count: 1, from: "-2d", to: "-1h" }];
  const story = "Customers of a fleet with nothing new.";
  return { name, story, seed: 30, customers: [{ name: "idle", count, generate }] };
}

async function withFleet<T>(
  { binary }: Bench,
  server: PostgresServer,
  microsoft: Microsoft,
  use: (fleet: Fleet) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  const fleet = new Fleet(folder, binary, server, microsoft);
  try {
    fleet.init();
    return await use(fleet);
  } finally {
    await fleet.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

const OWNED = `from ${SCHEMA}.shard s join ${SCHEMA}.member m on m.boot = s.owner
  where m.alive_until > clock_timestamp()`;

/** Three members as processes, each with a file as output. */
class Fleet {
  readonly #folder: string;
  readonly #binary: string;
  readonly #server: PostgresServer;
  readonly #microsoft: Microsoft;
  readonly #members = new Map<string, Child>();

  constructor(folder: string, binary: string, server: PostgresServer, microsoft: Microsoft) {
    this.#folder = folder;
    this.#binary = binary;
    this.#server = server;
    this.#microsoft = microsoft;
  }

  /** In an empty database. */
  init(): void {
    for (const member of MEMBERS) this.#configure(member);
    this.#server.query(`drop schema if exists ${SCHEMA} cascade; do $$ begin
      if not exists (select from pg_roles where rolname = '${ROLE}') then
        create role ${ROLE} login password '${SUPERUSER_PASSWORD.replaceAll("'", "''")}'; end if; end $$`);
    makeFleetSchema(this.#server, this.#binary, this.#config("one"));
  }

  start(): void {
    for (const name of MEMBERS)
      this.#members.set(name, new Child(`member ${name}`, this.#binary, ["run", "--config", this.#config(name)]));
  }

  async kill(name: string): Promise<void> {
    await this.#members.get(name)?.kill();
    this.#members.delete(name);
  }

  async end(): Promise<void> {
    await Promise.all([...this.#members.values()].map((member) => member.stop(30_000)));
  }

  async until(what: string, holds: () => boolean, withinMs = WITHIN_MS): Promise<void> {
    const endMs = performance.now() + withinMs;
    while (!holds()) {
      const lastWords = [...this.#members.values()].map(({ complaints }) => complaints.at(-1) ?? "").join(" ");
      if (performance.now() > endMs) throw new ScriptProblem(`Not within ${withinMs / 1000} s: ${what}. ${lastWords}`);
      await pause(LOOK_EVERY_MS);
    }
  }

  /** Until no stream was opened or written to for a while. */
  async untilQuiet(): Promise<void> {
    for (let before = "", now = this.#progress(); now !== before; before = now, now = this.#progress())
      await pause(10_000);
  }

  #progress(): string {
    return this.#one(`select sum(next_seq) || ' ' || sum(epoch) from ${SCHEMA}.stream`);
  }

  /** Of the members that run. */
  cpuMs(): number {
    return [...this.#members.values()].reduce((sum, { pid }) => sum + cpuMsOf(pid), 0);
  }

  committed(): number {
    return Number(this.#one(`select coalesce(sum(records), 0) from ${SCHEMA}.packet`));
  }

  waiting(): number {
    return Number(
      this.#one(
        `select count(*) from ${SCHEMA}.packet p join ${SCHEMA}.delivery d on d.stream = p.stream where p.seq > d.seq`,
      ),
    );
  }

  /** Streams of which something is committed. */
  streams(): number {
    return Number(this.#one(`select count(*) from ${SCHEMA}.stream where next_seq > 1`));
  }

  shardsOf(name: string): string {
    return this.#one(
      `select string_agg(s.id::text, ',') from ${SCHEMA}.shard s join ${SCHEMA}.member m on m.boot = s.owner where m.name = '${name}'`,
    );
  }

  streamsIn(shards: string): number {
    return Number(this.#one(`select count(*) from ${SCHEMA}.stream where shard in (${shards})`));
  }

  committedIn(shards: string): number {
    return Number(
      this.#one(
        `select coalesce(sum(p.records), 0) from ${SCHEMA}.packet p join ${SCHEMA}.stream t on t.id = p.stream where t.shard in (${shards})`,
      ),
    );
  }

  isBalanced(): boolean {
    const least = Math.floor(SHARDS / MEMBERS.length) - 1;
    const shares = this.#server.query(`select count(*) ${OWNED} group by m.boot`).map(Number);
    return shares.filter((owned) => owned >= least).length === MEMBERS.length;
  }

  /** Shards that have another live owner: the place of one that was killed takes seconds to expire. */
  ownedWithout(name: string): number {
    return Number(this.#one(`select count(*) ${OWNED} and m.name <> '${name}'`));
  }

  /** Transactions of the database so far; each statement of a member is one. */
  statements(): number {
    return Number(this.#one("select xact_commit from pg_stat_database where datname = 'postgres'"));
  }

  #one(sql: string): string {
    return this.#server.query(sql)[0] ?? "";
  }

  #config(member: string): string {
    return join(this.#folder, `${member}.properties`);
  }

  #configure(member: string): void {
    const { customers, login_url, graph_url, ca_file } = this.#microsoft;
    const shared = `.auth=app .streams=alerts .sweep_hours=0 .poll_seconds=${POLL_SECONDS} .login_url=${login_url} .graph_url=${graph_url} .ca_file=${ca_file}`;
    const tenants = customers.flatMap(({ tenant_id, tenant_name, client_id, client_secret }, i) =>
      `.tenant_id=${tenant_id} .tenant_name=${tenant_name} .client_id=${client_id} .client_secret=${client_secret} ${shared}`
        .split(" ")
        .map((line) => `tenants[${i}]${line}`),
    );
    const lines = [
      ...tenants,
      "outputs[0].type=json-lines",
      `outputs[0].path=${join(this.#folder, `${member}.jsonl`)}`,
      `state_dir=${join(this.#folder, member)}`,
      `fleet.url=${this.#server.url}`,
      `fleet.user=${ROLE}`,
      `fleet.password=${SUPERUSER_PASSWORD}`,
      "fleet.name=bench",
      `fleet.member=${member}`,
    ];
    writeFileSync(this.#config(member), lines.map((line) => `${line}\n`).join(""), { mode: 0o600 });
  }
}
