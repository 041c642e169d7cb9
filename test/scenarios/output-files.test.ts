/**
 * Where outputs write, with the program as a process of its own: as an account that shares a folder with the
 * connector's account, and with paths at which nothing can be kept.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
/** Accounts that own nothing here; the connector's group is neither account's own. */
const PROGRAM = { uid: 65_533, gid: 65_533 };
const CONNECTORS_GROUP = 4_242;
const CONNECTOR = { uid: 65_534, gid: CONNECTORS_GROUP };
/** Only root can start a process of another account, and a checkout below /root cannot be run by one. */
const CAN_RUN =
  process.getuid?.() === 0 &&
  spawnSync(process.execPath, ["-e", "fs.readFileSync(process.argv[1])", MAIN], PROGRAM).status === 0;
const whenRoot = CAN_RUN ? describe : describe.skip;
const onLinux = process.platform === "linux" ? describe : describe.skip;

let simulator: Simulator;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "output-files-"));
  chmodSync(folder, 0o755);
  const alerts = { stream: "alerts", count: 1_000, bytes: 4_000, from: "-1d" };
  const scenario = join(folder, "scenario.yaml");
  const customers = [{ name: "contoso", generate: [alerts] }];
  writeFileSync(scenario, JSON.stringify({ name: "files", story: "One customer.", seed: 3, customers }));
  simulator = await startSimulator({ scenario, warn: () => undefined });
  copyFileSync(simulator.ready.ca_file, join(folder, "ca.pem"));
  chmodSync(join(folder, "ca.pem"), 0o644);
});
afterAll(async () => {
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A properties file of one customer with these lines beside it, in a folder of the program's account. */
function configuration(name: string, lines: readonly string[]): { readonly home: string; readonly config: string } {
  const { ready } = simulator;
  const { tenant_id, tenant_name, client_id, client_secret } = ready.customers[0]!;
  const addresses = { login_url: ready.login_url, graph_url: ready.graph_url, ca_file: join(folder, "ca.pem") };
  const customer = { tenant_id, tenant_name, client_id, client_secret, auth: "app", streams: "alerts", ...addresses };
  const settings = Object.entries(customer).map(([key, value]) => `tenants[0].${key}=${value}`);
  const home = join(folder, name);
  mkdirSync(home);
  const config = join(home, "helper.properties");
  writeFileSync(config, [...settings, ...lines, ""].join("\n"), { mode: 0o600 });
  if (CAN_RUN) for (const path of [home, config]) chownSync(path, PROGRAM.uid, PROGRAM.gid);
  return { home, config };
}

/** Starts `arcsight run` under this umask, as the account of the program where a test may choose it. */
function start(home: string, argv: readonly string[], umask: string): ChildProcess {
  const line = ["-c", `umask ${umask}; exec "$@"`, "sh", process.execPath, MAIN, "arcsight", "run", ...argv];
  return spawn("/bin/sh", line, {
    ...(CAN_RUN ? PROGRAM : {}),
    cwd: home,
    // A run that hangs is ended, and its signal says so.
    timeout: 280_000,
    killSignal: "SIGKILL",
    env: { HOME: home, PATH: process.env["PATH"] ?? "" },
  });
}

/** How it ended, and what it wrote on stderr. SIGTERM is sent when `enough` holds. */
async function ended(child: ChildProcess, enough?: (said: string) => boolean) {
  let said = "";
  child.stderr?.on("data", (text: Buffer) => {
    said += text.toString();
    if (enough?.(said) === true) child.kill("SIGTERM");
  });
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  return { code, signal, said };
}

whenRoot("a connector with an account of its own", () => {
  test("can read each file in the setgid folder of its group, under umask 007 and after rotations", async () => {
    const out = join(folder, "shared");
    mkdirSync(out);
    chownSync(out, PROGRAM.uid, CONNECTORS_GROUP);
    chmodSync(out, 0o2770);
    const path = join(out, "defender.cef");
    const output = ["outputs[0].type=cef-file", `outputs[0].path=${path}`, "outputs[0].rotate_mib=1"];
    const { home, config } = configuration("setgid", [...output, "start=30d"]);

    const { code, said } = await ended(start(home, ["--once", "--config", config, "--state", `${home}/state`], "007"));

    expect({ code, said: code === 0 ? "" : said }).toEqual({ code: 0, said: "" });
    const files = readdirSync(out).map((name) => join(out, name));
    expect(files.length).toBeGreaterThan(1);
    expect(files.map((file) => statSync(file).gid)).toEqual(files.map(() => CONNECTORS_GROUP));
    const read = (file: string, account: typeof CONNECTOR) => spawnSync("/bin/cat", [file], account).status;
    expect(files.map((file) => read(file, CONNECTOR))).toEqual(files.map(() => 0));
    const stranger = { uid: CONNECTOR.uid, gid: CONNECTOR.uid };
    expect([...files, config].map((file) => read(file, stranger))).toEqual([...files, config].map(() => 1));
    expect(spawnSync("/bin/ls", [`${home}/state`], CONNECTOR).status).not.toBe(0);
  });
});

onLinux("an output below /proc, where nothing can be kept,", () => {
  test.each(["outputs[0].path", "state_dir"])("is refused in one sentence when %s names it", async (setting) => {
    const values = { "outputs[0].type": "cef-file", "outputs[0].path": `${folder}/a.cef`, [setting]: "/proc/x" };
    const lines = Object.entries(values).map(([key, value]) => `${key}=${value}`);
    const { home, config } = configuration(`refused-${setting}`, lines);

    const { signal, said } = await ended(start(home, ["--config", config], "022"));

    expect(signal).toBeNull();
    expect(said.split("\n").filter((line) => /\[(ERROR|FATAL)\].*\/proc/.test(line))).toEqual([
      expect.stringMatching(/where no files can be kept|no folder can be created there/),
    ]);
  });

  test("is named when a symlink leads to it, and SIGTERM ends the program", async () => {
    symlinkSync("/proc", join(folder, "symlink"));
    const output = ["outputs[0].type=cef-file", `outputs[0].path=${folder}/symlink/x`];
    const { home, config } = configuration("symlink-to-proc", [...output, "start=30d"]);
    const child = start(home, ["--config", config, "--state", `${home}/state`], "022");

    const { code, signal, said } = await ended(child, (text) => text.includes("symlink/x cannot be written"));

    expect({ code, signal, said: code === 0 ? "" : said }).toEqual({ code: 0, signal: null, said: "" });
  });
});
