/**
 * Crashes in the middle of the work: the built binary under the fake splunkd against the simulator, killed
 * and restarted; the oracle says what is missing. What it does not prove: what a host that loses power does
 * to files (the tests of the stores do), and splunkd's own queues beyond the last 500 kB.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { bundle } from "../../scripts/build/bundle.ts";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { technologyAddon } from "../../scripts/package/contents.ts";
import type { Totals } from "../harness/oracle/judge.ts";
import { consult } from "../harness/oracle/main.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { type Splunkd, type SplunkdOptions, startSplunkd } from "../harness/splunkd/splunkd.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(900_000);

const ROOT = path.resolve(import.meta.dirname, "../..");
const scratch = mkdtempSync(path.join(tmpdir(), "crashes-"));
const app = path.join(scratch, "TA_defender_mssp");
const CUSTOMERS = 2;
const ALERTS = CUSTOMERS * 8_000;
let simulator: Simulator;
let inputs = "";
const started: Splunkd[] = [];

beforeAll(async () => {
  if (!existsSync(path.join(ROOT, binaryPath("linux-x64"))))
    throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
  const { packages } = await bundle("src/main/main.ts");
  for (const entry of technologyAddon(["linux-x64"], packages)) {
    if (entry.path.endsWith("/")) continue;
    const file = path.join(scratch, entry.path);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, entry.content);
    chmodSync(file, entry.mode);
  }
  const load = readFileSync(path.join(ROOT, "test/scenarios/load-25x8000.yaml"), "utf8");
  simulator = await startSimulator({ scenario: scenarioOf(load.replace("count: 25", `count: ${CUSTOMERS}`), "load") });
  const { ready } = simulator;
  const stanzas = ready.customers
    .slice(0, CUSTOMERS)
    .map((customer) =>
      [
        `[defender_mssp://${customer.tenant_name}]`,
        `tenant_id = ${customer.tenant_id}`,
        `client_id = ${customer.client_id}`,
        `client_secret = ${customer.client_secret}`,
        "auth = app",
        "",
      ].join("\n"),
    );
  const shared = `[defender_mssp]\nlogin_url = ${ready.login_url}\ngraph_url = ${ready.graph_url}\nca_file = ${ready.ca_file}\nstart = 3650d\npoll_seconds = 1\nstreams = alerts\n`;
  inputs = path.join(scratch, "inputs.conf");
  writeFileSync(inputs, `${shared}\n${stanzas.join("\n")}`);
});
afterEach(async () => {
  for (const splunkd of started.splice(0)) if (splunkd.isRunning) await splunkd.stop();
});
afterAll(async () => {
  await simulator.stop();
  rmSync(scratch, { recursive: true, force: true });
});

interface Host {
  readonly home: string;
  readonly out: string;
}

function host(): Host {
  const home = mkdtempSync(path.join(scratch, "home-"));
  return { home, out: path.join(home, "out.xml") };
}

async function start(where: Host, options: Partial<SplunkdOptions> = {}): Promise<Splunkd> {
  const splunkd = await startSplunkd({ app, conf: inputs, ...where, validate: 0, restartAfterMs: 1, ...options });
  started.push(splunkd);
  return splunkd;
}

/**
 * Each customer's first walk of the present run is done: everything new was written and what had been
 * provisional was sent again.
 */
async function settled(splunkd: Splunkd): Promise<void> {
  await splunkd.until(
    ({ log }) => {
      const run = log.slice(log.findLastIndex((line) => line.includes("New scheduled exec process")));
      const done = new Set(
        run.map((line) => / stream state changed tenant=(\S+) stream=alerts state=ok/.exec(line)?.[1]),
      );
      return done.size > CUSTOMERS;
    },
    "the first walk of every customer",
    180_000,
  );
}

async function judged(where: Host): Promise<Totals> {
  const truth = path.join(where.home, "shown.ndjson");
  const tenants = simulator.ready.customers.slice(0, CUSTOMERS).map((customer) => customer.tenant_id);
  const lines = simulator.control.shown().split("\n");
  writeFileSync(
    truth,
    lines
      .filter((line) => tenants.some((tenant) => line.includes(tenant)))
      .map((line) => `${line}\n`)
      .join(""),
  );
  return (await consult({ truth, delivered: [where.out], format: "splunk" })).totals;
}

const NOTHING_LOST = {
  shown: ALERTS,
  delivered: ALERTS,
  lost: 0,
  stale: 0,
  superseded: 0,
  duplicated: 0,
  out_of_order: 0,
  changed_bytes: 0,
  unknown: 0,
  unidentified: 0,
};

test("SIGKILL of the binary in the middle of a page loses nothing and repeats only with equal keys", async () => {
  const where = host();
  const splunkd = await start(where);
  for (const events of [1_500, 6_000]) {
    await splunkd.until((s) => s.events > events, `${events} events`);
    splunkd.signal("SIGKILL");
    const before = splunkd.restarts;
    await splunkd.until((s) => s.isRunning && s.restarts > before, "the next run");
  }
  await settled(splunkd);

  const outcome = await splunkd.stop();

  expect(outcome).toMatchObject({ exit_code: 0, faults: [] });
  const totals = await judged(where);
  expect(totals).toMatchObject(NOTHING_LOST);
  expect(totals.replayed).toBeGreaterThan(0);
});

test("a killed splunkd loses 500 kB that it had not indexed, and after the restart they are sent again", async () => {
  const where = host();
  const first = await start(where, { holdBytes: 500_000 });
  await first.until((s) => s.events > 3_000, "3,000 events");
  const crashed = await first.crash();
  expect(crashed.orphan).toBe(false);
  const written = readFileSync(where.out, "utf8").split("</event>").length - 1;
  expect(written).toBeLessThan(crashed.events);

  const second = await start(where);
  await settled(second);

  expect((await second.stop()).faults).toEqual([]);
  const totals = await judged(where);
  expect(totals).toMatchObject(NOTHING_LOST);
  expect(totals.replayed).toBeGreaterThan(0);
});

test("a reader that sleeps blocks the binary, SIGTERM still ends it within 3 s, and the next start continues", async () => {
  const where = host();
  const splunkd = await start(where);
  await splunkd.until((s) => s.events > 1_000, "1,000 events");
  splunkd.pauseReading();

  const outcome = await splunkd.stop();

  expect(outcome).toMatchObject({ exit_code: 0, faults: [] });
  expect(outcome.stop_ms).toBeLessThanOrEqual(3_000);
  const again = await start(where);
  await settled(again);
  await again.stop();
  expect(await judged(where)).toMatchObject(NOTHING_LOST);
});

test("nothing repeats after an orderly stop", async () => {
  const where = host();
  const first = await start(where);
  await first.until((s) => s.events > 5_000, "5,000 events");
  expect((await first.stop()).faults).toEqual([]);

  const second = await start(where);
  await settled(second);

  expect((await second.stop()).faults).toEqual([]);
  expect(await judged(where)).toMatchObject({ ...NOTHING_LOST, replayed: 0 });
});
