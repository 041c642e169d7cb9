/** What discovery does with the configured customers of a file or of Splunk. */
import { indexLike, type ListedCustomer, readCustomerList } from "../../config/customer-list.ts";
import { flagName } from "../../config/flags.ts";
import { inParallel } from "../../model/concurrency-limiter.ts";
import type {
  ConfiguredNames,
  CustomerListing,
  DiscoverySettings,
  ListedTenant,
  NamedCustomer,
} from "../../model/discovered.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { RosterChange } from "../../model/roster.ts";
import { CUSTOMER_ROWS } from "../../model/settings-table.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { type TenantId, tenantIdFrom } from "../../model/tenant.ts";
import { CUSTOMERS_AT_ONCE, type Flags } from "./ask.ts";
import { configuredTenants, differenceOf } from "./roster-changes.ts";
import { type RosterPlace, writeChanges } from "./roster-place.ts";

type Services = Pick<OnboardingServices, "roster" | "nowMs">;

/** The configured customers by tenant, and those of which it is not known. */
export async function customersByTenant(services: Services, place: RosterPlace): Promise<ConfiguredNames> {
  const names = new Map<TenantId, string>();
  const unresolved: string[] = [];
  for (const { customer, tenantId } of await configuredTenants(services, place, {})) {
    const id = tenantIdFrom(tenantId);
    // Of two inputs for one tenant the first is its customer.
    if (id === undefined) unresolved.push(customer.name);
    else if (!names.has(id)) names.set(id, customer.name);
  }
  return { names, unresolved };
}

/** Settings that say which customer it is, and those that a list gives, are not copied to another one. */
const OF_ONE_CUSTOMER = new Set(["tenant_id", "tenant_name", "cloud", "credential", "streams", "index", "auth"]);
/** Splunk shows settings of the whole process in each input. */
const COPIED = CUSTOMER_ROWS.map(({ key }) => key as string).filter((key) => !OF_ONE_CUSTOMER.has(key));

export interface Enrolment {
  readonly settings: Pick<DiscoverySettings, "defaults">;
  /** The shared credential of those for which neither list nor model names one. */
  readonly credential: string | undefined;
  /** Rows of a file, by tenant: they win over the model. */
  readonly rows: ReadonlyMap<TenantId, ListedCustomer>;
  readonly flags: Flags;
}

/**
 * Writes customers as `customers add` does, with the settings of the model customer. The result names those
 * that could not be written: all of them if the model is not configured.
 */
export async function enrol(
  services: Services,
  place: RosterPlace,
  customers: readonly NamedCustomer[],
  { settings, credential, rows, flags }: Enrolment,
): Promise<ReadonlyMap<TenantId, Failure>> {
  const model = place.customers.find(({ name }) => name === settings.defaults);
  if (settings.defaults !== undefined && model === undefined) {
    const failure = noModel(settings.defaults, place.name);
    return new Map(customers.map(({ tenantId }) => [tenantId, failure]));
  }
  const values = model?.values ?? {};
  const indexes = new Set(place.customers.map((one) => one.values["index"] ?? ""));
  const listed = customers.map(({ tenantId, name }, line): ListedCustomer => {
    const row = rows.get(tenantId);
    const index = row?.index || indexLike(values["index"] ?? "", model?.name ?? "", { name, tenantId }, indexes);
    indexes.add(index);
    return {
      line,
      name,
      tenant: tenantId,
      index,
      cloud: row?.cloud ?? "",
      streams: row?.streams || (values["streams"] ?? ""),
      credential: row?.credential || (values["credential"] ?? ""),
    };
  });
  const likeModel = Object.fromEntries(
    Object.entries(values)
      .filter(([key]) => COPIED.includes(key))
      .map(([key, value]) => [flagName(key), value]),
  );
  const { rows: rowsNow, wrong } = await differenceOf(
    services,
    place,
    listed,
    { credential },
    { ...likeModel, ...flags },
  );
  const failures = new Map<TenantId, Failure>();
  for (const { line, say } of wrong) {
    const customer = customers[line];
    if (customer !== undefined) failures.set(customer.tenantId, notWritten(`${customer.name} ${say}.`));
  }
  // Whoever is there already was configured by a person.
  for (const { kind, name, tenantId } of rowsNow) {
    const id = kind === "add" ? undefined : tenantIdFrom(tenantId);
    if (id !== undefined) failures.set(id, notWritten(`${name} (${id}) is configured already.`));
  }
  const changes = rowsNow.filter(({ kind }) => kind === "add").map(({ change }) => change);
  return merged(failures, await write(place, changes, customers));
}

/**
 * Takes customers out of the configuration. The result names those that stayed: also one whose name belongs
 * to another tenant by now, or to one that cannot be looked up.
 */
export async function remove(
  services: Services,
  place: RosterPlace,
  customers: readonly NamedCustomer[],
): Promise<ReadonlyMap<TenantId, Failure>> {
  const failures = new Map<TenantId, Failure>();
  const changes: RosterChange[] = [];
  const there = await configuredTenants(services, place, {});
  for (const { name, tenantId } of customers) {
    const named = there.filter(({ customer }) => customer.name === name);
    const other = named.find((one) => one.tenantId.toLowerCase() !== tenantId);
    if (other !== undefined) failures.set(tenantId, notRemoved(name, tenantId, other.tenantId));
    else if (named.length > 0) changes.push({ kind: "remove", name, values: {} });
  }
  return merged(failures, await write(place, changes, customers));
}

async function write(
  place: RosterPlace,
  changes: readonly RosterChange[],
  customers: readonly NamedCustomer[],
): Promise<ReadonlyMap<TenantId, Failure>> {
  const tenantOf = new Map(customers.map(({ name, tenantId }) => [name, tenantId]));
  const failures = new Map<TenantId, Failure>();
  try {
    for (const { change, failure } of await writeChanges(place, changes)) {
      const tenantId = tenantOf.get(change.name);
      if (tenantId !== undefined) failures.set(tenantId, failure);
    }
  } catch (error) {
    // The file as a whole was not written.
    if (!isFailure(error)) throw error;
    for (const { name } of changes) {
      const tenantId = tenantOf.get(name);
      if (tenantId !== undefined) failures.set(tenantId, error);
    }
  }
  return failures;
}

function merged<K, V>(...maps: readonly ReadonlyMap<K, V>[]): ReadonlyMap<K, V> {
  return new Map(maps.flatMap((map) => [...map]));
}

function noModel(name: string, where: string): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `\`discover_defaults\` names ${name}, but no customer in ${where} has that name, so no customer is enrolled.`,
    nextStep: "Set `discover_defaults` to the name of a configured customer.",
  });
}

function notWritten(say: string): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "later" },
    say: `${say} It is not enrolled.`,
    nextStep: "Correct `discover_defaults`, its customer's settings, or the list; it is tried again within the hour.",
  });
}

function notRemoved(name: string, tenantId: TenantId, other: string): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name} (${tenantId}) ended, but that name is configured with the tenant ${other}, so it is not removed.`,
    nextStep: "If it is the same customer, remove it yourself. It is compared again within the hour.",
  });
}

/** What a file of customers says, as a list that can be compared. */
export interface FileListing extends CustomerListing {
  readonly rows: ReadonlyMap<TenantId, ListedCustomer>;
  /** Sentences about rows that are not used. */
  readonly wrong: readonly string[];
}

/**
 * Reads `discover = file:LIST.csv`; domains are looked up. A row that cannot be used makes the list
 * incomplete. Throws Failure `discovery-doubtful` for a file that is missing, torn, or no list.
 */
export async function readListFile(
  services: Services,
  file: string,
  text: string | undefined,
  like: Pick<Stanza, "endpoints" | "route">,
): Promise<FileListing> {
  if (text === undefined) throw unusableFile(`The list of customers ${file} does not exist`);
  const list = readCustomerList(text);
  if (!list.ok) throw unusableFile(`The list of customers ${file} ${list.say}`);
  const wrong = list.wrong.map(({ line, say }) => `Line ${line} ${say}.`);
  const tenants = new Map<TenantId, ListedTenant>();
  const rows = new Map<TenantId, ListedCustomer>();
  const found = new Map<ListedCustomer, TenantId>();
  await inParallel(list.customers, CUSTOMERS_AT_ONCE, async (row) => {
    const { name, tenant, line } = row;
    try {
      const known = tenantIdFrom(tenant);
      const id =
        known ??
        (await services.roster.findTenant({ ...like, tenantId: tenant, tenantName: name }, undefined)).tenantId;
      found.set(row, id);
    } catch (error) {
      if (!isFailure(error)) throw error;
      wrong.push(`Line ${line} (${name}) is not used: ${error.say}`);
    }
  });
  for (const row of list.customers) {
    const tenantId = found.get(row);
    if (tenantId === undefined) continue;
    if (rows.has(tenantId))
      wrong.push(`Line ${row.line} (${row.name}) has the same tenant as ${rows.get(tenantId)?.name}.`);
    else {
      rows.set(tenantId, row);
      tenants.set(tenantId, { tenantId, name: row.name, relationships: [] });
    }
  }
  return { source: "file", tenants: [...tenants.values()], isComplete: wrong.length === 0, rows, wrong };
}

function unusableFile(what: string): Failure {
  return new Failure("discovery-doubtful", {
    actor: "operator",
    retry: { when: "later" },
    say: `${what}; nothing was changed.`,
    nextStep: "Correct the file. It is read again within the hour.",
  });
}
