import { withSecrets } from "../../config/arcsight-settings.ts";
import type { FleetSettings } from "../../config/fleet-settings.ts";
import { hecOutput, saysWhereEventsGo } from "../../config/hec-settings.ts";
import { type MetricsSettings, metricsOfGlobals } from "../../config/metrics-settings.ts";
import type { OutputSettings } from "../../config/output-settings.ts";
import { readSecret, type SecretReader } from "../../config/secret-reference.ts";
import {
  type ParsedSettings,
  parseStanzas,
  type RawStanza,
  refusedSettings,
  SECRET_KEYS,
} from "../../config/settings.ts";
import { fleetSettingsOf } from "../../config/splunk-fleet-settings.ts";
import { sealed } from "../../model/sealed.ts";
import type { SettingProblem } from "../../model/stanza.ts";
import type { ArcSightConfig, ConfigOptions } from "./configuration.ts";

/**
 * Inputs of Splunk as the configuration of `run`: its customers, and the one output that `hec_*` under
 * `[defender_mssp]` names. A wrong customer never stops the others.
 *
 * @param raw the inputs without masks: what Splunk's store holds cannot be read without Splunk.
 */
export function readSplunksInputs(
  raw: { readonly stanzas: readonly RawStanza[]; readonly globals: Readonly<Record<string, string>> },
  options: ConfigOptions & { readonly known: (key: string) => boolean },
): ArcSightConfig {
  const problems: SettingProblem[] = [];
  const warnings: string[] = [];
  const { secrets, overrides = {}, files } = options;
  const read = raw.stanzas.map(({ name, values }) => ({
    name,
    ...withSecrets(name, values, SECRET_KEYS, secrets, problems, warnings),
  }));
  const settings = parseStanzas(
    // A secret that cannot be found stops its customer, like every other wrong setting.
    read.filter(({ complete }) => complete).map(({ name, values }) => ({ name, values: { ...values, ...overrides } })),
    {
      host: "cli",
      nowMs: options.nowMs,
      globals: { ...raw.globals, ...overrides },
      known: options.known,
      ...(files ? { files: { files } } : {}),
    },
  );
  const complain = (key: string, say: string) => problems.push({ stanza: "", key, say });
  const output = hecOf(settings.hec, secrets, complain, warnings);
  const fleet = fleetIn(settings.fleet, secrets, complain, warnings);
  const metrics = metricsIn(settings, secrets, complain, warnings);
  const all = [...problems, ...settings.problems];
  const outputProblems = all.filter(({ key }) => saysWhereEventsGo(key));
  const unresolved = read
    .filter(({ complete }) => !complete)
    .map((one) =>
      refusedSettings(
        one,
        problems.filter(({ stanza }) => stanza === one.name),
      ),
    );
  return {
    form: "splunk",
    settings: { ...settings, refused: [...settings.refused, ...unresolved] },
    outputs: output === undefined ? [] : [output],
    serve: undefined,
    metrics,
    fleet,
    taken: [],
    problems: all,
    outputProblems: output === undefined && outputProblems.length === 0 ? [NO_OUTPUT] : outputProblems,
    servesAlone: false,
    warnings: [...warnings, ...settings.warnings],
  };
}

const NO_OUTPUT: SettingProblem = {
  stanza: "",
  key: "hec_urls",
  say: "is missing under [defender_mssp], so there is no output for events; write for example hec_urls = https://splunk.example.com:8088 and hec_token = file:/etc/defender-mssp/hec-token",
};

function hecOf(
  hec: ParsedSettings["hec"],
  secrets: SecretReader,
  complain: (key: string, say: string) => void,
  warnings: string[],
): OutputSettings | undefined {
  if (hec?.is !== "reference") return undefined;
  const token = readSecret(hec.hec.token, secrets);
  if (!token.ok) {
    complain("hec_token", token.say);
    return undefined;
  }
  if (token.value.warning !== undefined) warnings.push(token.value.warning);
  return hecOutput(hec.hec, token.value.value, complain);
}

function fleetIn(
  fleet: ParsedSettings["fleet"],
  secrets: SecretReader,
  complain: (key: string, say: string) => void,
  warnings: string[],
): FleetSettings | undefined {
  if (fleet?.password === undefined) return fleet && fleetSettingsOf(fleet, undefined, complain);
  const password = readSecret(fleet.password, secrets);
  if (!password.ok) {
    complain("fleet_password", password.say);
    return undefined;
  }
  if (password.value.warning !== undefined) warnings.push(password.value.warning);
  return fleetSettingsOf(fleet, password.value.value, complain);
}

function metricsIn(
  { globals }: ParsedSettings,
  secrets: SecretReader,
  complain: (key: string, say: string) => void,
  warnings: string[],
): MetricsSettings | undefined {
  const found = metricsOfGlobals(globals, ({ key, say }) => complain(key, say));
  if (found?.tokenFile === undefined) return found;
  const { tokenFile, ...rest } = found;
  const token = readSecret(`file:${tokenFile}`, secrets);
  if (!token.ok) {
    complain("metrics_token", token.say);
    return undefined;
  }
  if (token.value.warning !== undefined) warnings.push(token.value.warning);
  return { ...rest, token: sealed(token.value.value) };
}
