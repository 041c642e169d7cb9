import { type ChildProcess, spawn } from "node:child_process";
import { constants, createHash, createPrivateKey, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { type MadeCertificate, makeAppCertificate } from "../harness/app-certificate.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { filesUnder, tokenIn } from "../harness/secret-search.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

/**
 * Customers without a client secret, as a process of its own: their tokens come from files that the platform
 * renews, or from the endpoint of a managed identity. The simulator accepts tokens that a registered
 * certificate has signed.
 */

// Real processes are waited for by what they write; this is only the bound for a machine that is busy.
jest.setTimeout(300_000);
const BUSY_MACHINE_MS = 120_000;

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
const IDENTITY = "77777777-0000-4000-8000-000000000000";
const NAMES = ["late", "renewed", "vanishing", "shared", "identity", "plain"] as const;
type Name = (typeof NAMES)[number];

let simulator: Simulator;
let known: MadeCertificate;
let unknown: MadeCertificate;
let folder: string;
let platform: string;
let identities: Server;
const asked: string[] = [];
const printed: string[] = [];

const customer = (name: Name) => simulator.control.customer(name);
const fileOf = (name: Name) => join(platform, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "assertion-run-"));
  platform = mkdtempSync(join(tmpdir(), "assertion-platform-"));
  const customers = NAMES.map(
    (name) => `  - name: ${name}\n    generate:\n      - { stream: alerts, count: 3, from: -1d }\n`,
  );
  const scenario = join(platform, "scenario.yaml");
  writeFileSync(scenario, `name: assertions\nstory: no secret\nseed: 1\ncustomers:\n${customers.join("")}`);
  simulator = await startSimulator({ scenario, warn: () => undefined });
  [known, unknown] = await Promise.all([makeAppCertificate({ name: "known" }), makeAppCertificate({ name: "other" })]);
  simulator.control.perform({ do: "certificate", customers: [...NAMES], pem: known.certificatePem });
  // Renewed after four seconds.
  simulator.control.perform({ do: "access-tokens", customers: [...NAMES], lifetime_seconds: 5 });
  identities = createServer((request, response) => {
    asked.push(`${String(request.headers["metadata"])} ${request.url ?? ""}`);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ access_token: tokenOf("identity"), token_type: "Bearer" }));
  });
  await once(identities.listen(0, "127.0.0.1"), "listening");
});
afterAll(async () => {
  identities.close();
  await simulator.stop();
  for (const made of [folder, platform]) rmSync(made, { recursive: true, force: true });
});

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token as a platform issues it, for one customer's tenant. */
function tokenOf(name: Name, { certificatePem, keyPem }: MadeCertificate = known): string {
  const { client_id: app, tenant_id: tenant } = customer(name);
  const print = createHash("sha256").update(new X509Certificate(certificatePem).raw).digest("base64url");
  const nowS = Math.floor(Date.now() / 1000);
  const aud = `${simulator.ready.login_url}/${tenant}/oauth2/v2.0/token`;
  const text = `${base64url({ alg: "PS256", "x5t#S256": print })}.${base64url({ aud, iss: app, sub: app, exp: nowS + 3600 })}`;
  const key = { key: createPrivateKey(keyPem), padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  return `${text}.${sign("RSA-SHA256", Buffer.from(text), key).toString("base64url")}`;
}

/** As platforms do it: written aside and renamed. */
function renew(name: Name, by: MadeCertificate = known): void {
  writeFileSync(`${fileOf(name)}.new`, tokenOf(name, by));
  renameSync(`${fileOf(name)}.new`, fileOf(name));
}

const environment = () =>
  childEnvironment({
    HOME: folder,
    DEFENDER_MSSP_TEST_IMDS: `http://127.0.0.1:${(identities.address() as AddressInfo).port}`,
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
    return { client_id, assertion: name === "identity" ? `managed-identity:${IDENTITY}` : `file:${fileOf(name)}` };
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
    renew("renewed", unknown);
    rmSync(fileOf("vanishing"));
    await run.until(
      inOrder(state("renewed", "ok"), failing("renewed", "federation-wrong")),
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
  // One request for many sign-ins of the identity, with what only a program sends.
  expect(asked).toEqual([
    `true /metadata/identity/oauth2/token?${new URLSearchParams({ "api-version": "2018-02-01", resource: "api://AzureADTokenExchange", client_id: IDENTITY }).toString()}`,
  ]);
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
  const triple = /Issuer: .+, Subject: .+, Audience: [^.]+\.\d[^ ]*/.exec(register.said)?.[0].split(". ")[0] ?? "none";
  expect(triple).toContain(`Issuer: ${client_id}, Subject: ${client_id}, Audience: ${login_url}`);
  expect(say).toContain(triple);
  expect(say).toContain("is valid for 59 minutes");
  expect([tokenIn(doctor.said), tokenIn(register.said)]).toEqual([undefined, undefined]);
});
