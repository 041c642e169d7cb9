import { renameSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { measureCeiling } from "./ceiling.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "./start.ts";

const HELP = `Usage: npm run -s simulate -- [options]

Entra and Microsoft Defender over TLS on loopback. Prints one JSON line when it is ready and stops on SIGTERM.

  --data DIR            one folder per customer: alerts.ndjson, incidents.ndjson, xdr-incidents.ndjson, mde-alerts.ndjson,
                        siem-alerts.ndjson, hunting/<Table>.ndjson; a line is a version, appended lines appear within 1 s
                        (without --data and --scenario: the documentation samples)
  --scenario FILE       a scenario, YAML or JSON (docs/harness.md, test/scenarios/)
  --port N              port of login, Graph and API (0: any)
  --now ISO             where its clock starts (default: the real time)
  --shift-to-now        moves all records so that the newest is a minute old
  --ready FILE          writes the ready line there as well
  --stop-on-stdin-end   stops when standard input ends
  --ceiling             serves the load scenario (or --scenario FILE) to a reader that throws everything away, prints how fast
                        that went and stops: above this, a measurement measures the simulator
  --help                this text
`;

/** The options as they were written; throws on one that is not known. */
function parseOptions(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    options: {
      data: { type: "string" },
      scenario: { type: "string" },
      port: { type: "string" },
      now: { type: "string" },
      "shift-to-now": { type: "boolean" },
      ready: { type: "string" },
      "stop-on-stdin-end": { type: "boolean" },
      ceiling: { type: "boolean" },
      help: { type: "boolean" },
    },
  }).values;
}

/** Reads the command line; the string says what is wrong with it. */
function readArguments(
  argv: readonly string[],
):
  | { help: true }
  | { options: SimulatorOptions; ready: string | undefined; stopOnStdinEnd: boolean; ceiling: boolean }
  | string {
  let values: ReturnType<typeof parseOptions>;
  try {
    values = parseOptions(argv);
  } catch (error) {
    return (error as Error).message;
  }
  if (values.help === true) return { help: true };
  const port = values.port === undefined ? 0 : Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    return `--port ${values.port}: expected a number from 0 to 65535.`;
  const nowMs = values.now === undefined ? undefined : Date.parse(values.now);
  if (nowMs !== undefined && Number.isNaN(nowMs))
    return `--now ${values.now}: expected an ISO time such as 2026-11-24T08:00:00Z.`;
  return {
    options: {
      port,
      shiftToNow: values["shift-to-now"] === true,
      ...(values.data === undefined ? {} : { data: values.data }),
      ...(values.scenario === undefined ? {} : { scenario: values.scenario }),
      ...(nowMs === undefined ? {} : { nowMs }),
    },
    ready: values.ready,
    stopOnStdinEnd: values["stop-on-stdin-end"] === true,
    ceiling: values.ceiling === true,
  };
}

const PARENT_LOOK_MS = 500;

/**
 * npm does not pass SIGTERM on. When `npm run simulate` is stopped only npm ends, and this process gets
 * another parent.
 */
function whenParentIsGone(then: () => void): void {
  const parent = process.ppid;
  const looking = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(looking);
    then();
  }, PARENT_LOOK_MS);
  looking.unref();
}

async function main(): Promise<number> {
  const read = readArguments(process.argv.slice(2));
  if (typeof read === "string") {
    process.stderr.write(`simulate: ${read}\n`);
    return 2;
  }
  if ("help" in read) {
    process.stdout.write(HELP);
    return 0;
  }
  if (read.ceiling) {
    process.stdout.write(`${JSON.stringify(await measureCeiling(read.options))}\n`);
    return 0;
  }
  const stopped = new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
    if (process.env["npm_lifecycle_event"] !== undefined) whenParentIsGone(resolve);
    if (read.stopOnStdinEnd) process.stdin.once("end", resolve).once("error", resolve).resume();
  });
  let simulator: Simulator;
  try {
    simulator = await startSimulator(read.options);
  } catch (error) {
    process.stderr.write(`simulate: ${(error as Error).message}\n`);
    return 2;
  }
  const line = `${JSON.stringify(simulator.ready)}\n`;
  process.stdout.write(line);
  if (read.ready !== undefined) {
    // Renamed into place, so that whoever waits for the file never reads half of it.
    writeFileSync(`${read.ready}.part`, line);
    renameSync(`${read.ready}.part`, read.ready);
  }
  await stopped;
  await simulator.stop();
  return 0;
}

process.exitCode = await main();
