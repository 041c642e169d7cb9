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
function settingsOfNew(): Readonly<Record<string, object>> {
  const shown = new Set(["credential", "proxy", "ca-file", "start"]);
  return Object.fromEntries(Object.entries(settingsShown(shown)).filter(([name]) => !NOT_SHARED.has(name)));
}

/** `customers add`, `import`, `list`, `remove`. */
export function addCustomersCommands(parser: Argv, { shared, splunk, run }: CustomersHost): Argv {
  const { config, state } = shared;
  const where = {
    config: config ?? {},
    state: state ?? {},
    to: { ...text("splunk: Splunk's inputs, through its REST interface, instead of a file"), choices: ["splunk"] },
    ...splunk,
    "splunkd-ca-file": settingFlags("cli")["splunkd-ca-file"] ?? {},
  };
  const confOnly = {
    "conf-only": text("With --to splunk: writes the inputs to this new file, so that one restart of Splunk is enough"),
  };
  return parser.command("customers", "Adds, lists and removes customers, one by one or from a list", (y) =>
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
            .example("$0 customers import customers.csv --to splunk --apply", "creates Splunk's inputs"),
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
                ...text("splunk: credentials are in Splunk, and without --config the customers too"),
                choices: ["splunk", "file"],
              },
            })
            .options(settingsShown(new Set()))
            .options({ waiting: yes("Only customers that have not consented yet"), ...JSON_FLAG })
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
      .demandCommand(1, "Give one of add, import, list, remove."),
  );
}
