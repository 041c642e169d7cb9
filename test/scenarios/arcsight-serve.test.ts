import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { ParserFile } from "../harness/arcsight-poller/parser-file.ts";
import { ArcSightPoller, nextStart } from "../harness/arcsight-poller/poller.ts";
import { readProperties } from "../harness/arcsight-poller/properties.ts";
import { START_FORMATS } from "../harness/arcsight-poller/start-time.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";

/**
 * The old FlexConnector in front of `arcsight serve` as a process. Its properties and parser files are
 * unchanged but for the host of token_url and of the Events URL.
 */

/** The bound for a machine that is busy. */
const LONG_MS = 600_000;
const PARSER = new ParserFile(
  readProperties(
    readFileSync(
      join(import.meta.dirname, "../../arcsight/user/agent/flexagent/WDATP-connector.jsonparser.properties"),
    ),
  ),
);

let simulator: Simulator;
let folder: string;
let helper: { readonly process: ChildProcess; readonly address: string } | undefined;

beforeAll(async () => {
  simulator = await startSimulator({ warn: () => undefined });
  folder = mkdtempSync(join(tmpdir(), "serve-"));
  writeFileSync(join(folder, "defender-mssp.properties"), configuration());
});

afterEach(async () => {
  await stop("SIGKILL");
});

afterAll(async () => {
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

function configuration(): string {
  const { ready } = simulator;
  const global = [
    "start=3650d",
    "poll_seconds=1",
    `login_url=${ready.login_url}`,
    `graph_url=${ready.graph_url}`,
    `api_url=${ready.api_url}`,
    `ca_file=${ready.ca_file}`,
  ];
  const customers = ready.customers.flatMap((customer, i) =>
    [
      `tenant_id=${customer.tenant_id}`,
      `tenant_name=${customer.tenant_name}`,
      `client_id=${customer.client_id}`,
      `client_secret=${customer.client_secret}`,
      "auth=app",
      ...global,
    ].map((line) => `tenants[${i}].${line}`),
  );
  return [
    ...customers,
    "serve.listen=127.0.0.1:0",
    "serve.client_id=connector",
    "serve.client_secret=of-the-connector",
    "",
  ].join("\n");
}

async function start(): Promise<void> {
  const child = spawn(
    process.execPath,
    [
      join(import.meta.dirname, "../../src/main/main.ts"),
      "arcsight",
      "serve",
      "--config",
      join(folder, "defender-mssp.properties"),
      "--state",
      join(folder, "state"),
    ],
    { stdio: ["ignore", "ignore", "pipe"], env: childEnvironment({ HOME: folder }) },
  );
  let said = "";
  const address = await new Promise<string>((resolve, reject) => {
    child.stderr.on("data", (piece: Buffer) => {
      said += piece.toString("utf8");
      const found = /answering polls address=(\S+)/.exec(said);
      if (found) resolve(found[1] as string);
    });
    child.on("exit", (code) => reject(new Error(`serve ended with ${code}: ${said}`)));
  });
  helper = { process: child, address };
}

async function stop(signal: NodeJS.Signals): Promise<number | null> {
  if (!helper) return null;
  const { process: child } = helper;
  helper = undefined;
  const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  child.kill(signal);
  return ended;
}

/** The file as the old portal gave it, with the address of its token endpoint replaced. */
function oldConnector(tenantId: string, address: string): ReadonlyMap<string, string> {
  return readProperties(
    Buffer.from(
      [
        "client_ID=connector",
        "client_secret=of-the-connector",
        `auth_url=https\\://login.microsoftonline.com/${tenantId}?resource\\=https%3A%2F%2FWDATPAlertExport.Seville.onmicrosoft.com`,
        `token_url=${address}/${tenantId}/oauth2/token`,
        "redirect_uri=https\\://localhost\\:44300/wdatpconnector",
        "scope=",
        "",
      ].join("\r\n"),
    ),
  );
}

function connector(tenantId: string, startFormat = "iso-ms"): ArcSightPoller {
  const address = helper?.address ?? "";
  return new ArcSightPoller({
    client: oldConnector(tenantId, address),
    refreshToken: "whatever-was-pasted",
    eventsUrl: `${address}/api/alerts/?sinceTimeUtc=$START_AT_TIME`,
    startFormat,
    parser: PARSER,
    nowMs: () => Date.now(),
  });
}

const fullIds = (answer: unknown): readonly string[] =>
  Array.isArray(answer) ? (answer as { FullId: string }[]).map(({ FullId }) => FullId) : [];

const alertIdsIn = (ids: ReadonlySet<string>): ReadonlySet<string> =>
  new Set(Array.from(ids, (id) => id.slice(0, id.lastIndexOf(":"))));

/** Ids of the alerts that Microsoft has shown of a customer. */
function shownOf(tenantId: string): readonly string[] {
  const lines = simulator.control
    .shown()
    .split("\n")
    .filter((line) => line !== "");
  const shown = lines.map((line) => JSON.parse(line) as { tenant_id: string; stream: string; id: string });
  return shown.filter((one) => one.tenant_id === tenantId && one.stream === "alerts").map(({ id }) => id);
}

/** FullIds of all rows that a connector gets until it has a row of each alert shown. */
async function everything(tenantId: string): Promise<ReadonlySet<string>> {
  const poller = connector(tenantId);
  const ids = new Set<string>();
  const deadline = Date.now() + LONG_MS / 3;
  for (let next = deadline - 3_600_000; Date.now() < deadline; ) {
    const poll = await poller.poll(next);
    expect(poll.status).toBe(200);
    expect(poll.events).toHaveLength(fullIds(poll.answer).length);
    for (const id of fullIds(poll.answer)) ids.add(id);
    next = nextStart(poll, "LastProcessedTimeUtc", next);
    const shown = shownOf(tenantId);
    const had = alertIdsIn(ids);
    if (shown.length > 0 && shown.every((id) => had.has(id))) return ids;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${shownOf(tenantId).length} alerts were shown, rows of ${alertIdsIn(ids).size} arrived`);
}

describe("an old FlexConnector of which only two addresses are changed", () => {
  test(
    "gets each alert of its own customer over a kill of the helper, repeats with equal FullIds, and the helper stops normally",
    async () => {
      await start();
      const [first, second] = simulator.ready.customers.map(({ tenant_id: id }) => id) as [string, string];
      const before = await everything(first);
      const others = await everything(second);
      expect(Array.from(others).filter((id) => before.has(id))).toEqual([]);

      await stop("SIGKILL");
      await start();
      expect(await everything(first)).toEqual(before);
      expect(await stop("SIGTERM")).toBe(0);
    },
    LONG_MS,
  );

  test(
    "is understood in every form of its start time, and gets an error when it does not replace the variable",
    async () => {
      await start();
      const [customer] = simulator.ready.customers;
      const startMs = Date.now() - 3_600_000;
      await everything(customer!.tenant_id);
      for (const format of Object.keys(START_FORMATS).filter((name) => name !== "unreplaced")) {
        const poll = await connector(customer!.tenant_id, format).poll(startMs);
        expect({ format, status: poll.status, rows: fullIds(poll.answer).length > 0 }).toEqual({
          format,
          status: 200,
          rows: true,
        });
      }
      const refused = await connector(customer!.tenant_id, "unreplaced").poll(startMs);
      expect(refused).toMatchObject({
        status: 400,
        answer: expect.stringContaining(
          "still contains the variable $START_AT_TIME, which the connector did not replace",
        ),
      });
      expect(await stop("SIGTERM")).toBe(0);
    },
    LONG_MS,
  );
});
