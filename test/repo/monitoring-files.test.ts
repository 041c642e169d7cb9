import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "@jest/globals";
import { parse } from "yaml";
import { OUTPUT_STATES } from "../../src/model/status.ts";
import { METRICS, Metrics } from "../../src/monitoring/metrics.ts";
import { customerStatus, outputStatus } from "../harness/monitoring/status.ts";
import { describeWith } from "../harness/real-parts.ts";

/**
 * The dashboard and the alert rules against the metrics of this program: a rule on a metric or a label that
 * nobody exposes never fires, and nobody hears of it.
 */

const ROOT = resolve(import.meta.dirname, "../..");
const FOLDER = join(ROOT, "docs/monitoring");

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

/** Of promtool: a series, and its values from minute to minute. */
interface Series {
  readonly series: string;
  readonly values: string;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
}

const rules = (
  parse(readFileSync(join(FOLDER, "alerts.yaml"), "utf8")) as { groups: readonly { rules: readonly Rule[] }[] }
).groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(readFileSync(join(FOLDER, "grafana-dashboard.json"), "utf8")) as Dashboard;

/** Prometheus adds them to every series. */
const ADDED = ["instance", "job"];
const BY_NAME = new Map(METRICS.map(({ name, labels }) => [name, labels]));
const STATES: readonly string[] = [
  "ok",
  "catching-up",
  "throttled",
  "failing",
  "signed-out",
  "awaiting-consent",
  "misconfigured",
  "off",
  ...OUTPUT_STATES,
];

/** What is wrong with an expression; empty when every metric, label and state is one of this program's. */
function wrongIn(expression: string): readonly string[] {
  const wrong: string[] = [];
  const used = [...expression.matchAll(/\b(defender_mssp_[a-zA-Z0-9_:]*)(?:\{([^}]*)\})?/g)];
  const known = new Set<string>(ADDED);
  for (const [, name = "", selector = ""] of used) {
    const labels = BY_NAME.get(name);
    if (labels === undefined) {
      wrong.push(name);
      continue;
    }
    for (const label of labels) known.add(label);
    for (const [, label = "", operator = "", value = ""] of selector.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)) {
      if (![...labels, ...ADDED].includes(label)) wrong.push(`${name}{${label}}`);
      if (label === "state")
        for (const state of operator.endsWith("~") ? value.split("|") : [value])
          if (!STATES.includes(state)) wrong.push(`${name}{state="${state}"}`);
    }
  }
  for (const [, list = ""] of expression.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g))
    for (const label of list.split(",").map((one) => one.trim())) if (!known.has(label)) wrong.push(`by (${label})`);
  const counters = /^defender_mssp_.*_total$/;
  for (const [, name = ""] of expression.matchAll(/\b(?:rate|increase)\(\s*(\w+)/g))
    if (!counters.test(name)) wrong.push(`rate(${name})`);
  return wrong;
}

/** The labels that the series of an expression may carry into a text. */
function labelsOf(expression: string): readonly string[] {
  const names = [...expression.matchAll(/\bdefender_mssp_\w+/g)].map(([name]) => name);
  return [...ADDED, ...names.flatMap((name) => BY_NAME.get(name) ?? [])];
}

test("every metric, label and state in the alert rules is one that this program exposes", () => {
  expect(rules.length).toBeGreaterThan(5);
  for (const { alert, expr, annotations } of rules) {
    expect([alert, wrongIn(expr)]).toEqual([alert, []]);
    const named = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label);
    expect([alert, named.filter((label) => !labelsOf(expr).includes(label ?? ""))]).toEqual([alert, []]);
  }
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
});

test("every metric and label of the dashboard is one that this program exposes, and no panel covers another", () => {
  const taken = new Map<string, string>();
  for (const { title, gridPos, targets } of dashboard.panels) {
    expect([title, targets.length > 0]).toEqual([title, true]);
    for (const { expr, legendFormat } of targets) {
      expect([title, wrongIn(expr)]).toEqual([title, []]);
      const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
      expect([title, named.filter((label) => !labelsOf(expr).includes(label ?? ""))]).toEqual([title, []]);
    }
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        expect([title, x < 24, taken.get(`${x},${y}`)]).toEqual([title, true, undefined]);
        taken.set(`${x},${y}`, title);
      }
  }
  for (const { name, query } of dashboard.templating.list)
    expect([name, wrongIn(JSON.stringify(query).replaceAll("\\", ""))]).toEqual([name, []]);
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
});

test("the check of expressions finds a metric, a label, a state and a rate that do not exist", () => {
  expect(wrongIn('defender_mssp_lag_seconds{customer="x"} > 1')).toEqual(["defender_mssp_lag_seconds"]);
  expect(wrongIn('defender_mssp_stream_lag_seconds{tenant="x"}')).toEqual(["defender_mssp_stream_lag_seconds{tenant}"]);
  expect(wrongIn('defender_mssp_stream_state{state=~"failing|broken"}')).toEqual([
    'defender_mssp_stream_state{state="broken"}',
  ]);
  expect(wrongIn("sum by (tenant) (defender_mssp_streams)")).toEqual(["by (tenant)"]);
  expect(wrongIn("rate(defender_mssp_stream_lag_seconds[5m])")).toEqual(["rate(defender_mssp_stream_lag_seconds)"]);
});

test("the page about monitoring lists every metric with its labels and meaning", () => {
  const page = readFileSync(join(ROOT, "docs/monitoring.md"), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| `defender_mssp_"));
  expect(rows).toEqual(
    METRICS.map(
      ({ name, labels, help }) => `| \`${name}\` | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |`,
    ),
  );
});

const MISSING =
  spawnSync("promtool", ["--version"]).status === 0
    ? undefined
    : "promtool (Debian package prometheus) is not installed";

describeWith("Prometheus' own checks", MISSING)("promtool", () => {
  test("accepts the alert rules and the text of a scrape", async () => {
    const checked = spawnSync("promtool", ["check", "rules", join(FOLDER, "alerts.yaml")], { encoding: "utf8" });
    expect([checked.status, checked.stderr]).toEqual([0, ""]);
    const text = await new Metrics().text({
      version: "1",
      isReady: true,
      collector: {
        customers: [customerStatus('Contoso "EMEA"', { credentialDaysLeft: 3 })],
        outputs: [outputStatus({ unconfirmed: 1 })],
      },
      process: { residentBytes: 1, heapUsedBytes: 1, cpuS: 1, startedAtS: 1 },
    });
    const linted = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
    expect([linted.status, linted.stdout, linted.stderr]).toEqual([0, "", ""]);
  });

  const stream = 'customer="Contoso",tenant_id="t",stream="alerts"';
  const output = 'output="outputs[0]",type="hec"';
  const member = 'job="defender-mssp",instance="a"';
  const ofThree: Series = { series: `defender_mssp_fleet_members{${member}}`, values: "3x120" };
  const cases = [
    ["DefenderCollectorDown", 'up{job="defender-mssp",instance="a"}', "0x120", "5m"],
    ["DefenderCollectorNotReady", 'defender_mssp_ready{instance="a"}', "0x120", "10m"],
    ["DefenderCustomerMustAct", `defender_mssp_stream_state{${stream},state="awaiting-consent"}`, "1x120", "15m"],
    ["DefenderStreamFailing", `defender_mssp_stream_state{${stream},state="failing"}`, "1x120", "30m"],
    ["DefenderStreamLate", `defender_mssp_stream_lag_seconds{${stream}}`, "3601x120", "10m"],
    ["DefenderThrottled", `defender_mssp_throttled_requests_total{${stream}}`, "0+60x120", "31m"],
    ["DefenderCredentialEnds", `defender_mssp_credential_remaining_seconds{${stream}}`, "1209599x120", "60m"],
    ["DefenderOutputRefuses", `defender_mssp_output_state{${output},state="refusing"}`, "1x120", "2m"],
    ["DefenderSpoolOld", `defender_mssp_output_spool_oldest_seconds{${output}}`, "901x120", "5m"],
    ["DefenderEventsRejected", `defender_mssp_output_rejected_events_total{${output}}`, "0 0 1x120", "2m"],
    ["DefenderFleetDatabaseUnreachable", `defender_mssp_ready{${member}}`, "0x120", "2m", ofThree],
    ["DefenderFleetShardsUnowned", `defender_mssp_fleet_shards{${member}}`, "255x120", "2m", ofThree],
    ["DefenderFleetMemberGone", `defender_mssp_fleet_members{${member}}`, "3x10 2x120", "21m"],
    ["DefenderFleetPlaceExpired", `defender_mssp_fleet_expired_total{${member}}`, "0 0 1x120", "2m"],
    ["DefenderFleetShardsLost", `defender_mssp_fleet_lost_shards_total{${member}}`, "0 0 86x120", "2m"],
    ["DefenderFleetPacketsWait", `defender_mssp_fleet_output_waiting_packets{${member},output="hec"}`, "1x120", "15m"],
    ["DefenderFleetShardLate", `defender_mssp_fleet_shard_lag_seconds{${member},shard="7"}`, "3601x120", "10m"],
  ] as const satisfies readonly (readonly [string, string, string, string, ...Series[]])[];
  const up: Series = { series: 'up{job="defender-mssp",instance="a"}', values: "1x120" };
  /** How many series of an alert fire at a time. */
  const GOOD = [0, expect.stringContaining("SUCCESS")];
  const firing = (alert: string, eval_time: string, count: number) => ({
    expr: `count(ALERTS{alertname="${alert}",alertstate="firing"}) or vector(0)`,
    eval_time,
    exp_samples: [{ labels: "{}", value: count }],
  });
  /** @param stories each with series of two hours, and what is to be seen in them. */
  function judged(
    stories: readonly { readonly series: readonly Series[]; readonly expected: readonly object[] }[],
  ): readonly [status: number | null, text: string] {
    const folder = mkdtempSync(join(tmpdir(), "alerts-"));
    try {
      const file = join(folder, "tests.json");
      const tests = stories.map(({ series, expected }) => ({
        interval: "1m",
        input_series: series,
        promql_expr_test: expected,
      }));
      // JSON is YAML.
      writeFileSync(file, JSON.stringify({ rule_files: [join(FOLDER, "alerts.yaml")], tests }));
      const { status, stdout, stderr } = spawnSync("promtool", ["test", "rules", file], { encoding: "utf8" });
      return [status, stdout + stderr];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  test.each<readonly [string, string, string, string, ...Series[]]>(cases)(
    "says that %s fires in time, and that it is quiet before and without its cause",
    (alert, series, values, after, ...beside) => {
      const minutes = Number.parseInt(after, 10);
      const caused = [...(series.startsWith("up{") ? [] : [up]), ...beside];
      const verdict = judged([
        {
          series: [...caused, { series, values }],
          expected: [firing(alert, `${minutes - 1}m`, 0), firing(alert, `${minutes + 1}m`, 1)],
        },
        { series: [up], expected: [firing(alert, "110m", 0)] },
      ]);
      expect(verdict).toEqual(GOOD);
    },
  );

  const fleetAlerts = cases.map(([alert]) => alert).filter((alert) => alert.startsWith("DefenderFleet"));
  const all = (alerts: readonly string[]) => alerts.map((alert) => firing(alert, "110m", 0));
  test("says that no alert of a fleet fires for a collector that works alone, even where it polls nobody", () => {
    const alone = ["ready", "fleet_members", "fleet_shards", "fleet_expired_total", "fleet_lost_shards_total"];
    const series = alone.map((name) => ({ series: `defender_mssp_${name}{${member}}`, values: "0x120" }));
    expect(judged([{ series: [up, ...series], expected: all(fleetAlerts) }])).toEqual(GOOD);
  });

  test("says that no alert of a fleet fires while two members share all shards and packets come and go", () => {
    const series = ["a", "b"].flatMap((instance) =>
      [
        ["ready{", "1x120"],
        ["fleet_members{", "2x120"],
        ["fleet_shards{", "128x120"],
        ["fleet_expired_total{", "1x120"],
        ["fleet_lost_shards_total{", "5x120"],
        ['fleet_output_waiting_packets{output="hec",', Array.from({ length: 121 }, (_, n) => 70 + (n % 3)).join(" ")],
        ['fleet_shard_lag_seconds{shard="7",', "60x120"],
      ].map(([name, values = ""]) => ({
        series: `defender_mssp_${name}job="defender-mssp",instance="${instance}"}`,
        values,
      })),
    );
    expect(judged([{ series: [up, ...series], expected: all(fleetAlerts) }])).toEqual(GOOD);
  });

  test("has a case for every alert rule", () => {
    expect(cases.map(([alert]) => alert)).toEqual(rules.map(({ alert }) => alert));
  });
});
