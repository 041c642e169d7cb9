/**
 * The helper and a real syslog receiver. Without rsyslog these tests do nothing; where real parts are
 * required (DEFENDER_MSSP_REAL_PARTS=1) its absence fails. Processes are waited for by what they have done,
 * with a generous deadline.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, expect, jest, test } from "@jest/globals";
import { readCef } from "../contracts/strict-cef.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { consult } from "../harness/oracle/main.ts";
import { describeWith } from "../harness/real-parts.ts";
import { Rsyslog } from "../harness/rsyslog/rsyslog.ts";
import { makeServerCertificate } from "../harness/simulator/certificates.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { tenantLines } from "../harness/simulator/tenant-lines.ts";

jest.setTimeout(900_000);

const PROGRAM = resolve(import.meta.dirname, "../../src/main/main.ts");
const ARRIVED_WITHIN_MS = 120_000;
const CUSTOMERS = ["contoso", "fabrikam", "tailspin"];

/** A history to catch up with, and rows that go on coming while the receiver is stopped and killed. */
const SCENARIO = {
  name: "receiver",
  story: "Three customers whose receiver is stopped and killed.",
  seed: 7,
  customers: CUSTOMERS.map((name) => ({
    name,
    generate: [
      { stream: "alerts", count: 400, from: "-1h", to: "25s", updates: 0.3, update_within: "10s", bytes: 5700 },
      { stream: "incidents", count: 40, from: "-1h", to: "25s" },
    ],
  })),
};

let endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.reverse()) await end();
  endings = [];
});

interface Scene {
  readonly folder: string;
  readonly simulator: Simulator;
  readonly rsyslog: Rsyslog;
  /** Lines of the helper's log. */
  readonly log: string[];
  readonly helper: ChildProcess;
}

async function scene(protocol: "tls" | "tcp" | "udp", more: readonly string[] = [], mutual = false): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), "rsyslog-"));
  const { caPem, certificatePem, keyPem } = await makeServerCertificate(Date.now());
  const files = {
    caFile: join(folder, "ca.pem"),
    certificateFile: join(folder, "cert.pem"),
    keyFile: join(folder, "key.pem"),
  };
  writeFileSync(files.caFile, caPem);
  writeFileSync(files.certificateFile, certificatePem);
  writeFileSync(files.keyFile, keyPem);
  writeFileSync(join(folder, "own.pem"), keyPem + certificatePem);
  const rsyslog = await Rsyslog.prepare({ folder, protocol, ...files, mutual });
  await rsyslog.start();
  endings.push(() => rsyslog.kill());
  const simulator = await startSimulator({
    scenario: scenarioOf(JSON.stringify(SCENARIO), "scenario"),
    warn: () => undefined,
  });
  endings.push(() => simulator.stop());
  const { ready } = simulator;
  const output = {
    type: "syslog",
    host: "localhost",
    port: String(rsyslog.port),
    protocol,
    ...(protocol === "tls" ? { ca_file: files.caFile } : {}),
  };
  const properties = join(folder, "helper.properties");
  writeFileSync(
    properties,
    [
      ...tenantLines(ready, { poll_seconds: "1" }),
      ...Object.entries(output).map(([key, value]) => `outputs[0].${key}=${value}`),
      `state_dir=${join(folder, "state")}`,
      ...more.map((line) => line.replace("$FOLDER", folder)),
      "",
    ].join("\n"),
  );
  const helper = spawn(process.execPath, [PROGRAM, "arcsight", "run", "--config", properties], {
    stdio: ["ignore", "ignore", "pipe"],
    env: childEnvironment(),
  });
  const log: string[] = [];
  helper.stderr?.on("data", (piece: Buffer) =>
    log.push(
      ...piece
        .toString()
        .split("\n")
        .filter((line) => line !== ""),
    ),
  );
  endings.push(() => endOf(helper, "SIGKILL"));
  return { folder, simulator, rsyslog, log, helper };
}

async function endOf(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const ended = new Promise<number | null>((done) => child.once("close", (code) => done(code)));
  child.kill(signal);
  return ended;
}

function cefLines(text: string): string[] {
  return text.split("\n").filter((line) => /CEF:[01]\|/.test(line));
}

/** Waits until so many lines are there. */
async function arrived(rsyslog: Rsyslog, count: number): Promise<void> {
  const untilMs = performance.now() + ARRIVED_WITHIN_MS;
  while (cefLines(rsyslog.received).length < count) {
    if (performance.now() > untilMs)
      throw new Error(`only ${cefLines(rsyslog.received).length} of ${count} lines arrived`);
    await pause(100);
  }
}

function judged({ simulator, rsyslog }: Scene) {
  return consult({ truth: simulator.ready.control_url, delivered: [rsyslog.out], format: "cef" });
}

/** Nothing more comes, and what was shown has arrived. */
async function settledWithoutLoss(story: Scene): Promise<Awaited<ReturnType<typeof judged>>> {
  const untilMs = performance.now() + ARRIVED_WITHIN_MS;
  for (;;) {
    const verdict = await judged(story);
    const complete =
      verdict.totals.lost === 0 && verdict.totals.stale === 0 && verdict.totals.shown >= CUSTOMERS.length * 440;
    if (complete || performance.now() > untilMs) return verdict;
    await pause(500);
  }
}

const withRsyslog = describeWith("rsyslogd and its parts", Rsyslog.isPresent() ? undefined : "no rsyslogd in PATH");

withRsyslog("a real receiver that is stopped and killed under load loses nothing", () => {
  test.each([
    ["tcp", []],
    ["tls", []],
    ["tls", ["outputs[0].framing=octet", "outputs[0].format=rfc5424"]],
  ] as const)("over %s with the settings %j", async (protocol, more) => {
    const story = await scene(protocol, more);
    await arrived(story.rsyslog, 200);

    await story.rsyslog.kill();
    await pause(2_000);
    await story.rsyslog.start();
    await arrived(story.rsyslog, 700);
    await story.rsyslog.stop();
    await pause(2_000);
    await story.rsyslog.start();
    const { totals, examples } = await settledWithoutLoss(story);

    expect({
      lost: totals.lost,
      stale: totals.stale,
      unknown: totals.unknown,
      unidentified: totals.unidentified,
      examples: totals.lost + totals.stale > 0 ? examples : [],
    }).toEqual({ lost: 0, stale: 0, unknown: 0, unidentified: 0, examples: [] });
    expect(story.log.join("\n")).toContain("the connection broke");
    expect(await endOf(story.helper, "SIGTERM")).toBe(0);
  });
});

withRsyslog("all that a real receiver gets", () => {
  test.each([
    ["tcp", []],
    ["tls", []],
    ["tls", ["outputs[0].framing=octet"]],
    ["tls", ["outputs[0].certificate=$FOLDER/own.pem"]],
    ["udp", []],
    ["tcp", ["outputs[0].profile=legacy", "outputs[0].evidence=each"]],
    ["tcp", ["outputs[0].profile=mcas", "outputs[0].cef_version=1"]],
  ] as const)("over %s with the settings %j is whole CEF lines behind a syslog header", async (protocol, more) => {
    const story = await scene(protocol, more);
    await arrived(story.rsyslog, 100);
    expect(await endOf(story.helper, "SIGTERM")).toBe(0);
    await story.rsyslog.stopAfterSenders();

    const lines = story.rsyslog.received.split("\n").filter((line) => line !== "");
    const version = more.some((setting) => setting === "outputs[0].cef_version=1") ? 1 : 0;
    const begin = new RegExp(`^<133>[A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d \\S+ CEF:${version}\\|`);
    expect(lines.filter((line) => !begin.test(line))).toEqual([]);
    for (const line of lines) readCef(line.slice(line.indexOf(`CEF:${version}|`)));
  });
});
