import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { ScriptProblem } from "../build/project.ts";
import { type Microsoft, type Scenario, startMicrosoft } from "./microsoft.ts";
import { type Bench, median, type Outcome, round } from "./runs.ts";

const CUSTOMERS = 200;
const TARGET_S = 60;

/** Row `onboard-200`: five commands from nothing to 200 customers that collect. */
export async function onboardFromAList({ binary, runs, say }: Bench): Promise<Outcome[]> {
  const seconds: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
    const scenario: Scenario = {
      name: "onboard-200",
      story: "200 customers that have not consented, each with ten alerts.",
      seed: 21,
      customers: [
        {
          name: "listed",
          count: CUSTOMERS,
          consent: "absent",
          generate: [{ stream: "alerts", count: 10, from: "-1h", to: "-1m" }],
        },
      ],
    };
    const { microsoft, simulator } = await startMicrosoft(scenario, folder);
    try {
      const startedMs = performance.now();
      const commands = await onboard(binary, folder, microsoft);
      seconds.push((performance.now() - startedMs) / 1000);
      say(`  ${round(seconds.at(-1) ?? 0)} s, ${commands} commands`);
    } finally {
      await simulator.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  }
  const value = median(seconds);
  return [
    {
      name: "onboard-200",
      value: round(value),
      unit: "s",
      target: `<= ${TARGET_S}, 5 commands`,
      holds: value <= TARGET_S,
      runs: seconds.map(round),
    },
  ];
}

/** Resolves with the number of commands once every customer's first event is there. */
async function onboard(binary: string, folder: string, microsoft: Microsoft): Promise<number> {
  const home = join(folder, "home");
  mkdirSync(home);
  const [config, list, events] = ["defender-mssp.properties", "customers.csv", "events.cef"].map((name) =>
    join(home, name),
  ) as [string, string, string];
  writeFileSync(config, `state_dir=${join(home, "state")}\noutputs[0].type=cef-file\noutputs[0].path=${events}\n`);
  const rows = microsoft.customers.map(({ tenant_name, tenant_id }) => `${tenant_name},${tenant_id}\n`);
  writeFileSync(list, `name,tenant\n${rows.join("")}`);
  const { login_url, graph_url, api_url, ca_file } = microsoft;
  const addresses = Object.entries({ login_url, graph_url, api_url, ca_file }).flatMap(([key, value]) => [
    `--${key.replaceAll("_", "-")}`,
    value,
  ]);
  let commands = 0;
  const run = async (argv: readonly string[], typed: readonly string[] = []): Promise<string> => {
    commands += 1;
    const child = spawn(binary, [...argv, "--config", config], { cwd: home, env: { HOME: home } });
    child.stdin.end(typed.map((line) => `${line}\n`).join(""));
    const [out, said, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise((resolve) => child.once("close", resolve)),
    ]);
    if (code !== 0) throw new ScriptProblem(`${argv.slice(0, 2).join(" ")} ended with ${String(code)}: ${said}`);
    return out;
  };
  const importing = ["customers", "import", list, "--credential", "mssp", ...addresses];
  await run(importing);
  await run([...importing, "--apply"]);
  const app = await sharedApp(microsoft);
  await run(["credential", "set", "mssp"], [app.client_id, app.client_secret]);
  const link = (await run(["consent-url", "--any-customer"])).trim();
  await everyoneAccepts(microsoft, link);
  commands += 1;
  const collector = spawn(binary, ["arcsight", "run", "--config", config], {
    cwd: home,
    env: { HOME: home },
    stdio: "ignore",
  });
  const ended = new Promise((resolve) => collector.once("close", resolve));
  try {
    const endMs = performance.now() + 3 * TARGET_S * 1000;
    while (customersIn(events) < CUSTOMERS) {
      if (performance.now() > endMs)
        throw new ScriptProblem(`${customersIn(events)} of ${CUSTOMERS} customers collect.`);
      await pause(100);
    }
  } finally {
    collector.kill("SIGTERM");
    await ended;
  }
  return commands;
}

/** How many customers have an event in the file. */
function customersIn(events: string): number {
  if (!existsSync(events)) return 0;
  return new Set(readFileSync(events, "utf8").match(/\blisted-\d{4}\b/g)).size;
}

async function sharedApp({ control_url }: Microsoft): Promise<{ client_id: string; client_secret: string }> {
  const state = (await (await fetch(`${control_url}/state`)).json()) as {
    readonly shared_app: { readonly client_id: string; readonly client_secret: string };
  };
  return state.shared_app;
}

/** Each customer's administrator opens the same link with the own account, and accepts. */
async function everyoneAccepts({ customers, ca_file }: Microsoft, link: string): Promise<void> {
  const ca = readFileSync(ca_file);
  for (const { tenant_name } of customers) {
    const account = `admin@${tenant_name.replaceAll("-", "")}.onmicrosoft.com`;
    const landed = await new Promise<string>((resolve, reject) => {
      get(`${link}&login_hint=${account}`, { ca }, (answer) => {
        answer.resume();
        resolve(answer.headers.location ?? "");
      }).once("error", reject);
    });
    if (!landed.includes("admin_consent=True")) throw new ScriptProblem(`${account} could not consent: ${landed}`);
  }
}
