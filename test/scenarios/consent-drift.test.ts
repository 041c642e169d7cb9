/**
 * Customers that withdraw a permission or the whole consent, and one that granted too much: what the
 * collector's health events, `doctor` and `customers list` say, with the program from its sources.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import type { HealthEvent } from "../../src/model/event.ts";
import type { DoctorReport } from "../../src/model/sign-in.ts";
import { SHARED_APP } from "../harness/simulator/identity.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

jest.setTimeout(600_000);

const ALERT = "SecurityAlert.Read.All";
const INCIDENT = "SecurityIncident.Read.All";
const CUSTOMERS = ["contoso", "fabrikam", "adatum"];
const HUNTING = "ThreatHunting.Read.All";
const ROOT = path.resolve(import.meta.dirname, "../..");
const scratch = mkdtempSync(path.join(tmpdir(), "consent-drift-"));
const config = path.join(scratch, "defender-mssp.properties");
const events = path.join(scratch, "events.json");
let simulator: Simulator;
/** How much of the events was looked at. */
let readTo = 0;

beforeAll(async () => {
  const scenario = {
    name: "consent-drift",
    story: "One customer withdraws a permission, one the whole consent, one granted more than is needed.",
    customers: [
      { name: "contoso", permissions: [ALERT, INCIDENT] },
      { name: "fabrikam", permissions: [ALERT, INCIDENT] },
      { name: "adatum", permissions: [ALERT, INCIDENT, HUNTING] },
    ],
  };
  simulator = await startSimulator({ scenario: scenarioOf(JSON.stringify(scenario), "consent-drift") });
  const { login_url, graph_url, api_url, ca_file, customers } = simulator.ready;
  const common = { login_url, graph_url, api_url, ca_file, auth: "app", credential: "mssp", poll_seconds: "1" };
  const lines = [
    `state_dir=${path.join(scratch, "state")}`,
    "outputs[0].type=json-lines",
    `outputs[0].path=${events}`,
    ...customers.flatMap(({ tenant_name, tenant_id }, n) =>
      Object.entries({ tenant_name, tenant_id, ...common }).map(([key, value]) => `tenants[${n}].${key}=${value}`),
    ),
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  await program(["credential", "set", "mssp"], [SHARED_APP.clientId, SHARED_APP.clientSecret]);
});
afterAll(async () => {
  await simulator.stop();
  rmSync(scratch, { recursive: true, force: true });
});

function started(argv: readonly string[]) {
  const all = [path.join(ROOT, "src/main/main.ts"), ...argv, "--config", config];
  return spawn(process.execPath, all, { cwd: scratch, env: { PATH: process.env["PATH"], HOME: scratch } });
}

async function program(argv: readonly string[], typed: readonly string[] = []) {
  const child = started(argv);
  child.stdin.end(typed.map((line) => `${line}\n`).join(""));
  const [out, said, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number>((resolve) => child.once("close", resolve)),
  ]);
  return { out, said, code };
}

/** The health events of a run of the collector, which ends once every stream was polled. */
async function collected(): Promise<readonly HealthEvent[]> {
  const child = started(["arcsight", "run"]);
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  try {
    let health: readonly HealthEvent[] = [];
    const isPolled = (name: string) =>
      newestOf(health, name)?.streams.every(({ state }) => state === "ok" || state === "awaiting-consent") === true;
    while (!CUSTOMERS.every(isPolled)) {
      await pause(50);
      if (child.exitCode !== null) throw new Error(`the collector ended: ${(await ended)[1]}`);
      health = healthSince(readTo);
    }
    return health;
  } finally {
    child.kill("SIGTERM");
    await ended;
    readTo = statSync(events).size;
  }
}

function healthSince(from: number): readonly HealthEvent[] {
  const written = existsSync(events) ? readFileSync(events).subarray(from).toString("utf8") : "";
  return written
    .slice(0, written.lastIndexOf("\n") + 1)
    .split("\n")
    .flatMap((line) => (line.includes('"streams"') ? [JSON.parse(line) as HealthEvent] : []));
}
const newestOf = (health: readonly HealthEvent[], name: string) =>
  health.filter(({ tenant }) => tenant === name).at(-1);
const DATED = /It was granted before, and is missing since \d{4}-\d\d-\d\d \d\d:\d\d UTC\./;

test("what customers withdraw has a date in health events, doctor and the list, and what is too much is reported once", async () => {
  const before = await collected();
  expect(newestOf(before, "contoso")?.permissions).toEqual({
    granted: [ALERT, INCIDENT],
    missing: [],
    withdrawn: [],
    unneeded: [],
    changed_at: null,
  });
  const unneeded = (health: readonly HealthEvent[]) =>
    health.filter(({ streams }) => streams.some(({ failure }) => failure === "permissions-unneeded"));
  expect(unneeded(before).map(({ tenant, streams }) => [tenant, streams[0]?.say])).toEqual([
    ["adatum", expect.stringContaining(HUNTING)],
  ]);

  simulator.control.perform({ do: "permissions", customers: ["contoso"], roles: [ALERT] });
  simulator.control.perform({ do: "consent", customers: ["fabrikam"], state: "absent" });
  const after = await collected();
  const contoso = newestOf(after, "contoso");
  expect(contoso?.permissions).toMatchObject({ missing: [INCIDENT], withdrawn: [{ permission: INCIDENT }] });
  const since = contoso?.permissions?.withdrawn[0]?.since;
  expect(contoso?.permissions?.changed_at).toBe(since);
  expect(Object.fromEntries(contoso?.streams.map(({ stream, state, say }) => [stream, [state, say]]) ?? [])).toEqual({
    alerts: ["ok", null],
    incidents: ["awaiting-consent", expect.stringMatching(DATED)],
  });
  const fabrikam = newestOf(after, "fabrikam");
  expect(fabrikam?.permissions).toMatchObject({ granted: [], missing: [ALERT, INCIDENT] });
  for (const stream of fabrikam?.streams ?? [])
    expect(stream).toMatchObject({
      failure: "app-not-found",
      actor: "customer",
      say: expect.stringMatching(DATED),
      next_step: expect.stringContaining("consent-url"),
    });
  expect(unneeded(after)).toEqual([]);

  const doctor = await program(["doctor", "--all", "--json"]);
  const reports = doctor.out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as DoctorReport);
  expect(reports.find(({ tenant }) => tenant === "contoso")).toMatchObject({
    permissions: { missing: [INCIDENT], withdrawn: [{ permission: INCIDENT, since }] },
  });
  for (const name of ["contoso", "fabrikam"])
    expect(reports.find(({ tenant }) => tenant === name)?.checks.at(-1)).toMatchObject({
      actor: "customer",
      say: expect.stringMatching(DATED),
    });
  const { checks = [] } = reports.find(({ tenant }) => tenant === "adatum") ?? {};
  expect(checks.find(({ check }) => check === "consent graph")?.say).toContain(
    `need: ${ALERT}, ${INCIDENT}. It also has ${HUNTING}, which no stream needs.`,
  );
  const brief = await program(["doctor", "--all", "--brief"]);
  expect(brief.out).toMatch(DATED);
  expect(brief.out).toContain(`Granted to the app, and needed by no stream: ${HUNTING} (adatum).`);

  const listed = await program(["customers", "list", "--waiting"]);
  expect(listed.out.split("\n").filter((line) => DATED.test(line))).toHaveLength(2);
});
