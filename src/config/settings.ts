import path from "node:path";
import type { CloudName } from "../model/cloud.ts";
import { CLOUDS } from "../model/cloud.ts";
import { sealed } from "../model/sealed.ts";
import type { SecretKey, Setting, SettingKey, SettingsHost } from "../model/settings-table.ts";
import { MASK, SECRET_KEYS, SPLUNK_KEYS, settingsFor, TABLE } from "../model/settings-table.ts";
import type {
  AuthKind,
  Endpoints,
  GlobalSettings,
  Route,
  SettingProblem,
  Stanza,
  StartPoint,
} from "../model/stanza.ts";
import type { StreamName } from "../model/stream.ts";
import type { FileRule } from "./files.ts";
import { readFilePath } from "./files.ts";
import type { Value } from "./kinds.ts";
import { hasControl, readValue } from "./kinds.ts";

export type { SecretKey, SettingsHost } from "../model/settings-table.ts";
export { MASK, SECRET_KEYS } from "../model/settings-table.ts";
export type { FileLook, FileRule } from "./files.ts";

/** One stanza as a host found it: values as text. `name` is without the scheme. */
export interface RawStanza {
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
}

export interface ParseOptions {
  readonly host: SettingsHost;
  readonly nowMs: number;
  /** Global keys that stand outside the stanzas (properties file, flags); they win over the stanzas'. */
  readonly globals?: Readonly<Record<string, string>>;
  /** How files that settings name are checked; without it they are not. */
  readonly files?: FileRule;
  /** Keys of the host's own (outputs and the like), not to be warned about. */
  readonly known?: (key: string) => boolean;
}

export interface ParsedSettings {
  /** Those that can be used, in the order given. */
  readonly stanzas: readonly Stanza[];
  /** Stanza name → secrets that stand there as the mask: the value must come from the host's store. */
  readonly masked: ReadonlyMap<string, readonly SecretKey[]>;
  readonly globals: GlobalSettings;
  /** Everything that is wrong, of all stanzas; a stanza with a problem of its own is not in `stanzas`. */
  readonly problems: readonly SettingProblem[];
  /** Sentences for the log; nothing was refused because of them. */
  readonly warnings: readonly string[];
}

/**
 * Reads the settings of all customers at once: one stanza's problem never hides another's and never stops
 * another stanza. No message holds a secret's value.
 */
export function parseStanzas(raw: readonly RawStanza[], options: ParseOptions): ParsedSettings {
  const problems: SettingProblem[] = [];
  const warnings: string[] = [];
  const masked = new Map<string, readonly SecretKey[]>();
  const stanzas: Stanza[] = [];
  const seen = new Set<string>();
  for (const one of raw) {
    const before = problems.length;
    const complain = (key: string, say: string) => problems.push({ stanza: one.name, key, say });
    checkName(one.name, seen, complain);
    const values = readRow(
      one.values,
      settingsFor(options.host).filter((row) => row.global !== true),
      options,
      complain,
    );
    checkTogether(values, one.values, complain, (say) => warnings.push(`${one.name}: ${say}`));
    if (problems.length > before) continue;
    stanzas.push(buildStanza(one.name, values));
    const hidden = SECRET_KEYS.filter((key) => options.host === "splunk" && one.values[key]?.trim() === MASK);
    if (hidden.length > 0) masked.set(one.name, hidden);
  }
  const globals = readGlobals(raw, options, problems, warnings);
  warnings.push(...unknownKeys(raw, options), ...sharedTenants(stanzas));
  return { stanzas, masked, globals, problems, warnings };
}

/** `contoso: poll_seconds: 0 is below 1; write …`: one line for a log or a person. */
export function problemLine(problem: SettingProblem): string {
  return `${problem.stanza === "" ? "settings" : problem.stanza}: ${problem.key}: ${problem.say}`;
}

type Complain = (key: string, say: string) => void;
type Row = ReadonlyMap<string, Value>;

function checkName(name: string, seen: Set<string>, complain: Complain): void {
  if (name.trim() === "") complain("name", "is empty; give the customer a name");
  else if (name.length > 200) complain("name", `has ${name.length} characters; write at most 200`);
  else if (hasControl(name)) complain("name", "holds a control character; write plain characters");
  else if (seen.has(name)) complain("name", "occurs twice; give each customer a name of its own");
  seen.add(name);
}

function readRow(
  values: Readonly<Record<string, string>>,
  rows: readonly Setting[],
  options: ParseOptions,
  complain: Complain,
): Row {
  const read = new Map<string, Value>();
  for (const row of rows) {
    const text = textOf(values, row);
    if (text === undefined) {
      if (row.required) complain(row.key, `is missing; write ${lowerFirst(row.help)}`);
      continue;
    }
    if (row.secret && options.host === "splunk" && text.trim() === MASK) continue;
    const reading = readValue(row.kind, text, options.nowMs);
    if (!reading.ok) {
      complain(row.key, reading.say);
      continue;
    }
    if (row.kind.is === "file" && options.files) {
      const file = readFilePath(text, options.files);
      if (file.ok) read.set(row.key, file.value);
      else complain(row.key, file.say);
      continue;
    }
    if (row.kind.is === "folder" && options.host === "splunk" && !path.isAbsolute(text)) {
      complain(row.key, "is not a full path; write one that begins at the root");
      continue;
    }
    read.set(row.key, reading.value);
  }
  return read;
}

/** The value given, else the default. Outer white space belongs to nothing but a secret. */
function textOf(values: Readonly<Record<string, string>>, row: Setting): string | undefined {
  const given = Object.hasOwn(values, row.key) ? values[row.key] : undefined;
  if (given === undefined || given.trim() === "") return row.default;
  return row.secret ? given : given.trim();
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, "");
}

/** Rules that need more than one key. */
function checkTogether(
  row: Row,
  given: Readonly<Record<string, string>>,
  complain: Complain,
  warn: (say: string) => void,
): void {
  if (!row.has("credential") && !row.has("client_id") && !given["client_id"]?.trim()) {
    complain(
      "client_id",
      "is missing; write the application (client) ID of your app registration, or name a shared credential under 'credential'",
    );
  }
  const streams = row.get("streams") as readonly string[] | undefined;
  if (streams?.includes("hunting") && !given["hunting_queries"]?.trim()) {
    complain(
      "hunting_queries",
      "is missing although streams names hunting; write the path of the file with the queries, or take hunting out of streams",
    );
  }
  if (row.has("certificate") && given["client_secret"]?.trim())
    warn("certificate and client_secret are both given; the certificate is used");
  const pollSeconds = row.get("poll_seconds");
  if (typeof pollSeconds === "number" && pollSeconds < 15)
    warn(`poll_seconds ${pollSeconds} is below 15, which is meant for tests`);
  if (row.has("proxy") && /\/\/[^/]*@/.test(row.get("proxy") as string))
    warn("proxy holds a login, which stands in clear text in the settings");
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}

function buildStanza(name: string, row: Row): Stanza {
  const text = (key: SettingKey) => row.get(key) as string | undefined;
  const cloud = text("cloud") as CloudName;
  const secret = (key: SecretKey) => {
    const value = text(key);
    return value === undefined ? undefined : sealed(value);
  };
  const proxy = text("proxy");
  const route: Route = {
    ...optional("proxy", proxy === undefined ? undefined : sealed(proxy)),
    ...optional("noProxy", text("no_proxy")),
    ...optional("caFile", text("ca_file")),
  };
  return {
    name,
    tenantName: text("tenant_name") ?? name,
    tenantId: text("tenant_id") as string,
    cloud,
    ...optional("credential", text("credential")),
    ...optional("clientId", text("client_id")),
    ...optional("clientSecret", secret("client_secret")),
    ...optional("certificate", text("certificate")),
    ...optional("auth", text("auth") as AuthKind | undefined),
    ...optional("refreshToken", secret("refresh_token")),
    streams: row.get("streams") as readonly StreamName[],
    start: row.get("start") as StartPoint,
    pollSeconds: row.get("poll_seconds") as number,
    overlapMinutes: row.get("overlap_minutes") as number,
    sweepHours: row.get("sweep_hours") as number,
    layout: text("layout") as Stanza["layout"],
    envelope: row.get("envelope") as boolean,
    alertsSourcetype: text("alerts_sourcetype") ?? "split",
    classicEntities: (row.get("classic_entities") as boolean | undefined) ?? false,
    ...optional("cimEntityZone", text("cim_entity_zone")),
    endpoints: endpointsFrom(cloud, text),
    ...optional("resource", text("resource")),
    route,
    ...optional("splunkdCaFile", text("splunkd_ca_file")),
    ...optional("huntingQueries", text("hunting_queries")),
  };
}

/**
 * The cloud's addresses with the overrides given. An own API address holds for both Defender APIs: whoever
 * sets it (a gateway, a test) has one.
 */
export function endpointsFrom(
  cloud: CloudName,
  override: (key: "login_url" | "graph_url" | "api_url" | "siem_url") => string | undefined,
): Endpoints {
  const row = CLOUDS[cloud];
  return {
    loginUrl: override("login_url") ?? row.loginUrl,
    graphUrl: override("graph_url") ?? row.graphUrl,
    apiUrl: override("api_url") ?? row.apiUrl,
    mdeApiUrl: override("api_url") ?? row.mdeApiUrl,
    siemUrl: override("siem_url") ?? row.siemUrl,
  };
}

/** The process's settings. A wrong value is a problem but stops no customer: the default holds instead. */
function readGlobals(
  raw: readonly RawStanza[],
  options: ParseOptions,
  problems: SettingProblem[],
  warnings: string[],
): GlobalSettings {
  const byName = raw.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const chosen: Record<string, string> = {};
  const rows = TABLE.filter((row) => row.global === true);
  for (const row of rows) {
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
        `${row.key} holds for all customers but differs between stanzas; the value of ${first.name} counts`,
      );
    }
  }
  const complained = new Set<string>();
  const values = readRow(chosen, rows, options, (key, say) => {
    complained.add(key);
    const holder = options.globals?.[key]?.trim() ? "" : (byName.find((one) => one.values[key]?.trim())?.name ?? "");
    const fallback = TABLE.find((row) => row.key === key)?.default;
    problems.push({ stanza: holder, key, say: `${say} (until then ${fallback ?? "the host's own"} is used)` });
  });
  const whole = (key: SettingKey) =>
    (values.get(key) as number | undefined) ?? Number(TABLE.find((row) => row.key === key)?.default);
  const stateDir = values.get("state_dir") as string | undefined;
  return {
    ...(stateDir === undefined ? {} : { stateDir }),
    replayMib: whole("replay_mib"),
    recordMaxMib: whole("record_max_mib"),
    concurrency: whole("concurrency"),
    logLevel: (values.get("log_level") as GlobalSettings["logLevel"] | undefined) ?? "info",
  };
}

/** One warning per unknown key, however many stanzas hold it. */
function unknownKeys(raw: readonly RawStanza[], options: ParseOptions): string[] {
  const known = new Set(settingsFor(options.host).map((row) => row.key));
  const holders = new Map<string, string[]>();
  const all: readonly RawStanza[] = options.globals ? [...raw, { name: "settings", values: options.globals }] : raw;
  for (const one of all) {
    for (const key of Object.keys(one.values)) {
      if (known.has(key) || options.known?.(key)) continue;
      if (options.host === "splunk" && (SPLUNK_KEYS.has(key) || key.startsWith("_"))) continue;
      holders.set(key, [...(holders.get(key) ?? []), one.name]);
    }
  }
  return [...holders].map(([key, names]) => {
    const where = names.length === 1 ? names[0] : `${names[0]} and ${names.length - 1} more`;
    const near = nearest(key, [...known]);
    return `${key} is no setting and is ignored (${where})${near ? `; is ${near} meant?` : ""}`;
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
        `${those.map((one) => one.name).join(", ")} collect the same tenant ${tenantId}: each delivers its events, and they share one request budget`,
    );
}
