import type { SecretReader } from "../config/secret-reference.ts";
import { settingsRefused } from "../config/settings.ts";
import { lineLog, timedLevel } from "../format/log-line.ts";
import type { ArcSightConfig } from "../hosts/arcsight/index.ts";
import { readArcSightConfig, readSplunksInputs, realSecretReader } from "../hosts/arcsight/index.ts";
import { type CommandLines, type CommandPlace, commandLines, logWithCommands } from "../model/command-line.ts";
import type { Log } from "../model/ports.ts";
import type { Stanza } from "../model/stanza.ts";
import { FileStamps, realStampOf } from "../stores/disk/file-stamps.ts";
import { belongsToSplunk, defaultStateDir, isSplunksOwn, rawOfSplunk, readSettingsFile } from "./configuration.ts";
import type { MisconfiguredCustomer } from "./customers.ts";
import { realClock, realFiles } from "./world.ts";

export interface ArcSightFlags {
  readonly config: string;
  readonly customer?: readonly string[] | undefined;
  readonly state?: string | undefined;
  /** Settings given as flags; they override the file's. */
  readonly overrides: Readonly<Record<string, string>>;
  readonly environment: NodeJS.ProcessEnv;
  /** Where printed commands are pasted. */
  readonly place: CommandPlace;
}

/** The configuration with the requested customers. */
export interface Chosen {
  readonly config: ArcSightConfig;
  readonly stanzas: readonly Stanza[];
  /** Of those asked for, the ones whose settings are wrong. */
  readonly misconfigured: readonly MisconfiguredCustomer[];
  /** Of the configuration and the files that it names. */
  readonly stamps: FileStamps;
  readonly stateDir: string;
  readonly commands: CommandLines;
  /** The configuration file, and settings given as flags. */
  readonly file: string;
  readonly overrides: Readonly<Record<string, string>>;
  /** The shared credentials that `commands` prints, by customer. */
  readonly credentials: Map<string, { readonly credential: string | undefined }>;
}

/** Reads the configuration. Throws Failure `settings` when the file cannot be read. */
export async function choose(flags: ArcSightFlags): Promise<Chosen> {
  const stamps = new FileStamps(realStampOf);
  stamps.add(flags.config);
  const options = {
    nowMs: realClock.nowMs(),
    secrets: stampedSecrets(realSecretReader(flags.environment, process.platform), stamps),
    files: {
      look(file: string) {
        stamps.add(file);
        return realFiles.look(file);
      },
    },
    overrides: flags.overrides,
  };
  const config = belongsToSplunk(flags.config)
    ? readSplunksInputs(await rawOfSplunk(flags.config, flags.environment), { ...options, known: isSplunksOwn })
    : readArcSightConfig(await readSettingsFile(flags.config), flags.config, options);
  const { customer } = flags;
  const isWanted = (stanza: Pick<Stanza, "name" | "tenantName" | "tenantId">) =>
    !customer?.length ||
    customer.some((name) =>
      [stanza.name, stanza.tenantName, stanza.tenantId].some((one) => one.toLowerCase() === name.toLowerCase()),
    );
  const stanzas = config.settings.stanzas.filter(isWanted);
  const thenDo = "Then run `defender-mssp arcsight check` and restart this program.";
  const misconfigured = config.settings.refused
    .filter(isWanted)
    .map((one) => ({ ...one, failure: settingsRefused(one, flags.config, thenDo) }));
  const configured = new Map(config.settings.stanzas.map(({ tenantName, credential }) => [tenantName, { credential }]));
  // Another member may have the customer when a new sign-in comes.
  const place = config.fleet?.keyFile === undefined ? flags.place : { ...flags.place, secrets: "fleet" as const };
  return {
    config,
    stanzas,
    misconfigured,
    stamps,
    stateDir: flags.state ?? config.settings.globals.stateDir ?? defaultStateDir(flags.environment),
    commands: commandLines({ ...place, customer: (name) => configured.get(name) }),
    file: flags.config,
    overrides: flags.overrides,
    credentials: configured,
  };
}

/** Stamps the files of secrets before they are read. */
function stampedSecrets(secrets: SecretReader, stamps: FileStamps): SecretReader {
  return {
    ...secrets,
    file(path) {
      stamps.add(path);
      return secrets.file(path);
    },
  };
}

/** On stderr, with the level that the configuration sets. */
export function logOf({ config, commands }: Chosen): Log {
  const begin = timedLevel(() => realClock.nowMs());
  const log = lineLog((line) => process.stderr.write(line), config.settings.globals.logLevel, begin);
  return logWithCommands(log, commands);
}
