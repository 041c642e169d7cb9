/** A row as a table shows it: the customer and the answer's columns as text. */
export interface HuntRow {
  readonly customer: string;
  readonly values: Readonly<Record<string, unknown>>;
}

const CELL_MOST = 48;

/**
 * Rows of several customers as one table: the customer first, then every column in the order of the answers.
 * A cell is one line; long text is truncated and ends in `…` (JSON lines contain it whole). Empty for no
 * rows.
 */
export function huntTable(rows: readonly HuntRow[]): string {
  if (rows.length === 0) return "";
  const columns = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))];
  const head = ["customer", ...columns];
  const body = rows.map(({ customer, values }) => [cell(customer), ...columns.map((column) => cell(values[column]))]);
  const widths = head.map((name, i) => Math.max(name.length, ...body.map((line) => line[i]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, i) => text.padEnd(widths[i]!))
      .join("  ")
      .trimEnd();
  return `${[line(head.map(cell)), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n")}\n`;
}

/** Control characters of an answer must not reach a terminal. */
function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = (typeof value === "string" ? value : (JSON.stringify(value) ?? ""))
    .replace(/[\p{Cc}\p{Z}]+/gu, " ")
    .trim();
  return text.length <= CELL_MOST ? text : `${text.slice(0, CELL_MOST - 1)}…`;
}
