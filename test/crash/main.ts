/** The crash matrix from the command line: see --help. */
import { parseArgs } from "node:util";
import { HISTORIES, HISTORY_NAMES, type History, splunkHost } from "./crash.ts";
import { crashMatrix } from "./matrix.ts";
import { MOMENT_NAMES, MOMENTS, type Moment } from "./stage.ts";

const HELP = `Usage: node test/crash/main.ts --program FILE [MOMENT|HISTORY]... [--first N] [--step N] [--lanes N]

Kills the built program (SIGKILL) at the n-th moment, for n = N, N + step, ... until a run ends without it, restarts it each time, and lets the oracle judge what was
read of both runs. One line of JSON per crash; exit code 1 when something was lost, stale or repeated without an equal key.

${MOMENT_NAMES.map((name) => `  ${name.padEnd(9)} ${MOMENTS[name]}`).join("\n")}

before the crash:
${HISTORY_NAMES.map((name) => `  ${name.padEnd(9)} ${HISTORIES[name]}`).join("\n")}

  --program FILE   the built binary; given twice or more: a runtime and its script
  --lanes N        crashes at different n tried in parallel (3)
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      program: { type: "string", multiple: true },
      first: { type: "string", default: "1" },
      step: { type: "string", default: "1" },
      lanes: { type: "string", default: "3" },
      help: { type: "boolean", default: false },
    },
  });
  const moments = positionals.filter((name): name is Moment => name in MOMENTS);
  const histories = positionals.filter((name): name is History => name in HISTORIES);
  const [file, ...args] = values.program ?? [];
  const numbers = [values.first, values.step, values.lanes].map(Number);
  const wrong =
    moments.length + histories.length < positionals.length || numbers.some((n) => !Number.isInteger(n) || n < 1);
  if (values.help || wrong || file === undefined) {
    (values.help ? process.stdout : process.stderr).write(HELP);
    return values.help ? 0 : 2;
  }
  const [first = 1, step = 1, lanes = 1] = numbers;
  const crashes = await crashMatrix({
    host: splunkHost([file, ...args]),
    histories: histories.length === 0 ? HISTORY_NAMES : histories,
    moments: moments.length === 0 ? MOMENT_NAMES : moments,
    first,
    step,
    lanes,
    report: (crash) => void process.stdout.write(`${JSON.stringify(crash)}\n`),
  });
  return crashes.every(({ faults }) => faults.length === 0) ? 0 : 1;
}

process.exitCode = await main();
