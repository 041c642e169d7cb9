import type { ListedCustomer } from "../../config/customer-list.ts";
import { valuesFromFlags } from "../../config/flags.ts";
import { parseStanzas, readDestination } from "../../config/settings.ts";
import type {
  DiscoveryHost,
  DiscoveryReport,
  DiscoverySettings,
  Finding,
  NamedCustomer,
} from "../../model/discovered.ts";
import { isRefusal } from "../../model/discovered.ts";
import type { ExitCode } from "../../model/failure.ts";
import { EXIT, exitCodeOf, isFailure } from "../../model/failure.ts";
import { inUtc } from "../../model/granted-permissions.ts";
import { apisOf } from "../../model/permissions.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import type { GlobalSettings, Stanza } from "../../model/stanza.ts";
import type { TenantId } from "../../model/tenant.ts";
import type { Flags } from "./ask.ts";
import { secretPlace, textFlag, usage } from "./ask.ts";
import { credentialForNew } from "./customers.ts";
import { customersByTenant, enrol, readListFile, remove } from "./discovered-customers.ts";
import { homeApp } from "./home-app.ts";
import { type RosterPlace, rosterPlace } from "./roster-place.ts";

/** `customers discover`: shows what the list of customers changes; `--apply` does it. */
export async function discoverCustomers(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const place = await rosterPlace(services, flags);
  const found = settingsIn(services, place, flags);
  const { settings, globals, like } = found;
  const apply = flags["apply"] === true;
  const stateDir = textFlag(flags, "state") ?? globals.stateDir;
  // The state folder is known here, also where no customer is configured yet.
  const withState = stateDir === undefined ? flags : { ...flags, state: stateDir };
  const rows = new Map<TenantId, ListedCustomer>();
  const home =
    settings.credential === undefined
      ? undefined
      : await homeApp(await secretPlace(services, withoutConfig(withState)), settings.credential, like);
  const host: DiscoveryHost = {
    configured: () => customersByTenant(services, place),
    refuses: (customer) => refuses(services, customer, withState),
    async enrol(customers) {
      const unnamed = customers.map(({ name, tenantId }) => ({
        name,
        credential: rows.get(tenantId)?.credential ?? "",
      }));
      const credential =
        settings.defaults === undefined
          ? await credentialForNew(services, place, unnamed, withoutConfig(withState), settings.credential)
          : undefined;
      return enrol(services, place, customers, { settings, credential, rows, flags });
    },
    // The file was read before customers were added to it.
    remove: async (customers) => remove(services, await rosterPlace(services, flags), customers),
  };
  const { listFile } = settings;
  const report = await services.roster.discover(
    {
      settings,
      stateDir,
      isDry: !apply,
      isConfirmed: apply,
      ...(home === undefined ? {} : { home }),
      ...(listFile === undefined
        ? {}
        : {
            async readFile() {
              const list = await readListFile(services, listFile, await services.readText(listFile, "utf8"), like);
              for (const say of list.wrong) services.terminal.say(say);
              for (const [tenantId, row] of list.rows) rows.set(tenantId, row);
              return list;
            },
          }),
    },
    host,
  );
  show(services, report, flags["json"] === true);
  return finish(services, place, report, apply);
}

/** Secrets are looked for in the state folder or in Splunk; the configuration may hold no customer yet. */
function withoutConfig(flags: Flags): Flags {
  const { config: _, ...rest } = flags;
  return rest;
}

interface FoundSettings {
  readonly settings: DiscoverySettings;
  readonly globals: GlobalSettings;
  /** Where requests of the home app go: as those of the model customer, else of the first one. */
  readonly like: Pick<Stanza, "endpoints" | "route" | "cloud">;
}

function settingsIn({ nowMs }: OnboardingServices, place: RosterPlace, flags: Flags): FoundSettings {
  const given = valuesFromFlags(flags);
  const { stanzas, globals, discovery, problems } = parseStanzas(
    place.customers.map(({ name, values }) => ({ name, values: { ...place.common, ...values } })),
    {
      host: place.host === "splunk" ? "cli" : place.host,
      nowMs: nowMs(),
      globals: { ...place.globals, ...given },
      known: () => true,
    },
  );
  if (discovery === undefined) {
    const [wrong] = problems.filter(({ key }) => key.startsWith("discover"));
    throw wrong === undefined
      ? usage(
          `${place.name} names no list of customers.`,
          "Set `discover` there, or give --discover gdap --discover-credential NAME, or --discover file:LIST.csv.",
        )
      : usage(`\`${wrong.key}\` ${wrong.say}.`, `Correct it in ${place.name}, or give it as a flag.`);
  }
  const sorted = stanzas.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const model = sorted.find(({ name }) => name === discovery.defaults) ?? sorted[0];
  const said: string[] = [];
  const typed = readDestination({ ...place.common, ...given }, (key, say) => said.push(`\`${key}\` ${say}.`));
  if (typed === undefined) throw usage(said.join(" "));
  // Addresses on the command line are for this command, whatever the customers have.
  const hasTyped = ["login-url", "graph-url", "proxy", "ca-file", "cloud"].some((flag) => flags[flag] !== undefined);
  const cloud = model?.cloud ?? "commercial";
  return { settings: discovery, globals, like: model === undefined || hasTyped ? { ...typed, cloud } : model };
}

/**
 * Asked for tokens as the collector would ask. One API that gives a token, or cannot be asked, means that it
 * is still a customer.
 */
export async function refuses(services: OnboardingServices, { name }: NamedCustomer, flags: Flags): Promise<boolean> {
  const { stanzas } = await services.customers({ ...flags, customer: [name] }, { needSecrets: true });
  const stanza = stanzas.find((one) => one.name === name);
  if (stanza === undefined) return false;
  const apis = apisOf(stanza.streams);
  for (const api of apis) {
    try {
      await services.signInService.accessToken(stanza, api, () => Promise.resolve());
      return false;
    } catch (error) {
      if (!isFailure(error)) throw error;
      if (!isRefusal(error.code, error.actor)) return false;
    }
  }
  return apis.length > 0;
}

const SIGNS: Readonly<Record<Finding["kind"], string>> = {
  found: "+",
  renamed: "~",
  ending: "!",
  missing: "?",
  ended: "-",
};

function show({ terminal, commands }: OnboardingServices, report: DiscoveryReport, json: boolean): void {
  const { customers, changes, wanted, enrolled, failures } = report;
  const isNamed = new Set(changes.map(({ tenantId }) => tenantId));
  if (json) {
    const byTenant = Map.groupBy(changes, ({ tenantId }) => tenantId);
    for (const [tenantId, customer] of customers) {
      const own = byTenant.get(tenantId) ?? [];
      const { name, ...rest } = customer;
      const line = {
        customer: name,
        tenant_id: tenantId,
        changes: own.map(({ kind }) => kind),
        ...rest,
        enrolled: enrolled.has(tenantId),
        say: [...own.map((change) => sayOf(change)), failures.get(tenantId)?.say ?? ""]
          .filter((say) => say !== "")
          .join(" "),
      };
      terminal.out(`${JSON.stringify(line)}\n`);
    }
    return;
  }
  for (const change of changes)
    terminal.out(
      `${SIGNS[change.kind]} ${change.customer.name}  ${change.tenantId}  ${commands.inText(sayOf(change))}\n`,
    );
  for (const tenantId of wanted)
    if (!isNamed.has(tenantId)) {
      const name = customers.get(tenantId)?.name ?? "";
      terminal.out(
        `+ ${name}  ${tenantId}  was announced, and is ${enrolled.has(tenantId) ? "configured now" : "not configured"}\n`,
      );
    }
  for (const [tenantId, { name, decided, excluded_by }] of customers)
    if (decided === "excluded")
      terminal.out(`x ${name}  ${tenantId}  is left out: ${WHY[excluded_by ?? ""] ?? excluded_by}\n`);
  const quiet = [...customers].filter(
    ([tenantId, { decided }]) => !isNamed.has(tenantId) && !enrolled.has(tenantId) && decided === "enrolled",
  );
  if (quiet.length > 0) terminal.out(`= ${customersIn(quiet.length)} unchanged\n`);
}

const WHY: Readonly<Record<string, string>> = {
  discover_exclude: "discover_exclude names it",
  discover_match: "no relationship fits discover_match",
  transition: "it has only Microsoft's transition relationship (MLT_)",
};

function sayOf({ kind, customer, before, failure }: DiscoveryReport["changes"][number]): string {
  if (failure !== undefined) return failure.say;
  if (kind === "renamed") return `is listed as ${customer.listed_name} instead of ${before}; it keeps its name`;
  return `is missing from the list since ${inUtc(customer.missing_since ?? "")}; it stays until its tenant refuses this program too`;
}

function finish(
  { terminal }: OnboardingServices,
  place: RosterPlace,
  { wanted, enrolled, removed, failures, customers, rejection }: DiscoveryReport,
  apply: boolean,
): ExitCode {
  const count = enrolled.size + removed.size;
  if (rejection !== undefined)
    terminal.say(`A collector does not believe this list: ${rejection.say} ${rejection.nextStep}`);
  if (!apply && wanted.length > 0)
    terminal.say(`Nothing is written yet. To write ${customersIn(wanted.length)}, run the command again with --apply.`);
  else if (!apply) terminal.say(`Nothing is written. ${customersIn(customers.size)} ${are(customers.size)} known.`);
  else if (count === 0) terminal.say(`${place.name} needs no change.`);
  else {
    if (enrolled.size > 0)
      terminal.say(`${customersIn(enrolled.size)} ${are(enrolled.size)} written to ${place.name}.`);
    if (removed.size > 0) terminal.say(`${customersIn(removed.size)} ${are(removed.size)} removed from ${place.name}.`);
    terminal.say(place.counts(count));
  }
  const [first] = failures.values();
  if (first === undefined) return EXIT.done;
  terminal.say(`${failures.size} could not be written: ${first.say} ${first.nextStep}`);
  return count > 0 ? EXIT.someCustomers : exitCodeOf(first);
}

function are(count: number): string {
  return count === 1 ? "is" : "are";
}

function customersIn(count: number): string {
  return `${count} ${count === 1 ? "customer" : "customers"}`;
}
