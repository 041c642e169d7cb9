import { readFilePath } from "../../config/files.ts";
import type { FileRule, SecretKey } from "../../config/settings.ts";
import { endpointsOf, SECRET_KEYS } from "../../config/settings.ts";
import { decodedText } from "../../config/text-encoding.ts";
import { quotedForPosix } from "../../model/command-line.ts";
import { Failure } from "../../model/failure.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import { isSecretId, PASTE_THE_VALUE } from "../../model/secret-id.ts";
import type { Stanza } from "../../model/stanza.ts";

/** Reads a secret's file; `undefined` for a file that cannot be read. */
export type ReadBytes = (file: string) => Promise<Uint8Array | undefined>;

/** A secret in the stanza itself, or a reference to its file. */
export function clearValue(stanza: Stanza, key: SecretKey): Sealed | undefined {
  return key === "client_secret" ? stanza.clientSecret : stanza.refreshToken;
}

const FILE_REFERENCE = /^\s*file:(.+?)\s*$/;

export function fileNamed(stanza: Stanza, key: SecretKey): string | undefined {
  return clearValue(stanza, key)?.open((text) => FILE_REFERENCE.exec(text)?.[1]);
}

/**
 * Reads secrets given as `file:PATH`, for hosts whose splunkd has no credential store (universal forwarders).
 * A file is not bound to endpoints, so such a secret is sent only to the cloud's own addresses: users who can
 * edit inputs cannot redirect it.
 */
export async function withSecretFiles(stanza: Stanza, readBytes: ReadBytes, files: FileRule): Promise<Stanza> {
  const read = new Map<SecretKey, Sealed>();
  for (const key of SECRET_KEYS) {
    const named = fileNamed(stanza, key);
    if (named === undefined) continue;
    if (hasOwnAddresses(stanza))
      throw secretFile(
        key,
        "comes from a file, so it is sent only to the cloud's own addresses, but this input sets other addresses",
        "Remove login_url, graph_url, api_url and siem_url from this input.",
      );
    const { text, path } = await secretIn(key, named, readBytes, files);
    if (key === "client_secret" && isSecretId(text))
      throw secretFile(
        key,
        `names ${path}, which contains the ID of the client secret, not its value`,
        `${PASTE_THE_VALUE.charAt(0).toUpperCase()}${PASTE_THE_VALUE.slice(1)}.`,
      );
    read.set(key, sealed(text));
  }
  const [clientSecret, refreshToken] = [read.get("client_secret"), read.get("refresh_token")];
  return { ...stanza, ...(clientSecret ? { clientSecret } : {}), ...(refreshToken ? { refreshToken } : {}) };
}

/**
 * The text of a file that a setting names, which only Splunk's user may read. Throws Failure
 * `secret-file-refused`; its sentence never contains the text.
 */
export async function secretIn(
  key: string,
  named: string,
  readBytes: ReadBytes,
  files: FileRule,
): Promise<{ readonly text: string; readonly path: string }> {
  const file = readFilePath(named, files);
  if (!file.ok) throw secretFile(key, `names a file that cannot be used: ${file.say}`, "");
  const looked = files.files.look(file.value);
  if (looked.kind !== "missing" && looked.openToOthers)
    throw secretFile(
      key,
      `names ${file.value}, which other accounts can read`,
      `Run \`chmod 600 ${quotedForPosix(file.value)}\`.`,
    );
  const text = decodedText((await readBytes(file.value)) ?? new Uint8Array()).replace(/\r?\n$/, "");
  if (text === "")
    throw secretFile(
      key,
      `names ${file.value}, which is empty or cannot be read by Splunk's user`,
      "Write the secret into the file, on one line.",
    );
  return { text, path: file.value };
}

/** True when the stanza overrides an address of its cloud. */
export function hasOwnAddresses(stanza: Stanza): boolean {
  const clouds = endpointsOf(stanza.cloud);
  return (Object.keys(clouds) as (keyof typeof clouds)[]).some((name) => clouds[name] !== stanza.endpoints[name]);
}

function secretFile(key: string, say: string, nextStep: string): Failure {
  return new Failure("secret-file-refused", {
    actor: "operator",
    retry: { when: "never" },
    say: `The setting ${key} ${say}.`,
    nextStep,
  });
}
