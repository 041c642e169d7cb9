import type { FileRule } from "../../config/files.ts";
import { type HecReference, hecOutput } from "../../config/hec-settings.ts";
import type { OutputSettings } from "../../config/output-settings.ts";
import { readSecret, type SecretReader } from "../../config/secret-reference.ts";
import { Failure } from "../../model/failure.ts";
import { type ReadBytes, secretIn } from "./secret-files.ts";

const KEY = "hec_token";

/** How the token's value is found. */
export interface HecPorts {
  readonly readBytes: ReadBytes;
  readonly files: FileRule;
  readonly credential?: SecretReader["credential"];
}

/** The output with its token as it is now. Throws Failure `secret-file-refused`, never with the token. */
export async function hecOutputNow(hec: HecReference, ports: HecPorts): Promise<OutputSettings> {
  const said: string[] = [];
  const output = hecOutput(hec, await tokenOf(hec.token, ports), (key, say) => said.push(`The setting ${key} ${say}.`));
  if (output === undefined) throw refused(said.join(" "));
  return output;
}

async function tokenOf(reference: string, { readBytes, files, credential = () => false }: HecPorts): Promise<string> {
  const file = /^file:\s*(.+)$/.exec(reference)?.[1];
  if (file !== undefined) return (await secretIn(KEY, file, readBytes, files)).text;
  const found = readSecret(reference, { file: () => undefined, env: () => undefined, credential });
  if (!found.ok) throw refused(`The setting ${KEY} ${found.say}.`);
  return found.value.value;
}

function refused(say: string): Failure {
  return new Failure("secret-file-refused", {
    actor: "operator",
    retry: { when: "never" },
    say,
    nextStep: `Put the token of HEC where ${KEY} says.`,
  });
}
