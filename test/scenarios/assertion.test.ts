import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { childEnvironment } from "../harness/child-environment.ts";
import { filesUnder, tokenIn } from "../harness/secret-search.ts";
import { type ReadyIdentity, type Simulator, startSimulator } from "../harness/simulator/start.ts";

/**
 * Customers without a client secret, as a process of its own: their tokens come from files that the platform
 * renews, or from the endpoint of a managed identity.
 */

// Real processes are waited for by what they write; this is only the bound for a machine that is busy.
jest.setTimeout(900_000);
const BUSY_MACHINE_MS = 400_000;

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
const NAMES = ["late", "renewed", "vanishing", "shared", "identity", "plain"] as const;
type Name = (typeof NAMES)[number];

let simulator: Simulator;
let folder: string;
let platform: string;
const printed: string[] = [];

const customer = (name: Name) => simulator.control.customer(name);
const fileOf = (name: Name) => join(platform, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "assertion-run-"));
  platform = mkdtempSync(join(tmpdir(), "assertion-platform-"));
  const customers = NAMES.map((name) => `  - { name: ${name}, generate: [{ stream: alerts, count: 3, from: -1d }] }\n`);
  const identities = [
    "  - { name: pod, kind: platform, trusted_by: [late, renewed, vanishing, shared] }",
    "  - { name: machine, trusted_by: [identity] }",
  ];
  const scenario = join(platform, "scenario.yaml");
  writeFileSync(
    scenario,
    `name: assertions\nstory: no secret\nseed: 1\ncustomers:\n${customers.join("")}identities:\n${identities.join("\n")}\n`,
  );
  simulator = await startSimulator({ scenario, warn: () => undefined });
  // Renewed after four seconds.
  simulator.control.perform({ do: "access-tokens", customers: [...NAMES], lifetime_seconds: 5 });
});
afterAll(async () => {
  await simulator.stop();
  for (const made of [folder, platform]) rmSync(made, { recursive: true, force: true });
});

function identityCalled(wanted: string): ReadyIdentity {
  const found = simulator.ready.identities?.find(({ name }) => name === wanted);
  if (found === undefined) throw new Error(`the scenario has no identity ${wanted}`);
  return found;
}

/** As platforms do it: written aside and renamed. */
function renew(name: Name, other: { readonly subject?: string } = {}): void {
  const { token } = simulator.control.perform({ do: "platform-token", identity: "pod", ...other });
  writeFileSync(`${fileOf(name)}.new`, String(token));
  renameSync(`${fileOf(name)}.new`, fileOf(name));
}

const environment = () =>
  childEnvironment({
    HOME: folder,
    DEFENDER_MSSP_TEST_IMDS: simulator.ready.imds_url ?? "",
  });

/** A process with all that it writes. */
class Program {
  readonly #child: ChildProcess;
  #said = "";
  #look: () => void = () => undefined;

  constructor(...argv: readonly string[]) {
    this.#child = spawn(process.execPath, [MAIN, ...argv], { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (text: Buffer) => {
        this.#said += text.toString();
        this.#look();
      });
  }

  async until(...parts: readonly RegExp[]): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const missing = () => parts.filter((part) => !part.test(this.#said));
      const late = setTimeout(
        () => reject(new Error(`waited in vain for ${missing().join(" and ")}; written:\n${this.#said}`)),
        BUSY_MACHINE_MS,
      );
      this.#look = () => {
        if (missing().length > 0) return;
        clearTimeout(late);
        resolve();
      };
      this.#look();
    });
  }

  async end(signal?: "SIGTERM"): Promise<number | null> {
    if (signal !== undefined) this.#child.kill(signal);
    if (this.#child.exitCode === null) await once(this.#child, "close");
    printed.push(this.#said);
    return this.#child.exitCode;
  }

  get said(): string {
    return this.#said;
  }
}

const state = (name: Name, is: string) => `tenant=${name} stream=(?:alerts|\\*|"\\*") state=${is}\\b`;
/** The stream stands still; before that its last access token is used up. */
const failing = (name: Name, code: string) =>
  `tenant=${name} stream=alerts state=(?:signed-out|misconfigured)\\b.*failure=${code}\\b`;
const inOrder = (...parts: readonly string[]) => new RegExp(parts.join("[\\s\\S]*"));

test("customers whose tokens the platform renews are collected, each fails by name with its own file alone, and no token is left anywhere", async () => {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const addresses = { login_url, graph_url, api_url, ca_file };
  const asFlags = Object.entries(addresses).flatMap(([key, value]) => [`--${key.replaceAll("_", "-")}`, value]);
  for (const name of ["renewed", "vanishing", "shared"] as const) renew(name);

  const flags = ["--client-id", customer("shared").client_id, "--assertion", `file:${fileOf("shared")}`, ...asFlags];
  const set = new Program("credential", "set", "mssp", "--state", join(folder, "state"), ...flags);
  expect([await set.end(), set.said]).toEqual([0, expect.stringContaining("Credential mssp is stored")]);

  const proofOf = (name: Name): Readonly<Record<string, string>> => {
    if (name === "shared") return { credential: "mssp" };
    const { client_id, client_secret } = customer(name);
    if (name === "plain") return { client_id, client_secret };
    return {
      client_id,
      assertion:
        name === "identity" ? `managed-identity:${identityCalled("machine").client_id}` : `file:${fileOf(name)}`,
    };
  };
  const config = join(folder, "defender-mssp.properties");
  const lines = NAMES.flatMap((name, n) =>
    Object.entries({
      tenant_id: customer(name).tenant_id,
      tenant_name: name,
      ...addresses,
      streams: "alerts",
      poll_seconds: "1",
      start: "3650d",
      auth: "app",
      ...proofOf(name),
    }).map(([key, value]) => `tenants[${n}].${key}=${value}`),
  );
  lines.push("outputs[0].type=json-lines", `outputs[0].path=${folder}/events.jsonl`, `state_dir=${folder}/state`);
  writeFileSync(config, `${lines.join("\n")}\n`, { mode: 0o600 });

  const run = new Program("arcsight", "run", "--config", config);
  try {
    await run.until(
      new RegExp(state("late", "misconfigured")),
      ...(["renewed", "vanishing", "shared", "identity", "plain"] as const).map(
        (name) => new RegExp(state(name, "ok")),
      ),
    );
    renew("renewed", { subject: "somebody-else" });
    rmSync(fileOf("vanishing"));
    await run.until(
      inOrder(
        state("renewed", "ok"),
        'the subject "somebody-else" of the token',
        failing("renewed", "federation-wrong"),
      ),
      inOrder(state("vanishing", "ok"), failing("vanishing", "assertion-unusable")),
    );
    for (const name of ["late", "renewed", "vanishing"] as const) renew(name);
    await run.until(
      new RegExp(state("late", "ok")),
      inOrder(failing("renewed", "federation-wrong"), state("renewed", "ok")),
      inOrder(failing("vanishing", "assertion-unusable"), state("vanishing", "ok")),
    );
    for (const name of ["shared", "identity", "plain"] as const)
      expect(run.said).not.toMatch(new RegExp(state(name, "(?:failing|signed-out|misconfigured)")));
  } finally {
    expect(await run.end("SIGTERM")).toBe(0);
  }

  const events = readFileSync(join(folder, "events.jsonl"), "utf8");
  for (const name of NAMES) expect(events).toContain(`"${name}"`);
  // What the program wrote: nothing of the platform's tokens, and no access token.
  for (const text of [...printed, ...filesUnder(folder).map((file) => readFileSync(file, "latin1"))])
    expect(tokenIn(text)).toBeUndefined();
});

test("doctor compares what the platform's token says with what register prints, and shows nothing else of it", async () => {
  renew("renewed");
  const { tenant_id, client_id } = customer("renewed");
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const settings = { tenant_id, client_id, login_url, graph_url, api_url, ca_file, streams: "alerts", auth: "app" };
  const flags = Object.entries(settings).flatMap(([key, value]) => [`--${key.replaceAll("_", "-")}`, value]);
  const identity = `file:${fileOf("renewed")}`;
  const doctor = new Program("doctor", ...flags, "--assertion", identity, "--json", "--state", join(folder, "doctor"));
  const register = new Program("register", "--proof", "federated", "--identity", identity);
  expect([await doctor.end(), await register.end()]).toEqual([0, 0]);

  const { checks } = JSON.parse(doctor.said.split("\n")[0] ?? "") as { checks: { check: string; say: string }[] };
  const say = checks.find(({ check }) => check === "credential")?.say ?? "";
  const { issuer, subject, audience } = identityCalled("pod");
  const triple = `Issuer: ${issuer}, Subject: ${subject}, Audience: ${audience}.`;
  expect(register.said).toContain(triple);
  expect(say).toContain(triple);
  expect(say).toContain("is valid for 59 minutes");
  expect([tokenIn(doctor.said), tokenIn(register.said)]).toEqual([undefined, undefined]);
});
