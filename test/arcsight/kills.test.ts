/**
 * The helper, killed while it writes files. Processes are waited for by what they have done, with a generous
 * deadline.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { childEnvironment } from "../harness/child-environment.ts";
import { consult } from "../harness/oracle/main.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { tenantLines } from "../harness/simulator/tenant-lines.ts";
import { withoutBudgets } from "../harness/simulator/without-budgets.ts";

jest.setTimeout(300_000);

const PROGRAM = resolve(import.meta.dirname, "../../src/main/main.ts");
const WRITTEN_WITHIN_MS = 60_000;
const history = { from: "-3h", to: "-1m" };
const SCENARIO = {
  name: "files",
  story: "Three customers' histories while the helper is killed.",
  seed: 11,
  customers: ["contoso", "fabrikam", "tailspin"].map((name) => ({
    name,
    generate: [
      { stream: "alerts", count: 600, ...history, bytes: 5700 },
      { stream: "incidents", count: 60, ...history },
    ],
  })),
};
const SHOWN = 3 * 660;

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({
    frozen: true,
    scenario: scenarioOf(JSON.stringify(SCENARIO), "scenario"),
    warn: () => undefined,
  });
  withoutBudgets(simulator);
});
afterAll(() => simulator.stop());

/** One run: killed as soon as `killWhen` says so, or left to end by itself. */
async function startRun(properties: string, killWhen: (() => boolean) | undefined): Promise<number | null> {
  const once = killWhen === undefined ? ["--once"] : [];
  const child = spawn(process.execPath, [PROGRAM, "arcsight", "run", "--config", properties, ...once], {
    stdio: "ignore",
    env: childEnvironment(),
  });
  const ended = new Promise<number | null>((done) => child.once("close", (code) => done(code)));
  if (killWhen !== undefined) {
    const untilMs = performance.now() + WRITTEN_WITHIN_MS;
    while (!killWhen() && child.exitCode === null && performance.now() < untilMs) await pause(2);
    child.kill("SIGKILL");
  }
  return ended;
}

function bytesIn(folder: string): number {
  return existsSync(folder)
    ? readdirSync(folder).reduce(
        (sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
        0,
      )
    : 0;
}

test.each([
  ["cef-file", "cef", [100_000, 400_000, 900_000]],
  ["json-lines", "jsonl", [500_000, 3_000_000, 6_000_000]],
  ["cef-folder", "cef", [100_000, 400_000, 900_000]],
] as const)(
  "a program that is killed three times while it writes a %s writes each version once and loses none",
  async (type, format, kills) => {
    const folder = mkdtempSync(join(tmpdir(), "kills-"));
    const out = join(folder, "out");
    const { ready } = simulator;
    const path = type === "cef-folder" ? out : join(out, "events.log");
    const properties = join(folder, "helper.properties");
    writeFileSync(
      properties,
      [
        ...tenantLines(ready),
        `outputs[0].type=${type}`,
        `outputs[0].path=${path}`,
        "outputs[0].rotate_mib=1",
        `state_dir=${folder}/state`,
        "",
      ].join("\n"),
    );

    for (const bytes of kills) await startRun(properties, () => bytesIn(out) >= bytes);
    expect(await startRun(properties, undefined)).toBe(0);

    // Renamed files sort by the time in their names; the growing one is the newest.
    const growing = (name: string) => (name === "events.log" ? 1 : 0);
    const files = readdirSync(out).sort((a, b) => growing(a) - growing(b) || (a < b ? -1 : 1));
    expect(files.filter((name) => name.endsWith(".part"))).toEqual([]);
    const { totals } = await consult({
      truth: ready.control_url,
      delivered: files.map((name) => join(out, name)),
      format,
    });
    expect(totals).toMatchObject({
      shown: SHOWN,
      delivered: SHOWN,
      lost: 0,
      stale: 0,
      duplicated: 0,
      replayed: 0,
      out_of_order: 0,
      unknown: 0,
    });
  },
);

test("after a normal stop and then a kill a file beside a syslog output gets no version twice, though the receiver gets replays", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kills-"));
  const out = join(folder, "out");
  let received = 0;
  // What a program has sent before its end may still wait in a socket after its end.
  const connections: Promise<unknown>[] = [];
  const receivedAll = async () => {
    await Promise.all(connections);
    return received;
  };
  const receiver = createServer((socket) => {
    connections.push(new Promise((done) => socket.once("close", done)));
    socket.on("data", (bytes) => {
      received += bytes.toString("latin1").split("CEF:0|").length - 1;
    });
    socket.on("error", () => undefined);
  });
  await new Promise<void>((done) => receiver.listen(0, "127.0.0.1", done));
  try {
    const properties = join(folder, "helper.properties");
    writeFileSync(
      properties,
      [
        ...tenantLines(simulator.ready),
        "outputs[0].type=cef-file",
        `outputs[0].path=${join(out, "events.log")}`,
        "outputs[1].type=syslog",
        "outputs[1].host=127.0.0.1",
        "outputs[1].protocol=tcp",
        `outputs[1].port=${(receiver.address() as AddressInfo).port}`,
        `state_dir=${folder}/state`,
        "",
      ].join("\n"),
    );

    expect(await startRun(properties, undefined)).toBe(0);
    // A run that writes nothing to its state leaves the record of the normal stop in force. Only new alerts
    // end it, and a health event may stand in the file before them.
    simulator.control.perform({
      do: "generate",
      customers: ["contoso"],
      stream: "alerts",
      count: 3,
      from: -40_000,
      to: -10_000,
    });
    const normalStop = join(folder, "state", "orderly-stop");
    expect(existsSync(normalStop)).toBe(true);
    await startRun(properties, () => !existsSync(normalStop));
    expect(existsSync(normalStop)).toBe(false);
    const before = await receivedAll();
    expect(await startRun(properties, undefined)).toBe(0);

    expect((await receivedAll()) - before).toBeGreaterThan(100);
    const { totals } = await consult({
      truth: simulator.ready.control_url,
      delivered: [join(out, "events.log")],
      format: "cef",
    });
    expect(totals).toMatchObject({ shown: SHOWN + 3, lost: 0, duplicated: 0, out_of_order: 0 });
  } finally {
    receiver.close();
  }
});
