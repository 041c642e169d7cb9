/**
 * A list of customers compared with the configured ones: pure, so that the command line and the page in
 * Splunk Web say the same of each row. Who a tenant is has been found out before.
 */
import type { CloudName } from "../model/cloud.ts";
import type { ConfiguredCustomer, RosterChange } from "../model/roster.ts";
import { INDEX_NAME } from "../model/settings-table.ts";
import type { Stanza } from "../model/stanza.ts";
import type { ListedCustomer, WrongRow } from "./customer-list.ts";
import { parseStanzas, type SettingsHost } from "./settings.ts";

/** One row of the list, compared with what is configured. */
export interface ListedDifference {
  readonly line: number;
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

/** Where the customers are configured. */
export interface ListPlace {
  readonly host: SettingsHost;
  readonly customers: readonly ConfiguredCustomer[];
  /** Settings there that hold for every customer which has no own ones. */
  readonly common: Readonly<Record<string, string>>;
  /** Does a customer's `index` count here? */
  readonly usesIndex: boolean;
  /** Settings of a customer that are written there. Absent: all. */
  readonly keeps?: (key: string) => boolean;
}

/** What every new customer of a list gets. */
export interface ListDefaults {
  readonly credential: string | undefined;
}

export interface RowDefaults extends ListDefaults {
  /** Settings of every new customer: proxies, addresses, intervals. */
  readonly given: Readonly<Record<string, string>>;
  /** The configured customer of the row's name, whatever the case of its letters. */
  readonly present: ConfiguredCustomer | undefined;
}

/** A row whose settings can be used. */
export interface RowSettings {
  readonly stanza: Stanza;
  /** Beside its tenant and its cloud. */
  readonly own: Readonly<Record<string, string>>;
}

/** The settings of a row, or why the row is wrong. */
export function settingsOfRow(
  row: ListedCustomer,
  place: ListPlace,
  { credential, given, present }: RowDefaults,
  nowMs: number,
): RowSettings | string {
  const wrongIndex = indexProblem(row.index);
  if (wrongIndex !== undefined) return wrongIndex;
  const own: Readonly<Record<string, string>> = {
    ...given,
    ...withoutEmpty({ credential: row.credential || (present?.values["credential"] ?? credential ?? "") }),
    auth: "app",
    ...withoutEmpty({ streams: row.streams }),
  };
  // What is configured says where its sign-in service is.
  const stanza = stanzaFrom(place, row.name, nowMs, {
    ...present?.values,
    ...own,
    ...withoutEmpty({ tenant_id: row.tenant, cloud: row.cloud }),
  });
  return typeof stanza === "string" ? stanza : { stanza, own };
}

/** One customer's settings as they are read, or what is wrong with them. */
export function stanzaFrom(
  place: ListPlace,
  name: string,
  nowMs: number,
  values: Readonly<Record<string, string>>,
): Stanza | string {
  const { stanzas, problems } = parseStanzas([{ name, values: { ...place.common, ...values } }], {
    host: place.host === "splunk" ? "cli" : place.host,
    nowMs,
  });
  const [stanza] = stanzas;
  if (stanza !== undefined) return stanza;
  return problems
    .map(({ key, say }) => `has a wrong ${key === "tenant_id" ? "tenant" : key}: ${withSubject(say)}`)
    .join("; ");
}

/** What is wrong may begin with its own subject: the value itself, or the words "the value". */
function withSubject(say: string): string {
  return /^(?:["\d+-]|the value )/.test(say) ? say : `it ${say}`;
}

/** A row whose tenant is known. */
export interface FoundCustomer {
  readonly tenantId: string;
  /** All settings of a new customer. */
  readonly values: Readonly<Record<string, string>>;
}

/** @param cloud undefined where nothing says it: then the usual one counts. */
export function foundCustomer(
  row: ListedCustomer,
  place: ListPlace,
  { own }: Pick<RowSettings, "own">,
  { tenantId, cloud }: { readonly tenantId: string; readonly cloud: CloudName | undefined },
): FoundCustomer {
  const usual = place.common["cloud"] ?? "commercial";
  const real = cloud ?? usual;
  const values = {
    tenant_id: tenantId,
    ...(real === usual ? {} : { cloud: real }),
    ...own,
    ...(place.usesIndex ? withoutEmpty({ index: row.index }) : {}),
  };
  const { keeps = () => true } = place;
  return { tenantId, values: Object.fromEntries(Object.entries(values).filter(([key]) => keeps(key))) };
}

export interface ConfiguredTenant {
  readonly customer: ConfiguredCustomer;
  /** The GUID; what is configured if that is a domain which cannot be looked up. */
  readonly tenantId: string;
}

/**
 * @param found of each row that can be used, its tenant.
 * @param wrong rows that cannot.
 */
export function compareList(
  listed: readonly ListedCustomer[],
  found: ReadonlyMap<ListedCustomer, FoundCustomer>,
  wrong: readonly WrongRow[],
  configured: readonly ConfiguredTenant[],
  place: ListPlace,
): RosterDifference {
  // The first of equal ones counts.
  const byName = new Map(configured.toReversed().map((one) => [one.customer.name.toLowerCase(), one]));
  const byTenant = new Map(configured.toReversed().map((one) => [one.tenantId, one]));
  const lineOfTenant = new Map<string, ListedCustomer>();
  const seen = new Set<ConfiguredCustomer>();
  const rows: ListedDifference[] = [];
  const allWrong = [...wrong];
  for (const row of listed) {
    const at = found.get(row);
    if (at === undefined) continue;
    const before = lineOfTenant.get(at.tenantId);
    if (before !== undefined) {
      allWrong.push({
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
      allWrong.push({
        line: row.line,
        name: row.name,
        say: `has tenant ${at.tenantId}, but ${named.customer.name} is configured with ${named.tenantId}; remove that customer first if it moved`,
      });
      continue;
    }
    const present = (named ?? sameTenant)?.customer;
    if (present === undefined) {
      rows.push({
        line: row.line,
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
    wrong: allWrong.toSorted((a, b) => a.line - b.line),
    notListed: place.customers.filter((customer) => !seen.has(customer)),
  };
}

/** What a row sets, for a reader; empty for a new customer with nothing but its tenant. */
export function settingsInWords({ kind, change, before }: ListedDifference): readonly string[] {
  return Object.entries(change.values).flatMap(([key, value]) =>
    key === "tenant_id"
      ? []
      : kind === "change"
        ? [`${key}: ${before[key] || "none"} -> ${value}`]
        : [`${key}=${value}`],
  );
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

/** A stored secret is bound to one cloud's addresses, and few lists have a customer in another one. */
function remarkOnCloud({ credential }: ListedCustomer, { values }: FoundCustomer): string {
  const { cloud } = values;
  if (cloud === undefined || credential !== "") return "";
  return `It is in the cloud ${cloud}, so it needs a credential that was stored with --cloud ${cloud}.`;
}

/** Only the columns of the list are compared, and an empty field says nothing. */
function changed(
  present: ConfiguredCustomer,
  row: ListedCustomer,
  at: FoundCustomer,
  usualCloud: string,
): ListedDifference {
  const { index = "", credential = "", streams = "" } = at.values;
  const wanted = withoutEmpty({
    index: row.index && index,
    cloud: row.cloud,
    streams: row.streams && streams,
    credential: row.credential && credential,
  });
  const values = differing({ cloud: usualCloud, ...present.values }, wanted);
  const isRenamed = present.name !== row.name;
  return {
    line: row.line,
    kind: Object.keys(values).length === 0 ? "unchanged" : "change",
    name: present.name,
    tenantId: at.tenantId,
    change: { kind: "change", name: present.name, values },
    before: Object.fromEntries(Object.keys(values).map((key) => [key, present.values[key] ?? ""])),
    remark: isRenamed ? `The list calls it ${row.name}; it keeps its name, which is on its events.` : "",
  };
}

/** The wanted settings that are not so now. */
export function differing(
  now: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(wanted).filter(([key, value]) => normal(now[key] ?? "") !== normal(value)));
}

function normal(value: string): string {
  return value
    .split(/[\s,]+/)
    .filter((word) => word !== "")
    .join(",");
}
