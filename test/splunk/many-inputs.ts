/**
 * `npm run many-inputs`: ten inputs saved in a row while 1,990 are collected; each makes splunkd restart the
 * one process. Real binary, fake splunkd, simulator. Prints one line of JSON; exit 1 when not every customer
 * was polled again within poll_seconds + 30 s of the last restart, when requests were throttled, or when the
 * protocol was not kept (a stop of more than 3 s is such a fault). It takes three minutes and most of a core,
 * so it is not part of `npm test`.
 */

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { parseStanzas } from "../../src/config/settings.ts";
import { credentialId, PasswordStore } from "../../src/hosts/splunk/passwords.ts";
import { presentFingerprint } from "../../src/main/world.ts";
import { sealed } from "../../src/model/sealed.ts";
import { FakeClock, T0 } from "../harness/fakes/clock.ts";
import { FakeRandom } from "../harness/fakes/random.ts";
import { FakeSplunkd, splunkdAt } from "../harness/fakes/splunkd-rest.ts";
import { SHARED_APP } from "../harness/simulator/identity.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import type { Splunkd } from "../harness/splunkd/splunkd.ts";
import { startSplunkd } from "../harness/splunkd/splunkd.ts";

const POLL_SECONDS = 60;
const PRESENT = 1990;
const ROOT = path.resolve(import.meta.dirname, "../..");
const scratch = mkdtempSync(path.join(tmpdir(), "many-inputs-"));
let simulator: Simulator;
let splunkd: Splunkd;

async function begin(): Promise<void> {
  if (!existsSync(path.join(ROOT, binaryPath("linux-x64"))))
    throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
  const app = path.join(scratch, "TA_defender_mssp");
  cpSync(path.join(ROOT, "splunk-app/TA_defender_mssp"), app, { recursive: true });
  mkdirSync(path.join(app, "linux_x86_64/bin"), { recursive: true });
  cpSync(path.join(ROOT, binaryPath("linux-x64")), path.join(app, "linux_x86_64/bin/defender_mssp"));
  simulator = await startSimulator({ scenario: path.join(ROOT, "test/scenarios/load-2000-idle.yaml") });
  const conf = path.join(scratch, "inputs.conf");
  const customers = simulator.ready.customers.slice(0, PRESENT);
  writeFileSync(
    conf,
    customers
      .map(({ tenant_name, tenant_id }) => `[defender_mssp://${tenant_name}]\n${lines(settings(tenant_id))}`)
      .join("\n"),
  );
  splunkd = await startSplunkd({
    app,
    conf,
    home: path.join(scratch, "home"),
    out: path.join(scratch, "out.xml"),
    validate: 1,
    passwords: await sharedCredential(),
  });
}

async function end(): Promise<void> {
  if (splunkd?.isRunning) await splunkd.stop();
  await simulator?.stop();
  rmSync(scratch, { recursive: true, force: true });
}

function settings(tenantId: string): Record<string, string> {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  return {
    tenant_id: tenantId,
    credential: "main",
    auth: "app",
    login_url,
    graph_url,
    api_url,
    ca_file,
    poll_seconds: String(POLL_SECONDS),
    start: "3650d",
  };
}

function lines(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key} = ${value}\n`)
    .join("");
}

/** The MSSP's app as `credential set` would have stored it. */
async function sharedCredential() {
  const fake = new FakeSplunkd();
  const clock = new FakeClock(T0, { pauses: "pass" });
  const rest = splunkdAt(fake, clock);
  const [stanza] = parseStanzas([{ name: "any", values: settings("any.example.com") }], {
    host: "splunk",
    nowMs: clock.nowMs(),
  }).stanzas;
  const store = await PasswordStore.read(rest, clock, FakeRandom.always());
  await store.put(
    credentialId("main"),
    sealed(JSON.stringify({ client_id: SHARED_APP.clientId, client_secret: SHARED_APP.clientSecret })),
    presentFingerprint(stanza!),
  );
  return [...fake.rows].map(([id, row]) => ({
    app: row.app,
    realm: row.realm,
    name: id.slice(row.realm.length + 1, -1),
    password: row.password,
    sharing: "app" as const,
  }));
}

function save(name: string, values: Readonly<Record<string, string>>): Promise<number> {
  return new Promise((resolve, reject) => {
    const url = new URL(
      "/servicesNS/nobody/TA_defender_mssp/data/inputs/defender_mssp?output_mode=json",
      splunkd.serverUri,
    );
    const headers = { authorization: `Basic ${Buffer.from("admin:changeme").toString("base64")}` };
    const request = https.request(url, { method: "POST", headers, ca: readFileSync(splunkd.caFile) }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
    });
    request.on("error", reject).end(new URLSearchParams({ ...values, name }).toString());
  });
}

/** When Graph was last asked for each of these customers, by the simulator's clock. */
function lastAskedMs(): number[] {
  return [...simulator.control.world.customers.values()].map((customer) => customer.counters.apis.graph.lastAtMs ?? 0);
}

async function untilAllAsked(sinceMs: number, how: (asked: number[]) => number[], deadlineMs: number): Promise<void> {
  const begun = performance.now();
  while (how(lastAskedMs()).some((atMs) => atMs <= sinceMs)) {
    if (performance.now() - begun > deadlineMs)
      throw new Error(`${how(lastAskedMs()).filter((atMs) => atMs <= sinceMs).length} customers were not asked for`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    process.stdout.write(
      "Usage: npm run many-inputs\nSaves ten inputs in a row while 1,990 are collected, and measures when everybody is polled again. Needs npm run build:binaries.\n",
    );
    return 0;
  }
  await begin();
  await untilAllAsked(0, (asked) => asked.slice(0, PRESENT), 300_000);

  for (const { tenant_name, tenant_id } of simulator.ready.customers.slice(PRESENT)) {
    const caFile = path.join(splunkd.home, "etc/auth/defender_mssp", path.basename(simulator.ready.ca_file));
    const status = await save(tenant_name, { ...settings(tenant_id), ca_file: caFile });
    if (status !== 201) throw new Error(`saving ${tenant_name} was answered ${status}`);
  }
  const restartedAtMs = simulator.control.clock.nowMs();
  const begunMs = performance.now();
  const limitMs = (POLL_SECONDS + 30) * 1000;
  await untilAllAsked(restartedAtMs, (asked) => asked, 2 * limitMs);
  const polledAgainMs = performance.now() - begunMs;

  const throttled = [...simulator.control.world.customers.values()].reduce(
    (sum, customer) => sum + customer.counters.apis.graph.throttled,
    0,
  );
  const { stop_ms: stopMs, faults } = await splunkd.stop();
  const holds = polledAgainMs <= limitMs && throttled === 0 && faults.length === 0;
  const polledAgainS = Math.round(polledAgainMs / 100) / 10;
  process.stdout.write(
    `${JSON.stringify({ name: "ten-inputs-saved", customers: 2000, poll_seconds: POLL_SECONDS, polled_again_s: polledAgainS, throttled, stop_ms: stopMs, faults, holds })}\n`,
  );
  return holds ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} finally {
  await end();
}
