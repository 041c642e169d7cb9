/**
 * The commands of "Many customers from a list" in docs/onboarding.md, as they are printed there, with the
 * program from its sources and the simulator: from nothing to collecting customers.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { createHttp } from "../../src/net/http.ts";
import { SHARED_APP } from "../harness/simulator/identity.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

jest.setTimeout(240_000);

const ROOT = path.resolve(import.meta.dirname, "../..");
const CUSTOMERS = ["contoso-0001", "contoso-0002", "contoso-0003", "contoso-0004", "contoso-0005"];
const scratch = mkdtempSync(path.join(tmpdir(), "onboard-list-"));
const web = createHttp();
let simulator: Simulator;

beforeAll(async () => {
  const scenario = {
    name: "onboard-list",
    story: "Customers that have not consented, each with alerts.",
    customers: [
      {
        name: "contoso",
        count: CUSTOMERS.length,
        consent: "absent",
        generate: [{ stream: "alerts", count: 3, from: "-1h", to: "-1m" }],
      },
    ],
  };
  simulator = await startSimulator({ scenario: scenarioOf(JSON.stringify(scenario), "onboard-list") });
});
afterAll(async () => {
  await simulator.stop();
  await web.close();
  rmSync(scratch, { recursive: true, force: true });
});

/** The commands of the section, in their order. */
function documented(): readonly string[] {
  const page = readFileSync(path.join(ROOT, "docs/onboarding.md"), "utf8");
  const [, section = ""] = page.split("\n## Many customers from a list\n");
  const [own = ""] = section.split("\n## ");
  return [...own.matchAll(/^ *```sh\n([^]*?)^ *```$/gm)].flatMap(([, block = ""]) =>
    block.split("\n").flatMap((line) => (line.trim() === "" ? [] : [line.trim()])),
  );
}

async function shell(command: string, typed: readonly string[] = []): Promise<{ out: string; said: string }> {
  const child = spawn("sh", ["-c", command], { cwd: scratch, env: { PATH: process.env["PATH"], HOME: scratch } });
  child.stdin.end(typed.map((line) => `${line}\n`).join(""));
  const [out, said, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise((resolve) => child.once("close", resolve)),
  ]);
  expect({ command, code, said }).toEqual({ command, code: 0, said });
  return { out, said };
}

test("a list, a mail and nothing else lead from an empty configuration to customers that are collected", async () => {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const events = path.join(scratch, "events.cef");
  writeFileSync(
    path.join(scratch, "defender-mssp.properties"),
    `state_dir=${path.join(scratch, "state")}\noutputs[0].type=cef-file\noutputs[0].path=${events}\n`,
  );
  writeFileSync(
    path.join(scratch, "customers.csv"),
    `name,tenant\n${simulator.ready.customers.map(({ tenant_name, tenant_id }) => `${tenant_name},${tenant_id}\n`).join("")}`,
  );
  const addresses = Object.entries({ login_url, graph_url, api_url, ca_file })
    .map(([key, value]) => `--${key.replaceAll("_", "-")} '${value}'`)
    .join(" ");
  const commands = documented().map((command) =>
    command
      .replace("defender-mssp ", `'${process.execPath}' '${path.join(ROOT, "src/main/main.ts")}' `)
      // The simulator's addresses, which real customers do not need; and the service ends after a round.
      .replace("customers import customers.csv", `customers import customers.csv ${addresses}`)
      .replace("arcsight run", "arcsight run --once"),
  );
  const [show = "", apply = "", credential = "", link = "", collect = "", ...rest] = commands;
  expect(rest).toEqual([]);

  expect((await shell(show)).said).toContain(`To write ${CUSTOMERS.length} customers`);
  expect((await shell(apply)).said).toContain(`${CUSTOMERS.length} customers are written`);
  await shell(credential, [SHARED_APP.clientId, SHARED_APP.clientSecret]);
  const url = (await shell(link)).out.trim();
  // The administrator of each customer opens the same link and accepts.
  for (const { tenant_name } of simulator.ready.customers) {
    const account = `&login_hint=admin@${tenant_name.replaceAll("-", "")}.onmicrosoft.com`;
    const answer = await web.send({ method: "GET", url: `${url}${account}`, headers: {}, route: { caFile: ca_file } });
    await answer.discard();
    expect(answer.headers["location"]).toContain("admin_consent=True");
  }
  await shell(collect);
  const lines = readFileSync(events, "utf8").split("\n");
  const seen = simulator.ready.customers.filter(({ tenant_name }) => lines.some((line) => line.includes(tenant_name)));
  expect(seen.map(({ tenant_name }) => tenant_name)).toEqual(CUSTOMERS);

  const program = `'${process.execPath}' '${path.join(ROOT, "src/main/main.ts")}'`;
  const listed = await shell(`${program} customers list --json --config defender-mssp.properties`);
  expect(
    listed.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object),
  ).toEqual(
    CUSTOMERS.map((customer) =>
      expect.objectContaining({
        customer,
        state: "consented",
        actor: "",
        consent_since: expect.stringContaining("T"),
        last_event: expect.stringContaining("T"),
      }),
    ),
  );
});
