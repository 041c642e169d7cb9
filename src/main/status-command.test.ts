import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "@jest/globals";
import { makeAppCertificate } from "../../test/harness/app-certificate.ts";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { freePort } from "../../test/harness/free-port.ts";
import { customerStatus } from "../../test/harness/monitoring/status.ts";
import { EXIT } from "../model/failure.ts";
import { sealed } from "../model/sealed.ts";
import { type MonitoringSettings, startMonitoring } from "../monitoring/monitoring.ts";
import { createHttp } from "../net/http.ts";
import type { RunningServer } from "../net/http-server.ts";
import { readConfiguration } from "./configuration.ts";
import { status } from "./status-command.ts";

const TOKEN = "status-token-0123456789";
const servers: RunningServer[] = [];
const folders: string[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true });
});

async function collector(settings: Partial<MonitoringSettings> = {}): Promise<string> {
  const server = await startMonitoring(
    {
      host: "127.0.0.1",
      port: 0,
      called: { server: "metrics", listen: "l", certificate: "c", secret: "s" },
      ...settings,
    },
    {
      name: "collector-1",
      version: "1.2.3",
      watched: { isReady: () => true, status: () => ({ customers: [customerStatus("Contoso")], outputs: [] }) },
      clock: new FakeClock(),
      log: new FakeLog(),
      process: () => ({ residentBytes: 1, heapUsedBytes: 1, cpuS: 1, startedAtS: 1 }),
    },
  );
  servers.push(server);
  return new URL(server.address).port;
}

function newFolder(): string {
  const made = mkdtempSync(join(tmpdir(), "status-"));
  folders.push(made);
  return made;
}

function propertiesFile(lines: readonly string[], dir = newFolder()): string {
  const file = join(dir, "helper.properties");
  writeFileSync(file, `${["tenants[0].tenant_id=contoso.com", ...lines].join("\n")}\n`);
  return file;
}

async function run(config: string, json = true) {
  const log = new FakeLog();
  const http = createHttp({ userAgent: "test" });
  let out = "";
  try {
    const code = await status(config, json, {
      http,
      log,
      out: (text) => {
        out += text;
      },
      environment: {},
      configuration: () =>
        readConfiguration({ config, argv: {}, environment: {} }, () => Promise.reject(new Error("no properties"))),
      fleet: async ({ name }, { inFile }) => ({
        version: "1.2.3",
        collectors: [{ name: `member of ${name}`, version: "1.2.2", alive: false, customers: inFile.length + 6 }],
        customers: [],
        outputs: [],
      }),
    });
    return { code, out, log };
  } finally {
    await http.close();
  }
}

test("status prints what the collector of the configuration answers, as JSON or as a table", async () => {
  const config = propertiesFile([`metrics.listen=127.0.0.1:${await collector()}`]);
  const json = await run(config);
  expect([json.code, JSON.parse(json.out)]).toMatchObject([EXIT.done, { customers: [{ tenant: "Contoso" }] }]);
  const table = await run(config, false);
  expect(table.out).toContain("collector-1: 1 customers, version 1.2.3\n");
});

test("status sends the token of the configuration over TLS and trusts the collector's own certificate only", async () => {
  const dir = newFolder();
  const pem = async (name: string): Promise<string> => {
    const { certificatePem, keyPem } = await makeAppCertificate({ name });
    writeFileSync(join(dir, `${name}.pem`), `${keyPem}${certificatePem}`);
    return join(dir, `${name}.pem`);
  };
  const certificate = await pem("collector.example.com");
  const port = await collector({ host: "0.0.0.0", certificate, secret: sealed(TOKEN) });
  const lines = (file: string) => [
    `metrics.listen=0.0.0.0:${port}`,
    `metrics.certificate=${file}`,
    `metrics.token=${TOKEN}`,
  ];
  expect((await run(propertiesFile(lines(certificate)))).code).toBe(EXIT.done);
  const other = await run(propertiesFile(lines(await pem("someone.example.com"))));
  expect([other.code, other.out]).toEqual([EXIT.host, ""]);
});

test("status reads the same settings of an inputs.conf, with the token in a file", async () => {
  const dir = newFolder();
  writeFileSync(join(dir, "token"), `${TOKEN}\n`, { mode: 0o600 });
  const port = await collector({ secret: sealed(TOKEN) });
  const config = join(dir, "inputs.conf");
  writeFileSync(
    config,
    `[defender_mssp]\nmetrics_listen = 127.0.0.1:${port}\nmetrics_token = file:${join(dir, "token")}\n[defender_mssp://contoso]\ntenant_id = contoso.com\ncredential = app\n`,
  );
  expect(JSON.parse((await run(config)).out)).toMatchObject({ collectors: [{ name: "collector-1" }] });
});

test("status of a member prints what its collector answers, and without an answer what the fleet's database knows", async () => {
  const fleet = ["fleet.url=postgres://127.0.0.1:5432/fleet", "fleet.user=collector", "fleet.name=emea"];
  const answered = await run(propertiesFile([...fleet, `metrics.listen=127.0.0.1:${await collector()}`]), false);
  const gone = await freePort();

  expect(answered.out).toContain("collector-1: 1 customers");
  for (const lines of [[], [`metrics.listen=127.0.0.1:${gone}`]]) {
    const { code, out, log } = await run(propertiesFile([...fleet, ...lines]), false);
    expect([code, out]).toEqual([
      EXIT.done,
      expect.stringContaining("member of emea: 7 customers, version 1.2.2, not alive\n"),
    ]);
    expect(log.lines.map(({ level }) => level)).toEqual(lines.map(() => "warn"));
  }
});

test("without metrics.listen, without a collector and with a wrong token status says one sentence and ends with 5", async () => {
  const port = await collector({ secret: sealed(TOKEN) });
  const gone = await freePort();
  for (const [lines, says] of [
    [[], "does not set `metrics.listen`"],
    [[`metrics.listen=127.0.0.1:${gone}`], `No status comes from http://127.0.0.1:${gone}: `],
    [[`metrics.listen=127.0.0.1:${port}`, "metrics.token=other"], "it rejects the token of this configuration"],
  ] as const) {
    const { code, out, log } = await run(propertiesFile(lines));
    expect([code, out]).toEqual([EXIT.host, ""]);
    expect(log.lines.filter(({ level }) => level === "error").map(({ message }) => message)).toEqual([
      expect.stringContaining(says),
    ]);
  }
});
