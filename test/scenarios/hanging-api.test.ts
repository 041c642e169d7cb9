/**
 * What `doctor` and `arcsight check` say of a service that takes connections and never answers, and of a
 * clock that is wrong. The limit of one check is over as soon as the silent service has a connection.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { rawFromProperties, realSecretReader } from "../../src/hosts/arcsight/index.ts";
import { doctor } from "../../src/hosts/cli/doctor.ts";
import { arcSightCheck } from "../../src/main/arcsight-check.ts";
import { readConfiguration } from "../../src/main/configuration.ts";
import { onboardingServices } from "../../src/main/onboarding.ts";
import { realClock } from "../../src/main/world.ts";
import { type CommandPlace, commandLines } from "../../src/model/command-line.ts";
import type { Clock } from "../../src/model/ports.ts";
import type { Terminal } from "../../src/model/sign-in.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";

const CHECK_LIMIT_MS = 20_000;

let simulator: Simulator;
let folder: string;
let silentUrl: string;
const sockets = new Set<net.Socket>();
/** Called when the silent service gets a connection. */
let onConnection = (): void => undefined;
const silent = net.createServer((socket) => {
  sockets.add(socket);
  socket.on("error", () => undefined);
  onConnection();
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "hanging-api-"));
  simulator = await startSimulator({ warn: () => undefined });
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  silentUrl = `https://127.0.0.1:${(silent.address() as net.AddressInfo).port}`;
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  silent.close();
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A properties file of one customer; some of its settings are written otherwise. */
function configuration(changes: Readonly<Record<string, string>>): string {
  const { ready } = simulator;
  const { tenant_id, client_id, client_secret } = ready.customers[0]!;
  const { login_url, graph_url, ca_file } = ready;
  const values = { tenant_id, client_id, client_secret, auth: "app", login_url, graph_url, ca_file, ...changes };
  const file = join(folder, "helper.properties");
  const lines = Object.entries({ tenant_name: "contoso", streams: "alerts", ...values }).map(
    ([key, value]) => `tenants[0].${key}=${value}`,
  );
  writeFileSync(file, [...lines, "outputs[0].type=json-lines", `outputs[0].path=${folder}/events.jsonl`].join("\n"));
  return file;
}

/** The time of one check is over once the silent service has a connection; no other pause ends by itself. */
function clock(offMs = 0): Clock & { readonly limits: number[] } {
  const limits: number[] = [];
  const connected = new Promise<void>((resolve) => {
    onConnection = resolve;
  });
  return {
    limits,
    nowMs: () => Date.now() + offMs,
    monotonicMs: () => performance.now(),
    pause(forMs, stop) {
      if (forMs !== CHECK_LIMIT_MS) return realClock.pause(forMs, stop);
      limits.push(forMs);
      const stopped = new Promise<void>((resolve) => stop?.addEventListener("abort", () => resolve(), { once: true }));
      return Promise.race([stopped, connected]);
    },
  };
}

interface Line {
  readonly check: string;
  readonly failure: string | null;
  readonly actor: string | null;
  readonly say: string;
  readonly next_step: string;
}

const PLACE: CommandPlace = { program: ["defender-mssp"], shell: "posix", flags: {}, secrets: "files" };

async function doctorOf(config: string, own: Clock): Promise<{ readonly code: number; readonly last: Line }> {
  let out = "";
  const terminal = { say: () => undefined, out: (text: string) => (out += text), progress: () => undefined };
  const services = onboardingServices({
    log: new FakeLog(),
    commands: commandLines(PLACE),
    finish: () => undefined,
    terminal: terminal as unknown as Terminal,
    clock: own,
    environment: { HOME: folder },
    configuration: () =>
      readConfiguration({ config, state: join(folder, "state"), argv: {}, environment: {} }, async (text, file) =>
        rawFromProperties(text, file, realSecretReader({}, process.platform)),
      ),
  });
  try {
    const code = await doctor(services, { config, json: true });
    return { code, last: (JSON.parse(out) as { checks: Line[] }).checks.at(-1)! };
  } finally {
    await services.close();
  }
}

async function checkOf(
  config: string,
  own: Clock,
): Promise<{ readonly code: number; readonly lines: readonly Line[] }> {
  let out = "";
  const write = jest.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  try {
    const flags = { config, state: join(folder, "state"), overrides: {}, environment: {}, place: PLACE };
    const code = await arcSightCheck(flags, { json: true }, own);
    return {
      code,
      lines: out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Line),
    };
  } finally {
    write.mockRestore();
  }
}

const wanted = () => ({
  failure: "timed-out",
  actor: "microsoft",
  say: `${silentUrl.slice("https://".length)} did not answer in time.`,
});

test("doctor gives an API that hangs 20 s, and names Microsoft, the time-out and graph_url", async () => {
  const own = clock();
  const { code, last } = await doctorOf(configuration({ graph_url: silentUrl }), own);

  expect(last).toMatchObject({
    check: "stream alerts",
    ...wanted(),
    next_step: "Check the address in `graph_url`, then the firewall and the proxy.",
  });
  expect({ code, limits: new Set(own.limits) }).toEqual({ code: 4, limits: new Set([CHECK_LIMIT_MS]) });
});

test("doctor gives a sign-in service that hangs 20 s, and names login_url", async () => {
  const { code, last } = await doctorOf(configuration({ login_url: silentUrl }), clock());

  expect(last).toMatchObject({
    check: "proxy",
    ...wanted(),
    next_step: "Check the address in `login_url`, then the firewall and the proxy.",
  });
  expect(code).toBe(4);
});

test("arcsight check gives an API that hangs 20 s, and names Microsoft, the time-out and graph_url", async () => {
  const { code, lines } = await checkOf(configuration({ graph_url: silentUrl }), clock());

  expect(lines.find(({ failure }) => failure !== null)).toMatchObject({
    check: "alerts",
    ...wanted(),
    next_step: "Check the address in `graph_url`, then the firewall and the proxy.",
  });
  expect(code).toBe(4);
});

test.each([
  [15, "ahead of"],
  [-15, "behind"],
])("doctor and arcsight check both see a clock that is %i minutes off", async (minutes, where) => {
  const clockWrong = {
    check: "clock",
    failure: "clock-wrong",
    actor: "operator",
    say: `This machine's clock is 15 minutes ${where} Microsoft's, so tokens and certificates are rejected.`,
    next_step: "Set this machine's clock, for example by NTP.",
  };
  const looked = await doctorOf(configuration({}), clock(minutes * 60_000));
  expect(looked).toMatchObject({ code: 4, last: clockWrong });

  const { code, lines } = await checkOf(configuration({}), clock(minutes * 60_000));
  expect(lines.filter(({ failure }) => failure !== null)).toEqual([{ of: "this machine", ok: false, ...clockWrong }]);
  expect(code).toBe(4);
});

test("arcsight check says that a right clock is right", async () => {
  const { code, lines } = await checkOf(configuration({}), clock());
  expect(lines.map(({ check, say }) => [check, say])).toContainEqual(["clock", "The clock is right."]);
  expect(code).toBe(0);
});

describe("doctor and arcsight check name the setting that is wrong:", () => {
  test.each([
    [
      "graph_url with a name that does not resolve",
      () => ({ graph_url: "https://graph.micorsoft.invalid" }),
      {
        failure: "dns-failed",
        say: "The host name of graph.micorsoft.invalid could not be resolved.",
        next_step:
          "Check the host name in `graph_url`, then this machine's DNS. If this machine needs a proxy, set `proxy`.",
      },
      4,
    ],
    [
      "graph_url with a wrong path",
      () => ({ graph_url: `${simulator.ready.graph_url}/wrong` }),
      {
        failure: "refused",
        say: expect.stringContaining(
          "The Microsoft Graph security API does not know the requested address below https://localhost:",
        ),
        next_step: 'Correct `graph_url` of "contoso", or remove it to use Microsoft\'s address.',
      },
      2,
    ],
    [
      "a proxy that is down",
      () => ({ proxy: "http://127.0.0.1:1" }),
      {
        failure: "network-unreachable",
        say: "This machine could not connect to proxy 127.0.0.1:1.",
        next_step: "Start the proxy, or correct its address in `proxy`.",
      },
      4,
    ],
  ] as const)("%s", async (_, changes, sentence, code) => {
    const config = configuration(changes());
    const looked = await doctorOf(config, clock());
    expect(looked).toMatchObject({ code, last: { ...sentence, actor: "operator" } });

    const { lines, ...ended } = await checkOf(config, clock());
    expect({ ...ended, line: lines.find(({ failure }) => failure !== null) }).toMatchObject({
      code,
      line: { ...sentence, actor: "operator" },
    });
  });
});
