import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { childEnvironment } from "../harness/child-environment.ts";
import { filesUnder, leakIn, partsOf } from "../harness/secret-search.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";

/**
 * The program as a process, with secrets that occur nowhere else: its output, its errors and every file it
 * leaves are searched for them, as they are, as URLs, base64, XML and JSON write them, and for any 16
 * characters of theirs. `secrets/` of the state folder is where they belong; its modes are looked at instead.
 */

let simulator: Simulator;
let folder: string;
const proxyPassword = randomBytes(30).toString("base64url");

beforeAll(async () => {
  simulator = await startSimulator({ warn: () => undefined });
  folder = mkdtempSync(join(tmpdir(), "secrets-"));
});
afterAll(async () => {
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

const customer = () => simulator.ready.customers[0]!;
const flags = (): string[] => {
  const { ready } = simulator;
  const who = ["--tenant-id", customer().tenant_id, "--tenant-name", "contoso", "--client-id", customer().client_id];
  const where = [
    "--login-url",
    ready.login_url,
    "--graph-url",
    ready.graph_url,
    "--api-url",
    ready.api_url,
    "--ca-file",
    ready.ca_file,
  ];
  return [...who, ...where, "--start", "3650d", "--state", join(folder, "state")];
};

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

function program(argv: readonly string[], environment: Readonly<Record<string, string>>): Promise<Ended> {
  return new Promise((resolve) => {
    const options = {
      env: childEnvironment({ HOME: folder, ...environment }),
      maxBuffer: 64 * 1024 * 1024,
      timeout: 240_000,
    };
    execFile(
      process.execPath,
      [join(import.meta.dirname, "../../src/main/main.ts"), ...argv],
      options,
      (error, out, errors) => {
        resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, out, errors });
      },
    );
  });
}

describe("secrets are found only where they belong", () => {
  const runs: readonly (readonly [string, () => readonly string[], () => Readonly<Record<string, string>>, number])[] =
    [
      ["doctor", () => ["doctor", ...flags()], () => ({}), 0],
      [
        "doctor with a wrong client secret",
        () => ["doctor", ...flags(), "--auth", "app"],
        () => ({ DEFENDER_MSSP_CLIENT_SECRET: `${customer().client_secret}x` }),
        3,
      ],
      [
        "doctor through a proxy that is not there",
        () => ["doctor", ...flags(), "--auth", "app", "--proxy", `http://mssp:${proxyPassword}@localhost:1`],
        () => ({}),
        4,
      ],
      ["collect as a user", () => ["collect", ...flags()], () => ({ DEFENDER_MSSP_LOG_LEVEL: "debug" }), 0],
      [
        "collect as an app",
        () => ["collect", ...flags(), "--auth", "app"],
        () => ({ DEFENDER_MSSP_LOG_LEVEL: "debug" }),
        0,
      ],
      ["token access", () => ["token", "access", ...flags(), "--json"], () => ({}), 0],
      [
        "doctor with the runtime's own debugging switched on",
        () => ["doctor", ...flags()],
        () => ({ NODE_DEBUG: "http,https,tls,net,undici,fetch" }),
        0,
      ],
    ];

  test.each(runs)("after %s", async (_, argv, environment, code) => {
    const secrets = {
      DEFENDER_MSSP_CLIENT_SECRET: customer().client_secret,
      DEFENDER_MSSP_REFRESH_TOKEN: customer().refresh_token,
    };
    const ended = await program(argv(), { ...secrets, ...environment() });

    const windows = partsOf([customer().client_secret, customer().refresh_token, proxyPassword]);
    expect(leakIn(ended.out, windows)).toBeUndefined();
    expect(leakIn(ended.errors, windows)).toBeUndefined();
    expect({ code: ended.code, ...(ended.code === code ? {} : { said: ended.errors }) }).toEqual({ code });
    mkdirSync(join(folder, "state"), { recursive: true });
    const files = filesUnder(folder);
    for (const file of files.filter((path) => !path.includes("/secrets/"))) {
      expect([file, leakIn(readFileSync(file, "latin1"), windows)]).toEqual([file, undefined]);
    }
    expect(files.filter((path) => path.includes("/secrets/") && (statSync(path).mode & 0o077) !== 0)).toEqual([]);
  });

  test("after credential set with a client secret from a file", async () => {
    const file = join(folder, "secrets", "key.txt");
    mkdirSync(join(folder, "secrets"), { mode: 0o700, recursive: true });
    writeFileSync(file, `${customer().client_secret}\r\n`, { mode: 0o600 });
    const ended = await program(
      [
        "credential",
        "set",
        "mssp",
        "--client-id",
        customer().client_id,
        "--client-secret-file",
        file,
        "--state",
        join(folder, "state"),
      ],
      {},
    );

    expect(ended.code).toBe(0);
    expect(leakIn(ended.out + ended.errors, partsOf([customer().client_secret]))).toBeUndefined();
    expect(statSync(join(folder, "state", "secrets")).mode & 0o777).toBe(0o700);
  });
});

describe("in an environment that others set", () => {
  test("NODE_TLS_REJECT_UNAUTHORIZED=0 does not make an unknown certificate trusted", async () => {
    const untrusting = [
      "doctor",
      "--tenant-id",
      customer().tenant_id,
      "--client-id",
      customer().client_id,
      "--login-url",
      simulator.ready.login_url,
      "--auth",
      "app",
    ];
    const ended = await program(untrusting, {
      DEFENDER_MSSP_CLIENT_SECRET: customer().client_secret,
      NODE_TLS_REJECT_UNAUTHORIZED: "0",
    });
    expect(ended.code).toBe(4);
    expect(ended.out).toContain("which this machine does not trust");
  });

  test("--no-proxy names hosts and does not negate --proxy", async () => {
    const through = ["doctor", ...flags(), "--auth", "app", "--proxy", "http://localhost:1", "--no-proxy"];
    const environment = { DEFENDER_MSSP_CLIENT_SECRET: customer().client_secret };
    const [past, into] = [
      await program([...through, "localhost"], environment),
      await program([...through, "example.com"], environment),
    ];
    expect([past.code, into.code, past.errors + into.errors]).toEqual([0, 4, ""]);
    expect(past.out).toContain("is reached without a proxy.");
  });

  test("HTTPS_PROXY is not used for this machine, and a proxy never replaces the check of the certificate", async () => {
    const ended = await program(["doctor", ...flags(), "--auth", "app"], {
      DEFENDER_MSSP_CLIENT_SECRET: customer().client_secret,
      HTTPS_PROXY: "http://localhost:1",
    });
    expect(ended.code).toBe(0);
  });
});

test("a shared credential signs in for every customer that names it and has no client secret of its own", async () => {
  const file = join(folder, "secrets", "key.txt");
  mkdirSync(join(folder, "secrets"), { mode: 0o700, recursive: true });
  writeFileSync(file, customer().client_secret, { mode: 0o600 });
  const named = flags().map((flag) =>
    flag === "--client-id" ? "--credential" : flag === customer().client_id ? "shared" : flag,
  );
  const where = named.slice(named.indexOf("--login-url"));
  const place = where.filter((_, n) => !["--start", "3650d"].includes(where[n] ?? ""));
  const stored = await program(
    ["credential", "set", "shared", "--client-id", customer().client_id, "--client-secret-file", file, ...place],
    {},
  );
  expect([stored.code, stored.errors]).toEqual([0, expect.stringContaining("Credential shared is stored")]);

  const collected = await program(["collect", ...named, "--auth", "app"], {});
  expect([collected.code, leakIn(collected.out + collected.errors, partsOf([customer().client_secret]))]).toEqual([
    0,
    undefined,
  ]);
});
