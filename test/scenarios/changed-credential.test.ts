/**
 * Credentials that are stored, corrected and edited while the built program collects: for Splunk under the
 * fake splunkd, and beside ArcSight. Nothing is restarted. The times of the looks are proved in simulated
 * time beside the sources; here only what happens is waited for.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import { startSplunkd } from "../harness/splunkd/splunkd.ts";
import { unpackedAddon } from "../harness/splunkd/unpacked-addon.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(900_000);
const BUSY_MACHINE_MS = 400_000;

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
const scratch = mkdtempSync(path.join(tmpdir(), "changed-credential-"));
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ shiftToNow: true });
});
afterAll(async () => {
  await simulator.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** The addresses of the simulator, as settings and as flags. */
function addresses(): Readonly<Record<string, string>> {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  return { login_url, graph_url, api_url, ca_file };
}
const asFlags = (settings: Readonly<Record<string, string>>) =>
  Object.entries(settings).flatMap(([key, value]) => [`--${key.replaceAll("_", "-")}`, value]);

function settingsOf(name: string, own: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { tenant_id, client_id } = simulator.control.customer(name);
  const shared = { ...addresses(), streams: "alerts", poll_seconds: "1", start: "3650d", auth: "app" };
  return { tenant_id, tenant_name: name, ...shared, ...("credential" in own ? {} : { client_id }), ...own };
}

/** Runs a command of the built program, and returns what it says. */
async function command(argv: readonly string[], environment: Readonly<Record<string, string>>): Promise<string> {
  const child = spawn(BINARY, argv, { env: { HOME: scratch, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (said += text.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${said}`);
  return said;
}

const credentialSet = (secret: string, place: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
  command(
    [
      "credential",
      "set",
      "mssp",
      "--client-id",
      simulator.control.customer("contoso").client_id,
      ...asFlags(addresses()),
      ...place,
    ],
    { DEFENDER_MSSP_CLIENT_SECRET: secret, ...environment },
  );

const stateOf = (tenant: string, state: string) =>
  new RegExp(`tenant=${tenant} stream=(alerts|\\*|"\\*") state=${state}\\b`);

test("in Splunk a shared credential counts when it is stored and when it is corrected, without a restart", async () => {
  const conf = path.join(scratch, "inputs.conf");
  const lines = Object.entries(settingsOf("contoso", { credential: "mssp" })).map(
    ([key, value]) => `${key} = ${value}`,
  );
  writeFileSync(conf, `[defender_mssp://contoso]\n${lines.join("\n")}\n`);
  const out = path.join(scratch, "out.xml");
  const splunkd = await startSplunkd({
    app: await unpackedAddon(scratch),
    home: path.join(scratch, "home"),
    out,
    conf,
  });
  try {
    const seen = (part: RegExp, what: string) =>
      splunkd.until(({ log }) => log.some((line) => part.test(line)), what, BUSY_MACHINE_MS);
    const place = ["--to", "splunk", "--splunk-uri", splunkd.serverUri, "--splunk-user", "admin"];
    const set = (secret: string) =>
      credentialSet(secret, [...place, "--splunkd-ca-file", splunkd.caFile], {
        DEFENDER_MSSP_SPLUNK_PASSWORD: "changeme",
      });

    await seen(/tenant=contoso.*failure=credential-missing/, "the missing credential");
    expect(await set("not-the-right-secret")).toContain("It counts within 60 s; no restart is needed.");
    await seen(/tenant=contoso.*failure=secret-wrong/, "the wrong secret at work");
    await set(simulator.control.customer("contoso").client_secret);
    await seen(stateOf("contoso", "ok"), "the right secret at work");
  } finally {
    const end = await splunkd.stop();
    expect(end).toMatchObject({ exit_code: 0, faults: [], restarts: 0 });
  }
  expect(readFileSync(out, "utf8")).toContain('"key":"');
});

/** `arcsight run` with everything that it writes on stderr. */
class Helper {
  readonly #child: ChildProcess;
  #said = "";
  #look: () => void = () => undefined;

  constructor(config: string) {
    this.#child = spawn(BINARY, ["arcsight", "run", "--config", config], { env: { HOME: scratch } });
    this.#child.stderr?.on("data", (text: Buffer) => {
      this.#said += text.toString();
      this.#look();
    });
  }

  /** Resolves when every part was written. */
  async until(...parts: readonly RegExp[]): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`waited in vain for ${parts.join(" and ")}; written:\n${this.#said}`)),
        BUSY_MACHINE_MS,
      );
      this.#look = () => {
        if (!parts.every((part) => part.test(this.#said))) return;
        clearTimeout(late);
        resolve();
      };
      this.#look();
    });
  }

  async stop(): Promise<number | null> {
    if (this.#child.exitCode === null) {
      this.#child.kill("SIGTERM");
      await once(this.#child, "close");
    }
    return this.#child.exitCode;
  }

  get starts(): number {
    return this.#said.split(" started ").length - 1;
  }
}

test("beside ArcSight a stored credential, an edited secret and a file that was missing count without a restart", async () => {
  const state = path.join(scratch, "state");
  const ca = path.join(scratch, "ca-of-tailspin.pem");
  const config = path.join(scratch, "defender-mssp.properties");
  const write = (secretOfFabrikam: string) => {
    const { client_secret } = simulator.control.customer("tailspin");
    const customers = [
      settingsOf("contoso", { credential: "mssp" }),
      settingsOf("fabrikam", { client_secret: secretOfFabrikam }),
      settingsOf("tailspin", { client_secret, ca_file: ca }),
    ];
    const tenants = customers.flatMap((values, n) =>
      Object.entries(values).map(([key, value]) => `tenants[${n}].${key}=${value}`),
    );
    const output = ["outputs[0].type=json-lines", `outputs[0].path=${scratch}/events.jsonl`, `state_dir=${state}`];
    writeFileSync(config, [...tenants, ...output, ""].join("\n"), { mode: 0o600 });
  };
  write("not-the-right-secret");
  const helper = new Helper(config);
  try {
    await helper.until(
      /tenant=contoso.*failure=credential-missing/,
      /tenant=fabrikam.*failure=secret-wrong/,
      stateOf("tailspin", "misconfigured"),
    );
    expect(await credentialSet("not-the-right-secret", ["--state", state])).toContain(
      "It counts within 60 s; no restart is needed.",
    );
    write(simulator.control.customer("fabrikam").client_secret);
    copyFileSync(simulator.ready.ca_file, ca);
    await helper.until(/tenant=contoso.*failure=secret-wrong/, stateOf("fabrikam", "ok"), stateOf("tailspin", "ok"));
    await credentialSet(simulator.control.customer("contoso").client_secret, ["--state", state]);
    await helper.until(stateOf("contoso", "ok"));
    expect(helper.starts).toBe(1);
  } finally {
    expect(await helper.stop()).toBe(0);
  }
  const events = readFileSync(path.join(scratch, "events.jsonl"), "utf8");
  for (const name of ["contoso", "fabrikam", "tailspin"]) expect(events).toContain(name);
});
