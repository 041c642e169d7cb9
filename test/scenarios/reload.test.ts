import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { childEnvironment } from "../harness/child-environment.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";

/** SIGHUP at `arcsight run` as a process: what customers' health says when the new settings are refused. */

jest.setTimeout(240_000);

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
let simulator: Simulator;
let folder: string;
let running: ChildProcess | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "reload-"));
  mkdirSync(join(folder, "data", "contoso"), { recursive: true });
  writeFileSync(join(folder, "data", "contoso", "alerts.ndjson"), alert("first"));
  simulator = await startSimulator({ data: join(folder, "data"), warn: () => undefined });
});
afterAll(async () => {
  running?.kill("SIGKILL");
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
});

function alert(id: string): string {
  const now = new Date().toISOString();
  return `${JSON.stringify({ id, createdDateTime: now, lastUpdateDateTime: now, serviceSource: "microsoftDefenderForEndpoint" })}\n`;
}

/** @param outputType a wrong one makes the program refuse the whole file. */
function writeSettings(outputType: string): string {
  const { ready } = simulator;
  const { tenant_id, client_id, client_secret } = ready.customers[0]!;
  const { login_url, graph_url, ca_file } = ready;
  const values = { tenant_id, client_id, client_secret, auth: "app", login_url, graph_url, ca_file };
  const more = { tenant_name: "contoso", streams: "alerts", poll_seconds: "1", start: "1d" };
  const lines = Object.entries({ ...values, ...more }).map(([key, value]) => `tenants[0].${key}=${value}`);
  const file = join(folder, "helper.properties");
  const outputs = [`outputs[0].type=${outputType}`, `outputs[0].path=${join(folder, "out", "events.jsonl")}`];
  writeFileSync(file, [...lines, ...outputs, ""].join("\n"));
  return file;
}

interface Written {
  readonly id?: string;
  /** Only in health events. */
  readonly streams?: readonly { readonly state: string; readonly failure: string | null }[];
}

function written(): readonly Written[] {
  const file = join(folder, "out", "events.jsonl");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  // The last line may not be whole yet.
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Written);
}

/** Resolves when this is true of what the program has written. */
async function untilWritten(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) {
    const changed = new AbortController();
    const watcher = watch(join(folder, "out"), () => changed.abort());
    if (!isTrue()) await once(changed.signal, "abort");
    watcher.close();
  }
}

const hasAlert = (id: string) => (): boolean => written().some((event) => event.id === id);
const healthEvents = (): readonly Written[] => written().filter(({ streams }) => streams !== undefined);

test("a SIGHUP whose configuration is refused changes nothing: no health event, and collection goes on", async () => {
  mkdirSync(join(folder, "out"));
  const config = writeSettings("json-lines");
  const child = spawn(
    process.execPath,
    [MAIN, "arcsight", "run", "--config", config, "--state", join(folder, "state")],
    {
      env: childEnvironment({ HOME: folder }),
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  running = child;
  let log = "";
  const said = (text: string): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!log.includes(text)) return;
        child.stderr.off("data", look);
        resolve();
      };
      child.stderr.on("data", look);
      look();
    });
  child.stderr.on("data", (piece: Buffer) => (log += piece.toString()));

  await untilWritten(hasAlert("first"));
  appendFileSync(join(folder, "data", "contoso", "alerts.ndjson"), alert("second"));
  await untilWritten(hasAlert("second"));
  // The stream's state, and beside it that the simulator's customers grant more than one stream needs.
  for (const failure of ["permissions-unneeded", null])
    await untilWritten(() =>
      healthEvents().some(({ streams }) => streams?.[0]?.state === "ok" && streams[0].failure === failure),
    );
  const before = healthEvents();

  writeSettings("no-such-type");
  child.kill("SIGHUP");
  await said("the configuration was read again but is not valid; the previous one stays in use");
  // A collector that was started anew would have reported its state with the second of its walks.
  for (const id of ["third", "fourth", "fifth"]) {
    appendFileSync(join(folder, "data", "contoso", "alerts.ndjson"), alert(id));
    await untilWritten(hasAlert(id));
  }
  expect(healthEvents()).toEqual(before);

  writeSettings("json-lines");
  child.kill("SIGHUP");
  await said("the configuration was read again customers=1");
  appendFileSync(join(folder, "data", "contoso", "alerts.ndjson"), alert("sixth"));
  await untilWritten(hasAlert("sixth"));
  await untilWritten(() => healthEvents().length > before.length);

  child.kill("SIGTERM");
  const [code] = (await once(child, "exit")) as [number | null];
  expect(code).toBe(0);
});
