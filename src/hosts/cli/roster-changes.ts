import type { ListedCustomer, WrongRow } from "../../config/customer-list.ts";
import { valuesFromFlags } from "../../config/flags.ts";
import {
  type ConfiguredTenant,
  compareList,
  type FoundCustomer,
  foundCustomer,
  type ListDefaults,
  type RosterDifference,
  type RowDefaults,
  settingsOfRow,
  stanzaFrom,
} from "../../config/list-difference.ts";
import type { CloudName } from "../../model/cloud.ts";
import { CLOUD_NAMES, CLOUDS } from "../../model/cloud.ts";
import { inParallel } from "../../model/concurrency-limiter.ts";
import { isFailure } from "../../model/failure.ts";
import type { ConfiguredCustomer, TenantFound } from "../../model/roster.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import { CUSTOMERS_AT_ONCE, type Flags } from "./ask.ts";
import type { RosterPlace } from "./roster-place.ts";

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
  const found = new Map<ListedCustomer, FoundCustomer>();
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
  return compareList(listed, found, wrong, configured, place);
}

/** Settings given as flags go to every new customer: proxies, addresses, intervals. */
function settingsOf(flags: Flags): Readonly<Record<string, string>> {
  const ofOne = new Set(["tenant_id", "tenant_name", "cloud", "credential", "streams", "state_dir", "splunkd_ca_file"]);
  return Object.fromEntries(
    Object.entries(valuesFromFlags(flags)).filter(([key]) => !ofOne.has(key) && !/^discover(?:_|$)/.test(key)),
  );
}

/** The settings of a new customer, or why the row is wrong. */
async function lookUp(
  services: Pick<OnboardingServices, "roster" | "nowMs">,
  place: RosterPlace,
  row: ListedCustomer,
  defaults: RowDefaults,
): Promise<FoundCustomer | string> {
  const settings = settingsOfRow(row, place, defaults, services.nowMs());
  if (typeof settings === "string") return settings;
  const cloud = CLOUD_NAMES.find((name) => name === row.cloud);
  const usual = place.common["cloud"] as CloudName | undefined;
  const tenant = await findTenant(
    services,
    settings.stanza,
    cloud ?? usual,
    defaults.present?.values["login_url"] ?? settings.own["login_url"] ?? place.common["login_url"],
  );
  if (typeof tenant === "string") return tenant;
  return foundCustomer(row, place, settings, { tenantId: tenant.tenantId, cloud: cloud ?? tenant.cloud });
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
  const stanza = stanzaFrom(place, name, services.nowMs(), {
    credential: "any",
    ...given,
    ...values,
    streams: "alerts",
  });
  if (typeof stanza === "string") return undefined;
  try {
    return (await services.roster.findTenant(stanza, undefined)).tenantId;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return undefined;
  }
}
