import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "../build/project.ts";
import { harness } from "../demo/children.ts";
import { type Scenario, startMicrosoft } from "./microsoft.ts";
import { type Bench, type Outcome, percentile, round } from "./runs.ts";

/** How late the healthy customers' events come while three others are in trouble: row `lag`. */
export async function lagOfTheHealthy({ say }: Bench): Promise<Outcome[]> {
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
    if (code !== 0) say(`  splunkd ended with exit code ${code}: ${splunkd.complaints.at(-1) ?? ""}`);
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
