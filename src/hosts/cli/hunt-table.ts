import { printable } from "../../model/printable.ts";
import { textTable } from "./text-table.ts";

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
  const head = ["customer", ...columns].map(cell);
  const body = rows.map(({ customer, values }) => [cell(customer), ...columns.map((column) => cell(values[column]))]);
  return textTable(head, body);
}

/** An answer must not steer the terminal. */
function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = printable(typeof value === "string" ? value : (JSON.stringify(value) ?? ""))
    .replace(/\p{Z}+/gu, " ")
    .trim();
  return text.length <= CELL_MOST ? text : `${text.slice(0, CELL_MOST - 1)}…`;
}
