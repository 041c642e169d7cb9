import type { Argv } from "yargs";
import { settingFlags } from "../../config/flags.ts";
import type { Flags } from "./ask.ts";
import { type Run, settingsShown, text, yes } from "./command-options.ts";

/** What the other commands of customers share with these. */
export interface CustomersHost {
  /** The options of every command that reads a configuration. */
  readonly shared: Readonly<Record<string, object>>;
  readonly splunk: Readonly<Record<string, object>>;
  readonly run: (work: () => Promise<Run>) => (flags: Flags) => Promise<void>;
}

const JSON_FLAG = { json: yes("Prints one JSON object per line") } as const;

/** Of these a list or a command has its own. */
const NOT_SHARED = new Set(["tenant-id", "tenant-name", "splunkd-ca-file"]);

/** Settings as flags hold for every customer that is added; --help lists those that a list often needs. */
function settingsOfNew(more: ReadonlySet<string> = new Set()): Readonly<Record<string, object>> {
  const shown = new Set(["credential", "proxy", "ca-file", "start", ...more]);
  return Object.fromEntries(Object.entries(settingsShown(shown)).filter(([name]) => !NOT_SHARED.has(name)));
}

const DISCOVERY = new Set([
  "discover",
  "discover-credential",
  "discover-mode",
  "discover-match",
  "discover-exclude",
  "discover-defaults",
]);

/** `customers add`, `import`, `list`, `remove`, `discover`. */
export function addCustomersCommands(parser: Argv, { shared, splunk, run }: CustomersHost): Argv {
  const { config, state } = shared;
  const where = {
    config: config ?? {},
    state: state ?? {},
    to: {
      ...text(
        "splunk: Splunk's inputs, through its REST interface, instead of a file. fleet: the database of the fleet that --config names",
      ),
      choices: ["splunk", "fleet"],
    },
    ...splunk,
    "splunkd-ca-file": settingFlags("cli")["splunkd-ca-file"] ?? {},
  };
  const confOnly = {
    "conf-only": text("With --to splunk: writes the inputs to this new file, so that one restart of Splunk is enough"),
  };
  return parser.command("customers", "Adds, lists, removes and discovers customers, one by one or from a list", (y) =>
    y
      .command(
        "import <list>",
        "Compares a CSV list with the configured customers and shows what it changes; --apply writes it",
        (c) =>
          c
            .positional("list", {
              type: "string",
              demandOption: true,
              describe: "CSV file; first line: name,tenant,index,cloud,streams,credential",
            })
            .options(where)
            .options(confOnly)
            .options(settingsOfNew())
            .options({ apply: yes("Writes the changes"), ...JSON_FLAG })
            .epilogue(
              "Customers that are not in the list stay. Settings given as flags are written for each new customer. Exit code 6: some rows are wrong, the others are done.",
            )
            .example("$0 customers import customers.csv --config defender-mssp.properties", "shows the difference")
            .example("$0 customers import customers.csv --to splunk --apply", "creates Splunk's inputs")
            .example(
              "$0 customers import customers.csv --config defender-mssp.properties --to fleet --apply",
              "for every member of a fleet",
            ),
        run(async () => (await import("./customers.ts")).importCustomers),
      )
      .command(
        "add <name>",
        "Adds one customer",
        (c) =>
          c
            .positional("name", {
              type: "string",
              demandOption: true,
              describe: "The customer's name, written into every event",
            })
            .options({
              tenant: { ...text("The customer's tenant: one of its domains, or its tenant ID"), demandOption: true },
              index: text("Splunk index of its events"),
            })
            .options(where)
            .options(confOnly)
            .options(settingsOfNew())
            .options(JSON_FLAG)
            .example("$0 customers add Contoso --tenant contoso.com --config defender-mssp.properties", "one customer"),
        run(async () => (await import("./customers.ts")).addCustomer),
      )
      .command(
        "list",
        "Shows every configured customer: its consent, its last event, and who must act",
        (c) =>
          c
            .options({ ...shared, ...splunk })
            .options({
              to: {
                ...text(
                  "splunk: credentials are in Splunk, and without --config the customers too. fleet: the customers in the database of the fleet that --config names",
                ),
                choices: ["splunk", "file", "fleet"],
              },
            })
            .options(settingsShown(new Set()))
            .options({
              waiting: yes("Only customers that have not consented yet"),
              against: yes("Also shows who is under contract by the list of customers, and who is not configured"),
              ...JSON_FLAG,
            })
            .example("$0 customers list --config inputs.conf --waiting", "who still has to consent"),
        run(async () => (await import("./customers-list.ts")).listCustomers),
      )
      .command(
        "remove <name>",
        "Removes one customer from the configuration; its checkpoints stay",
        (c) =>
          c
            .positional("name", { type: "string", demandOption: true, describe: "The customer's name" })
            .options(where)
            .options(confOnly),
        run(async () => (await import("./customers.ts")).removeCustomer),
      )
      .command(
        "discover",
        "Reads the list of your customers (GDAP, Tenant Governance or a file) and shows what it changes; --apply does it",
        (c) =>
          c
            .options(where)
            .options(settingsOfNew(DISCOVERY))
            .options({ apply: yes("Configures the new customers and says that the list is right"), ...JSON_FLAG })
            .epilogue(
              "When `discover` is set, the collector reads the list by itself every `discover_hours`; with discover_mode = enrol it also configures new customers. Exit code 6: some customers could not be written, the others are done.",
            )
            .example("$0 customers discover --config defender-mssp.properties", "who is new, renamed, ending or gone")
            .example("$0 customers discover --config inputs.conf --discover file:customers.csv", "a list in a file"),
        run(async () => (await import("./customers-discover.ts")).discoverCustomers),
      )
      .demandCommand(1, "Give one of add, import, list, remove, discover."),
  );
}
