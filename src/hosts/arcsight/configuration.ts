import type {
  FleetSettings,
  MetricsSettings,
  OutputSettings,
  SecretReader,
  ServeSettings,
  TakenLine,
} from "../../config/arcsight-settings.ts";
import { lineOfProblem, readArcSightSettings } from "../../config/arcsight-settings.ts";
import { readFilePath } from "../../config/files.ts";
import type { PropertiesFile } from "../../config/java-properties.ts";
import { readProperties, readPropertiesText } from "../../config/java-properties.ts";
import type { FileLook, ParsedSettings, RawStanza } from "../../config/settings.ts";
import { parseStanzas, refusedSettings } from "../../config/settings.ts";
import { Failure } from "../../model/failure.ts";
import type { SettingProblem } from "../../model/stanza.ts";

/** The checked configuration of the helper. */
export interface ArcSightConfig {
  /** `old`: one customer's connector file of the retired API. `splunk`: inputs of Splunk. */
  readonly form: "many" | "old" | "splunk";
  /** Customers in the same form as on every host, with resolved secrets. */
  readonly settings: ParsedSettings;
  readonly outputs: readonly OutputSettings[];
  /** Undefined when `serve.*` is wrong. */
  readonly serve: ServeSettings | undefined;
  /** Undefined without `metrics.listen`, or when `metrics.*` is wrong. */
  readonly metrics: MetricsSettings | undefined;
  /** Undefined without `fleet.url`, or when `fleet.*` is wrong. */
  readonly fleet: FleetSettings | undefined;
  /** How each line of an old connector file was used. */
  readonly taken: readonly TakenLine[];
  /**
   * All problems: of customers (`stanza` is the customer's name), outputs (`outputs[0]`), `serve`, `metrics`
   * and `fleet`. The sentence names the line.
   */
  readonly problems: readonly SettingProblem[];
  /**
   * The problems that keep `arcsight run` from starting: a wrong output would never get events, because the
   * checkpoints advance without it. With a wrong `fleet.*` it would collect alone what a fleet collects.
   */
  readonly outputProblems: readonly SettingProblem[];
  /** No output but `serve.` settings: the file is for `arcsight serve`, which needs no output. */
  readonly servesAlone: boolean;
  readonly warnings: readonly string[];
}

export interface ConfigOptions {
  readonly nowMs: number;
  readonly secrets: SecretReader;
  /** How files named in settings are checked; if undefined, they are not checked. */
  readonly files?: FileLook;
  /** Settings that override the file's, for every customer (flags). */
  readonly overrides?: Readonly<Record<string, string>>;
}

/**
 * Reads the bytes of a `.properties` file: many customers, or one old `WDATP-connector.properties`. Throws
 * Failure `settings` for a file of Splunk, and if Java cannot read it. All other problems are in `problems`,
 * and a wrong customer never stops the others.
 *
 * @param file the file's name, for the sentence.
 */
export function readArcSightConfig(bytes: Uint8Array, file: string, options: ConfigOptions): ArcSightConfig {
  if (SPLUNKS_FILE.test(file)) throw ofSplunk(file);
  const properties = readProperties(bytes);
  if (!properties.ok) throw unreadable(file, properties.say);
  const { files } = options;
  const read = readArcSightSettings(properties, {
    secrets: options.secrets,
    ...(files ? { file: (path: string) => readFilePath(path, { files }) } : {}),
  });
  const overrides = options.overrides ?? {};
  const raw: readonly RawStanza[] = read.raw.map(({ name, values }) => ({ name, values: { ...values, ...overrides } }));
  const settings = parseStanzas(raw, {
    host: "arcsight",
    nowMs: options.nowMs,
    globals: { ...read.globals, ...overrides },
    ...(files ? { files: { files: files } } : {}),
  });
  const withLine = (problem: SettingProblem) => named(problem, properties, read);
  const problems = [...read.problems, ...settings.problems].map(withLine);
  const outputProblems = problems.filter(({ stanza }) => stanza.startsWith("outputs[") || stanza === "fleet");
  return {
    form: read.form,
    settings: {
      ...settings,
      refused: [
        ...settings.refused.map((one) => ({ ...one, problems: one.problems.map(withLine) })),
        ...read.unresolved.map((one) =>
          refusedSettings(
            one,
            problems.filter(({ stanza }) => stanza === one.name),
          ),
        ),
      ],
    },
    outputs: read.outputs,
    serve: read.serve,
    metrics: read.metrics,
    fleet: read.fleet,
    taken: read.taken,
    problems,
    servesAlone:
      read.outputs.length === 0 &&
      outputProblems.length === 0 &&
      [...properties.byKey.keys()].some((key) => key.startsWith("serve.")),
    outputProblems: read.outputs.length === 0 && outputProblems.length === 0 ? [NO_OUTPUT] : outputProblems,
    warnings: [...read.warnings, ...settings.warnings],
  };
}

const NO_OUTPUT: SettingProblem = {
  stanza: "outputs[0]",
  key: "type",
  say: "is missing, so there is no output for events; write for example outputs[0].type=cef-file and outputs[0].path=/var/lib/defender-mssp/defender.cef, or serve.listen=127.0.0.1:44380 if you only use `arcsight serve`",
};

function named(
  problem: SettingProblem,
  properties: PropertiesFile,
  read: Parameters<typeof lineOfProblem>[2],
): SettingProblem {
  const line = lineOfProblem(problem, properties, read);
  return line === undefined ? problem : { ...problem, say: `${problem.say} (line ${line})` };
}

/**
 * Only the customers, for commands other than `arcsight`: unchecked, and including those whose secrets cannot
 * be found, because `token acquire` gets them. Throws Failure `settings` if Java cannot read the file either.
 */
export function rawFromProperties(
  latin1Text: string,
  file: string,
  secrets: SecretReader,
): {
  readonly stanzas: readonly RawStanza[];
  readonly globals: Readonly<Record<string, string>>;
  readonly problems: readonly SettingProblem[];
  readonly warnings: readonly string[];
  /** Its database may hold more customers. */
  readonly fleet: FleetSettings | undefined;
} {
  const properties = readPropertiesText(latin1Text);
  if (!properties.ok) throw unreadable(file, properties.say);
  const read = readArcSightSettings(properties, { secrets });
  const own = read.problems.filter(
    ({ stanza }) => !stanza.startsWith("outputs[") && stanza !== "serve" && stanza !== "metrics" && stanza !== "fleet",
  );
  return {
    stanzas: [...read.raw, ...read.unresolved],
    globals: read.globals,
    problems: own.map((problem) => named(problem, properties, read)),
    warnings: read.warnings,
    fleet: read.fleet,
  };
}

/** Java would read each of their lines as a property that nobody knows. */
const SPLUNKS_FILE = /\.(?:conf|xml)$/i;

/** For a command that has no use for inputs of Splunk. */
export function ofSplunk(file: string): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `${file} is a file of Splunk, and this command reads outputs from a .properties file only.`,
    nextStep: "Write customers and outputs into a .properties file, and give that one with --config.",
  });
}

function unreadable(file: string, say: string): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `${file}: ${say}`,
    nextStep: "Correct that line and start again.",
  });
}
