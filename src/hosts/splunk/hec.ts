import { type FileRule, readFilePath } from "../../config/files.ts";
import type { FleetSettings } from "../../config/fleet-settings.ts";
import { type HecReference, hecOutput } from "../../config/hec-settings.ts";
import type { OutputSettings } from "../../config/output-settings.ts";
import { readSecret, type SecretReader } from "../../config/secret-reference.ts";
import { type FleetReference, fleetSettingsOf } from "../../config/splunk-fleet-settings.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import { type ReadBytes, secretIn } from "./secret-files.ts";

const TOKEN = { key: "hec_token", what: "the token of HEC" };
const PASSWORD = { key: "fleet_password", what: "the password of the fleet's database" };

/** How the value of a secret that is named by reference is found. */
export interface ReferencePorts {
  readonly readBytes: ReadBytes;
  readonly files: FileRule;
  readonly credential?: SecretReader["credential"];
}

/** The output with its token as it is now. Throws Failure `secret-file-refused`, never with the token. */
export async function hecOutputNow(hec: HecReference, ports: ReferencePorts): Promise<OutputSettings> {
  const said: string[] = [];
  const token = await secretOf(TOKEN, hec.token, ports);
  const output = hecOutput(hec, token, (key, say) => said.push(`The setting ${key} ${say}.`));
  if (output === undefined) throw refused(TOKEN, said.join(" "));
  return output;
}

/**
 * The fleet with the password of its database as it is now; undefined when something is wrong, which was then
 * passed to `complain`, never with the password.
 */
export async function fleetNow(
  fleet: FleetReference,
  ports: ReferencePorts,
  complain: (key: string, say: string) => void,
): Promise<FleetSettings | undefined> {
  let password: string | undefined;
  try {
    password = fleet.password === undefined ? undefined : await secretOf(PASSWORD, fleet.password, ports);
  } catch (error) {
    if (!isFailure(error)) throw error;
    complain(PASSWORD.key, `cannot be used: ${error.say} ${error.nextStep}`.trim());
    return undefined;
  }
  const settings = fleetSettingsOf(fleet, password, complain);
  if (settings?.keyFile === undefined) return settings;
  const found = readFilePath(settings.keyFile, ports.files);
  if (found.ok) return { ...settings, keyFile: found.value };
  complain("fleet_key_file", `names a file that cannot be used: ${found.say}`);
  return undefined;
}

interface Referred {
  readonly key: string;
  readonly what: string;
}

async function secretOf(
  whose: Referred,
  reference: string,
  { readBytes, files, credential = () => false }: ReferencePorts,
): Promise<string> {
  const file = /^file:\s*(.+)$/.exec(reference)?.[1];
  if (file !== undefined) return (await secretIn(whose.key, file, readBytes, files)).text;
  const found = readSecret(reference, { file: () => undefined, env: () => undefined, credential });
  if (!found.ok) throw refused(whose, `The setting ${whose.key} ${found.say}.`);
  return found.value.value;
}

function refused({ key, what }: Referred, say: string): Failure {
  return new Failure("secret-file-refused", {
    actor: "operator",
    retry: { when: "never" },
    say,
    nextStep: `Put ${what} where ${key} says.`,
  });
}
