import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Rsyslog } from "../../test/harness/rsyslog/rsyslog.ts";
import { makeServerCertificate } from "../../test/harness/simulator/certificates.ts";
import { ROOT, ScriptProblem } from "../build/project.ts";
import { cpuMsOf, type Memory, memoryOf } from "./collector.ts";
import { type Microsoft, type RunningMicrosoft, startMicrosoft } from "./microsoft.ts";
import { type Bench, median, type Outcome, percentile, round, WITHIN_MS, withMicrosoft } from "./runs.ts";

const CUSTOMERS = 25;
const ALERTS_EACH = 8000;
const TLS_TARGET = 25_000;
const LOAD = resolve(ROOT, "test/scenarios/load-25x8000.yaml");
const LARGE_PAGES = resolve(ROOT, "test/scenarios/load-large-pages.yaml");

/**
 * Row `arcsight-tls`: from the start of `arcsight run` to the last alert in the file of a real rsyslog behind
 * TLS.
 */
export async function alertsToRsyslog(bench: Bench): Promise<Outcome[]> {
  if (isLeftOut(bench)) return [];
  const wanted = CUSTOMERS * ALERTS_EACH;
  return withMicrosoft(LOAD, async (microsoft) => {
    // The first reader makes the simulator prepare its pages.
    await toRsyslog(bench, microsoft, wanted, "first: ");
    const seen: Arrived[] = [];
    for (let run = 0; run < bench.runs; run += 1) {
      await bench.rateTargets.beside("arcsight-tls", microsoft);
      seen.push(await toRsyslog(bench, microsoft, wanted));
    }
    const target = bench.rateTargets.of(TLS_TARGET);
    const rates = seen.map(({ seconds }) => wanted / seconds);
    const rate = median(rates);
    return [
      {
        name: "arcsight-tls",
        value: round(rate),
        unit: "alerts/s",
        target: target.said,
        holds: rate >= target.rate,
        runs: rates.map(round),
        ...peakOf(seen),
      },
    ];
  });
}

/** Row `arcsight-memory`: the peak of `arcsight run` over four times the history. */
export async function historyOfArcSight(bench: Bench): Promise<Outcome[]> {
  if (isLeftOut(bench)) return [];
  const histories: Arrived[][] = [];
  for (const alerts of [10_000, 40_000]) {
    const generate = [{ stream: "alerts", count: alerts, from: "-6d", to: "-1h", bytes: 5700, digits: "seven" }];
    const scenario = {
      name: "arcsight-memory",
      story: "The same alerts, and more of them.",
      seed: 19,
      customers: [{ name: "grown", count: 2, generate }],
    };
    await withMicrosoft(scenario, async (microsoft) => {
      await toRsyslog(bench, microsoft, 2 * alerts, "first: ");
      const seen: Arrived[] = [];
      for (let run = 0; run < bench.runs; run += 1) seen.push(await toRsyslog(bench, microsoft, 2 * alerts));
      histories.push(seen);
      return [];
    });
  }
  const [short = [], long = []] = histories;
  const ratios = long.map(({ memory }, run) => memory.peakMb / (short[run]?.memory.peakMb ?? Number.NaN));
  const ratio = median(ratios);
  return [
    {
      name: "arcsight-memory",
      value: round(ratio),
      unit: "times at four times the history",
      target: "<= 1.25",
      holds: ratio <= 1.25,
      runs: ratios.map(round),
      ...peakOf(long),
    },
  ];
}

/**
 * Row `arcsight-page`: the peak of `arcsight run` over 10,000 Defender for Endpoint alerts in one answer, and
 * over incidents of 2,000 alerts each.
 */
export async function pagesOfArcSight(bench: Bench): Promise<Outcome[]> {
  if (isLeftOut(bench)) return [];
  const pages = [
    { customer: "contoso", streams: "mde-alerts", wanted: 10_000, seen: [] as Arrived[] },
    { customer: "fabrikam", streams: "xdr-incidents", wanted: 12 * 2000, seen: [] as Arrived[] },
  ];
  await withMicrosoft(LARGE_PAGES, async (microsoft) => {
    for (let run = 0; run < bench.runs; run += 1)
      for (const { customer, streams, wanted, seen } of pages) {
        const customers = microsoft.customers.filter(({ tenant_name }) => tenant_name === customer);
        seen.push(await toRsyslog(bench, { ...microsoft, customers }, wanted, `${streams}: `, streams));
      }
    return [];
  });
  const peaksOf = ({ seen }: { readonly seen: readonly Arrived[] }): number[] =>
    seen.map(({ memory }) => memory.peakMb);
  const peak = Math.max(...pages.map((page) => median(peaksOf(page))));
  return [
    {
      name: "arcsight-page",
      value: round(peak),
      unit: "MB",
      target: "<= 200",
      holds: peak <= 200,
      runs: pages.flatMap(peaksOf).map(round),
      ...peakOf(pages.flatMap(({ seen }) => seen)),
    },
  ];
}

/** Without rsyslog a row is left out with a sentence, as rows of a fleet are without PostgreSQL. */
function isLeftOut({ say }: Bench): boolean {
  if (Rsyslog.isPresent()) return false;
  say("  left out, because it needs rsyslog: install Debian's packages rsyslog and rsyslog-gnutls.");
  return true;
}

export interface Arrived {
  readonly seconds: number;
  readonly memory: Memory;
}

export function peakOf(seen: readonly Arrived[]): Pick<Outcome, "memory"> {
  const highest = seen
    .map(({ memory }) => memory)
    .toSorted((a, b) => a.peakMb - b.peakMb)
    .at(-1);
  return highest === undefined ? {} : { memory: highest };
}

/** One fresh `arcsight run` from nothing to the last alert in the receiver's file. */
async function toRsyslog(
  { binary, say }: Bench,
  microsoft: RunningMicrosoft,
  wanted: number,
  label = "",
  streams = "alerts",
): Promise<Arrived> {
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  const rsyslog = await receiver(folder);
  const outputs = {
    type: "syslog",
    protocol: "tls",
    host: "localhost",
    port: rsyslog.port,
    ca_file: join(folder, "ca.pem"),
  };
  const config = properties(folder, microsoft, { "outputs[0]": outputs }, streams);
  const simulatorBeforeMs = cpuMsOf(microsoft.pid);
  const startedMs = performance.now();
  const helper = new Helper(binary, ["arcsight", "run", "--config", config]);
  try {
    await arrivals(rsyslog.out, wanted, helper);
    const seconds = (performance.now() - startedMs) / 1000;
    const memory = memoryOf(helper.pid);
    const usOf = (ms: number): string => `${round((ms * 1000) / wanted)} µs`;
    const others = `simulator ${usOf(cpuMsOf(microsoft.pid) - simulatorBeforeMs)}, rsyslog ${usOf(cpuMsOf(rsyslog.pid))}`;
    say(
      `  ${label}${round(wanted / seconds)} alerts/s, processor ${usOf(helper.cpuMs())} per alert (${others}), VmHWM ${round(memory.peakMb)} MB`,
    );
    return { seconds, memory };
  } finally {
    await helper.stop();
    await rsyslog.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

const POLLED_CUSTOMERS = 20;
const ROWS = 1000;
const POLLS_PER_RUN = 20;

/**
 * Row `serve-poll`: one poll of 1,000 rows while the buffer holds 20 customers that are still polled at
 * Microsoft.
 */
export async function pollOfServe({ binary, runs, say }: Bench): Promise<Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  const { microsoft, simulator } = await startMicrosoft(
    {
      name: "serve-poll",
      story: "20 customers whose alerts lie in the buffer of arcsight serve.",
      seed: 20,
      customers: [
        {
          name: "served",
          count: POLLED_CUSTOMERS,
          generate: [{ stream: "alerts", count: 2000, from: "-6d", to: "-1h", bytes: 5700 }],
        },
      ],
    },
    folder,
  );
  const helper = new Helper(binary, [
    "arcsight",
    "serve",
    "--config",
    properties(folder, microsoft, { serve: { listen: "127.0.0.1:0" } }),
  ]);
  try {
    const origin = await helper.said(/https?:\/\/127\.0\.0\.1:\d+/);
    const polls: Poll[] = [];
    for (const customer of microsoft.customers)
      polls.push(await aPollOf(ROWS, await signedIn(origin, customer), helper));
    const runMs: number[] = [];
    for (let run = 0; run < runs; run += 1) {
      const tookMs: number[] = [];
      const cpuBeforeMs = helper.cpuMs();
      for (let i = 0; i < POLLS_PER_RUN; i += 1) tookMs.push(await timed(polls[i % polls.length] as Poll));
      const cpuMs = (helper.cpuMs() - cpuBeforeMs) / POLLS_PER_RUN;
      runMs.push(percentile(tookMs, 0.95));
      say(
        `  median ${round(median(tookMs))} ms, 95th percentile ${round(runMs.at(-1) ?? 0)} ms, processor ${round(cpuMs)} ms per poll`,
      );
    }
    const value = median(runMs);
    return [
      {
        name: "serve-poll",
        value: round(value),
        unit: "ms",
        target: `< 200 for ${ROWS} rows, 95th percentile, ${POLLED_CUSTOMERS} customers`,
        holds: value < 200,
        runs: runMs.map(round),
        memory: memoryOf(helper.pid),
      },
    ];
  } finally {
    await helper.stop();
    await simulator.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Poll {
  readonly url: string;
  readonly token: string;
}

/** A customer's address and a token for it, from the local token endpoint. */
async function signedIn(origin: string, { tenant_id }: { readonly tenant_id: string }): Promise<Poll> {
  const form = new URLSearchParams({
    grant_type: "refresh_token",
    client_id: "bench",
    client_secret: "bench",
    refresh_token: "bench",
  });
  const answer = await fetch(`${origin}/${tenant_id}/oauth2/token`, { method: "POST", body: form });
  if (answer.status !== 200)
    throw new ScriptProblem(`The token endpoint answered ${answer.status}: ${await answer.text()}`);
  const { access_token } = (await answer.json()) as { access_token: string };
  return { url: `${origin}/${tenant_id}/api/alerts/`, token: access_token };
}

/**
 * As a connector asks: from the time of the last row it had, here the one before the newest `wanted`. Waits
 * until that many are in the buffer.
 */
async function aPollOf(wanted: number, { url, token }: Poll, helper: Helper): Promise<Poll> {
  const endMs = performance.now() + WITHIN_MS;
  for (let before = -1; ; ) {
    const rows = JSON.parse(await answerTo({ url: `${url}?ago=P1D`, token })) as { LastProcessedTimeUtc: string }[];
    const last = rows.toSorted((a, b) => (a.LastProcessedTimeUtc < b.LastProcessedTimeUtc ? -1 : 1)).at(-1 - wanted);
    if (last !== undefined && rows.length === before)
      return { url: `${url}?sinceTimeUtc=${last.LastProcessedTimeUtc}`, token };
    before = rows.length;
    if (performance.now() > endMs || helper.ended)
      throw new ScriptProblem(`serve has no ${wanted} rows that stay: ${helper.lastSaid}`);
    await pause(1000);
  }
}

async function answerTo({ url, token }: Poll): Promise<string> {
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  if (answer.status !== 200) throw new ScriptProblem(`A poll was answered ${answer.status}: ${await answer.text()}`);
  return answer.text();
}

async function timed(poll: Poll): Promise<number> {
  const startedMs = performance.now();
  const text = await answerTo(poll);
  const tookMs = performance.now() - startedMs;
  const rows = (JSON.parse(text) as unknown[]).length;
  if (Math.abs(rows - ROWS) > ROWS / 100) throw new ScriptProblem(`A poll brought ${rows} rows instead of ${ROWS}.`);
  return tookMs;
}

async function receiver(folder: string): Promise<Rsyslog> {
  const { caPem, certificatePem, keyPem } = await makeServerCertificate(Date.now());
  const files = {
    caFile: join(folder, "ca.pem"),
    certificateFile: join(folder, "cert.pem"),
    keyFile: join(folder, "key.pem"),
  };
  writeFileSync(files.caFile, caPem);
  writeFileSync(files.certificateFile, certificatePem);
  writeFileSync(files.keyFile, keyPem);
  const rsyslog = await Rsyslog.prepare({ folder, protocol: "tls", ...files });
  await rsyslog.start();
  return rsyslog;
}

/** Writes the configuration and returns its path. */
export function properties(
  folder: string,
  microsoft: Microsoft,
  more: Readonly<Record<string, Readonly<Record<string, string | number>>>>,
  streams = "alerts",
): string {
  const customers = microsoft.customers.map(({ tenant_id, tenant_name, client_id, client_secret }, i) => [
    `tenants[${i}]`,
    {
      tenant_id,
      tenant_name,
      client_id,
      client_secret,
      auth: "app",
      streams,
      sweep_hours: 0,
      login_url: microsoft.login_url,
      graph_url: microsoft.graph_url,
      api_url: microsoft.api_url,
      ca_file: microsoft.ca_file,
    },
  ]);
  const lines = [...customers, ...Object.entries(more)].flatMap(([prefix, values]) =>
    Object.entries(values as object).map(([key, value]) => `${prefix as string}.${key}=${value}`),
  );
  const file = join(folder, "helper.properties");
  writeFileSync(file, [...lines, `state_dir=${join(folder, "state")}`, ""].join("\n"));
  return file;
}

/** Resolves when so many alerts stand in the receiver's file. */
async function arrivals(file: string, wanted: number, helper: Helper): Promise<void> {
  const endMs = performance.now() + WITHIN_MS;
  while (!existsSync(file)) await nextLook(endMs, helper, 0);
  const descriptor = openSync(file, "r");
  const piece = Buffer.alloc(1 << 20);
  // A class id that a piece's end cuts is found with the next piece.
  let kept = 0;
  let alerts = 0;
  try {
    while (alerts < wanted) {
      const got = readSync(descriptor, piece, kept, piece.length - kept, null);
      const seen = piece.subarray(0, kept + got);
      let rest = 0;
      for (let at = seen.indexOf(ALERT); at !== -1; at = seen.indexOf(ALERT, rest)) {
        alerts += 1;
        rest = at + ALERT.length;
      }
      rest = Math.max(rest, seen.length - ALERT.length + 1);
      kept = seen.length - rest;
      seen.copy(piece, 0, rest);
      if (got === 0) await nextLook(endMs, helper, alerts);
    }
  } finally {
    closeSync(descriptor);
  }
}

/** How an alert's event class id begins, after the version of the mapping. */
const ALERT = "|1.0|alert:";

async function nextLook(endMs: number, helper: Helper, alerts: number): Promise<void> {
  if (helper.ended || performance.now() > endMs)
    throw new ScriptProblem(`${alerts} alerts came within ${WITHIN_MS / 1000} s: ${helper.lastSaid}`);
  await pause(20);
}

/** The built binary as the helper's service runs it. */
export class Helper {
  readonly #process: ChildProcess;
  readonly #exit: Promise<void>;
  #log = "";

  constructor(binary: string, args: readonly string[]) {
    this.#process = spawn(binary, args, {
      env: { PATH: process.env["PATH"] ?? "" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#process.stdout, this.#process.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#log = (this.#log + text).slice(-65_536);
      });
    this.#exit = new Promise((done) => this.#process.once("close", () => done()));
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  get ended(): boolean {
    return this.#process.exitCode !== null;
  }

  get lastSaid(): string {
    return this.#log.trim().split("\n").at(-1) ?? "";
  }

  cpuMs(): number {
    return cpuMsOf(this.pid);
  }

  /** The first thing of that form in its log. */
  async said(form: RegExp): Promise<string> {
    const endMs = performance.now() + WITHIN_MS;
    for (;;) {
      const found = form.exec(this.#log)?.[0];
      if (found !== undefined) return found;
      if (this.ended || performance.now() > endMs)
        throw new ScriptProblem(`The helper does not come up: ${this.lastSaid}`);
      await pause(50);
    }
  }

  async stop(): Promise<void> {
    if (!this.ended) this.#process.kill("SIGTERM");
    const killing = setTimeout(() => this.#process.kill("SIGKILL"), 20_000);
    await this.#exit;
    clearTimeout(killing);
  }
}
