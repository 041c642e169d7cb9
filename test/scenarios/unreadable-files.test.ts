/**
 * Customers whose files exist but may not be read, with the program as a process of an ordinary account.
 * root reads every file whatever its mode, so a test that runs as root starts the program as `nobody`.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
/** `nobody` on Linux: an account that owns nothing here. */
const NOBODY = 65_534;
const ACCOUNT = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
/** A checkout below a closed folder (/root) cannot be run by another account; Windows has no modes. */
const CAN_RUN =
  process.platform !== "win32" &&
  spawnSync(process.execPath, ["-e", "fs.readFileSync(process.argv[1])", MAIN], ACCOUNT).status === 0;
const whenAccountCanRun = CAN_RUN ? describe : describe.skip;

let simulator: Simulator;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "unreadable-files-"));
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, "data", "hunting"), { recursive: true });
  const row = { Timestamp: new Date(Date.now() - 600_000).toISOString(), DeviceName: "host", ReportId: 1 };
  writeFileSync(join(folder, "data", "hunting", "DeviceLogonEvents.ndjson"), `${JSON.stringify(row)}\n`);
  const customers = ["contoso", "fabrikam", "tailspin"].map((name) => ({
    name,
    data: "data",
    generate: [{ stream: "alerts", count: 3, from: "-1d" }],
  }));
  const scenario = join(folder, "scenario.yaml");
  writeFileSync(scenario, JSON.stringify({ name: "unreadable", story: "Three customers.", seed: 7, customers }));
  simulator = await startSimulator({ scenario, warn: () => undefined });
  copyFileSync(simulator.ready.ca_file, join(folder, "ca.pem"));
  chmodSync(join(folder, "ca.pem"), 0o644);
  writeFileSync(
    join(folder, "queries.json"),
    JSON.stringify({ queries: [{ name: "Logons", kql: "DeviceLogonEvents" }] }),
    { mode: 0o644 },
  );
});
afterAll(async () => {
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Owned by the program's account, so that it can read its configuration and write its state. */
function ownFolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  if (ACCOUNT.uid !== undefined) chownSync(path, ACCOUNT.uid, ACCOUNT.gid);
  return path;
}

/** A file that is there and that only root may read. */
function writeUnreadable(file: string): void {
  if (!existsSync(file)) writeFileSync(file, "-----BEGIN CERTIFICATE-----\n", { mode: 0o000 });
}

/** The setting of contoso whose file cannot be read, and what else it needs so that the file is looked at. */
const CASES = [
  ["ca_file", { auth: "refresh_token" }],
  ["certificate", { auth: "app", client_secret: "" }],
  ["hunting_queries", { auth: "app", streams: "alerts,hunting" }],
] as const;

/** The settings of one customer; contoso's file cannot be read. */
function settingsOf(
  customer: Simulator["ready"]["customers"][number],
  files: string,
  setting: string,
  changes: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { ready } = simulator;
  const isContoso = customer.tenant_name === "contoso";
  return {
    tenant_name: customer.tenant_name,
    tenant_id: customer.tenant_id,
    client_id: customer.client_id,
    client_secret: customer.client_secret,
    refresh_token: customer.refresh_token,
    login_url: ready.login_url,
    graph_url: ready.graph_url,
    ca_file: join(files, "ca.pem"),
    hunting_queries: join(files, "queries.json"),
    start: "3650d",
    ...(isContoso ? { ...changes, [setting]: join(files, `${setting}.pem`) } : {}),
  };
}

/** What splunkd sends on stdin. It holds no session key, so that the credential store is not asked for. */
function runDocument(home: string, setting: string, changes: Readonly<Record<string, string>>): string {
  const auth = join(home, "etc/auth/defender_mssp");
  mkdirSync(auth, { recursive: true });
  for (const name of ["ca.pem", "queries.json"]) copyFileSync(join(folder, name), join(auth, name));
  writeUnreadable(join(auth, `${setting}.pem`));
  const stanzas = simulator.ready.customers.map((customer) => {
    const values = { ...settingsOf(customer, auth, setting, changes), index: "main" };
    const params = Object.entries(values).map(([key, value]) => `<param name="${key}">${value}</param>`);
    return `<stanza name="defender_mssp://${customer.tenant_name}" app="search">${params.join("")}</stanza>`;
  });
  return [
    "<input><server_host>h</server_host><server_uri>https://127.0.0.1:1</server_uri><session_key></session_key>",
    `<checkpoint_dir>${home}</checkpoint_dir><configuration>${stanzas.join("")}</configuration></input>`,
  ].join("");
}

/** A properties file of the simulator's customers; contoso's file cannot be read. */
function configuration(home: string, setting: string, changes: Readonly<Record<string, string>>): string {
  writeUnreadable(join(folder, `${setting}.pem`));
  const tenants = simulator.ready.customers.flatMap((customer, n) => {
    const values = settingsOf(customer, folder, setting, changes);
    return Object.entries(values).map(([key, value]) => `tenants[${n}].${key}=${value}`);
  });
  const file = join(home, "helper.properties");
  const outputs = ["outputs[0].type=json-lines", `outputs[0].path=${home}/events.jsonl`, `state_dir=${home}/state`];
  writeFileSync(file, [...tenants, ...outputs, ""].join("\n"), { mode: 0o644 });
  return file;
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

interface Reading {
  readonly stdin?: string;
  /** The program is told to stop when it has written this. Without it, it ends by itself. */
  readonly enough?: (out: string, errors: string) => boolean;
}

async function program(home: string, argv: readonly string[], { stdin, enough }: Reading = {}): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...argv], {
    ...ACCOUNT,
    cwd: home,
    // A run that never says enough is ended, and leaves no process behind.
    timeout: 280_000,
    env: { HOME: home, SPLUNK_HOME: home, PATH: process.env["PATH"] ?? "" },
  });
  let out = "";
  let errors = "";
  const look = (): void => {
    if (enough?.(out, errors) === true) child.kill("SIGTERM");
  };
  child.stdout.on("data", (text: Buffer) => {
    out += text.toString("utf8");
    look();
  });
  child.stderr.on("data", (text: Buffer) => {
    errors += text.toString("utf8");
    look();
  });
  if (stdin !== undefined) child.stdin.write(stdin);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, errors };
}

/** Customers of which the lines of this text hold an event. */
function customersOf(text: string): readonly string[] {
  const lines = text.split("\n").filter((line) => line !== "");
  const names = lines.map((line) => (JSON.parse(line) as Record<string, { tenant: string }>)["mssp"]!.tenant);
  return [...new Set(names)].toSorted();
}

whenAccountCanRun("a customer's file that exists but cannot be read stops no other customer", () => {
  test.each(CASES)(
    "arcsight run --once collects the others and ends with 6 when %s cannot be read",
    async (setting, changes) => {
      const home = ownFolder(`run-${setting}`);
      const config = configuration(home, setting, changes);

      const { code, errors } = await program(home, ["arcsight", "run", "--once", "--config", config]);

      expect({ code, fatal: errors.includes("FATAL") }).toEqual({ code: 6, fatal: false });
      const said = errors.split("\n").filter((line) => line.includes(`${setting}.pem`));
      expect(said.filter((line) => /ERROR.*cannot be read.*(customer|tenant)=contoso/.test(line))).not.toEqual([]);
      expect(said.filter((line) => !line.includes("contoso"))).toEqual([]);
      const events = readFileSync(join(home, "events.jsonl"), "utf8");
      expect(events).toContain("fabrikam");
      expect(events).toContain("tailspin");
    },
    150_000,
  );

  test.each(CASES)(
    "collect sends the events of the others and ends with 6 when %s cannot be read",
    async (setting, changes) => {
      const home = ownFolder(`collect-${setting}`);
      const config = configuration(home, setting, changes);

      const { code, out, errors } = await program(home, ["collect", "--config", config]);

      expect(code).toBe(6);
      expect(errors).toMatch(new RegExp(`${setting}\\.pem.*cannot be read.*contoso`));
      const others = setting === "hunting_queries" ? ["contoso", "fabrikam", "tailspin"] : ["fabrikam", "tailspin"];
      expect(customersOf(out)).toEqual(others);
    },
    150_000,
  );

  test.each(CASES)(
    "hunt asks the others, names contoso and ends with 6 when %s cannot be read",
    async (setting, changes) => {
      const home = ownFolder(`hunt-${setting}`);
      const config = configuration(home, setting, changes);

      const { code, errors } = await program(home, ["hunt", "--config", config, "--query", "Logons", "--json"]);

      expect({ code, hunted: errors.split("\n").filter((line) => line.includes("hunted")).length }).toEqual({
        code: 6,
        hunted: 2,
      });
      expect(errors).toMatch(new RegExp(`${setting}\\.pem.*cannot be read.*contoso`));
    },
    150_000,
  );

  test.each(CASES)(
    "arcsight serve answers polls and names contoso when %s cannot be read",
    async (setting, changes) => {
      const home = ownFolder(`serve-${setting}`);
      const config = configuration(home, setting, changes);
      const lines = ["serve.listen=127.0.0.1:0", "serve.client_id=connector", "serve.client_secret=of-it", ""];
      appendFileSync(config, lines.join("\n"));

      const { code, errors } = await program(home, ["arcsight", "serve", "--config", config], {
        enough: (_out, said) => said.includes("answering polls") && said.includes(`${setting}.pem`),
      });

      expect({ code, fatal: errors.includes("FATAL") }).toEqual({ code: 0, fatal: false });
      expect(errors).toMatch(new RegExp(`${setting}\\.pem.*cannot be read.*contoso`));
    },
    150_000,
  );

  // Without a credential store, a certificate serves the cloud's own addresses only.
  test.each([CASES[0], CASES[2]])(
    "the Splunk input collects the others when %s cannot be read",
    async (setting, changes) => {
      const home = ownFolder(`splunk-${setting}`);

      const { code, out, errors } = await program(home, [], {
        stdin: runDocument(home, setting, changes),
        enough: (sent, said) =>
          said.includes(`${setting}.pem`) &&
          ["fabrikam", "tailspin"].every((name) => sent.includes(`"tenant":"${name}"`)),
      });

      expect({ code, fatal: errors.includes("FATAL") }).toEqual({ code: 0, fatal: false });
      expect(out.endsWith("</stream>\n")).toBe(true);
      expect(errors).toMatch(new RegExp(`${setting}\\.pem`));
    },
    150_000,
  );

  test.each(CASES.slice(0, 2))(
    "doctor checks the others to their end when %s of contoso cannot be read",
    async (setting, changes) => {
      const home = ownFolder(`doctor-${setting}`);
      const config = configuration(home, setting, changes);

      const { code, out } = await program(home, ["doctor", "--config", config, "--all", "--json"]);

      const lines = out.trim().split("\n");
      const checked = lines.map((line) => JSON.parse(line) as { readonly tenant: string; readonly ok: boolean });
      expect(checked.map(({ tenant, ok }) => [tenant, ok])).toEqual([
        ["contoso", false],
        ["fabrikam", true],
        ["tailspin", true],
      ]);
      expect(lines[0]).toContain(`${setting}.pem`);
      expect(code).toBe(6);
    },
    150_000,
  );
});
