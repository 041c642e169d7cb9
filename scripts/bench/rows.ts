import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ROOT, ScriptProblem, VERSION } from "../build/project.ts";
import { harness } from "../demo/children.ts";
import { Collector, type Memory, runDocument, type StanzaSettings } from "./collector.ts";
import { type Microsoft, type Scenario, startMicrosoft, throttledAnswers } from "./microsoft.ts";

/** What one measurement says: one line of `--json`, and what a person wants to know beside it. */
export interface Outcome {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly target: string;
  readonly holds: boolean;
  /** Every run's value, and memory where it was looked at. */
  readonly runs: readonly number[];
  readonly memory?: Memory;
}

export interface Bench {
  /** Absolute path of the built binary. */
  readonly binary: string;
  readonly runs: number;
  readonly say: (text: string) => void;
}

/** A measurement, and the rows it gives. */
export interface Measurement {
  readonly rows: readonly string[];
  readonly about: string;
  readonly measure: (bench: Bench) => Promise<Outcome[]>;
}

const SCENARIOS = resolve(ROOT, "test/scenarios");
const WITHIN_MS = 300_000;

export const MEASUREMENTS: readonly Measurement[] = [
  {
    rows: ["scheme"],
    about: "`--scheme` of the built binary against the same runtime evaluating nothing",
    async measure({ binary, runs }) {
      const [ours, bare] = await interleaved(runs * 4, [
        async () => wallMs(binary, ["--scheme"]),
        async () => wallMs(process.execPath, ["--eval", ""]),
      ]);
      const ratio = median(ours) / median(bare);
      return [
        {
          name: "scheme",
          value: round(ratio),
          unit: "times",
          target: "<= 3",
          holds: ratio <= 3,
          runs: ours.map((ms, run) => round(ms / (bare[run] ?? ms))),
        },
      ];
    },
  },
  {
    rows: ["catch-up", "catch-up-ratio"],
    about:
      "25 customers x 8,000 Graph alerts, pacing on, TLS and gzip, built binary into a pipe; a plain loop with Microsoft's own client beside it",
    async measure(bench) {
      return withMicrosoft(join(SCENARIOS, "load-25x8000.yaml"), async (microsoft) => {
        const wanted = 25 * 8000;
        let memory: Memory = { peakMb: 0, anonymousMb: 0 };
        const collecting = async () => {
          const { seconds, ...seen } = await catchUp(bench, microsoft, { streams: "alerts", sweep_hours: 0 }, wanted);
          memory = seen.memory;
          return wanted / seconds;
        };
        // The first reader makes the simulator prepare its pages; afterwards both sides read what lies there.
        await collecting();
        const [ours, plain] = await interleaved(bench.runs, [collecting, async () => wanted / (await plainLoop(microsoft))]);
        const [rate, ratio] = [median(ours), median(ours) / median(plain)];
        return [
          {
            name: "catch-up",
            value: round(rate),
            unit: "alerts/s",
            target: ">= 25000",
            holds: rate >= 25_000,
            runs: ours.map(round),
            memory,
          },
          {
            name: "catch-up-ratio",
            value: round(ratio),
            unit: "times a plain loop",
            target: ">= 2.5",
            holds: ratio >= 2.5,
            runs: ours.map((value, run) => round(value / (plain[run] ?? value))),
          },
        ];
      });
    },
  },
  largePage("page-mde", "contoso", { streams: "mde-alerts" }, 10_000, "10,000 Defender for Endpoint alerts in one answer"),
  largePage("page-incidents", "fabrikam", { streams: "xdr-incidents" }, 12 * 2001, "Defender XDR incidents of 2,000 alerts each"),
  {
    rows: ["idle-2000", "throttled"],
    about:
      "2,000 customers polled each minute with nothing new: processor time and memory of the one process, and requests that were answered 429",
    async measure(bench) {
      const rest = await memoryAtRest(bench);
      return withMicrosoft(join(SCENARIOS, "load-2000-idle.yaml"), async (microsoft, home) => {
        const collector = new Collector(bench.binary, home, runDocument(home, microsoft, { poll_seconds: 60 }));
        try {
          await collector.untilEvents(2000 * 4, WITHIN_MS);
          // The first minute after the catch-up still spreads the customers over the minute.
          await pause(60_000);
          const shares: number[] = [];
          for (let run = 0; run < bench.runs; run += 1) {
            const [cpuMs, atMs] = [collector.cpuMs(), performance.now()];
            await pause(60_000);
            shares.push(((collector.cpuMs() - cpuMs) / (performance.now() - atMs)) * 100);
          }
          const memory = collector.memory();
          const throttled = await throttledAnswers(microsoft);
          const share = median(shares);
          const holds = memory.peakMb <= rest.peakMb + 150 && memory.peakMb <= 300 && share <= 15;
          bench.say(`  at rest ${round(rest.peakMb)} MB, processor ${shares.map(round).join(", ")} % of one core`);
          return [
            {
              name: "idle-2000",
              value: round(memory.peakMb),
              unit: "MB",
              target: `<= rest + 150, <= 300, <= 15 % of one core (rest ${round(rest.peakMb)} MB, ${round(share)} %)`,
              holds,
              runs: shares.map(round),
              memory,
            },
            { name: "throttled", value: throttled, unit: "answers of 429", target: "0", holds: throttled === 0, runs: [throttled] },
          ];
        } finally {
          await collector.stop();
        }
      });
    },
  },
  {
    rows: ["lag"],
    about: "197 healthy customers while one bursts, one answers 500 and one is throttled: the healthy ones' 99th percentile",
    measure: lagOfTheHealthy,
  },
  {
    rows: ["growth-time", "growth-memory", "growth-state"],
    about: "four times the alerts, and four times the customers: time and state written grow with them, memory does not",
    measure: growth,
  },
];

function largePage(name: string, customer: string, settings: StanzaSettings, wanted: number, about: string): Measurement {
  return {
    rows: [name],
    about: `${about}: peak memory of the built binary`,
    async measure(bench) {
      const rest = await memoryAtRest(bench);
      return withMicrosoft(join(SCENARIOS, "load-large-pages.yaml"), async (microsoft) => {
        const chosen = microsoft.customers.filter(({ tenant_name }) => tenant_name === customer);
        const seen: Memory[] = [];
        for (let run = 0; run < bench.runs; run += 1) seen.push((await catchUp(bench, microsoft, settings, wanted, chosen)).memory);
        const peaks = seen.map(({ peakMb }) => peakMb);
        const peak = median(peaks);
        const memory = seen.at(-1);
        return [
          {
            name,
            value: round(peak),
            unit: "MB",
            target: `<= rest + 90, <= 200 (rest ${round(rest.peakMb)} MB)`,
            holds: peak <= rest.peakMb + 90 && peak <= 200,
            runs: peaks.map(round),
            ...(memory === undefined ? {} : { memory }),
          },
        ];
      });
    },
  };
}

async function lagOfTheHealthy({ say }: Bench): Promise<Outcome[]> {
  const pollSeconds = 15;
  const scenario: Scenario = {
    name: "lag-of-the-healthy",
    story:
      "197 customers with an alert now and then, beside one with a burst of 20,000, one that answers 500 for ever and one that is throttled for ever.",
    seed: 18,
    customers: [
      { name: "healthy", count: 197, generate: [{ stream: "alerts", count: 20, from: "-10m", to: "4m" }] },
      { name: "burst", generate: [{ stream: "alerts", count: 20_000, from: "30s", to: "60s", bytes: 5700 }] },
      { name: "failing", generate: [{ stream: "alerts", count: 20, from: "-10m", to: "4m" }] },
      { name: "throttled", generate: [{ stream: "alerts", count: 20, from: "-10m", to: "4m" }] },
    ],
    faults: [
      { on: "alerts", customers: "failing", answer: { status: 500 } },
      { on: "alerts", customers: "throttled", answer: { status: 429, retry_after_seconds: 20 } },
    ],
  };
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  const { microsoft, simulator } = await startMicrosoft(scenario, folder);
  try {
    const conf = microsoft.customers.map((customer) =>
      [
        `[defender_mssp://${customer.tenant_name}]`,
        `tenant_id = ${customer.tenant_id}`,
        `client_id = ${customer.client_id}`,
        `client_secret = ${customer.client_secret}`,
        "auth = app",
        "streams = alerts",
        `login_url = ${microsoft.login_url}`,
        `graph_url = ${microsoft.graph_url}`,
        `ca_file = ${microsoft.ca_file}`,
        `poll_seconds = ${pollSeconds}`,
      ].join("\n"),
    );
    writeFileSync(join(folder, "inputs.conf"), `${conf.join("\n\n")}\n`);
    const out = join(folder, "events.xml");
    const archive = `dist/TA_defender_mssp-${VERSION}-linux_x86_64.tgz`;
    const splunkd = harness("splunkd", [
      "--app",
      archive,
      "--conf",
      join(folder, "inputs.conf"),
      "--out",
      out,
      "--for",
      "240",
      "--validate",
      "1",
    ]);
    const code = await splunkd.ended;
    if (code !== 0) throw new ScriptProblem(`splunkd ended with exit code ${code}: ${splunkd.complaints.at(-1) ?? ""}`);
    const oracle = harness("oracle", [
      "--truth",
      microsoft.control_url,
      "--delivered",
      out,
      "--format",
      "splunk",
      "--max-lost",
      "1000000",
      "--max-stale",
      "1000000",
    ]);
    await oracle.ended;
    const { customers } = JSON.parse(oracle.lines.at(-1) ?? "{}") as {
      customers: readonly { tenant_id: string; lag_ms_p99?: number | null }[];
    };
    const ill = new Set(
      microsoft.customers.filter(({ tenant_name }) => !tenant_name.startsWith("healthy")).map(({ tenant_id }) => tenant_id),
    );
    const lags = customers
      .filter(({ tenant_id, lag_ms_p99 }) => !ill.has(tenant_id) && typeof lag_ms_p99 === "number")
      .map(({ lag_ms_p99 }) => (lag_ms_p99 ?? 0) / 1000);
    const p99 = percentile(lags, 0.99);
    say(`  ${lags.length} healthy customers, the slowest ${round(Math.max(...lags))} s`);
    return [
      {
        name: "lag",
        value: round(p99),
        unit: "s",
        target: `<= poll_seconds + 2 (${pollSeconds + 2})`,
        holds: p99 <= pollSeconds + 2,
        runs: [round(p99)],
      },
    ];
  } finally {
    await simulator.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function growth(bench: Bench): Promise<Outcome[]> {
  const sizes = [
    { customers: 2, alerts: 5000 },
    { customers: 2, alerts: 20_000 },
    { customers: 8, alerts: 5000 },
  ];
  const seen: { seconds: number; peakMb: number; stateBytes: number }[] = [];
  for (const { customers, alerts } of sizes) {
    const scenario: Scenario = {
      name: "growth",
      story: "The same alerts, more of them or from more customers.",
      seed: 19,
      customers: [
        {
          name: "grown",
          count: customers,
          generate: [{ stream: "alerts", count: alerts, from: "-6d", to: "-1h", bytes: 5700, digits: "seven" }],
        },
      ],
    };
    await withMicrosoft(scenario, async (microsoft) => {
      const settings = { streams: "alerts", sweep_hours: 0 };
      await catchUp(bench, microsoft, settings, customers * alerts);
      const runs: Awaited<ReturnType<typeof catchUp>>[] = [];
      for (let run = 0; run < bench.runs; run += 1) runs.push(await catchUp(bench, microsoft, settings, customers * alerts));
      seen.push({
        seconds: median(runs.map(({ seconds }) => seconds)),
        peakMb: median(runs.map(({ memory }) => memory.peakMb)),
        stateBytes: median(runs.map(({ stateBytes }) => stateBytes)),
      });
      return [];
    });
  }
  const [base, ...grown] = seen;
  if (base === undefined) throw new ScriptProblem("Nothing was measured.");
  // Four times the work: linear is 4; a quarter more allows for noise, quadratic would be 16.
  const worst = (of: (one: (typeof seen)[number]) => number) => Math.max(...grown.map((one) => of(one) / of(base)));
  const row = (name: string, value: number, unit: string, bound: number): Outcome => ({
    name,
    value: round(value),
    unit,
    target: `<= ${bound}`,
    holds: value <= bound,
    runs: [round(value)],
  });
  return [
    row(
      "growth-time",
      worst(({ seconds }) => seconds),
      "times at four times the work",
      5,
    ),
    row(
      "growth-memory",
      worst(({ peakMb }) => peakMb),
      "times at four times the work",
      1.25,
    ),
    row(
      "growth-state",
      worst(({ stateBytes }) => stateBytes),
      "times at four times the work",
      5,
    ),
  ];
}

/** One fresh collector from nothing to the last event. */
async function catchUp(
  bench: Bench,
  microsoft: Microsoft,
  settings: StanzaSettings,
  wanted: number,
  customers = microsoft.customers,
): Promise<{ seconds: number; memory: Memory; stateBytes: number }> {
  return withHome(async (home) => {
    const document = runDocument(home, microsoft, settings, customers);
    const startedMs = performance.now();
    const collector = new Collector(bench.binary, home, document);
    await collector.untilEvents(wanted, WITHIN_MS);
    const seconds = (performance.now() - startedMs) / 1000;
    const memory = collector.memory();
    await collector.stop();
    return { seconds, memory, stateBytes: collector.stateBytes() };
  });
}

function plainLoop(microsoft: Microsoft): Promise<number> {
  const start = new Date(Date.now() - 7 * 86_400_000).toISOString();
  const startedMs = performance.now();
  const loop = spawn(process.execPath, ["scripts/bench/plain-loop.ts", JSON.stringify(microsoft), start], {
    cwd: ROOT,
    env: { ...process.env, NODE_EXTRA_CA_CERTS: microsoft.ca_file },
    stdio: ["ignore", "pipe", "inherit"],
  });
  loop.stdout.resume();
  return new Promise((done, fail) => {
    loop.once("close", (code) =>
      code === 0 ? done((performance.now() - startedMs) / 1000) : fail(new ScriptProblem(`The plain loop ended with exit code ${code}.`)),
    );
  });
}

/** The binary with no customer at all, three seconds after its start. */
async function memoryAtRest({ binary }: Bench): Promise<Memory> {
  return withHome(async (home) => {
    const collector = new Collector(
      binary,
      home,
      `<input><server_host>bench</server_host><server_uri>https://127.0.0.1:8089</server_uri><checkpoint_dir>${home}</checkpoint_dir><configuration/></input>`,
    );
    await pause(3000);
    const memory = collector.memory();
    await collector.stop();
    return memory;
  });
}

async function withHome<T>(use: (home: string) => Promise<T>): Promise<T> {
  const home = mkdtempSync(join(tmpdir(), "defender-mssp-bench-"));
  try {
    return await use(home);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

async function withMicrosoft(
  scenario: string | Scenario,
  use: (microsoft: Microsoft, home: string) => Promise<Outcome[]>,
): Promise<Outcome[]> {
  return withHome(async (home) => {
    const { microsoft, simulator } = await startMicrosoft(scenario, home);
    try {
      return await use(microsoft, home);
    } finally {
      await simulator.stop();
    }
  });
}

/** Runs each in turn, `runs` times over, so that a slow minute of the machine slows both. */
async function interleaved(
  runs: number,
  [one, other]: readonly [() => Promise<number>, () => Promise<number>],
): Promise<[number[], number[]]> {
  const [ones, others]: [number[], number[]] = [[], []];
  for (let run = 0; run < runs; run += 1) {
    ones.push(await one());
    others.push(await other());
  }
  return [ones, others];
}

function wallMs(program: string, args: readonly string[]): number {
  const startedMs = performance.now();
  spawnSync(program, args, { stdio: "ignore" });
  return performance.now() - startedMs;
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

function round(value: number): number {
  return value >= 100 ? Math.round(value) : Math.round(value * 100) / 100;
}
