/**
 * The helper where some records are larger than it may hold: `arcsight run` as a process, before the
 * simulator.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { childEnvironment } from "../harness/child-environment.ts";
import { consult } from "../harness/oracle/main.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

jest.setTimeout(600_000);

const PROGRAM = resolve(import.meta.dirname, "../../src/main/main.ts");
const LARGE = 3;
const ORDINARY = 40;
const EVIDENCE = 3_000;
const SCENARIO = {
  name: "large-records",
  story: "A few alerts with 3,000 pieces of evidence among ordinary ones.",
  seed: 12,
  customers: [
    {
      name: "contoso",
      generate: [
        { stream: "alerts", count: ORDINARY, from: "-3h", to: "-1h" },
        { stream: "alerts", count: LARGE, from: "-50m", to: "-20m", evidence: EVIDENCE },
        // What is large stands before the times.
        { stream: "alerts", count: 1, from: "-15m", to: "-10m", bytes: 3_000_000 },
      ],
    },
  ],
};

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({
    frozen: true,
    scenario: scenarioOf(JSON.stringify(SCENARIO), "scenario"),
    warn: () => undefined,
  });
});
afterAll(() => simulator.stop());

async function runOnce(properties: string): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, [PROGRAM, "arcsight", "run", "--config", properties, "--once"], {
    env: childEnvironment(),
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text: Buffer) => (said += text.toString("utf8")));
  const code = await new Promise<number | null>((done) => child.once("close", done));
  return { code, said };
}

test("records above record_max_mib reach CEF and JSON lines once, without their large members, and each is logged", async () => {
  const folder = mkdtempSync(join(tmpdir(), "large-"));
  const { ready } = simulator;
  const [customer] = ready.customers;
  const settings = {
    tenant_id: customer!.tenant_id,
    tenant_name: customer!.tenant_name,
    client_id: customer!.client_id,
    client_secret: customer!.client_secret,
    auth: "app",
    login_url: ready.login_url,
    graph_url: ready.graph_url,
    ca_file: ready.ca_file,
  };
  const properties = join(folder, "helper.properties");
  writeFileSync(
    properties,
    [
      ...Object.entries(settings).map(([key, value]) => `tenants[0].${key}=${value}`),
      "outputs[0].type=cef-file",
      `outputs[0].path=${folder}/events.cef`,
      "outputs[1].type=json-lines",
      `outputs[1].path=${folder}/events.jsonl`,
      `state_dir=${folder}/state`,
      "record_max_mib=1",
      "",
    ].join("\n"),
  );

  const first = await runOnce(properties);
  expect(first.code).toBe(0);
  const warnings = first.said.split("\n").filter((line) => line.includes("a record above record_max_mib"));
  expect(warnings).toHaveLength(LARGE + 1);
  for (const line of warnings)
    expect(line).toMatch(
      /\[WARN\].* id=\S+ bytes=\d{7} left_out="(evidence \(3000 items, |recommendedActions \()\d{7} bytes\)"$/,
    );
  expect(first.said).not.toContain("record-quarantined");
  expect((await runOnce(properties)).said).not.toContain("a record above record_max_mib");

  for (const format of ["cef", "jsonl"] as const) {
    const path = join(folder, `events.${format}`);
    const { totals } = await consult({ truth: ready.control_url, delivered: [path], format });
    expect(totals).toMatchObject({
      shown: ORDINARY + LARGE + 1,
      delivered: ORDINARY + LARGE + 1,
      lost: 0,
      duplicated: 0,
      replayed: 0,
      unknown: 0,
    });
  }
  expect(readFileSync(join(folder, "events.cef"), "utf8").match(new RegExp(` cn1=${EVIDENCE} `, "g"))).toHaveLength(
    LARGE,
  );
});
