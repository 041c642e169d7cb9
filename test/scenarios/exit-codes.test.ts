import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { realClock } from "../../src/main/world.ts";
import { openStateFolder } from "../../src/stores/disk/folder.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";

/** What a script that calls the program can tell from its exit code, with the program as a process. */

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
let simulator: Simulator;
let folder: string;

beforeAll(async () => {
  simulator = await startSimulator({ warn: () => undefined });
  folder = mkdtempSync(join(tmpdir(), "exit-codes-"));
});
afterAll(async () => {
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Change {
  readonly [customer: string]: Readonly<Record<string, string>>;
}

/** An inputs.conf of the simulator's customers, some of their keys written otherwise. */
function inputsConf(name: string, changes: Change = {}): string {
  const { ready } = simulator;
  const stanzas = ready.customers.map((customer) => {
    const values: Record<string, string> = {
      tenant_id: customer.tenant_id,
      client_id: customer.client_id,
      client_secret: customer.client_secret,
      refresh_token: customer.refresh_token,
      login_url: ready.login_url,
      graph_url: ready.graph_url,
      ca_file: ready.ca_file,
      start: "3650d",
      ...changes[customer.tenant_name],
    };
    const lines = Object.entries(values).map(([key, value]) => `${key} = ${value}`);
    return [`[defender_mssp://${customer.tenant_name}]`, ...lines, ""].join("\n");
  });
  const file = join(folder, `${name}.conf`);
  writeFileSync(file, stanzas.join("\n"), { mode: 0o600 });
  return file;
}

interface Ended {
  readonly code: number;
  readonly tenants: ReadonlySet<string>;
  readonly errors: string;
}

function collect(config: string, ...more: readonly string[]): Promise<Ended> {
  const argv = [MAIN, "collect", "--config", config, "--state", `${config}.state`, ...more];
  const options = { env: childEnvironment({ HOME: folder }), maxBuffer: 64 * 1024 * 1024, timeout: 280_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, argv, options, (error, out, errors) => {
      const lines = out.split("\n").filter((line) => line !== "");
      const tenants = new Set(lines.map((line) => (JSON.parse(line) as { mssp: { tenant: string } }).mssp.tenant));
      resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, tenants, errors });
    });
  });
}

function program(argv: readonly string[]): Promise<{ readonly code: number; readonly errors: string }> {
  const options = { env: childEnvironment({ HOME: folder }), timeout: 280_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...argv], options, (error, _, errors) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, errors });
    });
  });
}

const OTHERS = new Set(["fabrikam", "tailspin"]);

describe("the exit code is", () => {
  test("0 when every customer was collected", async () => {
    const { code, tenants } = await collect(inputsConf("all"));

    expect({ code, tenants }).toEqual({ code: 0, tenants: new Set(["contoso", ...OTHERS]) });
  }, 600_000);

  test("6 when one customer's settings are refused and the others are done", async () => {
    const { code, tenants, errors } = await collect(inputsConf("refused", { contoso: { cloud: "mars" } }));

    expect({ code, tenants }).toEqual({ code: 6, tenants: OTHERS });
    expect(errors).toContain('contoso: cloud: "mars" is not a known value');
  }, 600_000);

  test("0 when a customer with refused settings was not chosen", async () => {
    const { code } = await collect(
      inputsConf("not-asked-for", { contoso: { cloud: "mars" } }),
      "--customer",
      "tailspin",
    );

    expect(code).toBe(0);
  }, 600_000);

  test("2 when only a customer with refused settings was chosen", async () => {
    const { code } = await collect(
      inputsConf("alone", { contoso: { start: "2999-01-01T00:00:00Z" } }),
      "--customer",
      "contoso",
    );

    expect(code).toBe(2);
  }, 600_000);

  test("2 when a flag is given twice, while customers may be named one after the other", async () => {
    const config = inputsConf("twice");
    const twice = await collect(config, "--proxy", "http://a", "--proxy", "http://b");
    const two = await collect(config, "--customer", "fabrikam", "--customer", "tailspin");

    expect({ twice: twice.code, two: two.code, tenants: two.tenants }).toEqual({ twice: 2, two: 0, tenants: OTHERS });
    expect(twice.errors).toContain("--proxy is given more than once");
  }, 600_000);

  test("6 when one customer cannot sign in, 3 when it is the only one", async () => {
    const config = inputsConf("signed-out", { contoso: { client_secret: "not-the-key" } });
    const all = await collect(config);
    const alone = await collect(config, "--customer", "contoso");

    expect({ all: all.code, tenants: all.tenants, alone: alone.code }).toEqual({ all: 6, tenants: OTHERS, alone: 3 });
  }, 600_000);

  test("4 when Microsoft cannot be reached", async () => {
    const { code, errors } = await collect(
      inputsConf("unreachable", { contoso: { graph_url: "https://localhost:1" } }),
      "--customer",
      "contoso",
    );

    expect(code).toBe(4);
    expect(errors).toContain("This machine could not connect to localhost:1.");
  }, 600_000);

  test("5 when the output accepts nothing more", async () => {
    const config = inputsConf("no-reader");
    const child = spawn(process.execPath, [MAIN, "collect", "--config", config, "--state", `${config}.state`], {
      env: childEnvironment({ HOME: folder }),
      stdio: ["ignore", "pipe", "ignore"],
    });
    child.stdout.destroy();
    const [code] = (await once(child, "exit")) as [number | null];

    expect(code).toBe(5);
  }, 600_000);

  test("7 when arcsight run --once finds the state folder held, with the process that holds it", async () => {
    const { ready } = simulator;
    const customer = ready.customers[0]!;
    const config = join(folder, "held.properties");
    const state = join(folder, "held.state");
    const lines = [
      `tenants[0].tenant_id=${customer.tenant_id}`,
      `tenants[0].client_id=${customer.client_id}`,
      `tenants[0].client_secret=${customer.client_secret}`,
      "outputs[0].type=json-lines",
      `outputs[0].path=${join(folder, "held.jsonl")}`,
    ];
    writeFileSync(config, lines.join("\n"));
    const held = await openStateFolder(state, { clock: realClock, log: new FakeLog() }, { waitForLock: "10s" });
    const { code, errors } = await program(["arcsight", "run", "--once", "--config", config, "--state", state]);
    await held.release({ orderly: true });

    expect(code).toBe(7);
    expect(errors).toContain(`The state folder ${state} is in use by process ${process.pid}.`);
  }, 600_000);

  test("7 when the state folder cannot be kept", async () => {
    const config = inputsConf("no-state");
    writeFileSync(`${config}.state`, "a file stands here");
    const { code, errors } = await collect(config);

    expect(code).toBe(7);
    expect(errors).toContain(`${config}.state is a file, not a folder.`);
    expect(errors).toContain("Set `state_dir` to a folder.");
  }, 600_000);
});
