/**
 * `npm run record -- --config FILE [--customer NAME] --out FILE`: one `collect` whose exchange with Microsoft
 * is written down. The recording holds a customer's records: it stays at home (mode 0600); `npm run scrub`
 * makes a fixture of it that may travel.
 */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { lineLog } from "../src/format/log-line.ts";
import { collectOnce } from "../src/main/collect-command.ts";
import { readConfiguration } from "../src/main/configuration.ts";
import { commandLines } from "../src/model/command-line.ts";
import { runScript, ScriptProblem } from "./build/project.ts";
import { type Exchange, recordingHttp } from "./record/recorder.ts";

const HELP = `npm run record -- --config FILE --out FILE [--customer NAME] [--stream NAME]

Collects once, as "defender-mssp collect" does, and writes each request and answer to FILE as a line of JSON, without secrets and tokens.
Events go to stdout. The state is a folder of its own that is thrown away, so nothing of yours moves on.

  --config FILE     inputs.conf or a saved run document (.xml)
  --customer NAME   only this customer; may be repeated
  --stream NAME     only this stream; may be repeated
  --out FILE        the recording; it holds the customer's records and is for you alone
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      config: { type: "string" },
      customer: { type: "string", multiple: true },
      stream: { type: "string", multiple: true },
      out: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const { config, out } = values;
  if (config === undefined || out === undefined) throw new ScriptProblem(HELP, 2);
  const state = mkdtempSync(join(tmpdir(), "defender-mssp-record-"));
  let exchanges = 0;
  const keep = (exchange: Exchange): void => {
    exchanges++;
    appendFileSync(out, `${JSON.stringify(exchange)}\n`);
  };
  try {
    const log = lineLog((line) => process.stderr.write(line), "info");
    const configuration = await readConfiguration(
      { config, customer: values.customer, state, argv: {}, environment: process.env },
      () => {
        throw new ScriptProblem("A recording needs an inputs.conf or a run document, not a properties file.", 2);
      },
    );
    writeFileSync(out, "", { mode: 0o600 });
    process.exitCode = await collectOnce(
      configuration,
      { stream: values.stream, through: (http) => recordingHttp(http, keep, () => Date.now()) },
      log,
      commandLines({ program: ["defender-mssp"], shell: "posix", flags: { config }, secrets: "files" }),
    );
    process.stderr.write(
      `${exchanges} exchanges are in ${out}, customer's records included; "npm run scrub" makes a fixture of it.\n`,
    );
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
}

await runScript(main);
