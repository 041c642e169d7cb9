import { CsvError, type Info, parse } from "csv-parse/sync";

/** The columns of a list of customers; the first two are required. */
export const LIST_COLUMNS = ["name", "tenant", "index", "cloud", "streams", "credential"] as const;
type Column = (typeof LIST_COLUMNS)[number];

/** One customer of a list. Everything but name and tenant may be empty. */
export interface ListedCustomer extends Readonly<Record<Column, string>> {
  /** Line on which the row begins, counted from 1. */
  readonly line: number;
}

/** A row that is not used, and why: a sentence without its first word, which is the row's line. */
export interface WrongRow {
  readonly line: number;
  /** Only if it can be printed. */
  readonly name: string;
  readonly say: string;
}

export interface CustomerList {
  readonly customers: readonly ListedCustomer[];
  readonly wrong: readonly WrongRow[];
  /** Sentences about the whole list; its rows are used all the same. */
  readonly warnings: readonly string[];
}

export type ListReading =
  | ({ readonly ok: true } & CustomerList)
  /** The whole list is unusable. */
  | { readonly ok: false; readonly say: string };

const NAME_MAX = 200;
const BYTE_ORDER_MARK = /^\uFEFF/;

/**
 * Reads a list of customers: CSV with a header, separated by commas or semicolons, as spreadsheets save it.
 * A wrong row stops no other row. Throws nothing.
 */
export function readCustomerList(text: string): ListReading {
  const body = text.replace(BYTE_ORDER_MARK, "").replaceAll(/\r\n?/g, "\n");
  const wrong: WrongRow[] = [];
  let records: readonly { readonly record: readonly string[]; readonly info: Info }[];
  try {
    records = parse(body, {
      delimiter: delimiterOf(body),
      // A row's length is judged here, with its line.
      relax_column_count: true,
      skip_empty_lines: true,
      // A quote inside a field without quotes is a letter: Acme "West".
      relax_quotes: true,
      info: true,
      record_delimiter: "\n",
    }) as unknown as typeof records;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    return { ok: false, say: brokenCsv(error) };
  }
  const rows = records.map(({ record, info }) => ({
    line: firstLineOf(record, info.lines),
    fields: record.map((field) => field.trim()),
  }));
  const [first, ...others] = rows;
  if (first === undefined) return { ok: false, say: `is empty; its first line must be ${LIST_COLUMNS.join(",")}` };
  const header = readHeader(first.fields);
  if (typeof header === "string") return { ok: false, say: header };

  const customers: ListedCustomer[] = [];
  const lineOfName = new Map<string, number>();
  for (const { line, fields } of others) {
    if (fields.every((field) => field === "")) continue;
    const row = rowOf(header.columns, line, fields);
    const say = fields.length > header.columns.length ? tooLong(fields, header.columns) : wrongName(row.name);
    const before = lineOfName.get(row.name.toLowerCase());
    const problem =
      say ??
      (row.tenant === "" ? "has no tenant; write its domain or its tenant ID" : undefined) ??
      (before === undefined ? undefined : `has the same name as line ${before}; give each customer its own name`);
    if (problem === undefined) customers.push(row);
    else wrong.push({ line, name: isPrintable(row.name) ? row.name : "", say: problem });
    if (say === undefined && before === undefined) lineOfName.set(row.name.toLowerCase(), line);
  }
  return { ok: true, customers, wrong, warnings: header.warnings };
}

/** Why a customer may not have this name; undefined if it may. Names appear in events, tables and pages. */
export function wrongName(name: string): string | undefined {
  if (name === "") return "has no name";
  if (name.length > NAME_MAX) return `has a name of ${name.length} characters; write at most ${NAME_MAX}`;
  if (!isPrintable(name)) return "has a name with control or invisible characters; type it again";
  if (name.includes("\uFFFD")) return "has a name with letters that are not UTF-8; save the list as UTF-8";
  if (/^[=+\-@]/.test(name)) return "has a name that a spreadsheet would run as a formula; begin it with a letter";
  if (/[<>[\]]/.test(name)) return "has a name with <, >, [ or ]; write it without";
  if (name.trim() !== name) return "has a name that begins or ends with a space; write it without";
  return undefined;
}

/** For a person: which row, and what is wrong with it. */
export function wrongRowSentence({ line, name, say }: WrongRow): string {
  const who = name === "" ? "" : ` (${name.length > 60 ? `${name.slice(0, 60)}…` : name})`;
  return `Line ${line}${who} ${say}.`;
}

/** No control, format (direction, zero width), private or unassigned characters. */
function isPrintable(text: string): boolean {
  return !/[\p{C}\u2028\u2029]/u.test(text);
}

/**
 * The index of a new customer after the model's: `{name}`, or the model's own name as a part of it, becomes
 * the new customer's name. Without such a part all customers share the index.
 *
 * @param taken indexes of other customers; one that is made for a customer is never theirs.
 */
export function indexLike(
  index: string,
  model: string,
  { name, tenantId }: { readonly name: string; readonly tenantId: string },
  taken: ReadonlySet<string>,
): string {
  const guid = tenantId.slice(0, 8);
  const modelPart = namePart(model);
  if (modelPart === "" && !index.includes("{name}")) return index;
  const made = (own: string): string =>
    index.includes("{name}")
      ? index.replaceAll("{name}", own)
      : index.replace(new RegExp(`(^|[_-])${modelPart}(?=$|[_-])`), (_, before: string) => `${before}${own}`);
  const own = namePart(name) || guid;
  const first = made(own);
  return first === index || !taken.has(first) ? first : made(`${own}_${guid}`);
}

/** A name in an index: lower-case letters, digits and `_`; empty for a name of other letters. */
function namePart(name: string): string {
  return name
    .normalize("NFKD")
    .replaceAll(/\p{M}+/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .slice(0, 50)
    .replaceAll(/^_+|_+$/g, "");
}

interface Header {
  /** By position; undefined for a column that is not read. */
  readonly columns: readonly (Column | undefined)[];
  readonly warnings: readonly string[];
}

/** A sentence if the header cannot be used. */
function readHeader(fields: readonly string[]): Header | string {
  const columns = fields.map((field) => LIST_COLUMNS.find((column) => column === field.toLowerCase()));
  const missing = (["name", "tenant"] as const).filter((column) => !columns.includes(column));
  if (missing.length > 0)
    return `has no column ${missing.join(" and no column ")}; its first line must be ${LIST_COLUMNS.join(",")} (the last four are optional)`;
  const twice = columns.find((column, at) => column !== undefined && columns.indexOf(column) !== at);
  if (twice !== undefined) return `has the column ${twice} twice; keep one`;
  const unknown = fields.filter((field, at) => field !== "" && columns[at] === undefined);
  return {
    columns,
    // A misplaced secret could stand there, so only what looks like a heading is repeated.
    warnings: unknown.map((field) =>
      /^[\p{L}\p{N} _.-]{1,40}$/u.test(field)
        ? `The column ${field} is not read.`
        : "A column without a plain heading is not read.",
    ),
  };
}

function rowOf(columns: Header["columns"], line: number, fields: readonly string[]): ListedCustomer {
  const field = (column: Column): string => fields[columns.indexOf(column)] ?? "";
  return {
    line,
    name: field("name"),
    tenant: field("tenant"),
    index: field("index"),
    cloud: field("cloud").toLowerCase(),
    streams: field("streams")
      .split(/[\s,;|]+/)
      .filter((stream) => stream !== "")
      .join(","),
    credential: field("credential"),
  };
}

function tooLong(fields: readonly string[], columns: readonly unknown[]): string | undefined {
  return fields.slice(columns.length).some((field) => field !== "")
    ? `has ${fields.length} fields, and the first line has ${columns.length}; put a field that contains the separator in quotes`
    : undefined;
}

/** The separator that the first line uses; a list with one column has none. */
function delimiterOf(body: string): string {
  const header = /^[^\r\n]*/.exec(body.trimStart())?.[0] ?? "";
  const count = (sign: string): number => header.split(sign).length - 1;
  return count(";") > count(",") ? ";" : ",";
}

/** The parser counts the line on which a row ends. */
function firstLineOf(record: readonly string[], lastLine: number): number {
  const inside = record.reduce((sum, field) => sum + field.split("\n").length - 1, 0);
  return lastLine - inside;
}

function brokenCsv(error: CsvError): string {
  const line = typeof error["lines"] === "number" ? ` (line ${error["lines"]})` : "";
  return error.code === "CSV_QUOTE_NOT_CLOSED"
    ? `ends inside quotes${line}, so it is cut off or a quote is missing; nothing of it is used`
    : `is not CSV${line}; save it again as CSV`;
}
