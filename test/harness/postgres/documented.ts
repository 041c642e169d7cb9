/** What docs/fleet/operate.md tells a person to run in the database. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const PAGE = join(import.meta.dirname, "../../../docs/fleet/operate.md");

/** The line that begins so, for the schema of a test instead of that of the fleet `main`. */
export function documentedLine(begin: string, schema: string): string {
  const line = readFileSync(PAGE, "utf8")
    .split("\n")
    .map((one) => one.trim())
    .find((one) => one.startsWith(begin));
  if (line === undefined) throw new Error(`docs/fleet has no line that begins with: ${begin}`);
  return line.replaceAll("defender_mssp_main", schema);
}
