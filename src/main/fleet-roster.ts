import { isDeepStrictEqual } from "node:util";
import { parseStanzas, settingsRefused } from "../config/settings.ts";
import { Failure } from "../model/failure.ts";
import type { ConfiguredCustomer } from "../model/roster.ts";
import type { GlobalSettings, RefusedSettings, Stanza } from "../model/stanza.ts";
import { type TenantId, tenantIdFrom } from "../model/tenant.ts";
import type { MisconfiguredCustomer } from "./customers.ts";
import { realFiles } from "./world.ts";

/** What a member has itself, and what the customers of the database are read with. */
export interface RosterReader {
  /** Of the configuration file, also those whose settings are wrong. */
  readonly inFile: readonly ConfiguredInFile[];
  readonly file: string;
  /** Settings given as flags: they hold for every customer. */
  readonly overrides: Readonly<Record<string, string>>;
  readonly globals: Pick<GlobalSettings, "partnercenterUrl">;
  readonly nowMs: number;
}

export interface ConfiguredInFile {
  readonly name: string;
  readonly tenantId: string;
  /** Undefined when its settings are wrong. */
  readonly stanza?: Stanza;
}

/** A customer of the fleet's database as this member collects it, or why it does not. */
export type RosterEntry = {
  readonly name: string;
  /** Decides on its shard. */
  readonly shardBy: TenantId;
  readonly row: ConfiguredCustomer;
} & ({ readonly stanza: Stanza } | { readonly misconfigured: MisconfiguredCustomer });

export interface RosterCustomers {
  readonly entries: readonly RosterEntry[];
  /** Sentences on customers that the configuration file has with other settings. */
  readonly differing: readonly string[];
}

/** As a sentence names the roster. */
const IN_DATABASE = "the fleet's database";

/**
 * A customer that the configuration file has too is collected with the settings of the file: an operator can
 * then override one customer on every member without asking the database. A customer whose row this member
 * cannot use is named in health, and stops no other one.
 */
export function rosterCustomers(rows: readonly ConfiguredCustomer[], reader: RosterReader): RosterCustomers {
  const byTenant = new Map(reader.inFile.map((one) => [one.tenantId.toLowerCase(), one]));
  const byName = new Map(reader.inFile.map((one) => [one.name.toLowerCase(), one]));
  const own = new Map<string, ConfiguredCustomer>();
  const entries: RosterEntry[] = [];
  const differing: string[] = [];
  const refuse = (row: ConfiguredCustomer, misconfigured: MisconfiguredCustomer) =>
    entries.push({ name: misconfigured.name, shardBy: tenantOf(row), row, misconfigured });
  for (const row of rows) {
    const sameTenant = byTenant.get(tenantOf(row));
    const sameName = byName.get(row.name.toLowerCase());
    if (sameTenant !== undefined) {
      const sentence = differenceInWords(row, sameTenant, reader);
      if (sentence !== undefined) differing.push(sentence);
    } else if (sameName !== undefined) refuse(row, nameTaken(row, sameName, reader.file));
    else own.set(row.name, row);
  }
  const { stanzas, refused } = parsed([...own.values()], reader);
  const rowOf = ({ name }: { readonly name: string }) => own.get(name) as ConfiguredCustomer;
  for (const stanza of stanzas)
    entries.push({ name: stanza.name, shardBy: tenantOf(rowOf(stanza)), row: rowOf(stanza), stanza });
  for (const one of refused) refuse(rowOf(one), unusable(one));
  return { entries, differing };
}

/** The database lets nothing else in than a GUID. */
function tenantOf({ values }: ConfiguredCustomer): TenantId {
  return (values["tenant_id"] ?? "").toLowerCase() as TenantId;
}

/** Settings of the roster that the file has otherwise; undefined: none. */
function differenceInWords(
  row: ConfiguredCustomer,
  { name, stanza }: ConfiguredInFile,
  reader: RosterReader,
): string | undefined {
  const [own] = parsed([row], reader).stanzas;
  if (stanza === undefined || own === undefined) return undefined;
  const keys = (["cloud", "index", "streams", "credential"] as const).filter((key) =>
    Array.isArray(own[key]) ? !isDeepStrictEqual(own[key], stanza[key]) : (own[key] ?? "") !== (stanza[key] ?? ""),
  );
  if (name === row.name && keys.length === 0) return undefined;
  const what = [...(name === row.name ? [] : ["name"]), ...keys].join(", ");
  return `${name} is configured in ${reader.file} and in ${IN_DATABASE}, with different ${what}. The file counts.`;
}

function parsed(rows: readonly ConfiguredCustomer[], { overrides, globals, nowMs }: RosterReader) {
  const { partnercenterUrl } = globals;
  return parseStanzas(
    rows.map(({ name, values }) => ({ name, values: { ...values, ...overrides } })),
    {
      host: "arcsight",
      nowMs,
      globals: { ...(partnercenterUrl === undefined ? {} : { partnercenter_url: partnercenterUrl }), ...overrides },
      files: { files: realFiles },
    },
  );
}

function unusable(refused: RefusedSettings): MisconfiguredCustomer {
  const { name, tenantName, tenantId } = refused;
  const thenDo = "Run `defender-mssp customers import LIST.csv --to fleet --apply` with the corrected list.";
  const failure = settingsRefused(refused, IN_DATABASE, thenDo);
  return { name, tenantName, tenantId, failure };
}

/** Streams and health are named by the customer, so that two of one name would be mixed up. */
function nameTaken(row: ConfiguredCustomer, { tenantId }: ConfiguredInFile, file: string): MisconfiguredCustomer {
  const own = tenantOf(row);
  const problems = [
    { stanza: row.name, key: "tenant_name", say: `is that of tenant ${tenantId || "unknown"} in ${file} too` },
  ];
  const failure = settingsRefused(
    { name: row.name, tenantName: row.name, tenantId: own, problems },
    `${file} or ${IN_DATABASE}`,
  );
  return { name: `${row.name} (${own})`, tenantName: row.name, tenantId: own, failure };
}

/**
 * For a member that collects no customers of the database. Each one's health says who must act, because
 * another member may not have its shard.
 */
export function collectedElsewhere({ entries, ...rest }: RosterCustomers): RosterCustomers {
  return {
    ...rest,
    entries: entries.map((entry) => {
      if (!("stanza" in entry)) return entry;
      const { stanza, ...place } = entry;
      const { name, tenantName } = stanza;
      const failure = new Failure("settings", {
        actor: "operator",
        retry: { when: "never" },
        say: `${name} is not collected: it stands in the database of the fleet, and an input of Splunk has its own list.`,
        nextStep: `Add an input for ${name} on every host, and run \`defender-mssp customers remove ${JSON.stringify(name)} --to fleet\`.`,
      });
      const misconfigured = { name, tenantName, tenantId: tenantIdFrom(stanza.tenantId) ?? ("" as const), failure };
      return { ...place, misconfigured };
    }),
  };
}

/** The entries that `after` has no more, or otherwise, and those that it has anew. */
export function changesOf(
  before: readonly RosterEntry[],
  after: readonly RosterEntry[],
): { readonly gone: readonly RosterEntry[]; readonly fresh: readonly RosterEntry[] } {
  const was = new Map(before.map((one) => [one.name, one]));
  const is = new Map(after.map((one) => [one.name, one]));
  return {
    gone: before.filter((one) => !isSame(one, is.get(one.name))),
    fresh: after.filter((one) => !isSame(one, was.get(one.name))),
  };
}

/** The row counts: what is made of it holds the time at which it was read. */
function isSame(a: RosterEntry, b: RosterEntry | undefined): boolean {
  if (b === undefined) return false;
  const facts = (one: RosterEntry) => [one.row, "stanza" in one ? undefined : one.misconfigured.failure.say];
  return isDeepStrictEqual(facts(a), facts(b));
}
