import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import * as net from "node:net";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { METRICS } from "../../src/monitoring/metrics.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { freePort } from "../harness/free-port.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";

/** Metrics of the packed executable, as `arcsight run` and as modular input, while one customer fails. */

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(600_000);

const ROOT = path.resolve(import.meta.dirname, "../..");
const BINARY = path.resolve(ROOT, binaryPath("linux-x64"));
let simulator: Simulator;
let folder: string;
let runs = 0;
const running: ChildProcess[] = [];

beforeAll(async () => {
  if (!existsSync(BINARY))
    throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
  folder = mkdtempSync(join(tmpdir(), "monitoring-"));
  const now = new Date().toISOString();
  const alert = {
    id: "a1",
    createdDateTime: now,
    lastUpdateDateTime: now,
    serviceSource: "microsoftDefenderForEndpoint",
  };
  for (const name of ["contoso", "fabrikam"]) {
    mkdirSync(join(folder, "data", name), { recursive: true });
    writeFileSync(join(folder, "data", name, "alerts.ndjson"), `${JSON.stringify(alert)}\n`);
  }
  simulator = await startSimulator({ data: join(folder, "data"), warn: () => undefined });
});
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});
afterAll(async () => {
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Both customers' settings; the client secret of fabrikam is wrong. */
function settingsOf(name: string, caFile: string): Readonly<Record<string, string>> {
  const { login_url, graph_url } = simulator.ready;
  const { tenant_id, client_id, client_secret } = simulator.control.customer(name);
  return {
    tenant_id,
    tenant_name: name,
    client_id,
    client_secret: name === "fabrikam" ? "a-secret-that-is-wrong" : client_secret,
    auth: "app",
    login_url,
    graph_url,
    ca_file: caFile,
    streams: "alerts",
    poll_seconds: "1",
    start: "1d",
  };
}

/** Starts the executable; resolves once it says where it shows metrics. */
async function started(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<{ child: ChildProcess; address: string; log: () => string }> {
  const child = spawn(BINARY, args, {
    env: childEnvironment({ HOME: folder, ...environment }),
    stdio: ["ignore", "ignore", "pipe"],
  });
  running.push(child);
  let log = "";
  const address = await new Promise<string>((resolve, reject) => {
    child.stderr?.on("data", (piece: Buffer) => {
      log += piece.toString();
      const found = /metrics are shown address="?(http:\/\/[^"\s]+)/.exec(log)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once("exit", () => reject(new Error(log)));
  });
  return { child, address, log: () => log };
}

/** Asks until the answer is as wanted: one customer delivered its alert, the other one is signed out. */
async function untilOneFails(address: string): Promise<string> {
  for (;;) {
    const text = await (await fetch(`${address}/metrics`)).text();
    const isDelivered = /versions_total\{customer="contoso",stream="alerts",found="poll",change="new"\} 1\n/.test(text);
    const isSignedOut = /stream_state\{customer="fabrikam",stream="alerts",state="signed-out"\} 1\n/.test(text);
    if (isDelivered && isSignedOut && text.includes('customer="contoso",stream="alerts",state="ok"} 1')) return text;
  }
}

async function stopped(child: ChildProcess): Promise<number | null> {
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  const [code] = (await exit) as [number | null];
  return code;
}

function propertiesFile(metrics: readonly string[]): string {
  runs += 1;
  const lines = ["contoso", "fabrikam"].flatMap((name, n) =>
    Object.entries(settingsOf(name, simulator.ready.ca_file)).map(([key, value]) => `tenants[${n}].${key}=${value}`),
  );
  const file = join(folder, `helper-${runs}.properties`);
  const output = ["outputs[0].type=json-lines", `outputs[0].path=${join(folder, `events-${runs}.jsonl`)}`];
  writeFileSync(file, [...lines, ...output, ...metrics, ""].join("\n"));
  return file;
}

test("a scrape of the executable shows the customer that fails and the one that goes on, and status says why", async () => {
  const config = propertiesFile([`metrics.listen=127.0.0.1:${await freePort()}`]);
  const { child, address } = await started(["arcsight", "run", "--config", config, "--state", join(folder, "state-1")]);
  const text = await untilOneFails(address);
  const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
  expect(new Set(names)).toEqual(new Set(METRICS.map(({ name }) => name)));
  expect(text).toMatch(/requests_total\{customer="contoso",stream="alerts",status="200"\} [1-9]/);
  expect(text).toMatch(/requests_total\{customer="fabrikam",stream="alerts",status="401"\} [1-9]/);
  expect(text).toContain('defender_mssp_output_state{output="outputs[0]",type="json-lines",state="up"} 1');
  expect((await fetch(`${address}/healthz/ready`)).status).toBe(200);

  const table = spawnSync(BINARY, ["status", "--config", config], { encoding: "utf8", env: childEnvironment({}) });
  expect([table.status, table.stderr]).toEqual([0, ""]);
  expect(table.stdout).toMatch(/^ok +1$/m);
  expect(table.stdout).toMatch(/^signed-out +1$/m);
  expect(table.stdout).toMatch(/^operator +1 \S+ +fabrikam: .*client secret/m);
  const json = spawnSync(BINARY, ["status", "--config", config, "--json"], {
    encoding: "utf8",
    env: childEnvironment({}),
  });
  expect(JSON.parse(json.stdout)).toMatchObject({
    customers: [
      { tenant: "contoso", streams: [{ stream: "alerts", state: "ok", new: 1 }] },
      { tenant: "fabrikam", streams: [{ state: "signed-out", actor: "operator" }] },
    ],
    outputs: [{ name: "outputs[0]", type: "json-lines", state: "up", spool_bytes: 0, oldest_s: null }],
  });

  expect(await stopped(child)).toBe(0);
  const after = spawnSync(BINARY, ["status", "--config", config], { encoding: "utf8", env: childEnvironment({}) });
  expect([after.status, after.stdout, after.stderr.trim().split("\n").length]).toEqual([5, "", 1]);
});

test("a port that is in use is one warning, and the customers are collected all the same", async () => {
  const other = net.createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as net.AddressInfo;
  const config = propertiesFile([`metrics.listen=127.0.0.1:${port}`]);
  const args = ["arcsight", "run", "--config", config, "--state", join(folder, "state-2")];
  const child = spawn(BINARY, args, { env: childEnvironment({ HOME: folder }), stdio: ["ignore", "ignore", "pipe"] });
  running.push(child);
  let log = "";
  await new Promise<void>((resolve) => {
    child.stderr.on("data", (piece: Buffer) => {
      log += piece.toString();
      if (/stream state changed .*tenant=contoso.*state=ok/.test(log)) resolve();
    });
  });
  expect(log.match(/metrics are not shown/g)).toHaveLength(1);
  expect(log).toContain("another program uses this port");
  expect(await stopped(child)).toBe(0);
  other.close();
});

test("the modular input shows metrics where metrics_listen is set, and ends with 0 at SIGTERM", async () => {
  const auth = join(folder, "splunk", "etc", "auth", "defender_mssp");
  mkdirSync(auth, { recursive: true });
  copyFileSync(simulator.ready.ca_file, join(auth, "ca.pem"));
  const stanza = (name: string) => {
    const values = { ...settingsOf(name, join(auth, "ca.pem")), metrics_listen: "127.0.0.1:0" };
    const params = Object.entries(values).map(([key, value]) => `<param name="${key}">${value}</param>`);
    return `<stanza name="defender_mssp://${name}" app="TA_defender_mssp">${params.join("")}</stanza>`;
  };
  const document = join(folder, "run.xml");
  const state = join(folder, "state-3");
  writeFileSync(
    document,
    `<input><server_host>h</server_host><server_uri></server_uri><session_key></session_key><checkpoint_dir>${state}</checkpoint_dir><configuration>${stanza("contoso")}${stanza("fabrikam")}</configuration></input>`,
  );
  const { child, address } = await started(["splunk", "run", document], { SPLUNK_HOME: join(folder, "splunk") });
  const text = await untilOneFails(address);
  expect(text).toContain('defender_mssp_output_state{output="stdout",type="pipe",state="up"} 1');
  expect(await stopped(child)).toBe(0);
});
