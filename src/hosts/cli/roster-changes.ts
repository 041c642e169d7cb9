import type { ListedCustomer, WrongRow } from "../../config/customer-list.ts";
import { valuesFromFlags } from "../../config/flags.ts";
import { parseStanzas } from "../../config/settings.ts";
import type { CloudName } from "../../model/cloud.ts";
import { CLOUD_NAMES, CLOUDS } from "../../model/cloud.ts";
import { inParallel } from "../../model/concurrency-limiter.ts";
import { isFailure } from "../../model/failure.ts";
import type { ConfiguredCustomer, RosterChange, TenantFound } from "../../model/roster.ts";
import { INDEX_NAME } from "../../model/settings-table.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import { CUSTOMERS_AT_ONCE, type Flags } from "./ask.ts";
import type { RosterPlace } from "./roster-place.ts";

/** One row of the list, compared with what is configured. */
export interface ListedDifference {
  readonly kind: "add" | "change" | "unchanged";
  /** As it is configured; it is on events, so a list does not change it. */
  readonly name: string;
  readonly tenantId: string;
  readonly change: RosterChange;
  /** Of a changed setting: what is configured now. */
  readonly before: Readonly<Record<string, string>>;
  /** A sentence for the reader; empty if there is nothing to say. */
  readonly remark: string;
}

export interface RosterDifference {
  readonly rows: readonly ListedDifference[];
  readonly wrong: readonly WrongRow[];
  /** Configured, but not in the list. */
  readonly notListed: readonly ConfiguredCustomer[];
}

/** What every new customer of a list gets. */
export interface ListDefaults {
  readonly credential: string | undefined;
}

/**
 * Compares a list with the configured customers. Every tenant is looked up at its sign-in service first, so
 * that a wrong domain is refused now and not by a collector later. A wrong row stops no other one.
 */
export async function differenceOf(
  services: Pick<OnboardingServices, "roster" | "nowMs">,
  place: RosterPlace,
  listed: readonly ListedCustomer[],
  defaults: ListDefaults,
  flags: Flags,
  looked: (done: number) => void = () => undefined,
): Promise<RosterDifference> {
  const given = settingsOf(flags);
  const customers = new Map(place.customers.toReversed().map((customer) => [customer.name.toLowerCase(), customer]));
  const wrong: WrongRow[] = [];
  const found = new Map<ListedCustomer, Found>();
  let done = 0;
  await inParallel(listed, CUSTOMERS_AT_ONCE, async (row) => {
    const customer = customers.get(row.name.toLowerCase());
    const result = await lookUp(services, place, row, { ...defaults, given, present: customer });
    if (typeof result === "string") wrong.push({ line: row.line, name: row.name, say: result });
    else found.set(row, result);
    done += 1;
    looked(done);
  });

  const configured = await configuredTenants(services, place, given);
  // The first of equal ones counts.
  const byName = new Map(configured.toReversed().map((one) => [one.customer.name.toLowerCase(), one]));
  const byTenant = new Map(configured.toReversed().map((one) => [one.tenantId, one]));
  const lineOfTenant = new Map<string, ListedCustomer>();
  const seen = new Set<ConfiguredCustomer>();
  const rows: ListedDifference[] = [];
  for (const row of listed) {
    const at = found.get(row);
    if (at === undefined) continue;
    const before = lineOfTenant.get(at.tenantId);
    if (before !== undefined) {
      wrong.push({
        line: row.line,
        name: row.name,
        say: `has the same tenant as ${before.name} on line ${before.line}; keep one of them`,
      });
      continue;
    }
    lineOfTenant.set(at.tenantId, row);
    const named = byName.get(row.name.toLowerCase());
    const sameTenant = byTenant.get(at.tenantId);
    if (named !== undefined && named.tenantId !== at.tenantId) {
      seen.add(named.customer);
      wrong.push({
        line: row.line,
        name: row.name,
        say: `has tenant ${at.tenantId}, but ${named.customer.name} is configured with ${named.tenantId}; remove that customer first if it moved`,
      });
      continue;
    }
    const present = (named ?? sameTenant)?.customer;
    if (present === undefined) {
      rows.push({
        kind: "add",
        name: row.name,
        tenantId: at.tenantId,
        change: { kind: "add", name: row.name, values: at.values },
        before: {},
        remark: remarkOnCloud(row, at),
      });
      continue;
    }
    seen.add(present);
    rows.push(changed(present, row, at, place.common["cloud"] ?? "commercial"));
  }
  return {
    rows,
    wrong: wrong.toSorted((a, b) => a.line - b.line),
    notListed: place.customers.filter((customer) => !seen.has(customer)),
  };
}

/** Settings given as flags go to every new customer: proxies, addresses, intervals. */
function settingsOf(flags: Flags): Readonly<Record<string, string>> {
  const ofOne = new Set(["tenant_id", "tenant_name", "cloud", "credential", "streams", "state_dir", "splunkd_ca_file"]);
  return Object.fromEntries(
    Object.entries(valuesFromFlags(flags)).filter(([key]) => !ofOne.has(key) && !/^discover(?:_|$)/.test(key)),
  );
}

interface Found {
  readonly tenantId: string;
  /** All settings of a new customer. */
  readonly values: Readonly<Record<string, string>>;
}

interface RowDefaults extends ListDefaults {
  readonly given: Readonly<Record<string, string>>;
  /** The configured customer of the row's name, whatever the case of its letters. */
  readonly present: ConfiguredCustomer | undefined;
}

/** The settings of a new customer, or why the row is wrong. */
async function lookUp(
  services: Pick<OnboardingServices, "roster" | "nowMs">,
  place: RosterPlace,
  row: ListedCustomer,
  { credential, given, present }: RowDefaults,
): Promise<Found | string> {
  const wrongIndex = indexProblem(row.index);
  if (wrongIndex !== undefined) return wrongIndex;
  const own: Readonly<Record<string, string>> = {
    ...given,
    ...withoutEmpty({ credential: row.credential || (present?.values["credential"] ?? credential ?? "") }),
    auth: "app",
    ...withoutEmpty({ streams: row.streams }),
  };
  // What is configured says where its sign-in service is.
  const read = parse(services, place, row.name, {
    ...present?.values,
    ...own,
    ...withoutEmpty({ tenant_id: row.tenant, cloud: row.cloud }),
  });
  if (typeof read === "string") return read;
  const cloud = CLOUD_NAMES.find((name) => name === row.cloud);
  const usual = place.common["cloud"] as CloudName | undefined;
  const tenant = await findTenant(
    services,
    read,
    cloud ?? usual,
    present?.values["login_url"] ?? own["login_url"] ?? place.common["login_url"],
  );
  if (typeof tenant === "string") return tenant;
  const real = cloud ?? tenant.cloud ?? usual ?? "commercial";
  return {
    tenantId: tenant.tenantId,
    values: {
      tenant_id: tenant.tenantId,
      ...(real === (usual ?? "commercial") ? {} : { cloud: real }),
      ...own,
      ...(place.usesIndex ? withoutEmpty({ index: row.index }) : {}),
    },
  };
}

function parse(
  { nowMs }: Pick<OnboardingServices, "nowMs">,
  place: RosterPlace,
  name: string,
  values: Readonly<Record<string, string>>,
): Stanza | string {
  const { stanzas, problems } = parseStanzas([{ name, values: { ...place.common, ...values } }], {
    host: place.host === "splunk" ? "cli" : place.host,
    nowMs: nowMs(),
  });
  const [stanza] = stanzas;
  if (stanza !== undefined) return stanza;
  return problems.map(({ key, say }) => `has a wrong ${key === "tenant_id" ? "tenant" : key}: it ${say}`).join("; ");
}

/**
 * A tenant of another cloud may be unknown where commercial ones sign in, so the clouds' sign-in services are
 * asked in turn.
 */
async function findTenant(
  { roster }: Pick<OnboardingServices, "roster">,
  stanza: Stanza,
  wanted: CloudName | undefined,
  loginUrl: string | undefined,
): Promise<TenantFound | string> {
  const logins =
    wanted !== undefined || loginUrl !== undefined
      ? [stanza.endpoints.loginUrl]
      : [...new Set([stanza.endpoints.loginUrl, ...Object.values(CLOUDS).map((cloud) => cloud.loginUrl)])];
  let said = "";
  for (const login of logins) {
    try {
      return await roster.findTenant({ ...stanza, endpoints: { ...stanza.endpoints, loginUrl: login } }, wanted);
    } catch (error) {
      if (!isFailure(error)) throw error;
      said ||= `is not used: ${error.say} ${error.nextStep}`.trim().replace(/\.$/, "");
      if (error.code !== "tenant-not-found") return said;
    }
  }
  return said;
}

/** Splunk Enterprise Admin Manual, indexes.conf: no user-defined index has "kvstore" in its name. */
function indexProblem(index: string): string | undefined {
  const { pattern, max } = INDEX_NAME;
  if (index === "" || (pattern.test(index) && index.length <= max && !index.includes("kvstore"))) return undefined;
  return "has a wrong index; write small letters, digits, _ and -, beginning with a letter or digit";
}

function withoutEmpty(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
}

export interface ConfiguredTenant {
  readonly customer: ConfiguredCustomer;
  /** The GUID; what is configured if that is a domain which cannot be looked up. */
  readonly tenantId: string;
}

/** The tenants of the configured customers; domains are looked up. */
export async function configuredTenants(
  services: Pick<OnboardingServices, "roster" | "nowMs">,
  place: RosterPlace,
  given: Readonly<Record<string, string>>,
): Promise<readonly ConfiguredTenant[]> {
  const tenants = new Map<ConfiguredCustomer, string>();
  await inParallel(place.customers, CUSTOMERS_AT_ONCE, async (customer) => {
    const typed = customer.values["tenant_id"] ?? "";
    tenants.set(customer, tenantIdFrom(typed) ?? (await resolved(services, place, customer, given)) ?? typed);
  });
  return place.customers.map((customer) => ({ customer, tenantId: tenants.get(customer) ?? "" }));
}

async function resolved(
  services: Pick<OnboardingServices, "roster" | "nowMs">,
  place: RosterPlace,
  { name, values }: ConfiguredCustomer,
  given: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const stanza = parse(services, place, name, { credential: "any", ...given, ...values, streams: "alerts" });
  if (typeof stanza === "string") return undefined;
  try {
    return (await services.roster.findTenant(stanza, undefined)).tenantId;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return undefined;
  }
}

/** A stored secret is bound to one cloud's addresses, and few lists have a customer in another one. */
function remarkOnCloud({ credential }: ListedCustomer, { values }: Found): string {
  const { cloud } = values;
  if (cloud === undefined || credential !== "") return "";
  return `It is in the cloud ${cloud}, so it needs a credential that was stored with --cloud ${cloud}.`;
}

/** Only the columns of the list are compared, and an empty field says nothing. */
function changed(present: ConfiguredCustomer, row: ListedCustomer, at: Found, usualCloud: string): ListedDifference {
  const { index = "", credential = "", streams = "" } = at.values;
  const wanted = withoutEmpty({
    index: row.index && index,
    cloud: row.cloud,
    streams: row.streams && streams,
    credential: row.credential && credential,
  });
  const now: Readonly<Record<string, string>> = { cloud: usualCloud, ...present.values };
  const values = Object.fromEntries(
    Object.entries(wanted).filter(([key, value]) => normal(now[key] ?? "") !== normal(value)),
  );
  const isRenamed = present.name !== row.name;
  return {
    kind: Object.keys(values).length === 0 ? "unchanged" : "change",
    name: present.name,
    tenantId: at.tenantId,
    change: { kind: "change", name: present.name, values },
    before: Object.fromEntries(Object.keys(values).map((key) => [key, present.values[key] ?? ""])),
    remark: isRenamed ? `The list calls it ${row.name}; it keeps its name, which is on its events.` : "",
  };
}

function normal(value: string): string {
  return value
    .split(/[\s,]+/)
    .filter((word) => word !== "")
    .join(",");
}
