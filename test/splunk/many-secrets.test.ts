/**
 * Sixty inputs deployed at once with their secrets in clear, with the built binary under the fake splunkd,
 * which restarts it for each edit. Everything is counted, nothing is timed. What it does not prove: how a
 * real splunkd orders edits and restarts.
 */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { bundle } from "../../scripts/build/bundle.ts";
import { technologyAddon } from "../../scripts/package/contents.ts";
import { MASK } from "../../src/config/settings.ts";
import { consult } from "../harness/oracle/main.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import type { Splunkd, SplunkdOptions } from "../harness/splunkd/splunkd.ts";
import { startSplunkd } from "../harness/splunkd/splunkd.ts";
import { readConf } from "./conf.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(600_000);
const WAIT_MS = 500_000;

const INPUTS = 60;
const ALERTS = 20;
const SCENARIO = `name: many-secrets
story: Sixty customers with some history.
seed: 61
customers:
  - name: customer
    count: ${INPUTS}
    generate:
      - { stream: alerts, count: ${ALERTS}, from: -2d, to: -1h }
`;

const scratch = mkdtempSync(path.join(tmpdir(), "many-secrets-"));
/** State of sixty customers is saved at a stop: on a disk that others keep busy that takes seconds. */
const memory = existsSync("/dev/shm") ? mkdtempSync("/dev/shm/many-secrets-") : scratch;
const app = path.join(scratch, "TA_defender_mssp");
const started: Splunkd[] = [];
let simulator: Simulator;

beforeAll(async () => {
  const { packages } = await bundle("src/main/main.ts");
  for (const entry of technologyAddon(["linux-x64"], packages)) {
    const file = path.join(scratch, entry.path);
    mkdirSync(entry.path.endsWith("/") ? file : path.dirname(file), { recursive: true });
    if (entry.path.endsWith("/")) continue;
    writeFileSync(file, entry.content);
    chmodSync(file, entry.mode);
  }
  const scenario = path.join(scratch, "many-secrets.yaml");
  writeFileSync(scenario, SCENARIO);
  simulator = await startSimulator({ scenario });
});

afterEach(async () => {
  for (const splunkd of started.splice(0)) if (splunkd.isRunning) await splunkd.stop();
});

afterAll(async () => {
  await simulator.stop();
  for (const folder of [scratch, memory]) rmSync(folder, { recursive: true, force: true });
});

interface Forwarder {
  readonly home: string;
  readonly out: string;
  readonly conf: string;
}

/** `count` inputs as a deployed inputs.conf has them, with client secrets in clear. */
function forwarder(count: number): Forwarder {
  const home = mkdtempSync(path.join(scratch, "home-"));
  const modinputs = path.join(home, "var/lib/splunk/modinputs");
  mkdirSync(modinputs, { recursive: true });
  symlinkSync(mkdtempSync(path.join(memory, "state-")), path.join(modinputs, "defender_mssp"));
  const { login_url, graph_url, api_url, ca_file, customers } = simulator.ready;
  const stanzas = customers.slice(0, count).map(({ tenant_name, tenant_id, client_id, client_secret }) => {
    const signIn = { tenant_id, client_id, client_secret, auth: "app" };
    const values = { ...signIn, login_url, graph_url, api_url, ca_file, streams: "alerts", start: "30d" };
    return `[defender_mssp://${tenant_name}]\n${Object.entries(values)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join("")}`;
  });
  const conf = path.join(home, "deployed-inputs.conf");
  writeFileSync(conf, stanzas.join("\n"));
  return { home, out: path.join(home, "out.xml"), conf };
}

async function start(where: Forwarder, options: Partial<SplunkdOptions> = {}): Promise<Splunkd> {
  const splunkd = await startSplunkd({ app, ...where, validate: 0, restartPerEdit: true, ...options });
  started.push(splunkd);
  return splunkd;
}

function clearSecrets(where: Forwarder): number {
  const text = readFileSync(path.join(where.home, "etc/apps/TA_defender_mssp/local/inputs.conf"), "utf8");
  return [...readConf(text).values()].filter((stanza) => (stanza.get("client_secret") ?? MASK) !== MASK).length;
}

const linesWith = (splunkd: Splunkd, part: string) => splunkd.log.filter((line) => line.includes(part));

/** The customers that the present process has collected. */
const collected = (splunkd: Splunkd): number => {
  const since = splunkd.log.findLastIndex((line) => line.includes("New scheduled exec process"));
  return new Set(
    splunkd.log
      .slice(since)
      .map((line) => /stream state changed tenant=(\S+) stream=alerts state=ok/.exec(line)?.[1])
      .filter((tenant) => tenant !== undefined),
  ).size;
};

async function expectEachOnce(where: Forwarder, count: number): Promise<void> {
  const ids = simulator.ready.customers.slice(0, count).map(({ tenant_id }) => tenant_id);
  const truth = path.join(where.home, "truth.ndjson");
  const shown = simulator.control.shown().split("\n");
  writeFileSync(truth, shown.filter((line) => ids.some((id) => line.includes(id))).join("\n"));
  const { totals } = await consult({ truth, delivered: [where.out], format: "splunk" });
  expect(totals).toMatchObject({
    delivered: count * ALERTS,
    lost: 0,
    stale: 0,
    duplicated: 0,
    replayed: 0,
    out_of_order: 0,
    changed_bytes: 0,
  });
}

test("sixty secrets in clear are masked with one edit each before collecting begins, and no version is sent twice", async () => {
  const where = forwarder(INPUTS);
  const eventsAtEdits: number[] = [];
  const splunkd = await start(where, {
    beforeWrite: async () => {
      eventsAtEdits.push(started.at(-1)?.events ?? 0);
    },
  });
  await splunkd.until((s) => collected(s) === INPUTS, "all customers collected", WAIT_MS);

  const outcome = await splunkd.stop();

  expect(outcome).toMatchObject({ exit_code: 0, faults: [] });
  expect(clearSecrets(where)).toBe(0);
  expect(eventsAtEdits.length).toBeLessThanOrEqual(INPUTS + 5);
  expect(Math.max(...eventsAtEdits)).toBe(0);
  expect(outcome.restarts).toBe(splunkd.edits);
  expect(outcome.restarts).toBeLessThanOrEqual(INPUTS + 5);
  expect([...linesWith(splunkd, "ended abnormally"), ...linesWith(splunkd, "cut short")]).toEqual([]);
  await expectEachOnce(where, INPUTS);
});

test("a stop while splunkd still works on an edit is a normal stop with exit code 0, and the next start goes on", async () => {
  const where = forwarder(3);
  let hold = (): void => undefined;
  const isHeld = new Promise<void>((resolve) => {
    hold = resolve;
  });
  const first = await start(where, {
    beforeWrite: () => {
      hold();
      return new Promise(() => undefined);
    },
  });
  await isHeld;

  expect(await first.stop()).toMatchObject({ exit_code: 0, faults: [], restarts: 0 });
  expect(linesWith(first, "stopped exit_code=0")).toHaveLength(1);
  expect(clearSecrets(where)).toBe(3);

  const second = await start(where);
  await second.until((s) => collected(s) === 3, "all customers collected", WAIT_MS);
  expect(await second.stop()).toMatchObject({ exit_code: 0, faults: [] });
  expect(clearSecrets(where)).toBe(0);
  expect([...linesWith(second, "ended abnormally"), ...linesWith(second, "cut short")]).toEqual([]);
  await expectEachOnce(where, 3);
});
