/**
 * npm run -s splunkd -- --app DIR|TGZ --conf FILE [--out FILE] [--log FILE] [--for S | --until-idle S]
 * [--home DIR]
 *
 * First line on stdout: {"server_uri","home","pid","ca_file"}, `pid` being the input's process. Last line:
 * {"events","sourcetypes","exit_code","stop_ms"}. Without --for and --until-idle it runs until SIGTERM or
 * SIGINT. Exit 0 only if the input kept the protocol.
 */
import { pathToFileURL } from "node:url";
import yargs from "yargs";
import { type Splunkd, startSplunkd } from "./splunkd.ts";

/** Before the first event being idle does not count: signing in and a first page take time. */
const FIRST_EVENT_S = 30;

async function main(argv: readonly string[]): Promise<number> {
  const args = await yargs([...argv])
    .scriptName("npm run -s splunkd --")
    .usage(
      "$0 --app DIR|TGZ --conf FILE\n\nStarts the app's modular input as splunkd does, answers its REST calls, stops it as splunkd does.",
    )
    .option("app", { type: "string", demandOption: true, describe: "the app: a folder or a package (.tgz)" })
    .option("conf", {
      type: "string",
      demandOption: true,
      describe: "becomes the app's local/inputs.conf; files it names are copied under the home",
    })
    .option("out", {
      type: "string",
      describe: "gets stdout byte for byte; continued when --home has been used before",
    })
    .option("log", { type: "string", describe: "gets stderr as splunkd.log has it" })
    .option("for", { type: "number", describe: "stop after so many seconds" })
    .option("until-idle", {
      type: "number",
      describe: `stop when no event came for so many seconds (before the first event: at least ${FIRST_EVENT_S})`,
    })
    .option("home", {
      type: "string",
      describe: "SPLUNK_HOME; kept, so that a second start goes on where the first ended",
    })
    .option("port", { type: "number", default: 0, describe: "management port; 0 takes a free one" })
    .option("hold-kib", {
      type: "number",
      default: 0,
      describe:
        "the last so many KiB are not written out before the stop: a SIGKILL loses them, as it loses splunkd's queue",
    })
    .option("validate", {
      type: "number",
      default: 20,
      describe: "inputs tried with --validate-arguments before the run",
    })
    .option("password-limit", {
      choices: ["truncate", "refuse", "none"] as const,
      default: "truncate" as const,
      describe: "what happens to a password of more than 255 characters",
    })
    .option("unavailable-calls", {
      type: "number",
      default: 0,
      describe: "the first so many REST calls are answered 503",
    })
    .option("encoding", {
      choices: ["utf-8", "utf-8-bom", "utf-16le", "utf-16be", "lying"] as const,
      default: "utf-8" as const,
      describe: "of the documents on stdin",
    })
    .option("certificate", {
      choices: ["loopback", "as-shipped"] as const,
      default: "loopback" as const,
      describe: "as-shipped: without the host's name, as Splunk's own",
    })
    .option("restart", {
      type: "boolean",
      default: true,
      describe: "start the process again when it was killed or ended by itself",
    })
    .conflicts("for", "until-idle")
    .strict()
    .version(false)
    .parseAsync();

  const stop = new AbortController();
  process.on("SIGTERM", () => stop.abort());
  process.on("SIGINT", () => stop.abort());

  let splunkd: Splunkd;
  try {
    splunkd = await startSplunkd({
      app: args.app,
      conf: args.conf,
      out: args.out,
      log: args.log,
      home: args.home,
      port: args.port,
      holdBytes: args["hold-kib"] * 1024,
      validate: args.validate,
      passwordLimit: args["password-limit"],
      unavailableCalls: args["unavailable-calls"],
      encoding: args.encoding,
      certificate: args.certificate,
      ...(args.restart ? {} : { restartAfterMs: null }),
    });
  } catch (error) {
    process.stderr.write(`splunkd: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
  print({
    server_uri: splunkd.serverUri,
    home: splunkd.home,
    pid: splunkd.pid,
    ca_file: splunkd.caFile,
    splunkd_pid: process.pid,
  });
  for (const refused of splunkd.validations.filter((one) => !one.ok))
    process.stderr.write(`splunkd: ${refused.stanza} is refused: ${refused.message}\n`);

  await enough(splunkd, args.for, args["until-idle"], stop.signal);
  const outcome = await splunkd.stop();
  for (const fault of outcome.faults) process.stderr.write(`splunkd: ${fault}\n`);
  print(outcome);
  return outcome.faults.length === 0 ? 0 : 1;
}

async function enough(
  splunkd: Splunkd,
  forS: number | undefined,
  untilIdleS: number | undefined,
  stop: AbortSignal,
): Promise<void> {
  const startedAtMs = performance.now();
  // Through npm this is a shell's child, and a shell that is stopped does not pass the signal on. When the
  // parent is gone, this stops too.
  const parent = process.ppid;
  let events = 0;
  let lastEventAtMs = startedAtMs;
  while (!stop.aborted && process.ppid === parent) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const nowMs = performance.now();
    if (splunkd.events !== events) {
      events = splunkd.events;
      lastEventAtMs = nowMs;
    }
    if (forS !== undefined && nowMs - startedAtMs >= forS * 1_000) return;
    const idleS =
      untilIdleS === undefined
        ? Number.POSITIVE_INFINITY
        : events > 0
          ? untilIdleS
          : Math.max(untilIdleS, FIRST_EVENT_S);
    if (nowMs - lastEventAtMs >= idleS * 1_000) return;
    if (!splunkd.isRunning && splunkd.hasGivenUp) return;
  }
}

function print(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2));
}
