/**
 * Turns the ArcSight helper's properties file into the input of `parseStanzas`. It has two forms: many
 * customers (`tenants[0].tenant_id=…`) with global keys without a prefix, or one customer's unchanged old
 * `WDATP-connector.properties`. Settings of the helper may be added to it (`graph_url=…`,
 * `outputs[0].type=…`).
 */

import { SECRET_KEYS, TABLE } from "../model/settings-table.ts";
import type { SettingProblem } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import type { FleetSettings } from "./fleet-settings.ts";
import { readFleet } from "./fleet-settings.ts";
import type { PropertiesFile } from "./java-properties.ts";
import type { Reading } from "./kinds.ts";
import type { MetricsSettings } from "./metrics-settings.ts";
import { readMetrics } from "./metrics-settings.ts";
import type { TakenLine } from "./old-connector.ts";
import { isOldKey, readOldConnector } from "./old-connector.ts";
import type { OutputSettings, ServeSettings } from "./output-settings.ts";
import { clashes, OUTPUT_SETTINGS, readOutput, readServe } from "./output-settings.ts";
import type { SecretReader } from "./secret-reference.ts";
import { readSecret } from "./secret-reference.ts";
import type { RawStanza } from "./settings.ts";

export type { FleetSettings } from "./fleet-settings.ts";
export type { MetricsSettings } from "./metrics-settings.ts";
export type { TakenLine } from "./old-connector.ts";
export type { OutputSettings, ServeSettings } from "./output-settings.ts";
export type { SecretReader } from "./secret-reference.ts";

export interface ArcSightSettings {
  /** `old`: one customer's connector file of the retired API. */
  readonly form: "many" | "old";
  /** For `parseStanzas(raw, { host: "arcsight", globals })`; secrets by reference are already looked up. */
  readonly raw: readonly RawStanza[];
  /**
   * Customers whose secret by reference cannot be found, without that secret: enough for a command that signs
   * them in.
   */
  readonly unresolved: readonly RawStanza[];
  /** Keys outside `tenants[n]`, `outputs[n]`, `serve`, `metrics` and `fleet`. */
  readonly globals: Readonly<Record<string, string>>;
  /** The valid outputs; an invalid one is in `problems` under its name (`outputs[0]`). */
  readonly outputs: readonly OutputSettings[];
  /** Undefined when something under `serve.` is wrong. */
  readonly serve: ServeSettings | undefined;
  /** Undefined without `metrics.listen`, or when something under `metrics.` is wrong. */
  readonly metrics: MetricsSettings | undefined;
  /** Undefined without `fleet.url`, or when something under `fleet.` is wrong. */
  readonly fleet: FleetSettings | undefined;
  /** How the lines of an old connector file were used; empty in the other form. */
  readonly taken: readonly TakenLine[];
  readonly problems: readonly SettingProblem[];
  readonly warnings: readonly string[];
  /** The prefix of a customer's keys: `tenants[2].`, or empty in an old file. */
  readonly prefixes: ReadonlyMap<string, string>;
}

export interface ArcSightOptions {
  readonly secrets: SecretReader;
  /** Checks that a file which a setting of an output names may be used. */
  readonly file?: (path: string) => Reading<string>;
}

const INDEXED = /^(tenants|outputs)\[(\d{1,5})\]\.([A-Za-z0-9_]+)$/;
const GLOBAL_KEYS: ReadonlySet<string> = new Set(TABLE.filter((row) => row.global === true).map((row) => row.key));
const OUTPUT_SECRET_KEYS: readonly string[] = OUTPUT_SETTINGS.filter(({ secret }) => secret === true).map(
  ({ key }) => key,
);
const CUSTOMER_KEYS: ReadonlySet<string> = new Set(
  TABLE.filter((row) => row.global !== true && row.hosts.includes("arcsight")).map((row) => row.key),
);

/** Sorts a properties file into customers, outputs and globals. Reads no file itself; throws nothing. */
export function readArcSightSettings(file: PropertiesFile, options: ArcSightOptions): ArcSightSettings {
  const problems: SettingProblem[] = [];
  const warnings: string[] = file.advice.map(({ say }) => say);
  const sorted = sortEntries(file, problems, warnings);
  const old = sorted.tenants.size === 0 && [...file.byKey.keys()].some(isOldKey);
  const mixed = old ? [] : indexedInOldFile(sorted);
  problems.push(...mixed);
  const none: FoundCustomers = { found: [], globals: {}, taken: [] };
  const customers =
    mixed.length > 0
      ? none
      : old
        ? oldCustomer(file, sorted.plain, problems, warnings)
        : manyCustomers(sorted, warnings);
  // A fleet's database may hold all of them.
  if (customers.found.length === 0 && mixed.length === 0 && sorted.fleet["url"] === undefined)
    problems.push({
      stanza: "",
      key: "tenants[0].tenant_id",
      say: "is missing; write one block tenants[0]., tenants[1]., … for each customer",
    });
  const read = customers.found.map(({ name, values }) => ({
    name,
    ...withSecrets(name, values, SECRET_KEYS, options.secrets, problems, warnings),
  }));
  const context = {
    customers: read.map(({ name, values }) => ({
      stanza: name,
      tenantId: tenantIdFrom(values["tenant_id"] ?? "") ?? values["tenant_id"]?.trim() ?? "",
    })),
    ...(options.file ? { file: options.file } : {}),
    complain: (problem: SettingProblem) => problems.push(problem),
    warn: (say: string) => warnings.push(say),
  };
  const outputsRead = [...sorted.outputs]
    .sort(([a], [b]) => a - b)
    .map(([index, values]) => {
      const name = `outputs[${index}]`;
      const found = withSecrets(name, values, OUTPUT_SECRET_KEYS, options.secrets, problems, warnings);
      // What is wrong with the other keys is said too; without its secret the output is not used.
      const standIns = Object.fromEntries(OUTPUT_SECRET_KEYS.filter((key) => key in values).map((key) => [key, "-"]));
      const output = readOutput(name, { ...standIns, ...found.values }, context);
      return found.complete ? output : undefined;
    });
  const outputs = outputsRead.filter((output) => output !== undefined);
  problems.push(...clashes(outputs));
  const serve = withSecrets("serve", sorted.serve, SECRET_KEYS, options.secrets, problems, warnings);
  const metrics = withSecrets("metrics", sorted.metrics, ["token"], options.secrets, problems, warnings);
  const fleet = withSecrets("fleet", sorted.fleet, ["password"], options.secrets, problems, warnings);
  return {
    form: old ? "old" : "many",
    // A secret that cannot be found stops its customer, like every other wrong setting.
    raw: read.filter(({ complete }) => complete).map(({ name, values }) => ({ name, values })),
    unresolved: read.filter(({ complete }) => !complete).map(({ name, values }) => ({ name, values })),
    globals: customers.globals,
    outputs,
    serve: serve.complete ? readServe(serve.values, context) : undefined,
    metrics: metrics.complete ? readMetrics(metrics.values, context) : undefined,
    fleet: fleet.complete ? readFleet(fleet.values, context) : undefined,
    taken: customers.taken,
    problems,
    warnings,
    prefixes: new Map(customers.found.map(({ name, prefix }) => [name, prefix])),
  };
}

interface SortedEntries {
  readonly tenants: ReadonlyMap<number, Record<string, string>>;
  readonly outputs: ReadonlyMap<number, Record<string, string>>;
  readonly serve: Record<string, string>;
  readonly metrics: Record<string, string>;
  readonly fleet: Record<string, string>;
  readonly plain: Record<string, string>;
}

function sortEntries(file: PropertiesFile, problems: SettingProblem[], warnings: string[]): SortedEntries {
  const tenants = new Map<number, Record<string, string>>();
  const outputs = new Map<number, Record<string, string>>();
  const serve: Record<string, string> = {};
  const metrics: Record<string, string> = {};
  const fleet: Record<string, string> = {};
  const plain: Record<string, string> = {};
  const firstLine = new Map<string, number>();
  for (const { key, value, line } of file.entries) {
    const before = firstLine.get(key);
    if (before !== undefined)
      warnings.push(`Line ${line}: ${shown(key)} is already set on line ${before}; the last value is used.`);
    firstLine.set(key, line);
    const indexed = INDEXED.exec(key);
    if (indexed) {
      const of = indexed[1] === "tenants" ? tenants : outputs;
      const index = Number(indexed[2]);
      const block = of.get(index) ?? {};
      block[indexed[3] as string] = value;
      of.set(index, block);
    } else if (key.startsWith("serve.")) serve[key.slice("serve.".length)] = value;
    else if (key.startsWith("metrics.")) metrics[key.slice("metrics.".length)] = value;
    else if (key.startsWith("fleet.")) fleet[key.slice("fleet.".length)] = value;
    else if (/^(tenants|outputs)\b/i.test(key))
      problems.push({
        stanza: "",
        key: shown(key),
        say: `(line ${line}) does not have the form tenants[0].tenant_id or outputs[0].type; write it in that form`,
      });
    else plain[key] = value;
  }
  return { tenants, outputs, serve, metrics, fleet, plain };
}

interface FoundCustomer {
  readonly name: string;
  readonly prefix: string;
  readonly values: Readonly<Record<string, string>>;
}

interface FoundCustomers {
  readonly found: readonly FoundCustomer[];
  readonly globals: Readonly<Record<string, string>>;
  readonly taken: readonly TakenLine[];
}

/**
 * An old connector file has one customer, whose settings have no prefix. Somebody who adds one in the form of
 * many customers would else read that the file's own lines are wrong.
 */
function indexedInOldFile({ tenants, plain }: SortedEntries): readonly SettingProblem[] {
  const isOld = Object.keys(plain).some((key) => isOldKey(key) && !CUSTOMER_KEYS.has(key));
  if (!isOld || [...tenants.values()].some((values) => values["tenant_id"]?.trim())) return [];
  return [...tenants].flatMap(([index, values]) =>
    Object.keys(values).map((key) => ({
      stanza: "",
      key: `tenants[${index}].${key}`,
      say: `does not belong in an old connector file, which has one customer; write ${key}=… without tenants[${index}].`,
    })),
  );
}

function manyCustomers({ tenants, plain }: SortedEntries, warnings: string[]): FoundCustomers {
  const stray = Object.keys(plain).filter((key) => isOldKey(key) || CUSTOMER_KEYS.has(key));
  if (stray.length > 0)
    warnings.push(
      `${stray.join(", ")} is outside tenants[n] and is ignored; write tenants[0].${stray[0]?.toLowerCase()} instead`,
    );
  const globals = Object.fromEntries(Object.entries(plain).filter(([key]) => !stray.includes(key)));
  const found = [...tenants]
    .sort(([a], [b]) => a - b)
    .map(([index, values]) => ({
      name: stanzaName(values, `tenants[${index}]`),
      prefix: `tenants[${index}].`,
      values,
    }));
  return { found, globals, taken: [] };
}

function oldCustomer(
  file: PropertiesFile,
  plain: Readonly<Record<string, string>>,
  problems: SettingProblem[],
  warnings: string[],
): FoundCustomers {
  const old = readOldConnector(file);
  warnings.push(...old.warnings);
  const added = Object.entries(plain).filter(([key]) => CUSTOMER_KEYS.has(key) && !isOldKey(key));
  const globals = Object.fromEntries(
    Object.entries(plain).filter(([key]) => !isOldKey(key) && !CUSTOMER_KEYS.has(key)),
  );
  const values = { ...old.values, ...Object.fromEntries(added) };
  const name = stanzaName(values, "the connector file");
  if (old.problem !== undefined && !plain["tenant_id"])
    problems.push({ stanza: name, key: "token_url", say: old.problem });
  const lines = file.entries.flatMap(({ key, line }): TakenLine[] => {
    const known = old.lines.find((one) => one.line === line && one.key === key);
    if (known) return [known];
    if (INDEXED.test(key) || /^(serve|metrics|fleet)\./.test(key) || GLOBAL_KEYS.has(key) || CUSTOMER_KEYS.has(key))
      return [{ line, key, taken: true, say: "is a setting of this helper" }];
    return [{ line, key: shown(key), taken: false, say: "is not a setting and is ignored" }];
  });
  return { found: [{ name, prefix: "", values }], globals, taken: lines };
}

/**
 * `tenant_name`, else the tenant's GUID or domain. Never the index: the customer would lose its state when a
 * block above it is removed.
 */
export function stanzaName(values: Readonly<Record<string, string>>, otherwise: string): string {
  const name = values["tenant_name"]?.trim();
  if (name) return name;
  const tenant = values["tenant_id"]?.trim();
  return tenant ? (tenantIdFrom(tenant) ?? tenant.toLowerCase()) : otherwise;
}

/** Looks up secrets by reference; a secret that cannot be found is left out. */
export function withSecrets(
  name: string,
  values: Readonly<Record<string, string>>,
  keys: readonly string[],
  files: SecretReader,
  problems: SettingProblem[],
  warnings: string[],
): { readonly values: Readonly<Record<string, string>>; readonly complete: boolean } {
  const read: Record<string, string> = { ...values };
  let complete = true;
  for (const key of keys) {
    const text = values[key];
    if (text === undefined || text.trim() === "") continue;
    const secret = readSecret(text, files);
    if (!secret.ok) {
      complete = false;
      delete read[key];
      problems.push({ stanza: name, key, say: secret.say });
    } else {
      read[key] = secret.value.value;
      if (secret.value.warning !== undefined) warnings.push(`${name}: ${secret.value.warning}`);
    }
  }
  return { values: read, complete };
}

/** A key may be a misplaced secret, so only text that looks like a key is repeated. */
function shown(key: string): string {
  return /^[A-Za-z0-9_.[\]-]{1,80}$/.test(key) ? key : "an entry";
}

/** The line of a problem's key; undefined for a missing key. */
export function lineOfProblem(
  problem: SettingProblem,
  file: PropertiesFile,
  settings: Pick<ArcSightSettings, "prefixes">,
): number | undefined {
  const prefix = settings.prefixes.get(problem.stanza) ?? (problem.stanza === "" ? "" : `${problem.stanza}.`);
  const aliases =
    problem.key === "client_id"
      ? ["client_id", "client_ID"]
      : problem.key === "tenant_id"
        ? ["tenant_id", "token_url"]
        : [problem.key];
  return aliases.map((key) => file.byKey.get(`${prefix}${key}`)?.line).find((line) => line !== undefined);
}
