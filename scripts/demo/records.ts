import { appendFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { ROOT, ScriptProblem } from "../build/project.ts";

const SAMPLES = resolve(ROOT, "test/fixtures/customers");
const FILES = ["alerts.ndjson", "incidents.ndjson"];
const INSTANT = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?=[.\d]*Z)/g;

export const CUSTOMERS = ["contoso", "fabrikam", "tailspin"] as const;
/** Has alerts and has consented, but no input: somebody can add it in Splunk Web. */
export const NEWCOMER = "wingtip";

/**
 * Copies the samples of three customers to `folder`, moved as a whole so that the newest record is two
 * minutes old at `nowMs`. Answers how many records that are. The newcomer has those of fabrikam, too.
 */
export function laySamples(folder: string, nowMs: number): number {
  let newest = "";
  const records = new Set<string>();
  for (const customer of CUSTOMERS) {
    mkdirSync(join(folder, customer), { recursive: true });
    for (const file of FILES) {
      cpSync(join(SAMPLES, customer, file), join(folder, customer, file));
      for (const line of linesOf(join(folder, customer, file))) {
        const { id, lastUpdateDateTime } = JSON.parse(line) as { id: string; lastUpdateDateTime: string };
        newest = [newest, lastUpdateDateTime].sort().at(-1) ?? newest;
        records.add(`${customer} ${file} ${id}`);
      }
    }
  }
  const shiftMs = nowMs - 120_000 - Date.parse(newest.slice(0, 19).concat("Z"));
  for (const customer of CUSTOMERS) {
    for (const file of FILES) {
      const path = join(folder, customer, file);
      writeFileSync(
        path,
        readFileSync(path, "utf8").replaceAll(INSTANT, (instant) => seconds(Date.parse(`${instant}Z`) + shiftMs)),
      );
    }
  }
  cpSync(join(folder, "fabrikam"), join(folder, NEWCOMER), { recursive: true });
  return records.size;
}

/**
 * What happens at a customer while we watch: two alerts change, and one that Microsoft took ten minutes to
 * show appears.
 */
export function changeTwoAndAddOneLate(folder: string, nowMs: number): void {
  const path = (customer: string) => join(folder, customer, "alerts.ndjson");
  const changed = (customer: string, number: number) => {
    const line = linesOf(path(customer))[number];
    if (line === undefined)
      throw new ScriptProblem(`The samples of ${customer} hold fewer alerts than the demo changes.`);
    return withMembers(line, { status: "resolved", lastUpdateDateTime: `${seconds(nowMs)}.1234567Z` });
  };
  appendFileSync(path("contoso"), `${changed("contoso", 1)}\n`);
  appendFileSync(path("fabrikam"), `${changed("fabrikam", 2)}\n`);
  const lateAt = `${seconds(nowMs - 600_000)}.7654321Z`;
  const late = withMembers(linesOf(path("tailspin"))[1] ?? "{}", {
    id: "da637551299999999999_1",
    createdDateTime: lateAt,
    lastUpdateDateTime: lateAt,
    title: "An alert that came ten minutes late",
  });
  appendFileSync(path("tailspin"), `${late}\n`);
}

function linesOf(path: string): string[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

function withMembers(line: string, members: Readonly<Record<string, string>>): string {
  return JSON.stringify({ ...(JSON.parse(line) as object), ...members });
}

function seconds(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19);
}
