import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { ROOT, ScriptProblem } from "../build/project.ts";
import { type Bench, median, type Outcome, round, WITHIN_MS } from "./runs.ts";

const FIRST_ROW_MOST_S = 1.5;
const KEYSTROKE_MOST_MS = 100;
const BUNDLE_MOST_KB = 500;

/** What `splunk-app/ui/browser/measure.ts` prints. */
type Printed =
  | { readonly missing: string }
  | {
      readonly missing?: never;
      readonly firstRowMs: readonly number[];
      readonly keystrokeMs: readonly number[];
      readonly bundleKb: number;
      readonly mainThreadMs: { readonly firstRow: readonly number[]; readonly keystroke: readonly number[] };
    };

/** Rows `pages`, `pages-keystroke`, `pages-bundle`: 2,000 customers in a real browser. */
export async function manyCustomersInBrowser({ runs, say }: Bench): Promise<Outcome[]> {
  const program = resolve(ROOT, "splunk-app/ui/browser/measure.ts");
  const { status, stdout } = spawnSync(
    process.execPath,
    ["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", program, String(runs)],
    {
      encoding: "utf8",
      env: { ...process.env, DEFENDER_MSSP_REAL_PARTS: "1" },
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 4 * WITHIN_MS,
    },
  );
  if (status !== 0) throw new ScriptProblem("The pages could not be measured.");
  const printed = JSON.parse(stdout) as Printed;
  if (printed.missing !== undefined) {
    say(`  The pages are not measured: ${printed.missing}.`);
    return [];
  }
  const { firstRowMs, keystrokeMs, bundleKb, mainThreadMs } = printed;
  const [loadMs, keyMs] = [median(mainThreadMs.firstRow), median(mainThreadMs.keystroke)];
  say(`  processor time of the main thread: ${round(loadMs)} ms to the first row, ${round(keyMs)} ms a key on average`);
  const firstRowS = median(firstRowMs) / 1000;
  const slowestKeyMs = median(keystrokeMs);
  return [
    {
      name: "pages",
      value: round(firstRowS),
      unit: "s",
      target: `<= ${FIRST_ROW_MOST_S}, at most 50 rows rendered`,
      holds: firstRowS <= FIRST_ROW_MOST_S,
      runs: firstRowMs.map((ms) => round(ms / 1000)),
    },
    {
      name: "pages-keystroke",
      value: round(slowestKeyMs),
      unit: "ms",
      target: `<= ${KEYSTROKE_MOST_MS}`,
      holds: slowestKeyMs <= KEYSTROKE_MOST_MS,
      runs: keystrokeMs.map(round),
    },
    {
      name: "pages-bundle",
      value: round(bundleKb),
      unit: "kB gzip",
      target: `<= ${BUNDLE_MOST_KB}`,
      holds: bundleKb <= BUNDLE_MOST_KB,
      runs: [round(bundleKb)],
    },
  ];
}
