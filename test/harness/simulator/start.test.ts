import "reflect-metadata";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import * as x509 from "@peculiar/x509";
import { type Ready, type Simulator, startSimulator } from "./start.ts";
import { visit } from "./visitor.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

let folder: string;
const running: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "simulator-start-"));
});

afterEach(() => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

function customer(name: string, files: Record<string, readonly object[]>): void {
  mkdirSync(join(folder, "data", name), { recursive: true });
  for (const [file, records] of Object.entries(files))
    writeFileSync(join(folder, "data", name, file), records.map((record) => `${JSON.stringify(record)}\n`).join(""));
}

const alert = (id: string, lastUpdateDateTime: string, more: object = {}): object => ({
  id,
  createdDateTime: lastUpdateDateTime,
  lastUpdateDateTime,
  ...more,
});

/** Runs `fn` against an in-process simulator over the data folder. */
async function over<T>(
  options: { shiftToNow?: boolean; nowMs?: number; warn?: (sentence: string) => void },
  fn: (simulator: Simulator, list: () => Promise<Record<string, unknown>[]>) => Promise<T>,
): Promise<T> {
  const simulator = await startSimulator({ data: join(folder, "data"), frozen: true, ...options });
  const visitor = visit(simulator);
  const [first] = simulator.ready.customers;
  const token = first === undefined ? "" : await visitor.appToken(first);
  try {
    return await fn(
      simulator,
      async () =>
        (await visitor.get(`${simulator.ready.graph_url}/v1.0/security/alerts_v2`, token)).json.value as Record<
          string,
          unknown
        >[],
    );
  } finally {
    await visitor.close();
    await simulator.stop();
  }
}

describe("a data folder of the simulator", () => {
  test("holds a version per line, and the newest per id is visible with its own bytes", async () => {
    customer("contoso", { "alerts.ndjson": [] });
    writeFileSync(
      join(folder, "data", "contoso", "alerts.ndjson"),
      '{"id": "a", "lastUpdateDateTime": "2026-11-24T08:00:00.5Z", "n": 1.50, "t": "{tenant_id}", "u": "\\u00e4 b"}\n{"id":"a","lastUpdateDateTime":"2026-11-24T08:00:00.25Z"}\n',
    );

    await over({}, async (simulator, list) => {
      const [first] = simulator.ready.customers;
      expect(await list()).toHaveLength(1);
      expect(simulator.control.shown()).toContain(
        `"record":{"id":"a","lastUpdateDateTime":"2026-11-24T08:00:00.5Z","n":1.50,"t":"${first?.tenant_id}","u":"\\u00e4 b"}`,
      );
    });
  });

  test("has records without an id or a time served, and a line that is not JSON named and left out", async () => {
    customer("contoso", {
      "alerts.ndjson": [
        alert("a", "2026-11-24T08:00:00Z"),
        { title: "no id", lastUpdateDateTime: "2026-11-24T07:00:00Z" },
        { id: "no time" },
      ],
    });
    appendFileSync(join(folder, "data", "contoso", "alerts.ndjson"), "{cut\n");
    const warnings: string[] = [];

    await over({ warn: (sentence) => warnings.push(sentence) }, async (simulator, list) => {
      expect(await list()).toHaveLength(3);
      const lines = simulator.control
        .shown()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(lines.filter(({ id }) => id === undefined)).toHaveLength(2);
    });
    expect(warnings).toEqual([expect.stringMatching(/contoso\/alerts\.ndjson:4: this line is not JSON/)]);
  });

  test("is moved by --shift-to-now by one amount, digits kept, so that the newest time is a minute ago", async () => {
    customer("contoso", {
      "alerts.ndjson": [
        alert("old", "2021-05-02T14:19:01.3266667Z", {
          evidence: [{ at: "2021-05-02T14:18:01Z" }],
          text: "on 2021-05-02T14:18:01Z",
        }),
        alert("new", "2021-05-02T15:19:01.33Z"),
      ],
    });

    await over({ shiftToNow: true, nowMs: Date.parse("2026-11-24T08:00:00Z") }, async (_, list) => {
      const rows = await list();
      expect(rows.map(({ id, lastUpdateDateTime }) => [id, lastUpdateDateTime])).toEqual([
        ["new", "2026-11-24T07:59:00.00Z"],
        ["old", "2026-11-24T06:58:59.9966667Z"],
      ]);
      expect(rows[1]).toMatchObject({ evidence: [{ at: "2026-11-24T06:57:59Z" }], text: "on 2021-05-02T14:18:01Z" });
    });
  });

  test("gives ids, secrets and tokens that derive from its name", async () => {
    customer("contoso", { "alerts.ndjson": [] });

    const [once, twice] = [
      await over({}, (simulator) => Promise.resolve(simulator.ready.customers)),
      await over({}, (simulator) => Promise.resolve(simulator.ready.customers)),
    ];

    expect(once).toEqual(twice);
    expect(once[0]?.client_secret).toHaveLength(40);
    expect(once[0]?.tenant_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test("that is missing or empty is refused in one sentence", async () => {
    await expect(startSimulator({ data: join(folder, "nowhere") })).rejects.toThrow("there is no folder");
    mkdirSync(join(folder, "data"));
    await expect(startSimulator({ data: join(folder, "data") })).rejects.toThrow("holds no customer");
  });
});

test("the simulator serves the documentation samples when no data is named", async () => {
  const simulator = await startSimulator({ frozen: true });
  const names = simulator.ready.customers.map(({ tenant_name }) => tenant_name);
  await simulator.stop();

  expect(names).toEqual(["contoso", "fabrikam", "tailspin"]);
});

test("the simulator's certificates pass strict verification of identifiers, names and key usage", async () => {
  customer("contoso", { "alerts.ndjson": [] });

  await over({}, async (simulator) => {
    const caPem = readFileSync(simulator.ready.ca_file, "utf8");
    const leaf = await new Promise<x509.X509Certificate>((resolve, reject) => {
      const socket = connect(
        {
          host: "127.0.0.1",
          port: Number(new URL(simulator.ready.login_url).port),
          servername: "localhost",
          ca: caPem,
        },
        () => {
          resolve(new x509.X509Certificate(new Uint8Array(socket.getPeerCertificate(true).raw)));
          socket.destroy();
        },
      );
      socket.on("error", reject);
    });
    const ca = new x509.X509Certificate(caPem);

    expect(leaf.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId).toBe(
      ca.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
    );
    expect(leaf.getExtension(x509.SubjectKeyIdentifierExtension)).not.toBeNull();
    expect(leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.items.map(({ value }) => value)).toEqual(
      expect.arrayContaining(["localhost", "127.0.0.1"]),
    );
    // OpenSSL's own strict verification where there is one; the identifiers above are what it asks for.
    const leafFile = join(folder, "leaf.pem");
    writeFileSync(leafFile, leaf.toString("pem"));
    const verified = spawnSync("openssl", ["verify", "-x509_strict", "-CAfile", simulator.ready.ca_file, leafFile], {
      encoding: "utf8",
    });
    expect(verified.error === undefined ? verified.stdout.trim() : `${leafFile}: OK`).toBe(`${leafFile}: OK`);
  });
});

interface Process {
  readonly child: ChildProcess;
  readonly ready: Ready;
  readonly exited: Promise<number | null>;
}

/** Starts the program as a user would and waits for its ready line. */
function startProcess(args: readonly string[]): Promise<Process> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  running.push(child);
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", (line) =>
      resolve({ child, exited, ready: JSON.parse(line) as Ready }),
    );
    void exited.then((code) => reject(new Error(`exit ${code}`)));
  });
}

/** Between two looks at something that another process does; jest's own deadline ends the looking. */
const aMoment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe("the simulator's program", () => {
  test("prints the ready line and writes it to the file, shows appended lines, and stops on SIGTERM", async () => {
    customer("contoso", { "alerts.ndjson": [alert("a", "2026-11-24T08:00:00Z")] });
    const file = join(folder, "ready.json");
    const { child, ready, exited } = await startProcess([
      "--data",
      join(folder, "data"),
      "--ready",
      file,
      "--now",
      "2026-11-24T09:00:00Z",
    ]);

    expect(Object.keys(ready)).toEqual([
      "login_url",
      "graph_url",
      "api_url",
      "siem_url",
      "ca_file",
      "control_url",
      "now",
      "customers",
    ]);
    expect(Object.keys(ready.customers[0] ?? {})).toEqual([
      "tenant_id",
      "tenant_name",
      "client_id",
      "client_secret",
      "refresh_token",
    ]);
    expect(ready.now.slice(0, 17)).toBe("2026-11-24T09:00:");
    // Written right after the line was printed; waiting for it is waiting for an event.
    while (!existsSync(file)) await aMoment();
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(ready);

    appendFileSync(
      join(folder, "data", "contoso", "alerts.ndjson"),
      `${JSON.stringify(alert("b", "2026-11-24T08:30:00Z"))}\n`,
    );
    const visible = async (): Promise<number> =>
      ((await (await fetch(`${ready.control_url}/state`)).json()) as { customers: { visible: { alerts: number } }[] })
        .customers[0]?.visible.alerts ?? 0;
    while ((await visible()) < 2) await aMoment();

    child.kill("SIGTERM");
    expect(await exited).toBe(0);
  }, 300_000);

  test("stops when standard input ends with --stop-on-stdin-end", async () => {
    customer("contoso", { "alerts.ndjson": [] });
    const { child, exited } = await startProcess(["--data", join(folder, "data"), "--stop-on-stdin-end"]);

    child.stdin?.end();

    expect(await exited).toBe(0);
  }, 300_000);

  test("stops when npm, which does not pass signals on, is gone", async () => {
    customer("contoso", { "alerts.ndjson": [] });
    const command = `"${process.execPath}" "${MAIN}" --data "${join(folder, "data")}"; true`;
    const shell = spawn("sh", ["-c", command], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, NODE_OPTIONS: "", npm_lifecycle_event: "simulate" },
    });
    running.push(shell);
    const line = await new Promise<string>((resolve) => createInterface({ input: shell.stdout }).once("line", resolve));
    const { control_url } = JSON.parse(line) as Ready;

    shell.kill("SIGKILL");

    const answers = (): Promise<boolean> =>
      fetch(`${control_url}/faults`).then(
        ({ ok }) => ok,
        () => false,
      );
    while (await answers()) await aMoment();
    expect(await answers()).toBe(false);
  }, 300_000);

  test.each([
    [["--help"], 0, "Usage: npm run -s simulate"],
    [["--port", "many"], 2, "--port many: expected a number from 0 to 65535."],
    [["--now", "soon"], 2, "--now soon: expected an ISO time"],
    [["--nonsense"], 2, "Unknown option '--nonsense'"],
  ] as const)(
    "exits for the arguments %j with %i",
    (args, status, sentence) => {
      const result = spawnSync(process.execPath, [MAIN, ...args], {
        encoding: "utf8",
        env: { ...process.env, NODE_OPTIONS: "" },
      });

      expect(result.status).toBe(status);
      expect(result.stdout + result.stderr).toContain(sentence);
    },
    30_000,
  );
});
