import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { readConf, stanzasOfScheme } from "../config/conf-file.ts";
import { valuesFromFlags } from "../config/flags.ts";
import { propertiesText } from "../config/java-properties.ts";
import { SCHEME } from "../config/scheme.ts";
import type { ParsedSettings, RawStanza, SettingsHost } from "../config/settings.ts";
import { MASK, parseStanzas, problemLine, SECRET_KEYS } from "../config/settings.ts";
import { SPLUNK_KEYS } from "../config/splunk-keys.ts";
import { decodedText } from "../config/text-encoding.ts";
import { openedStanzas, parseDocument } from "../hosts/splunk/index.ts";
import { Failure } from "../model/failure.ts";
import type { SettingProblem, Stanza } from "../model/stanza.ts";
import { realClock, realFiles } from "./world.ts";

/**
 * Environment variables for secrets that no configuration contains. Secrets are never flags, because every
 * process of the machine can read flags.
 */
const SECRET_VARIABLES = {
  client_secret: "DEFENDER_MSSP_CLIENT_SECRET",
  refresh_token: "DEFENDER_MSSP_REFRESH_TOKEN",
} as const;

export interface ConfigurationFlags {
  readonly config?: string | undefined;
  readonly customer?: readonly string[] | undefined;
  readonly state?: string | undefined;
  /** All flags as yargs parsed them: settings among them override the file's. */
  readonly argv: Readonly<Record<string, unknown>>;
  readonly environment: NodeJS.ProcessEnv;
}

export interface Configuration {
  readonly settings: ParsedSettings;
  /** The customers given with `--customer`, or all. */
  readonly stanzas: readonly Stanza[];
  /**
   * The names of requested customers with wrong settings: they are skipped, the others are used.
   */
  readonly refused: readonly string[];
  readonly stateDir: string;
  readonly log: readonly string[];
}

/** The content of a configuration file before its values are checked. */
export interface RawConfiguration {
  readonly stanzas: readonly RawStanza[];
  readonly globals: Readonly<Record<string, string>>;
  readonly problems?: readonly SettingProblem[];
  readonly warnings?: readonly string[];
  /** There may be customers in another place, so a file without any is right. */
  readonly mayBeEmpty?: boolean;
}

/**
 * Reads the text of a `.properties` file (`propertiesText`). Throws Failure `settings` if Java cannot read it
 * either.
 */
export type PropertiesReader = (latin1Text: string, file: string) => Promise<RawConfiguration>;

/**
 * Reads the configuration of a command: a file by its ending (`.conf`, `.properties`, `.xml`), or one
 * customer from flags. Throws Failure `settings` with every problem in one message if no customer is left.
 */
export async function readConfiguration(
  flags: ConfigurationFlags,
  readProperties: PropertiesReader,
): Promise<Configuration> {
  const given = valuesFromFlags(flags.argv);
  const file = flags.config === undefined ? undefined : await rawFrom(flags.config, readProperties);
  const raw = (file?.stanzas ?? [fromFlags(given, flags.customer)]).map((stanza) =>
    withSecrets({ ...stanza, values: { ...stanza.values, ...given } }, flags.environment),
  );
  const settings = parseStanzas(raw, {
    host: hostOf(flags.config),
    nowMs: realClock.nowMs(),
    ...(file ? { globals: { ...file.globals, ...given } } : {}),
    files: { files: realFiles },
    ...(flags.config !== undefined && belongsToSplunk(flags.config) ? { known: isSplunksOwn } : {}),
  });
  const wanted = flags.customer;
  const isWanted = (name: string, others: readonly string[]) =>
    !wanted ||
    wanted.length === 0 ||
    wanted.some((w) => [name, ...others].some((n) => n.toLowerCase() === w.toLowerCase()));
  const stanzas = settings.stanzas.filter((s) => isWanted(s.name, [s.tenantName, s.tenantId]));
  const problems = [...(file?.problems ?? []), ...settings.problems].filter(
    (p) => isWanted(p.stanza, []) || p.stanza === "",
  );
  const isWantedElsewhere = file?.mayBeEmpty === true && problems.length === 0 && !wanted?.length;
  if (stanzas.length === 0 && !isWantedElsewhere) {
    const say =
      problems.length > 0
        ? problems.map(problemLine).join("\n")
        : wanted
          ? `no customer is called ${wanted.join(", ")}`
          : "no customer is configured";
    throw settingsFailure(say);
  }
  const refused = new Set(
    problems
      .map(({ stanza }) => stanza)
      .filter((name) => name !== "" && !settings.stanzas.some((s) => s.name === name)),
  );
  return {
    settings,
    stanzas,
    refused: [...refused],
    stateDir: flags.state ?? settings.globals.stateDir ?? defaultStateDir(flags.environment),
    log: [...(file?.warnings ?? []), ...settings.warnings, ...problems.map(problemLine)],
  };
}

export function settingsFailure(say: string): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say,
    nextStep: "See docs/settings.md, or run the command with --help.",
  });
}

/**
 * Throws Failure `settings` when the file cannot be read.
 *
 * @param setting the setting that names the file, if one does.
 */
export function readSettingsFile(file: string, setting?: string): Promise<Buffer> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    const named = setting === undefined ? file : `${setting}: ${file}`;
    throw settingsFailure(`${named} cannot be read (${error.code ?? "unknown reason"})`);
  });
}

/** Inputs of Splunk: inputs.conf, or a saved run document. */
export function belongsToSplunk(config: string): boolean {
  return /\.(conf|xml)$/i.test(config);
}

/** The inputs of such a file, without masks, with secrets that the environment has. */
export async function rawOfSplunk(file: string, environment: NodeJS.ProcessEnv): Promise<RawConfiguration> {
  const raw = rawFromSplunk(await readSettingsFile(file), file);
  return { ...raw, stanzas: raw.stanzas.map((stanza) => withSecrets(stanza, environment)) };
}

/** Settings of every input, such as `index`, are Splunk's to read. */
export function isSplunksOwn(key: string): boolean {
  return SPLUNK_KEYS.has(key) || key.startsWith("_");
}

function hostOf(config: string | undefined): SettingsHost {
  return config?.endsWith(".properties") === true ? "arcsight" : "cli";
}

async function rawFrom(file: string, readProperties: PropertiesReader): Promise<RawConfiguration> {
  const bytes = await readSettingsFile(file);
  if (belongsToSplunk(file)) return rawFromSplunk(bytes, file);
  if (path.extname(file).toLowerCase() === ".properties") return readProperties(propertiesText(bytes), file);
  throw settingsFailure(`${file} ends in neither .conf, .properties nor .xml, so its form is not known`);
}

function rawFromSplunk(bytes: Uint8Array, file: string): RawConfiguration {
  if (path.extname(file).toLowerCase() === ".conf") {
    const stanzas = stanzasOfScheme(readConf(decodedText(bytes)), SCHEME);
    return { stanzas: stanzas.map(withoutMask), globals: {} };
  }
  const document = parseDocument(decodedText(bytes));
  return {
    stanzas: openedStanzas(document.stanzas).map(withoutMask),
    globals: document.checkpointDir ? { state_dir: document.checkpointDir } : {},
  };
}

/** A mask stands for a secret in Splunk's store, which a command without a session cannot read. */
function withoutMask(stanza: RawStanza): RawStanza {
  const values = Object.fromEntries(
    Object.entries(stanza.values).filter(
      ([key, value]) => !(SECRET_KEYS.some((k) => k === key) && value.trim() === MASK),
    ),
  );
  return { name: stanza.name, values };
}

function withSecrets(stanza: RawStanza, environment: NodeJS.ProcessEnv): RawStanza {
  const values: Record<string, string> = { ...stanza.values };
  for (const key of SECRET_KEYS) {
    const value = environment[SECRET_VARIABLES[key]];
    // The variable is for all customers; one that signs in with an assertion must have no client secret.
    if (key === "client_secret" && (values.assertion ?? "").trim() !== "") continue;
    if (value !== undefined && value !== "" && (values[key] ?? "") === "") values[key] = value;
  }
  return { name: stanza.name, values };
}

function fromFlags(given: Readonly<Record<string, string>>, customer: readonly string[] | undefined): RawStanza {
  const name = customer?.[0] ?? given.tenant_name ?? given.tenant_id;
  if (name === undefined)
    throw settingsFailure("no customer is named: give --config FILE, or --tenant-id and --client-id");
  return { name, values: {} };
}

/** Throws Failure `settings` for an account without a home folder. */
export function defaultStateDir(environment: NodeJS.ProcessEnv, accountsHome: () => string = homedir): string {
  const { LOCALAPPDATA, XDG_STATE_HOME, HOME } = environment;
  const home = (): string => {
    try {
      return HOME || accountsHome();
    } catch (cause) {
      throw new Failure("settings", {
        actor: "operator",
        retry: { when: "never" },
        say: "This account has no home folder (HOME is not set, and /etc/passwd does not name one), so the state folder has no place.",
        nextStep: "Run the command again with --state DIR, or set `state_dir`.",
        cause,
      });
    }
  };
  return process.platform === "win32"
    ? path.join(LOCALAPPDATA || home(), "defender-mssp", "state")
    : path.join(XDG_STATE_HOME || path.join(home(), ".local", "state"), "defender-mssp");
}
