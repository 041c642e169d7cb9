import type { Judgement, Verdict } from "./judge.ts";
import type { Excess } from "./limits.ts";

const COLUMNS = [
  "shown",
  "delivered",
  "lost",
  "stale",
  "superseded",
  "duplicated",
  "replayed",
  "out_of_order",
  "changed_bytes",
  "lag_ms_p99",
] as const;

/**
 * A table for people: one row per customer and stream, the totals, then what exceeds a limit and examples of
 * it.
 */
export function renderTable(judgement: Judgement, broken: readonly Excess[]): string {
  const cells = (row: Pick<Verdict, (typeof COLUMNS)[number]>): string[] =>
    COLUMNS.map((column) => (row[column] === null ? "-" : String(row[column])));
  const rows = [
    ["customer", "stream", ...COLUMNS],
    ...judgement.customers.map((verdict) => [verdict.tenant_id, verdict.stream, ...cells(verdict)]),
    ["all", "", ...cells(judgement.totals)],
  ];
  const widths = rows[0]?.map((_cell, column) => Math.max(...rows.map((row) => (row[column] ?? "").length))) ?? [];
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  "),
  );
  const { unknown, unidentified, torn, health, evidence, unkeyed } = judgement.totals;
  lines.push(
    "",
    `never shown ${unknown} · not identified ${unidentified} · torn ${torn} · health ${health} · evidence ${evidence} · shown without id or time ${unkeyed}`,
  );
  for (const excess of broken)
    lines.push(`--${excess.limit} ${excess.allowed} exceeded: ${excess.found ?? "not known"}`);
  for (const example of judgement.examples) lines.push(`  ${example.fault}: ${example.what}`);
  return `${lines.join("\n")}\n`;
}
