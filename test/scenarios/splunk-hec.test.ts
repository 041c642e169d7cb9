/**
 * `hec_*` under [defender_mssp], with the program as it is shipped: as modular input, where splunkd's pipe
 * then gets health only, and as `run` with the same inputs.conf. The fake HEC says what was indexed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeAll, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import type { HealthEvent } from "../../src/model/event.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { consult } from "../harness/oracle/main.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { withoutBudgets } from "../harness/simulator/without-budgets.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(900_000);

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const WITHIN_MS = 300_000;
const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
const CUSTOMERS = ["contoso", "fabrikam"];
const PER_CUSTOMER = 300;
const SHOWN = CUSTOMERS.length * PER_CUSTOMER;

let folder: string;
let auth: string;
let simulator: Simulator;
let hec: HecServer;
let child: ChildProcess | undefined;

beforeAll(() => {
  if (!existsSync(BINARY))
    throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
});
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "splunk-hec-"));
  auth = join(folder, "splunk", "etc", "auth", "defender_mssp");
  mkdirSync(auth, { recursive: true });
  simulator = await startSimulator({
    frozen: true,
    scenario: scenarioOf(
      JSON.stringify({
        name: "splunk-hec",
        story: "Two customers' histories go to HEC instead of splunkd's pipe.",
        seed: 17,
        customers: CUSTOMERS.map((name) => ({
          name,
          generate: [{ stream: "alerts", count: PER_CUSTOMER, from: "-3h", to: "-1m", bytes: 5_700 }],
        })),
      }),
      "scenario",
    ),
    warn: () => undefined,
  });
  withoutBudgets(simulator);
  hec = await startHec({ ack: "on", token: TOKEN, port: 0, out: out() });
  copyFileSync(simulator.ready.ca_file, join(auth, "ca.pem"));
  copyFileSync(hec.ready.ca_file, join(auth, "hec-ca.pem"));
  writeFileSync(join(auth, "hec-token"), `${TOKEN}\n`, { mode: 0o600 });
});
afterEach(async () => {
  child?.kill("SIGKILL");
  await hec.stop();
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

const out = () => join(folder, "indexed.jsonl");
const stateOf = () => join(folder, "state");

type Values = Readonly<Record<string, string>>;

/** What stands under [defender_mssp], and in each input. */
function settings(changes: Values = {}): { readonly all: Values; readonly inputs: Readonly<Record<string, Values>> } {
  const { login_url, graph_url } = simulator.ready;
  const all = {
    hec_urls: hec.ready.url,
    hec_token: `file:${auth}/hec-token`,
    hec_ca_file: `${auth}/hec-ca.pem`,
    hec_index: "defender",
    ...changes,
  };
  const inputs = CUSTOMERS.map((name): [string, Values] => {
    const { tenant_id, client_id, client_secret } = simulator.control.customer(name);
    const own = name === "fabrikam" ? { index: "fabrikam" } : { index: "default" };
    const app = { tenant_id, client_id, client_secret, auth: "app", login_url, graph_url, ca_file: `${auth}/ca.pem` };
    return [name, { ...app, ...own, streams: "alerts", poll_seconds: "15" }];
  });
  return { all, inputs: Object.fromEntries(inputs) };
}

/** As splunkd hands the settings over: those of [defender_mssp] stand in each input. */
function runDocument(changes?: Values): string {
  const { all, inputs } = settings(changes);
  const stanzas = Object.entries(inputs).map(([name, values]) => {
    const params = Object.entries({ ...all, ...values }).map(([key, value]) => `<param name="${key}">${value}</param>`);
    return `<stanza name="defender_mssp://${name}" app="TA_defender_mssp">${params.join("")}</stanza>`;
  });
  const file = join(folder, "run.xml");
  writeFileSync(
    file,
    `<input><server_host>h</server_host><server_uri></server_uri><session_key></session_key><checkpoint_dir>${stateOf()}</checkpoint_dir><configuration>${stanzas.join("")}</configuration></input>`,
  );
  return file;
}

function inputsConf(changes?: Values): string {
  const { all, inputs } = settings({ ...changes, state_dir: stateOf() });
  const lines = (values: Values) => Object.entries(values).map(([key, value]) => `${key} = ${value}`);
  const file = join(folder, "inputs.conf");
  writeFileSync(
    file,
    [
      "[defender_mssp]",
      ...lines(all),
      ...Object.entries(inputs).flatMap(([name, values]) => [`[defender_mssp://${name}]`, ...lines(values)]),
      "",
    ].join("\n"),
  );
  return file;
}

function start(args: readonly string[]) {
  let log = "";
  let written = "";
  const started = spawn(BINARY, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: childEnvironment({ HOME: folder, SPLUNK_HOME: join(folder, "splunk") }),
  });
  child = started;
  started.stderr.on("data", (text: Buffer) => (log += text.toString()));
  started.stdout.on("data", (text: Buffer) => (written += text.toString()));
  return {
    ended: new Promise<number | null>((done) => started.once("close", (code) => done(code))),
    log: () => log,
    written: () => written,
    kill: (signal: NodeJS.Signals) => started.kill(signal),
  };
}

async function until(holds: () => boolean, what: () => string): Promise<void> {
  const end = performance.now() + WITHIN_MS;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${WITHIN_MS / 1000} s: ${what()}`);
    await pause(20);
  }
}

const size = () => statSync(out(), { throwIfNoEntry: false })?.size ?? 0;
const keys = () =>
  new Set(size() === 0 ? [] : [...readFileSync(out(), "utf8").matchAll(/"key":"([^"]+)"/g)].map(([, key]) => key));

function spooled(): number {
  const outputs = join(stateOf(), "outputs");
  return existsSync(outputs)
    ? readdirSync(outputs, { recursive: true }).filter((name) => String(name).endsWith(".spool")).length
    : 0;
}

/** Runs until HEC has confirmed everything, then a normal stop. */
async function finish(args: readonly string[]) {
  const running = start(args);
  await until(() => keys().size >= SHOWN && spooled() === 0, running.log);
  running.kill("SIGTERM");
  expect([await running.ended, running.log()]).toEqual([0, expect.not.stringContaining(TOKEN)]);
  return running;
}

async function judged() {
  const { totals } = await consult({ truth: simulator.ready.control_url, delivered: [out()], format: "jsonl" });
  return totals;
}

const everything = () => expect.objectContaining({ shown: SHOWN, delivered: SHOWN, lost: 0, stale: 0, unknown: 0 });
const onceEach = () =>
  expect.objectContaining({ shown: SHOWN, delivered: SHOWN, lost: 0, duplicated: 0, replayed: 0, changed_bytes: 0 });

describe("the modular input with hec_urls", () => {
  test("sends every version to HEC once, and splunkd's pipe gets each customer's health and nothing else", async () => {
    const { written } = await finish(["splunk", "run", runDocument()]);

    expect(await judged()).toEqual(onceEach());
    const events = written().split("<event ").slice(1);
    expect(events.length).toBeGreaterThan(0);
    expect(events.filter((event) => !event.includes("<sourcetype>defender_mssp:health</sourcetype>"))).toEqual([]);
    for (const name of CUSTOMERS) expect(written()).toContain(`stanza="defender_mssp://${name}"`);
    expect(written()).not.toContain(TOKEN);
    expect(written().trimEnd().endsWith("</stream>")).toBe(true);
    // Health is in splunkd's pipe, so Splunk must not have it twice.
    expect(readFileSync(out(), "utf8")).not.toContain('"credential_days_left"');
  });

  test("loses nothing through a kill, and a start after an orderly stop repeats nothing", async () => {
    const args = ["splunk", "run", runDocument()];
    const running = start(args);
    await until(() => size() > 400_000, running.log);
    running.kill("SIGKILL");
    expect(await running.ended).toBe(null);
    await finish(args);
    expect(await judged()).toEqual(everything());

    const before = size();
    const again = start(args);
    await until(() => CUSTOMERS.every((name) => new RegExp(`tenant=${name}.*state=ok`).test(again.log())), again.log);
    again.kill("SIGTERM");
    expect([await again.ended, size()]).toEqual([0, before]);
  });

  test("says in each customer's health that HEC is down, and a start after the outage delivers everything and says nothing of it", async () => {
    await hec.suspend();
    const running = start(["splunk", "run", runDocument()]);
    const healthOf = (name: string) =>
      [...running.written().matchAll(/<data>(\{"time":[^<]*\})<\/data>/g)]
        .map(([, json]) => JSON.parse(json ?? "") as HealthEvent)
        .filter((event) => event.tenant === name)
        .flatMap(({ streams }) => streams);
    const lastOf = (name: string) => healthOf(name).at(-1);
    await until(() => CUSTOMERS.every((name) => lastOf(name)?.failure === "output-unreachable"), running.log);
    for (const name of CUSTOMERS)
      expect(lastOf(name)).toMatchObject({
        stream: "alerts",
        state: "failing",
        actor: "operator",
        say: expect.stringContaining("hec: "),
        next_step: "Start Splunk, or check hec_urls and the network. Delivery resumes by itself.",
      });
    running.kill("SIGTERM");
    expect([await running.ended, keys().size]).toEqual([0, 0]);

    await hec.resume();
    const { written } = await finish(["splunk", "run", runDocument()]);
    expect(await judged()).toEqual(everything());
    expect(written()).not.toContain("output-unreachable");
  });

  test("collects nothing while hec_* is wrong, and each customer's health names the setting", async () => {
    const running = start(["splunk", "run", runDocument({ hec_token: TOKEN })]);
    const wrong = /"state":"misconfigured"[^<]*hec_token/g;
    await until(() => (running.written().match(wrong)?.length ?? 0) >= CUSTOMERS.length, running.log);
    running.kill("SIGTERM");

    expect([await running.ended, running.log()]).toEqual([0, expect.not.stringContaining(TOKEN)]);
    expect(running.written()).not.toContain("ms:defender:atp:alerts");
    expect(running.written()).not.toContain(TOKEN);
    expect(size()).toBe(0);
  });

  test("keeps events in its spool while the token's file is missing, says so, and warns where hec_* was removed", async () => {
    rmSync(join(auth, "hec-token"));
    const waiting = start(["splunk", "run", runDocument()]);
    // Everything is in the spool: what the run without hec_* below finds would go to splunkd.
    const isCollected = (name: string) => new RegExp(`tenant=${name} stream=alerts state=ok`).test(waiting.log());
    const isMissed = () => /The setting hec_token names /.test(waiting.log());
    await until(() => spooled() > 0 && isMissed() && CUSTOMERS.every(isCollected), waiting.log);
    waiting.kill("SIGTERM");
    expect([await waiting.ended, size()]).toEqual([0, 0]);
    expect(waiting.log()).toContain("hec: the token of HEC cannot be read, so nothing is sent.");
    expect(waiting.log()).toContain("Put the token where hec_token says.");

    const refused = start(["splunk", "run", runDocument({ hec_token: TOKEN })]);
    await until(() => /events are still queued for https:/.test(refused.log()), refused.log);
    refused.kill("SIGTERM");
    expect([await refused.ended, refused.log()]).toEqual([0, expect.stringContaining("whose settings are wrong")]);

    const without = { hec_urls: "", hec_token: "", hec_ca_file: "", hec_index: "" };
    const piped = start(["splunk", "run", runDocument(without)]);
    await until(() => /events are still queued for https:/.test(piped.log()), piped.log);
    piped.kill("SIGTERM");
    expect(await piped.ended).toBe(0);

    writeFileSync(join(auth, "hec-token"), TOKEN, { mode: 0o600 });
    await finish(["splunk", "run", runDocument()]);
  });
});

describe("run with Splunk's inputs.conf", () => {
  test("sends every version to the HEC of [defender_mssp], health too, each to its input's index", async () => {
    const { written } = await finish(["run", "--config", inputsConf()]);

    expect(await judged()).toEqual(onceEach());
    expect(written()).toBe("");
    expect(readFileSync(out(), "utf8")).toContain('"credential_days_left"');
    expect(hec.indexer.namedIndexes).toEqual(new Set(["defender", "fabrikam"]));
  });

  test("says what is missing without hec_urls, and exits with 2", async () => {
    const without = { hec_urls: "", hec_token: "", hec_ca_file: "", hec_index: "" };
    const running = start(["run", "--config", inputsConf(without)]);
    expect([await running.ended, running.log()]).toEqual([
      2,
      expect.stringContaining("hec_urls: is missing under [defender_mssp]"),
    ]);
  });

  test("check sends one event to that HEC and waits for its acknowledgement", async () => {
    const checking = start(["arcsight", "check", "--config", inputsConf()]);
    expect([await checking.ended, checking.written()]).toEqual([0, expect.stringContaining("indexed one event")]);
  });
});
