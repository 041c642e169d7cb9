/** `npm run scrub`: makes a fixture that may travel out of a recording that may not, or checks one. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { runScript, ScriptProblem } from "./build/project.ts";
import type { Exchange } from "./record/recorder.ts";
import { leaksIn, survivorsOf } from "./scrub/leaks.ts";
import { Pseudonyms } from "./scrub/pseudonyms.ts";
import { type FixtureStep, scrubExchange } from "./scrub/scrub-exchange.ts";

const HELP = `npm run scrub -- --in RECORDING --out FIXTURE
npm run scrub -- --check FIXTURE [--against RECORDING]

Keeps the values at the paths of scripts/scrub/kept-paths.ts (enumerations, types, times) and replaces every other word, number, id, address and
hash, the same by the same, so that joins survive. Writes nock definitions. --check exits 1 and names what could still tell whose records they were;
with --against it also looks for every word of the recording that should be gone.
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      in: { type: "string" },
      out: { type: "string" },
      check: { type: "string" },
      against: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  if (values.check !== undefined) {
    check(readSteps(values.check), values.against === undefined ? undefined : readRecording(values.against));
    return;
  }
  if (values.in === undefined || values.out === undefined) throw new ScriptProblem(HELP, 2);
  const recording = readRecording(values.in);
  // The salt is used once and forgotten: nobody can try names against a fixture.
  const names = new Pseudonyms(randomBytes(32).toString("hex"));
  const steps = recording.map((exchange) => scrubExchange(exchange, names));
  check(steps, recording);
  writeFileSync(values.out, `${JSON.stringify(steps, undefined, 2)}\n`);
  process.stderr.write(`${steps.length} steps are in ${values.out}. Read it before you pass it on.\n`);
}

function check(steps: readonly FixtureStep[], recording: readonly Exchange[] | undefined): void {
  const leaks = leaksIn(steps);
  const survivors =
    recording === undefined
      ? []
      : survivorsOf(recording, steps).map((word) => `the recording's "${word}" is still there`);
  const all = [...leaks, ...survivors];
  if (all.length > 0)
    throw new ScriptProblem(
      `Identifying text is left:\n${all.slice(0, 40).join("\n")}${all.length > 40 ? `\n… and ${all.length - 40} more` : ""}`,
    );
}

function readRecording(file: string): Exchange[] {
  return textOf(file)
    .split("\n")
    .flatMap((line, i) => {
      if (line === "") return [];
      const exchange = jsonOf(line);
      if (typeof exchange !== "object" || exchange === null)
        throw new ScriptProblem(`${file}:${i + 1} is not an exchange: a recording is what "npm run record" wrote.`, 2);
      return [exchange as Exchange];
    });
}

function readSteps(file: string): FixtureStep[] {
  const steps = jsonOf(textOf(file));
  if (!Array.isArray(steps))
    throw new ScriptProblem(`${file} is not a fixture: "npm run scrub -- --in RECORDING --out FIXTURE" makes one.`, 2);
  return steps as FixtureStep[];
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new ScriptProblem(
      `${file} cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown reason"}).`,
      2,
    );
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

await runScript(main);
