/**
 * Two programs that know nothing of this project: a client for HEC with acknowledgement against the fake HEC,
 * which shows that the fake answers as others expect, and a log store that takes HEC's events, which shows
 * that others can read these. Both are built with Go; where it is missing they are skipped, and said so.
 * Under `npm run proofs`, whose promise names the log store, that fails.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { ROOT } from "../../scripts/build/project.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { noteProof } from "../harness/proof.ts";
import { makeServerCertificate } from "../harness/simulator/certificates.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { tenantLines } from "../harness/simulator/tenant-lines.ts";

jest.setTimeout(900_000);

const BINARY = path.join(ROOT, binaryPath("linux-x64"));
const JUDGE = path.join(ROOT, "test/harness/hec/judge");
/** Of the simulator's history. */
const SEED = 17;
const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
const VICTORIA_LOGS = "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@v1.52.1";
const hasGo = spawnSync("go", ["version"]).status === 0;
if (!hasGo) process.stderr.write("Go is not installed, so the independent judges of HEC are not asked.\n");
const withGo = hasGo ? describe : describe.skip;
/** The log store takes minutes to build: `npm run proofs` asks it. */
const isProof = process.env["DEFENDER_MSSP_PROOFS"] !== undefined;
const proof = isProof ? test : test.skip;

test("Go is installed where the full counts are wanted", () => {
  expect(hasGo || !isProof).toBe(true);
});

let folder: string;
let ends: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hec-judges-"));
});
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  ends = [];
  rmSync(folder, { recursive: true, force: true });
});

withGo("an independent client of HEC", () => {
  test("gets all its events acknowledged by the fake HEC, each indexed once", async () => {
    const out = join(folder, "indexed.jsonl");
    const hec: HecServer = await startHec({ ack: "on", token: TOKEN, port: 0, out });
    ends.push(() => hec.stop());
    go(["build", "-o", join(folder, "judge"), "."], JUDGE);

    const sent = 2_000;
    const { url, ca_file } = hec.ready;
    const judge = spawn(join(folder, "judge"), [url, ca_file, String(sent)], { env: { HEC_TOKEN: TOKEN } });
    expect(await outcomeOf(judge)).toEqual([0, `${sent} acknowledged\n`]);

    const events = readFileSync(out, "utf8").trimEnd().split("\n");
    const numbers = events.map((event) => (JSON.parse(event) as { readonly number: number }).number);
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, i) => i));
    const counts = { acknowledged: sent, lost: sent - new Set(numbers).size, doubled: numbers.length - sent };
    noteProof({ name: "hec-independent-client", seed: null, counts });
  });
});

/** An event of HEC that is a text is the store's message. */
const KEYS = '* | unpack_json fields ("mssp.key") | filter "mssp.key":* | stats count() n, count_uniq("mssp.key") keys';

withGo("a log store that takes HEC's events", () => {
  proof("reads back every one of 100,000 keys, each once", async () => {
    const shown = 100_000;
    const store = await startVictoriaLogs();
    const simulator = await startSimulator({ frozen: true, scenario: scenarioWith(shown), warn: () => undefined });
    ends.push(() => simulator.stop());

    const once = spawn(BINARY, ["run", "--once", "--config", propertiesFor(simulator, store)], {
      env: childEnvironment(),
    });
    const [code, log] = await outcomeOf(once);
    expect([code, log]).toEqual([0, expect.stringContaining("does not acknowledge events")]);
    expect(log).not.toContain(TOKEN);
    const counted = async () => Number((await store.query(KEYS))[0]?.["n"] ?? 0);
    for (let tries = 0; tries < 60 && (await counted()) < shown; tries += 1) await pause(1000);
    const [row] = await store.query(KEYS);
    const [keys, events] = [Number(row?.["keys"]), Number(row?.["n"])];
    const counts = { keys, lost: shown - keys, doubled: events - keys };
    expect(counts).toEqual({ keys: shown, lost: 0, doubled: 0 });
    noteProof({ name: "hec-log-store", seed: SEED, counts });
  });
});

interface LogStore {
  readonly url: string;
  readonly caFile: string;
  query(text: string): Promise<readonly Readonly<Record<string, string>>[]>;
}

async function startVictoriaLogs(): Promise<LogStore> {
  const bin = join(folder, "bin");
  const program = process.env["VICTORIA_LOGS"] ?? join(bin, "victoria-logs");
  if (!existsSync(program)) go(["install", VICTORIA_LOGS], folder, { GOBIN: bin });
  const shown = await makeServerCertificate(Date.now());
  for (const [name, text] of Object.entries({
    "ca.pem": shown.caPem,
    "cert.pem": shown.certificatePem,
    "key.pem": shown.keyPem,
  }))
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  mkdirSync(join(folder, "store"));
  const child = spawn(
    program,
    [
      `-storageDataPath=${join(folder, "store")}`,
      "-httpListenAddr=127.0.0.1:0",
      "-tls",
      `-tlsCertFile=${join(folder, "cert.pem")}`,
      `-tlsKeyFile=${join(folder, "key.pem")}`,
      // Its own limit for what is old.
      "-retentionPeriod=10y",
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  ends.push(() => child.kill("SIGKILL"));
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (log += text.toString()));
  const address = () => /started server at (https:\/\/127\.0\.0\.1:\d+)/.exec(log)?.[1];
  for (let tries = 0; tries < 600 && address() === undefined; tries += 1) await pause(100);
  const url = address();
  if (url === undefined) throw new Error(`the log store does not start: ${log}`);
  return {
    url,
    caFile: join(folder, "ca.pem"),
    query: async (text) => {
      const answer = await get(`${url}/select/logsql/query?query=${encodeURIComponent(text)}`, shown.caPem);
      return answer
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Readonly<Record<string, string>>);
    },
  };
}

function propertiesFor(simulator: Simulator, store: LogStore): string {
  writeFileSync(join(folder, "token"), `${TOKEN}\n`, { mode: 0o600 });
  const file = join(folder, "run.properties");
  const lines = [
    ...tenantLines(simulator.ready, { streams: "alerts" }),
    "outputs[0].type=hec",
    `outputs[0].urls=${store.url}`,
    `outputs[0].token=file:${join(folder, "token")}`,
    `outputs[0].ca_file=${store.caFile}`,
    `state_dir=${join(folder, "state")}`,
    "",
  ];
  writeFileSync(file, lines.join("\n"), { mode: 0o600 });
  return file;
}

function scenarioWith(count: number) {
  return scenarioOf(
    JSON.stringify({
      name: "hec-judges",
      story: "A long history of one customer.",
      seed: SEED,
      customers: [{ name: "contoso", generate: [{ stream: "alerts", count, from: "-20h", to: "-1m", bytes: 2_000 }] }],
    }),
    "scenario",
  );
}

/** Throws with what Go says. */
function go(args: readonly string[], cwd: string, own: Readonly<Record<string, string>> = {}): void {
  const built = spawnSync("go", args, { cwd, env: { ...process.env, ...own }, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`go ${args.join(" ")}: ${built.stderr}`);
}

/** The exit code, and both outputs. */
async function outcomeOf(child: ChildProcess): Promise<readonly [number | null, string]> {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (piece: Buffer) => (text += piece.toString()));
  ends.push(() => child.kill("SIGKILL"));
  return await new Promise((done) => child.once("close", (code) => done([code, text])));
}

function get(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request(url, { ca }, (answer) => {
      let text = "";
      answer.on("data", (piece: Buffer) => (text += piece.toString()));
      answer.on("end", () => resolve(text));
    })
      .on("error", reject)
      .end();
  });
}
