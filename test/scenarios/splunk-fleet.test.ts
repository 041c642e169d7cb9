/**
 * Two heavy forwarders share their customers: the add-on as it is shipped under two fake splunkds, one real
 * PostgreSQL and a fake HEC that acknowledges. One modular input is killed, and the other one takes over.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { consult } from "../harness/oracle/main.ts";
import { missingPostgresParts, PostgresServer, SUPERUSER, SUPERUSER_PASSWORD } from "../harness/postgres/server.ts";
import { describeWith } from "../harness/real-parts.ts";
import { startWithAlerts } from "../harness/simulator/customers.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { type Splunkd, startSplunkd } from "../harness/splunkd/splunkd.ts";
import { unpackedAddon } from "../harness/splunkd/unpacked-addon.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(900_000);
const BUSY_MACHINE_MS = 400_000;

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
const PASSWORD = "the collector's password";
const CUSTOMERS = ["contoso", "fabrikam", "litware", "northwind"];
const HISTORY = 20;

let folder: string;
let app: string;
let server: PostgresServer;
let simulator: Simulator;
let hec: HecServer;
const splunkds: Splunkd[] = [];

describeWith("the programs of PostgreSQL", missingPostgresParts())("two heavy forwarders in a fleet", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "splunk-fleet-"));
    app = await unpackedAddon(folder);
    server = await PostgresServer.start();
    server.query(`create role collector login password '${PASSWORD.replaceAll("'", "''")}'`);
    simulator = await startWithAlerts("splunk-fleet", CUSTOMERS, HISTORY, 41);
    hec = await startHec({ ack: "on", token: TOKEN, port: 0, out: indexed() });
  });
  afterEach(async () => {
    for (const splunkd of splunkds.splice(0)) if (splunkd.isRunning) await splunkd.crash();
  });
  afterAll(async () => {
    await hec?.stop();
    await simulator?.stop();
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const indexed = () => join(folder, "indexed.jsonl");
  /** Versions that count as indexed, each as often as it was. */
  const delivered = () => {
    const text = existsSync(indexed()) ? readFileSync(indexed(), "utf8") : "";
    return text
      .split("\n")
      .slice(0, -1)
      .flatMap((line) => {
        const { mssp } = JSON.parse(line) as { readonly mssp?: { readonly key: string } };
        return mssp === undefined ? [] : [{ key: mssp.key, line }];
      });
  };
  const keys = () => new Set(delivered().map(({ key }) => key)).size;
  const owned = (member: string) =>
    Number(
      server.query(
        `select count(*) from defender_mssp_main.shard s join defender_mssp_main.member m on m.boot = s.owner
         where m.name = '${member}' and m.alive_until > clock_timestamp()`,
      )[0],
    );
  const until = async (holds: () => boolean, what: string) => {
    const end = performance.now() + BUSY_MACHINE_MS;
    while (!holds()) {
      if (performance.now() > end)
        throw new Error(
          `not in time: ${what}\n${splunkds.map(({ log }) => log.slice(-20).join("\n")).join("\n---\n")}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };

  /** `inputs.conf` of a host, whose files are where its Splunk may read them. */
  function confOf(member: string): string {
    const { login_url, graph_url, ca_file } = simulator.ready;
    const auth = join(folder, member, "etc", "auth", "defender_mssp");
    mkdirSync(auth, { recursive: true });
    writeFileSync(join(auth, "hec-token"), TOKEN, { mode: 0o600 });
    writeFileSync(join(auth, "fleet-password"), PASSWORD, { mode: 0o600 });
    const all = {
      hec_urls: hec.ready.url,
      hec_token: `file:${auth}/hec-token`,
      hec_ca_file: hec.ready.ca_file,
      hec_ack: "on",
      fleet_url: `postgres://127.0.0.1:${server.port}/postgres`,
      fleet_user: "collector",
      fleet_password: `file:${auth}/fleet-password`,
      fleet_member: member,
    };
    const lines = (values: Readonly<Record<string, string>>) =>
      Object.entries(values).map(([key, value]) => `${key} = ${value}`);
    const inputs = CUSTOMERS.flatMap((name) => {
      const { tenant_id, client_id, client_secret } = simulator.control.customer(name);
      const own = { tenant_id, client_id, client_secret, auth: "app", login_url, graph_url, ca_file };
      return [`[defender_mssp://${name}]`, ...lines({ ...own, streams: "alerts", poll_seconds: "1" })];
    });
    const file = join(folder, `${member}.conf`);
    writeFileSync(file, ["[defender_mssp]", ...lines(all), ...inputs, ""].join("\n"));
    return file;
  }

  async function splunk(member: string): Promise<Splunkd> {
    const conf = confOf(member);
    const started = await startSplunkd({
      app,
      home: join(folder, member),
      conf,
      out: join(folder, `${member}.xml`),
      validate: 1,
      restartAfterMs: null,
    });
    splunkds.push(started);
    return started;
  }

  test("one is killed and the other one takes over: HEC has everything, and copies only with equal keys", async () => {
    const conf = confOf("one");
    const init = spawn(BINARY, ["fleet", "init", "--config", conf, "--owner", SUPERUSER], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment({ DEFENDER_MSSP_FLEET_OWNER_PASSWORD: SUPERUSER_PASSWORD }),
    });
    const closed = once(init, "close");
    const [rights, said] = await Promise.all([textOf(init.stdout), textOf(init.stderr)]);
    expect([await closed, said]).toEqual([[0, null], expect.stringContaining("schema")]);
    server.query(rights);

    const one = await splunk("one");
    const two = await splunk("two");
    await until(() => owned("one") === 128 && owned("two") === 128, "each has its half");
    let all = CUSTOMERS.length * HISTORY;
    const appear = () => {
      simulator.control.perform({ do: "record", stream: "alerts", id: randomUUID() });
      all += CUSTOMERS.length;
    };
    appear();
    await until(() => keys() >= all, "HEC has everything");
    appear();
    process.kill(one.pid, "SIGKILL");
    appear();
    await until(() => owned("two") === 256, "the other one owns everything");
    await until(() => keys() >= all, "HEC has everything after the kill");
    const outcome = await two.stop();
    await one.crash();

    expect([outcome.exit_code, outcome.faults, Object.keys(outcome.sourcetypes)]).toEqual([
      0,
      [],
      ["defender_mssp:health"],
    ]);
    const texts = new Map<string, string>();
    for (const { key, line } of delivered()) expect(texts.get(key) ?? texts.set(key, line).get(key)).toBe(line);
    const { totals } = await consult({ truth: simulator.ready.control_url, delivered: [indexed()], format: "jsonl" });
    expect(totals).toMatchObject({ shown: all, delivered: all, lost: 0, stale: 0, changed_bytes: 0, unknown: 0 });
    const written = ["one.xml", "two.xml"].map((name) => readFileSync(join(folder, name), "utf8")).join("");
    for (const secret of [PASSWORD, TOKEN]) expect([...one.log, ...two.log, written].join("\n")).not.toContain(secret);
  });
});
