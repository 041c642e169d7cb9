import type { Argv } from "yargs";
import yargs from "yargs";
import { settingFlags, valuesFromFlags } from "../config/flags.ts";
import { decodedText } from "../config/text-encoding.ts";
import { lineLog } from "../format/log-line.ts";
import { addOnboardingCommands } from "../hosts/cli/onboarding-commands.ts";
import type { CommandLines, ConfiguredCustomer } from "../model/command-line.ts";
import { commandLines, logWithCommands } from "../model/command-line.ts";
import type { ExitCode } from "../model/failure.ts";
import { EXIT, exitCodeOf, Failure, isFailure } from "../model/failure.ts";
import type { Log, LogLevel } from "../model/ports.ts";
import { placeOf } from "./command-place.ts";
import type { Configuration } from "./configuration.ts";
import { readConfiguration, readSettingsFile, settingsFailure } from "./configuration.ts";
import { VERSION, warnOfDistrusted } from "./world.ts";

/** A command's result: yargs handlers return nothing, so they store their exit code here. */
export interface Ending {
  code: ExitCode;
  /** How this command line prints commands; complete once its flags are read. */
  commands: CommandLines;
  /** What the configuration says of each customer, once it is read. */
  readonly configured: Map<string, ConfiguredCustomer>;
}

const SHARED = {
  config: {
    type: "string",
    requiresArg: true,
    describe: "Configuration to read: inputs.conf, a connector's .properties file, or a saved run document (.xml)",
  },
  customer: {
    type: "string",
    array: true,
    requiresArg: true,
    describe: "Only this customer (its name or tenant id); can be repeated",
  },
  state: { type: "string", requiresArg: true, describe: "Folder of checkpoints, ledgers and tokens" },
} as const;

/** Only for commands that obey it; every other one refuses the flag. */
const JSON_FLAG = { json: { type: "boolean", default: false, describe: "Prints JSON" } } as const;

/** Each command with the commands below it. An unknown one is referred to the list of all. */
const COMMANDS: ReadonlyMap<string, readonly string[]> = new Map([
  ["arcsight", ["run", "serve", "check", "lint"]],
  ["collect", []],
  ["consent-url", []],
  ["credential", ["set", "reseal"]],
  ["customers", ["add", "import", "list", "remove", "discover"]],
  ["doctor", []],
  ["fleet", ["init", "apply", "drain", "import-state", "export-state"]],
  ["hunt", []],
  ["partner", ["consent"]],
  ["register", []],
  ["rejected", ["list", "show", "resend"]],
  ["run", []],
  ["splunk", ["run", "scheme", "validate"]],
  ["status", []],
  ["token", ["acquire", "access", "inspect"]],
]);

/** Flags whose values are lists: positional words, and the options that can be repeated. */
const REPEATABLE: ReadonlySet<string> = new Set(["_", "customer", "stream", "redirect-uri", "redirectUri"]);

/**
 * Runs one command. Errors go to stderr, one sentence each; the exit code names who must act (see --help).
 */
export async function runCommand(argv: readonly string[], distrusted: readonly string[]): Promise<ExitCode> {
  const ending: Ending = {
    code: EXIT.done,
    commands: commandLines(placeOf({}, { typed: true })),
    configured: new Map(),
  };
  const log = logWithCommands(
    lineLog(
      (line) => process.stderr.write(line),
      (process.env.DEFENDER_MSSP_LOG_LEVEL as LogLevel | undefined) ?? "info",
    ),
    { inText: (text, customer) => ending.commands.inText(text, customer) },
  );
  warnOfDistrusted(distrusted, { warn: (message, fields) => log.debug(message, fields) });
  try {
    await commandParser(argv, ending, log, distrusted).parseAsync();
  } catch (error) {
    if (!isFailure(error)) throw error;
    for (const line of error.say.split("\n")) log.error(line);
    if (error.nextStep) log.error(error.nextStep);
    return exitCodeOf(error);
  }
  return ending.code;
}

/** Every command with its flags. */
export function commandParser(argv: readonly string[], ending: Ending, log: Log, distrusted: readonly string[]): Argv {
  const parser = yargs([...argv])
    // no_proxy is a setting: --no-proxy names hosts and does not negate --proxy.
    .parserConfiguration({ "boolean-negation": false })
    .scriptName(ending.commands.program)
    .middleware((args) => {
      ending.commands = commandLines({
        ...placeOf(args, { typed: true, ...secretsOf(args._) }),
        customer: (name) => ending.configured.get(name),
      });
    })
    .usage(
      "$0 <command> [options]\n\nPulls Microsoft Defender alerts and incidents of many customers' tenants into Splunk and ArcSight.",
    )
    .version(VERSION)
    .help()
    .alias("help", "h")
    .strict()
    .demandCommand(1, "Give a command; --help lists them.")
    .recommendCommands()
    .check((args) => {
      const twice = Object.keys(args).find((name) => Array.isArray(args[name]) && !REPEATABLE.has(name));
      if (twice !== undefined) throw settingsFailure(`--${twice} is given more than once`);
      return true;
    })
    .wrap(Math.min(120, process.stdout.columns ?? 100))
    .epilogue(
      "Exit codes: 0 done, 1 defect in this program, 2 usage or settings, 3 sign-in or consent, 4 Microsoft unreachable, throttled or failing, 5 host or output, 6 some customers failed, 7 state locked or damaged.",
    )
    .exitProcess(false)
    .fail((message, error) => {
      // A flag without its value is an error of yargs' own.
      if (error && error.name !== "YError") throw error;
      // Thrown, because yargs runs the command all the same when this returns.
      throw misused(message, argv);
    });
  addCollect(parser, ending, log);
  addHunt(parser, ending, log);
  addRun(parser, ending, distrusted);
  addFleet(parser, ending, log);
  addRejected(parser, ending, log);
  addSplunk(parser, ending, distrusted);
  addArcSight(parser, ending, distrusted, log);
  addStatus(parser, ending, log);
  addOnboarding(parser, ending, log);
  return parser;
}

/** In one line: a page of help would hide what is wrong. */
function misused(message: string, argv: readonly string[]): Failure {
  const [first = "", second = ""] = argv;
  const below = COMMANDS.get(first);
  const command = [...(below ? [first] : []), ...(below?.includes(second) ? [second] : [])];
  const said = message
    .trim()
    .replace(/\s*\n\s*/g, " ")
    .replace(/^Not enough non-option arguments.*$/, "An argument is missing")
    .replace(/^Unknown arguments: (.+)$/, (_, names: string) => unknownArguments(names.split(", ")));
  return new Failure("usage", {
    actor: "operator",
    retry: { when: "never" },
    say: `${said}${/[.?!]$/.test(said) ? "" : "."} Run \`${["defender-mssp", ...command, "--help"].join(" ")}\`.`,
  });
}

/** yargs names a flag with dashes a second time, in camel case. */
function unknownArguments(names: readonly string[]): string {
  const camelCase = new Set(names.filter((name) => name.includes("-")).map((name) => camelCased(name)));
  const typed = names.filter((name) => !camelCase.has(name));
  return `Unknown argument${typed.length === 1 ? "" : "s"}: ${typed.join(", ")}`;
}

function camelCased(name: string): string {
  return name.replace(/-+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function addCollect(parser: Argv, ending: Ending, log: Log): void {
  parser.command(
    "collect",
    "Collects each stream once to stdout as JSON lines; checkpoints are saved, so the next run continues there",
    (y) =>
      y
        .options(SHARED)
        .options(JSON_FLAG)
        .options(settingFlags("cli"))
        .option("stream", {
          type: "string",
          array: true,
          requiresArg: true,
          describe: "Only this stream; can be repeated",
        })
        .example("$0 collect --config inputs.conf --customer contoso", "everything new of one customer")
        .epilogue(
          "Secrets are never flags: they come from the configuration or from DEFENDER_MSSP_CLIENT_SECRET and DEFENDER_MSSP_REFRESH_TOKEN. Health goes to stderr.",
        ),
    async (args) => {
      const configuration = await configurationOf(args, log, ending);
      const { collectOnce } = await import("./collect-command.ts");
      ending.code = counting(
        configuration.refused,
        await collectOnce(configuration, { stream: args.stream }, log, ending.commands),
      );
    },
  );
}

function addHunt(parser: Argv, ending: Ending, log: Log): void {
  parser.command(
    "hunt",
    "Runs one saved query now over the chosen customers; the schedule of the hunting stream is not changed",
    (y) =>
      y
        .options(SHARED)
        .options(JSON_FLAG)
        .options(settingFlags("cli"))
        .option("query", { type: "string", requiresArg: true, demandOption: true, describe: "Name of the saved query" })
        .option("since", {
          type: "string",
          requiresArg: true,
          describe: "Start of the query's window: 12h or 7d back, or an ISO time. Default: the query's own window",
        })
        .option("limit", {
          type: "number",
          requiresArg: true,
          default: 200,
          describe: "Maximum number of rows in the table",
        })
        .example('$0 hunt --config inputs.conf --query "Encoded PowerShell" --since 7d', "one table over all customers")
        .epilogue("With --json each row is a line as `collect` writes it."),
    async (args) => {
      const configuration = await configurationOf(args, log, ending);
      const { hunt } = await import("./hunt-command.ts");
      const { since, limit } = args;
      ending.code = counting(
        configuration.refused,
        await hunt(configuration, { query: String(args.query), since, json: Boolean(args.json), limit }, log),
      );
    },
  );
}

function addStatus(parser: Argv, ending: Ending, log: Log): void {
  parser.command(
    "status",
    "Shows customers by state and reason, the largest lag and what waits for outputs, as the running collector says",
    (y) =>
      y
        .options({
          config: {
            ...SHARED.config,
            demandOption: true,
            describe: "Configuration of the collector; its metrics.listen is asked, else the database of its fleet",
          },
          ...JSON_FLAG,
        })
        .example("$0 status --config /etc/defender-mssp/defender-mssp.properties", "who must act")
        .epilogue("With --json it prints what the path /status of metrics.listen answers."),
    async (args) => {
      const { createHttp } = await import("../net/http.ts");
      const { status } = await import("./status-command.ts");
      const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
      try {
        ending.code = await status(args.config, args.json, {
          http,
          log,
          out: (text) => void process.stdout.write(text),
          environment: process.env,
          configuration: () => plainConfiguration(args, ending),
          fleet: async (settings, reader) =>
            (await import("./fleet-status.ts")).fleetStatusOf(settings, reader, VERSION),
        });
      } finally {
        await http.close();
      }
    },
  );
}

/** Commands that read secrets from the state folder, whatever holds the settings. */
function secretsOf([command]: readonly (string | number)[]): { readonly secrets?: "files" } {
  return command === "collect" || command === "hunt" || command === "arcsight" ? { secrets: "files" } : {};
}

/** A customer with invalid settings counts as failed, even if all others are done. */
function counting(refused: readonly string[], code: ExitCode): ExitCode {
  return code === EXIT.done && refused.length > 0 ? EXIT.someCustomers : code;
}

/** @param customer those of the command; a fleet's database is asked only when the file lacks one. */
function readPropertiesFor(customer: readonly string[] | undefined): Parameters<typeof readConfiguration>[1] {
  return async (latin1Text, file) => {
    const { rawFromProperties, realSecretReader } = await import("../hosts/arcsight/index.ts");
    const raw = rawFromProperties(latin1Text, file, realSecretReader(process.env, process.platform));
    if (raw.fleet === undefined) return raw;
    const { withRoster } = await import("./fleet-roster-place.ts");
    return withRoster(raw, raw.fleet, customer);
  };
}

async function plainConfiguration(args: Readonly<Record<string, unknown>>, ending: Ending): Promise<Configuration> {
  const text = (name: string): string | undefined => (typeof args[name] === "string" ? args[name] : undefined);
  const customer = args["customer"];
  const configuration = await readConfiguration(
    {
      config: text("config"),
      customer: Array.isArray(customer) ? customer.map(String) : undefined,
      state: text("state"),
      argv: args,
      environment: process.env,
    },
    readPropertiesFor(Array.isArray(customer) ? customer.map(String) : undefined),
  );
  noteCustomers(configuration, ending);
  return configuration;
}

function noteCustomers({ settings }: Configuration, { configured }: Ending): void {
  for (const { tenantName, credential } of settings.stanzas) configured.set(tenantName, { credential });
}

async function configurationOf(
  args: Readonly<Record<string, unknown>> & {
    config?: string | undefined;
    customer?: string[] | undefined;
    state?: string | undefined;
  },
  log: Log,
  ending: Ending,
): Promise<Configuration> {
  const configuration = await readConfiguration(
    { config: args.config, customer: args.customer, state: args.state, argv: args, environment: process.env },
    readPropertiesFor(args.customer),
  );
  noteCustomers(configuration, ending);
  for (const line of configuration.log) log.warn(line);
  return configuration;
}

/**
 * register, consent-url, partner, token, credential, doctor: their options are declared here, their services
 * are created when one of them runs.
 */
function addOnboarding(parser: Argv, ending: Ending, log: Log): void {
  const finish = (code: ExitCode): void => {
    ending.code = code;
  };
  addOnboardingCommands(parser, {
    shared: SHARED,
    finish,
    async open() {
      const { onboardingServices } = await import("./onboarding.ts");
      const { commands } = ending;
      return onboardingServices({ log, commands, finish, configuration: (flags) => plainConfiguration(flags, ending) });
    },
  });
}

function addSplunk(parser: Argv, ending: Ending, distrusted: readonly string[]): void {
  parser.command("splunk", "Runs the modular input by hand", (y) =>
    y
      .command(
        "run <file>",
        "Runs the modular input with a saved run document, events to stdout, until SIGTERM",
        (c) =>
          c.positional("file", {
            type: "string",
            demandOption: true,
            describe: "Run document (XML), as `splunk cmd splunkd print-modinput-config` prints it",
          }),
        async (args) => {
          const { runModularInput } = await import("./modular-input.ts");
          const { parseDocument } = await import("../hosts/splunk/index.ts");
          const bytes = await readSettingsFile(args.file);
          ending.code = await runModularInput(distrusted, parseDocument(decodedText(bytes)));
        },
      )
      .command("scheme", "Prints the scheme document", {}, async () => {
        const { schemeDocument } = await import("../config/scheme.ts");
        process.stdout.write(schemeDocument());
      })
      .command("validate", "Checks an <items> document from stdin", {}, async () => {
        const { validateArguments } = await import("./modular-input.ts");
        ending.code = await validateArguments();
      })
      .demandCommand(1, "Give one of run, scheme, validate."),
  );
}

/** Reads a properties file, which alone has outputs. */
const OUTPUTS_CONFIG = {
  ...SHARED.config,
  demandOption: true,
  describe: "The collector's .properties file, or one old WDATP-connector.properties",
} as const;

function addRun(parser: Argv, ending: Ending, distrusted: readonly string[]): void {
  parser.command(
    "run",
    "Collects into the outputs of the configuration until SIGTERM; SIGHUP reads the configuration again",
    runOptions,
    runInto(ending, distrusted),
  );
}

function runOptions(y: Argv) {
  return y
    .options({ ...SHARED, config: OUTPUTS_CONFIG })
    .options(settingFlags("arcsight"))
    .option("once", { type: "boolean", default: false, describe: "Ends after one round" })
    .example("$0 run --config /etc/defender-mssp/defender-mssp.properties", "what the service runs");
}

function runInto(ending: Ending, distrusted: readonly string[]) {
  return async (args: Readonly<Record<string, unknown>> & { readonly once: boolean }): Promise<void> => {
    const { arcSightRun } = await import("./arcsight-command.ts");
    ending.code = await arcSightRun(arcSightFlags(args, { typed: false }), { once: args.once }, distrusted);
  };
}

function addFleet(parser: Argv, ending: Ending, log: Log): void {
  parser.command("fleet", "Several collectors that share the customers through PostgreSQL", (y) =>
    y
      .command(
        "init",
        "Makes the fleet's schema in the database, or upgrades it; a newer one is refused",
        (c) =>
          c
            .options({ config: OUTPUTS_CONFIG })
            .option("owner", {
              type: "string",
              requiresArg: true,
              describe:
                "Role that owns the schema, with the password in DEFENDER_MSSP_FLEET_OWNER_PASSWORD. Default: fleet.user",
            })
            .option("print-sql", {
              type: "boolean",
              default: false,
              describe: "Prints the SQL for a new database, rights included, and connects to none",
            })
            .example("$0 fleet init --config defender-mssp.properties --owner postgres", "and the members' rights"),
        async (args) => {
          const { fleetInit } = await import("./fleet-command.ts");
          const options = { owner: args.owner, printSql: args.printSql };
          const out = (text: string): void => void process.stdout.write(text);
          ending.code = await fleetInit(arcSightFlags(args, { typed: true }), options, out, log);
        },
      )
      .command(
        "apply",
        "Makes this configuration the one with which the fleet collects, when members run with different ones",
        (c) =>
          c
            .options({ config: OUTPUTS_CONFIG })
            .example("$0 fleet apply --config defender-mssp.properties", "after the file was changed"),
        async (args) => {
          const { fleetApply } = await import("./fleet-command.ts");
          ending.code = await fleetApply(arcSightFlags(args, { typed: true }), log);
        },
      )
      .command(
        "drain [member]",
        "Empties a member: it gives up its customers and takes none until it starts again",
        (c) =>
          c
            .options({ config: OUTPUTS_CONFIG })
            .positional("member", { type: "string", describe: "Its name. Default: the member of this host" })
            .example("$0 fleet drain --config defender-mssp.properties", "before this host is taken down"),
        async (args) => {
          const { fleetDrain } = await import("./fleet-command.ts");
          ending.code = await fleetDrain(arcSightFlags(args, { typed: true }), args.member, log);
        },
      )
      .command(
        "import-state",
        "Moves checkpoints, ledgers and refresh tokens from a state folder into the fleet, whose members are stopped",
        (c) =>
          c
            .options({ config: OUTPUTS_CONFIG, state: SHARED.state })
            .example("$0 fleet import-state --config defender-mssp.properties", "before the first member starts"),
        async (args) => {
          const { importState } = await import("./fleet-move.ts");
          ending.code = await importState(arcSightFlags(args, { typed: true }), log);
        },
      )
      .command(
        "export-state",
        "Moves them from the fleet, whose members are stopped, into a state folder",
        (c) =>
          c
            .options({ config: OUTPUTS_CONFIG, state: SHARED.state })
            .example("$0 fleet export-state --config defender-mssp.properties", "before one collector goes on alone"),
        async (args) => {
          const { exportState } = await import("./fleet-move.ts");
          ending.code = await exportState(arcSightFlags(args, { typed: true }), log);
        },
      )
      .demandCommand(1, "Give one of init, apply, drain, import-state, export-state."),
  );
}

function addRejected(parser: Argv, ending: Ending, log: Log): void {
  const options = { config: OUTPUTS_CONFIG, state: SHARED.state } as const;
  parser.command("rejected", "Events that Splunk refused for good", (y) =>
    y
      .command(
        "list",
        "Lists them, oldest first",
        (c) => c.options({ ...options, ...JSON_FLAG }),
        async (args) => {
          const { listRejected } = await import("./rejected-command.ts");
          ending.code = await listRejected(arcSightFlags(args, { typed: true }), { json: args.json, log });
        },
      )
      .command(
        "show <key>",
        "Prints those with this key, as they were sent",
        (c) =>
          c.options(options).positional("key", { type: "string", demandOption: true, describe: "Key of the event" }),
        async (args) => {
          const { showRejected } = await import("./rejected-command.ts");
          ending.code = await showRejected(arcSightFlags(args, { typed: true }), args.key, log);
        },
      )
      .command(
        "resend",
        "Sends all of them again, and removes each that Splunk now takes",
        (c) => c.options(options),
        async (args) => {
          const { resendRejected } = await import("./rejected-command.ts");
          ending.code = await resendRejected(arcSightFlags(args, { typed: true }), log);
        },
      )
      .demandCommand(1, "Give one of list, show, resend."),
  );
}

function addArcSight(parser: Argv, ending: Ending, distrusted: readonly string[], log: Log): void {
  const config = OUTPUTS_CONFIG;
  parser.command("arcsight", "Runs the helper beside ArcSight's connectors", (y) =>
    y
      .command("run", "The other name of `run`", runOptions, runInto(ending, distrusted))
      .command(
        "serve",
        "Answers polls of connectors for the retired SIEM API, with events of the last days",
        (c) =>
          c
            .options({ ...SHARED, config })
            .options(settingFlags("arcsight"))
            .epilogue(
              "serve.* in the configuration sets the address and the clients. docs/arcsight explains how to move an old FlexConnector.",
            ),
        async (args) => {
          const { arcSightServe } = await import("./arcsight-command.ts");
          ending.code = await arcSightServe(arcSightFlags(args, { typed: false }), distrusted);
        },
      )
      .command(
        "check",
        "Checks settings, each customer's sign-in and alerts of the last hour, and sends one test event to each output",
        (c) => c.options({ ...SHARED, ...JSON_FLAG, config }).options(settingFlags("arcsight")),
        async (args) => {
          const { arcSightCheck } = await import("./arcsight-check.ts");
          ending.code = await arcSightCheck(arcSightFlags(args, { typed: true }), { json: Boolean(args.json) });
        },
      )
      .command(
        "lint [file]",
        "Looks through CEF lines or a properties file for what a reader would reject",
        (c) =>
          c
            .positional("file", { type: "string", describe: "File to read. Default: standard input" })
            .options(JSON_FLAG)
            .example("$0 arcsight lint defender.cef", "exit code 2 when something is found"),
        async (args) => {
          const { arcSightLint } = await import("./arcsight-check.ts");
          ending.code = await arcSightLint({ json: args.json, file: args.file }, log);
        },
      )
      .demandCommand(1, "Give one of run, serve, check, lint."),
  );
}

/** @param options `typed`: somebody reads the output where the command was typed; a log is read anywhere. */
function arcSightFlags(args: Readonly<Record<string, unknown>>, { typed }: { readonly typed: boolean }) {
  const text = (name: string): string | undefined => (typeof args[name] === "string" ? args[name] : undefined);
  const customer = args["customer"];
  return {
    config: text("config") ?? "",
    customer: Array.isArray(customer) ? customer.map(String) : undefined,
    state: text("state"),
    overrides: valuesFromFlags(args),
    environment: process.env,
    place: placeOf(args, { typed, secrets: "files" }),
  };
}
