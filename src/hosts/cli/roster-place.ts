import path from "node:path";
import { flagName, valuesFromFlags } from "../../config/flags.ts";
import { readConfRoster, readPropertiesRoster } from "../../config/roster-file.ts";
import { SCHEME } from "../../config/scheme.ts";
import type { SettingsHost } from "../../config/settings.ts";
import type { Failure } from "../../model/failure.ts";
import type { ChangeReport, ConfiguredCustomer, RosterChange, SplunkRoster } from "../../model/roster.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import type { Flags } from "./ask.ts";
import { splunkAccess, textFlag, usage } from "./ask.ts";

/** Where a `customers` command finds the customers and writes them. */
export interface RosterPlace {
  /** As a sentence names it. */
  readonly name: string;
  readonly host: SettingsHost;
  readonly customers: readonly ConfiguredCustomer[];
  /** Settings there that hold for every customer which has no own ones. */
  readonly common: Readonly<Record<string, string>>;
  /** Settings of the whole process there; in Splunk each input repeats them. */
  readonly globals: Readonly<Record<string, string>>;
  /** Does a customer's `index` count here? */
  readonly usesIndex: boolean;
  /** Settings of a customer that are written there. Absent: all. */
  readonly keeps?: (key: string) => boolean;
  /** Where checkpoints of its customers are. Absent: in the state folder. */
  readonly checkpoints?: string;
  /** Sentences on these customers, or on all there, that another configuration has with other settings. */
  readonly differing?: (customers: readonly ConfiguredCustomer[]) => readonly string[];
  /** What makes the changes count: a sentence. */
  readonly counts: (count: number) => string;
  write(changes: readonly RosterChange[], report: ChangeReport): Promise<void>;
}

/**
 * Reads `--config FILE`, Splunk's inputs with `--to splunk`, or with `--to fleet` the database of the fleet
 * that FILE names. Throws Failure `usage`, `settings`, and what the database says.
 */
export async function rosterPlace(services: OnboardingServices, flags: Flags): Promise<RosterPlace> {
  const file = textFlag(flags, "config");
  if (flags["to"] === "fleet") return fleetPlace(services, flags);
  const inSplunk = flags["to"] === "splunk";
  if (inSplunk && file !== undefined) throw usage("--config and --to splunk are two places.", "Give one of them.");
  if (inSplunk) return inputsPlace(services, flags);
  if (textFlag(flags, "conf-only") !== undefined)
    throw usage("--conf-only belongs to --to splunk.", "Give --config FILE to write a file by itself.");
  if (file === undefined)
    throw usage("It is not known where the customers are.", "Give --config FILE, or --to splunk.");
  return filePlace(services, file);
}

/** Reads a configuration file. Throws Failure `usage`, `settings`. */
export async function filePlace(
  services: Pick<OnboardingServices, "readText" | "roster">,
  file: string,
): Promise<RosterPlace> {
  const kind = path.extname(file).toLowerCase();
  if (kind !== ".conf" && kind !== ".properties")
    throw usage(
      `${file} ends in neither .conf nor .properties.`,
      "Give an inputs.conf or the helper's properties file.",
    );
  const encoding = kind === ".conf" ? "utf8" : "latin1";
  const before = await services.readText(file, encoding);
  const read = kind === ".conf" ? readConfRoster(before ?? "") : readPropertiesRoster(before ?? "");
  if (!read.ok) throw usage(`${file} cannot be changed. ${read.say}`, "Correct the file, then run the command again.");
  return {
    name: file,
    host: kind === ".conf" ? "cli" : "arcsight",
    customers: read.customers,
    common: read.common,
    globals: read.globals,
    usesIndex: read.usesIndex,
    counts: () =>
      kind === ".conf"
        ? "Splunk reads it when it starts, or when the input is reloaded."
        : "A running helper reads it after `systemctl reload defender-mssp`.",
    async write(changes, report) {
      await services.roster.replaceFile(file, before, read.with(changes), encoding);
      for (const change of changes) report(change, undefined);
    },
  };
}

async function inputsPlace(services: OnboardingServices, flags: Flags): Promise<RosterPlace> {
  const splunk = await services.roster.splunk(() => splunkAccess(services, flags));
  const inputs = await placeOfInputs(splunk);
  const file = textFlag(flags, "conf-only");
  const isThere = file !== undefined && (await services.readText(file, "utf8")) !== undefined;
  if (isThere) throw usage(`${file} exists already.`, "Give another file; it is new and is copied by you.");
  if (file === undefined) return inputs;
  return {
    ...inputs,
    name: file,
    counts: () => "Append the file to local/inputs.conf of TA_defender_mssp, then restart Splunk once.",
    async write(changes, report) {
      const stanzas = changes.map(
        ({ name, values }) =>
          `[${SCHEME}://${name}]\n${Object.entries(values)
            .map(([key, value]) => `${key} = ${value}\n`)
            .join("")}`,
      );
      await services.roster.replaceFile(file, undefined, stanzas.join("\n"), "utf8");
      for (const change of changes) report(change, undefined);
    },
  };
}

/** The customers that are Splunk's inputs. Throws Failure `splunkd-…`. */
export async function placeOfInputs(splunk: SplunkRoster): Promise<RosterPlace> {
  return {
    name: "Splunk's inputs",
    host: "splunk",
    customers: await splunk.read(),
    common: {},
    globals: {},
    usesIndex: true,
    counts: (count) =>
      `Splunk restarted the program up to ${count} ${count === 1 ? "time" : "times"}, once per input; it collects by itself. With --conf-only FILE one restart is enough.`,
    write: (changes, report) => splunk.write(changes, report),
  };
}

/** The way to Microsoft belongs to each member: here it is only used to look tenants up. */
const ONLY_USED_HERE = new Set([
  "cloud",
  "streams",
  "credential",
  "login_url",
  "graph_url",
  "api_url",
  "siem_url",
  "proxy",
  "no_proxy",
  "ca_file",
  "state_dir",
  "splunkd_ca_file",
]);

async function fleetPlace(services: OnboardingServices, flags: Flags): Promise<RosterPlace> {
  if (textFlag(flags, "conf-only") !== undefined)
    throw usage("--conf-only belongs to --to splunk.", "Run the command without --conf-only.");
  const roster = await services.roster.fleet(flags);
  const other = Object.keys(valuesFromFlags(flags)).find(
    (key) => !roster.keeps(key) && !ONLY_USED_HERE.has(key) && !key.startsWith("discover"),
  );
  if (other !== undefined)
    throw usage(
      `${roster.name} does not hold ${other}. Nothing is changed.`,
      `Give --${flagName(other)} to \`defender-mssp run\` on every member; there it holds for all customers.`,
    );
  return {
    name: roster.name,
    host: "arcsight",
    customers: await roster.read(),
    common: {},
    globals: {},
    usesIndex: roster.usesIndex,
    keeps: roster.keeps,
    checkpoints: roster.name,
    differing: (customers) => roster.differing(customers),
    counts: () => "Every member collects accordingly within a minute; nothing has to be restarted.",
    write: (changes, report) => roster.write(changes, report),
  };
}

/** Runs the changes and gathers those that failed. */
export async function writeChanges(
  place: RosterPlace,
  changes: readonly RosterChange[],
): Promise<readonly { readonly change: RosterChange; readonly failure: Failure }[]> {
  const failed: { change: RosterChange; failure: Failure }[] = [];
  if (changes.length > 0)
    await place.write(changes, (change, failure) => {
      if (failure !== undefined) failed.push({ change, failure });
    });
  return failed;
}
