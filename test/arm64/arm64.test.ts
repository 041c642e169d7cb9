/**
 * The ARM64 executable from the ARM64 package, under Debian's qemu: as splunkd starts it, and by hand. qemu
 * runs the program's own instructions, so this shows that the executable works, not how fast it is. Without
 * qemu these tests do nothing; where real parts are required (DEFENDER_MSSP_REAL_PARTS=1) its absence fails.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { bundle } from "../../scripts/build/bundle.ts";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { VERSION } from "../../scripts/build/project.ts";
import { archives } from "../../scripts/package.ts";
import { schemeDocument } from "../../src/config/scheme.ts";
import { ARM64, MISSING_FOR_ARM64 } from "../harness/arm64/qemu.ts";
import { consult, type Format } from "../harness/oracle/main.ts";
import { describeWith } from "../harness/real-parts.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { runToEnd } from "../harness/splunkd/child.ts";
import { startSplunkd } from "../harness/splunkd/splunkd.ts";

// Processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(600_000);

const EXECUTABLE = path.resolve(import.meta.dirname, "../..", binaryPath("linux-arm64"));
const MISSING =
  MISSING_FOR_ARM64 ??
  (existsSync(EXECUTABLE) ? undefined : "npm run build:binaries -- --platform linux-arm64 was not run");
const HAND_LIMIT_MS = 300_000;

const onArm64 = describeWith("qemu and the ARM64 executable", MISSING);

onArm64("the ARM64 executable", () => {
  const scratch = MISSING === undefined ? mkdtempSync(join(tmpdir(), "arm64-")) : "";
  let simulator: Simulator;

  beforeAll(async () => {
    const { packages } = await bundle("src/main/main.ts");
    const archive = archives(VERSION).find(({ name }) => name.endsWith("-linux_arm64.tgz"));
    for (const entry of archive?.entries(packages) ?? [])
      if (entry.path.endsWith("/")) mkdirSync(join(scratch, entry.path));
      else writeFileSync(join(scratch, entry.path), entry.content, { mode: entry.mode });
    simulator = await startSimulator({ shiftToNow: true });
  });
  afterAll(async () => {
    await simulator.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** The settings of every customer, each as its lines. */
  function customers(): (readonly [name: string, settings: Readonly<Record<string, string>>])[] {
    const { login_url, graph_url, api_url, ca_file } = simulator.ready;
    return simulator.ready.customers.map(({ tenant_name, ...own }) => [
      tenant_name,
      { ...own, login_url, graph_url, api_url, ca_file },
    ]);
  }

  /** Everything that was shown of these customers, each once. */
  async function expectWhole(delivered: string, format: Format, shown: number, names: readonly string[]) {
    const judgement = await consult({ truth: simulator.ready.control_url, delivered: [delivered], format });
    const ids = names.map((name) => simulator.control.customer(name).tenant_id);
    const rows = judgement.customers.filter(({ tenant_id }) => ids.includes(tenant_id));
    const sum = (count: "shown" | "delivered" | "lost" | "duplicated" | "replayed" | "changed_bytes") =>
      rows.reduce((total, row) => total + (row[count] ?? 0), 0);
    expect([sum("shown"), sum("delivered")]).toEqual([shown, shown]);
    expect([sum("lost"), sum("duplicated"), sum("replayed"), sum("changed_bytes")]).toEqual([0, 0, 0, 0]);
  }

  function byHand(...args: readonly string[]) {
    return runToEnd(ARM64.start(EXECUTABLE, args, { PATH: "/usr/bin:/bin", HOME: scratch }), undefined, HAND_LIMIT_MS);
  }

  test("prints the scheme that the x86-64 executable prints, and nothing on stderr", async () => {
    const { code, stdout, stderr } = await byHand("--scheme");

    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.trim()).toBe(schemeDocument().trim());
  });

  test("collects every record once when a person starts it", async () => {
    const config = join(scratch, "collect.properties");
    const lines = customers().flatMap(([name, settings], index) =>
      Object.entries({ ...settings, tenant_name: name }).map(([key, value]) => `tenants[${index}].${key}=${value}`),
    );
    writeFileSync(config, [...lines, "start=3650d", ""].join("\n"), { mode: 0o600 });

    const { code, stdout } = await byHand("collect", "--config", config, "--state", join(scratch, "state"));

    expect(code).toBe(0);
    writeFileSync(join(scratch, "collected.jsonl"), stdout);
    await expectWhole(
      join(scratch, "collected.jsonl"),
      "jsonl",
      116,
      customers().map(([name]) => name),
    );
  });

  test("is registered, validated and started by splunkd, delivers every record once, and stops at SIGTERM", async () => {
    const conf = join(scratch, "inputs.conf");
    // One customer, because each masked secret is one more start, which takes qemu seconds.
    const [name, settings] = customers()[0] ?? ["", {}];
    const lines = Object.entries({ ...settings, start: "3650d" }).map(([key, value]) => `${key} = ${value}\n`);
    writeFileSync(conf, `[defender_mssp://${name}]\n${lines.join("")}`);
    const out = join(scratch, "out.xml");
    const splunkd = await startSplunkd({
      app: join(scratch, "TA_defender_mssp"),
      home: join(scratch, "home"),
      conf,
      out,
      // What takes a second takes qemu several, and more on a busy machine.
      shortRunLimitMs: HAND_LIMIT_MS,
      graceMs: 30_000,
      system: ARM64,
    });
    expect(splunkd.validations).toEqual([{ stanza: "defender_mssp://contoso", ok: true, message: undefined }]);
    await splunkd.until(
      ({ log }) =>
        ["alerts", "incidents"].every((stream) =>
          log.some((line) => line.includes(`changed tenant=${name} stream=${stream} state=ok`)),
        ),
      "both streams collected",
      240_000,
    );
    const { exit_code, faults } = await splunkd.stop();

    expect({ exit_code, faults: faults.filter((fault) => !/took \d+ ms to stop/.test(fault)) }).toEqual({
      exit_code: 0,
      faults: [],
    });
    await expectWhole(out, "splunk", 51, ["contoso"]);
  });
});
