/**
 * Two collectors of one fleet over a real PostgreSQL, the program from its sources, the simulator as
 * Microsoft. One of them is killed while it collects, and the other one takes over.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { childEnvironment } from "../harness/child-environment.ts";
import { consult } from "../harness/oracle/main.ts";
import { missingPostgresParts, PostgresServer, SUPERUSER, SUPERUSER_PASSWORD } from "../harness/postgres/server.ts";
import { describeWith } from "../harness/real-parts.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { tenantLines } from "../harness/simulator/tenant-lines.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(600_000);

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
const WITHIN_MS = 240_000;
const ROLE = "collector";
const PASSWORD = "the collector's password";
const CUSTOMERS = Array.from({ length: 8 }, (_, n) => `customer-${n + 1}`);
const HISTORY = 30;
const LATER = 20;

let folder: string;
let server: PostgresServer;
let simulator: Simulator | undefined;
const children: ChildProcess[] = [];

describeWith("the programs of PostgreSQL", missingPostgresParts())("a fleet of two members", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "fleet-"));
    server = await PostgresServer.start();
    server.query(`create role ${ROLE} login password '${PASSWORD.replaceAll("'", "''")}'`);
    writeFileSync(join(folder, "password"), PASSWORD, { mode: 0o600 });
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    await simulator?.stop();
    simulator = undefined;
  });
  afterAll(async () => {
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Customers with a history, and alerts that appear while the members run. */
  async function story(name: string) {
    const started = await startSimulator({
      scenario: scenarioOf(
        JSON.stringify({
          name: "fleet",
          story: "Customers whose alerts appear while collectors come and go.",
          seed: 29,
          customers: CUSTOMERS.map((customer) => ({
            name: customer,
            generate: [
              { stream: "alerts", count: HISTORY, from: "-3h", to: "-1m" },
              { stream: "incidents", count: LATER, from: "0s", to: "10s" },
            ],
          })),
        }),
        "scenario",
      ),
      warn: () => undefined,
    });
    simulator = started;
    const configs = ["one", "two"].map((member) => {
      const config = join(folder, `${name}-${member}.properties`);
      const out = join(folder, `${name}-${member}.jsonl`);
      writeFileSync(
        config,
        [
          ...tenantLines(started.ready, { poll_seconds: "1" }),
          "outputs[0].type=json-lines",
          `outputs[0].path=${out}`,
          `state_dir=${join(folder, `${name}-${member}`)}`,
          `fleet.url=${server.url}`,
          `fleet.user=${ROLE}`,
          `fleet.password=file:${join(folder, "password")}`,
          `fleet.name=${name}`,
          `fleet.member=${member}`,
          "",
        ].join("\n"),
      );
      return { config, out };
    });
    return { members: configs, truth: started.ready.control_url, schema: `defender_mssp_${name}` };
  }

  /** The schema, made by the program as its documentation says. */
  function init(config: string): void {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [MAIN, "fleet", "init", "--config", config, "--owner", SUPERUSER],
      { encoding: "utf8", env: childEnvironment({ DEFENDER_MSSP_FLEET_OWNER_PASSWORD: SUPERUSER_PASSWORD }) },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining("schema") });
    server.query(stdout);
  }

  function run({ config }: { readonly config: string }) {
    let log = "";
    const child = spawn(process.execPath, [MAIN, "run", "--config", config], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment(),
    });
    children.push(child);
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text: Buffer) => {
        log += text.toString();
      });
    return {
      ended: new Promise<number | null>((done) => child.once("close", (code) => done(code))),
      log: () => log,
      kill: (signal: NodeJS.Signals) => child.kill(signal),
    };
  }

  async function until(holds: () => boolean, what: string, logs: () => string): Promise<void> {
    const end = performance.now() + WITHIN_MS;
    while (!holds()) {
      if (performance.now() > end)
        throw new Error(`not within ${WITHIN_MS / 1000} s: ${what}\n${logs().slice(-4_000)}`);
      await pause(100);
    }
  }

  interface Line {
    readonly key: string;
    readonly text: string;
  }

  /** The events of a file, health and such left out. */
  function eventsIn(out: string): Line[] {
    if (!existsSync(out)) return [];
    return readFileSync(out, "utf8")
      .split("\n")
      .slice(0, -1)
      .flatMap((text) => {
        const { mssp } = JSON.parse(text) as { readonly mssp?: { readonly key: string } };
        return mssp === undefined ? [] : [{ key: mssp.key, text }];
      });
  }

  const owners = (schema: string): string[] =>
    server.query(
      `select m.name || ' ' || count(*) from ${schema}.shard s join ${schema}.member m on m.boot = s.owner
       where m.alive_until > clock_timestamp() group by m.name order by 1`,
    );

  test("a member that is killed is taken over: nothing is lost, the store holds every version once", async () => {
    const { members, truth, schema } = await story("takeover");
    const [one, two] = members as [(typeof members)[0], (typeof members)[0]];
    init(one.config);
    const running = [run(one), run(two)] as const;
    const logs = () => running.map(({ log }) => log()).join("\n");
    await until(() => owners(schema).join() === "one 128,two 128", "each owns its half", logs);
    await until(() => members.every(({ out }) => eventsIn(out).length > 0), "both have delivered", logs);
    running[0].kill("SIGKILL");
    await running[0].ended;
    await until(() => owners(schema).join() === "two 256", "the other one owns everything", logs);
    const all = CUSTOMERS.length * (HISTORY + LATER);
    const keys = () => new Set(members.flatMap(({ out }) => eventsIn(out)).map(({ key }) => key));
    await until(() => keys().size >= all, "everything was delivered", logs);
    running[1].kill("SIGTERM");
    expect([await running[1].ended, running[1].log()]).toEqual([0, expect.any(String)]);

    const files = members.map(({ out }) => eventsIn(out));
    expect(keys().size).toBe(all);
    // In the store each version was committed once; in a file each is once; a copy is the same event.
    expect(server.query(`select sum(records) from ${schema}.packet`)).toEqual([String(all)]);
    for (const events of files) expect(new Set(events.map(({ key }) => key)).size).toBe(events.length);
    const texts = new Map(files[0]?.map(({ key, text }) => [key, text]));
    for (const { key, text } of files[1] ?? []) if (texts.has(key)) expect(text).toBe(texts.get(key));
    const { totals } = await consult({ truth, delivered: members.map(({ out }) => out), format: "jsonl" });
    expect(totals).toMatchObject({ shown: all, delivered: all, lost: 0, stale: 0, changed_bytes: 0, unknown: 0 });
    // Who is gone has left nothing behind that somebody would have to clean up.
    expect(server.query(`select count(*) from ${schema}.shard where owner is not null`)).toEqual(["0"]);
  });
});
