import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { childEnvironment } from "../harness/child-environment.ts";
import { freePort } from "../harness/free-port.ts";
import { filesUnder, leakIn, partsOf, tokenIn } from "../harness/secret-search.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import { makeCertificate } from "../harness/splunkd/certificate.ts";
import { Rest } from "../harness/splunkd/rest.ts";
import { startSplunkd } from "../harness/splunkd/splunkd.ts";

/**
 * Every way in which the program handles a secret, as a process of its own, also the ways that fail.
 * Afterwards everything it printed, its argv and every file it left (except `secrets/`) is searched. The
 * customers get new names in each run, and with them new secrets and tokens.
 */

// The bound for a machine that is busy.
jest.setTimeout(600_000);

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
const run = randomBytes(4).toString("hex");
const NAMES = { good: `good${run}`, refused: `refused${run}` };

/** 40 characters that nothing else holds; these also need escaping in URLs, XML, JSON and properties. */
const odd = (): string => `${randomBytes(24).toString("base64url")}&<"'\\%+=`;
const wrongKey = odd();
const proxyPassword = randomBytes(30).toString("base64url");
const splunkPassword = odd();

let simulator: Simulator;
let folder: string;
let secrets: string;
let parts: ReadonlySet<string>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "everywhere-"));
  secrets = join(folder, "secrets");
  mkdirSync(secrets, { mode: 0o700 });
  const scenario = join(secrets, "scenario.yaml");
  mkdirSync(join(secrets, "data", "hunting"), { recursive: true });
  const row = {
    Timestamp: new Date(Date.now() - 600_000).toISOString(),
    DeviceName: "host",
    FileName: "cmd.exe",
    ReportId: 1,
  };
  writeFileSync(join(secrets, "data", "hunting", "DeviceProcessEvents.ndjson"), `${JSON.stringify(row)}\n`);
  const customer = (name: string) =>
    `  - name: ${name}\n    data: data\n    generate:\n      - { stream: alerts, count: 20, from: -1d }\n      - { stream: incidents, count: 5, from: -1d }\n`;
  writeFileSync(
    scenario,
    `name: secrets\nstory: a day with secrets\nseed: 1\ncustomers:\n${Object.values(NAMES).map(customer).join("")}`,
  );
  simulator = await startSimulator({ scenario, deviceCodeIntervalS: 1, warn: () => undefined });
  const known = simulator.ready.customers.flatMap(({ client_secret, refresh_token }) => [client_secret, refresh_token]);
  parts = partsOf([...known, wrongKey, proxyPassword, splunkPassword]);
});
afterAll(async () => {
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

const customer = (name: string = NAMES.good) =>
  simulator.ready.customers.find(({ tenant_name }) => tenant_name === name)!;

const place = (): string[] => {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  return ["--login-url", login_url, "--graph-url", graph_url, "--api-url", api_url, "--ca-file", ca_file];
};
const who = (): string[] => [
  "--tenant-id",
  customer().tenant_id,
  "--tenant-name",
  "contoso",
  "--client-id",
  customer().client_id,
  ...place(),
];
const state = (): string[] => ["--state", join(folder, "state"), "--start", "3650d"];
const key = () => ({ DEFENDER_MSSP_CLIENT_SECRET: customer().client_secret });
const both = () => ({ ...key(), DEFENDER_MSSP_REFRESH_TOKEN: customer().refresh_token });

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

interface Setting {
  readonly environment?: Readonly<Record<string, string>>;
  /** Lines on standard input, known beforehand. */
  readonly typed?: readonly string[];
  /** Called once with the sign-in address when it is shown; what it returns is typed. */
  readonly signIn?: (url: string) => Promise<string | undefined>;
}

const running = new Set<ChildProcess>();
afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
});

function program(argv: readonly string[], setting: Setting = {}): Promise<Ended> {
  expect(leakIn(argv.join(" "), parts)).toBeUndefined();
  return new Promise((resolve) => {
    const env = childEnvironment({ HOME: folder, DEFENDER_MSSP_LOG_LEVEL: "debug", ...setting.environment });
    const child = spawn(process.execPath, [MAIN, ...argv], { env, cwd: folder, stdio: ["pipe", "pipe", "pipe"] });
    running.add(child);
    let out = "";
    let errors = "";
    let seen = false;
    child.stdout.on("data", (data: Buffer) => (out += data.toString()));
    child.stderr.on("data", (data: Buffer) => {
      errors += data.toString();
      const url = /^(https:\S*authorize\S*)\s*$/m.exec(errors)?.[1];
      if (seen || url === undefined || setting.signIn === undefined) return;
      seen = true;
      void setting.signIn(url).then((line) => line !== undefined && child.stdin.end(`${line}\n`));
    });
    child.stdin.on("error", () => undefined);
    for (const line of setting.typed ?? []) child.stdin.write(`${line}\n`);
    if (!setting.signIn) child.stdin.end();
    child.on("close", (code) => {
      running.delete(child);
      resolve({ code, out, errors });
    });
  });
}

/** What the browser does: opens the address, and says where it ends. */
function browse(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    https
      .get(url, { ca: readFileSync(simulator.ready.ca_file), agent: false }, (answer) => {
        answer.resume();
        resolve(answer.headers.location ?? "");
      })
      .on("error", reject);
  });
}

async function control(action: string, body: Readonly<Record<string, unknown>>): Promise<void> {
  const answer = await fetch(`${simulator.ready.control_url}/${action}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect([action, answer.status]).toEqual([action, 200]);
}

/** @param printed what was asked for with --print is not a leak. */
function expectNoSecretIn(ended: Ended, printed = false): void {
  expect([leakIn(ended.errors, parts), tokenIn(ended.errors)]).toEqual([undefined, undefined]);
  expect(printed ? [] : [leakIn(ended.out, parts), tokenIn(ended.out)].filter((leak) => leak !== undefined)).toEqual(
    [],
  );
  expectNoSecretInFiles();
}

function expectNoSecretInFiles(): void {
  for (const file of filesUnder(folder).filter((path) => !path.includes("/secrets/"))) {
    // A proxy's login stands where the administrator wrote it. This program does not treat it as a secret,
    // and splunkd has no store for it (SECURITY.md).
    const text = readFileSync(file, "latin1").replace(/^proxy = .*$/gm, "proxy =");
    expect([file, leakIn(text, parts), tokenIn(text)]).toEqual([file, undefined, undefined]);
  }
}

test("the search finds a secret in every form, whole or in part, and tokens of unknown value", () => {
  const secret = odd();
  const own = partsOf([secret]);
  const xml = secret.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const basic = ["", "i", "id"].map((before) => Buffer.from(`${before}:${secret}:after`).toString("base64"));
  for (const form of [
    secret.slice(3, 19),
    encodeURIComponent(secret),
    xml,
    JSON.stringify(secret),
    JSON.stringify({ a: JSON.stringify(secret) }),
    ...basic,
  ]) {
    expect([form, leakIn(`before ${form} after`, own)]).toEqual([form, expect.any(String)]);
  }
  expect(leakIn(secret.slice(0, 15), own)).toBeUndefined();
  expect(tokenIn(`token=eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJh`)).toBeDefined();
  expect(tokenIn(`1.A${"x".repeat(60)}`)).toBeDefined();
});

describe("token acquire shows no secret", () => {
  const file = (name: string): string[] => ["--file", join(secrets, name)];

  test.each<[string, () => readonly string[], number, Setting]>([
    ["by pasting", () => ["--way", "paste", "--to", "file", ...file("paste.txt")], 0, { signIn: browse }],
    [
      "by pasting the old redirect, into a connector file",
      () => [
        "--way",
        "paste",
        "--redirect-uri",
        "https://SiemMsspConnector",
        "--to",
        "arcsight",
        ...file("c.properties"),
      ],
      0,
      { signIn: browse },
    ],
    [
      "with the v1 endpoint",
      () => ["--way", "paste", "--v1", "--resource", "https://graph.windows.net", "--to", "file", ...file("v1.txt")],
      0,
      { signIn: browse },
    ],
    ["with a device code", () => ["--device-code", "--to", "file", ...file("device.txt")], 0, {}],
    ["when it is asked to print, on standard error", () => ["--way", "paste", "--print"], 0, { signIn: browse }],
    [
      "when the redirect brings an error",
      () => ["--way", "paste", "--print"],
      3,
      {
        signIn: async (url) =>
          `${new URL(url).searchParams.get("redirect_uri")}?error=access_denied&error_description=${encodeURIComponent(wrongKey)}`,
      },
    ],
    [
      "when the address is another sign-in's",
      () => ["--way", "paste", "--print"],
      3,
      { signIn: async (url) => (await browse(url)).replace(/state=/, "state=x") },
    ],
    [
      "when the address is cut",
      () => ["--way", "paste", "--print"],
      3,
      { signIn: async (url) => (await browse(url)).slice(0, 120) },
    ],
    [
      "when the key is wrong",
      () => ["--way", "paste", "--print"],
      3,
      { signIn: browse, environment: { DEFENDER_MSSP_CLIENT_SECRET: wrongKey } },
    ],
    ["until standard input ends", () => ["--way", "paste", "--print"], 2, { typed: [] }],
  ])("when it is used %s", async (name, argv, code, setting) => {
    const ended = await program(["token", "acquire", ...who(), ...argv()], {
      ...setting,
      environment: { ...key(), ...setting.environment },
    });
    expect([name, ended.code, ended.code === code ? "" : ended.errors]).toEqual([name, code, ""]);
    expectNoSecretIn(ended, argv().includes("--print"));
  });

  test("in the browser, and neither does the page on which it ends", async () => {
    const redirect = `http://localhost:${await freePort()}/back`;
    let page = "";
    const ended = await program(
      [
        "token",
        "acquire",
        ...who(),
        "--way",
        "browser",
        "--redirect-uri",
        redirect,
        "--to",
        "file",
        ...file("browser.txt"),
      ],
      {
        environment: key(),
        async signIn(url) {
          page = await (await fetch(await browse(url))).text();
          return undefined;
        },
      },
    );
    expect([ended.code, leakIn(page, parts), tokenIn(page)]).toEqual([0, undefined, undefined]);
    expectNoSecretIn(ended);
  });

  test.each<[string, string, string, number]>([
    ["an old connector's file", "old.properties", "", 0],
    ["the beginning of an old token", "cut.properties", "x", 3],
  ])("when it reads %s", async (_, name, damage, code) => {
    const { client_id, client_secret, refresh_token, tenant_id } = customer();
    const token = damage === "" ? refresh_token : refresh_token.slice(0, 500);
    const text = `client_id=${client_id}\r\nclient_secret=${client_secret}\r\nrefresh_token=${token}\r\ntoken_url=https://login.microsoftonline.com/${tenant_id}/oauth2/token\r\n`;
    writeFileSync(join(secrets, name), text);
    const ended = await program([
      "token",
      "acquire",
      "--from",
      join(secrets, name),
      ...place(),
      "--to",
      "file",
      ...file("from.txt"),
    ]);
    expect([ended.code, ended.code === code ? "" : ended.errors]).toEqual([code, ""]);
    expectNoSecretIn(ended);
  });

  test("when a device code is declined", async () => {
    await control("device-code", { customers: [NAMES.good], state: "decline" });
    const ended = await program(["token", "acquire", ...who(), "--device-code", "--print"], { environment: key() });
    await control("device-code", { customers: [NAMES.good], state: "approve" }).catch(() => undefined);
    expect(ended.code).toBe(3);
    expectNoSecretIn(ended);
  });

  test("when it writes into Splunk's credential store, with the right password and with a wrong one", async () => {
    const certificate = await makeCertificate("as-shipped", new Date());
    const ca = join(folder, "splunk-ca.pem");
    writeFileSync(ca, certificate.ca);
    const home = join(folder, "splunk-rest");
    const app = join(home, "etc", "apps", "TA_defender_mssp");
    mkdirSync(join(app, "local"), { recursive: true });
    const rest = new Rest({
      home,
      app: "TA_defender_mssp",
      folder: app,
      schemeName: "defender_mssp",
      certificate,
      port: 0,
      passwordLimit: "truncate",
      admin: { name: "admin", password: splunkPassword },
      unavailableCalls: 0,
      collections: {},
      scheme: () => undefined,
      validate: () => Promise.resolve(undefined),
      inputsChanged: () => undefined,
    });
    const splunk = ["--splunk-uri", await rest.listen(), "--splunk-user", "admin", "--splunkd-ca-file", ca];
    try {
      for (const [password, code] of [
        [splunkPassword, 0],
        [wrongKey, 5],
      ] as const) {
        const environment = { ...key(), DEFENDER_MSSP_SPLUNK_PASSWORD: password };
        const ended = await program(["token", "acquire", ...who(), ...splunk, "--way", "paste", "--to", "splunk"], {
          environment,
          signIn: browse,
        });
        expect([ended.code, ended.code === code ? "" : ended.errors]).toEqual([code, ""]);
        expectNoSecretIn(ended);
        expectNoSecretIn(
          await program(["doctor", ...who(), ...splunk], { environment: { DEFENDER_MSSP_SPLUNK_PASSWORD: password } }),
        );
      }
    } finally {
      await rest.close();
    }
  });
});

describe("collecting shows no secret", () => {
  /** A customer without problems, two with failures, and one behind a proxy that is not there. */
  const stanzas = (): readonly (readonly [string, Readonly<Record<string, string>>])[] => {
    const { login_url, graph_url, api_url, ca_file } = simulator.ready;
    const common = { login_url, graph_url, api_url, ca_file, start: "3650d", poll_seconds: "1" };
    const [good, refused] = [customer(), customer(NAMES.refused)];
    const app = (one: typeof good) => ({
      tenant_id: one.tenant_id,
      client_id: one.client_id,
      client_secret: one.client_secret,
    });
    return [
      ["user", { ...common, ...app(good), refresh_token: good.refresh_token }],
      ["wrong-key", { ...common, ...app(refused), client_secret: wrongKey, auth: "app" }],
      ["cut-token", { ...common, ...app(refused), refresh_token: refused.refresh_token.slice(0, 300) }],
      ["behind-proxy", { ...common, ...app(refused), auth: "app", proxy: `http://mssp:${proxyPassword}@localhost:1` }],
    ];
  };

  test("in the events, log, argv, settings and state of the modular input under splunkd", async () => {
    const app = join(folder, "TA_defender_mssp");
    cpSync(join(import.meta.dirname, "../../splunk-app/TA_defender_mssp"), app, { recursive: true });
    const executable = join(app, "linux_x86_64/bin/defender_mssp");
    mkdirSync(join(app, "linux_x86_64/bin"), { recursive: true });
    const compiled = childEnvironment()["NODE_COMPILE_CACHE"] ?? "";
    writeFileSync(
      executable,
      `#!/bin/sh\nNODE_COMPILE_CACHE='${compiled}' exec '${process.execPath}' '${MAIN}' "$@"\n`,
    );
    chmodSync(executable, 0o755);
    const conf = join(secrets, "inputs.conf");
    const text = (values: Readonly<Record<string, string>>) =>
      Object.entries(values).map(([name, value]) => `${name} = ${value}\n`);
    writeFileSync(
      conf,
      `[defender_mssp]\nlog_level = debug\n\n${stanzas()
        .map(([name, values]) => `[defender_mssp://${name}]\n${text(values).join("")}`)
        .join("\n")}`,
    );
    const home = join(folder, "splunk");
    const splunkd = await startSplunkd({
      app,
      conf,
      home,
      out: join(folder, "out.xml"),
      log: join(folder, "splunkd.log"),
    });
    const argv: string[] = [];
    try {
      const said = (part: string) => splunkd.log.some((line) => line.includes(part));
      const all = () =>
        said("tenant=user stream=alerts state=ok") &&
        ["wrong-key", "cut-token", "behind-proxy"].every((name) => said(`tenant=${name} `));
      const local = join(home, "etc/apps/TA_defender_mssp/local/inputs.conf");
      const masked = () => leakIn(readFileSync(local, "latin1").replace(/^proxy = .*$/gm, ""), parts) === undefined;
      const until = Date.now() + 300_000;
      // Masking restarts the input: both must have been seen, in whichever order.
      while (!(all() && masked()) && Date.now() < until) {
        const cmdline = `/proc/${splunkd.pid}/cmdline`;
        if (existsSync(cmdline)) argv.push(readFileSync(cmdline, "latin1"));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect([all(), masked(), splunkd.events > 0]).toEqual([true, true, true]);
    } finally {
      await splunkd.stop();
    }
    expect(leakIn(argv.join(" "), parts)).toBeUndefined();
    expectNoSecretInFiles();
    // Splunk has a store of its own: no token of the modular input ever lies on disk.
    expect(filesUnder(home).filter((path) => path.includes("/secrets/"))).toEqual([]);
  });

  test("in the files, outputs and state of arcsight run", async () => {
    const file = join(secrets, "helper.properties");
    const escaped = (value: string) => value.replace(/[\\:=#!]/g, (rowType) => `\\${rowType}`);
    const lines = stanzas().flatMap(([name, values], n) =>
      Object.entries({ tenant_name: name, ...values }).map(
        ([setting, value]) => `tenants[${n}].${setting}=${escaped(value)}`,
      ),
    );
    const outputs = ["cef-file", "json-lines"].flatMap((type, n) => [
      `outputs[${n}].type=${type}`,
      `outputs[${n}].path=${join(folder, `${type}.out`)}`,
    ]);
    writeFileSync(file, [...lines, ...outputs, "log_level=debug", ""].join("\n"));
    chmodSync(file, 0o600);
    const ended = await program([
      "arcsight",
      "run",
      "--once",
      "--config",
      file,
      "--state",
      join(folder, "helper-state"),
    ]);
    expect([ended.code, ended.code === 6 ? "" : ended.errors]).toEqual([6, ""]);
    expect(existsSync(join(folder, "cef-file.out"))).toBe(true);
    expectNoSecretIn(ended);
  });

  test.each<[string, () => readonly string[], () => Readonly<Record<string, string>>, number]>([
    ["collect as a user", () => ["collect", ...who(), ...state()], both, 0],
    [
      "collect with a wrong client secret",
      () => ["collect", ...who(), ...state(), "--auth", "app"],
      () => ({ DEFENDER_MSSP_CLIENT_SECRET: wrongKey }),
      3,
    ],
    [
      "hunt",
      () => ["hunt", ...who(), ...state(), "--hunting-queries", queries(), "--query", "Everything", "--auth", "app"],
      key,
      0,
    ],
    [
      "hunt with a wrong client secret",
      () => ["hunt", ...who(), ...state(), "--hunting-queries", queries(), "--query", "Everything", "--auth", "app"],
      () => ({ DEFENDER_MSSP_CLIENT_SECRET: wrongKey }),
      3,
    ],
    ["consent-url --wait", () => ["consent-url", ...who(), "--auth", "app", "--wait"], key, 0],
    [
      "doctor with the runtime's own debugging on",
      () => ["doctor", ...who()],
      () => ({ ...both(), NODE_DEBUG: "http,https,tls,net,undici,fetch,stream" }),
      0,
    ],
  ])("with the command %s", async (name, argv, environment, code) => {
    const ended = await program(argv(), { environment: environment() });
    expect([name, ended.code, ended.code === code ? "" : ended.errors]).toEqual([name, code, ""]);
    expectNoSecretIn(ended);
  });

  function queries(): string {
    const file = join(folder, "queries.json");
    writeFileSync(
      file,
      JSON.stringify({
        queries: [{ name: "Everything", kql: "DeviceProcessEvents | take 5", every_minutes: 15, window_minutes: 60 }],
      }),
    );
    return file;
  }
});
