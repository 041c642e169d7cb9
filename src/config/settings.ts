import path from "node:path";
import type { CloudName } from "../model/cloud.ts";
import { CLOUDS } from "../model/cloud.ts";
import type { DiscoverySettings } from "../model/discovered.ts";
import { Failure } from "../model/failure.ts";
import { isSecretId, PASTE_THE_VALUE } from "../model/secret-id.ts";
import type { SettingsHost } from "../model/setting.ts";
import type { CustomerRow, GlobalRow, SecretKey } from "../model/settings-table.ts";
import { CUSTOMER_ROWS, GLOBAL_ROWS, SECRET_KEYS, settingsFor, TABLE } from "../model/settings-table.ts";
import type {
  CustomerSettings,
  Endpoints,
  GlobalSettings,
  RefusedSettings,
  SettingProblem,
  Stanza,
} from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { discoveryOf } from "./discovery-settings.ts";
import type { FileRule } from "./files.ts";
import { readFilePath } from "./files.ts";
import type { HecGlobals } from "./hec-settings.ts";
import { hecOfGlobals, saysWhereEventsGo } from "./hec-settings.ts";
import type { Reading } from "./kinds.ts";
import { hasControl } from "./kinds.ts";
import type { Complain, RowRules } from "./read-rows.ts";
import { defaultsOf, isGiven, readRows } from "./read-rows.ts";
import { type FleetReference, fleetOfGlobals } from "./splunk-fleet-settings.ts";
import { MASK, SPLUNK_KEYS } from "./splunk-keys.ts";

export type { SettingsHost } from "../model/setting.ts";
export type { SecretKey } from "../model/settings-table.ts";
export { SECRET_KEYS } from "../model/settings-table.ts";
export type { FileLook, FileRule } from "./files.ts";
export { MASK } from "./splunk-keys.ts";

/** One stanza as the host found it, with values as text. `name` is without the scheme. */
export interface RawStanza {
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
}

export interface ParseOptions {
  readonly host: SettingsHost;
  readonly nowMs: number;
  /** Global keys outside the stanzas (properties file, flags). They override the stanzas' values. */
  readonly globals?: Readonly<Record<string, string>>;
  /** How the files named in settings are checked; if undefined, they are not checked. */
  readonly files?: FileRule;
  /** The host's own keys (outputs and others), for which no warning is written. */
  readonly known?: (key: string) => boolean;
}

export interface ParsedSettings {
  /** The stanzas that can be used, in the given order. */
  readonly stanzas: readonly Stanza[];
  /** The other ones, in the given order. */
  readonly refused: readonly RefusedSettings[];
  /** Stanza name → secrets that are masked there; their values must come from the host's store. */
  readonly masked: ReadonlyMap<string, readonly SecretKey[]>;
  readonly globals: GlobalSettings;
  /** How the list of customers is read; undefined without `discover`, or when that is wrong. */
  readonly discovery: DiscoverySettings | undefined;
  /** Where Splunk's inputs send their events instead of splunkd's pipe; undefined without `hec_*`. */
  readonly hec: HecGlobals | undefined;
  /** The fleet of Splunk's inputs; undefined without `fleet_url`, or while one of these is wrong. */
  readonly fleet: FleetReference | undefined;
  /** All problems of all stanzas; a stanza with its own problem is not in `stanzas`. */
  readonly problems: readonly SettingProblem[];
  /** Sentences for the log; they do not stop anything. */
  readonly warnings: readonly string[];
}

/**
 * Reads the settings of all customers at once. A problem of one stanza never hides or stops another stanza.
 * No message contains a secret's value.
 */
export function parseStanzas(raw: readonly RawStanza[], options: ParseOptions): ParsedSettings {
  const problems: SettingProblem[] = [];
  const warnings: string[] = [];
  const masked = new Map<string, readonly SecretKey[]>();
  const stanzas: Stanza[] = [];
  const refused: RefusedSettings[] = [];
  const seen = new Set<string>();
  const rules = rulesOf(options);
  const keys = keysOf(options.host);
  for (const one of raw) {
    const before = problems.length;
    const complain = (key: string, say: string) => problems.push({ stanza: one.name, key, say });
    checkName(one.name, seen, complain);
    const given = takenBy(keys, one.values);
    const { partial, whole } = readRows(CUSTOMER_ROWS, given, rules, complain);
    checkTogether(partial, given, complain, (say) => warnings.push(`${one.name}: ${say}`));
    if (problems.length > before || whole === undefined) {
      refused.push(refusedSettings(one, problems.slice(before)));
      continue;
    }
    const { name } = one;
    const { tenantName = name, endpoints, ...rest } = whole;
    stanzas.push({
      ...rest,
      ...(options.host === "arcsight" ? {} : inputsIndex(one)),
      name,
      tenantName,
      endpoints: endpointsOf(whole.cloud, endpoints),
    });
    const hidden = SECRET_KEYS.filter((key) => options.host === "splunk" && one.values[key]?.trim() === MASK);
    if (hidden.length > 0) masked.set(one.name, hidden);
  }
  const globals = readGlobals(raw, options, rules, problems, warnings);
  const complainOfAll = (key: string, say: string) => problems.push({ stanza: "", key, say });
  /** A value that could not be read is not missing. */
  const complainOfRead = (key: string, say: string) => {
    if (!problems.some((one) => one.key === key)) complainOfAll(key, say);
  };
  const discovery = discoveryOf(globals, stanzas, complainOfRead);
  const isHecWrong = problems.some(({ key }) => saysWhereEventsGo(key));
  const ofInputs = options.host !== "arcsight";
  const stated = ofInputs ? hecOfGlobals(globals, isHecWrong, complainOfAll) : undefined;
  const found = ofInputs ? fleetOfGlobals(globals, stated !== undefined, complainOfRead) : undefined;
  const hec = found === "wrong" ? ({ is: "wrong" } as const) : stated;
  const fleet = found === "wrong" || hec?.is === "wrong" ? undefined : found;
  warnings.push(...unknownKeys(raw, options), ...sharedTenants(stanzas));
  return { stanzas: boundTo(globals, stanzas), refused, masked, globals, discovery, hec, fleet, problems, warnings };
}

/** Splunk's own key of an input. splunkd's pipe needs it from nobody, but HEC does. */
function inputsIndex({ values }: RawStanza): { readonly index?: string } {
  const index = values.index?.trim() ?? "";
  return index === "" || index === SPLUNKS_DEFAULT_INDEX ? {} : { index };
}

/** splunkd writes it into each input that names no index (inputs.conf.spec, Splunk Enterprise 10.2). */
const SPLUNKS_DEFAULT_INDEX = "default";

/** An address for all customers is one of each, so that stored secrets are bound to it. */
function boundTo({ partnercenterUrl }: GlobalSettings, stanzas: readonly Stanza[]): readonly Stanza[] {
  if (partnercenterUrl === undefined) return stanzas;
  return stanzas.map((stanza) => ({ ...stanza, endpoints: { ...stanza.endpoints, partnercenterUrl } }));
}

/** What is known of a customer whose settings have these problems. */
export function refusedSettings({ name, values }: RawStanza, problems: readonly SettingProblem[]): RefusedSettings {
  const tenantName = values.tenant_name?.trim() ?? "";
  return {
    name,
    tenantName: tenantName === "" || hasControl(tenantName) ? name : tenantName,
    tenantId: tenantIdFrom(values.tenant_id ?? "") ?? "",
    problems,
  };
}

/**
 * Why a customer with such settings is not collected.
 *
 * @param where the settings, as the reader knows them: a file, an input.
 * @param thenDo what makes the correction count; a sentence.
 */
export function settingsRefused({ name, problems }: RefusedSettings, where: string, thenDo = ""): Failure {
  const keys = [...new Set(problems.map(({ key }) => `\`${key}\``))].join(", ");
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `${name} is not collected: ${problems.map(({ key, say }) => `\`${key}\` ${say}`).join("; ")}.`,
    nextStep: `Correct ${keys} in ${where}.${thenDo === "" ? "" : ` ${thenDo}`}`,
  });
}

/** `contoso: poll_seconds: 0 is below 1; write …`: one line for a log or a person. */
export function problemLine(problem: SettingProblem): string {
  return `${problem.stanza === "" ? "settings" : problem.stanza}: ${problem.key}: ${problem.say}`;
}

function rulesOf({ host, nowMs, files }: ParseOptions): RowRules {
  return {
    nowMs,
    readings: new Map(),
    ...(files === undefined ? {} : { file: (text: string) => readFilePath(text, files) }),
    ...(host === "splunk" ? { mask: MASK, folder: fullPath } : {}),
  };
}

function fullPath(text: string): Reading<string> {
  if (path.isAbsolute(text)) return { ok: true, value: text };
  return { ok: false, say: "is not an absolute path; write the full path" };
}

function keysOf(host: SettingsHost): ReadonlySet<string> {
  return new Set(settingsFor(host).map((row) => row.key));
}

/** What other hosts' settings hold is not looked at: their defaults count. */
function takenBy(
  keys: ReadonlySet<string>,
  values: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).filter(([key]) => keys.has(key)));
}

function checkName(name: string, seen: Set<string>, complain: Complain): void {
  if (name.trim() === "") complain("name", "is empty; give the customer a name");
  else if (name.length > 200) complain("name", `has ${name.length} characters; write at most 200`);
  else if (hasControl(name)) complain("name", "contains a control character; write plain characters");
  else if (seen.has(name)) complain("name", "is used twice; give each customer a different name");
  seen.add(name);
}

/** Rules that need more than one key. */
function checkTogether(
  { credential, clientId, streams, certificate, assertion, pollSeconds, route }: Partial<CustomerSettings>,
  given: Readonly<Record<string, string>>,
  complain: Complain,
  warn: (say: string) => void,
): void {
  if (credential === undefined && clientId === undefined && !isGiven(given, "client_id")) {
    complain(
      "client_id",
      "is missing; write the application (client) ID of your app registration, or set 'credential'",
    );
  }
  if (streams?.includes("hunting") && !isGiven(given, "hunting_queries")) {
    complain(
      "hunting_queries",
      "is missing although streams contains hunting; write the path of the file with the queries, or remove hunting from streams",
    );
  }
  if (isSecretId(given.client_secret ?? ""))
    complain("client_secret", `is the ID of the client secret, not its value; ${PASTE_THE_VALUE}`);
  if (certificate !== undefined && isGiven(given, "client_secret"))
    warn("certificate and client_secret are both set; the certificate is used");
  const beside = ["client_secret", "certificate"].filter((key) => isGiven(given, key));
  if (assertion !== undefined && beside.length > 0)
    complain(
      "assertion",
      `is set beside ${beside.join(" and ")}, but an app proves who it is in one way; remove ${beside.join(" and ")}, or remove assertion`,
    );
  if (pollSeconds !== undefined && pollSeconds < 15)
    warn(`poll_seconds ${pollSeconds} is below 15; such values are for tests only`);
  if (route?.proxy?.open((address) => /\/\/[^/]*@/.test(address)))
    warn("proxy contains a login, which is stored in clear text in the settings");
}

/**
 * The cloud's addresses with the given overrides. `api_url` applies to both Defender APIs, because a gateway
 * or a test has one address for both.
 */
export function endpointsOf(cloud: CloudName, overrides: CustomerSettings["endpoints"] = {}): Endpoints {
  const { loginUrl, graphUrl, apiUrl, mdeApiUrl, siemUrl } = CLOUDS[cloud];
  const own = overrides.apiUrl === undefined ? {} : { mdeApiUrl: overrides.apiUrl };
  return { loginUrl, graphUrl, apiUrl, mdeApiUrl, siemUrl, ...overrides, ...own };
}

type DestinationRow =
  | Extract<CustomerRow, { readonly key: "cloud" } | { readonly part: string }>
  | Extract<GlobalRow, { readonly key: "partnercenter_url" }>;
const DESTINATION_ROWS = [...CUSTOMER_ROWS, ...GLOBAL_ROWS].filter(
  (row): row is DestinationRow => row.key === "cloud" || row.key === "partnercenter_url" || "part" in row,
);

/** Where these settings send a secret; undefined when one of them is wrong. Files are not looked at. */
export function readDestination(
  given: Readonly<Record<string, string>>,
  complain: Complain,
): Pick<Stanza, "endpoints" | "route"> | undefined {
  const { whole } = readRows(DESTINATION_ROWS, given, { nowMs: 0 }, complain);
  if (whole === undefined) return undefined;
  const { partnercenterUrl } = whole;
  return {
    endpoints: {
      ...endpointsOf(whole.cloud, whole.endpoints),
      ...(partnercenterUrl === undefined ? {} : { partnercenterUrl }),
    },
    route: whole.route,
  };
}

const GLOBAL_DEFAULTS = defaultsOf(GLOBAL_ROWS);

/** The process's settings. A wrong value is a problem, but customers are collected with the default. */
function readGlobals(
  raw: readonly RawStanza[],
  options: ParseOptions,
  rules: RowRules,
  problems: SettingProblem[],
  warnings: string[],
): GlobalSettings {
  const byName = raw.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const chosen: Record<string, string> = {};
  for (const row of GLOBAL_ROWS) {
    const outside = options.globals?.[row.key];
    if (outside?.trim()) {
      chosen[row.key] = outside;
      continue;
    }
    const given = byName.flatMap((one) =>
      one.values[row.key]?.trim() ? [{ name: one.name, value: one.values[row.key] as string }] : [],
    );
    const first = given[0];
    if (!first) continue;
    chosen[row.key] = first.value;
    if (given.some((other) => other.value.trim() !== first.value.trim())) {
      warnings.push(
        `${row.key} applies to all customers but differs between stanzas; the value of ${first.name} is used`,
      );
    }
  }
  const read = readRows(GLOBAL_ROWS, chosen, rules, (key, say) => {
    const holder = options.globals?.[key]?.trim() ? "" : (byName.find((one) => one.values[key]?.trim())?.name ?? "");
    const row = TABLE.find((one) => one.key === key);
    const standard = row?.default ?? (row?.otherwise === "none" ? "none" : "the host's own");
    const meanwhile = saysWhereEventsGo(key) ? "nothing is collected" : `${standard} is used`;
    problems.push({ stanza: holder, key, say: `${say} (until then ${meanwhile})` });
  });
  return { ...GLOBAL_DEFAULTS, ...read.partial };
}

/** One warning per unknown key, even if many stanzas contain it. */
function unknownKeys(raw: readonly RawStanza[], options: ParseOptions): string[] {
  const known = keysOf(options.host);
  const holders = new Map<string, string[]>();
  const all: readonly RawStanza[] = options.globals ? [...raw, { name: "settings", values: options.globals }] : raw;
  for (const one of all) {
    for (const key of Object.keys(one.values)) {
      if (known.has(key) || options.known?.(key)) continue;
      if (options.host === "splunk" && (SPLUNK_KEYS.has(key) || key.startsWith("_"))) continue;
      const names = holders.get(key);
      if (names === undefined) holders.set(key, [one.name]);
      else names.push(one.name);
    }
  }
  return [...holders].map(([key, names]) => {
    const where = names.length === 1 ? names[0] : `${names[0]} and ${names.length - 1} more`;
    const near = nearest(key, [...known]);
    return `${key} is not a setting and is ignored (${where})${near ? `; did you mean ${near}?` : ""}`;
  });
}

function nearest(key: string, known: readonly string[]): string | undefined {
  const wanted = key.toLowerCase().replaceAll("-", "_");
  return known.find((word) => word === wanted) ?? known.find((word) => distance(wanted, word) <= 2);
}

/** Number of single-character changes between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      next.push(
        Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function sharedTenants(stanzas: readonly Stanza[]): string[] {
  const byTenant = Map.groupBy(stanzas, (stanza) => stanza.tenantId);
  return [...byTenant]
    .filter(([, those]) => those.length > 1)
    .map(
      ([tenantId, those]) =>
        `${those.map((one) => one.name).join(", ")} collect the same tenant ${tenantId}: each delivers all events, and they share one request budget`,
    );
}
