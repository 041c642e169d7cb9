import type { DeliveredEvent } from "./delivered.ts";

/**
 * Customer, stream, events, the newest one's time and how far the collector says it is behind, as a table.
 */
export function customersTable(events: readonly DeliveredEvent[], lagSeconds: ReadonlyMap<string, number>): string {
  const rows = new Map<string, { tenant: string; stream: string; events: number; newestS: number }>();
  for (const event of events) {
    const { tenant, stream } = event.json["mssp"] as { tenant: string; stream: string };
    const row = rows.get(`${tenant} ${stream}`) ?? { tenant, stream, events: 0, newestS: 0 };
    rows.set(`${tenant} ${stream}`, { ...row, events: row.events + 1, newestS: Math.max(row.newestS, event.time) });
  }
  const cells = [...rows.values()]
    .sort((left, right) => (`${left.tenant} ${left.stream}` < `${right.tenant} ${right.stream}` ? -1 : 1))
    .map((row) => [
      row.tenant,
      row.stream,
      String(row.events),
      new Date(row.newestS * 1000).toISOString(),
      lag(lagSeconds.get(`${row.tenant} ${row.stream}`)),
    ]);
  return table([["customer", "stream", "events", "newest", "lag"], ...cells]);
}

/** Up to three events of different sourcetypes, pretty-printed and cut. */
export function sampleEvents(events: readonly DeliveredEvent[]): string[] {
  const bySourcetype = new Map<string, DeliveredEvent>();
  for (const event of events) if (!bySourcetype.has(event.sourcetype)) bySourcetype.set(event.sourcetype, event);
  const chosen = [...bySourcetype.values(), ...events]
    .filter((event, index, all) => all.indexOf(event) === index)
    .slice(0, 3);
  return chosen.map((event) => {
    const lines = JSON.stringify(event.json, undefined, 2).split("\n");
    const cut = lines.slice(0, 24).map((line) => (line.length > 150 ? `${line.slice(0, 150)}\u2026` : line));
    return [
      `  sourcetype=${event.sourcetype} source=${event.source}`,
      ...cut.map((line) => `  ${line}`),
      ...(lines.length > 24 ? [`  \u2026 ${lines.length - 24} more lines`] : []),
    ].join("\n");
  });
}

function lag(seconds: number | undefined): string {
  return seconds === undefined ? "not said yet" : `${seconds} s`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd())
    .join("\n");
}
